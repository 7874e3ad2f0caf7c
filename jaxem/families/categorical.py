"""Categorical components: latent class analysis, columns independent within a class. Imports layer 0."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._linalg import contract
from .._pytree import pytree
from .._typing import Array, Bool, Float, Int, Scalar


NEVER = 0.05  # rows: where a component shows a category in fewer, its probability is on the way to 0
NOTHING = 1e-10  # probabilities below which no data show anything
MOST = 1000  # categories of a column: more are no categories, or the first of them is not numbered 0


@pytree
class CategoricalParams:
    """Params of categorical components.

    Attributes:
        probability: Of each category in each column, shape (k, d, m); 0 beyond a column's own categories.
    """

    probability: Float[Array, "*l k d m"]


@pytree
class CategoricalStats:
    """Weighted sums.

    Attributes:
        count: Σ r, shape (k,).
        total: Σ r over the rows that show a category, shape (k, d, m).
    """

    count: Float[Array, "*l k"]
    total: Float[Array, "*l k d m"]


@pytree
class Observed:
    """Categorical components seen through some columns only: the others are independent of them.

    Attributes:
        family: The family.
        seen: 1 for columns that are seen, 0 for missing ones, shape (d,).
    """

    family: Any
    seen: Float[Array, " d"]

    def log_prob(self, params: CategoricalParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-probability of the cells that are there."""
        shown = jnp.where(self.seen[:, None] > 0, params.probability, 1.0)  # a missing cell has some category, with certainty
        return self.family.log_prob(CategoricalParams(shown), x)

    def expected_stats(self, params: CategoricalParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> CategoricalStats:
        """Weighted counts of the cells that are there: those that are not have no say in their column, and need none."""
        stats = self.family.expected_stats(params, x, resp)
        return CategoricalStats(stats.count, stats.total * self.seen[:, None])

    def drawn(self, key: Any, params: CategoricalParams, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
        """Rows with draws where cells are missing."""
        logits = _log(params.probability)[:, :, None, :]
        draws = jax.random.categorical(key, logits, shape=(*params.probability.shape[:2], x.shape[1]))
        return jnp.where(self.seen[:, None] > 0, x, draws.astype(x.dtype))


@pytree
class Categorical:
    """Independent categories in every column: the components are latent classes. The likelihood is bounded, so none collapses.

    Categories are numbered 0, 1, …, in each column from 0. One that no row has gets probability 0, and counts as no parameter.

    Attributes:
        exists: 1 for the categories that some row of the data has, 0 for others, shape (d, m), or (k, d, m) where components differ in
            it; None where that is not known.

    References:
        Lazarsfeld & Henry 1968, Latent Structure Analysis; Goodman 1974, Biometrika 61.
    """

    exists: Any = None

    standardise = False
    shareable = True
    name = "categorical"

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Probabilities lie between 0 and 1."""
        return {"probabilities": (0.0, 1.0)}

    def check(self, x: np.ndarray, columns: list[str]) -> None:
        """Categories are numbered from 0.

        Raises:
            ValueError: naming the first row and column whose value is no such number.
        """
        bad = np.argwhere((x < 0) | (x >= MOST) | (x != np.floor(x)) & ~np.isnan(x))
        if len(bad):
            row, column = bad[0]
            value = x[row, column]
            hint = "; put NaN where it is missing" if value < 0 else "; pandas.factorize numbers the values of a column"
            raise ValueError(
                f"categories are numbered 0, 1, … (up to {MOST - 1}), but row {row + 1}, column {columns[column]!r} is {value:g}{hint}"
            )

    def check_rows(self, x: np.ndarray, columns: list[str]) -> None:
        """Rows to predict have categories that the fit knows.

        Raises:
            ValueError: naming the first row and column whose value is no category, or one that no row of the fit had.
        """
        self.check(x, columns)
        if self.exists is None:
            return
        most = self.exists.shape[1]
        category = np.where(np.isnan(x) | (x >= most), 0, x).astype(int)
        known = np.isnan(x) | (x < most) & (np.asarray(self.exists)[np.arange(x.shape[1]), category] > 0)
        bad = np.argwhere(~known)
        if len(bad):
            row, column = bad[0]
            raise ValueError(
                f"row {row + 1}, column {columns[column]!r} is in category {x[row, column]:g}, in which no row of the fit was: its "
                "probability is not known; put NaN for a missing cell"
            )

    def bind(self, x: np.ndarray, weight: np.ndarray, scale: np.ndarray, dtype: Any) -> Categorical:
        """The family that knows which categories there are."""
        exists = np.zeros((len(x), int(x.max()) + 1), dtype)
        for own, column in zip(exists, x, strict=True):
            own[np.unique(column).astype(int)] = 1
        return Categorical(exists)

    def knowing(self, published: dict[str, np.ndarray]) -> Categorical:
        """The family that a fit was made with, from what it published."""
        return Categorical((published["probabilities"] > 0).any(axis=0).astype(float))

    def embed(self, x: np.ndarray) -> np.ndarray:
        """Rows (d, n) as points, (e, n): an indicator for each category, so that squares of distances count differing columns, twice."""
        there = self._indicators(x, self.exists.shape[1]) * (np.asarray(self.exists)[:, :, None] > 0)
        return there.reshape(-1, x.shape[1])[np.asarray(self.exists).ravel() > 0].astype(float)

    def likeliest(self, params: CategoricalParams, resp: np.ndarray) -> np.ndarray:
        """The most probable category in each column of rows with responsibilities (n, k), shape (n, d)."""
        return np.einsum("nk,kdm->ndm", resp, np.asarray(params.probability)).argmax(axis=2)

    @staticmethod
    def _indicators(x: np.ndarray, most: int) -> np.ndarray:
        """Which category each cell is in, (d, m, n); a guess in the place of a missing cell is in the nearest."""
        return np.rint(x)[:, None] == np.arange(most)[:, None]

    def with_residuals(self) -> Categorical:
        """The one form there is is accurate."""
        return self

    def pinned(self, params: CategoricalParams, counts: np.ndarray) -> Categorical:
        """The family in which the probabilities of categories that a component next to never shows are 0, and stay 0."""
        expected = np.asarray(params.probability) * np.asarray(counts)[:, None, None]
        return Categorical(np.where(expected < NEVER, 0.0, np.asarray(self.exists)))

    def num_held(self, params: CategoricalParams) -> int:
        """Probabilities that are 0 by `pinned`."""
        exists = np.asarray(self.exists)
        return int((exists.max(axis=0) - exists).sum()) if exists.ndim == 3 else 0

    def num_params(self, num_components: int, num_features: int) -> int:
        """A probability less than there are categories, for each component and column."""
        return num_components * int(np.maximum(self._exists(num_features).sum(axis=1) - 1, 0).sum())

    def most_params(self) -> int:
        """Free numbers that the distribution of rows has: parameters beyond them are not determined, however many rows there are."""
        return math.prod(int(size) for size in np.maximum(np.asarray(self.exists).sum(axis=1), 1)) - 1

    def admissible(self, params: CategoricalParams, counts: np.ndarray) -> np.ndarray:
        """Every finite fit, shape (l,)."""
        return np.asarray(np.isfinite(np.asarray(params.probability)).all((-1, -2, -3)))

    def distance(self, a: CategoricalParams, b: CategoricalParams) -> np.ndarray:
        """How far component i of `a` is from component j of `b`, shape (k, k): the largest distance of square-root probabilities, doubled.

        Twice the square root of a share of n rows has about standard deviation 1/√n, so this counts standard deviations of a row.
        """
        steps = np.sqrt(a.probability)[:, None] - np.sqrt(b.probability)[None]
        return 2 * np.sqrt((steps**2).sum(-1)).max(-1)

    def publish(self, params: CategoricalParams, centre: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities, shape (k, d, m); the least ones were on the way to 0, and are 0."""
        probability = np.asarray(params.probability, float)
        return {"probabilities": np.where(probability < NOTHING, 0.0, probability)}

    def adopt(self, published: dict[str, np.ndarray], centre: np.ndarray, scale: np.ndarray) -> CategoricalParams:
        """The inverse of `publish`.

        Raises:
            ValueError: if probabilities are negative, or do not sum to 1 in every column of a component.
        """
        probability = np.asarray(published["probabilities"], float)
        if (probability < 0).any() or (np.abs(probability.sum(-1) - 1) > 1e-6).any():
            raise ValueError("probabilities must not be negative, and those of a column must sum to 1 in each component")
        return CategoricalParams(probability)

    def reference(self, num_components: int, num_features: int, dtype: Any) -> CategoricalParams:
        """All categories of a column equally probable."""
        exists = np.asarray(self._exists(num_features), dtype)
        return CategoricalParams(np.tile(exists / exists.sum(axis=1, keepdims=True), (num_components, 1, 1)))

    def log_prob(self, params: CategoricalParams, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-probability of every row under every component."""
        k = params.probability.shape[0]
        return contract("kf,fn->kn", _log(params.probability).reshape(k, -1), _indicators(x, params.probability))

    def observed(self, params: CategoricalParams, missing: Int[Array, " q"]) -> Observed:
        """The components where the columns `missing` are not seen."""
        gone = jnp.any(missing[:, None] == jnp.arange(params.probability.shape[-2]), axis=0)
        return Observed(self, 1 - gone.astype(params.probability.dtype))

    def expected_stats(self, params: CategoricalParams, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> CategoricalStats:
        """Weighted counts of every category."""
        total = contract("kn,fn->kf", resp, _indicators(x, params.probability))
        return CategoricalStats(jnp.sum(resp, 1), total.reshape(params.probability.shape))

    def complete(self, params: CategoricalParams, stats: CategoricalStats, at: CategoricalParams) -> Scalar:
        """Expected complete-data log-likelihood, mixing weights apart."""
        return jnp.sum(_log(params.probability) * stats.total)

    def m_step(self, params: CategoricalParams, stats: CategoricalStats) -> CategoricalParams:
        """Weighted shares, of the rows that show a category in that column."""
        total = stats.total * self.exists
        shown = jnp.sum(total, axis=-1, keepdims=True)
        share = total / jnp.where(shown > 0, shown, 1.0)
        return CategoricalParams(jnp.where(shown > 0, share, params.probability))

    def to_free(self, params: CategoricalParams) -> CategoricalParams:
        """Square roots of the probabilities, of any length, floored where a probability is 0: the logarithm of one would run off."""
        return CategoricalParams(_where_positive(jnp.sqrt, params.probability) * self.exists)

    def from_free(self, free: CategoricalParams) -> CategoricalParams:
        """The inverse of `to_free`."""
        square = jnp.square(free.probability) * self.exists
        return CategoricalParams(square / jnp.sum(square, axis=-1, keepdims=True))

    def collapsed(self, params: CategoricalParams, stats: CategoricalStats, live: Any) -> Bool[Array, ""]:
        """Never."""
        return jnp.asarray(False)

    def sample(self, key: Any, params: CategoricalParams, labels: Any) -> Float[Array, "d n"]:
        """One row for each label."""
        draws = jax.random.categorical(key, _log(params.probability)[labels])
        return draws.T.astype(params.probability.dtype)

    def _exists(self, num_features: int) -> np.ndarray:
        """Which categories there are, (d, m); two in each column where nothing is known."""
        return np.ones((num_features, 2)) if self.exists is None else np.asarray(self.exists)


def _indicators(x: Float[Array, "d n"], probability: Float[Array, "k d m"]) -> Float[Array, "f n"]:
    """1 for the category that a cell is in, 0 for all others, a line for each category of each column."""
    categories = jnp.arange(probability.shape[-1], dtype=x.dtype)
    return (x[:, None] == categories[:, None]).reshape(-1, x.shape[1]).astype(probability.dtype)


def _log(probability: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Logarithms that stay finite where a probability is 0, so that no row times it is 0."""
    return _where_positive(jnp.log, probability)


def _where_positive(function: Any, probability: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """A function of probabilities above the least normal number, and its value there for others, without a slope or a bend."""
    tiny = jnp.finfo(probability.dtype).tiny
    above = probability > tiny
    return jnp.where(above, function(jnp.where(above, probability, 1.0)), function(jnp.asarray(tiny, probability.dtype)))
