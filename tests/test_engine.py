"""The loop itself, on models small enough to be seen through: statuses, the last good point, tolerances, traces."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import agree, compiling, jit

from jaxem import em
from jaxem._compiler import inlined, quick_jit, quick_options
from jaxem._pytree import pytree
from jaxem._status import Status
from jaxem.accelerate import Squarem
from jaxem.families import gaussian
from jaxem.models.mixture import Mixture, MixtureParams
from jaxem.protocol import Data
from jaxem.quasi_newton import QuasiNewton
from jaxem.reduce import chunked


each_method = pytest.mark.parametrize("method", [em.EM(), Squarem(), QuasiNewton()], ids=lambda method: type(method).__name__)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


class Staircase:
    """A model whose params are a number that every M-step raises by one, and whose objective is any function of it."""

    def __init__(self, objective):
        self.objective = objective

    def e_step(self, params, data):
        return params, self.objective(params)

    def m_step(self, params, stats):
        return stats + 1.0

    def complete(self, params, stats, at):
        return -jnp.sum((params - stats - 1.0) ** 2)


@pytree
class Halfway:
    """Every step goes a share `rate` of the way still to come: the objective's gains shrink by rate²."""

    rate: float

    def e_step(self, params, data):
        return params, -jnp.sum(params**2)

    def m_step(self, params, stats):
        return self.rate * stats


def run(model, start, **options):
    return em.run(model, jnp.asarray(start), None, **options)


@functools.partial(jit, static_argnames="method")
def compiled(model, start, data=None, tol=1e-3, max_steps=2000, *, method=None):
    return em.run(model, start, data, tol=tol, max_steps=max_steps, method=method)


STAIRS = [em.EM(), Squarem()]
each_stair = pytest.mark.parametrize("method", STAIRS, ids=lambda method: type(method).__name__)


@each_stair
def test_a_fall_is_reported_and_undone(method):
    state = run(Staircase(lambda p: jnp.where(p > 2.5, -9.0, p)), 0.0, method=method)
    assert state.status == Status.DECREASED
    assert (float(state.params), float(state.objective)) == (2.0, 2.0)


@each_stair
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_collapse_is_reported_and_undone(method, value):
    state = run(Staircase(lambda p: jnp.where(p > 2.5, value, p)), 0.0, method=method)
    assert state.status == Status.COLLAPSED
    assert (float(state.params), float(state.objective)) == (2.0, 2.0)


@each_method
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_start_without_an_objective_is_nonfinite(method, value):
    state = run(Staircase(lambda p: p + value), 0.0, method=method)
    assert state.status == Status.NONFINITE
    assert state.params == 0.0


@each_stair
def test_steps_run_out(method):
    state = run(Staircase(lambda p: p), 0.0, method=method, max_steps=17)
    assert state.status == Status.MAX_STEPS
    assert state.num_steps == 17
    assert state.params == state.objective


@each_method
def test_a_spike_collapses_and_the_last_good_point_stays(method):
    """Three all but equal rows beside thirty others: a component that finds them has no spread left."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(2, 30)), 4 + 1e-6 * rng.normal(size=(2, 3))], axis=1)
    data = Data(jnp.asarray(x), jnp.ones(x.shape[1]))
    family = gaussian("VVV").bind(x, np.ones(x.shape[1]), np.eye(2), np.float64)
    published = {"means": np.array([[0.0, 0.0], [3.0, 3.0]]), "covariances": np.stack([np.eye(2)] * 2)}
    start = MixtureParams(np.log([0.8, 0.2]), family.adopt(published, np.zeros(2), np.eye(2)))
    state = compiled(Mixture(family), start, data, method=method)
    assert state.status == Status.COLLAPSED
    assert state.num_steps >= 2
    e_step = jit(Mixture(family).e_step)
    (_, at_start), (_, objective) = e_step(start, data), e_step(state.params, data)
    assert float(objective) == pytest.approx(float(state.objective), rel=1e-12)
    assert objective > at_start


@each_stair
@pytest.mark.parametrize("rate", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("tol", [1e-2, 1e-5])
def test_less_than_tol_is_missing_at_the_end(method, rate, tol):
    """Also where a step gains far less than tol: at rate 0.99 the gain still to come is fifty times the last one."""
    state = compiled(Halfway(rate), 10.0, tol=tol, max_steps=10_000, method=method)
    assert state.status == Status.CONVERGED
    assert -tol < state.objective <= 0


@pytree
class OneSided(Halfway):
    """Far out it seems to lead far beyond zero; it never does, and there is nothing beyond."""

    def e_step(self, params, data):
        return params, jnp.where(params >= 0, -params, jnp.nan)

    def m_step(self, params, stats):
        return self.rate * stats + 0.4 * stats**2 / (1 + stats)


@each_stair
def test_a_step_too_far_is_thrown_away(method):
    state = compiled(OneSided(0.5), 100.0, tol=1e-6, method=method)
    assert state.status == Status.CONVERGED
    assert 0 <= state.params < 1e-6


def test_it_stops_when_there_is_nothing_to_gain():
    for method in STAIRS:
        state = run(Halfway(0.5), 0.0, method=method)
        assert state.status == Status.CONVERGED
        assert state.num_steps < 20


@pytest.mark.parametrize(("slope", "status"), [(0.0, Status.CONVERGED), (1e-10, Status.MAX_STEPS)])
def test_it_stops_when_there_is_nothing_but_noise(slope, status):
    """Rounding worse than the model says ends a run where it is level, and not where it climbs by a tenth of the noise a step."""
    climb = Staircase(lambda p: slope * p - 2.0**-p + 1e-9 * jnp.cos(jnp.pi * p))
    state = jit(lambda: run(climb, 0.0, tol=1e-12, max_steps=500))()
    assert state.status == status
    assert state.num_steps == 500 or 100 < state.num_steps < 200


def test_a_prior_belongs_to_the_objective_and_not_to_the_log_likelihood():
    class Believing(Halfway):
        def log_prior(self, params):
            return 7.0 - jnp.sum(params**2)

    model = Believing(0.5)
    state = run(model, 1.0)
    assert state.objective - state.log_likelihood == pytest.approx(7.0, abs=1e-2)
    assert model.log_prior(state.params) == pytest.approx(float(state.objective - state.log_likelihood))


@each_method
def test_an_e_step_may_be_replaced(method):
    """The model's own is not asked for anything then, not even for shapes."""
    calls = []

    class Deaf(Staircase):
        def e_step(self, params, data):
            raise NotImplementedError

    def e_step(params, data):
        calls.append(data)
        return params, -((params - 7.5) ** 2)

    state = em.run(Deaf(None), jnp.asarray(1.0), jnp.zeros(3), e_step=e_step, method=method, max_steps=3)
    assert state.num_steps >= 3
    assert {data.shape for data in calls} == {(3,)}


def test_rows_of_any_data_may_be_taken_in_chunks():
    """Arrays whose last axis goes over the rows, and no others."""

    def e_step(params, data):
        x, weight = data["x"], data["weight"]
        return jnp.sum(weight * x, axis=1), -jnp.sum(weight * (x - params[:, None]) ** 2)

    rng = np.random.default_rng(0)
    data = {"x": jnp.asarray(rng.normal(size=(2, 7))), "weight": jnp.asarray(rng.uniform(size=7))}
    agree(chunked(e_step, 3)(jnp.ones(2), data), e_step(jnp.ones(2), data))
    with pytest.raises(ValueError, match=r"rows along their last axis.* got shapes \(7,\), \(7, 2\): transpose"):
        chunked(e_step, 3)(jnp.ones(2), data | {"x": data["x"].T})


@each_method
def test_params_that_are_no_floats_are_refused(method):
    with pytest.raises(TypeError, match="params must all be float32 or all be float64, but some are int64; convert with"):
        run(Halfway(0.5), 3, method=method)


@each_method
def test_a_log_likelihood_of_many_numbers_is_refused(method):
    with pytest.raises(ValueError, match=r"must each be one number, of shape \(\); the model's are \(1,\) and \(\): sum"):
        run(Staircase(lambda p: p[None]), 0.0, method=method)


@each_stair
def test_no_step_is_a_number_of_steps(method):
    state = run(Halfway(0.5), 1.0, method=method, max_steps=0)
    assert em.Status(int(state.status)) is Status.MAX_STEPS
    assert (float(state.params), float(state.objective), int(state.num_steps)) == (1.0, -1.0, 0)


def test_tolerance_and_steps_are_no_part_of_the_program():
    traces = []

    @jax.jit
    def traced(start, tol, max_steps):
        traces.append(1)
        return em.run(Halfway(0.5), start, None, tol=tol, max_steps=max_steps)

    loose, tight = traced(1.0, 1e-2, 100), traced(2.0, 1e-8, 1000)
    assert tight.objective > loose.objective
    assert len(traces) == 1


@each_method
@pytest.mark.parametrize(("of_params", "of_data"), [("float16", "float16"), ("float32", "float64"), ("float64", "float16")])
def test_mixed_and_half_precision_are_refused(method, of_params, of_data):
    class Nearest(Halfway):
        def e_step(self, params, data):
            return params, -jnp.sum((params - data) ** 2)

        def complete(self, params, stats, at):
            return -jnp.sum((params - self.rate * stats) ** 2)

    arguments = Nearest(0.5), jnp.ones((), of_params), jnp.zeros((), of_data)
    if of_params == "float64":  # what is narrow is widened
        assert em.run(*arguments, method=method, max_steps=3).objective.dtype == np.float64
    else:
        wanted = f"all be float32 or all be float64: the params are {of_params}, the objective .* is {of_data}; convert with"
        with pytest.raises(TypeError, match=wanted):
            em.run(*arguments, method=method, max_steps=3)


@each_method
def test_forward_derivatives_and_no_others(method):
    """The answer moves with the data: a tangent says by how much, as far as the steps that were taken reach."""

    def answer(shift):
        class Shifted(Halfway):
            def e_step(self, params, data):
                return params, -jnp.sum((params - shift) ** 2)

            def m_step(self, params, stats):
                return shift + self.rate * (stats - shift)

            def complete(self, params, stats, at):
                return -jnp.sum((params - shift - self.rate * (stats - shift)) ** 2)

        return em.run(Shifted(0.5), jnp.asarray(9.0), None, tol=1e-9, method=method).params

    value, tangent = jax.jvp(answer, (2.0,), (1.0,))
    assert (float(value), float(tangent)) == pytest.approx((2.0, 1.0), abs=1e-3)
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        jax.grad(answer)(2.0)


def test_trace_is_one_objective_a_tick():
    method = em.EM()
    state = method.init(Halfway(0.5), jnp.asarray(1.0), None)
    step = functools.partial(method.step, Halfway(0.5), data=None, tol=jnp.asarray(1e-12))
    state, trace = em.advance(lambda s: step(s), state, max_steps=4, num_ticks=9, record=6)
    np.testing.assert_allclose(trace, [-(0.25**1), -(0.25**2), -(0.25**3), -(0.25**4), np.nan, np.nan])
    assert state.status == Status.MAX_STEPS


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_a_sentence(status):
    assert len(status.message.split()) >= 4
    assert status.failed == (status in (Status.NONFINITE, Status.DECREASED, Status.COLLAPSED))


def test_a_gradient_needs_complete():
    with pytest.raises(TypeError, match=r"complete\(params, stats, at\), which Halfway lacks"):
        run(Halfway(0.5), 1.0, method=QuasiNewton())


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the quick compiler is for CPUs")
def test_what_xla_flags_ask_for_holds(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    level = "xla_backend_optimization_level"
    assert level in quick_options.__wrapped__(hasty=True)
    monkeypatch.setenv("XLA_FLAGS", f"--{level}=3")
    assert level not in quick_options.__wrapped__(hasty=True)


def test_a_call_waits_for_what_was_compiled_ahead(caplog):
    traced = []

    @quick_jit()
    def double(x):
        traced.append(x.shape)
        return 2 * x

    for _ in range(2):
        double.ahead(np.ones(3))
    with compiling(caplog) as known:
        np.testing.assert_array_equal(double(np.arange(3.0)), [0, 2, 4])
    with compiling(caplog) as new:
        assert double(np.ones(4)).shape == (4,)
    assert (len(known), len(new)) == (0, 1)
    assert traced == [(3,), (4,)]


def test_what_is_inlined_gives_the_same_and_calls_nothing():
    def step(x, y):
        return jnp.where(x > y, jnp.clip(x, 0.0, 1.0), jnp.linalg.norm(y))

    x, y = np.linspace(-1, 2, 7), np.linspace(2, -1, 7)
    for transform in (jax.vmap, jax.jit, lambda function: function):
        np.testing.assert_array_equal(transform(inlined(step))(x, y), transform(step)(x, y))
    plain, flat = (str(jax.make_jaxpr(jax.vmap(function))(x, y)) for function in (step, inlined(step)))
    assert "jit[" in plain
    assert "jit[" not in flat


def test_inlining_writes_no_loop_out(rng):
    """Six columns make five rounds of plane rotations: a loop, whose two cosines stand in the program once."""
    x = rng.normal(size=(6, 50))
    family = gaussian("EVE").bind(x, np.ones(50), np.eye(6), x.dtype)
    params = family.reference(2, 6, x.dtype)
    stats = family.expected_stats(params, x, np.full((2, 50), 0.5))
    assert str(jax.make_jaxpr(family.m_step)(params, stats)).count(" cos ") == 2
