"""Where cells are missing, EM ends where direct maximisation of the likelihood of the others does (provenance in README.md)."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from helpers import agree, matching

import jaxem


HERE = pathlib.Path(__file__).parent
GOLDEN = json.loads((HERE / "direct_missing.json").read_text())


@pytest.mark.parametrize("name", GOLDEN)
def test_maximum(name):
    wanted = GOLDEN[name]
    x = pd.read_csv(HERE / "data" / wanted["data"])[wanted["columns"]]
    start = wanted["start"] and jaxem.Params(
        weights=wanted["start"]["pro"], means=wanted["start"]["mean"], covariances=wanted["start"]["cov"]
    )
    fit = jaxem.fit(x, "VVV", wanted["K"], start=start, tol=1e-9, max_steps=20_000)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-6)
    scale = x.std(ddof=0).to_numpy()
    order = matching(fit.params.means, np.array(wanted["mean"]))
    agree(fit.params.weights[order], np.array(wanted["pro"]), 0, 1e-5)
    agree(fit.params.means[order] / scale, wanted["mean"] / scale, 0, 1e-5)
    agree(fit.params.covariances[order] / np.outer(scale, scale), wanted["cov"] / np.outer(scale, scale), 0, 1e-5)
