"""Mixture models by EM in JAX: every restart of every number of clusters in one compiled program.

Names are imported when they are first used, so that `jaxem --help` need not wait for JAX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy
from ._version import __version__ as __version__


if TYPE_CHECKING:
    from . import accelerate as accelerate
    from . import bayes, criteria, datasets, em, families, plot, selection
    from . import convert as convert
    from . import density as density
    from . import protocol as protocol
    from . import quasi_newton as quasi_newton
    from . import reduce as reduce
    from . import report as report
    from . import restarts as restarts
    from . import saving as saving
    from . import sklearn as sklearn
    from .fitting import fit
    from .prior import Prior
    from .result import Fit, Params
    from .saving import load
    from .selection import Selection, select

__all__ = [
    "Fit",
    "Params",
    "Prior",
    "Selection",
    "__version__",
    "bayes",
    "criteria",
    "datasets",
    "em",
    "families",
    "fit",
    "load",
    "plot",
    "select",
    "selection",
]

_HOMES = {
    "Fit": "result",
    "Params": "result",
    "Prior": "prior",
    "Selection": "selection",
    "fit": "fitting",
    "load": "saving",
    "select": "selection",
}

# Not for `import *`: for those who build on them, and one needs an extra.
_ALSO = ["accelerate", "convert", "density", "protocol", "quasi_newton", "reduce", "report", "restarts", "saving", "sklearn"]

__getattr__, __dir__ = lazy(__name__, [*__all__, *_ALSO], _HOMES)
