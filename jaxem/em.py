"""EM: one loop over the latent-variable protocol. Owns tolerances, step counts and statuses; knows no model. Imports layer 0 and protocol.

The loop is *rotated*: the state holds params together with the sufficient statistics and the objective at those very params, and
a step is M, then E. What is reported therefore always belongs to the params beside it. Nothing here is jitted or batched: callers
compose `jit` and `vmap` (the lanes do both).

Three methods share the loop, and `run` takes each: `EM` below, `accelerate.Squarem` and, for models with `complete`,
`quasi_newton.QuasiNewton`. A method is a frozen object with `init` and `step`; its state has `params`, `log_likelihood`, `objective`,
`num_steps` and `status`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from . import protocol
from ._compiler import inlined
from ._pytree import pytree, replace
from ._status import Status as Status  # users of `run` find it here
from ._typing import Array, Bool, Float, Int, Number, Scalar


EStep = Callable[[Any, Any], tuple[Any, Scalar]]

MIN_CHECKS = 3  # no verdict on convergence before three gains have been seen
# How often in a row the stopping rule must agree, by bytes of the dtype: float32 takes many a slope for flat.
NUM_HITS = {8: 2, 4: 10}
# Steps without a new peak after which noise is all that is left. Where a step's noise is below the resolution, so many steps have
# agreed NUM_HITS times before: this ends only what rounds worse than its `magnitude` says, a recursion over time in float32.
NUM_LEVEL = 100


class Evaluation(NamedTuple):
    """A point and all that one E-step says of it."""

    params: Any
    stats: Any
    log_likelihood: Scalar
    objective: Scalar
    legal: Bool[Array, ""]  # finite, and not degenerate


def evaluate(model: Any, params: Any, data: Any, e_step: EStep | None = None) -> Evaluation:
    """One E-step at `params`."""
    stats, log_likelihood = (e_step or model.e_step)(params, data)
    objective = log_likelihood + protocol.log_prior(model, params)
    if jnp.ndim(objective):
        raise ValueError(
            f"a log-likelihood and a log-prior must each be one number, of shape (); the model's are {jnp.shape(log_likelihood)} and "
            f"{jnp.shape(protocol.log_prior(model, params))}: sum over the rows, e.g. with jnp.sum"
        )
    legal = jnp.isfinite(objective) & ~protocol.collapsed(model, params, stats)
    return Evaluation(params, stats, log_likelihood, objective, legal)


def resolution(objective: Scalar, size: Scalar) -> Scalar:
    """The smallest difference between two objectives that the dtype can show: 4 eps Σ|ℓ_i|, with |Σ ℓ_i| + size for the sum.

    Measured at fixed points: step-to-step changes reach 2.4 eps Σ|ℓ_i| in float32 and 3.7 in float64.
    """
    return 4 * jnp.finfo(objective.dtype).eps * (abs(objective) + size)


@inlined
def select(condition: Any, yes: Any, no: Any) -> Any:
    """`where` over whole pytrees; the axes of `condition` are the leading ones of every leaf."""

    def leaf(a, b):
        return jnp.where(jnp.reshape(condition, jnp.shape(condition) + (1,) * (jnp.ndim(a) - jnp.ndim(condition))), a, b)

    return jax.tree.map(leaf, yes, no)


def difference(a: Float[Array, " p"], b: Float[Array, " p"]) -> Float[Array, " p"]:
    """a − b, with 0 where both are the same: the log-weight of an absent component is −inf on both sides."""
    return jnp.where(a == b, 0.0, a - b)


def noise(objective: Scalar, size: Scalar) -> Scalar:
    """The largest drop that rounding can explain: half the digits, for a component may be badly conditioned.

    EM cannot lower the objective, so a smaller drop says that there is nothing more to be seen; a larger one is a fault.
    """
    return jnp.sqrt(jnp.finfo(objective.dtype).eps) * (jnp.abs(objective) + size)


def failure(evaluated: Evaluation, gain: Scalar, slack: Scalar) -> Int[Array, ""]:
    """The status of an EM step's outcome.

    | outcome                             | status    |
    |-------------------------------------|-----------|
    | not finite or degenerate            | COLLAPSED |
    | objective fell by more than `slack` | DECREASED |
    | otherwise                           | RUNNING   |
    """
    fell = jnp.where(gain < -slack, Status.DECREASED, Status.RUNNING)
    return jnp.where(evaluated.legal, fell, Status.COLLAPSED).astype(jnp.int32)


def start_failure(evaluated: Evaluation) -> Int[Array, ""]:
    """The status of a given point: NONFINITE where it has no finite objective, COLLAPSED where it is degenerate."""
    finite = jnp.where(evaluated.legal, Status.RUNNING, Status.COLLAPSED)
    return jnp.where(jnp.isfinite(evaluated.objective), finite, Status.NONFINITE).astype(jnp.int32)


@pytree
class EMState:
    """Plain EM between two steps.

    Attributes:
        params: The last good point.
        stats: Its sufficient statistics.
        log_likelihood: Its log-likelihood, in nats.
        objective: log-likelihood + log-prior; never falls beyond rounding.
        gain: What the last step added to the objective; infinite before the first.
        num_hits: How often in a row the stopping rule has agreed.
        peak: The highest objective so far, as far as it can be told from the one before.
        num_level: Steps taken since.
        num_steps: Steps taken (E-steps, the first one not counted).
        status: A `Status`.
    """

    params: Any
    stats: Any
    log_likelihood: Float[Array, "*l"]
    objective: Float[Array, "*l"]
    gain: Float[Array, "*l"]
    num_hits: Int[Array, "*l"]
    peak: Float[Array, "*l"]
    num_level: Int[Array, "*l"]
    num_steps: Int[Array, "*l"]
    status: Int[Array, "*l"]


@pytree
class EM:
    """Plain EM, stopped by Aitken's estimate of the gain still to come (Böhning et al. 1994, AISM 46, sec. 3)."""

    def init(self, model: Any, params: Any, data: Any, e_step: EStep | None = None) -> EMState:
        """The state at `params`, after one E-step."""
        point = evaluate(model, params, data, e_step)
        gain = jnp.full_like(point.objective, jnp.inf)
        zero = jnp.zeros((), jnp.int32)
        status = start_failure(point)
        peak = point.objective
        return EMState(params, point.stats, point.log_likelihood, point.objective, gain, zero, peak, zero, zero, status)

    def step(self, model: Any, state: EMState, data: Any, tol: Scalar, e_step: EStep | None = None) -> EMState:
        """One M-step and one E-step; a failed step keeps the last good point and says so in `status`."""
        point = evaluate(model, model.m_step(state.params, state.stats), data, e_step)
        size = protocol.magnitude(model, state.stats)
        gain = point.objective - state.objective
        ratio = gain / state.gain
        missing = gain * ratio / (1 - ratio)
        seen = (ratio > 0) & (ratio < 1) & (gain < tol) & (missing < tol / 10)
        hit = (state.num_steps + 1 >= MIN_CHECKS) & (seen | (gain <= resolution(state.objective, size)))
        num_hits = jnp.where(hit, state.num_hits + 1, 0)
        rose = point.objective > state.peak + resolution(state.peak, size)
        num_level = jnp.where(rose, 0, state.num_level + 1)
        done = (num_hits >= NUM_HITS[gain.dtype.itemsize]) | (num_level >= NUM_LEVEL)
        status = failure(point, gain, noise(state.objective, size))
        good = status == Status.RUNNING
        after = EMState(
            params=point.params,
            stats=point.stats,
            log_likelihood=point.log_likelihood,
            objective=point.objective,
            gain=gain,
            num_hits=num_hits,
            peak=jnp.where(rose, point.objective, state.peak),
            num_level=num_level,
            num_steps=state.num_steps,
            status=jnp.where(done, Status.CONVERGED, Status.RUNNING).astype(jnp.int32),
        )
        kept = select(good, after, replace(state, status=status))
        return replace(kept, num_steps=state.num_steps + 1)


def advance(
    step: Callable[[Any], Any],
    state: Any,
    *,
    max_steps: int | Int[Array, "*l"],
    num_ticks: int | Int[Array, ""],
    record: int = 0,
) -> tuple[Any, Any]:
    """Take at most `num_ticks` steps, fewer once nothing is RUNNING. The only loop there is.

    Args:
        step: state -> state. A batched state needs a batched step: finished lanes are held as they are.
        state: A method's state, with or without a leading lane axis.
        max_steps: The `num_steps` at which a RUNNING lane becomes MAX_STEPS.
        num_ticks: The most steps to take now.
        record: How many objectives to record, one a tick; further ticks are not recorded.
    Returns:
        The state, and the objectives after each tick, shape (record, ...), NaN where no tick was taken.
    """
    trace = jnp.full((record, *state.objective.shape), jnp.nan, state.objective.dtype)

    def go_on(carry):
        state, _, tick = carry
        return jnp.any(state.status == Status.RUNNING) & (tick < num_ticks)

    def body(carry):
        state, trace, tick = carry
        running = state.status == Status.RUNNING
        after = step(state)
        spent = (after.status == Status.RUNNING) & (after.num_steps >= max_steps)
        after = replace(after, status=jnp.where(spent, Status.MAX_STEPS, after.status).astype(jnp.int32))
        state = select(running, after, state)
        trace = trace.at[tick].set(state.objective, mode="drop") if record else trace
        return state, trace, tick + 1

    state, trace, _ = lax.while_loop(go_on, body, (state, trace, jnp.zeros((), jnp.int32)))
    return state, trace


def refuse_mixed_dtypes(params: Any, objective: Scalar) -> None:
    """The loop carries params and objective on, each in its own dtype, which a step must not change."""
    found = [jnp.asarray(leaf).dtype for leaf in jax.tree.leaves(params)]
    names = {str(dtype) for dtype in [*found, objective.dtype] if jnp.issubdtype(dtype, jnp.floating)}
    if len(names) > 1 or objective.dtype.itemsize not in NUM_HITS:
        of_params = " and ".join(sorted({str(dtype) for dtype in found}))
        raise TypeError(
            f"params and data must all be float32 or all be float64: the params are {of_params}, the objective that the model makes of "
            f"them and the data is {objective.dtype}; convert with jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), ...)"
        )


def refuse_other_than_floats(params: Any) -> None:
    """An M-step divides: whole numbers would come back as others than went in."""
    found = {str(jnp.result_type(leaf)) for leaf in jax.tree.leaves(params)}
    others = sorted(name for name in found if not name.startswith(("float", "bfloat")))
    if others:
        raise TypeError(
            f"params must all be float32 or all be float64, but some are {' and '.join(others)}; convert with "
            "jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), ...), and keep what is not estimated in the model"
        )


def run(
    model: Any,
    params: Any,
    data: Any,
    *,
    tol: Number = 1e-3,
    max_steps: int | Int[Array, ""] = 2000,
    method: Any = None,
    e_step: EStep | None = None,
) -> Any:
    """Run EM from `params` until it converges, fails or has taken `max_steps` steps.

    A stationary point may be a saddle: one run proves nothing, many starts do (`jaxem.restarts.run`).

    `jax.jit`, `jax.vmap` and `jax.jvp` of it work; reverse mode (`jax.grad`) does not, for the loop has no fixed length. The tangent
    is that of the steps taken, not of the maximum: from a start near the end few are taken, and it is wrong, CONVERGED or not. The
    maximum moves with the data as the fixed point of one EM step does, at the cost of two derivatives of that step (below). For its
    errors take `jax.hessian` of the log-likelihood.

    Args:
        model: A `LatentModel`.
        params: Where to start, a pytree of arrays, all float32 or all float64.
        data: What the model's `e_step` takes, in the same dtype.
        tol: In nats of total objective: stop when less than this is estimated to be missing.
        max_steps: The most E-steps to take after the first.
        method: `EM()` (the default), `accelerate.Squarem()` or, where the model has `complete`, `quasi_newton.QuasiNewton()`.
        e_step: In place of `model.e_step`, e.g. `reduce.chunked(model.e_step, 4096)`: rows are then the last axis of all data.
    Returns:
        The method's state: `params`, `log_likelihood`, `objective`, `num_steps`, `status`; `Status(int(state.status))`, from
        `jaxem.em`, has a `name` and a sentence, its `message`.
    Raises:
        TypeError: if params are no floats, if params and data mix dtypes, or are of half precision; if `QuasiNewton` meets a model
            without `complete`.
        ValueError: if the log-likelihood is not one number.
    References:
        Dempster, Laird & Rubin 1977, JRSS-B 39; the stopping rule: Böhning et al. 1994, AISM 46.

    Example:
        A mean to which every step goes 0.6 of the way, and how it moves with the rows.

        >>> class Mean:
        ...     def e_step(self, mean, rows):
        ...         return 0.6 * jnp.sum(rows) + 0.4 * rows.size * mean, -0.3 * jnp.sum((rows - mean) ** 2)
        ...     def m_step(self, mean, stats):
        ...         return stats / 4
        >>> rows = jnp.array([1.0, 2.0, 3.0, 6.0])
        >>> state = run(Mean(), jnp.array(0.0), rows)
        >>> Status(int(state.status)).name
        'CONVERGED'
        >>> def step(mean, rows):
        ...     return Mean().m_step(mean, Mean().e_step(mean, rows)[0])
        >>> by_mean, by_rows = jax.jacfwd(step, (0, 1))(state.params, rows)
        >>> (by_rows / (1 - by_mean)).round(3).tolist()  # of more params: jnp.linalg.solve(jnp.eye(p) - by_params, by_data)
        [0.25, 0.25, 0.25, 0.25]
    """
    refuse_other_than_floats(params)
    method = EM() if method is None else method
    state = method.init(model, params, data, e_step)
    refuse_mixed_dtypes(params, state.objective)
    limit = jnp.asarray(tol, state.objective.dtype)
    most = jnp.asarray(max_steps, jnp.int32)
    state, _ = advance(lambda state: method.step(model, state, data, limit, e_step), state, max_steps=most, num_ticks=most)
    stopped = jnp.where(state.status == Status.RUNNING, Status.MAX_STEPS, state.status)  # where no step was allowed
    return replace(state, status=stopped.astype(jnp.int32))
