"""Relabelling undoes permutations that were put in, by every method; merged components are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from jaxem.bayes import relabel


def scrambled(rng, k, draws=200, rows=80):
    """Probabilities (s, n, k) and points (s, k, 1) with the components of each draw in an order of its own."""
    names = rng.integers(0, k, rows)
    sure = np.log(0.2 / k + 0.8 * np.eye(k)[names]) + 0.3 * rng.normal(size=(draws, rows, k))
    probabilities = np.exp(sure) / np.exp(sure).sum(-1, keepdims=True)
    points = 3.0 * np.arange(k)[None, :, None] + 0.3 * rng.normal(size=(draws, k, 1))
    orders = rng.permuted(np.tile(np.arange(k), (draws, 1)), axis=1)
    mixed = np.take_along_axis(probabilities, orders[:, None, :], axis=2)
    return probabilities, relabel.apply(orders, points), mixed, orders, names


@pytest.mark.parametrize("k", [2, 4, 7])  # 7: by assignment, not by trying all permutations
def test_every_method_undoes_scrambling(rng, k):
    _, points, mixed, orders, names = scrambled(rng, k)
    start = 0.1 / k + 0.9 * np.eye(k)[names]
    target = 3.0 * np.arange(k)[:, None]
    found = {
        "stephens": relabel.stephens(mixed, start),
        "ecr": relabel.ecr(mixed.argmax(-1), k, names),
        "pivot": relabel.pivot(points, target),
    }
    for order in found.values():
        assert (np.take_along_axis(orders, order, axis=1) == np.arange(k)).all()


def test_names_are_consistent_without_a_start(rng):
    _, _, mixed, orders, _ = scrambled(rng, 3)
    for order in (relabel.stephens(mixed), relabel.ecr(mixed.argmax(-1), 3)):
        assert len(np.unique(np.take_along_axis(orders, order, axis=1), axis=0)) == 1


def test_draws_without_a_naming_are_counted(rng):
    _, points, *_ = scrambled(rng, 3)
    target = 3.0 * np.arange(3)[:, None]
    assert relabel.non_permutation_share(points, target) == 0
    merged = points.copy()
    merged[:60, np.arange(3)] = np.array([0.0, 0.1, 6.0])[:, None]  # two components in one place, none in the middle
    assert relabel.non_permutation_share(merged, target) == pytest.approx(0.3)
