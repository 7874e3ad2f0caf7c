"""The priors as NumPyro statements, and mixtures as NumPyro distributions. Imports layers 0 to 2 and NumPyro."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import multigammaln

from .._linalg import contract, inverse_factor
from ..families.categorical import CategoricalParams
from ..families.gaussian import GaussianParams
from ..families.poisson import PoissonParams
from ..families.student import LEAST, StudentParams
from ..models.mixture import Mixture, MixtureParams
from .gaussian import DIAGONALS


if TYPE_CHECKING:
    from .categorical import CategoricalPrior
    from .gaussian import GaussianPrior
    from .poisson import PoissonPrior
    from .student import StudentPrior


class InverseWishart(dist.Distribution):
    """Inverse Wishart: density ∝ |X|^{-(dof+d+1)/2} exp(-tr(scale X⁻¹)/2).

    Args:
        dof: Degrees of freedom, more than d − 1.
        scale: Scale matrix, shape (..., d, d).
    """

    arg_constraints = {"dof": dist.constraints.positive, "scale": dist.constraints.positive_definite}  # noqa: RUF012 - NumPyro's form
    support: Any = dist.constraints.positive_definite

    def __init__(self, dof: Any, scale: Any, *, validate_args: bool | None = None):
        self.dof, self.scale = jnp.asarray(dof), jnp.asarray(scale)
        batch = jnp.broadcast_shapes(self.dof.shape, self.scale.shape[:-2])
        super().__init__(batch, self.scale.shape[-2:], validate_args=validate_args)

    def log_prob(self, value: Any) -> Any:
        """Log-density of positive definite matrices (..., d, d)."""
        d = self.event_shape[-1]
        whitener, own = inverse_factor(value), inverse_factor(self.scale)
        half_log_det, half_log_scale = _half_log_det(whitener), _half_log_det(own)
        trace = contract("...ij,...jk,...ik->...", whitener, self.scale, whitener)
        constant = 0.5 * self.dof * d * np.log(2.0) + multigammaln(0.5 * self.dof, d)
        return self.dof * half_log_scale - (self.dof + d + 1.0) * half_log_det - 0.5 * trace - constant

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draws, by way of a Wishart."""
        precision = dist.Wishart(self.dof, rate_matrix=self.scale).sample(key, sample_shape)
        return jnp.linalg.inv(precision)


class Normal(dist.Distribution):
    """Normal vectors by whiteners W, WᵀW the inverse covariance: without LAPACK, of which two batches at once can wait for ever on a CPU.

    Args:
        location: Mean, shape (d,).
        whitener: Triangular, shape (..., d, d).
    """

    arg_constraints = {}  # noqa: RUF012 - NumPyro's form
    support: Any = dist.constraints.real_vector

    def __init__(self, location: Any, whitener: Any, *, validate_args: bool | None = None):
        self.location, self.whitener = location, whitener
        super().__init__(whitener.shape[:-2], whitener.shape[-1:], validate_args=False)

    def log_prob(self, value: Any) -> Any:
        """Log-density of vectors (..., d)."""
        white = contract("...ij,...j->...i", self.whitener, value - self.location)
        constant = 0.5 * self.event_shape[0] * np.log(2.0 * np.pi)
        return -_half_log_det(self.whitener) - 0.5 * jnp.sum(white**2, -1) - constant

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draws."""
        factor = inverse_factor(contract("...li,...lj->...ij", self.whitener, self.whitener))
        noise = jax.random.normal(key, self.shape(sample_shape))
        return self.location + contract("...ij,...i->...j", factor, noise)


class MixtureRows(dist.Distribution):
    """One row of a mixture, the allocation summed out.

    Args:
        family: The components' `Family`.
        params: `MixtureParams`.
        num_features: d.
    """

    support: Any = dist.constraints.real_vector
    arg_constraints = {}  # noqa: RUF012 - NumPyro's form

    def __init__(self, family: Any, params: MixtureParams, num_features: int, *, validate_args: bool | None = None):
        self.family, self.params = family, params
        super().__init__((), (num_features,), validate_args=False)

    def log_prob(self, value: Any) -> Any:
        """Log-density of rows (..., d)."""
        rows = jnp.reshape(jnp.asarray(value, float), (-1, self.event_shape[0]))
        joint = Mixture(self.family).log_joint(self.params, rows.T)
        return jnp.reshape(jax.nn.logsumexp(joint, axis=0), jnp.shape(value)[:-1])

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """New rows."""
        which, rows = jax.random.split(key)
        labels = jax.random.categorical(which, self.params.log_weights, shape=(int(np.prod(sample_shape)),))
        drawn = self.family.sample(rows, self.params.components, labels)
        return jnp.reshape(drawn.T, (*sample_shape, self.event_shape[0]))


def gaussian(prior: GaussianPrior, num_components: int, matrices: str = "covariances") -> GaussianParams:
    """Sites `means` and `covariances`, or what else these are called; params."""
    k, d = num_components, prior.location.shape[-1]
    scale = _scale(prior, d) if prior.hierarchical else prior.scale
    covariances = _covariances(prior, k, d, jnp.asarray(scale), matrices)
    whitener = inverse_factor(covariances)
    if prior.shrinkage is None:
        own = jnp.linalg.cholesky(jnp.asarray(prior.location_precision)).T
        means = Normal(prior.location, jnp.broadcast_to(own, (k, d, d)))
    else:
        means = Normal(prior.location, jnp.sqrt(prior.shrinkage) * whitener)
    return GaussianParams(_sample("means", means.to_event(1)), whitener)


def poisson(prior: PoissonPrior, num_components: int) -> PoissonParams:
    """Site `rates`; params."""
    rate = prior.rate
    if prior.hierarchical:
        rate = _sample("scale", dist.Gamma(prior.hyper_shape, prior.hyper_rate).to_event(1))
    gamma = dist.Gamma(prior.shape, rate).expand([num_components, prior.shape.shape[-1]])
    return PoissonParams(_sample("rates", gamma.to_event(2)))


def categorical(prior: CategoricalPrior, num_components: int) -> CategoricalParams:
    """Sites `probabilities_2`, …, of the columns with so many categories, and `probabilities`, which is made of them; params."""
    k, strength = num_components, jnp.asarray(prior.strength)
    chance = jnp.zeros((k, *strength.shape))
    for j, own in enumerate(prior.there):
        chance = chance.at[:, j, own[0]].set(1.0)  # a column with one category has no other choice
    for size, columns in prior.alike().items():
        there = np.array([prior.there[j] for j in columns])
        each = dist.Dirichlet(strength[np.array(columns)[:, None], there]).expand([k, len(columns)])
        drawn = _sample(f"probabilities_{size}", each.to_event(2))
        chance = chance.at[:, np.array(columns)[:, None], there].set(drawn)
    return CategoricalParams(_deterministic("probabilities", chance))


def student(prior: StudentPrior, num_components: int) -> StudentParams:
    """Sites `means`, `scatters` and `dof`; params."""
    k = num_components
    normal = gaussian(prior.normal, k, "scatters")
    if prior.held:
        dof = _deterministic("dof", jnp.full(k, prior.held))
    else:
        above = dist.TransformedDistribution(
            dist.Gamma(prior.dof_shape, prior.dof_rate),
            dist.transforms.AffineTransform(LEAST, 1.0, domain=dist.constraints.positive),
        )
        if prior.common:
            dof = _deterministic("dof", jnp.broadcast_to(_sample("shared_dof", above), (k,)))
        else:
            dof = _sample("dof", above.expand([k]).to_event(1))
    return StudentParams(normal, 1 / dof)


def _scale(prior: GaussianPrior, d: int) -> Any:
    """The scale of the covariances, learned: a matrix, a diagonal, or one number."""
    dof, rate = prior.hyper_dof, jnp.asarray(prior.hyper_rate)
    diagonal = jnp.diagonal(rate)
    if prior.shape == "full":
        return _sample("scale", dist.Wishart(dof, rate_matrix=rate))
    if prior.shape == "diagonal":
        return _sample("scale", dist.Gamma(0.5 * dof * jnp.ones(d), 0.5 * diagonal).to_event(1))
    return _sample("scale", dist.Gamma(0.5 * dof, 0.5 * jnp.mean(diagonal)))


def _covariances(prior: GaussianPrior, k: int, d: int, scale: Any, name: str) -> Any:
    """Covariances (k, d, d) of the structure: a site itself, or made of one and a deterministic site."""
    if prior.shape == "full":
        each = InverseWishart(prior.dof, scale)
        if not prior.pooled:
            return _sample(name, each.expand([k]).to_event(1))
        shared = _sample(name.removesuffix("s"), each)
        return _deterministic(name, jnp.broadcast_to(shared, (k, d, d)))
    scale = jnp.diagonal(scale) if scale.ndim == 2 else scale
    scale = scale if prior.shape == "diagonal" else jnp.mean(scale)
    batch = ([] if prior.pooled else [k]) + ([d] if prior.shape == "diagonal" else [])
    gamma = dist.InverseGamma(0.5 * prior.dof, 0.5 * scale).expand(batch).to_event(len(batch))
    entries = DIAGONALS[name]
    variances = _sample(entries.removesuffix("s") if prior.pooled else entries, gamma)
    wide = variances if prior.shape == "diagonal" else variances[..., None] * jnp.ones(d)
    return _deterministic(name, jnp.broadcast_to(wide, (k, d))[:, :, None] * jnp.eye(d))


def _half_log_det(whitener: Any) -> Any:
    """Half the log-determinant of the matrix that is whitened."""
    return -jnp.sum(jnp.log(jnp.diagonal(whitener, axis1=-2, axis2=-1)), -1)


def _sample(name: str, distribution: Any) -> jax.Array:
    return jnp.asarray(numpyro.sample(name, distribution))


def _deterministic(name: str, value: Any) -> jax.Array:
    return jnp.asarray(numpyro.deterministic(name, value))
