"""Conjugate priors of Gaussian components, for the structures whose covariance has one. Imports layer 0, families and NumPyro.

Full covariances are inverse Wishart, diagonal ones inverse gamma in every column, spherical ones inverse gamma; pooled structures have
one for all components. Means are Gaussian: about a common point, in units of the component's own covariance (the normal-inverse-Wishart
prior) or of a fixed one (Richardson & Green's, which may also learn the inverse Wishart's scale from the data).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import families
from .._linalg import contract, inverse_factor, unvech
from .._pytree import pytree, static
from .._typing import Array, Float
from ..families.gaussian import GaussianParams, GaussianStats


FULL, DIAGONAL, SPHERICAL = "full", "diagonal", "spherical"

# code: (is the covariance shared by all components?, its shape)
SHAPES = {
    "VVV": (False, FULL),
    "EEE": (True, FULL),
    "VVI": (False, DIAGONAL),
    "EEI": (True, DIAGONAL),
    "VII": (False, SPHERICAL),
    "EII": (True, SPHERICAL),
    "V": (False, DIAGONAL),
    "E": (True, DIAGONAL),
}

# What the matrices of a component are called, and the entries of diagonal and spherical ones; the singular is what all share.
DIAGONALS = {"covariances": "variances", "scatters": "squared_scales"}


def code_of(family: Any, num_features: int, *others: str) -> str:
    """The code of a structure with a conjugate prior, whatever `jaxem.fit` would take for it; or the name of one of other families.

    Raises:
        ValueError: for another family.
        TypeError: for what is no family.
    """
    codes, known = [one.name for one in families.resolve([family], num_features)], (*SHAPES, *others)
    if len(codes) != 1 or codes[0] not in known:
        given = family if isinstance(family, str) else codes[0]
        raise ValueError(f"family must be one of {', '.join(known)}, got {given!r}")
    return families.resolve(codes, num_features)[0].name  # of one column, an object's code may still be that of several


@pytree
class GaussianPrior:
    """A conjugate prior of Gaussian components; make one with the functions of `jaxem.bayes`.

    Or by hand: `Fit.posterior`, `compare_k` and the mixtures with no fixed number of components check what they are given.

    With Σ a component's covariance: Σ ~ inverse Wishart(dof, scale) has density ∝ |Σ|^{-(dof+d+1)/2} exp(-tr(scale Σ⁻¹)/2). A diagonal
    entry is inverse gamma(dof/2, scale_jj/2), and a spherical variance inverse gamma(dof/2, s/2) with s the mean of scale's diagonal.

    Attributes:
        location: Mean of the means, shape (d,), in the data's units.
        shrinkage: κ in means ~ N(location, Σ/κ): rows that the prior is worth. None for a fixed covariance of the means.
        location_precision: Inverse covariance of the means, shape (d, d); None where `shrinkage` is given.
        dof: Degrees of freedom of the covariances.
        scale: Their scale, shape (d, d); None where it is learned.
        hyper_dof: Degrees of freedom of the scale's own Wishart prior, or None.
        hyper_rate: Inverse of that Wishart's scale matrix, shape (d, d), or None.
        concentration: Dirichlet concentration of each mixing weight.
        family: Code of the structure; the other names that `jaxem.fit` knows become it.
    References:
        Fraley & Raftery 2007, Journal of Classification 24, sec. 3; Richardson & Green 1997, JRSS-B 59, sec. 2.
    """

    location: Any
    shrinkage: Any
    location_precision: Any
    dof: Any
    scale: Any
    hyper_dof: Any
    hyper_rate: Any
    concentration: Any
    family: str = static()

    sampler = "gibbs"

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", code_of(self.family, (np.shape(self.location) or (1,))[-1]))

    @property
    def pooled(self) -> bool:
        """Whether all components share one covariance."""
        return SHAPES[self.family][0]

    @property
    def shared(self) -> tuple[str, ...]:
        """What all components have in common, of what is published."""
        return ("covariances",) if self.pooled else ()

    @property
    def shape(self) -> str:
        """Whether covariances are full, diagonal or spherical."""
        return SHAPES[self.family][1]

    @property
    def hierarchical(self) -> bool:
        """Whether the scale of the covariances is learned."""
        return self.scale is None

    def sample_hyper(self, key: Any) -> Any:
        """The scale of the covariances from its own prior."""
        return self._draw_scale(key, jnp.zeros_like(self._rate), 0.0) if self.hierarchical else None

    def sample(self, key: Any, num_components: int, hyper: Any = None) -> GaussianParams:
        """Components from the prior."""
        k, d = num_components, self.location.shape[-1]
        nothing = GaussianStats(jnp.zeros(k), jnp.zeros((k, d)), jnp.zeros((k, d * (d + 1) // 2)))
        about = GaussianParams(jnp.broadcast_to(self.location, (k, d)), jnp.broadcast_to(jnp.eye(d), (k, d, d)))
        ours, means = jax.random.split(key)
        scale = self._scale(hyper)
        whitener = self._draw_whitener(ours, jnp.zeros(k), jnp.zeros((k, d, d)), scale, 0.0)
        return GaussianParams(self._draw_means(means, about, nothing, whitener), whitener)

    def augment(
        self, key: Any, family: Any, params: GaussianParams, x: Float[Array, "d n"], own: Float[Array, "k n"]
    ) -> tuple[GaussianParams, GaussianStats]:
        """Moments about the components' means of the rows allocated to each: nothing else is latent."""
        return params, family.expected_stats(params, x, own)

    def draw(
        self, key: Any, params: GaussianParams, stats: GaussianStats, hyper: Any = None, rows: Any = None
    ) -> GaussianParams:
        """Covariances given means and rows, then means given covariances and rows.

        Args:
            key: A JAX key.
            params: The current components.
            stats: Moments about their means (`Gaussian.with_residuals().expected_stats`) of the rows allocated to each.
            hyper: The scale of the covariances, where it is learned.
            rows: How many rows there are of each, (k,), where the moments weight them; else that is their count.
        """
        ours, means = jax.random.split(key)
        rows = stats.count if rows is None else rows
        own = unvech(stats.second, params.mean.shape[-1])
        extra = jnp.zeros_like(rows)
        if self.shrinkage is not None:  # the mean tells about the covariance, unless it is about to be drawn from the prior
            off, extra = params.mean - self.location, (rows > 0).astype(rows.dtype)
            own = own + self.shrinkage * extra[:, None, None] * off[:, :, None] * off[:, None, :]
        whitener = self._draw_whitener(ours, rows, own, self._scale(hyper), extra)
        return GaussianParams(self._draw_means(means, params, stats, whitener), whitener)

    def draw_hyper(self, key: Any, params: GaussianParams, hyper: Any, live: Float[Array, " k"]) -> Any:
        """The scale of the covariances given those of the live components."""
        if not self.hierarchical:
            return hyper
        if self.pooled:
            live = jnp.zeros_like(live).at[0].set(1.0)
        precision = contract("k,kli,klj->ij", live, params.whitener, params.whitener)
        if self.shape == SPHERICAL:
            precision = precision[:1, :1]
        return self._draw_scale(key, precision, jnp.sum(live))

    def begin_hyper(self, params: GaussianParams) -> Any:
        """The mean of the scale given all components."""
        if not self.hierarchical:
            return None
        some = params.whitener[:1] if self.pooled else params.whitener
        precision = contract("kli,klj->ij", some, some)
        precision = precision[:1, :1] if self.shape == SPHERICAL else precision
        precision = precision if self.shape == FULL else precision * np.eye(precision.shape[0])
        rate = self._rate if self.shape == FULL else self._rate * np.eye(len(self._rate))
        return (self.hyper_dof + len(some) * self.dof) * jnp.linalg.inv(rate + precision)

    def publish(self, params: GaussianParams) -> dict[str, Any]:
        """Means (…, k, d) and covariances (…, k, d, d)."""
        factor = inverse_factor(contract("...li,...lj->...ij", params.whitener, params.whitener))
        return {"means": params.mean, "covariances": contract("...li,...lj->...ij", factor, factor)}

    def components(self, published: dict[str, Any]) -> GaussianParams:
        """The inverse of `publish`."""
        return GaussianParams(jnp.asarray(published["means"]), inverse_factor(jnp.asarray(published["covariances"])))

    def sites(self, num_components: int) -> GaussianParams:
        """The prior as NumPyro statements: sites `means` and `covariances`, and those that the latter are made of."""
        from . import sites

        return sites.gaussian(self, num_components)

    def site_values(self, published: dict[str, Any], matrices: str = "covariances") -> dict[str, Any]:
        """Values of the sampled sites, from means (k, d) and covariances (k, d, d), or what else these are called."""
        means, covariances = (jnp.asarray(published[name]) for name in ("means", matrices))
        variances = jnp.diagonal(covariances, axis1=-2, axis2=-1)
        name, values = matrices, covariances
        if self.shape != FULL:
            name, values = DIAGONALS[matrices], variances if self.shape == DIAGONAL else variances.mean(-1)
        out = {"means": means, name.removesuffix("s") if self.pooled else name: values[0] if self.pooled else values}
        if self.hierarchical:
            scale = self.begin_hyper(GaussianParams(means, inverse_factor(covariances)))
            out["scale"] = scale if self.shape == FULL else jnp.diagonal(scale) if self.shape == DIAGONAL else scale[0, 0]
        return out

    @property
    def _rate(self) -> Any:
        """The hyperprior's rate in the form of the covariances: (d, d), or (1, 1) for spherical ones."""
        rate = jnp.asarray(self.hyper_rate)
        return jnp.mean(jnp.diagonal(rate)).reshape(1, 1) if self.shape == SPHERICAL else rate

    def _scale(self, hyper: Any) -> Any:
        """The scale of the covariances: (d, d), or (1, 1) for spherical ones."""
        if self.hierarchical:
            return hyper
        scale = jnp.asarray(self.scale)
        return jnp.mean(jnp.diagonal(scale)).reshape(1, 1) if self.shape == SPHERICAL else scale

    def _draw_whitener(self, key: Any, count: Any, scatter: Any, scale: Any, extra: Any) -> Float[Array, "k d d"]:
        """Whiteners given the components' scatter matrices (k, d, d) of `count` + `extra` rows about their means."""
        k, d = scatter.shape[:2]
        count = count + extra
        if self.pooled:
            count, scatter = jnp.sum(count)[None], jnp.sum(scatter, 0)[None]
        if self.shape == SPHERICAL:
            scatter, count = jnp.trace(scatter, axis1=-2, axis2=-1)[:, None, None], count * d
        factor = self._wishart(key, self.dof + count, scale + scatter)
        return jnp.broadcast_to(factor * jnp.eye(d) if self.shape == SPHERICAL else factor, (k, d, d))

    def _draw_scale(self, key: Any, precision: Any, count: Any) -> Any:
        """The scale given the summed inverse covariances of `count` components."""
        factor = self._wishart(key, (self.hyper_dof + count * self.dof)[None], (self._rate + precision)[None])[0]
        return contract("li,lj->ij", factor, factor)

    def _wishart(self, key: Any, dof: Float[Array, " m"], rate: Float[Array, "m d d"]) -> Float[Array, "m d d"]:
        """Lower triangular U with UᵀU ~ Wishart(dof, rate⁻¹), by Bartlett's decomposition; independent gammas if it is not full.

        The Bartlett factor is taken upper triangular (degrees of freedom grow down the diagonal), so that its transpose times the
        whitener of `rate` stays lower triangular.
        """
        m, d = rate.shape[:2]
        eye = jnp.eye(d)
        if self.shape != FULL:
            gammas = jax.random.gamma(key, jnp.broadcast_to(0.5 * dof[:, None], (m, d)))
            return jnp.sqrt(2.0 * gammas / jnp.diagonal(rate, axis1=-2, axis2=-1))[:, :, None] * eye
        diagonal, below = jax.random.split(key)
        gammas = jax.random.gamma(diagonal, 0.5 * (dof[:, None] - d + 1.0 + jnp.arange(d)))
        bartlett = jnp.tril(jax.random.normal(below, (m, d, d)), -1) + jnp.sqrt(2.0 * gammas)[:, :, None] * eye
        return contract("mij,mjl->mil", bartlett, inverse_factor(rate))

    def _draw_means(self, key: Any, about: GaussianParams, stats: GaussianStats, whitener: Any) -> Float[Array, "k d"]:
        """Means given covariances; statistics are about the means of `about`."""
        precision = contract("kli,klj->kij", whitener, whitener)
        prior = self.location_precision if self.shrinkage is None else self.shrinkage * precision
        factor = inverse_factor(prior + stats.count[:, None, None] * precision)
        pull = contract("...ij,...j->...i", prior, self.location - about.mean) + contract("kij,kj->ki", precision, stats.first)
        noise = jax.random.normal(key, about.mean.shape)
        return about.mean + contract("kli,kl->ki", factor, contract("kij,kj->ki", factor, pull) + noise)
