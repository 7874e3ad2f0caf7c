"""What every way of running EM must keep: the objective never falls, and what is reported belongs together."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from cases import NUM_ROWS, normal
from helpers import agree, jit, pairs
from scipy.special import logsumexp

from jaxem import em
from jaxem._status import Status
from jaxem.accelerate import Squarem
from jaxem.families.poisson import Poisson, PoissonParams
from jaxem.models.mixture import Mixture, MixtureParams
from jaxem.protocol import Data
from jaxem.quasi_newton import QuasiNewton


METHODS = [em.EM(), Squarem(), QuasiNewton()]
RECORD = 80
TOL = 1e-6

each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)


@functools.partial(jit, static_argnames="method")
def run(model, params, data, max_steps, method, tol=TOL):
    """A run with its objective after every step."""
    state = method.init(model, params, data)
    step = functools.partial(method.step, model, data=data, tol=jnp.asarray(tol))
    return em.advance(lambda state: step(state), state, max_steps=max_steps, num_ticks=max_steps, record=RECORD)


def rounding(objective):
    """What the sum of a hundred log-densities may lose: each is a sum of a few terms of its own size or of size one."""
    return 64 * np.finfo(float).eps * (abs(objective) + NUM_ROWS)


@each_method
def test_objective_never_falls(case, method, rng):
    state, trace = run(case.model, case.start(rng), case.data, RECORD, method)
    trace = np.asarray(trace)[~np.isnan(trace)]
    assert len(trace) >= 10
    assert all(after >= before - rounding(before) for before, after in pairs(trace))
    assert state.objective == trace[-1]


@each_method
@pytest.mark.parametrize("max_steps", [1, 7, 3000])
def test_log_likelihood_is_that_of_the_params(case, method, max_steps, rng):
    """Also when a run is cut short, and not that of the params one step before."""
    ends = (run(case.model, case.start(rng), case.data, max_steps, method)[0] for _ in range(12))
    state = next(state for state in ends if state.status != Status.COLLAPSED)
    joint = case.log_joint(case.publish(state.params), case.x)
    agree(state.log_likelihood - case.offset, case.weight @ logsumexp(joint, axis=0), rtol=1e-9)


@each_method
def test_where_it_converges_em_stands_still(case, method, rng):
    """A thousand steps of plain EM from the end gain less than tol."""
    ends = (run(case.model, case.start(rng), case.data, 3000, method)[0] for _ in range(12))
    state = next(state for state in ends if state.status != Status.COLLAPSED)
    assert state.status == Status.CONVERGED
    further, _ = run(case.model, state.params, case.data, 1000, em.EM(), tol=1e-12)
    assert further.objective - state.objective < TOL


@pytest.mark.parametrize("method", METHODS[1:], ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("code", ["VVV", "EEE", "EEI"])
def test_acceleration_accelerates(code, method, rng):
    """Where components overlap and EM creeps, two thirds of its steps and fewer lead to an optimum."""
    case = normal(code, 2)
    start = case.start(rng)
    creeping, quick = (run(case.model, start, case.data, 3000, how)[0] for how in (em.EM(), method))
    assert creeping.num_steps > 100
    assert quick.status == Status.CONVERGED
    assert quick.num_steps < creeping.num_steps * 2 / 3


def test_a_rate_on_its_way_to_zero_holds_nothing_up():
    """In coordinates in which it runs off, SQUAREM's steps are all its own: 132 of them where EM takes 213, not 47."""
    rng = np.random.default_rng(0)
    rates = np.array([[0.0, 3.0, 1.0], [0.4, 2.0, 2.0]])
    x = rng.poisson(rates[rng.integers(0, 2, 400)]).T.astype(float)
    model, data = Mixture(Poisson(x.mean(1))), Data(x, np.ones(400))
    start = MixtureParams(np.log([0.5, 0.5]), PoissonParams(np.stack([0.8 * x.mean(1), 1.2 * x.mean(1)]) + 0.1))
    creeping, quick = (run(model, start, data, 3000, how)[0] for how in (em.EM(), Squarem()))
    assert quick.status == Status.CONVERGED
    assert quick.params.components.rate.min() < 1e-3
    assert quick.num_steps < creeping.num_steps / 3
