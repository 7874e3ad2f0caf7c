# mclustBIC on a CSV file: Rscript mclust.R FILE MODELS KMAX REPEATS BUDGET; prints one JSON object, as measure.py does.
given <- commandArgs(trailingOnly = TRUE)
suppressMessages(library(mclust))
x <- as.matrix(read.csv(given[1]))
models <- strsplit(given[2], ",")[[1]]
kmax <- as.integer(given[3]); repeats <- as.integer(given[4]); budget <- as.numeric(given[5])
taken <- c()
while (length(taken) <= repeats && (length(taken) == 0 || sum(taken) < budget))
  taken <- c(taken, system.time(bic <- mclustBIC(x, G = 1:kmax, modelNames = models, verbose = FALSE))[["elapsed"]])
warm <- if (length(taken) > 1) taken[-1] else taken
cells <- c()
for (k in 1:kmax) for (model in models) {
  value <- bic[as.character(k), model]
  if (!is.na(value)) {
    loglik <- (value + nMclustParams(model, ncol(x), k) * log(nrow(x))) / 2
    cells <- c(cells, sprintf('"%s %d": %.6f', model, k, loglik))
  }
}
cat(sprintf('{"first": %.3f, "seconds": [%s], "median": %.3f, "dtype": "float64", "cells": {%s}, "versions": {"mclust": "%s", "R": "%s"}}\n',
  taken[1], paste(sprintf("%.3f", warm), collapse = ", "), median(warm), paste(cells, collapse = ", "),
  packageVersion("mclust"), getRversion()))
