"""Hierarchical mixtures: models that are started by EM and sampled by one call each.

Every function takes rows and gives back draws in the data's own units, as a `HierarchicalPosterior`. The model itself is a frozen object
that is a NumPyro model function: take `GroupedMixture` and its like to go on in NumPyro alone. Mixtures whose number of components is
not fixed, `sparse_mixture` and `dirichlet_process`, are sampled by Gibbs and give back a `PartitionPosterior`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._lazy import lazy


if TYPE_CHECKING:
    from .classes import growth_mixture, regression_mixture
    from .grouped import GroupedMixture, grouped_mixture
    from .linear import LinearClasses, SubjectSums
    from .markov import HiddenMarkov, hidden_markov
    from .overfitted import dirichlet_process, sparse_mixture
    from .posterior import HierarchicalPosterior
    from .scales import RichardsonGreen, richardson_green

__all__ = [
    "GroupedMixture",
    "HiddenMarkov",
    "HierarchicalPosterior",
    "LinearClasses",
    "RichardsonGreen",
    "SubjectSums",
    "dirichlet_process",
    "grouped_mixture",
    "growth_mixture",
    "hidden_markov",
    "regression_mixture",
    "richardson_green",
    "sparse_mixture",
]

_HOMES = {
    "GroupedMixture": "grouped",
    "HiddenMarkov": "markov",
    "HierarchicalPosterior": "posterior",
    "LinearClasses": "linear",
    "RichardsonGreen": "scales",
    "SubjectSums": "linear",
    "dirichlet_process": "overfitted",
    "grouped_mixture": "grouped",
    "growth_mixture": "classes",
    "hidden_markov": "markov",
    "regression_mixture": "classes",
    "richardson_green": "scales",
    "sparse_mixture": "overfitted",
}

__getattr__, __dir__ = lazy(__name__, __all__, _HOMES)
