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

from ..._linalg import contract, inverse_factor, triangle, unvech, vech
from ..._parts import parts
from ..._pytree import pytree, replace, static
from ..._typing import Array, Bool, Float, Int, Scalar
from . import prior as priors
from .missing import Observed, observed
from .moments import LOG_2PI, monomials, natural
from .structure import STRUCTURES, UNIVARIATE, E, Structure, above, structure


LEAST_SPREAD = 1e-6  # a component whose variance falls below this share of the pooled within-component one is collapsing
SPIKE_IN_DATA = 1e-4  # a component this narrow in some direction, in units of the data's variance there, ...
SPIKE_WITHIN = 1e-2  # ... and of the pooled within-component variance, is a spike: clusters far apart are not
LARGEST = 1e150  # of the numbers, whose squares are to be numbers
RESOLUTION = 1e-12  # in units of the data's variance: what is left below is rounding
ROWS_TO_SPARE = 0.5  # a fit is admissible when every component holds this many rows more than its covariance needs


@pytree
class GaussianParams:
    """Params of Gaussian components.

    Attributes:
        mean: Means, shape (k, d).
        whitener: Lower triangular W with WᵀW the inverse covariance, shape (k, d, d).
    """

    mean: Float[Array, "k d"]
    whitener: Float[Array, "k d d"]


@pytree
class GaussianStats:
    """Weighted moments about 0 or, in the residual form, about the current means.

    Attributes:
        count: Σ r, shape (k,).
        first: Σ r x, shape (k, d).
        second: Upper triangle of Σ r xxᵀ, shape (k, d(d + 1)/2).
    """

    count: Float[Array, " k"]
    first: Float[Array, "k d"]
    second: Float[Array, "k f"]


@pytree
class GaussianPoint:
    """Free coordinates of Gaussian components.

    Attributes:
        mean: Means, shape (k, d).
        log_scale: log δ, shape (k, d).
        frame: F, shape (k, d, d).
    """

    mean: Float[Array, "k d"]
    log_scale: Float[Array, "k d"]
    frame: Float[Array, "k d d"]


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
        for name, low, high in zip(columns, np.nanmin(x, axis=0), np.nanmax(x, axis=0), strict=True):
            largest, width = max(-low, high), high - low
            if not (largest < LARGEST and width > 1 / LARGEST):
                what = f"numbers up to {largest:.0e}" if width > 1 / LARGEST else f"numbers that differ by {width:.0e}"
                raise ValueError(f"column {name!r} has {what}, and squares of these are beyond float64: give it in other units")

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

    def admissible(self, params: GaussianParams, counts: np.ndarray) -> np.ndarray:
        """Which runs are no spikes: enough rows everywhere, and no component next to singular in any direction.

        A component is narrow by two measures: the data's variance, in the units that the structure is equivariant in (sphered,
        column by column or one for all), and the pooled within-component covariance. Params and `counts` (l, k; infinite where
        there is no component) carry a lane axis; the answer has shape (l,).
        """
        whitener, spread = np.asarray(params.whitener, float), np.asarray(self.spread, float)
        eye = np.eye(len(spread))
        finite = np.asarray(np.isfinite(whitener).all((-1, -2)))
        sound = np.isfinite(np.linalg.slogdet(np.where(finite[..., None, None], whitener, 0.0))[1])
        whitener = np.where(sound[..., None, None], whitener, eye)
        if self.structure.scalable:
            size = spread if self.structure.linear else np.diag(np.diag(spread))
        else:
            size = np.diag(np.full(len(spread), (np.diag(spread) * self.scale**2).mean()) / self.scale**2)
        factor = np.linalg.inv(whitener)
        rows = np.where(np.isfinite(counts), counts, 0.0)
        share = rows / rows.sum(-1, keepdims=True)
        within = (share[..., None, None] * (factor @ np.swapaxes(factor, -1, -2))).sum(-3, keepdims=True)
        within = within + RESOLUTION * np.trace(within, axis1=-1, axis2=-2)[..., None, None] * eye
        in_data = _narrowest(whitener, np.linalg.cholesky(size + RESOLUTION * eye))
        in_pool = _narrowest(whitener, np.linalg.cholesky(within))
        spike = (in_data < SPIKE_IN_DATA) & (in_pool < SPIKE_WITHIN) | (_narrowest(whitener, eye) < RESOLUTION)
        needed = self.structure.rows_needed(len(spread)) * self._unheld()
        enough = counts >= self.unit * (needed + ROWS_TO_SPARE) * (needed > 0)
        return (sound & ~spike & enough).all(-1)

    @property
    def smooth(self) -> bool:
        """Whether the M-step is: a floor bends it."""
        return self.prior is None or self.prior.least is None

    def _unheld(self) -> Any:
        """Whether covariances need rows: 0 under a prior that keeps them from degenerating, else 1."""
        return 1 if self.prior is None else 1 - self.prior.holds

    def alone(self, total: float) -> float | None:
        """The log-likelihood of a single component, as far as the data's covariance tells it; `total` is the weight of the rows."""
        if self.residuals or self.prior is not None or np.any(self.ridge):
            return None
        spread = np.asarray(self.spread, float) * np.outer(self.scale, self.scale)
        if not self.structure.triangular and not self.structure.oriented:
            spread = np.diag(np.diag(spread))
        if self.structure.spherical:
            spread = np.trace(spread) / len(spread) * np.eye(len(spread))
        volume = np.linalg.slogdet(spread)[1] - 2 * np.log(self.scale).sum()
        return -0.5 * total * float(volume + len(spread) * (LOG_2PI + 1))

    def distance(self, a: GaussianParams, b: GaussianParams) -> np.ndarray:
        """How far component i of `a` is from component j of `b`, shape (k, k): means in standard deviations of `a`, log-sds."""
        means = np.abs(np.einsum("kij,klj->kli", a.whitener, b.mean[None] - a.mean[:, None])).max(-1)
        moved = np.einsum("kij,ljm->klim", a.whitener, np.linalg.inv(b.whitener))
        ratio = moved @ np.swapaxes(moved, -1, -2) - np.eye(moved.shape[-1])  # of the covariances, in the eyes of `a`
        return np.maximum(means, np.abs(ratio).max((-1, -2)) / 2)

    def publish(self, params: GaussianParams, centre: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
        """Means (k, d) and covariances (k, d, d) in the data's units."""
        factor = scale @ np.linalg.inv(np.asarray(params.whitener, float))
        return {"means": np.asarray(params.mean, float) @ scale.T + centre, "covariances": factor @ np.swapaxes(factor, -1, -2)}

    def adopt(self, published: dict[str, np.ndarray], centre: np.ndarray, scale: np.ndarray) -> GaussianParams:
        """The inverse of `publish`.

        Raises:
            ValueError: if a covariance is not symmetric positive definite.
        """
        covariances = np.asarray(published["covariances"], float)
        size = np.sqrt(np.abs(np.einsum("kii,kjj->kij", covariances, covariances)))
        skew = np.abs(covariances - np.swapaxes(covariances, -1, -2)) > 1e-8 * size
        try:
            if skew.any():
                raise np.linalg.LinAlgError
            whitener = np.linalg.inv(np.linalg.cholesky(covariances)) @ scale
        except np.linalg.LinAlgError:
            raise ValueError("covariances must be symmetric positive definite, and at least one is not") from None
        if not np.array_equal(scale, np.diag(np.diag(scale))):
            whitener = _triangular(whitener)  # a general map leaves W square
        if self.structure.oriented:
            whitener = self._along_axes(whitener)
        means = np.linalg.solve(scale, (np.asarray(published["means"], float) - centre).T).T
        return GaussianParams(means, whitener)

    def _along_axes(self, whitener: np.ndarray) -> np.ndarray:
        """The same covariances by their axes; where they do not share axes and should, what they are along the nearest ones."""
        scale = np.broadcast_to(self.scale, whitener.shape[-1])
        factor = scale[:, None] * np.linalg.inv(whitener)
        covariances = factor @ np.swapaxes(factor, -1, -2)
        if self.structure.orientation == E:  # a combination has no two equal variances unless all components have
            unit = covariances / np.trace(covariances, axis1=-2, axis2=-1)[:, None, None]
            _, vectors = np.linalg.eigh(np.average(unit, axis=0, weights=np.sqrt(2 + np.arange(len(unit)))))
        else:
            _, vectors = np.linalg.eigh(covariances)
        axes = np.broadcast_to(np.swapaxes(vectors, -1, -2)[..., ::-1, :], whitener.shape)
        variances = np.einsum("kij,kjl,kil->ki", axes, covariances, axes)
        return axes * scale / np.sqrt(variances)[:, :, None]

    # Inside the compiled program.

    def reference(self, num_components: int, num_features: int, dtype: Any) -> GaussianParams:
        """Standard normal components, in internal units."""
        eye = np.broadcast_to(np.eye(num_features, dtype=dtype), (num_components, num_features, num_features))
        return GaussianParams(np.zeros((num_components, num_features), dtype), np.array(eye))

    def log_prob(self, params: GaussianParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-density of every row under every component."""
        if self.residuals:
            white = _whitened(params, x)
            return self._log_normaliser(params)[:, None] - 0.5 * jnp.sum(white**2, axis=1)
        used = self.used(x.shape[0])
        return contract("kf,fn->kn", self._natural(params)[:, used], monomials(x, used))

    def observed(self, params: GaussianParams, missing: Int[Array, " q"]) -> Observed:
        """The components where the columns `missing` are not seen: marginal densities, and statistics by conditional expectation."""
        return observed(self, params, self._log_normaliser(params), missing)

    def used(self, d: int) -> np.ndarray:
        """Which of the monomials Φ the program needs: all, or those without products of two columns."""
        rows, columns = triangle(d)
        needed = np.concatenate([np.ones(1 + d, bool), (rows == columns) | (not self.aligned)])
        return np.flatnonzero(needed).astype(np.int32)

    def _natural(self, params: GaussianParams) -> Float[Array, "k f"]:
        """θ with log-density θ Φ(x)."""
        precision = contract("kli,klj->kij", params.whitener, params.whitener)
        return natural(precision, params.mean, self._log_normaliser(params))

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
        return jnp.sum(self._natural(params) * moments)

    def _log_normaliser(self, params: GaussianParams) -> Float[Array, " k"]:
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

    def m_step(self, params: GaussianParams, stats: GaussianStats) -> GaussianParams:
        """Means and covariances of the structure: those of highest likelihood or, under a prior, of highest posterior density."""
        alive = stats.count > 0
        count = jnp.where(alive, stats.count, 0.0)
        shift, own = _scatter(stats)
        mean = params.mean + shift if self.residuals else shift
        if self.prior is not None:
            mean, own, count = self.prior.add(self.structure, mean, own, count)
        own = jnp.where(alive[:, None, None], own * self.scale * jnp.reshape(self.scale, (-1, 1)), jnp.eye(own.shape[-1]))
        axes = self._split(params.whitener)[1] if self.with_axes else None
        ridge = self.ridge * self.scale * jnp.reshape(self.scale, (-1, 1))
        log_scale, frame = self.structure.fit(own, count, axes, ridge, self._least())
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

    def to_free(self, params: GaussianParams) -> GaussianPoint:
        """Means, log δ and F."""
        return GaussianPoint(params.mean, *self._split(params.whitener))

    def from_free(self, free: GaussianPoint) -> GaussianParams:
        """The inverse of `to_free`; what an extrapolation has bent is put right: axes that are not orthogonal, variances below a floor."""
        frame = free.frame
        if self.with_axes:
            axes = jnp.where(self.structure.oriented, frame, jnp.eye(frame.shape[-1], dtype=frame.dtype))
            axes = inverse_factor(contract("kij,klj->kil", axes, axes)) @ axes
            frame = jnp.where(self.structure.oriented, axes, frame)
        whitener = jnp.exp(free.log_scale)[:, :, None] * frame
        least = self._least()
        return GaussianParams(free.mean, (whitener if least is None else above(whitener, least)) * self.scale)

    def collapsed(self, params: GaussianParams, stats: GaussianStats, live: Any) -> Bool[Array, ""]:
        """A live component holds too few rows for its own covariance, or next to no spread.

        The spread is d / trace(S Σ⁻¹), the harmonic mean of a component's variances relative to S: the pooled within-component
        covariance or, to tell rounding, the data's. Rows are seen to run out three steps before the spread does; no converged run on
        the reference sets is within a quarter row of the limit.
        """
        d = params.mean.shape[-1]
        _, own = _scatter(stats)
        within = jnp.sum((stats.count / jnp.sum(stats.count))[:, None, None] * own, 0)
        data = jnp.broadcast_to(jnp.asarray(self.spread, own.dtype), (d, d))
        in_pool, in_data = (d / contract("kij,jl,kil->k", params.whitener, size, params.whitener) for size in (within, data))
        few = stats.count < self.unit * self._unheld() * (self.structure.rows_needed(d) - ROWS_TO_SPARE)
        return jnp.any(live & (few | (in_pool < LEAST_SPREAD) | (in_data < RESOLUTION)))

    def sample(self, key: Any, params: GaussianParams, labels: Any) -> Float[Array, "d n"]:
        """One row for each label."""
        d = params.mean.shape[-1]
        factor = jnp.linalg.inv(params.whitener)
        noise = jax.random.normal(key, (labels.shape[0], d), params.mean.dtype)
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
    return Gaussian(letters, univariate=univariate, with_axes=bool(letters.oriented))


def _triangular(whitener: np.ndarray) -> np.ndarray:
    """The lower triangular matrices with the same WᵀW and a positive diagonal: W = QR has WᵀW = RᵀR."""
    upper = np.linalg.qr(whitener[..., ::-1, ::-1])[1][..., ::-1, ::-1]
    return upper * np.sign(np.diagonal(upper, axis1=-2, axis2=-1))[..., :, None]


def _narrowest(whitener: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The smallest variance of components in units of the covariance that `factor` is the Cholesky factor of."""
    return np.linalg.svd(whitener @ factor, compute_uv=False)[..., 0] ** -2.0


def _whitened(params: GaussianParams, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
    """Rows in units of each component.

    In float64 W x − W m, one matrix product for all components: what it loses against W (x − m) is of the order of what m itself has
    lost by having 16 digits. In float32 that is too much.
    """
    if x.dtype != np.float64:
        return contract("kij,kjn->kin", params.whitener, x - params.mean[:, :, None])
    k, d = params.mean.shape
    flat = contract("rj,jn->rn", params.whitener.reshape(k * d, d), x).reshape(k, d, -1)
    return flat - contract("kij,kj->ki", params.whitener, params.mean)[:, :, None]


def _scatter(stats: GaussianStats) -> tuple[Float[Array, "k d"], Float[Array, "k d d"]]:
    """Means, about the point the moments were taken at, and covariances about the means; 0 where there are no rows."""
    count = jnp.where(stats.count > 0, stats.count, 1.0)[:, None]
    mean = stats.first / count
    return mean, unvech(stats.second / count, mean.shape[-1]) - mean[:, :, None] * mean[:, None, :]
