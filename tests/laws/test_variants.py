"""Every covariance structure under every term: plain, with row weights, under a prior, above a floor, with noise, and with missing
cells, a prior and noise together. EM's laws hold for each.

One program serves all structures of a variant: their letters are numbers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import K, normal
from helpers import agree, jit, pairs

from jaxem import Prior, em, protocol
from jaxem._pytree import replace
from jaxem._status import Status
from jaxem.accelerate import Squarem
from jaxem.families.gaussian import STRUCTURES
from jaxem.families.gaussian.prior import FLOORED
from jaxem.models.mixture import Mixture
from jaxem.padding import pad_components, pad_data, trim_components
from jaxem.patterns import guessed
from jaxem.protocol import Data
from jaxem.reduce import chunked


PRIOR = Prior(shrinkage=0.05, concentration=1.5)
PRIORS = {"prior": PRIOR, "floor": Prior(shrinkage=0, scale=0, floor=0.4), "together": PRIOR}
NOISES = {"noise": np.float64(-6.0), "together": np.float64([-2.5, -2.0, -1.5])}  # column by column where cells are missing
VARIANTS = ("plain", "weights", "prior", "floor", "noise", "together")
CASES = {code: normal(code, 3) for code in STRUCTURES}
CELLS = [(code, variant) for variant in VARIANTS for code in STRUCTURES]
CELLS = [(code, variant) for code, variant in CELLS if variant != "floor" or code in FLOORED]

each_cell = pytest.mark.parametrize(("code", "variant"), CELLS, ids=["-".join(cell) for cell in CELLS])


def build(code, variant):
    """The case, the model under the variant's terms, and the data."""
    case = CASES[code]
    weight = np.ones(len(case.x)) if variant == "plain" else case.weight
    family = replace(case.unbound, with_axes=variant != "floor", with_volumes=True).bind(
        case.data.x, weight, case.scale, np.float64
    )
    noise, data = NOISES.get(variant), rows(variant, case, np.arange(len(weight)), weight)
    if variant not in PRIORS:
        return case, Mixture(family, noise), data
    family, told = family.with_prior(PRIORS[variant], K, case.centre, case.scale, weight.sum())
    return case, Mixture(family, noise, np.float64(told["concentration"])), data


def rows(variant, case, which, weight):
    """Some of the rows, with weights; three in a row lack the same cells, so that the programs are the same for any third of each."""
    x = case.data.x[:, which]
    if variant != "together":
        return Data(x, weight)
    gone = np.random.default_rng(1).random((case.d, len(case.x) // 3)).repeat(3, axis=1)[:, which] < 0.25
    return pad_data(np.where(gone, np.nan, x), weight, np.float64, filled=np.where(gone, 1e3, x))


def legal(model, params):
    """The same params, with room for the noise, above the floor."""
    log_weights = params.log_weights + (0.0 if model.noise is None else np.log(0.9))
    return jax.tree.map(np.asarray, settle(model, replace(params, log_weights=log_weights)))


settle = jit(lambda model, params: model.from_free(model.to_free(params)))


@jit
def towards(model, here, there):
    """A thousandth of the way, inside the structure."""
    free = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b, model.to_free(here), model.to_free(there))
    return model.from_free(free)


def whole(model):
    """The E-step, all rows at once."""
    return chunked(model.e_step, 1000)


@jit
def step(model, params, data):
    """One E-step and one M-step, and the objective at either end."""
    stats, log_likelihood = whole(model)(params, data)
    return model.m_step(params, stats), stats, log_likelihood + protocol.log_prior(model, params)


@jit
def expected(model, params, stats, at):
    """What an M-step maximises."""
    return model.complete(params, stats, at) + protocol.log_prior(model, params)


@jit
def run(model, params, data):
    """A run by SQUAREM, with its objective after every step."""
    method, tol, most = Squarem(), jnp.asarray(1e-6), jnp.asarray(60, jnp.int32)
    state = method.from_params(model, params, guessed(data))
    return em.advance(
        lambda state: method.step(model, state, data, tol, whole(model)), state, max_steps=most, num_ticks=most, record=60
    )


@each_cell
def test_objective_never_falls_and_is_that_of_the_params(code, variant, rng):
    case, model, data = build(code, variant)
    state, trace = run(model, legal(model, case.start(rng)), data)
    trace = np.asarray(trace)[~np.isnan(trace)]
    assert state.status in (Status.CONVERGED, Status.MAX_STEPS)
    assert len(trace) >= 5
    assert all(after >= before - 64 * np.finfo(float).eps * (abs(before) + len(case.x)) for before, after in pairs(trace))
    agree(state.objective, step(model, state.params, data)[2])


@each_cell
def test_m_step_is_the_maximum(code, variant, rng):
    case, model, data = build(code, variant)
    at = legal(model, case.params(rng)[1])
    best, stats, _ = step(model, at, data)
    top = expected(model, best, stats, at)
    for _ in range(10):
        other = legal(model, case.params(rng)[1])
        assert expected(model, other, stats, at) < top
        assert expected(model, towards(model, best, other), stats, at) <= top + 1e-9


@each_cell
def test_permutation_of_labels_commutes(code, variant, rng):
    case, model, data = build(code, variant)
    params, order = legal(model, case.params(rng)[1]), np.array([2, 0, 1])
    after, _, objective = step(model, params, data)
    permuted, _, same = step(model, jax.tree.map(lambda leaf: leaf[order], params), data)
    agree((permuted, same), (jax.tree.map(lambda leaf: leaf[order], after), objective), rtol=1e-7, atol=1e-7)


@each_cell
def test_absent_components_stay_absent(code, variant, rng):
    case, model, data = build(code, variant)
    params = legal(model, case.params(rng)[1])
    after, _, objective = step(model, params, data)
    padded, _, same = step(model, pad_components(params, K + 2), data)
    assert (padded.log_weights[K:] == -np.inf).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(padded.components))
    agree((trim_components(padded, K), same), (after, objective), rtol=1e-7, atol=1e-7)


@each_cell
def test_a_whole_weight_is_a_repeated_row(code, variant, rng):
    """And a row of weight 0 is not there."""
    case, model, _ = build(code, variant)
    params, every = legal(model, case.params(rng)[1]), np.arange(len(case.x))
    weighted = step(model, params, rows(variant, case, every, every % 3.0))
    repeated = step(model, params, rows(variant, case, every.repeat(every % 3), np.ones(len(every))))
    agree(weighted, repeated, rtol=1e-7, atol=1e-7)
