"""Rows a few at a time, on the host. Imports nothing."""

from __future__ import annotations

from collections.abc import Iterator


ROWS_AT_ONCE = 2**14


def parts(num_rows: int, at_once: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """All rows, a few at a time: what is computed of them on the way then fits into the cache, and never takes the room of the data."""
    return (slice(first, first + at_once) for first in range(0, num_rows, at_once))
