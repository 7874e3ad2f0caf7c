"""Gaussian components with the covariance structures of Banfield & Raftery (1993) that have a closed-form M-step. Imports layer 0.

A structure is three flags (one pooled covariance for all components? diagonal? spherical?), and the flags are numbers, not
program: lanes of every structure run side by side in one compiled program.

Params hold the *whitener* W of each component, lower triangular with WᵀW the inverse covariance: the E-step needs no factorisation,
and log(diagonal of W) makes a free coordinate. Two ways to the log-densities:

- *moments* (float64): with Φ(x) = (1, x, vech xxᵀ) they are one matrix product θ Φ(x), and the statistics are R Φ(x)ᵀ. Safe while the
  smallest standard deviation of a component is above 1e-4 of the data's (error 2e-8 nats a row there).
- *residuals* (float32, and float64 below that): x − mean first, moments about the current mean. Slower, and right for data at 1e4
  with unit spread in float32, where E[x²] − mean² is not.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._linalg import contract, inverse_factor, triangle, unvech, vech
from .._pytree import pytree, replace, static
from .._typing import Array, Bool, Float, Scalar


LOG_2PI = float(np.log(2 * np.pi))
LEAST_SPREAD = 1e-6  # a component whose variance falls below this share of the pooled within-component one is collapsing
SPIKE_IN_DATA = 1e-4  # a component this narrow in some direction, in units of the data's variance there, ...
SPIKE_WITHIN = 1e-2  # ... and of the pooled within-component variance, is a spike: clusters far apart are not
RESOLUTION = 1e-12  # in units of the data's variance: what is left below is rounding
ROWS_TO_SPARE = 0.5  # a fit is admissible when every component holds this many rows more than its covariance needs

# name: (pooled, diagonal, spherical)
STRUCTURES = {
    "EII": (True, True, True),
    "VII": (False, True, True),
    "EEI": (True, True, False),
    "VVI": (False, True, False),
    "EEE": (True, False, False),
    "VVV": (False, False, False),
}
UNIVARIATE = {"E": (True, True, True), "V": (False, True, True)}


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
class Gaussian:
    """Gaussian components of one covariance structure; make one with `gaussian("VVV")`.

    Codes as in mclust: volume, shape and orientation are Equal, Variable, or the Identity's. scikit-learn's full, tied, diag and
    spherical are VVV, EEE, VVI and VII. VVV and EEE are equivariant under any linear map of the data, VVI and EEI under scaling of
    single columns, VII and EII only under rotation and one common scale: they are fitted in the data's own units whatever the
    internal scaling.

    Attributes:
        pooled: Whether all components share one covariance (0 or 1).
        diagonal: Whether covariances are diagonal.
        spherical: Whether they are multiples of the identity, in the data's own units.
        scale: The data's units per internal unit, shape (d,).
        spread: Covariance of the data in internal units, shape (d, d).
        unit: Weight of one row: what a count of rows is measured in.
        ridge: Added to every covariance in the M-step: a variance in the data's own units squared; once bound, a matrix (d, d) in
            internal ones. Nothing that EM maximises asks for it: 0, except where another package's algorithm is to be followed.
        residuals: Whether to use the residual form.
        univariate: Whether the data have one column: the structures are then called E and V.

    References:
        Banfield & Raftery 1993, Biometrics 49; Celeux & Govaert 1995, Pattern Recognition 28, table 1.
    """

    pooled: Any
    diagonal: Any
    spherical: Any
    scale: Any = 1.0
    spread: Any = 1.0
    unit: Any = 1.0
    ridge: Any = 0.0
    residuals: bool = static(default=False)
    univariate: bool = static(default=False)

    standardise = True

    @property
    def name(self) -> str:
        """The structure's code."""
        flags = bool(self.pooled), bool(self.diagonal), bool(self.spherical)
        table = UNIVARIATE if self.univariate else STRUCTURES
        return next(name for name, row in table.items() if row == flags)

    # Before and after EM, on the host.

    def check(self, x: np.ndarray, columns: list[str]) -> None:
        """Any finite number will do."""

    @property
    def linear(self) -> bool:
        """Whether the structure is equivariant under every linear map of the data, and not of single columns only."""
        return not self.diagonal

    def bind(self, x: np.ndarray, weight: np.ndarray, scale: np.ndarray, dtype: Any) -> Gaussian:
        """This family for the rows `x` (d, n) in internal units; `scale` (d, d) takes these to the data's units."""
        total = weight.sum()
        mean = x @ weight / total
        spread = (x * weight) @ x.T / total - np.outer(mean, mean)
        length = np.sqrt((scale**2).sum(1))
        inward = np.linalg.inv(scale)
        return Gaussian(
            pooled=np.asarray(self.pooled),
            diagonal=np.asarray(self.diagonal),
            spherical=np.asarray(self.spherical),
            scale=np.asarray(length / np.exp(np.log(length).mean()), dtype),
            spread=np.asarray(spread, dtype),
            unit=np.asarray(min(1.0, total / np.count_nonzero(weight)), dtype),
            ridge=np.asarray(self.ridge * inward @ inward.T, dtype),
            residuals=np.dtype(dtype) == np.float32,
            univariate=self.univariate,
        )

    def with_residuals(self) -> Gaussian:
        """The same family in the accurate form."""
        return replace(self, residuals=True)

    def num_params(self, num_components: int, num_features: int) -> int:
        """Means and the free entries of the covariances."""
        k, d = num_components, num_features
        each = 1 if self.spherical else d if self.diagonal else d * (d + 1) // 2
        return k * d + (1 if self.pooled else k) * each

    def rows_needed(self, num_features: int) -> float:
        """Rows below which a component's own covariance is singular; 0 where the covariance is shared."""
        return 0.0 if self.pooled else 2.0 if self.diagonal else num_features + 1.0

    def admissible(self, params: GaussianParams, counts: np.ndarray) -> np.ndarray:
        """Which runs are no spikes: enough rows everywhere, and no component next to singular in any direction.

        A component is narrow by two measures: the data's variance, in the units that the structure is equivariant in (sphered for VVV
        and EEE, per column for VVI and EEI, common for VII and EII), and the pooled within-component covariance. Params and `counts`
        (l, k; infinite where there is no component) carry a lane axis; the answer has shape (l,).
        """
        whitener, spread = np.asarray(params.whitener, float), np.asarray(self.spread, float)
        sound = np.asarray(np.isfinite(whitener).all((-1, -2)))
        whitener = np.where(sound[..., None, None], whitener, np.eye(len(spread)))
        if self.spherical:
            size = np.diag(np.full(len(spread), (np.diag(spread) * self.scale**2).mean()) / self.scale**2)
        else:
            size = np.diag(np.diag(spread)) if self.diagonal else spread
        factor = np.linalg.inv(whitener)
        rows = np.where(np.isfinite(counts), counts, 0.0)
        share = rows / rows.sum(-1, keepdims=True)
        within = (share[..., None, None] * (factor @ np.swapaxes(factor, -1, -2))).sum(-3, keepdims=True)
        in_data = _narrowest(whitener, np.linalg.cholesky(size + RESOLUTION * np.eye(len(size))))
        in_pool = _narrowest(whitener, np.linalg.cholesky(within))
        spike = (in_data < SPIKE_IN_DATA) & (in_pool < SPIKE_WITHIN) | (_narrowest(whitener, np.eye(len(size))) < RESOLUTION)
        enough = counts >= self.unit * (self.rows_needed(len(spread)) + ROWS_TO_SPARE)
        return (sound & ~spike & (enough | bool(self.pooled))).all(-1)

    def distance(self, a: GaussianParams, b: GaussianParams) -> np.ndarray:
        """How far component i of `a` is from component j of `b`, shape (k, k): means in standard deviations of `a`, log-sds."""
        means = np.abs(np.einsum("kij,klj->kli", a.whitener, b.mean[None] - a.mean[:, None])).max(-1)
        log_scales = [np.log(np.diagonal(p.whitener, axis1=-2, axis2=-1)) for p in (a, b)]
        return np.maximum(means, np.abs(log_scales[0][:, None] - log_scales[1][None]).max(-1))

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
        if not np.array_equal(
            scale, np.diag(np.diag(scale))
        ):  # a general map leaves W square, not triangular: W = QR has WᵀW = RᵀR
            upper = np.linalg.qr(whitener[..., ::-1, ::-1])[1][..., ::-1, ::-1]
            whitener = upper * np.sign(np.diagonal(upper, axis1=-2, axis2=-1))[..., :, None]
        means = np.linalg.solve(scale, (np.asarray(published["means"], float) - centre).T).T
        return GaussianParams(means, whitener)

    # Inside the compiled program.

    def reference(self, num_components: int, num_features: int, dtype: Any) -> GaussianParams:
        """Standard normal components, in internal units."""
        eye = np.broadcast_to(np.eye(num_features, dtype=dtype), (num_components, num_features, num_features))
        return GaussianParams(np.zeros((num_components, num_features), dtype), np.array(eye))

    def log_prob(self, params: GaussianParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-density of every row under every component."""
        if self.residuals:
            white = contract("kij,kjn->kin", params.whitener, x - params.mean[:, :, None])
            return _log_normaliser(params)[:, None] - 0.5 * jnp.sum(white**2, axis=1)
        return contract("kf,fn->kn", self._natural(params), _monomials(x))

    def _natural(self, params: GaussianParams) -> Float[Array, "k f"]:
        """θ with log-density θ Φ(x)."""
        d = params.mean.shape[-1]
        precision = contract("kli,klj->kij", params.whitener, params.whitener)
        linear = contract("kij,kj->ki", precision, params.mean)
        rows, columns = triangle(d)
        quadratic = vech(precision) * np.where(rows == columns, -0.5, -1.0).astype(linear.dtype)
        constant = _log_normaliser(params) - 0.5 * jnp.sum(linear * params.mean, -1)
        return jnp.concatenate([constant[:, None], linear, quadratic], axis=1)

    def expected_stats(self, params: GaussianParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> GaussianStats:
        """Weighted moments up to the second."""
        d = x.shape[0]
        if self.residuals:
            centred = x - params.mean[:, :, None]
            weighted = centred * resp[:, None, :]
            second = contract("kin,kjn->kij", weighted, centred)
            return GaussianStats(jnp.sum(resp, 1), jnp.sum(weighted, 2), vech(second))
        moments = contract("kn,fn->kf", resp, _monomials(x))
        return GaussianStats(moments[:, 0], moments[:, 1 : 1 + d], moments[:, 1 + d :])

    def complete(self, params: GaussianParams, stats: GaussianStats, at: GaussianParams) -> Scalar:
        """Expected complete-data log-likelihood, mixing weights apart, from the statistics of an E-step at `at`."""
        if self.residuals:
            params = replace(params, mean=params.mean - at.mean)  # the moments are about the means they were taken at
        moments = jnp.concatenate([stats.count[:, None], stats.first, stats.second], axis=1)
        return jnp.sum(self._natural(params) * moments)

    def m_step(self, params: GaussianParams, stats: GaussianStats) -> GaussianParams:
        """Maximum-likelihood means and covariances of the structure (Celeux & Govaert 1995, sec. 3)."""
        alive = stats.count > 0
        shift, own = _scatter(stats)
        mean = params.mean + shift if self.residuals else shift
        covariance = self._structured(own, jnp.where(alive, stats.count, 0.0))
        return GaussianParams(
            jnp.where(alive[:, None], mean, params.mean),
            jnp.where(alive[:, None, None], inverse_factor(covariance + self.ridge), params.whitener),
        )

    def _structured(self, own: Float[Array, "k d d"], count: Float[Array, " k"]) -> Float[Array, "k d d"]:
        """The covariances nearest in likelihood to the components' own, under the structure's constraints."""
        d = own.shape[-1]
        share = count / jnp.sum(count)
        covariance = jnp.where(self.pooled, jnp.sum(share[:, None, None] * own, 0), own)
        eye = jnp.eye(d, dtype=own.dtype)
        covariance = jnp.where(self.diagonal, covariance * eye, covariance)
        metric = jnp.square(jnp.broadcast_to(jnp.asarray(self.scale, own.dtype), (d,)))
        common = jnp.sum(jnp.diagonal(covariance, axis1=-2, axis2=-1) * metric, -1) / d
        return jnp.where(self.spherical, common[:, None, None] * (eye / metric), covariance)

    def to_free(self, params: GaussianParams) -> GaussianParams:
        """Means, and whiteners with log-diagonals."""
        return GaussianParams(params.mean, _on_diagonal(jnp.log, params.whitener))

    def from_free(self, free: GaussianParams) -> GaussianParams:
        """The inverse of `to_free`."""
        return GaussianParams(free.mean, _on_diagonal(jnp.exp, free.whitener))

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
        needed = jnp.where(self.pooled, 0.0, jnp.where(self.diagonal, 2.0, d + 1.0))
        few = stats.count < self.unit * (needed - ROWS_TO_SPARE)
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
        code: EII, VII, EEI, VVI, EEE or VVV; with `univariate`, E or V.
        univariate: Whether the data have one column.
    Raises:
        KeyError: if there is no such structure.
    """
    pooled, diagonal, spherical = (UNIVARIATE if univariate else STRUCTURES)[code]
    return Gaussian(pooled, diagonal, spherical, univariate=univariate)


def _narrowest(whitener: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The smallest variance of components in units of the covariance that `factor` is the Cholesky factor of."""
    return np.linalg.svd(whitener @ factor, compute_uv=False)[..., 0] ** -2.0


def _scatter(stats: GaussianStats) -> tuple[Float[Array, "k d"], Float[Array, "k d d"]]:
    """Means, about the point the moments were taken at, and covariances about the means; 0 where there are no rows."""
    count = jnp.where(stats.count > 0, stats.count, 1.0)[:, None]
    mean = stats.first / count
    return mean, unvech(stats.second / count, mean.shape[-1]) - mean[:, :, None] * mean[:, None, :]


def _log_normaliser(params: GaussianParams) -> Float[Array, " k"]:
    """Log-density at the mean."""
    diagonal = jnp.diagonal(params.whitener, axis1=-2, axis2=-1)
    return jnp.sum(jnp.log(diagonal), -1) - 0.5 * params.mean.shape[-1] * LOG_2PI


def _monomials(x: Float[Array, "d n"]) -> Float[Array, "f n"]:
    """Φ(x) = (1, x, vech xxᵀ) for every row."""
    rows, columns = triangle(x.shape[0])
    return jnp.concatenate([jnp.ones((1, x.shape[1]), x.dtype), x, x[rows] * x[columns]])


def _on_diagonal(function: Any, matrix: Any) -> Any:
    """Apply a function to the diagonal of (..., d, d) only."""
    eye = jnp.eye(matrix.shape[-1], dtype=bool)
    return jnp.where(eye, function(jnp.where(eye, matrix, 1.0)), matrix)
