"""Choosing the number of components and the family. Imports layers 0 to 3."""

from .calibrated import Slope, singular_bic, slope_heuristic
from .path import Selection, select


__all__ = ["Selection", "Slope", "select", "singular_bic", "slope_heuristic"]
