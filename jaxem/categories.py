"""Categories by name: columns of text as numbers. Imports columns; pandas where there are names.

A frame speaks names, an array of numbers speaks their places: category 0 is the first of a column's names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .columns import frame


Names = Mapping[str, Sequence[str]]  # of a column's categories, in order


def learned(data: Any) -> tuple[Any, dict[str, tuple[str, ...]]]:
    """Data whose columns of text, of truth values and of pandas' and polars' categories are numbers, and what these stand for.

    Names are in alphabetical order, categories of a data frame's in their own; those that no row has are left out.
    """
    found = _series(data)
    names = {name: _names(column) for name, column in found.items() if _is_text(column)}
    return (_replaced(found, names) if names else data), names


def numbered(data: Any, names: Names, columns: Sequence[str]) -> Any:
    """Data whose columns are numbers, by names that are known.

    Args:
        data: A data frame, or an array.
        names: Of the categories, by column.
        columns: What the columns of an array are called.
    Raises:
        ValueError: for a name that is not known, with those that are.
    """
    found = _series(data) if names else {}
    if not _has_columns(data):
        if not any(map(_is_text, found.values())) or len(found) != len(columns):
            return data
        found = dict(zip(columns, found.values(), strict=True))
    here = {name: tuple(names[name]) for name in found if name in names}
    return _replaced(found, here) if here else data


def _has_columns(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "__getitem__")


def _series(data: Any) -> dict[str, Any]:
    """Columns by name, as `columns.named` has them; none where the data are no table."""
    data = frame(data)
    if hasattr(data, "to_frame") and hasattr(data, "name") and not hasattr(data, "columns"):
        data = data.to_frame()  # a pandas or polars Series
    if _has_columns(data):
        return {str(name): data[name] for name in data.columns}
    try:
        array = np.asarray(data)
        array = np.asarray(data, object) if array.dtype.kind in "US" else array  # text that numbers or None became
    except ValueError:
        return {}
    array = array[:, None] if array.ndim == 1 else array
    return {f"x{j + 1}": column for j, column in enumerate(array.T)} if array.ndim == 2 else {}


def _is_text(column: Any) -> bool:
    """Whether values are names: text, truth values, or categories of a data frame."""
    if _kind(column).startswith(("categor", "enum", "bool")):
        return True
    values = np.asarray(column)
    return values.dtype.kind in "US" or (values.dtype == object and any(isinstance(value, str) for value in values))


def _kind(column: Any) -> str:
    return str(getattr(column, "dtype", "")).lower()


def _names(column: Any) -> tuple[str, ...]:
    there = set(_told_apart(column)[1])
    dtype: Any = getattr(column, "dtype", None)
    own = dtype.categories if isinstance(getattr(dtype, "ordered", None), bool) or _kind(column).startswith("enum") else None
    order = sorted(there) if own is None else [_name(value) for value in own]  # pandas and polars keep an order of their own
    return tuple(name for name in order if name in there)


def _told_apart(column: Any) -> tuple[np.ndarray, list[str]]:
    """Which of its distinct values each cell holds, −1 where it holds nothing, (n,), and what these values are called."""
    import pandas as pd

    values = column.to_numpy() if hasattr(column, "to_numpy") else column
    which, distinct = pd.factorize(np.asarray(values, object))
    return which, [_name(value) for value in distinct]


def _name(value: Any) -> str:
    """What a value is called; a whole number without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing."""
    return not isinstance(value, str) and (value is None or str(value) in ("<NA>", "NaT") or value != value)


def _replaced(found: Mapping[str, Any], names: Names) -> Any:
    """The columns, those with names as numbers."""
    import pandas as pd

    columns = {name: _numbers(name, own, names[name]) if name in names else np.asarray(own) for name, own in found.items()}
    return pd.DataFrame(columns)


def _numbers(title: str, column: Any, names: Sequence[str]) -> np.ndarray:
    which, called = _told_apart(column)
    place = {name: float(number) for number, name in enumerate(names)}
    numbers = np.array([*(place.get(name, -1.0) for name in called), np.nan])[which]  # −1, nothing, is the last
    if (numbers < 0).any():
        row = int((numbers < 0).argmax())
        shown = ", ".join(map(repr, names[:10])) + (", …" if len(names) > 10 else "")
        raise ValueError(
            f"row {row + 1}, column {title!r} is {called[which[row]]!r}, and the fit knows {shown}; put None for a missing cell"
        )
    return numbers
