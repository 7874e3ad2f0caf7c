"""Poisson components: counts, columns independent within a component. Imports layer 0."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import lgamma

from .._linalg import contract
from .._pytree import pytree
from .._typing import Array, Bool, Float, Int, Scalar


@pytree
class PoissonParams:
    """Params of Poisson components.

    Attributes:
        rate: Expected count in each column, shape (k, d).
    """

    rate: Float[Array, "*l k d"]


@pytree
class PoissonStats:
    """Weighted sums.

    Attributes:
        count: Σ r, shape (k,).
        total: Σ r x, shape (k, d).
    """

    count: Float[Array, "*l k"]
    total: Float[Array, "*l k d"]


@pytree
class Observed:
    """Poisson components seen through some columns only: the others are independent of them.

    Attributes:
        family: The family.
        seen: 1 for columns that are seen, 0 for missing ones, shape (d,).
    """

    family: Any
    seen: Float[Array, " d"]

    def log_prob(self, params: PoissonParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-probability of the cells that are there."""
        centre = jnp.broadcast_to(self.family.centre, self.seen.shape)
        # A missing cell, which is 0, has the probability exp(−centre).
        shown = PoissonParams(jnp.where(self.seen > 0, params.rate, centre))
        return self.family.log_prob(shown, x) + jnp.sum((1 - self.seen) * centre)

    def expected_stats(self, params: PoissonParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> PoissonStats:
        """Expected weighted counts."""
        stats = self.family.expected_stats(params, x, resp)
        return PoissonStats(stats.count, stats.total + (1 - self.seen) * stats.count[:, None] * params.rate)

    def completed(self, params: PoissonParams, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
        """Rows with the rates where cells are missing."""
        return jnp.where(self.seen[:, None] > 0, x, params.rate[:, :, None])

    def drawn(self, key: Any, params: PoissonParams, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
        """Rows with draws where cells are missing."""
        shape = (*params.rate.shape, x.shape[1])
        draws = jax.random.poisson(key, jnp.broadcast_to(params.rate[:, :, None], shape))
        return jnp.where(self.seen[:, None] > 0, x, draws.astype(x.dtype))


@pytree
class Poisson:
    """Independent Poisson counts in every column; the likelihood is bounded, so no component collapses.

    Attributes:
        centre: Mean count of every column, shape (d,): log-probabilities are taken relative to these rates, so that counts of 10⁹
            lose no digits that matter.

    References:
        McLachlan & Peel 2000, Finite Mixture Models, sec. 5.
    """

    centre: Any = 1.0

    standardise = False
    shareable = True
    name = "poisson"

    def check(self, x: np.ndarray, columns: list[str]) -> None:
        """Counts are whole and not negative.

        Raises:
            ValueError: naming the first row and column that are not.
        """
        bad = np.argwhere((x < 0) | (x != np.floor(x)) & ~np.isnan(x))
        if len(bad):
            row, column = bad[0]
            where = f"row {row + 1}, column {columns[column]!r}"
            raise ValueError(f"a Poisson mixture needs counts (whole numbers, 0 or more), but {where} is {x[row, column]:g}")

    check_rows = check

    def bind(self, x: np.ndarray, weight: np.ndarray, scale: np.ndarray, dtype: Any) -> Poisson:
        """The family that knows the columns' means."""
        mean = x @ (weight / weight.sum())
        return Poisson(np.asarray(np.where(mean > 0, mean, 1.0), dtype))

    def with_residuals(self) -> Poisson:
        """The one form there is is accurate."""
        return self

    def num_params(self, num_components: int, num_features: int) -> int:
        """One rate a component and column."""
        return num_components * num_features

    def admissible(self, params: PoissonParams, counts: np.ndarray) -> np.ndarray:
        """Every finite fit, shape (l,)."""
        return np.asarray(np.isfinite(np.asarray(params.rate)).all((-1, -2)))

    def distance(self, a: PoissonParams, b: PoissonParams) -> np.ndarray:
        """How far component i of `a` is from component j of `b`, shape (k, k): the largest difference of square-root rates, doubled.

        Twice the square root of a count has about unit standard deviation, so this counts standard deviations.
        """
        return 2 * np.abs(np.sqrt(a.rate)[:, None] - np.sqrt(b.rate)[None]).max(-1)

    def publish(self, params: PoissonParams, centre: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
        """Rates, shape (k, d); the floor that free coordinates put under a rate of 0 is 0 again."""
        floor = 10 * np.finfo(np.asarray(params.rate).dtype).tiny
        return {"rates": np.where(params.rate < floor, 0.0, np.asarray(params.rate, float))}

    def adopt(self, published: dict[str, np.ndarray], centre: np.ndarray, scale: np.ndarray) -> PoissonParams:
        """The inverse of `publish`.

        Raises:
            ValueError: if a rate is negative.
        """
        rates = np.asarray(published["rates"], float)
        if (rates < 0).any():
            raise ValueError(f"rates must not be negative, got {rates.min():g}")
        return PoissonParams(rates)

    def reference(self, num_components: int, num_features: int, dtype: Any) -> PoissonParams:
        """Unit rates."""
        return PoissonParams(np.ones((num_components, num_features), dtype))

    def log_prob(self, params: PoissonParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-probability of every row under every component."""
        centre = jnp.broadcast_to(self.centre, x.shape[:1])
        # A rate of 0 is the right answer for a column of zeros; the logarithm must stay finite for 0 log 0 to be 0. It is the quotient
        # that needs the floor: the least normal number divided by a centre is 0 to compilers that flush what is smaller.
        quotient = jnp.maximum(params.rate / centre, jnp.finfo(x.dtype).tiny)
        ratio = jnp.log(quotient)
        excess = jnp.where(jnp.abs(ratio) < 0.1, ratio - jnp.expm1(ratio), ratio + 1 - quotient)
        common = jnp.sum(x * jnp.log(centre)[:, None] - centre[:, None] - lgamma(x + 1), axis=0)
        return contract("kd,dn->kn", ratio, x - centre[:, None]) + jnp.sum(centre * excess, 1)[:, None] + common

    def observed(self, params: PoissonParams, missing: Int[Array, " q"]) -> Observed:
        """The components where the columns `missing` are not seen."""
        gone = jnp.any(missing[:, None] == jnp.arange(params.rate.shape[-1]), axis=0)
        return Observed(self, 1 - gone.astype(params.rate.dtype))

    def expected_stats(self, params: PoissonParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> PoissonStats:
        """Weighted counts."""
        return PoissonStats(jnp.sum(resp, 1), contract("kn,dn->kd", resp, x))

    def complete(self, params: PoissonParams, stats: PoissonStats, at: PoissonParams) -> Scalar:
        """Expected complete-data log-likelihood up to a constant, mixing weights apart."""
        rate = jnp.maximum(params.rate, jnp.finfo(params.rate.dtype).tiny)
        return jnp.sum(jnp.log(rate) * stats.total - rate * stats.count[:, None])

    def m_step(self, params: PoissonParams, stats: PoissonStats) -> PoissonParams:
        """Weighted means."""
        alive = stats.count > 0
        count = jnp.where(alive, stats.count, 1.0)
        return PoissonParams(jnp.where(alive[:, None], stats.total / count[:, None], params.rate))

    def to_free(self, params: PoissonParams) -> PoissonParams:
        """Square roots of the rates, floored where a rate is 0.

        Not logarithms: that of a rate on its way to 0 runs off at a constant speed, and the length of SQUAREM's step is then all its own.
        """
        return PoissonParams(jnp.sqrt(jnp.maximum(params.rate, jnp.finfo(params.rate.dtype).tiny)))

    def from_free(self, free: PoissonParams) -> PoissonParams:
        """The inverse of `to_free`."""
        return PoissonParams(jnp.square(free.rate))

    def collapsed(self, params: PoissonParams, stats: PoissonStats, live: Any) -> Bool[Array, ""]:
        """Never."""
        return jnp.asarray(False)

    def sample(self, key: Any, params: PoissonParams, labels: Any) -> Float[Array, "d n"]:
        """One row for each label."""
        return jax.random.poisson(key, params.rate[labels]).T.astype(params.rate.dtype)
