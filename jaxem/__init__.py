"""Mixture models by EM in JAX: every restart of every number of clusters in one compiled program."""

from . import datasets, em, families
from ._version import __version__
from .fitting import fit
from .result import Fit, Params, load
from .selection import Selection, select


__all__ = ["Fit", "Params", "Selection", "__version__", "datasets", "em", "families", "fit", "load", "select"]
