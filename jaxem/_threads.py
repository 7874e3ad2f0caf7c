"""Compiled programs side by side, in threads: small ones do not fill a machine of several cores. Imports JAX and NumPy only."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from typing import Any

from ._precision import precision


Part = Generator[Callable[[], Any], Any, None]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def together(parts: Sequence[Part], dtype: Any, alone: bool = False) -> None:
    """Drive generators that yield calls and are sent what these return.

    Calls of different generators run at the same time, each generator's own one after the other; all that generators do themselves
    is done in this thread. What a generator sees does not depend on the others.

    Args:
        parts: The generators.
        dtype: Float width of the calls.
        alone: Whether the first call comes before all others, so that what it compiles is compiled once.
    """
    if len(parts) == 1:
        _drive(parts[0])
        return

    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait  # slow to load, and not always needed

    def scoped(call: Callable[[], Any]) -> Any:
        with precision(dtype):  # a thread has a scope of its own
            return call()

    with ThreadPoolExecutor(len(parts)) as pool:
        pending: dict[Future, Part] = {}

        def go_on(part: Part, answer: Any = None) -> None:
            if (call := _next(part, answer)) is not None:
                pending[pool.submit(scoped, call)] = part

        for part in parts:
            go_on(part)
            if alone and part is parts[0]:
                wait(pending)
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                go_on(pending.pop(future), future.result())


def _drive(part: Part) -> None:
    call = _next(part, None)
    while call is not None:
        call = _next(part, call())


def _next(part: Part, answer: Any) -> Callable[[], Any] | None:
    """What the generator wants to be called next; None when it has ended."""
    try:
        return part.send(answer)
    except StopIteration:
        return None
