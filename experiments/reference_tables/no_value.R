# Why has mclust no value in a cell? Rscript no_value.R data.csv folder structure:K ...
# The folder holds resp_<structure>_<K>.csv, responsibilities of another program's fit, from which me() begins as well.
suppressMessages(library(mclust))
arguments <- commandArgs(trailingOnly = TRUE)
x <- read.csv(arguments[1])
x <- as.matrix(x[names(x) != "truth"])
tree <- hc(x, modelName = mclust.options("hcModelName"), use = mclust.options("hcUse"))
em <- function(model, z, ...) me(x, model, z, control = emControl(...), warn = FALSE)
cat("structure,K,smallest_group,fails_at_step,rows_before,ratio_before,from_ours\n")
for (cell in arguments[-(1:2)]) {
  words <- strsplit(cell, ":")[[1]]
  k <- as.integer(words[2])
  part <- hclass(tree, k)
  before <- NULL
  failed <- NA
  for (step in 1:500) {
    now <- em(words[1], unmap(part), tol = c(0, 1e-8), itmax = c(step, 1000))
    if (is.na(now$loglik)) {
      failed <- step
      break
    }
    before <- now
  }
  rows <- ratio <- NA
  if (!is.null(before)) {  # the thinnest component just before, in variances of the columns
    rows <- min(colSums(before$z))
    inward <- diag(1 / apply(x, 2, sd), ncol(x))
    least <- apply(before$parameters$variance$sigma, 3, function(s) min(eigen(inward %*% s %*% inward, TRUE, TRUE)$values))
    ratio <- min(least)
  }
  file <- file.path(arguments[2], sprintf("resp_%s_%d.csv", words[1], k))
  from_ours <- NA
  if (file.exists(file)) from_ours <- em(words[1], as.matrix(read.csv(file, header = FALSE)), tol = c(1e-13, 1e-13), itmax = c(20000, 2000))$loglik
  cat(words[1], k, min(table(part)), failed, rows, ratio, format(from_ours, digits = 12), sep = ",")
  cat("\n")
}
