"""Many runs of a user's own model: each is what it is alone, whatever runs beside it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import agree, compiling
from scipy.special import logsumexp

from jaxem import em, restarts
from jaxem._status import Status
from jaxem.accelerate import Squarem
from jaxem.reduce import chunked


class Coins(NamedTuple):
    """Biased coins thrown ten times each, of two kinds: weights and probabilities of heads."""

    throws: int = 10

    def e_step(self, params, heads):
        weights, p = params
        joint = jnp.log(weights)[:, None] + heads * jnp.log(p)[:, None] + (self.throws - heads) * jnp.log1p(-p)[:, None]
        log_prob = jax.scipy.special.logsumexp(joint, axis=0)
        resp = jnp.exp(joint - log_prob)
        return (resp.sum(1), resp @ heads), log_prob.sum()

    def m_step(self, params, stats):
        count, heads = stats
        return count / count.sum(), heads / count / self.throws


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def heads():
    rng = np.random.default_rng(0)
    return rng.binomial(10, np.where(rng.random(200) < 0.4, 0.3, 0.6)).astype(float)


@pytest.fixture(scope="module")
def starts():
    rng = np.random.default_rng(1)
    return np.full((50, 2), 0.5), rng.uniform(0.05, 0.95, (50, 2))


@pytest.fixture(scope="module")
def alone(heads, starts):
    """Every start run beside all others, to the end of the slowest."""
    with jax.enable_x64(True):
        return {
            type(method).__name__: jax.device_get(
                jax.jit(jax.vmap(lambda start, method=method: em.run(Coins(), start, heads, method=method)))(starts)
            )
            for method in (em.EM(), Squarem())
        }


@pytest.mark.parametrize("method", [em.EM(), Squarem()], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("block", [7, None])
def test_a_run_is_what_it_is_alone(heads, starts, alone, method, block):
    runs, wanted = restarts.run(Coins(), starts, heads, method=method, block=block), alone[type(method).__name__]
    assert len(set(runs.num_steps)) > 3, "some wait for others"
    assert abs(runs.num_steps - wanted.num_steps).max() <= 6, "rounding may tip the stopping rule once or twice"
    np.testing.assert_array_equal(runs.status, wanted.status)
    agree(runs.objective, wanted.objective, rtol=1e-9)
    assert all(isinstance(leaf, np.ndarray) and leaf.shape[0] == 50 for leaf in jax.tree.leaves(runs))
    weights, p = runs.params
    joint = np.log(weights)[..., None] + heads * np.log(p)[..., None] + (10 - heads) * np.log1p(-p)[..., None]
    agree(runs.log_likelihood, logsumexp(joint, axis=1).sum(1), rtol=1e-12)


def test_the_best_is_the_highest_of_those_that_have_not_failed(heads, starts):
    weights, p = starts[0][:5].copy(), starts[1][:5].copy()
    p[2] = np.nan
    runs = restarts.run(Coins(), (weights, p), heads, block=4)
    assert [Status(int(status)).name for status in runs.status] == [
        "CONVERGED",
        "CONVERGED",
        "NONFINITE",
        "CONVERGED",
        "CONVERGED",
    ]
    chosen = restarts.best(runs)
    assert chosen.objective == np.nanmax(runs.objective)
    assert chosen.params[1].shape == (2,)
    p[:] = np.nan
    with pytest.raises(RuntimeError, match=r"all 5 runs failed \(5 NONFINITE\)"):
        restarts.best(restarts.run(Coins(), (weights, p), heads))


@pytest.mark.parametrize("max_steps", [0, 1, 25])
def test_no_run_takes_more_steps_than_it_may(heads, starts, max_steps):
    runs = restarts.run(Coins(), starts, heads, max_steps=max_steps, tol=1e-12)
    assert set(runs.num_steps) == {max_steps}
    assert set(runs.status) == {Status.MAX_STEPS}
    assert restarts.best(runs).objective == runs.objective.max()


def test_two_programs_serve_any_number_of_runs(heads, starts, caplog):
    with compiling(caplog) as said:
        restarts.run(Coins(), starts, heads, block=8)
    assert sum("begin" in one for one in said) == sum("onward" in one for one in said) == 1


def test_rows_may_come_in_chunks(heads, starts, alone):
    runs = restarts.run(Coins(), starts, heads, e_step=chunked(Coins().e_step, 64))
    agree(runs.objective, alone["EM"].objective, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"params": (np.full(2, 0.5), np.full((3, 2), 0.4))}, ValueError, "leading axis over the runs"),
        ({"params": (np.array(0.5), np.array(0.5))}, ValueError, r"got shapes \(\), \(\)"),
        ({"params": (np.ones((0, 2)), np.ones((0, 2)))}, ValueError, r"\(0, 2\)"),
        ({"params": ()}, ValueError, "got shapes none"),
        ({"params": (np.full((3, 2), 1), np.full((3, 2), 0.4))}, TypeError, "some are int"),
        ({"params": (np.full((3, 2), 0.5, np.float32), np.full((3, 2), 0.4))}, TypeError, "all be float32 or all be float64"),
        ({"block": 0}, ValueError, "block must be at least 1"),
        ({"data": ["heads", "tails"]}, TypeError, "some of it is a str"),
        ({"data": np.array(["heads"])}, TypeError, "some of it is a ndarray"),
    ],
)
def test_bad_input(heads, starts, change, error, message):
    arguments = {"params": starts, "data": heads, **change}
    with pytest.raises(error, match=message):
        restarts.run(Coins(), **arguments)
