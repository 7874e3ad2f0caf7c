"""L-BFGS with EM's own step as the metric: the last stretch of slow runs. Imports layer 0, protocol and em.

Where components overlap, or there are more of them than the data carry, EM creeps along a flat ridge: thousands of steps, and
SQUAREM still hundreds to thousands. There the log-likelihood is a smooth function to be maximised like any other. Its gradient costs
no further pass over the rows: by Fisher's identity it is the gradient of the expected complete-data log-likelihood at the statistics
in hand. The metric is EM's step z = F(v) − v, which knows the scale of every parameter; pairs of moves correct it (Jamshidian &
Jennrich 1997, JRSS-B 59; Nocedal 1980 for the two loops). All moves are combinations of EM steps and their differences, so linear
constraints among free coordinates (pooled covariances, absent components) hold of themselves.

A proposal may be longer than EM's step by no more than the present reach. One that lowers the objective is thrown away for the EM
step, so the objective never falls, and the reach shrinks; one that was cut to the reach and did well lets it grow. Near a saddle,
where no pair has positive curvature, EM's own step is stretched to the reach. From far away this leaves the start's basin four
times as often as SQUAREM does: use it to finish.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from . import protocol
from ._pytree import pytree, replace, static
from ._status import Status
from ._typing import Array, Bool, Float, Int, Scalar
from .em import MIN_CHECKS, NUM_HITS, EStep, Evaluation, difference, evaluate, failure, noise, resolution, select, start_failure


GIVEN, IMAGE, PROPOSAL = range(3)  # the point in hand: not yet evaluated; EM's own; the quasi-Newton step's
REACH = 16.0  # the longest first proposal, in units of EM's step
GROWTH = 4.0
CURVED = 1e-12  # a pair counts as curved when sᵀy exceeds this share of |s||y|


@pytree
class QuasiNewtonState:
    """One run between two E-steps. Points are flat vectors of free coordinates, p of them; m pairs are remembered.

    Attributes:
        params: The best legal point so far: what is reported.
        log_likelihood: Its log-likelihood, in nats.
        objective: log-likelihood + log-prior at `params`; never falls.
        phase: What `point` is: GIVEN, IMAGE or PROPOSAL.
        point: The point that was evaluated last, shape (p,).
        stats: Its sufficient statistics.
        value: Its objective, −inf where it was not legal.
        base: The last accepted point, shape (p,).
        base_value: Its objective.
        base_gradient: The objective's gradient there, shape (p,).
        base_move: EM's step from there, shape (p,).
        steps: s, differences of accepted points, newest first, shape (m, p).
        bends: y, differences of gradients, sign reversed, shape (m, p).
        lags: h, differences of EM's steps, sign reversed, shape (m, p).
        used: Which pairs count, shape (m,).
        reach: The longest proposal allowed at present, in units of EM's step.
        length: The length of the last proposal, likewise.
        num_plain: Plain EM steps still to take.
        num_hits: How often in a row the stopping rule has agreed.
        num_steps: E-steps taken.
        status: A `Status`.
    """

    params: Any
    log_likelihood: Float[Array, "*l"]
    objective: Float[Array, "*l"]
    phase: Int[Array, "*l"]
    point: Float[Array, "*l p"]
    stats: Any
    value: Float[Array, "*l"]
    base: Float[Array, "*l p"]
    base_value: Float[Array, "*l"]
    base_gradient: Float[Array, "*l p"]
    base_move: Float[Array, "*l p"]
    steps: Float[Array, "*l m p"]
    bends: Float[Array, "*l m p"]
    lags: Float[Array, "*l m p"]
    used: Bool[Array, "*l m"]
    reach: Float[Array, "*l"]
    length: Float[Array, "*l"]
    num_plain: Int[Array, "*l"]
    num_hits: Int[Array, "*l"]
    num_steps: Int[Array, "*l"]
    status: Int[Array, "*l"]


@pytree
class QuasiNewton:
    """The method, for models with `complete`.

    `complete(params, stats, at)` is the expected complete-data log-likelihood of `params`, given the statistics that an E-step at
    params `at` has returned.

    Attributes:
        memory: m, pairs remembered.
    """

    memory: int = static(default=10)

    def from_params(self, model: Any, params: Any, data: Any, e_step: EStep | None = None) -> QuasiNewtonState:
        """The state whose first step is an E-step at `params`. Costs no E-step: of the data only the shapes matter.

        Raises:
            TypeError: if the model has no `complete`.
        """
        if not hasattr(model, "complete"):
            raise TypeError(
                f"QuasiNewton takes its gradient from a model's complete(params, stats, at), which {type(model).__name__} lacks: add "
                "it, or use Squarem() or EM()"
            )
        stats, _ = jax.eval_shape(e_step or model.e_step, params, data)
        free, _ = ravel_pytree(protocol.to_free(model, params))
        low = jnp.asarray(-jnp.inf, free.dtype)
        zero = jnp.zeros((), jnp.int32)
        blank = jnp.zeros_like(free)
        pairs = jnp.zeros((self.memory, free.size), free.dtype)
        return QuasiNewtonState(
            params=params,
            log_likelihood=low,
            objective=low,
            phase=jnp.asarray(GIVEN, jnp.int32),
            point=free,
            stats=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), stats),
            value=low,
            base=free,
            base_value=low,
            base_gradient=blank,
            base_move=blank,
            steps=pairs,
            bends=pairs,
            lags=pairs,
            used=jnp.zeros(self.memory, bool),
            reach=jnp.full((), REACH, free.dtype),
            length=jnp.ones((), free.dtype),
            num_plain=zero + 1,
            num_hits=zero,
            num_steps=zero,
            status=jnp.asarray(Status.RUNNING, jnp.int32),
        )

    def init(self, model: Any, params: Any, data: Any, e_step: EStep | None = None) -> QuasiNewtonState:
        """The state at `params`, after one E-step."""
        state = self.from_params(model, params, data, e_step)
        at = evaluate(model, params, data, e_step)
        size = protocol.magnitude(model, at.stats)
        started = _receive(replace(state, phase=jnp.asarray(IMAGE, jnp.int32)), state.point, at, size)
        return replace(started, num_steps=state.num_steps, status=start_failure(at))

    def step(
        self, model: Any, state: QuasiNewtonState, data: Any, tol: Scalar, e_step: EStep | None = None
    ) -> QuasiNewtonState:
        """One M-step, a gradient, the choice of the next point, one E-step there."""
        _, unravel = ravel_pytree(protocol.to_free(model, state.params))

        def complete(point):
            params = protocol.from_free(model, unravel(point))
            return model.complete(params, state.stats, here) + protocol.log_prior(model, params)

        point: Any = state.point
        here = protocol.from_free(model, unravel(point))
        image, _ = ravel_pytree(protocol.to_free(model, model.m_step(here, state.stats)))
        gradient = jnp.where(jnp.isfinite(point), jax.grad(complete)(point), 0.0)  # an absent component has nowhere to go
        size = protocol.magnitude(model, state.stats)
        state, point = _choose(state, difference(image, point), gradient, tol, size)
        return _receive(state, point, evaluate(model, protocol.from_free(model, unravel(point)), data, e_step), size)


def _choose(state: QuasiNewtonState, move: Any, gradient: Any, tol: Scalar, size: Scalar) -> tuple[QuasiNewtonState, Any]:
    """Take the point in hand as the new base, or refuse it; then the next point to evaluate."""
    given = state.phase == GIVEN
    refused = (state.phase == PROPOSAL) & (state.value < state.base_value - resolution(state.base_value, size))
    taken = ~given & ~refused
    first = ~jnp.isfinite(state.base_value)
    learned = select(taken & ~first, _remember(state, move, gradient), state)
    proposed = state.phase == PROPOSAL
    shorter, longer = jnp.maximum(state.length / GROWTH, 1.0), jnp.maximum(state.reach, GROWTH * state.length)
    reach = jnp.where(refused, shorter, jnp.where(proposed, longer, state.reach))
    direction, slope, length = _two_loops(learned, move, gradient, reach)
    ahead = taken & (state.num_plain <= 0) & (slope > 0)

    gain = state.value - state.base_value
    slack = resolution(state.value, size)
    hit = ((gain >= 0) & (gain < tol / 10) & (slope < tol / 5) & (slope > 0)) | (gain <= slack)
    num_hits = jnp.where(taken & ~first, jnp.where(hit, state.num_hits + 1, 0), state.num_hits)
    enough = (num_hits >= NUM_HITS[state.objective.dtype.itemsize]) & (state.num_steps >= MIN_CHECKS)

    chosen = replace(
        learned,
        phase=jnp.where(given | ~ahead, IMAGE, PROPOSAL).astype(jnp.int32),
        base=jnp.where(taken, state.point, state.base),
        base_value=jnp.where(taken, state.value, state.base_value),
        base_gradient=jnp.where(taken, gradient, state.base_gradient),
        base_move=jnp.where(taken, move, state.base_move),
        reach=reach,
        length=jnp.where(ahead, length, 1.0),
        num_plain=jnp.maximum(state.num_plain - taken, 0),
        num_hits=num_hits,
        status=jnp.where(enough, Status.CONVERGED, state.status).astype(jnp.int32),
    )
    onward = chosen.base + jnp.where(ahead, direction, chosen.base_move)
    return chosen, jnp.where(given, state.point, onward)


def _remember(state: QuasiNewtonState, move: Any, gradient: Any) -> QuasiNewtonState:
    """The state with one more pair; a pair without positive curvature empties the memory."""
    step = difference(state.point, state.base)
    bend = state.base_gradient - gradient
    lag = state.base_move - move
    curved = jnp.sum(step * bend) > CURVED * jnp.sqrt(jnp.sum(step**2) * jnp.sum(bend**2))
    good = curved & (jnp.sum(bend * lag) > 0) & jnp.all(jnp.isfinite(lag))

    def push(pairs, new):
        return jnp.concatenate([jnp.where(good, new, 0.0)[None], pairs[:-1]])

    return replace(
        state,
        steps=push(state.steps, step),
        bends=push(state.bends, bend),
        lags=push(state.lags, lag),
        used=jnp.concatenate([good[None], state.used[:-1]]) & good,
    )


def _two_loops(state: QuasiNewtonState, move: Any, gradient: Any, reach: Scalar) -> tuple[Any, Scalar, Scalar]:
    """The quasi-Newton direction at the newest base, cut to the reach; the gain it promises if it is not cut; its length."""
    inner = jnp.sum(state.steps * state.bends, axis=1)
    rho = jnp.where(state.used, 1 / jnp.where(state.used, inner, 1.0), 0.0)

    def newest_first(carry, pair):
        left, ahead = carry
        step, bend, lag, weight = pair
        share = weight * jnp.sum(step * left)
        return (left - share * bend, ahead - share * lag), share

    def oldest_first(ahead, pair):
        step, bend, weight, share = pair
        return ahead + step * (share - weight * jnp.sum(bend * ahead)), None

    (_, ahead), shares = jax.lax.scan(newest_first, (gradient, move), (state.steps, state.bends, state.lags, rho))
    ahead, _ = jax.lax.scan(oldest_first, ahead, (state.steps, state.bends, rho, shares), reverse=True)
    slope = jnp.sum(ahead * gradient)
    length = jnp.sqrt(jnp.sum(ahead**2) / jnp.sum(move**2))
    scale = jnp.where(jnp.any(state.used), jnp.minimum(1.0, reach / length), reach / length)
    return scale * ahead, jnp.where(jnp.isfinite(slope * scale), slope, -1.0), scale * length


def _receive(state: QuasiNewtonState, point: Any, at: Evaluation, size: Scalar) -> QuasiNewtonState:
    """Take in an evaluated point: remember it if it is the best, and judge it if it was plain EM's own."""
    value = jnp.where(at.legal, at.objective, -jnp.inf)
    better = at.legal & (value > state.objective)
    gain = jnp.where(jnp.isfinite(state.base_value), at.objective - state.base_value, jnp.inf)
    failed = failure(at, gain, noise(state.base_value, size))
    judge = (state.status == Status.RUNNING) & (state.phase != PROPOSAL)
    return replace(
        state,
        params=select(better, at.params, state.params),
        log_likelihood=jnp.where(better, at.log_likelihood, state.log_likelihood),
        objective=jnp.where(better, value, state.objective),
        point=point,
        stats=at.stats,
        value=value,
        num_steps=state.num_steps + 1,
        status=jnp.where(judge, failed, state.status).astype(jnp.int32),
    )
