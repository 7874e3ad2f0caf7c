"""Plain tables, read without pandas, which takes as long to load as half of a small selection. Imports NumPy only.

Plain is a text file of finite numbers under (or without) one line of distinct names. Whatever else a file holds is left to pandas.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class PlainTable:
    """Named columns of numbers: as much of a data frame as the command needs.

    Attributes:
        columns: Their names.
        values: The numbers, shape (n, d).
    """

    columns: list[str]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[:, self.columns.index(name)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype, copy=copy)

    def only(self, names: Sequence[str]) -> PlainTable:
        """Some of the columns."""
        return PlainTable(list(names), self.values[:, [self.columns.index(name) for name in names]])


def parse(text: str, separator: str, names: list[str] | None) -> PlainTable | None:
    """A plain table; None where the text is anything else.

    Args:
        text: Lines of numbers, after a line of names where there are names.
        separator: Between the numbers; a blank stands for any run of blanks.
        names: Of the columns.
    """
    if names is not None and (not all(names) or len(set(names)) < len(names)):
        return None
    try:
        values = np.loadtxt(
            io.StringIO(text),
            delimiter=None if separator == " " else separator,
            skiprows=0 if names is None else 1,
            comments=None,
            quotechar='"',
            ndmin=2,
        )
    except ValueError:
        return None
    if not values.size or not np.isfinite(values).all():
        return None
    names = [f"x{j + 1}" for j in range(values.shape[1])] if names is None else names
    return PlainTable(names, values) if len(names) == values.shape[1] else None
