"""What every family must do by itself: density, statistics, M-step, and the way in and out."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cases import K
from helpers import agree, jit


FAR = 1e4

log_prob = jit(lambda family, params, x: family.log_prob(params, x))
expected_stats = jit(lambda family, params, x, resp: family.expected_stats(params, x, resp))
m_step = jit(lambda family, params, stats: family.m_step(params, stats))


def responsibilities(case, rng):
    """Any responsibilities, times the row weights."""
    return rng.dirichlet(np.ones(K), size=len(case.x)).T * case.weight


def test_density_is_scipys(case, family, rng):
    published, params = case.params(rng)
    got = log_prob(family, params.components, case.data.x) - np.linalg.slogdet(case.scale)[1]
    agree(np.asarray(got), case.log_density(published, case.x), atol=1e-9)


def test_density_sums_to_one(case, rng):
    """By the case's own rule or, of Gaussians, over a grid fine and wide enough for the rectangle rule to be exact to 1e-9."""
    case = case if case.fewer is None else case.fewer()
    published, params = case.params(rng)
    if case.rule is None:
        reach = 9 * np.sqrt(np.diagonal(case.moments(published)[1], axis1=1, axis2=2).max(0)) + 5 * np.diag(case.scale)
        rules = [(c + np.linspace(-m, m, 601), np.full(601, m / 300)) for c, m in zip(case.centre, reach, strict=True)]
    else:
        rules = [case.rule] * case.d
    points, weights = (np.stack(np.meshgrid(*parts)).reshape(case.d, -1) for parts in zip(*rules, strict=True))
    density = np.exp(log_prob(case.family, params.components, case.inside(points.T))) / np.linalg.det(case.scale)
    agree(density @ weights.prod(0), np.ones(K), rtol=1e-9)


def test_statistics_add_over_any_split(case, family, rng):
    _, params = case.params(rng)
    resp = responsibilities(case, rng)
    whole = expected_stats(family, params.components, case.data.x, resp)
    parts = [expected_stats(family, params.components, case.data.x[:, s], resp[:, s]) for s in (slice(40), slice(40, None))]
    agree(jax.tree.map(np.add, *parts), whole)


def test_statistics_are_linear_in_the_weights(case, family, rng):
    _, params = case.params(rng)
    one, other = responsibilities(case, rng), responsibilities(case, rng)
    stats = [expected_stats(family, params.components, case.data.x, resp) for resp in (one, other, 2 * one + 3 * other)]
    agree(jax.tree.map(lambda a, b: 2 * a + 3 * b, *stats[:2]), jax.tree.map(np.asarray, stats[2]))


def test_m_step_is_the_weighted_estimate(case, family, rng):
    published, params = case.params(rng)
    resp = responsibilities(case, rng)
    got = m_step(family, params.components, expected_stats(family, params.components, case.data.x, resp))
    wanted = case.estimate(case.x, resp, published)
    agree(case.family.publish(got, case.centre, case.scale), wanted, rtol=case.accuracy, atol=case.accuracy)


def test_component_without_rows_keeps_its_params(case, family, rng):
    published, params = case.params(rng)
    resp = responsibilities(case, rng) * np.array([[0.0], [1.0], [1.0]])
    got = m_step(family, params.components, expected_stats(family, params.components, case.data.x, resp))
    agree(jax.tree.map(lambda leaf: leaf[0], got), jax.tree.map(lambda leaf: leaf[0], params.components))
    alive = jax.tree.map(lambda leaf: leaf[1:], case.family.publish(got, case.centre, case.scale))
    agree(alive, case.estimate(case.x, resp[1:], published), rtol=case.accuracy, atol=case.accuracy)


def test_publish_and_adopt_are_inverse(case, rng):
    published, params = case.params(rng)
    agree(case.publish(params), published)


def test_free_coordinates_and_back(case, rng):
    _, params = case.params(rng)
    agree(case.model.from_free(case.model.to_free(params)), params)


def test_any_free_point_is_legal(case, rng):
    """Coordinates are free: a random step from a legal point has a finite density, and its weights sum to one."""
    _, params = case.params(rng)
    free = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape), case.model.to_free(params))
    moved = case.model.from_free(free)
    assert np.isfinite(log_prob(case.family, moved.components, case.data.x)).all()
    assert np.exp(moved.log_weights).sum() == pytest.approx(1)


def test_num_params_is_the_dimension(case, rng):
    """Estimates move in a space of `num_params` dimensions when responsibilities move in every direction."""
    resp = rng.dirichlet(np.ones(K), size=len(case.x)).T
    at = case.random(rng)

    def flat(resp):
        return np.concatenate([array.ravel() for array in case.estimate(case.x, resp, at).values()])

    steps = 1e-4 * rng.uniform(-1, 1, size=(40, *resp.shape)) * resp
    tangents = np.stack([(flat(resp + step) - flat(resp - step)) / 2e-4 for step in steps])
    sizes = np.linalg.svd(tangents / (np.abs(tangents).max(0) + 1e-300), compute_uv=False)
    assert (sizes > 1e-5 * sizes[0]).sum() == case.family.num_params(K, case.d)


def test_samples_have_the_moments(case, rng):
    published, params = case.params(rng)
    num = 4000
    labels = np.repeat(np.arange(K), num)
    rows = np.asarray(case.family.sample(jax.random.key(1), params.components, labels)).T @ case.scale.T + case.centre
    for mean, covariance, x in zip(*case.moments(published), rows.reshape(K, num, case.d), strict=True):
        variance = np.diag(covariance)
        assert (np.abs(x.mean(0) - mean) < 5 * np.sqrt(variance / num)).all()
        # the variance of a sample covariance is (s_ij² + s_ii s_jj) / n for a Gaussian, a little more for a Poisson
        error = np.sqrt((covariance**2 + np.outer(variance, variance)) / num)
        assert (np.abs(np.cov(x.T).reshape(covariance.shape) - covariance) < 6 * error).all()


def far_away(case, rng):
    """Unit spread at 10⁴, where float32 resolves 0.001: the family, rows, responsibilities and params near the truth, in float32.

    Counts stay where they are: far from zero they have no unit spread.
    """
    x = (case.data.x + FAR * case.unbound.standardise).astype(np.float32)
    resp = responsibilities(case, rng).astype(np.float32)
    origin, unit = np.zeros(case.d), np.eye(case.d)
    family = case.unbound.bind(x.astype(float), case.weight, unit, np.float32)
    published = case.estimate(x.T.astype(float), 1 + resp.astype(float))
    return family, x, resp, jax.tree.map(np.float32, family.adopt(published, origin, unit))


def test_float32_m_step_survives_data_far_from_zero(case, rng):
    family, x, resp, params = far_away(case, rng)
    with jax.enable_x64(False):
        got = m_step(family, params, expected_stats(family, params, x, resp))
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {np.dtype(np.float32)}
    published = family.publish(got, np.zeros(case.d), np.eye(case.d))
    before = family.publish(params, np.zeros(case.d), np.eye(case.d))
    wanted = case.estimate(x.T.astype(float), resp.astype(float), before)
    agree(published, wanted, rtol=0, atol=2 * np.spacing(np.float32(FAR)))


def test_float32_density_survives_data_far_from_zero(case, rng):
    family, x, _, params = far_away(case, rng)
    with jax.enable_x64(False):
        got = np.asarray(log_prob(family, params, x))
    assert got.dtype == np.float32
    published = family.publish(params, np.zeros(case.d), np.eye(case.d))
    agree(got.astype(float), case.log_density(published, x.T.astype(float)), rtol=1e-5, atol=1e-4)
