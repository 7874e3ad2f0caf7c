"""Noise, equal weights and known labels: the same ends of EM as mclust 6.0.0's (provenance in README.md)."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from helpers import agree, matching

import jaxem
from jaxem.noise import region


HERE = pathlib.Path(__file__).parent
GOLDEN = json.loads((HERE / "mclust_sim_noise.json").read_text())
ROWS = pd.read_csv(HERE / "data" / "sim_noise.csv")
PART = np.array(GOLDEN["part"])
ASKED = {
    "noise": {"noise": True},
    "equal_weights": {"equal_weights": True},
    "noise_equal_weights": {"noise": True, "equal_weights": True},
}
CELLS = [(kind, structure) for kind in ("noise", "equal_weights") for structure in GOLDEN[kind]]
CELLS += [("noise_equal_weights", structure) for structure in ("EII", "VVI", "EEE", "VVV")]
ITERATED = {"VEE", "EVE", "EVV"}  # mclust ends these M-steps early: ours may not be worse


@pytest.mark.parametrize(("kind", "structure"), CELLS)
def test_from_a_partition(kind, structure):
    wanted = GOLDEN[kind][structure]
    start = (PART[:, None] == [1, 2]) + 0.5 * (PART[:, None] == 3) * ("noise" not in kind)
    fit = jaxem.fit(ROWS, structure, 2, start=start, tol=1e-9, **ASKED[kind])
    assert fit.num_params == wanted["num_params"]
    if structure in ITERATED:
        assert fit.log_likelihood > wanted["loglik"] - 1e-6
        return
    agree(fit.log_likelihood, wanted["loglik"], 0, 1e-6)
    agree(-fit.bic, wanted["bic"], 0, 1e-6)
    order = matching(fit.params.means, np.array(wanted["mean"]))
    weights = np.append(fit.params.weights[order], [fit.noise_weight] if "noise" in kind else [])
    agree(weights, np.array(wanted["pro"]), 1e-5, 1e-5)
    agree(fit.params.means[order], np.array(wanted["mean"]), 1e-5, 1e-5)
    agree(fit.params.covariances[order], np.array(wanted["sigma"]), 1e-5, 1e-5)


def test_volume_of_the_noise():
    agree(region(ROWS.to_numpy()).log_volume, GOLDEN["log_volume"], 0, 1e-9)


@pytest.mark.parametrize("structure", GOLDEN["labels"])
def test_labels(structure):
    wanted = GOLDEN["labels"][structure]
    end = jaxem.Params(weights=wanted["pro"], means=wanted["mean"], covariances=wanted["sigma"])
    fit = jaxem.fit(ROWS, structure, 2, start=end, labels=GOLDEN["label"], tol=1e-9)
    assert fit.num_params == wanted["df"]
    if structure in ITERATED:
        assert fit.log_likelihood > wanted["loglik"] - 1e-4
    else:
        agree(fit.log_likelihood, wanted["loglik"], 0, 1e-4)  # MclustSSC ends at its own tolerance
