"""The posterior's peak, and the Gaussian that fits it there. Imports layers 0 to 2, model and NumPyro.

Everything happens in NumPyro's unconstrained coordinates of the model's sites, flattened to one vector u. `Peak.factor` L takes a
standard normal to the Laplace approximation, u = peak + L z: the jitter of the chains' starts, and the coordinates z in which NUTS
moves, whatever the units of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import constrain_fn, log_density, potential_energy, unconstrain_fn

from .._compiler import quick_jit
from .._pytree import pytree
from .._typing import Array, Bool, Float, Scalar
from .model import mixture_model


MOST_STEPS = 100
GAIN = 1e-8  # nats that a further Newton step promises: less is the peak
FLAT = 1e-6  # eigenvalues of the scaled Hessian below this say nothing
REGULAR = 1e-3  # nats that it may promise where no step leads higher
LENGTHS = np.append(0.0, 2.0 ** -np.arange(8))  # of a Newton step, that are tried
BYTES = 2**26  # what the derivatives in a few directions may fill


@pytree
class Peak:
    """A local maximum of the posterior density in unconstrained coordinates.

    Attributes:
        point: u at the maximum, shape (p,).
        factor: L with LLᵀ the inverse of minus the Hessian of the log-density there, shape (p, p).
        log_density: Log of likelihood times prior at the maximum, in unconstrained coordinates.
        log_posterior: The same as a density of the params themselves.
        log_mass: Laplace's estimate of the log of the integral over this maximum.
        regular: Whether the Hessian there is negative definite and the gradient vanishes.
    """

    point: Float[Array, " p"]
    factor: Float[Array, "p p"]
    log_density: Scalar
    log_posterior: Scalar
    log_mass: Scalar
    regular: Bool[Array, ""]


@pytree
class Space:
    """Unconstrained coordinates of a model's sites.

    Attributes:
        prior: A `Prior`.
        x: Rows (n, d).
        example: Values of the sampled sites, for their shapes.
    """

    prior: Any
    x: Any
    example: Any

    @property
    def model(self) -> Callable[..., None]:
        """The NumPyro model."""
        return mixture_model(self.prior, self.example["weights"].shape[-1])

    def flatten(self, values: Any) -> Float[Array, " p"]:
        """Coordinates of values of the sites."""
        return ravel_pytree(unconstrain_fn(self.model, (self.x[:1],), {}, values))[0]

    def unflatten(self, point: Float[Array, " p"]) -> dict[str, Any]:
        """Unconstrained values of the sites."""
        shapes = jax.eval_shape(lambda values: unconstrain_fn(self.model, (self.x[:1],), {}, values), self.example)
        return ravel_pytree(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))[1](jnp.asarray(point))

    def values(self, point: Float[Array, " p"]) -> dict[str, Any]:
        """Values of all sites, deterministic ones included."""
        return constrain_fn(self.model, (self.x[:1],), {}, self.unflatten(point), return_deterministic=True)

    def log_density(self, point: Float[Array, " p"]) -> Scalar:
        """Log of likelihood times prior, as a density of the coordinates."""
        return -jnp.asarray(potential_energy(self.model, (self.x,), {}, self.unflatten(point)))

    def log_posterior(self, point: Float[Array, " p"]) -> Scalar:
        """Log of likelihood times prior, as a density of the sites."""
        return jnp.asarray(log_density(self.model, (self.x,), {}, self.values(point))[0])


@quick_jit()
def peaks(space: Space, starts: Any) -> Peak:
    """The peaks above several starting values of the sites, side by side (a leading axis), by Newton's method."""
    return jax.vmap(lambda values: _peak(space, space.flatten(values)))(starts)


@quick_jit("num_samples", hasty=True)
def samples(key: Any, space: Space, peak: Peak, num_samples: int) -> tuple[Any, Float[Array, " s"]]:
    """Independent draws from the Laplace approximation: values of the sites, and log-ratios of the posterior to it."""
    noise = jax.random.normal(key, (num_samples, peak.point.shape[0]), peak.point.dtype)
    points = peak.point + noise @ peak.factor.T
    ratios = jax.lax.map(space.log_density, points, batch_size=_batch(space)) + 0.5 * jnp.sum(noise**2, 1)
    return jax.vmap(space.values)(points), ratios


def _peak(space: Space, start: Float[Array, " p"]) -> Peak:
    directions = jnp.eye(start.shape[0], dtype=start.dtype)

    def climb(carry):
        """One damped Newton step up, or none; with what the curvature here says."""
        point, *_, count = carry
        gradient, bend_along = jax.linearize(jax.grad(space.log_density), point)
        bend = -jax.lax.map(bend_along, directions, batch_size=_batch(space))
        size = jnp.sqrt(jnp.maximum(jnp.abs(jnp.diagonal(bend)), np.finfo(np.float32).tiny))
        values, vectors = jnp.linalg.eigh(0.5 * (bend + bend.T) / (size[:, None] * size[None, :]))
        steep = jnp.maximum(jnp.abs(values), FLAT)
        along = vectors.T @ (gradient / size)
        trials = point + LENGTHS[:, None] * ((vectors @ (along / steep)) / size)
        heights = jax.vmap(space.log_density)(trials)
        best = jnp.argmax(jnp.where(jnp.isfinite(heights), heights, -jnp.inf))
        promised = 0.5 * jnp.sum(along**2 / steep)
        going = (best > 0) & (promised > GAIN)
        regular = (values[0] > FLAT) & (promised < REGULAR)
        factor = (vectors / jnp.sqrt(steep)) / size[:, None]
        return jnp.where(going, trials[best], point), heights[0], factor, regular, going, count + 1

    begin = (start, jnp.zeros(()), jnp.zeros_like(directions), jnp.asarray(False), jnp.asarray(True), 0)
    point, density, factor, regular, *_ = jax.lax.while_loop(lambda carry: carry[4] & (carry[5] < MOST_STEPS), climb, begin)
    log_mass = density + jnp.linalg.slogdet(factor)[1] + 0.5 * start.shape[0] * np.log(2 * np.pi)
    return Peak(point, factor, density, space.log_posterior(point), log_mass, regular)


def _batch(space: Space) -> int:
    """Directions, or points, taken side by side."""
    k, (n, d) = space.example["weights"].shape[-1], space.x.shape
    return max(1, BYTES // (8 * k * d * n))
