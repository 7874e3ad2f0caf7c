"""Gaussian components with any of the 14 covariance structures. Imports layer 0.

Params hold a *whitener* W of each component, WᵀW the inverse covariance: the E-step needs no factorisation. W = diag(δ) F S with
|det F| = 1; F is unit lower triangular or, where the structure speaks of axes, orthogonal in the data's own units, which the diagonal
S restores. In (log δ, F) every structure is linear, so that lines drawn through its points stay inside; an orthogonal F is put back
among the orthogonal matrices. Two ways to the log-densities:

- *moments* (float64): with Φ(x) = (1, x, vech xxᵀ) they are one matrix product θ Φ(x), and the statistics are R Φ(x)ᵀ. Safe while the
  smallest standard deviation of a component is above 1e-4 of the data's (error 2e-8 nats a row there).
- *residuals* (float32, and float64 below that): the mean taken off before anything is squared, moments about the current mean.
  Slower, and right for data at 1e4 with unit spread in float32, where E[x²] − mean² is not.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._compiler import inlined
from ..._linalg import HALVES_TO, contract, inverse_factor, triangle, vech
from ..._parts import parts
from ..._pytree import pytree, replace, static
from ..._typing import Array, Bool, Float, Int, Scalar
from . import degenerate, units
from . import prior as priors
from .axes import JACOBI_TO
from .missing import Observed, observed
from .moments import LOG_2PI, monomials, natural, used, whitened
from .params import GaussianParams, GaussianPoint, GaussianStats, distance, scatter
from .structure import STRUCTURES, UNIVARIATE, Structure, above, structure


@pytree
class Gaussian:
    """Gaussian components of one covariance structure; make one with `gaussian("VVV")`.

    Codes as in mclust: volume, shape and orientation are Equal, Variable, or the Identity's. scikit-learn's full, tied, diag and
    spherical are VVV, EEE, VVI and VII. What a change of the data's units does to a structure:

    | structures                  | free parameters of the covariances, beside K or 1 volumes | fits follow the data under        |
    |-----------------------------|-----------------------------------------------------------|-----------------------------------|
    | VVV EVV EEE VEE             | shape and orientation, shared or not                      | every linear map                  |
    | VVI EVI EEI VEI             | shape, shared or not                                      | scaling of single columns         |
    | VII EII                     | none                                                      | rotation and one common scale     |
    | VVE EVE (common axes)       | shapes, and one orientation                               | rotation and one common scale     |
    | VEV EEV (common shape)      | one shape, and orientations                               | rotation and one common scale     |

    The last six are fitted in the data's own units whatever the internal scaling. The M-step of VVE maximises the likelihood: the
    common axes weigh each component by its own variances. mclust 6.0's does not (it is EVE's), so its VVE fits are lower or equal.

    Attributes:
        structure: The structure's letters; numbers, so that lanes of all structures mix.
        scale: Units of S per internal unit, shape (d,): the data's where the structure is not equivariant under scaling, else 1.
        spread: Covariance of the data in internal units, shape (d, d).
        unit: Weight of one row: what a count of rows is measured in.
        ridge: Added to every covariance in the M-step: a variance in the data's own units squared; once bound, a matrix (d, d) in
            internal ones. Nothing that EM maximises asks for it: 0, except where another package's algorithm is to be followed.
        prior: Prior of the components; None for maximum likelihood.
        residuals: Whether to use the residual form.
        univariate: Whether the data have one column: the structures are then called E and V.
        with_axes: Whether the program has what EVE, VVE, EEV and VEV alone need; with it, lanes of all structures mix.
        with_volumes: Whether it has the loop that VEI, VEE and VEV alone need.
        aligned: Whether the program is for diagonal covariances only, and does without the products of two columns.

    References:
        Banfield & Raftery 1993, Biometrics 49; Celeux & Govaert 1995, Pattern Recognition 28, table 1.
    """

    structure: Structure
    scale: Any = 1.0
    spread: Any = 1.0
    unit: Any = 1.0
    ridge: Any = 0.0
    prior: priors.GaussianPrior | None = None
    residuals: bool = static(default=False)
    univariate: bool = static(default=False)
    with_axes: bool = static(default=False)
    with_volumes: bool = static(default=False)
    aligned: bool = static(default=False)

    standardise = True

    @property
    def name(self) -> str:
        """The structure's code."""
        code = self.structure.code
        return {full: short for short, full in UNIVARIATE.items()}[code] if self.univariate else code

    # Before and after EM, on the host.

    def check(self, x: np.ndarray, columns: list[str]) -> None:
        """Any numbers whose squares are numbers will do."""
        units.check(x, columns)

    def check_rows(self, x: np.ndarray, columns: list[str]) -> None:
        """The same of rows to predict."""
        units.check_rows(x, columns)

    @property
    def full(self) -> bool:
        """Whether covariances need not be diagonal."""
        return not self.structure.aligned

    @property
    def linear(self) -> bool:
        """Whether the structure is equivariant under every linear map of the data."""
        return bool(self.structure.linear)

    def bind(self, x: np.ndarray, weight: np.ndarray, scale: np.ndarray, dtype: Any) -> Gaussian:
        """This family for the rows `x` (d, n) in internal units; `scale` (d, d) takes these to the data's units."""
        total = weight.sum()
        mean = x @ weight / total
        spread = sum((x[:, some] * weight[some]) @ x[:, some].T for some in parts(x.shape[1])) / total - np.outer(mean, mean)
        length = np.sqrt((scale**2).sum(1))
        inward = np.linalg.inv(scale)
        own = np.exp(np.log(length) - np.log(length).mean())
        return replace(
            self,
            scale=np.asarray(np.ones_like(own) if self.structure.scalable else own, dtype),
            spread=np.asarray(spread, dtype),
            unit=np.asarray(min(1.0, total / np.count_nonzero(weight)), dtype),
            ridge=np.asarray(self.ridge * inward @ inward.T, dtype),
            residuals=np.dtype(dtype) == np.float32,
        )

    def with_prior(
        self, prior: Any, num_components: int, centre: np.ndarray, scale: np.ndarray, total: float
    ) -> tuple[Gaussian, dict[str, Any]]:
        """This family, once bound to rows of weight `total`, under a `jaxem.Prior`; and the prior's numbers in the data's units."""
        covariance = total / (total - float(self.unit)) * (scale @ np.asarray(self.spread, float) @ scale.T)
        told = priors.settled(prior, self.structure, num_components, centre, covariance)
        inside = priors.inside(told, self.structure, covariance, centre, scale, self.spread.dtype)
        return replace(self, prior=inside), told

    def with_residuals(self) -> Gaussian:
        """The same family in the accurate form."""
        return replace(self, residuals=True)

    def num_params(self, num_components: int, num_features: int) -> int:
        """Means and the free entries of the covariances."""
        return num_components * num_features + self.structure.num_params(num_components, num_features)

    def rows_needed(self, num_features: int) -> Any:
        """Rows that a component needs for its own part of its covariance: none under a prior that keeps that from degenerating."""
        return self.structure.rows_needed(num_features) * (1 if self.prior is None else 1 - self.prior.holds)

    def admissible(self, params: GaussianParams, counts: np.ndarray) -> np.ndarray:
        """Which runs are no spikes, shape (l,): params and `counts` (l, k; infinite where there is no component) have a lane axis."""
        return degenerate.admissible(self, params, counts)

    @property
    def smooth(self) -> bool:
        """Whether the M-step is: a floor bends it."""
        return self.prior is None or self.prior.least is None

    @property
    def shareable(self) -> bool:
        """Whether EM with it calls nothing of LAPACK: no floor, few columns, fewer where there are axes to find."""
        d = np.shape(self.spread)[-1]
        return self.smooth and d <= (JACOBI_TO if self.with_axes else HALVES_TO)

    def alone(self, total: float) -> float | None:
        """The log-likelihood of a single component, as far as the data's covariance tells it; `total` is the weight of the rows."""
        if self.residuals or self.prior is not None or np.any(self.ridge):
            return None
        spread = np.asarray(self.spread, float) * np.outer(self.scale, self.scale)
        volume = self.structure.log_volume(spread) - 2 * np.log(self.scale).sum()
        return -0.5 * total * float(volume + len(spread) * (LOG_2PI + 1))

    def distance(self, a: GaussianParams, b: GaussianParams) -> np.ndarray:
        """How far component i of `a` is from component j of `b`, shape (k, k): means in standard deviations of `a`, log-sds."""
        return distance(a, b)

    def publish(self, params: GaussianParams, centre: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
        """Means (k, d) and covariances (k, d, d) in the data's units."""
        return units.publish(params, centre, scale)

    def adopt(self, published: dict[str, np.ndarray], centre: np.ndarray, scale: np.ndarray) -> GaussianParams:
        """The inverse of `publish`; ValueError if a covariance is not symmetric positive definite."""
        return units.adopt(self, published, centre, scale)

    # Inside the compiled program.

    def reference(self, num_components: int, num_features: int, dtype: Any) -> GaussianParams:
        """Standard normal components, in internal units."""
        eye = np.broadcast_to(np.eye(num_features, dtype=dtype), (num_components, num_features, num_features))
        return GaussianParams(np.zeros((num_components, num_features), dtype), np.array(eye))

    def log_prob(self, params: GaussianParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-density of every row under every component."""
        return self.log_joint(params, jnp.zeros(len(params.mean), x.dtype), x)

    @inlined
    def log_joint(self, params: GaussianParams, log_weights: Float[Array, " k"], x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """The same with log-weights added: in the constant of θ they cost nothing."""
        log_peak = self.log_peak(params) + log_weights
        if self.residuals:
            white = whitened(params.whitener, params.mean, x)
            return log_peak[:, None] - 0.5 * jnp.sum(white**2, axis=1)
        used = self.used(x.shape[0])
        log_peak = jnp.maximum(log_peak, jnp.finfo(x.dtype).min / 4)  # a matrix product may take −∞ apart, into ∞ − ∞
        return contract("kf,fn->kn", self._natural(params, log_peak)[:, used], monomials(x, used))

    @inlined
    def squares(self, params: GaussianParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Squared distances of every row from every mean, in units of the component (Mahalanobis)."""
        if self.residuals:
            return jnp.sum(whitened(params.whitener, params.mean, x) ** 2, axis=1)
        used = self.used(x.shape[0])
        theta = self._natural(params, jnp.zeros(len(params.mean), x.dtype))[:, used]
        return jnp.maximum(-2 * contract("kf,fn->kn", theta, monomials(x, used)), 0.0)

    def observed(self, params: GaussianParams, missing: Int[Array, " q"]) -> Observed:
        """The components where the columns `missing` are not seen: marginal densities, and statistics by conditional expectation."""
        return observed(self, params, self.log_peak(params), missing)

    def used(self, d: int) -> np.ndarray:
        """Which of the monomials Φ the program needs: all, or those without products of two columns."""
        return used(d, aligned=self.aligned)

    def _natural(self, params: GaussianParams, log_peak: Float[Array, " k"]) -> Float[Array, "k f"]:
        """θ with log-density θ Φ(x), `log_peak` at the mean."""
        precision = contract("kli,klj->kij", params.whitener, params.whitener)
        return natural(precision, params.mean, log_peak)

    @inlined
    def expected_stats(self, params: GaussianParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> GaussianStats:
        """Weighted moments up to the second."""
        d = x.shape[0]
        if self.residuals:
            centred = x - params.mean[:, :, None]
            weighted = centred * resp[:, None, :]
            second = contract("kin,kjn->kij", weighted, centred)
            return GaussianStats(jnp.sum(resp, 1), jnp.sum(weighted, 2), vech(second))
        used = self.used(d)
        moments = contract("kn,fn->kf", resp, monomials(x, used))
        if self.aligned:
            moments = jnp.zeros((len(moments), 1 + d + len(triangle(d)[0])), moments.dtype).at[:, used].set(moments)
        return GaussianStats(moments[:, 0], moments[:, 1 : 1 + d], moments[:, 1 + d :])

    def complete(self, params: GaussianParams, stats: GaussianStats, at: GaussianParams) -> Scalar:
        """Expected complete-data log-likelihood, mixing weights apart, from the statistics of an E-step at `at`."""
        if self.residuals:
            params = replace(params, mean=params.mean - at.mean)  # the moments are about the means they were taken at
        moments = jnp.concatenate([stats.count[:, None], stats.first, stats.second], axis=1)
        return jnp.sum(self._natural(params, self.log_peak(params)) * moments)

    def log_peak(self, params: GaussianParams) -> Float[Array, " k"]:
        """Log-density at the mean."""
        log_scale, _ = self._split(params.whitener)
        return jnp.sum(log_scale, -1) - 0.5 * params.mean.shape[-1] * LOG_2PI

    def _split(self, whitener: Float[Array, "k d d"]) -> tuple[Float[Array, "k d"], Float[Array, "k d d"]]:
        """log δ and F."""
        frame = whitener / self.scale
        square = jnp.square(jnp.diagonal(frame, axis1=-2, axis2=-1))
        if self.with_axes:
            square = jnp.where(self.structure.oriented, jnp.sum(frame**2, -1), square)
        return 0.5 * jnp.log(square), frame / jnp.sqrt(square)[:, :, None]

    @inlined
    def m_step(self, params: GaussianParams, stats: GaussianStats) -> GaussianParams:
        """Means and covariances of the structure: those of highest likelihood or, under a prior, of highest posterior density."""
        alive = stats.count > 0
        count = jnp.where(alive, stats.count, 0.0)
        shift, own = scatter(stats)
        mean = params.mean + shift if self.residuals else shift
        if self.prior is not None:
            mean, own, count = self.prior.add(self.structure, mean, own, count)
        own = jnp.where(alive[:, None, None], own * self.scale * jnp.reshape(self.scale, (-1, 1)), jnp.eye(own.shape[-1]))
        axes = self._split(params.whitener)[1] if self.with_axes else None
        ridge = self.ridge * self.scale * jnp.reshape(self.scale, (-1, 1))
        log_scale, frame = self.structure.fit(own, count, axes, ridge, self._least(), self.with_volumes)
        whitener = jnp.exp(log_scale)[:, :, None] * frame * self.scale
        return GaussianParams(
            jnp.where(alive[:, None], mean, params.mean),
            jnp.where(alive[:, None, None], whitener, params.whitener),
        )

    def _least(self) -> Any:
        """What no covariance may be below in any direction, in the units of F; None where there is no floor."""
        if self.prior is None or self.prior.least is None:
            return None
        return self.prior.least * self.scale * jnp.reshape(self.scale, (-1, 1))

    def log_prior(self, params: GaussianParams, live: Any) -> Scalar:
        """Log-density of the prior at live components, up to a constant."""
        if self.prior is None:
            return jnp.zeros((), params.mean.dtype)
        log_det = jnp.sum(self._split(params.whitener)[0], -1)
        return self.prior.log_density(self.structure, params.mean, params.whitener, log_det, live)

    @inlined
    def to_free(self, params: GaussianParams) -> GaussianPoint:
        """Means, log δ and F."""
        return GaussianPoint(params.mean, *self._split(params.whitener))

    @inlined
    def from_free(self, free: GaussianPoint) -> GaussianParams:
        """The inverse of `to_free`; what an extrapolation has bent is put right: axes that are not orthogonal, variances below a floor."""
        frame = free.frame
        if self.with_axes:
            axes = jnp.where(self.structure.oriented, frame, jnp.eye(frame.shape[-1], dtype=frame.dtype))
            axes = contract("kij,kjl->kil", inverse_factor(contract("kij,klj->kil", axes, axes)), axes)
            frame = jnp.where(self.structure.oriented, axes, frame)
        whitener = jnp.exp(free.log_scale)[:, :, None] * frame
        least = self._least()
        return GaussianParams(free.mean, (whitener if least is None else above(whitener, least)) * self.scale)

    @inlined
    def collapsed(self, params: GaussianParams, stats: GaussianStats, live: Any) -> Bool[Array, ""]:
        """A live component holds too few rows for its own covariance, or next to no spread."""
        return degenerate.collapsed(self, params, stats, live)

    def sample(self, key: Any, params: GaussianParams, labels: Any) -> Float[Array, "d n"]:
        """One row for each label."""
        factor = jnp.linalg.inv(params.whitener)
        noise = jax.random.normal(key, (*labels.shape, params.mean.shape[-1]), params.mean.dtype)
        return (params.mean[labels] + contract("nij,nj->ni", factor[labels], noise)).T


def gaussian(code: str, *, univariate: bool = False) -> Gaussian:
    """The Gaussian family of one covariance structure.

    Args:
        code: EII, VII, EEI, VEI, EVI, VVI, EEE, VEE, EVE, VVE, EEV, VEV, EVV or VVV; with `univariate`, E or V.
        univariate: Whether the data have one column.
    Raises:
        KeyError: if there is no such structure.
    """
    if code not in (UNIVARIATE if univariate else STRUCTURES):
        raise KeyError(code)
    letters = structure(UNIVARIATE[code] if univariate else code)
    return Gaussian(letters, univariate=univariate, with_axes=bool(letters.oriented), with_volumes=bool(letters.one_shape))
