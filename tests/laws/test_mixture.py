"""What a mixture of any family must do: the E-step, the expected log joint, and all that must make no difference."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cases import CASES, Case, K
from helpers import agree, identical, jit
from scipy.special import logsumexp, softmax

from jaxem import em
from jaxem._status import Status
from jaxem.models.mixture import Mixture
from jaxem.padding import pad_components, stack, take, trim_components
from jaxem.protocol import Data
from jaxem.reduce import chunked


FEW = [case for case in CASES if case.name in ("VVV-3", "EVE-2", "V-1", "poisson-2")]  # eager, every operation is a program


def one_step(model, params, data):
    """One E-step and one M-step."""
    stats, log_likelihood = model.e_step(params, data)
    return model.m_step(params, stats), stats, log_likelihood


step = jit(one_step)
steps = jit(jax.vmap(one_step, in_axes=(None, 0, None)))
chunks = jit(lambda model, params, data, *, size: chunked(model.e_step, size)(params, data), static_argnames="size")
runs = jit(jax.vmap(lambda model, params, data: em.run(model, params, data, max_steps=30), in_axes=(None, 0, None)))
complete = jit(lambda model, params, stats, at: model.complete(params, stats, at))


def along(model, here, there, stats, t):
    """The expected log joint a share t of the way from one legal point to another; the way stays inside the structure."""
    free = jax.tree.map(lambda a, b: (1 - t) * a + t * b, model.to_free(here), model.to_free(there))
    return model.complete(model.from_free(free), *stats)


slope = jit(jax.grad(along, argnums=4))


@jit
def gradients(model, params, data):
    """Of the log-likelihood and of the expected log joint, in free coordinates."""

    def log_likelihood(free):
        return model.e_step(model.from_free(free), data)[1]

    def expected(free):
        return model.complete(model.from_free(free), stats, params)

    stats, _ = model.e_step(params, data)
    free = model.to_free(params)
    return jax.grad(log_likelihood)(free), jax.grad(expected)(free)


def test_e_step_is_bayes_theorem(case: Case, family, rng):
    published, params = case.params(rng)
    after, _, log_likelihood = step(Mixture(family), params, case.data)
    joint = case.log_joint(published, case.x)
    agree(log_likelihood - case.offset, case.weight @ logsumexp(joint, axis=0))
    resp = softmax(joint, axis=0) * case.weight
    wanted = {"weights": resp.sum(1) / resp.sum(), **case.estimate(case.x, resp, published)}
    agree(case.publish(after), wanted, rtol=max(1e-8, case.accuracy), atol=max(1e-8, case.accuracy))


def test_rows_of_weight_zero_are_invisible(case, family, rng):
    _, params = case.params(rng)
    far = np.full((case.d, 7), 1e3)
    padded = Data(np.concatenate([case.data.x, far], axis=1), np.concatenate([case.weight, np.zeros(7)]))
    agree(step(Mixture(family), params, padded), step(Mixture(family), params, case.data))


@pytest.mark.only_labels
def test_complete_is_the_expected_log_joint(case, family, rng):
    """Up to a constant that the params do not change."""
    (here, at), (one, first), (two, second) = (case.params(rng) for _ in range(3))
    model = Mixture(family)
    _, stats, _ = step(model, at, case.data)
    resp = softmax(case.log_joint(here, case.x), axis=0) * case.weight
    wanted = (resp * (case.log_joint(one, case.x) - case.log_joint(two, case.x))).sum()
    agree(complete(model, first, stats, at) - complete(model, second, stats, at), wanted, rtol=1e-9, atol=1e-7)


def test_gradient_is_that_of_the_expected_log_joint(case, family, rng):
    """Fisher's identity, which saves the finisher a pass over the rows."""
    _, params = case.params(rng)
    of_likelihood, of_expected = gradients(Mixture(family), params, case.data)
    size = max(np.abs(leaf).max() for leaf in jax.tree.leaves(of_expected))
    agree(of_likelihood, of_expected, rtol=1e-9, atol=1e-9 * size)


@pytest.mark.only_labels
def test_m_step_is_the_maximum(case, family, rng):
    """Flat towards every legal point, and above it."""
    model = Mixture(family)
    _, at = case.params(rng)
    best, stats, _ = step(model, at, case.data)
    for _ in range(10):
        _, other = case.params(rng)
        steep = abs(slope(model, best, other, (stats, at), 1.0))
        assert abs(slope(model, best, other, (stats, at), 0.0)) < 100 * case.accuracy * steep
        assert complete(model, best, stats, at) > complete(model, other, stats, at)


def test_permutation_of_labels_commutes(case, family, rng):
    _, params = case.params(rng)
    order = np.array([2, 0, 1])
    after, stats, log_likelihood = step(Mixture(family), params, case.data)
    permuted = step(Mixture(family), jax.tree.map(lambda leaf: leaf[order], params), case.data)
    agree(permuted, (*jax.tree.map(lambda leaf: leaf[order], (after, stats)), log_likelihood))


def test_padding_changes_nothing(case, family, rng):
    _, params = case.params(rng)
    after, stats, log_likelihood = step(Mixture(family), params, case.data)
    padded, padded_stats, padded_likelihood = step(Mixture(family), pad_components(params, K + 2), case.data)
    agree((trim_components(padded, K), trim_components(padded_stats, K), padded_likelihood), (after, stats, log_likelihood))
    assert all((leaf[K:] == 0).all() for leaf in jax.tree.leaves(padded_stats))
    assert (padded.log_weights[K:] == -np.inf).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(padded.components))


@pytest.mark.parametrize("size", [32, 40, 95, 96, 1000])
def test_chunks_change_nothing(case, size, rng):
    """Without and with a remainder, and with fewer rows than one chunk."""
    _, params = case.params(rng)
    _, *whole = step(case.model, params, case.data)
    agree(chunks(case.model, params, case.data, size=size), tuple(whole))


def test_vmap_is_a_loop(case, family, rng):
    model, points = Mixture(family), [case.params(rng)[1] for _ in range(3)]
    batched = steps(model, stack(points), case.data)
    for lane, params in enumerate(points):
        # a component of next to no weight magnifies rounding
        agree(take(batched, lane), step(model, params, case.data), rtol=1e-8)


@pytest.mark.parametrize("one", FEW, ids=lambda case: case.name)
def test_jit_is_eager(one, rng):
    _, params = one.params(rng)
    agree(one_step(one.model, params, one.data), step(one.model, params, one.data))


def test_a_nan_lane_leaves_its_neighbours_alone(case, rng):
    """Bit for bit, over whole runs: the good lanes neither wait for it nor feel it."""
    model, points = case.model, [case.start(rng) for _ in range(3)]
    bad = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), points[1])
    good, with_bad = (runs(model, stack(lanes), case.data) for lanes in (points, [points[0], bad, points[2]]))
    assert with_bad.status[1] == Status.NONFINITE
    for lane in (0, 2):
        identical(take(with_bad, lane), take(good, lane))
