"""Latent classes are those of StepMix, polished to convergence (provenance in README.md)."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

import jaxem


KNOWN = json.loads((pathlib.Path(__file__).parent / "stepmix_classes.json").read_text())
CELLS = [(data, int(k)) for data, own in KNOWN.items() for k in own["fits"]]


@pytest.fixture(scope="module")
def selections():
    """Of every data set, patterns with their counts as weights: K is chosen among those that the reference has."""
    return {
        name: jaxem.select(
            np.array(own["patterns"], float), "categorical", map(int, own["fits"]), weights=np.array(own["counts"]), tol=1e-7
        )
        for name, own in KNOWN.items()
    }


@pytest.mark.parametrize(("data", "k"), CELLS)
def test_search_finds_the_best(selections, data, k):
    wanted, fit = KNOWN[data]["fits"][str(k)], selections[data]["categorical", k]
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(wanted["log_likelihood"], rel=0, abs=1e-5)
    assert fit.num_params == wanted["num_params"]
    order = np.argsort(-np.array(wanted["weights"]))
    np.testing.assert_allclose(fit.params.weights, np.array(wanted["weights"])[order], rtol=0, atol=2e-3)
    for column, theirs in enumerate(wanted["probabilities"]):
        ours = fit.params.probabilities[:, column]
        np.testing.assert_allclose(ours[:, : len(theirs[0])], np.array(theirs)[order], rtol=0, atol=2e-3)
        assert not ours[:, len(theirs[0]) :].any()
