"""How to search and under which terms, checked: what `fit` and `select` want. Imports layer 0, init, tabular, columns and prior."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import init as starts
from . import tabular
from .columns import filled
from .prior import Prior


@dataclasses.dataclass(frozen=True)
class Options:
    """How to search, checked.

    Attributes:
        num_restarts: Independent starts for each cell.
        num_finalists: How many of them are run to convergence.
        moves: Whether split and merge moves follow.
        init: Kind of start.
        tol: In nats of total log-likelihood.
        max_steps: The most E-steps of a run.
        seed: Words of the seed.
        dtype: float64 or float32.
        noise: Whether there is a class of noise, uniform over the region of the data.
        equal_weights: Whether all components have the same weight.
        prior: What is believed of the components; None for maximum likelihood.
        fixed: Given means (k, d), covariances (k, d, d) or both, in the data's units; empty where nothing is given.
    """

    num_restarts: int
    num_finalists: int
    moves: bool
    init: str
    tol: float
    max_steps: int
    seed: tuple[int, ...]
    dtype: Any
    noise: bool = False
    equal_weights: bool = False
    prior: Prior | None = None
    fixed: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @classmethod
    def checked(
        cls,
        *,
        num_restarts: Any,
        num_finalists: Any,
        moves: Any,
        init: Any,
        tol: Any,
        max_steps: Any,
        seed: Any,
        dtype: Any,
        noise: Any = False,
        equal_weights: Any = False,
        prior: Any = None,
        fixed: Any = None,
    ) -> Options:
        """Options from what a user gave; every mistake is a sentence."""
        if init not in starts.KINDS:
            raise ValueError(f"init must be one of {', '.join(map(repr, starts.KINDS))}, got {init!r}")
        try:
            width = str(np.dtype(dtype))
        except TypeError:
            width = ""
        if not (tabular.is_number(tol) and np.isfinite(tol) and tol > 0):
            raise ValueError(f"tol must be a positive number of nats, got {tol!r}")
        if width not in ("float32", "float64"):
            raise ValueError(f"dtype must be float64 or float32, got {dtype!r}")
        for name, value in (("moves", moves), ("noise", noise), ("equal_weights", equal_weights)):
            if not isinstance(value, bool | np.bool_):
                raise TypeError(f"{name} must be True or False, got {value!r}")
        prior = Prior.checked(prior)
        if equal_weights and prior is not None and prior.concentration is not None:
            raise ValueError("prior: concentration bears on the weights, which equal_weights=True fixes: leave one of them out")
        if fixed is not None and prior is not None:
            raise ValueError("fixed parameters have no prior: give either fixed or prior")
        return cls(
            tabular.count("num_restarts", num_restarts),
            tabular.count("num_finalists", num_finalists),
            bool(moves),
            init,
            float(tol),
            tabular.count("max_steps", max_steps),
            tabular.seed_words(seed),
            np.dtype(dtype),
            bool(noise),
            bool(equal_weights),
            prior,
            _fixed(fixed),
        )

    @classmethod
    def once(cls, **terms: Any) -> Options:
        """One plain run under some terms: for what begins at a fit."""
        return cls(1, 1, False, "portfolio", 1e-3, 2000, (0,), np.dtype(np.float64), **terms)

    @classmethod
    def as_of(cls, fit: Any, prior: dict[str, Any] | None = None) -> Options:
        """One plain run under the terms of a fit, its labels apart: these come with the rows.

        Args:
            fit: A `Fit`.
            prior: The prior that was asked for, as plain numbers, where fits with other K are wanted too: a fit knows its own.
        """
        fixed = {name: getattr(fit.params, name) for name in fit.terms.get("fixed", ())}
        told = prior or fit.terms.get("prior")
        believed = None if told is None else Prior(**told)
        return cls.once(noise="noise" in fit.terms, equal_weights="equal_weights" in fit.terms, prior=believed, fixed=fixed)


FIXABLE = {"means": 2, "covariances": 3}


def _fixed(fixed: Any) -> dict[str, np.ndarray]:
    """Given parameters as arrays with the right number of axes."""
    if fixed is None:
        return {}
    if not isinstance(fixed, Mapping) or not fixed or not set(fixed) <= set(FIXABLE):
        raise ValueError(f'fixed must be a dict with "means", "covariances" or both, got {fixed!r:.60}')
    out = {}
    for name, values in fixed.items():
        try:
            out[name] = np.asarray(filled(values), dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"fixed: {name} must be numbers, got {values!r:.40}") from None
        if out[name].ndim != FIXABLE[name] or not np.isfinite(out[name]).all():
            wanted = "(k, d)" if name == "means" else "(k, d, d)"
            raise ValueError(f"fixed: {name} must be finite numbers of shape {wanted}, got shape {out[name].shape}")
    return out
