"""Choosing the number of components and the family, and how sure one can be. Imports layers 0 to 3."""

from .calibrated import Slope, singular_bic, slope_heuristic
from .lrt import BootstrapLRT, bootstrap_lrt
from .merging import MergeTree, merge
from .path import Interrupted, Selection, select
from .resampled import CrossValidation, Stability


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
