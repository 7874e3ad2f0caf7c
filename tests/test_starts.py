"""Starts are responsibilities, each its own; moves cut and join components and lose no row."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from helpers import identical
from scipy.cluster.hierarchy import linkage

import jaxem
from jaxem import filling, init, moves, ward


K = 3
KINDS = [kind for kind in init.KINDS if kind != "portfolio"]
PORTFOLIO = sorted({init.kind_of("portfolio", restart, univariate=False) for restart in range(20)})


@pytest.fixture(scope="module")
def x():
    return jaxem.datasets.gaussian_mixture(120, K, 2, seed=1).x.T


def draw(x, kind, restart=5, k=K, seed=(0,), weight=None):
    starts = init.Starts(x, np.ones(x.shape[1]) if weight is None else weight, seed)
    return starts._make(kind, k, restart)


def test_starts_are_gone_with_the_search(x):
    """They hold the data, which nothing may keep."""
    starts = init.Starts(x, np.ones(x.shape[1]), (0,))
    for kind in PORTFOLIO:
        starts._made(kind, K, 0)
    gone = weakref.ref(starts)
    del starts
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("kind", sorted({*KINDS, *PORTFOLIO}))
def test_starts_are_responsibilities(x, kind):
    for k, restart in ((1, 0), (2, 5), (5, 5)):
        resp = draw(x, kind, restart, k)
        assert resp.shape == (k, x.shape[1])
        assert (resp >= 0).all()
        np.testing.assert_allclose(resp.sum(0), 1)
        assert (resp.sum(1) > 1).all()


@pytest.mark.parametrize("kind", sorted({*KINDS, *PORTFOLIO}))
def test_further_starts_of_one_component_are_halves_of_the_data(x, kind):
    """Where noise or missing cells leave it several optima."""
    resp = draw(x, kind, 5, 1)
    assert resp.shape == (1, x.shape[1])
    assert (resp >= 0).all()
    assert (resp <= 1).all()
    assert 1 < resp.sum() < x.shape[1] - 1


@pytest.mark.parametrize("kind", sorted({*KINDS, *PORTFOLIO}))
def test_a_start_is_its_own(x, kind):
    """The same whatever was drawn before it; another for another restart or seed, unless there is but one of its kind."""
    starts = init.Starts(x, np.ones(x.shape[1]), (0,))
    for k in (4, 2, K):
        for restart in (9, 2, 5):
            last = starts._make(kind, k, restart)
    identical(last, draw(x, kind))
    if "ward" not in kind:
        assert not np.array_equal(last, draw(x, kind, restart=6))
        assert not np.array_equal(last, draw(x, kind, seed=(1,)))


@pytest.mark.parametrize("kind", ["random-rows", "kmeans++", "kmeans++-lloyd", "ward", "neighbourhoods"])
def test_rows_of_weight_zero_lead_nowhere(x, kind):
    """However far away they are, the rows that count start as if they were not there."""
    far = np.concatenate([x, np.full((2, 8), 50.0)], axis=1)
    weight = np.concatenate([np.ones(x.shape[1]), np.zeros(8)])
    np.testing.assert_allclose(draw(far, kind, weight=weight)[:, : x.shape[1]], draw(x, kind), atol=1e-12)


def test_the_portfolio_mixes_from_the_first():
    kinds = [init.kind_of("portfolio", restart, univariate=False) for restart in range(40)]
    assert len(set(kinds[:5])) >= 4
    assert set(kinds) == set(kinds[:20])
    assert kinds[:2] == ["ward", "ward-whitened"]
    assert not {"ward", "ward-whitened"} & set(kinds[2:])
    assert not any("whitened" in init.kind_of("portfolio", restart, univariate=True) for restart in range(40))


def test_ward_finds_separate_groups():
    sample = jaxem.datasets.gaussian_mixture(200, 4, 2, separation=12.0, seed=2)
    labels = draw(sample.x.T, "ward", k=4).argmax(0)
    assert len(set(zip(labels.tolist(), sample.labels.tolist(), strict=True))) == 4


def test_halves_add_up_and_cut_across_the_long_axis(x):
    resp = draw(x, "random-rows")
    parts = moves.halves(x, np.ones(x.shape[1]), resp)
    np.testing.assert_allclose(parts[:K] + parts[K:], resp)
    long = np.stack([np.linspace(-9, 9, 40), np.tile([-0.1, 0.1], 20)])
    left = moves.halves(long, np.ones(40), np.ones((1, 40)))[0].astype(bool)
    assert set(np.sign(long[0][left])) in ({-1.0}, {1.0})


@pytest.mark.parametrize(
    ("selections", "num_components", "num"),
    [
        (moves.splits(K), K + 1, K),
        (moves.merges(K, [(2, 0), (1, 0)]), K - 1, 2),
        (moves.merge_splits(K, [(2, 0), (1, 0)]), K, 2 * (K - 2)),
        (moves.merge_splits(2, [(1, 0)]), 2, 2),
    ],
    ids=["split", "merge", "split-merge", "two paired anew"],
)
def test_moves_lose_no_row(x, selections, num_components, num):
    parts = moves.halves(x, np.ones(x.shape[1]), draw(x, "random-rows", k=selections[0].shape[1] // 2))
    assert len(selections) == num
    assert len({selection.tobytes() for selection in selections}) == num
    for selection in selections:
        resp = moves.apply(selection, parts)()
        assert resp.shape == (num_components, x.shape[1])
        np.testing.assert_allclose(resp.sum(0), 1)


def test_overlapping_pairs_come_first():
    resp = np.array([[0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 0.1, 0.0], [0.0, 0.0, 0.9, 1.0]])
    pairs = moves.overlapping_pairs(np.ones(4), resp, 2)
    assert [set(pair) for pair in pairs] == [{0, 1}, {1, 2}]


@pytest.mark.parametrize(("n", "d"), [(2, 1), (3, 2), (60, 1), (272, 2), (500, 8)])
def test_ward_cuts_where_scipy_cuts(rng, n, d):
    x = rng.normal(size=(d, n))
    ours, theirs = ward.tree(x), linkage(x.T, "ward")[:, :2].astype(int)
    for k in range(1, min(n, 12)):
        pairs = set(zip(init._cut(ours, n, k).tolist(), init._cut(theirs, n, k).tolist(), strict=True))
        assert len(pairs) == k


def test_one_missing_cell_among_many_rows_is_filled(rng):
    """The rows that one Gaussian is estimated from need not hold it."""
    rows = rng.normal(size=(2, 5 * filling.ROWS))
    rows[0, 1] = np.nan
    assert np.isfinite(filling.filled(rows, np.ones(rows.shape[1]))).all()
