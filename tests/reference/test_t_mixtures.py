"""t mixtures end where direct maximisation does (provenance in README.md)."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pandas as pd
import pytest

import jaxem


HERE = pathlib.Path(__file__).parent
WANTED = json.loads((HERE / "direct_student.json").read_text())
CASES = [(name, dof) for name, problem in WANTED.items() for dof in problem["fits"]]


def code(d: int, dof: str) -> str:
    return ("tV" if d == 1 else "tVVV") + {"free": "", "common": ":equal"}.get(dof, f":{dof}")


@pytest.mark.parametrize(("name", "dof"), CASES, ids=lambda part: part)
def test_em_from_the_same_partition(name, dof):
    problem = WANTED[name]
    wanted, k = problem["fits"][dof], problem["K"]
    rows = pd.read_csv(HERE / "data" / problem["data"])
    part = np.eye(k)[rows.pop("part")]
    d = rows.shape[1]
    fit = jaxem.fit(rows, code(d, dof), k, start=part, tol=1e-6)
    assert fit.converged
    assert fit.num_params == k - 1 + k * (d + d * (d + 1) // 2) + {"free": k, "common": 1}.get(dof, 0)
    at_infinity = max(wanted["dof"]) > 1e6  # the likelihood rises up to the normal distribution
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-4 if at_infinity else 2e-6)
    if at_infinity:
        assert fit.params.dof == 1e6
        return
    order, theirs = np.argsort(fit.params.means[:, 0]), np.argsort(np.reshape(wanted["mean"], (k, d))[:, 0])
    np.testing.assert_allclose(fit.params.dof[order], np.array(wanted["dof"])[theirs], rtol=5e-3)
    np.testing.assert_allclose(fit.params.weights[order], np.array(wanted["pro"])[theirs], rtol=0, atol=2e-4)
    np.testing.assert_allclose(fit.params.means[order], np.reshape(wanted["mean"], (k, d))[theirs], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(fit.params.scatters[order], np.reshape(wanted["scale"], (k, d, d))[theirs], rtol=2e-3, atol=1e-3)


def test_search_finds_the_direct_maximum():
    rows = pd.read_csv(HERE / "data" / "t2_sim_2d.csv").drop(columns="part")
    fit = jaxem.fit(rows, "tVVV", 2, num_restarts=8)
    assert fit.log_likelihood == pytest.approx(WANTED["t2_sim_2d"]["fits"]["free"]["loglik"], rel=0, abs=1e-3)
