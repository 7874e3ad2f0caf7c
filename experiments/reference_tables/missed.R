# mclust's responsibilities in some cells, from its own start. Rscript missed.R data.csv folder structure:K ...
suppressMessages(library(mclust))
arguments <- commandArgs(trailingOnly = TRUE)
x <- read.csv(arguments[1])
x <- as.matrix(x[names(x) != "truth"])
for (cell in arguments[-(1:2)]) {
  words <- strsplit(cell, ":")[[1]]
  fit <- Mclust(x, as.integer(words[2]), words[1], verbose = FALSE)
  file <- file.path(arguments[2], sprintf("resp_%s_%s.csv", words[1], words[2]))
  write.table(fit$z, file, sep = ",", row.names = FALSE, col.names = FALSE)
}
