"""Choosing the number of components and the family, and how sure one can be. Imports layers 0 to 3.

What refits replicates of the data is loaded when it is first used: a selection need not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy
from .calibrated import Slope, singular_bic, slope_heuristic
from .merging import MergeTree, merge
from .outcome import Interrupted, Selection
from .path import select


if TYPE_CHECKING:
    from .lrt import BootstrapLRT, bootstrap_lrt
    from .stability import Stability
    from .validation import CrossValidation

__all__ = [
    "BootstrapLRT",
    "CrossValidation",
    "Interrupted",
    "MergeTree",
    "Selection",
    "Slope",
    "Stability",
    "bootstrap_lrt",
    "merge",
    "select",
    "singular_bic",
    "slope_heuristic",
]

_HOMES = {"BootstrapLRT": "lrt", "CrossValidation": "validation", "Stability": "stability", "bootstrap_lrt": "lrt"}

__getattr__, __dir__ = lazy(__name__, __all__, _HOMES)
