# Rscript lrt.R TABLE.csv MODEL REPLICATES: seconds, statistics and p-values of mclustBootstrapLRT for K = 1, 2 against K + 1.
suppressPackageStartupMessages(library(mclust))
arguments <- commandArgs(TRUE)
x <- as.matrix(read.csv(arguments[1]))
set.seed(1)
seconds <- system.time(test <- mclustBootstrapLRT(x, arguments[2], nboot = as.integer(arguments[3]), maxG = 2, verbose = FALSE))[["elapsed"]]
cat(sprintf('{"seconds": %.2f, "statistic": [%s], "p_value": [%s], "software": "%s, mclust %s"}\n', seconds,
            paste(test$obs, collapse = ", "), paste(test$p.value, collapse = ", "), R.version.string, packageVersion("mclust")))
