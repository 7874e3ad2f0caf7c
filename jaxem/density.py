"""A fitted mixture as a distribution of rows: their densities, their components, rows like them. Imports layers 0 to 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import categories, families, rowwise, tabular
from ._parts import parts
from ._precision import precision, random_key
from .columns import frame
from .noise import Region


if TYPE_CHECKING:
    from .result import Params


class Density:
    """What may be asked of a fit about rows, old or new; `Fit` has all of it, and the fields that it is read from."""

    family: str
    num_components: int
    params: Params
    columns: tuple[str, ...]
    input_columns: tuple[str, ...]
    terms: dict[str, Any]
    source: Any
    categories: Mapping[str, Sequence[str]]

    def predict(self, x: Any) -> np.ndarray:
        """The most probable component of each row.

        Args:
            x: Rows as in `jaxem.fit`: array-like (n, d) or a data frame with the fit's columns; NaN is a missing cell. There may be none.
        Returns:
            Component numbers, shape (n,), 0 for the largest component (with labels or fixed parameters: for their first), −1 for noise.
        Raises:
            ValueError: for rows of other columns, or rows that the family cannot have made.

        Example:
            >>> import jaxem
            >>> fit = jaxem.fit(jaxem.datasets.load("faithful"), "EEE", 3)
            >>> fit.predict([[2.0, 50.0], [4.5, 80.0]]).tolist()
            [1, 0]
        """
        rows = self._checked(x)
        best = np.empty(len(rows), int)
        for some in parts(len(rows)):  # densities of all rows under all components may not fit into memory
            best[some] = self._log_joint(rows[some]).argmax(axis=1)
        return np.where(best < self.num_components, best, -1)

    def predict_proba(self, x: Any) -> np.ndarray:
        """Responsibilities: the probability of each component given the row.

        Args:
            x: Rows as in `predict`.
        Returns:
            Shape (n, k); rows sum to 1. A fit with noise has one column more, the last: the probability that the row is noise.
        Raises:
            ValueError: for rows of other columns, or rows that the family cannot have made.
        """
        resp = self.log_joint(x)
        for some in parts(len(resp)):
            joint = resp[some]
            joint -= joint.max(axis=1, keepdims=True)
            np.exp(joint, out=joint)
            joint /= joint.sum(axis=1, keepdims=True)
        return resp

    def log_prob(self, x: Any) -> np.ndarray:
        """Log-density of each row under the mixture, in nats, shape (n,); of the cells that are there, where some are missing.

        Noise has the same density everywhere, also outside the region that it was given: far out, with noise, this is no density, for
        it has no finite integral.

        Args:
            x: Rows as in `predict`.
        Raises:
            ValueError: for rows of other columns, or rows that the family cannot have made.

        Example:
            >>> import jaxem
            >>> data = jaxem.datasets.load("faithful")
            >>> fit = jaxem.fit(data, "EEE", 3)
            >>> abs(fit.log_prob(data).sum() - fit.log_likelihood) < 1e-6
            np.True_
        """
        rows = self._checked(x)
        out = np.empty(len(rows))
        for some in parts(len(rows)):
            joint = self._log_joint(rows[some])
            top = joint.max(axis=1)
            out[some] = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
        return out

    def impute(self, x: Any, num_draws: int | None = None, seed: Any = 0) -> np.ndarray:
        """Rows with their missing cells filled in.

        Conditional means (of categories, the most probable one) are the best guesses of single cells, but rows filled with them vary too
        little: what is to be analysed further wants several draws (multiple imputation; Rubin 1987). Draws are from the fitted mixture,
        as if it were certain.

        Args:
            x: Rows as in `jaxem.fit`, with NaN where a cell is missing.
            num_draws: How many filled tables to draw; None for the conditional means.
            seed: An int or a JAX key, for the draws.
        Returns:
            The fit's columns, shape (n, d), or (num_draws, n, d).
        Raises:
            ValueError: for rows of other columns, or a family that takes complete rows only.
        References:
            Little & Rubin 2019, Statistical Analysis with Missing Data, ch. 5 and 11.

        Example:
            >>> import jaxem, numpy as np
            >>> fit = jaxem.fit(jaxem.datasets.load("faithful"), "EEE", 3)
            >>> fit.impute([[2.0, np.nan], [np.nan, 80.0]]).round(1).tolist()
            [[2.0, 54.3], [4.3, 80.0]]
        """
        return rowwise.impute(self, x, num_draws, seed)

    def log_joint(self, x: Any) -> np.ndarray:
        """log p(row, component) in nats, shape (n, k), and with noise log p(row, noise) in one column more, float64.

        Args:
            x: Rows as in `predict`.
        Raises:
            ValueError: for rows of other columns, or rows that the family cannot have made.
        """
        rows = self._checked(x)
        joint = np.empty((len(rows), self.num_components + ("noise" in self.terms)))
        for some in parts(len(rows)):
            joint[some] = self._log_joint(rows[some])
        return joint

    def _checked(self, x: Any) -> np.ndarray:
        """Rows (n, d) of which the family has densities; no row is no error."""
        rows = self.rows(x, missing=True, empty=True)
        self._check(rows)
        return rows

    def _check(self, rows: np.ndarray) -> None:
        """Refuse rows (n, d) that the family cannot have made."""
        check = getattr(self._family(), "check_rows", None)  # a family of the user's own may have none
        if check is not None and len(rows):
            check(rows, list(self.columns))

    def _log_joint(self, rows: np.ndarray) -> np.ndarray:
        """See `log_joint`."""
        family, components = self._components()
        log_prob = rowwise.log_prob(family, components, rows, self.columns)
        with np.errstate(divide="ignore"):
            joint = log_prob.T + np.log(self.params.weights)
            if self.noise is None:
                return joint
            return np.column_stack([joint, np.log(self.noise_weight) + self.noise.log_density(rows)])

    @property
    def noise(self) -> Region | None:
        """Where the noise lies, its `.log_volume`, and nothing where there is none."""
        return Region.from_dict(self.terms["noise"]) if "noise" in self.terms else None

    @property
    def noise_weight(self) -> float:
        """The share of the rows that is noise; 0 where there is none."""
        return max(0.0, 1.0 - float(self.params.weights.sum())) if "noise" in self.terms else 0.0

    def sample(self, n: int, seed: Any = 0) -> np.ndarray:
        """New rows drawn from the mixture, noise included, shape (n, d).

        Args:
            n: How many.
            seed: An int or a JAX key; the same seed gives the same rows.
        """
        n = tabular.count("n", n)
        rng = np.random.default_rng(tabular.seed_words(seed))
        weights = self.params.weights / self.params.weights.sum()
        labels = rng.choice(self.num_components, n, p=weights)
        with precision(np.float64):
            key = random_key(rng.integers(2**31))
            family, components = self._components()
            rows = rowwise.sample(family, components, key, labels)
        if self.noise is None:
            return rows
        return np.where(rng.random((n, 1)) < self.noise_weight, self.noise.sample(rng, n), rows)

    def _family(self) -> Any:
        if self.source is None and not families.known(self.family):
            raise ValueError(
                f"the family {self.family!r} does not come with jaxem, and a file does not hold it: give it again, as in "
                "jaxem.load(path, family=...)"
            )
        if self.source is not None:
            return self.source
        family = families.resolve(self.family, len(self.columns))[0]
        return family.knowing(self.params.asdict()) if hasattr(family, "knowing") else family

    def _components(self) -> tuple[Any, Any]:
        """The family in its accurate form, and its params in the data's units."""
        d, family = len(self.columns), self._family().with_residuals()
        published = {name: array for name, array in self.params.asdict().items() if name != "weights"}
        return family, family.adopt(published, np.zeros(d), np.eye(d))

    def rows(self, x: Any, *, missing: bool = False, empty: bool = False) -> np.ndarray:
        """Data as the fit sees them: its own columns only, shape (n, d), from a frame by name and from an array by position.

        Args:
            x: Array-like (n, d) or a data frame.
            missing: Whether NaN is a missing cell rather than an error.
            empty: Whether there may be no row.
        Raises:
            ValueError: if a column is lacking, or the number of columns is another.
        """
        names, x = self.input_columns or self.columns, frame(x)
        if hasattr(x, "columns") and hasattr(x, "__getitem__"):
            there = set(map(str, x.columns))
            lacking = [name for name in self.columns if name not in there]
            if lacking:
                raise ValueError(
                    f"the fit uses column {lacking[0]!r}, which these data lack; they have {list(map(str, x.columns))}"
                )
            wanted = set(self.columns)
            x = x[[column for column in x.columns if str(column) in wanted]]
            names = tuple(str(column) for column in x.columns)
        values = tabular.read(categories.numbered(x, self.categories, names), missing=missing, empty=empty).x
        if values.shape[1] == len(self.columns) != len(names):
            return values
        if values.shape[1] != len(names):
            raise ValueError(
                f"the fit has {len(self.columns)} columns {list(self.columns)}, but these data have {values.shape[1]}"
            )
        if names == self.columns:
            return values
        place = {name: number for number, name in enumerate(names)}
        return values[:, [place[name] for name in self.columns]]
