"""From EM to the posterior: priors, NumPyro models, Gibbs and NUTS, relabelling, and EM beside MCMC.

Names are imported when they are first used; NumPyro and ArviZ come in only then.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from .gaussian import GaussianPrior
    from .model import mixture_model
    from .poisson import PoissonPrior
    from .priors import fraley_raftery, richardson_green, weak

__all__ = ["GaussianPrior", "PoissonPrior", "fraley_raftery", "mixture_model", "richardson_green", "weak"]

_HOMES = {
    "GaussianPrior": "gaussian",
    "PoissonPrior": "poisson",
    "fraley_raftery": "priors",
    "mixture_model": "model",
    "richardson_green": "priors",
    "weak": "priors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
