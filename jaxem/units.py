"""A table in internal units: every column centred and scaled where the families allow it. Imports tabular and filling.

EM sees rows (d, n) in these units; `centre` and `scale` take its answer back to the data's own, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._parts import parts
from .filling import commonest, filled
from .tabular import Table


DEPENDENT = 1e-3  # share of a column in the constant combination from which it is named
COLLINEAR = 1e-15, 1e-5  # smallest eigenvalues of the correlation matrix between which full covariances see sphered data


class Units:
    """A table and its internal units: x = centre + scale u.

    Args:
        table: Checked data without constant columns, if it is to be scaled.
        families: Families of one kind: all standardised, or none.

    Attributes:
        scaled: Whether the families are standardised.
        nominal: Whether values are names, and only the family knows which are near each other.
        centre: Shape (d,).
        scale: Shape (d, d): diagonal, except where the columns are nearly collinear.
    """

    def __init__(self, table: Table, families: Sequence[Any]):
        self.table, self.scaled = table, bool(families[0].standardise)
        self.nominal = hasattr(families[0], "embed")
        self.centre, self.scale = np.zeros(table.x.shape[1]), np.eye(table.x.shape[1])
        if self.scaled:
            self.centre, deviation = moments(table.x, table.weight)
            self.scale = np.diag(deviation)
            if all(getattr(family, "linear", False) for family in families) and nearly_collinear(table):
                self.scale = deviation[:, None] * np.linalg.cholesky(_correlation(table))

    @property
    def rows(self) -> np.ndarray:
        """All rows, shape (d, n), NaN where missing: made anew each time, for the device holds them already."""
        return self.inside(self.table.x)

    @property
    def guesses(self) -> np.ndarray:
        """The same rows with guesses in the place of missing cells."""
        return self.filled(self.rows, self.table.weight)

    @property
    def log_scale(self) -> float:
        """Log of the volume in the data's units of a unit of volume in these."""
        return float(np.linalg.slogdet(self.scale)[1])

    @property
    def row_offset(self) -> np.ndarray:
        """What the log-density of each row in internal units lacks of the one in the data's, shape (n,)."""
        if self.table.complete:
            return np.full(self.table.num_rows, -self.log_scale)
        return -(~np.isnan(self.table.x) @ np.log(np.diag(self.scale)))

    def offset_of(self, weight: np.ndarray) -> float:
        """The same for a log-likelihood, with rows of these weights (n,)."""
        return -float(weight.sum()) * self.log_scale if self.table.complete else float(weight @ self.row_offset)

    def inside(self, x: np.ndarray, room: int = 0) -> np.ndarray:
        """Rows (n, d) in internal units, shape (d, n), or up to `room` with zeros where scaling makes a copy anyway."""
        if not self.scaled:
            return x.T
        deviation = np.diag(self.scale)
        plain = np.array_equal(self.scale, np.diag(deviation))
        n, d = x.shape
        rows = np.zeros((d, max(n, room)))
        for row, column, centre, unit in zip(rows, x.T, self.centre, deviation if plain else np.ones(d), strict=True):
            np.subtract(column, centre, out=row[:n])
            row[:n] /= unit
        return rows if plain else np.linalg.solve(self.scale, rows)

    def filled(self, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Rows (d, n) in internal units with guesses in the place of missing cells."""
        if self.scaled or self.table.complete:
            return filled(rows, weight)
        if self.nominal:
            return commonest(rows, weight)
        centre, scale = moments(rows.T, weight)  # counts: columns of any scale
        return (filled(((rows.T - centre) / scale).T, weight).T * scale + centre).T


def points(family: Any, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows (d, n) as points whose distances mean something, (e, n): where the family puts them, or in columns of unit scale."""
    if hasattr(family, "embed"):
        return family.embed(rows)
    centre, scale = moments(rows.T, weight)
    return ((rows.T - centre) / np.where(scale > 0, scale, 1.0)).T


def nearly_collinear(table: Table) -> bool:
    """Whether some combination of the columns has next to no variance of its own, though they are no exact multiples."""
    if not table.complete:  # a combination of columns needs all of them
        return False
    columns = table.without_constant_columns()
    least = float(np.linalg.eigvalsh(_correlation(columns))[0])
    return COLLINEAR[0] < least < COLLINEAR[1]


def dependence(table: Table) -> list[str]:
    """A sentence on columns of which some combination is constant to rounding, if there are any."""
    n, d = table.x.shape
    if d == 1 or not table.complete:
        return []
    values, vectors = np.linalg.eigh(_correlation(table))
    if values[0] > max(COLLINEAR[0], d * np.finfo(float).eps):
        return []
    cause = f"There are {n} rows for {d} columns"
    if n > d:
        names = [repr(name) for name, share in zip(table.columns, vectors[:, 0], strict=True) if abs(share) > DEPENDENT]
        cause = f"Columns {', '.join(names)} are linearly dependent to rounding"
    return [
        f"{cause}: the likelihood of covariances that are not diagonal has no maximum; leave columns out, choose among EII, VII, EEI, "
        "VEI, EVI and VVI, or give a prior."
    ]


def few_values(table: Table, most: int) -> list[str]:
    """A sentence on columns that so many components can divide into constant parts, if there are any."""
    few = [
        (name, values)
        for name, values in zip(table.columns, (len(np.unique(column[~np.isnan(column)])) for column in table.x.T), strict=True)
        if values <= most < table.num_rows
    ]
    if not few:
        return []
    named = ", ".join(f"{name!r} ({values})" for name, values in few[:5]) + (", …" if len(few) > 5 else "")
    which = "Column" if len(few) == 1 else "Columns"
    return [
        f"{which} with few distinct values: {named}. Components that hold one value each have no variance there; leave such columns out, "
        "or give a prior."
    ]


def _correlation(table: Table) -> np.ndarray:
    """The correlation matrix of the columns, shape (d, d)."""
    mean, deviation = moments(table.x, table.weight)
    total = np.zeros((len(mean), len(mean)))
    for some in parts(table.num_rows):
        unit = (table.x[some] - mean) / deviation
        total += (unit * table.weight[some, None]).T @ unit
    return total / table.weight.sum()


def moments(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every column of x (n, d), of the cells that are there, for numbers of any size."""
    gone = np.isnan(x)
    if gone.any():
        each = [moments(column[there, None], weight[there]) for column, there in zip(x.T, ~gone.T, strict=True)]
        return np.array([mean[0] for mean, _ in each]), np.array([deviation[0] for _, deviation in each])
    size = np.max([np.abs(x[some]).max(axis=0) for some in parts(len(x))], axis=0)
    size = np.where(size > 0, size, 1.0)
    share = weight / weight.sum()
    mean = sum(share[some] @ (x[some] / size) for some in parts(len(x)))
    variance = sum(share[some] @ (x[some] / size - mean) ** 2 for some in parts(len(x)))
    return mean * size, np.sqrt(variance) * size
