"""From what a user has to rows of numbers: checks at the host boundary, each with a sentence. Imports columns and categories.

All that can be wrong with data is found here, before anything is compiled, and named by row (counted from 1) and column.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import categories
from ._typing import Whole
from .columns import filled, named


# Means of positive weights below which these are no frequencies, and above which they are none unless whole: elsewhere, log n is
# wrong by no more than log 2.
LIGHT, HEAVY = 0.5, 2.0
MOST_KEYS = 2**62  # that rows may be numbered with


@dataclasses.dataclass(frozen=True)
class Table:
    """Checked data.

    Attributes:
        x: Rows, shape (n, d), float64, finite, or NaN where a cell is missing.
        weight: Row weights, shape (n,), not negative, some positive.
        columns: Names of the columns.
        warnings: Sentences about what was set aside.
        label: Components that rows are known to come from, −1 where that is not known, shape (n,); None if nothing is known.
        categories: Of columns that were no numbers, what 0, 1, … stand for, by name of the column.
    """

    x: np.ndarray
    weight: np.ndarray
    columns: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    label: np.ndarray | None = None
    categories: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Rows, including those of weight 0."""
        return self.x.shape[0]

    @functools.cached_property
    def complete(self) -> bool:
        """Whether no cell is missing."""
        return not np.isnan(self.x).any()

    def require_complete(self, who: str) -> None:
        """Refuse missing cells, on behalf of `who`.

        Raises:
            ValueError: naming the first row and column that lack a value.
        """
        _refuse(np.isnan(self.x), self.x, self.columns, f"is missing; {who} needs complete rows: drop or fill it")

    def num_distinct(self, enough: int) -> int:
        """Distinct rows of positive weight, counted no further than `enough`."""
        seen = self.seen()
        seen = seen if self.complete else np.where(np.isnan(seen), np.inf, seen)  # NaN differs from itself
        first = len(np.unique(seen[: 10 * enough], axis=0))
        return min(enough, first if first >= enough else len(np.unique(seen, axis=0)))

    def seen(self) -> np.ndarray:
        """Rows of positive weight; no copy where that is all of them."""
        seen = self.weight > 0
        return self.x if seen.all() else self.x[seen]

    def folded(self) -> Table:
        """Every distinct row (with its label) once, with the weight of all that are like it."""
        key, room = np.zeros(self.num_rows, np.int64), 1
        for column in [*self.x.T, *([] if self.label is None else [self.label])]:
            values, own = np.unique(np.where(np.isnan(column), np.inf, column), return_inverse=True)
            if room * len(values) > MOST_KEYS:  # numbered anew: there are no more than rows
                key = np.unique(key, return_inverse=True)[1]
                room = self.num_rows
            key, room = key * len(values) + own, room * len(values)
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        label = None if self.label is None else self.label[first]
        return dataclasses.replace(self, x=self.x[first], weight=np.bincount(which, self.weight), label=label)

    def without_empty_rows(self) -> Table:
        """The same table with weight 0 for rows of which nothing is known, and with sentences about what is missing.

        Raises:
            ValueError: if all cells of a column are missing.
        """
        if self.complete:
            return self
        gone = np.isnan(self.x)
        empty = gone.all(1) if self.label is None else gone.all(1) & (self.label < 0)
        weight = np.where(empty, 0.0, self.weight)
        blank = np.flatnonzero(gone[weight > 0].all(0))
        if len(blank):
            raise ValueError(f"column {self.columns[blank[0]]!r} has no cell that is not missing; leave it out")
        said = [f"{gone.sum()} of {gone.size} cells are missing: taken to be missing at random, given what is there."]
        if empty.any():
            which = f"Row {np.flatnonzero(empty)[0] + 1} has" if empty.sum() == 1 else f"{empty.sum()} rows have"
            said.append(f"{which} no cell that is not missing, and no say in the fit.")
        together = (~gone * (weight > 0)[:, None]).astype(float)
        never = np.argwhere(np.triu(together.T @ together == 0, 1))
        if len(never):
            one, other = (self.columns[column] for column in never[0])
            said.append(f"Columns {one!r} and {other!r} are never seen in the same row: nothing tells how they are correlated.")
        return dataclasses.replace(self, weight=weight, warnings=(*self.warnings, *said))

    def without_constant_columns(self) -> Table:
        """The same table without columns that hold one value only, and with a warning for each.

        Raises:
            ValueError: if no column is left, or there is one row only, in which every column is constant.
        """
        seen = self.seen()
        if len(seen) == 1:
            told = "the data have one row" if self.num_rows == 1 else "only one row has a positive weight"
            raise ValueError(f"{told}, and one row is too few to cluster: give two or more")
        constant = (seen == (seen[0] if self.complete else np.nanmax(seen, axis=0))).all(0, where=~np.isnan(seen))
        if not constant.any():
            return self
        names = [name for name, same in zip(self.columns, constant, strict=True) if same]
        if constant.all():
            raise ValueError(f"every column is constant ({', '.join(names)}): there is nothing to cluster")
        said = tuple(f"Column {name!r} is constant and was left out." for name in names)
        kept = tuple(name for name, same in zip(self.columns, constant, strict=True) if not same)
        x = self.x[:, ~constant]
        weight = self.weight if self.complete else np.where(np.isnan(x).all(1), 0.0, self.weight)
        return dataclasses.replace(self, x=x, weight=weight, columns=kept, warnings=(*self.warnings, *said))


def read(
    data: Any, weights: Any = None, labels: Any = None, *, missing: bool = False, empty: bool = False, nominal: bool = False
) -> Table:
    """Check data and weights.

    Args:
        data: Array-like (n, d) or (n,), or a data frame (pandas, polars, anything with `__dataframe__`).
        weights: Array-like (n,) of real weights, or None for ones.
        labels: Array-like (n,) of component numbers, −1 where that is not known, or None.
        missing: Whether NaN is a missing cell rather than an error.
        empty: Whether there may be no row.
        nominal: Whether columns may be names, which are then numbered.
    Raises:
        ValueError: naming what was expected, what came, and where.
        TypeError: if the data are not numbers.
    """
    data, names = categories.learned(data) if nominal else (data, {})
    values, columns, told = named(data)
    if values.ndim != 2:
        raise ValueError(f"data must have shape (n, d) or (n,), got shape {values.shape}")
    n, d = values.shape
    if (n == 0 and not empty) or d == 0:
        raise ValueError(f"data must have at least one row and one column, got shape {values.shape}")
    _refuse(np.isinf(values), values, columns, "is infinite; replace the value or leave out the row")
    weight = _weights(weights, n)
    table = Table(values, weight, columns, (*told, *_no_frequencies(weight)), _labels(labels, n), names)
    if not missing:
        table.require_complete("this")
    return table


def _refuse(bad: np.ndarray, values: np.ndarray, columns: tuple[str, ...], why: str) -> None:
    where = np.argwhere(bad)
    if len(where):
        row, column = where[0]
        more = f" ({len(where)} such cells in all)" if len(where) > 1 else ""
        raise ValueError(f"row {row + 1}, column {columns[column]!r} {why}{more}")


def _weights(weights: Any, num_rows: int) -> np.ndarray:
    if weights is None:
        return np.ones(num_rows)
    try:
        weight = np.asarray(filled(weights), dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"weights must be {num_rows} numbers, got {repr(weights)[:40]}") from None
    if weight.shape != (num_rows,):
        raise ValueError(f"weights must have one entry for each of the {num_rows} rows, got shape {weight.shape}")
    bad = np.flatnonzero(~np.isfinite(weight) | (weight < 0))
    if len(bad):
        raise ValueError(f"weights must be finite and not negative, but the weight of row {bad[0] + 1} is {weight[bad[0]]:g}")
    if not weight.any():
        raise ValueError("weights must not all be zero")
    with np.errstate(over="ignore"):
        if not np.isfinite(weight.sum()):
            raise ValueError(
                f"weights must have a finite sum, but with weights up to {weight.max():g} it overflows; rescale them"
            )
    return weight


def _no_frequencies(weight: np.ndarray) -> list[str]:
    """A sentence on weights that cannot be frequencies, if they are none: what counts rows is at least 1, or 0, and whole if large."""
    total, rows = weight.sum(), np.count_nonzero(weight)
    if LIGHT * rows <= total and (total < HEAVY * rows or (weight == np.round(weight)).all()):
        return []
    return [
        f"The weights sum to {total:.3g} over {rows} rows: weights are frequencies, and criteria and observed information take their "
        "sum for the number of rows; if they are no frequencies, rescale them to a mean of 1."
    ]


def _labels(labels: Any, num_rows: int) -> np.ndarray | None:
    if labels is None:
        return None
    try:
        label = np.asarray(filled(labels), dtype=np.float64)
    except (TypeError, ValueError):
        some = next((value for value in np.ravel(np.asarray(labels, dtype=object)) if isinstance(value, str)), None)
        what = repr(labels)[:40] if some is None else f"{some!r}; number names with pandas.factorize(labels)[0]"
        raise ValueError(
            f"labels must be {num_rows} component numbers, -1 where the component is not known, got {what}"
        ) from None
    if label.shape != (num_rows,):
        raise ValueError(f"labels must have one entry for each of the {num_rows} rows, got shape {label.shape}")
    bad = np.flatnonzero(~((label >= -1) & (label == np.round(label))))
    if len(bad):
        raise ValueError(
            f"labels must be component numbers from 0, or -1 where the component is not known, "
            f"but the label of row {bad[0] + 1} is {label[bad[0]]:g}"
            + ("; put -1 in the place of NaN" if np.isnan(label[bad[0]]) else "")
        )
    return label.astype(np.int32) if (label >= 0).any() else None


def seed_words(seed: Any) -> tuple[int, ...]:
    """The words of a seed: of an int, or of a JAX key.

    Raises:
        TypeError: if it is neither.
        ValueError: if it is negative.
    """
    if isinstance(seed, bool):
        raise TypeError(f"seed must be an int or a JAX key, got {seed}")
    if isinstance(seed, int | np.integer):
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        return (int(seed),)
    import jax
    import jax.numpy as jnp

    try:
        words = jax.random.key_data(seed) if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) else seed
        return tuple(int(word) for word in np.asarray(words).astype(np.uint32, casting="safe").ravel())
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"seed must be an int or a JAX key, got {type(seed).__name__}") from None


def is_number(value: Any) -> bool:
    """Whether a value is one real number, Python's or NumPy's."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def count(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`.

    Raises:
        TypeError: if it is not a whole number.
        ValueError: if it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def counts(name: str, values: Iterable[Whole] | Whole) -> list[int]:
    """Distinct whole numbers of at least 1, in order, from several or from one.

    Raises:
        TypeError: if one is not a whole number.
        ValueError: if one is too small, or there is none.
    """
    several = list(values) if isinstance(values, Iterable) else [values]
    if not several:
        raise ValueError(f"{name} must hold at least one number, got none")
    return sorted({count(name, value) for value in several})
