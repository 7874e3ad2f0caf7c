"""Starts that a user gives, checked, each mistake a sentence. Imports layers 0 to 2, noise, units, cell, columns and result."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import noise
from .cell import Cell
from .columns import filled
from .models.mixture import MixtureParams
from .result import Params
from .units import Units


def responsibilities(start: Any, num_rows: int, num_components: int, *, rest: bool) -> np.ndarray:
    """A given start, checked, as (k, n); with noise, what a row lacks of 1 is noise."""
    shape = (num_rows, num_components)
    try:
        resp = np.asarray(filled(start), dtype=np.float64)
        came = f"shape {resp.shape}"
    except (TypeError, ValueError):
        resp, came = np.empty(0), repr(start)[:40]
    if resp.shape != shape:
        raise ValueError(f"start must be responsibilities of shape {shape} or a params object, got {came}")
    excess = resp.sum(1) - 1
    bad = np.flatnonzero(~np.isfinite(resp).all(1) | (resp < 0).any(1) | ((excess if rest else np.abs(excess)) > 1e-6))
    if len(bad):
        row, wanted = bad[0], "to no more than 1 (the rest is noise)" if rest else "to 1"
        raise ValueError(
            f"start: responsibilities must be probabilities that sum {wanted} in every row, and row {row + 1} is {resp[row]}"
        )
    idle = np.flatnonzero(resp.sum(0) == 0)
    if len(idle):
        raise ValueError(
            f"start: component {idle[0]} (from 0) has no responsibility for any row, and EM would never give it any"
        )
    return resp.T


def params(start: Any, cell: Cell, units: Units, *, rest: bool) -> MixtureParams:
    """A given point, checked, in internal units; with noise (`rest`), what its weights lack of 1 is noise."""
    given = start.asdict() if isinstance(start, Params) else {name: np.asarray(a, float) for name, a in vars(start).items()}
    reference = cell.family.reference(cell.num_components, len(units.scale), float)
    wanted = cell.family.publish(reference, units.centre, units.scale)
    for name, example in {"weights": np.empty(cell.num_components), **wanted}.items():
        if name not in given or given[name].shape != example.shape:
            came = f"shape {given[name].shape}" if name in given else "nothing"
            raise ValueError(f"start: {name} must have shape {example.shape}, got {came}")
        if not np.isfinite(given[name]).all():
            raise ValueError(f"start: {name} must be finite")
    if (given["weights"] <= 0).any():
        raise ValueError("start: weights must be positive")
    try:
        components = cell.family.adopt({name: given[name] for name in wanted}, units.centre, units.scale)
    except ValueError as error:
        raise ValueError(f"start: {error}") from None
    weights = given["weights"]
    if not rest:
        weights = weights / weights.sum()
    elif weights.sum() > 1 - np.finfo(float).eps:  # nothing is left for the noise, and EM would leave it so
        weights = weights * ((1 - noise.SHARE) / weights.sum())
    return MixtureParams(np.log(weights), components)
