"""EM as scikit-learn runs it: a method of the engine. Imports layers 0 and 1."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .. import protocol
from .._pytree import pytree, replace
from .._status import Status
from .._typing import Array, Float, Int, Scalar
from ..em import EStep, select


@pytree
class AverageGainState:
    """A run between two steps.

    Attributes:
        params: The point after the last M-step.
        log_likelihood: That of the point before it, in nats.
        objective: The same per unit of weight: scikit-learn's lower bound.
        num_steps: Steps taken.
        status: A `Status`.
    """

    params: Any
    log_likelihood: Float[Array, "*l"]
    objective: Float[Array, "*l"]
    num_steps: Int[Array, "*l"]
    status: Int[Array, "*l"]


@pytree
class AverageGain:
    """E-step, then M-step; stopped where the mean log-likelihood of a row changes by less than `tol`.

    Differs from `em.EM` in what it reports (the params are a step ahead of the log-likelihood) and in what `tol` means: a small step
    is lack of progress, not convergence. It is here to give the same answer as scikit-learn.
    """

    def from_params(self, model: Any, params: Any, data: Any) -> AverageGainState:
        """The state whose first step is an E-step at `params`."""
        low = jnp.asarray(-jnp.inf, data.x.dtype)
        zero = jnp.zeros((), jnp.int32)
        return AverageGainState(params, low, low, zero, jnp.asarray(Status.RUNNING, jnp.int32))

    def step(
        self, model: Any, state: AverageGainState, data: Any, tol: Scalar, e_step: EStep | None = None
    ) -> AverageGainState:
        """One E-step and one M-step; where a covariance is singular the run has COLLAPSED and keeps its last good point."""
        stats, log_likelihood = (e_step or model.e_step)(state.params, data)
        params = model.m_step(state.params, stats)
        bound = log_likelihood / protocol.magnitude(model, stats)
        sound = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params.components)]))
        still = jnp.abs(bound - state.objective) < tol
        after = jnp.where(still, Status.CONVERGED, Status.RUNNING)
        return replace(
            state,
            params=select(sound, params, state.params),
            log_likelihood=log_likelihood,
            objective=bound,
            num_steps=state.num_steps + 1,
            status=jnp.where(sound, after, Status.COLLAPSED).astype(jnp.int32),
        )
