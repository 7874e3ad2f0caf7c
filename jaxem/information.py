"""Observed information: how the log-likelihood bends at a fit, and what that says of its errors. Imports layers 0 to 3.

No family writes down coordinates for this. At a maximum θ = M(s), the image of the statistics s of one E-step, and near it u ↦ M(s + Bu)
runs over the model's legal params, whatever constraints tie them together: B is chosen so that u has as many entries as the model
has free parameters. The log-likelihood's Hessian in u is exact (automatic differentiation of the accurate form), and because the
gradient is zero at the maximum, what it says of the published numbers does not depend on the choice of u.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from . import again, protocol, resampling
from . import families as family_names
from ._compiler import quick_jit
from ._precision import precision
from ._pytree import pytree, replace
from ._typing import Array, Float, Scalar
from .models.mixture import MixtureParams
from .options import Options
from .padding import take
from .problem import Problem
from .reduce import chunked


NEWTON_STEPS = 12  # a fit to tol = 1e-3 needs three
AT_MAXIMUM = 1e-12  # nats that a further Newton step would gain
SINGULAR = 1e-9  # smallest eigenvalue of the information, scaled to a unit diagonal, that can still be inverted
DEGENERATE = 1e-11  # smallest singular value of the coordinates, relative to the largest
BYTES = 2**26  # what the derivatives of one chunk of rows, or of some columns of a Hessian, may fill
LEAST_CHUNK = 16
MOST_ROWS = 2**20  # in one E-step
STEP = 1e-4  # of central differences of the published numbers, which are smooth and cost nothing


@pytree
class Curvature:
    """The log-likelihood around one point, in local coordinates u.

    Attributes:
        free: The point in the model's free coordinates, flat, shape (q,).
        tangent: Derivative of the free coordinates by u, orthonormal columns, shape (q, p).
        gradient: Of the objective by u, shape (p,).
        information: Minus the Hessian of the objective, shape (p, p).
        scores: Σ w s sᵀ over the rows' own gradients s, shape (p, p); Σ w² s sᵀ where weights count no rows.
        breadth: Smallest over largest singular value of the coordinates.
    """

    free: Float[Array, " q"]
    tangent: Float[Array, "q p"]
    gradient: Float[Array, " p"]
    information: Float[Array, "p p"]
    scores: Float[Array, "p p"]
    breadth: Scalar


def curvature(model: Any, params: Any, data: Any, num_params: int, design: Any = False) -> Curvature:
    """The log-likelihood's first and second derivatives on the model's own surface, at the EM image of `params`.

    Args:
        model: A `LatentModel` whose `e_step` is a sum over rows.
        params: A point near the maximum.
        data: Its `Data`.
        num_params: Free parameters p.
        design: Whether a row is one observation whatever its weight: the sum of scores then varies by Σ w² s sᵀ.
    """
    stats, _ = chunked(model.e_step, MOST_ROWS)(params, data)
    flat, unravel = ravel_pytree(stats)
    to_params = ravel_pytree(protocol.to_free(model, params))[1]

    def chart(s):
        return ravel_pytree(protocol.to_free(model, model.m_step(params, unravel(s))))[0]

    # Forward mode throughout: an M-step may hold a loop.
    left, singular, right = jnp.linalg.svd(jax.jacfwd(chart)(flat), full_matrices=False)
    tangent, basis = left[:, :num_params], right[:num_params].T / singular[:num_params]
    free = chart(flat)

    def slopes(point, rows):
        """By the coordinates, and by each row's weight: that is the row's own log-likelihood."""

        def log_likelihood(at, weight):
            return model.e_step(protocol.from_free(model, to_params(at)), replace(rows, weight=weight))[1]

        return jax.grad(log_likelihood, (0, 1))(point, rows.weight)

    def log_prior(at):
        return protocol.log_prior(model, protocol.from_free(model, to_params(at)))

    def derivatives(point, rows):
        (slope, _), along = jax.linearize(lambda at: slopes(at, rows), point)
        bend, own = jax.vmap(along)(tangent.T)
        return slope, bend @ tangent, (own * jnp.where(design, rows.weight**2, rows.weight)) @ own.T

    per_row = 8 * ravel_pytree(params)[0].size * num_params
    slope, bend, scores = chunked(derivatives, max(LEAST_CHUNK, BYTES // per_row))(free, data)
    slope = slope + jax.grad(log_prior)(free)
    bend = bend + tangent.T @ jax.hessian(log_prior)(free) @ tangent

    def turned(direction):
        """What the chart's own bend adds to the Hessian, one column of it."""
        along = jax.jacfwd(lambda u: slope @ chart(flat + basis @ u))
        return jax.jvp(along, (jnp.zeros_like(direction),), (direction,))[1]

    per_column = 8 * 8 * flat.size * num_params  # eight arrays at once: measured
    turn = lax.map(turned, jnp.eye(num_params, dtype=free.dtype), batch_size=max(1, BYTES // per_column))
    return Curvature(free, tangent, tangent.T @ slope, -(bend + turn), scores, singular[num_params - 1] / singular[0])


_curvature = quick_jit("num_params")(curvature)


class Local:
    """A fit polished to its maximum on the data it was made from, and what the data say of its errors there.

    Parameters at the end of their range, `num_held` of them, stay there.

    Args:
        fit: A `Fit`.
        data: The data of the fit.
        weights: Its row weights.
        labels: Its labels.
    Raises:
        ValueError: if these are not the data that the fit was made from.
        RuntimeError: if the information matrix is singular, in a sentence that says why.
    """

    def __init__(self, fit: Any, data: Any, weights: Any = None, labels: Any = None):
        self.fit = fit
        self.problem = bound(fit, data, weights, labels, fold=True)
        cell, engine = self.problem.cells[0], self.problem.engine
        self.model = cell.accurate
        design = not resampling.whole(self.problem.table.weight)
        with precision(np.float64):
            params = MixtureParams(
                np.log(fit.params.weights),
                cell.family.adopt(fit.params.asdict(), self.problem.units.centre, self.problem.units.scale),
            )
            if hasattr(cell.family, "pinned"):
                family = self.model.family.pinned(params.components, fit.params.weights * fit.num_rows)
                self.model = replace(self.model, family=family)
                params = jax.device_get(self.model.from_free(self.model.to_free(params)))
            self.num_held = int(getattr(self.model.family, "num_held", lambda _: 0)(params.components))
            size = fit.num_params - self.num_held
            size -= "noise" in fit.terms  # its volume counts as a parameter, and is not one of the likelihood
            for _ in range(NEWTON_STEPS):
                here = jax.device_get(_curvature(self.model, params, engine.data, num_params=size, design=design))
                _refuse(fit, here)
                step = np.linalg.solve(here.information, here.gradient)
                if here.gradient @ step < AT_MAXIMUM:
                    break
                onward = jax.device_get(params_at(self.model, params, (here.free + here.tangent @ step)[None]))
                params = take(onward, 0)  # back on the surface at the next M-step
        self.curvature, self.params = here, params

    def covariance(self, sandwich: bool = False) -> np.ndarray:
        """Asymptotic covariance of the local coordinates, shape (p, p): I⁻¹, or I⁻¹ G I⁻¹ with G the curvature's `scores`."""
        inverse = np.linalg.inv(self.curvature.information)
        return inverse @ self.curvature.scores @ inverse if sandwich else inverse

    def published_covariance(self, flatten: Any, sandwich: bool = False) -> np.ndarray:
        """Covariance of published numbers, by the delta method.

        Args:
            flatten: Takes the arrays that users see, by name and in the fit's order of components, to one vector (m,).
            sandwich: Whether to use the sandwich.
        Returns:
            Shape (m, m).
        """
        family, problem = self.model.family, self.problem

        def published(points: Any) -> np.ndarray:
            with precision(np.float64):
                params = jax.device_get(params_at(self.model, self.params, points))
            values = []
            for point in range(len(points)):
                here = take(params, point)
                arrays = family.publish(here.components, problem.units.centre, problem.units.scale)
                values.append(flatten({"weights": np.exp(here.log_weights), **arrays}))
            return np.array(values)

        slope = delta(self.curvature, published)
        return slope.T @ self.covariance(sandwich) @ slope


def delta(point: Curvature, published: Callable[[Any], np.ndarray]) -> np.ndarray:
    """The derivative by the local coordinates of what is published, by central differences with an error of O(STEP⁴), shape (p, m).

    Args:
        point: Where.
        published: From flat free coordinates (r, q) to numbers (r, m).
    """
    reach = STEP * np.array([1.0, -1.0, 0.5, -0.5])
    points = point.free + (reach[:, None, None] * point.tangent.T).reshape(-1, len(point.free))
    up, down, half_up, half_down = np.reshape(published(points), (4, point.tangent.shape[1], -1))
    return (4 * (half_up - half_down) / STEP - (up - down) / (2 * STEP)) / 3  # Richardson


@jax.jit
def params_at(model: Any, params: Any, points: Any) -> Any:
    """Params at flat free coordinates, shape (m, q); `params` shows the shapes."""
    unravel = ravel_pytree(protocol.to_free(model, params))[1]
    return jax.vmap(lambda point: protocol.from_free(model, unravel(point)))(points)


def bound(fit: Any, data: Any, weights: Any = None, labels: Any = None, *, fold: bool = False) -> Problem:
    """The fit's data in internal units, with its family bound to them.

    Args:
        fit: A `Fit`.
        data: Its rows.
        weights: Its row weights.
        labels: Its labels.
        fold: Whether rows that are alike may be one, where weights count rows.
    Raises:
        ValueError: if these are not the data that the fit was made from.
    """
    table = again.read(fit, data, weights, labels)
    family = fit._family()
    if fold and resampling.whole(table.weight):
        table = family_names.folded([family], table)
    with precision(np.float64):
        return Problem(table, [family], [fit.num_components], Options.as_of(fit))


def _refuse(fit: Any, here: Curvature) -> None:
    """A sentence where the information cannot be inverted."""
    label = f"{fit.family} with K = {fit.num_components}"
    advice = 'use fewer components or kind="bootstrap"'
    if not (np.isfinite(here.information).all() and here.breadth > DEGENERATE):
        raise RuntimeError(
            f"the information matrix of {label} cannot be formed: a parameter is at the edge of its range; {advice}"
        )
    size = np.sqrt(np.abs(np.diag(here.information)))
    least = np.linalg.eigvalsh(here.information / np.outer(size, size))[0] if size.all() else 0.0
    if least > SINGULAR:
        return
    why = "some parameters are not determined"
    if least < -SINGULAR:
        why = "the fit is no maximum of the likelihood of these data"
        if not fit.converged:
            advice = "it has not converged: go on from it with jaxem.fit(data, family, num_components, start=fit.params)"
    raise RuntimeError(f"the information matrix of {label} is singular: {why}; {advice}")
