"""From what a user has to rows, responses and groups, checked. Imports columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...columns import filled, frame


def split(data: Any, **roles: Any) -> tuple[Any, dict[str, Any]]:
    """Take the columns that have a role of their own out of a data frame.

    Args:
        data: Rows: array-like, or a data frame.
        roles: What each role is: the name of a column of the frame, or values, one for each row.
    Returns:
        The data without these columns, and the values of each role.
    Raises:
        ValueError: if a column is missing.
    """
    data = frame(data)
    is_frame = hasattr(data, "columns") and hasattr(data, "__getitem__")
    named = {role: value for role, value in roles.items() if isinstance(value, str)}
    for role, name in named.items():
        if not is_frame:
            raise ValueError(f"{role}={name!r} names a column, but data is no data frame; give the values, one for each row")
        if name not in list(data.columns):
            raise ValueError(f"{role}={name!r} is no column of the data; they have {list(map(str, data.columns))}")
    values = {role: np.asarray(filled(data[value] if role in named else value)) for role, value in roles.items()}
    if named:
        data = data[[column for column in data.columns if column not in named.values()]]
    return data, values


def levels(role: str, values: np.ndarray, num_rows: int, least: int, advice: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Distinct labels, sorted, and the number of each row's label.

    Args:
        role: What the labels are of.
        values: One for each row.
        num_rows: Rows.
        least: How many levels there must be.
        advice: Why, and what to do where there are fewer.
    Raises:
        ValueError: for the wrong number of values, missing values, or fewer than `least` levels.
    """
    values = np.asarray(values)
    if values.shape != (num_rows,):
        raise ValueError(f"{role} must have one value for each of the {num_rows} rows, got shape {values.shape}")
    missing = np.array([value is None or value != value for value in values.tolist()])  # NaN is the value that is not itself
    if missing.any():
        raise ValueError(f"{role} is missing in row {int(missing.argmax()) + 1}; drop the row or give it a {role} of its own")
    if values.dtype == object:
        values = values.astype(str)
    names, numbers = np.unique(values, return_inverse=True)
    if len(names) < least:
        raise ValueError(f"{role} must have at least {least} levels, got {len(names)} ({', '.join(map(str, names))}): {advice}")
    return names, numbers.ravel()


def numbers(role: str, values: np.ndarray, num_rows: int) -> np.ndarray:
    """A finite number for each row.

    Raises:
        ValueError: for the wrong number of values, and for missing or infinite ones.
        TypeError: if they are not numbers.
    """
    if np.shape(values) != (num_rows,):
        raise ValueError(f"{role} must have one value for each of the {num_rows} rows, got shape {np.shape(values)}")
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{role} must be numbers, got {np.asarray(values).ravel()[0]!r} first") from None
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ValueError(f"{role} is missing or infinite in row {bad[0] + 1}; drop the row or fill it")
    return numbers
