"""Poisson mixtures end where flexmix and direct maximisation do (provenance in README.md)."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pandas as pd
import pytest

import jaxem


HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize("k", [2, 3])
def test_em_from_flexmixs_partition(k):
    wanted = json.loads((HERE / f"flexmix_earthquakes_k{k}.json").read_text())
    counts = pd.read_csv(HERE / "data" / "earthquakes.csv")["count"]
    part = np.eye(k)[np.array(wanted["part"]) - 1]
    fit = jaxem.fit(counts, "poisson", k, start=part, tol=1e-9, max_steps=20_000)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-6)
    assert fit.num_params == wanted["df"]
    assert fit.bic == pytest.approx(wanted["BIC"], rel=0, abs=2e-6)
    order = np.argsort(fit.params.rates[:, 0])
    theirs = np.argsort(wanted["rate"])
    np.testing.assert_allclose(fit.params.rates[order, 0], np.array(wanted["rate"])[theirs], rtol=1e-5)
    np.testing.assert_allclose(fit.params.weights[order], np.array(wanted["pro"])[theirs], rtol=0, atol=1e-5)


def test_search_finds_the_direct_maximum():
    wanted = json.loads((HERE / "direct_poisson.json").read_text())
    counts = pd.read_csv(HERE / "data" / "family_poisson.csv")["x"]
    fit = jaxem.fit(counts, "poisson", 2, tol=1e-9)
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-6)
    np.testing.assert_allclose(fit.params.rates[:, 0], [part["rate"] for part in wanted["components"]], rtol=1e-5)
    np.testing.assert_allclose(fit.params.weights, wanted["pro"], rtol=0, atol=1e-5)


def test_one_rate_is_the_mean():
    wanted = json.loads((HERE / "direct_poisson.json").read_text())["one_component"]
    counts = pd.read_csv(HERE / "data" / "family_poisson.csv")["x"]
    fit = jaxem.fit(counts, "poisson", 1)
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-8)
    assert fit.params.rates[0, 0] == pytest.approx(wanted["params"]["rate"], rel=1e-12)
