"""Student's t components, their scatter of any of the 14 structures: clusters with heavy tails. Imports layer 0 and gaussian.

A t component is a Gaussian whose inverse covariance is multiplied, in every row, by a number of its own, gamma distributed with mean 1
and shape ν/2. These numbers are latent, as the labels are: where a row is far out its number is expected to be small, and the row says
little of means and scatter. Given them the M-step is the Gaussian's, so the family has one, and gives it weighted moments.

The degrees of freedom ν are held as the *tail* 1/ν, for which the Gaussian is a number like any other: 0. Of a short tail these numbers
say next to nothing, and EM, which takes them for missing, creeps there (SQUAREM took 600 to 4,200 steps on Old Faithful). So they are not
asked: given the labels, the tail takes a scoring step of its own, its information the sum of squared scores. With the M-step of all else
these are two blocks at a time, each with at least its own information, which is enough for the likelihood to rise near a maximum.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import lgamma

from .._compiler import inlined
from .._linalg import contract, vech
from .._pytree import pytree, replace
from .._typing import Array, Bool, Float, Int, Scalar
from .gaussian import Gaussian, GaussianStats, gaussian


LEAST, MOST = 1.0, 1e6  # degrees of freedom: with fewer the density has spikes at rows, with more it is a Gaussian's
CAUTION = (
    3.0  # how often a step of the tails counts its information: twice, the likelihood fell in 16 of 5,000 runs; so, in none
)
REACH = 4.0  # the most by which such a step divides or multiplies a tail
BEGIN = 0.1  # the tail after the first M-step, whose responsibilities say nothing of it
LARGE = 50.0  # from where on two terms of Stirling's series have all digits


@pytree
class StudentParams:
    """Params of t components.

    Attributes:
        normal: Means and whiteners of the scatter, as of Gaussian components; in free coordinates the Gaussian's.
        tail: 1/ν, shape (k,).
    """

    normal: Any
    tail: Float[Array, "*l k"]


@pytree
class StudentStats:
    """Weighted sums; u is what is expected of a row's factor.

    Attributes:
        count: Σ r, shape (k,).
        moments: The Gaussian's, with r u in the place of r.
        score: Σ r s, with s the derivative of a row's log-density by the tail, shape (k,).
        information: Σ r s², shape (k,).
    """

    count: Float[Array, "*l k"]
    moments: GaussianStats
    score: Float[Array, "*l k"]
    information: Float[Array, "*l k"]


@pytree
class Observed:
    """t components seen through some columns only, which have a t distribution of as many degrees of freedom.

    Attributes:
        normal: Gaussian components seen so.
        num_seen: How many columns are.
    """

    normal: Any
    num_seen: Scalar

    def log_prob(self, params: StudentParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-density of the cells that are there."""
        return self.normal.log_peak[:, None] + _tails(params.tail, self.num_seen, self._squares(params, x))

    def expected_stats(self, params: StudentParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> StudentStats:
        """Expected statistics, given the cells that are there."""
        stats = _weighted(self.normal, params, x, resp, self.num_seen, self._squares(params, x))
        # The conditional scatter of what is missing does not depend on the factor, and is counted by rows.
        more = (stats.count - stats.moments.count)[:, None, None] * self.normal.rest
        more = vech(contract("pi,kpq,qj->kij", self.normal.place, more, self.normal.place))
        return replace(stats, moments=replace(stats.moments, second=stats.moments.second + more))

    def completed(self, params: StudentParams, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
        """Rows with the missing cells' conditional means under each component."""
        return self.normal.completed(params.normal, x)

    def drawn(self, key: Any, params: StudentParams, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
        """Rows with draws for the missing cells, from their conditional distribution under each component."""
        of_factor, of_noise = jax.random.split(key)
        tail, square = params.tail[:, None], self._squares(params, x)
        gammas = jax.random.gamma(of_factor, jnp.broadcast_to(0.5 / tail + 0.5 * self.num_seen, square.shape), dtype=x.dtype)
        wider = jnp.sqrt((1 + tail * square) / (2 * tail * gammas))
        mean = self.completed(params, x)
        return mean + wider[:, None] * (self.normal.drawn(of_noise, params.normal, x) - mean)

    def _squares(self, params: StudentParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        return jnp.maximum(2 * (self.normal.log_peak[:, None] - self.normal.log_prob(params.normal, x)), 0.0)


@pytree
class Student:
    """t components whose scatter matrices have one covariance structure; make one with `student("VVV")`.

    A row far out pulls at a Gaussian's mean in proportion to its distance, at a t component's ever less: a few outliers neither bend a
    cluster nor ask for one of their own.

    Attributes:
        normal: The Gaussian family of that structure.
        common: 1 where all components have the same degrees of freedom, else 0.
        known: 1/ν where it is not estimated, else 0.

    References:
        Peel & McLachlan 2000, Statistics and Computing 10, sec. 3 to 7; the structures: Andrews & McNicholas 2012, Statistics and
        Computing 22; missing cells: Wang, Zhang, Luo & Wei 2004, Computational Statistics & Data Analysis 44.
    """

    normal: Gaussian
    common: Any = 0.0
    known: Any = 0.0

    standardise = True

    @property
    def name(self) -> str:
        """The structure's code after a t; then, after a colon, what is known of the degrees of freedom."""
        known = ":equal" if self.common else f":{1 / self.known:g}" if self.known else ""
        return f"t{self.normal.name}{known}"

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Degrees of freedom are positive."""
        return {"dof": (0.0, np.inf)}

    # Before and after EM, on the host.

    def check(self, x: np.ndarray, columns: list[str]) -> None:
        """As for Gaussian components."""
        self.normal.check(x, columns)

    def check_rows(self, x: np.ndarray, columns: list[str]) -> None:
        """The same of rows to predict."""
        self.normal.check_rows(x, columns)

    @property
    def full(self) -> bool:
        """Whether scatter matrices need not be diagonal."""
        return self.normal.full

    @property
    def linear(self) -> bool:
        """Whether the structure is equivariant under every linear map of the data."""
        return self.normal.linear

    @property
    def shareable(self) -> bool:
        """Whether EM with it calls nothing of LAPACK."""
        return self.normal.shareable

    def bind(self, x: np.ndarray, weight: np.ndarray, scale: np.ndarray, dtype: Any) -> Student:
        """This family for the rows `x` (d, n) in internal units; `scale` (d, d) takes these to the data's units."""
        common, known = np.asarray(self.common, dtype), np.asarray(self.known, dtype)
        return Student(self.normal.bind(x, weight, scale, dtype), common, known)

    def with_residuals(self) -> Student:
        """The same family in the accurate form."""
        return replace(self, normal=self.normal.with_residuals())

    def num_params(self, num_components: int, num_features: int) -> int:
        """Means, the free entries of the scatter matrices, and degrees of freedom."""
        tails = 0 if self.known else 1 if self.common else num_components
        return self.normal.num_params(num_components, num_features) + tails

    def num_held(self, params: StudentParams) -> int:
        """Degrees of freedom that are estimated, and are the most or the least there are."""
        tail = np.asarray(params.tail)
        held = (tail <= 1 / MOST) | (tail >= 1 / LEAST)
        return 0 if self.known else int(held.all() if self.common else held.sum())

    def rows_needed(self, num_features: int) -> Any:
        """Rows that a component needs for its own part of its scatter."""
        return self.normal.rows_needed(num_features)

    def admissible(self, params: StudentParams, counts: np.ndarray) -> np.ndarray:
        """Which runs are no spikes, shape (l,), as for Gaussian components."""
        return self.normal.admissible(params.normal, counts)

    def distance(self, a: StudentParams, b: StudentParams) -> np.ndarray:
        """How far component i of `a` is from component j of `b`, shape (k, k): as for Gaussians, and the roots of 1/ν, doubled.

        Half a unit is from 3 degrees of freedom to 10, or from 16 to infinity.
        """
        roots = np.sqrt(np.asarray(a.tail))[:, None] - np.sqrt(np.asarray(b.tail))[None]
        return np.maximum(self.normal.distance(a.normal, b.normal), 2 * np.abs(roots))

    def publish(self, params: StudentParams, centre: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
        """Means (k, d) and scatter matrices (k, d, d) in the data's units, degrees of freedom (k,)."""
        named = self.normal.publish(params.normal, centre, scale)
        tail = np.clip(np.asarray(params.tail, float), 1 / MOST, 1 / LEAST)
        return {"means": named["means"], "scatters": named["covariances"], "dof": 1 / tail}

    def adopt(self, published: dict[str, np.ndarray], centre: np.ndarray, scale: np.ndarray) -> StudentParams:
        """The inverse of `publish`.

        Raises:
            ValueError: if a scatter matrix is not symmetric positive definite, or degrees of freedom are below the least there are.
        """
        dof = np.asarray(published["dof"], float)
        if not (dof >= LEAST).all():
            raise ValueError(f"dof must be {LEAST:g} or more in each component, got {dof.min():g}")
        try:
            normal = self.normal.adopt({"means": published["means"], "covariances": published["scatters"]}, centre, scale)
        except ValueError as error:
            raise ValueError(str(error).replace("covariances", "scatters")) from None
        return StudentParams(normal, np.maximum(1 / dof, 1 / MOST))

    # Inside the compiled program.

    def reference(self, num_components: int, num_features: int, dtype: Any) -> StudentParams:
        """Standard normal components, in internal units: at a tail of 0 all rows count alike."""
        return StudentParams(self.normal.reference(num_components, num_features, dtype), np.zeros(num_components, dtype))

    def log_prob(self, params: StudentParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-density of every row under every component."""
        return self.log_joint(params, jnp.zeros(len(params.tail), x.dtype), x)

    @inlined
    def log_joint(self, params: StudentParams, log_weights: Float[Array, " k"], x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """The same with log-weights added."""
        log_peak = self.normal.log_peak(params.normal) + log_weights
        return log_peak[:, None] + _tails(params.tail, x.shape[0], self.normal.squares(params.normal, x))

    def observed(self, params: StudentParams, missing: Int[Array, " q"]) -> Observed:
        """The components where the columns `missing` are not seen."""
        normal = self.normal.observed(params.normal, missing)
        return Observed(normal, jnp.sum(normal.seen))

    @inlined
    def expected_stats(self, params: StudentParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> StudentStats:
        """Weighted moments up to the second, and what the factors say of the tails."""
        return _weighted(self.normal, params, x, resp, x.shape[0], self.normal.squares(params.normal, x))

    def complete(self, params: StudentParams, stats: StudentStats, at: StudentParams) -> Scalar:
        """What the M-step raises, mixing weights apart, from the statistics of an E-step at `at`: of the tails a parabola."""
        peaks = (stats.count - stats.moments.count) * self.normal.log_peak(params.normal)
        step = params.tail - at.tail
        tails = stats.score * step - 0.5 * stats.information * step**2
        return self.normal.complete(params.normal, stats.moments, at.normal) + jnp.sum(peaks + tails)

    @inlined
    def m_step(self, params: StudentParams, stats: StudentStats) -> StudentParams:
        """Weighted means, scatter matrices of the structure, and the degrees of freedom that the factors tell."""
        alive = stats.count > 0
        weight = jnp.where(alive, stats.moments.count, 1.0)
        mean = stats.moments.first / weight[:, None]
        # The Gaussian's M-step divides by the count; the mean is one by weights, the scatter about it one by rows.
        more = vech(mean[:, :, None] * mean[:, None, :]) * (stats.count - stats.moments.count)[:, None]
        moments = GaussianStats(stats.count, mean * stats.count[:, None], stats.moments.second + more)
        of_tail = [jnp.where(self.common > 0, jnp.sum(total), total) for total in (stats.score, stats.information)]
        step = of_tail[0] / (CAUTION * jnp.maximum(of_tail[1], jnp.finfo(mean.dtype).tiny))
        tail = jnp.clip(params.tail + step, params.tail / REACH, params.tail * REACH)
        tail = jnp.where(params.tail > 0, jnp.clip(tail, 1 / MOST, 1 / LEAST), BEGIN)
        tail = jnp.where(self.known > 0, self.known, tail)
        return StudentParams(self.normal.m_step(params.normal, moments), jnp.where(alive, tail, params.tail))

    @inlined
    def to_free(self, params: StudentParams) -> StudentParams:
        """The Gaussian's coordinates, and the tail."""
        return replace(params, normal=self.normal.to_free(params.normal))

    @inlined
    def from_free(self, free: StudentParams) -> StudentParams:
        """The inverse of `to_free`; a tail that an extrapolation has taken too far is put back."""
        return StudentParams(self.normal.from_free(free.normal), jnp.clip(free.tail, 1 / MOST, 1 / LEAST))

    @inlined
    def collapsed(self, params: StudentParams, stats: StudentStats, live: Any) -> Bool[Array, ""]:
        """As for Gaussian components."""
        return self.normal.collapsed(params.normal, replace(stats.moments, count=stats.count), live)

    def sample(self, key: Any, params: StudentParams, labels: Any) -> Float[Array, "d n"]:
        """One row for each label."""
        of_factor, of_noise = jax.random.split(key)
        half = 0.5 / jnp.maximum(params.tail, 1 / MOST)[labels]
        factor = jax.random.gamma(of_factor, half, dtype=half.dtype) / half
        mean = params.normal.mean[labels].T
        return mean + (self.normal.sample(of_noise, params.normal, labels) - mean) / jnp.sqrt(factor)


def student(code: str, *, dof: Any = None, univariate: bool = False) -> Student:
    """The family of t components of one structure of the scatter.

    Args:
        code: As for `gaussian`.
        dof: "equal" for degrees of freedom that all components have in common, a number for known ones; by default each component
            has its own.
        univariate: Whether the data have one column.
    Raises:
        KeyError: if there is no such structure.
        ValueError: if `dof` is neither "equal" nor a number between 1 and 10⁶.
    """
    normal = gaussian(code, univariate=univariate)
    if dof is None or dof == "equal":
        return Student(normal, common=float(dof == "equal"))
    try:
        number = float(dof)
    except (TypeError, ValueError):
        number = np.nan
    if not LEAST <= number <= MOST:
        raise ValueError(f'dof must be "equal" or a number between {LEAST:g} and {MOST:g}, got {dof!r}')
    return Student(normal, known=1 / number)


def _weighted(normal: Any, params: StudentParams, x: Any, resp: Any, num_seen: Any, square: Any) -> StudentStats:
    """Statistics from squared distances (k, n) in the columns that are seen."""
    tail = params.tail[:, None]
    factor = (1 + tail * num_seen) / (1 + tail * square)
    _, score = jax.jvp(lambda tail: _tails(tail, num_seen, square), (params.tail,), (jnp.ones_like(params.tail),))
    scored = resp * score
    moments = normal.expected_stats(params.normal, x, resp * factor)
    return StudentStats(jnp.sum(resp, 1), moments, jnp.sum(scored, 1), jnp.sum(scored * score, 1))


def _tails(tail: Float[Array, " k"], num_seen: Any, square: Float[Array, "k n"]) -> Float[Array, "k n"]:
    """Log-density less that of a Gaussian at its mean: log Γ(a + d/2) − log Γ(a) − d/2 log a − (a + d/2) log(1 + square/ν), a = ν/2."""
    tail, more = jnp.maximum(tail, 1 / MOST**2), 0.5 * num_seen
    return tail_peak(tail, more)[:, None] - (0.5 / tail + more)[:, None] * jnp.log1p(tail[:, None] * square)


def tail_peak(tail: Float[Array, " k"], more: Any) -> Float[Array, " k"]:
    """Log-density of a t component at its mean less that of a Gaussian there; `more` is half the number of columns."""
    half = 0.5 / tail
    return _above_stirling(half + more) - _above_stirling(half) + (half + more) * jnp.log1p(more / half) - more


def _above_stirling(a: Any) -> Any:
    """log Γ(a) − a log a + a: without the cancellation of these where a is large."""
    small = jnp.minimum(a, LARGE)
    series = 0.5 * jnp.log(2 * jnp.pi / a) + (1 - 1 / (30 * a**2)) / (12 * a)
    return jnp.where(a > LARGE, series, lgamma(small) - small * jnp.log(small) + small)
