"""From the true labels, VVV ends where scikit-learn 1.9.1 does (provenance in README.md)."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from helpers import matching

import jaxem


HERE = pathlib.Path(__file__).parent
NAMES = ["one_d_k2", "overlapping_k3", "separated_k5", "unequal_weights_k3"]


@pytest.mark.parametrize("name", NAMES)
def test_em_from_the_true_labels(name):
    """scikit-learn stops when a step gains less than 1e-9 nats a row: its params are right to the root of that."""
    wanted = json.loads((HERE / f"sklearn_{name}.json").read_text())
    frame = pd.read_csv(HERE / "data" / f"sim_{name}.csv")
    labels, x = frame.pop("truth").to_numpy(), frame
    fit = jaxem.fit(
        x, "VVV", wanted["num_components"], start=np.eye(wanted["num_components"])[labels], tol=1e-9, max_steps=20_000
    )
    assert fit.converged
    assert fit.num_params == wanted["npar"]
    assert fit.log_likelihood == pytest.approx(wanted["loglik_from_truth_start"], rel=0, abs=1e-6)
    order = matching(fit.params.means, np.array(wanted["mean"]))
    np.testing.assert_allclose(fit.params.weights[order], wanted["pro"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(fit.params.means[order], wanted["mean"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(fit.params.covariances[order], wanted["cov"], rtol=0, atol=1e-3)
