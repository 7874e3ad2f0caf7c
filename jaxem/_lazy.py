"""Names of a package that are imported when they are first used. Imports the standard library only."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy(package: str, names: Sequence[str], homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: Its `__name__`.
        names: All that `dir` shows: its `__all__`, and modules beside it.
        homes: Which of its modules a name comes from; names without a home are modules themselves.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f".{homes.get(name, name)}", package)
        return getattr(module, name) if name in homes else module

    return find, lambda: list(names)
