"""From arrays and data frames of any library to named columns of numbers. Imports NumPy only; pandas if it is needed.

What is no number is refused here, by the name of its column.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def named(data: Any) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Values (n, d) in float64, names of the columns, and a sentence where values were no numbers but have a number each."""
    data = frame(data)
    if hasattr(data, "to_frame") and hasattr(data, "name") and not hasattr(data, "columns"):
        data = data.to_frame()  # a pandas or polars Series
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        names = [str(name) for name in data.columns]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"column names must be distinct, and {twice!r} occurs {names.count(twice)} times")
        series = [data[name] for name in data.columns]
    elif hasattr(data, "__dataframe__"):
        import pandas as pd

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas wants to be rid of this protocol, but some frames have no other
            table = pd.api.interchange.from_dataframe(data)
        names, series = [str(name) for name in table.columns], [table[name] for name in table.columns]
    else:
        _check_kind(data)
        _refuse_category("x1", data)
        try:
            array = np.asarray(filled(data))
        except ValueError:
            raise ValueError("data must have shape (n, d) or (n,), got rows of different lengths") from None
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise ValueError(f"data must have shape (n, d) or (n,), got shape {array.shape}")
        names, series = [f"x{j + 1}" for j in range(array.shape[1])], list(array.T)
        if series and array.dtype == np.float64:  # as it is: nothing here writes to it
            return array, tuple(names), []
    if not series:
        raise ValueError("data must have at least one column")
    numbers = [_numbers(name, values) for name, values in zip(names, series, strict=True)]
    return np.stack(numbers, axis=1), tuple(names), _truths(names, series)


def frame(data: Any) -> Any:
    """A table of pyarrow as a data frame; anything else as it is.

    Raises:
        TypeError: if it is a frame that is not computed yet.
    """
    if type(data).__name__ == "LazyFrame":
        raise TypeError("data must be an array or a data frame, and are a lazy frame: call its .collect() first")
    return data.to_pandas() if hasattr(type(data), "column_names") and hasattr(data, "to_pandas") else data


def filled(values: Any) -> Any:
    """Values with NaN where they are masked (`numpy.ma`), which no other array says; anything else as it is."""
    if isinstance(values, list | tuple) and any(map(np.ma.isMaskedArray, values)):
        values = np.ma.array(values)
    if not np.ma.isMaskedArray(values) or not np.any(values.mask):
        return values
    numeric = values.dtype.kind in "iuf"  # what else a masked cell holds need not be a number
    return np.ma.filled(values.astype(np.float64 if numeric else object), np.nan)


def _check_kind(data: Any) -> None:
    """What holds rows, but not as an array or a data frame.

    Raises:
        TypeError: if the data are that, with the way out.
    """
    fields = getattr(getattr(data, "dtype", None), "names", None)
    kinds = {
        "a path: read the file first, for instance with pandas.read_csv": isinstance(data, str | os.PathLike),
        "a mapping: make it a data frame, for instance with pandas.DataFrame(data)": isinstance(data, Mapping),
        "a sparse matrix: pass data.toarray()": hasattr(data, "toarray"),
        "a record array: make it a data frame, for instance with pandas.DataFrame(data)": fields is not None,
        "an iterator: make it an array, for instance with numpy.array(list(data))": isinstance(data, Iterator),
    }
    for kind, same in kinds.items():
        if same:
            raise TypeError(f"data must be an array or a data frame, and are {kind}")


def _kind(column: Any) -> str:
    """The name of a column's dtype in whatever library, in small letters; "" where it has none."""
    return str(getattr(column, "dtype", "")).lower()


def _refuse_category(name: str, column: Any) -> None:
    if _kind(column).startswith(("categor", "enum")):
        raise TypeError(
            f"column {name!r} is categorical: what it holds are names, even where they look like numbers; leave it out, or make it numbers "
            "on purpose, for instance with astype(float)"
        )


def _truths(names: list[str], series: list[Any]) -> list[str]:
    """A sentence on columns of truth values, if there are any."""
    found = [repr(name) for name, column in zip(names, series, strict=True) if _kind(column).startswith("bool")]
    if not found:
        return []
    listed = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    what = f"Column {listed} holds" if len(found) == 1 else f"Columns {listed} hold"
    return [f"{what} truth values, taken for the numbers 0 and 1."]


def _numbers(name: str, column: Any) -> np.ndarray:
    _refuse_category(name, column)
    values = np.asarray(filled(column))
    try:
        if np.iscomplexobj(values) or values.dtype.kind in "mM":
            raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        example = next((value for value in values.tolist() if not isinstance(value, int | float)), values.dtype.name)
        raise TypeError(
            f"column {name!r} is not numeric (it holds {example!r}); leave it out or encode it as numbers; names of categories are for the "
            "family 'categorical'"
        ) from None
