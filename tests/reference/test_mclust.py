"""From the same responsibilities, every covariance structure does what mclust 6.0.0 does (provenance in README.md)."""

from __future__ import annotations

import functools
import json
import pathlib

import numpy as np
import pytest
from helpers import agree, matching

import jaxem
from jaxem import criteria


HERE = pathlib.Path(__file__).parent
DATA_SETS = ["acidity", "diabetes", "faithful", "galaxies", "galaxies_fixed", "iris", "wine", "wreath"]


@functools.cache
def golden(name):
    return json.loads((HERE / f"mclust_{name}.json").read_text())


@functools.cache
def rows(name):
    import pandas as pd

    return pd.read_csv(HERE / "data" / f"{name}.csv").drop(columns="truth", errors="ignore")


def cells(kind):
    """Every (data set, structure) for which there is such a golden fit."""
    return [(name, structure) for name in DATA_SETS for structure in golden(name).get(kind, ())]


def assert_params(params, wanted, x, tolerance):
    """Weights, and means and covariances in standard deviations of the columns; components matched by their means.

    The tolerance is relative for what exceeds 1: spherical covariances are far larger than the columns of small scale.
    """
    d = x.shape[1]
    scale = x.std(0)
    size = np.outer(scale, scale)
    mean, sigma = np.array(wanted["mean"]).reshape(-1, d), np.array(wanted["sigma"]).reshape(-1, d, d)
    order = matching(params.means, mean)
    agree(params.weights[order], np.array(wanted["pro"]), tolerance, tolerance)
    agree(params.means[order] / scale, mean / scale, tolerance, tolerance)
    agree(params.covariances[order] / size, sigma / size, tolerance, tolerance)


# What mclust iterates here it ends early: ours may not be worse in what an M-step maximises.
ICL = json.loads((HERE / "mclust_icl.json").read_text())
ITERATED = {"VEE", "EVE", "VVE"}


@pytest.mark.parametrize(("name", "structure"), cells("me_from_part"))
def test_em_from_a_partition(name, structure):
    source, wanted = golden(name), golden(name)["me_from_part"][structure]
    k = source["num_components"]
    part = np.eye(k)[np.array(source["part"]) - 1]
    fit = jaxem.fit(rows(name), structure, k, start=part, tol=1e-9, max_steps=20_000)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-6)
    assert fit.num_params == wanted["npar"]
    assert fit.bic == pytest.approx(-wanted["bic"], rel=0, abs=2e-6)
    if structure in ICL.get(name, ()) and structure not in ITERATED:
        # log_assigned is no maximum there: it tells how far apart the ends are, log-likelihoods do not
        at_end = ICL[name][structure]
        assert fit.icl == pytest.approx(-at_end["icl"], rel=0, abs=1e-4)
        formula = criteria.icl(at_end["loglik"], wanted["npar"], len(rows(name)), at_end["log_assigned"])
        assert formula == pytest.approx(-at_end["icl"], rel=0, abs=1e-8)
    assert_params(fit.params, wanted, rows(name).to_numpy(), 1e-4 if structure in ITERATED else 1e-5)


def expected(name, resp, covariances):
    """Twice the part of the expected log-likelihood that the covariances change."""
    x, resp = rows(name).to_numpy(), np.array(resp)
    own = [np.cov(x.T, aweights=weight, ddof=0) for weight in resp.T]
    terms = [np.linalg.slogdet(c)[1] + np.trace(np.linalg.solve(c, s)) for c, s in zip(covariances, own, strict=True)]
    return -resp.sum(0) @ terms


@pytest.mark.parametrize(("name", "structure"), cells("mstep_from_zsoft"))
def test_one_m_step_from_soft_responsibilities(name, structure):
    source, wanted = golden(name), golden(name)["mstep_from_zsoft"][structure]
    fit = jaxem.fit(rows(name), structure, source["num_components"], start=source["zsoft"], max_steps=1)
    assert fit.num_steps == 1
    if structure in ITERATED:
        ours = fit.params.covariances[matching(fit.params.means, np.array(wanted["mean"]))]
        best = [expected(name, source["zsoft"], covariances) for covariances in (ours, wanted["sigma"])]
        assert best[0] > best[1] - 1e-9 * abs(best[1])
        return
    assert fit.log_likelihood == pytest.approx(wanted["loglik_after"], rel=0, abs=1e-8)
    assert_params(fit.params, wanted, rows(name).to_numpy(), 1e-9)


@functools.cache
def single(name):
    """One component of every structure."""
    return jaxem.select(rows(name), "gaussian", 1)


@pytest.mark.parametrize(("name", "structure"), cells("table"))
def test_one_component_has_the_criteria_of_the_table(name, structure):
    """One component leaves nothing to chance: BIC and ICL agree; ICL is BIC there."""
    table = golden(name)["table"][structure]
    fit = single(name)[structure, 1]
    assert fit.bic == pytest.approx(-table["bic"][0], rel=1e-12)
    assert fit.icl == pytest.approx(-table["icl"][0], rel=1e-12)


@pytest.mark.parametrize(("name", "structure"), cells("table"))
def test_parameters_are_counted_alike(name, structure):
    source = golden(name)
    family = jaxem.families.resolve(structure, rows(name).shape[1])[0]
    counts = [k - 1 + family.num_params(k, rows(name).shape[1]) for k in source["table_num_components"]]
    assert counts == source["table"][structure]["npar"]


# mclust's table comes from starts of its own; these cells end where the partition leads, to 1e-5 in BIC. ICL is not stationary
# there as BIC is, so it agrees to the root of that.
SAME = [("faithful", "EEI"), ("faithful", "EEE"), ("faithful", "VVI"), ("wreath", "VII"), ("wreath", "VVV")]


@pytest.mark.parametrize(("name", "structure"), SAME)
def test_icl_is_that_of_the_table(name, structure):
    source, k = golden(name), golden(name)["num_components"]
    fit = jaxem.fit(rows(name), structure, k, start=np.eye(k)[np.array(source["part"]) - 1], tol=1e-9, max_steps=20_000)
    at = source["table_num_components"].index(k)
    table = source["table"][structure]
    assert fit.bic == pytest.approx(-table["bic"][at], rel=0, abs=1e-5)
    assert fit.icl == pytest.approx(-table["icl"][at], rel=0, abs=5e-3)


@pytest.mark.parametrize(("name", "structure"), [(name, code) for name, fits in golden("prior").items() for code in fits])
def test_em_under_the_default_prior(name, structure):
    source, wanted = golden(name), golden("prior")[name][structure]
    part = np.eye(source["num_components"])[np.array(source["part"]) - 1]
    prior = jaxem.Prior(scale=1e-12) if structure == "EII" else "fraley-raftery"  # there mclust leaves the scale out
    fit = jaxem.fit(rows(name), structure, len(part.T), start=part, prior=prior, tol=1e-9, max_steps=20_000)
    assert fit.converged
    # At the mode of the posterior the likelihood is not stationary: it agrees to the root of what the density does.
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-5)
    assert fit.bic == pytest.approx(-wanted["bic"], rel=0, abs=2e-5)
    assert_params(fit.params, wanted, rows(name).to_numpy(), 1e-5)
