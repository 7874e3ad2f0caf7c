"""Data that hurt: every structure on each of them, with no exception, no NaN, and a sentence where there is no sound answer."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

import jaxem
from jaxem.families.gaussian import STRUCTURES


FULL = tuple(code for code in STRUCTURES if not code.endswith("I"))
RNG = np.random.default_rng(3)
PAIR = np.concatenate([RNG.normal(size=(60, 2)), RNG.normal(size=(60, 2)) * [1.0, 2.0] + [6.0, 3.0]])
N = len(PAIR)


def triples():
    """Two clusters of three points each, far from the rest and from each other."""
    far = [RNG.normal(size=(3, 2)) * 0.5 + centre for centre in ([25.0, 20.0], [-20.0, 5.0])]
    return np.concatenate([PAIR[: N - 6], *far])


# rows; what may have no fit: (structures, smallest K); the choice, if it is to be told; a sentence
HARD = {
    "offset": (PAIR + 1e8, ((), 9), 2, None),
    "scales": (PAIR * [1e6, 1e-6], ((), 9), 2, None),
    "duplicates": (np.repeat(PAIR[::4], 4, axis=0), ((), 9), None, None),
    "integers": (np.round(PAIR), ((), 9), 2, None),
    "constant": (np.column_stack([PAIR, np.ones(N)]), ((), 9), 2, r"'x3' is constant and was left out"),
    "near-collinear": (PAIR @ [[1.0, 1.0], [0.0, 1e-5]], ((), 9), 2, None),
    "collinear": (PAIR[:, :1] * [1.0, 2.0], (FULL, 1), None, r"^Columns 'x1', 'x2' are linearly dependent to rounding: "),
    "clusters of three": (triples(), ((), 9), None, None),
    "outliers": (np.concatenate([PAIR[3:], [[1e4, 0.0], [0.0, -1e4], [3e4, 3e4]]]), (STRUCTURES, 2), None, None),
    "few values": (RNG.integers(0, 2, size=(N, 2)).astype(float), (STRUCTURES, 2), None, None),
}


@pytest.mark.parametrize("name", HARD)
def test_every_structure_has_a_fit_or_a_reason(name):
    rows, (structures, smallest), num_components, sentence = HARD[name]
    selection = jaxem.select(rows, "gaussian", [1, 2, 3], num_restarts=4)
    for _, cell in selection.table.iterrows():
        allowed = cell["family"] in structures and cell["num_components"] >= smallest
        assert np.isfinite(cell["log_likelihood"]) or allowed, (cell["family"], cell["num_components"], cell["status"])
        assert cell["status"] in ("converged", "max_steps", "collapsed", "decreased", "too few distinct rows")
    best = selection.best
    assert best.converged
    assert not best.spurious
    assert np.isfinite(best.params.covariances).all()
    assert num_components in (None, best.num_components)
    assert sentence is None or any(re.search(sentence, said) for said in selection.warnings)


@pytest.mark.parametrize(("name", "structures"), [("offset", ("VVV", "EVE")), ("scales", ("VVV", "EEI"))])
def test_offset_and_scale_change_nothing(name, structures):
    """Where the structure allows: at 1e8 a float64 resolves 1e-8."""
    rows = HARD[name][0]
    half = np.eye(2)[(np.arange(N) >= N // 2).astype(int)]
    jacobian = N * np.log(rows.std(0) / PAIR.std(0)).sum()
    for code in structures:
        plain, hard = (jaxem.fit(x, code, 2, start=half, tol=1e-9) for x in (PAIR, rows))
        assert hard.log_likelihood + jacobian == pytest.approx(plain.log_likelihood, rel=0, abs=1e-4)


def test_more_columns_than_rows():
    """Diagonal structures have fits; why the others have none is said once."""
    rows = np.random.default_rng(5).normal(size=(10, 12))
    selection = jaxem.select(rows, ["EEI", "VII", "VVV", "EVE"], [1, 2], num_restarts=2, moves=False)
    assert selection.best.family in ("EEI", "VII")
    assert not any(code in ("VVV", "EVE") for code, _ in selection.fits)
    told = "There are 10 rows for 12 columns: the likelihood of covariances that are not diagonal has no maximum; "
    assert sum(said.startswith(told) for said in selection.warnings) == 1


def test_more_components_than_the_data_carry():
    """Runs that collapse are counted and never chosen; BIC keeps one component."""
    rows = np.random.default_rng(7).normal(size=(N, 2))
    selection = jaxem.select(rows[: N // 4].repeat(4, axis=0), ["VVV", "VII"], [1, 9], num_restarts=4, weights=np.full(N, 0.25))
    assert selection.best.num_components == 1
    assert selection.table["num_failed"].max() > 0
    assert not any(fit.spurious for fit in selection.ranking())


@pytest.mark.parametrize("name", ["offset", "scales", "integers", "near-collinear", "clusters of three"])
def test_float32_agrees_or_says_so(name):
    """To a thousandth of a nat a row, from the same start."""
    rows = HARD[name][0]
    half = np.eye(2)[(np.arange(N) >= N // 2).astype(int)]
    for code in ("VVV", "EEE", "VEI", "VVE"):
        wide, narrow = (jaxem.fit(rows, code, 2, start=half, dtype=dtype) for dtype in ("float64", "float32"))
        assert narrow.status.failed or abs(narrow.log_likelihood - wide.log_likelihood) < 1e-3 * N, code


@pytest.mark.parametrize("name", ["offset", "scales", "integers", "near-collinear", "duplicates"])
def test_float32_selects_the_same(name):
    """A whole search in either width, up to the true K: above it there are many optima, and two searches may end in different ones."""
    rows = HARD[name][0]
    wide, narrow = (jaxem.select(rows, ["VVV", "EEE"], [1, 2], num_restarts=4, dtype=dtype) for dtype in ("float64", "float32"))
    for cell, fit in wide.fits.items():
        agrees = cell in narrow.fits and abs(narrow[cell].log_likelihood - fit.log_likelihood) < 1e-3 * N
        assert agrees or cell not in narrow.fits or narrow[cell].status.failed, cell
    assert (narrow.best.family, narrow.best.num_components) == (wide.best.family, wide.best.num_components)


def test_more_parameters_than_rows_are_named(rng):
    """Of 2,000 rows of 50 columns BIC takes three full covariances where there are four."""
    selection = jaxem.select(rng.normal(size=(30, 8)), "VVV", [1], num_restarts=1, moves=False)
    for told in (selection.warnings, selection.best.warnings):
        assert sum("44 parameters for 30 rows" in sentence for sentence in told) == 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_component_of_zeros_has_rate_zero(rng, dtype):
    """A column's mean is above 1, a component's rate 0: what Poisson probabilities say of its zeros is 1."""
    counts = np.concatenate([np.zeros(60), rng.poisson(30, 140)])
    found = jaxem.fit(counts, "poisson", 2, num_restarts=4, moves=False, dtype=dtype)
    rest = counts[60:]
    log_likelihood = 60 * np.log(0.3) + 140 * np.log(0.7) + stats.poisson.logpmf(rest, rest.mean()).sum()
    np.testing.assert_allclose(found.params.rates[:, 0], [rest.mean(), 0], rtol=1e-5, atol=1e-12)
    assert abs(found.log_likelihood - log_likelihood) < 0.02
    assert (jaxem.fit(np.zeros(20), "poisson", 1, dtype=dtype).params.rates == 0).all()


def test_markers_that_are_either_there_or_not(rng):
    """Each group lacks what the other has."""
    counts = rng.poisson(np.repeat([[0, 20], [20, 0]], 50, axis=0))
    assert jaxem.select(counts, "poisson", range(1, 4), num_restarts=4).best.num_components == 2
