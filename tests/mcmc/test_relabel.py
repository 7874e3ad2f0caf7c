"""Relabelling undoes permutations that were put in, by every method; merged components are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from jaxem.bayes import GaussianPrior, relabel, sampling


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


def test_what_components_share_does_not_part_the_draws(rng):
    """Two means one apart with sd 0.3, the second of them far away in a draw of twenty, and one variance for both."""
    prior = GaussianPrior(np.zeros(1), 0.01, None, 3.0, np.eye(1), None, None, 1.0, family="E")
    means = np.array([[0.0], [1.0]]) + 0.3 * rng.normal(size=(1, 2000, 2, 1))
    empty = rng.random((1, 2000)) < 0.05
    means[empty, 1] = 10 * rng.normal(size=(empty.sum(), 1))
    shared = np.exp(0.3 * rng.normal(size=(1, 2000, 1, 1, 1))) * np.ones((1, 1, 2, 1, 1))
    points = sampling._points(prior, {"means": means, "covariances": shared})
    assert relabel.non_permutation_share(points, np.array([[0.0], [1.0]])) < 0.2  # with the variance it was 0.9


@pytest.mark.parametrize(("family", "own"), [("VVV", 6), ("VVI", 6), ("VII", 4), ("EEE", 3), ("EII", 3)])
def test_every_parameter_of_a_component_is_one_coordinate(family, own):
    prior = GaussianPrior(np.zeros(3), 0.01, None, 5.0, np.eye(3), None, None, 1.0, family=family)
    draws = {"means": np.zeros((2, 5, 2, 3)), "covariances": np.broadcast_to(np.eye(3), (2, 5, 2, 3, 3))}
    assert sampling._points(prior, draws).shape == (10, 2, own)
