"""What is asked of a mixture beside its family: noise, a prior, equal weights, fixed parameters, labels. Imports layers 0 to 3.

Users speak in the data's units; here the terms are brought into internal ones, made part of the model, and told again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import families as family_names
from . import noise
from .models.mixture import Mixture
from .options import Options
from .units import Units


FEWER_THAN_LABELS = "fewer components than labels"  # the statuses of cells that labels contradict
NONE_LEFT = "every row has a label, and some component none"


class Terms:
    """The terms of one problem.

    Args:
        options: What was asked for.
        units: The table in internal units.
        columns: Names of all columns that were given, constant ones included.
        components: Numbers of components.
    Attributes:
        known: Whether every row of positive weight has a label.
        left_out: Numbers of components that the labels contradict, and in a few words why.
    Raises:
        ValueError: for labels that every one of these numbers of components contradicts, or fixed parameters that one of them does.
    """

    def __init__(self, options: Options, units: Units, columns: tuple[str, ...], components: Sequence[int]):
        self.options, self.units, self.columns = options, units, columns
        table = units.table
        refused = {} if table.label is None else _refused(table.label, table.weight, components)
        if len(refused) == len(set(components)):
            raise ValueError(refused[max(components)][1])
        self.left_out = {k: status for k, (status, _) in refused.items()}
        if options.fixed and len(components) > 1:
            count = len(components)
            raise ValueError(f"fixed parameters are those of one number of components, got {count} numbers to choose from")
        self.num_labels = 0 if table.label is None else int(table.label.max()) + 1
        self.known = table.label is not None and bool((table.label[table.weight > 0] >= 0).all())
        self.region = noise.region(table.seen()) if options.noise else None
        self.prior = None if options.prior is None else options.prior.for_columns(columns, table.columns)
        self.total = float(table.weight.sum())

    def model(self, bound: Any, num_components: int) -> Mixture:
        """The mixture of one family, bound to the rows, under these terms."""
        concentration = None
        if self.options.fixed:
            bound = family_names.fix(bound, self._given(num_components), self.units.centre, self.units.scale)
        if self.prior is not None:
            bound, told = self._believing(bound, num_components)
            concentration = np.asarray(told["concentration"], self.options.dtype)
        return Mixture(bound, self._log_noise(bound), concentration, self.options.equal_weights)

    def _log_noise(self, bound: Any) -> Any:
        """Log-density of the noise in internal units; column by column where cells are missing."""
        if self.region is None:
            return None
        if not self.units.scaled:
            raise ValueError(
                f"noise has a density, and {bound.name!r} is a family of counts, or takes its columns unscaled (standardise = False): "
                "leave noise=False"
            )
        density = self.units.log_scale - self.region.log_volume
        if not self.units.table.complete:  # the box lies along the columns
            density = np.log(np.diag(self.units.scale)) - np.log(np.diag(self.region.edges))
        return np.asarray(density, self.options.dtype)

    def _believing(self, bound: Any, num_components: int) -> tuple[Any, dict[str, Any]]:
        """A family under the prior, which depends on the number of components, and the prior's numbers."""
        if not hasattr(bound, "with_prior"):
            raise ValueError(f"prior: the family {bound.name!r} knows none: leave prior=None")
        return bound.with_prior(self.prior, num_components, self.units.centre, self.units.scale, self.total)

    def _given(self, k: int) -> dict[str, np.ndarray]:
        """The fixed parameters of k components, of the columns that are not constant."""
        d = len(self.columns)
        kept = [self.columns.index(name) for name in self.units.table.columns]
        out = {}
        for name, array in self.options.fixed.items():
            wanted = (k, *[d] * (array.ndim - 1))
            if array.shape != wanted:
                raise ValueError(f"fixed: {name} must have shape {wanted}, got {array.shape}")
            out[name] = array[:, kept] if array.ndim == 2 else array[:, kept][:, :, kept]
        return out

    @property
    def sample_noise(self) -> Callable[[np.random.Generator, int], np.ndarray] | None:
        """What draws rows of noise in internal units, (d, n); None where there is no noise."""
        region, units = self.region, self.units
        return None if region is None else lambda rng, n: units.inside(region.sample(rng, n))

    @functools.cached_property
    def outliers(self) -> list[str]:
        """A sentence on rows so far out that runs collapse beside them, if there are any, and what to do about them."""
        table = self.units.table
        found = noise.far_rows(table.x, table.weight, table.columns)
        remedy = ", or let noise=True (--noise) take it for noise." if self.region is None else "."
        return [] if found is None else [found + remedy]

    def order(self, weights: np.ndarray) -> np.ndarray:
        """The order in which components are published: given and labelled ones as they are, the others by weight."""
        known = len(weights) if self.options.fixed else self.num_labels
        return np.concatenate([np.arange(known), known + np.argsort(-weights[known:], kind="stable")])

    def told(self, family: Any, num_components: int) -> dict[str, Any]:
        """What `Fit.terms` says."""
        out: dict[str, Any] = {} if self.region is None else {"noise": self.region.to_dict()}
        out |= {"equal_weights": True} if self.options.equal_weights else {}
        out |= {} if self.prior is None else {"prior": self._believing(family, num_components)[1]}
        out |= {"fixed": sorted(self.options.fixed)} if self.options.fixed else {}
        return out | ({"labels": self.num_labels} if self.num_labels else {})


def _refused(label: np.ndarray, weight: np.ndarray, components: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Numbers of components that labels contradict, each with a status and a sentence."""
    row, seen = int(label.argmax()), np.unique(label[weight > 0])
    out = {}
    for k in components:
        lacking = np.setdiff1d(np.arange(k), seen)
        if label[row] >= k:
            sentence = f"row {row + 1} is said to come from component {label[row]}, so num_components must be at least "
            out[k] = FEWER_THAN_LABELS, f"labels: {sentence}{label[row] + 1}, got {k}"
        elif seen[0] >= 0 and len(lacking):
            sentence = f"every row has one, and none is left for component {lacking[0]} of {k}"
            remedy = "give -1 to rows whose component is not known, or ask for fewer components"
            out[k] = NONE_LEFT, f"labels: {sentence}; {remedy}"
    return out
