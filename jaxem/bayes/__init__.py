"""From EM to the posterior: priors, NumPyro models, Gibbs and NUTS, relabelling, and EM beside MCMC.

Names are imported when they are first used; NumPyro and ArviZ come in only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy


if TYPE_CHECKING:
    from . import diagnostics, hierarchical, relabel
    from .calibration import Calibration, sbc
    from .categorical import CategoricalPrior
    from .compare import Comparison, compare_em_mcmc
    from .gaussian import GaussianPrior
    from .model import mixture_model
    from .number import KComparison, compare_k
    from .partitions import PartitionPosterior
    from .poisson import PoissonPrior
    from .posterior import Posterior
    from .priors import fraley_raftery, richardson_green, weak
    from .simulated import KnownK, UnknownK
    from .student import StudentPrior

__all__ = [
    "Calibration",
    "CategoricalPrior",
    "Comparison",
    "GaussianPrior",
    "KComparison",
    "KnownK",
    "PartitionPosterior",
    "PoissonPrior",
    "Posterior",
    "StudentPrior",
    "UnknownK",
    "compare_em_mcmc",
    "compare_k",
    "diagnostics",
    "fraley_raftery",
    "hierarchical",
    "mixture_model",
    "relabel",
    "richardson_green",
    "sbc",
    "weak",
]

_HOMES = {
    "Calibration": "calibration",
    "Comparison": "compare",
    "GaussianPrior": "gaussian",
    "KComparison": "number",
    "KnownK": "simulated",
    "PartitionPosterior": "partitions",
    "CategoricalPrior": "categorical",
    "PoissonPrior": "poisson",
    "Posterior": "posterior",
    "StudentPrior": "student",
    "UnknownK": "simulated",
    "compare_em_mcmc": "compare",
    "compare_k": "number",
    "fraley_raftery": "priors",
    "mixture_model": "model",
    "richardson_green": "priors",
    "sbc": "calibration",
    "weak": "priors",
}

__getattr__, __dir__ = lazy(__name__, __all__, _HOMES)
