"""The entries of a fit's parameters in a row, each with a name: trees as vectors, and intervals for them. Imports result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .result import Params


def labels(arrays: Mapping[str, np.ndarray], columns: tuple[str, ...]) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Names for the entries of `flatten`: array, component, and the place in its array by column, by number along other axes."""
    out = []
    for name, array in _with_correlations(arrays).items():
        axes = [columns if size == len(columns) else tuple(map(str, range(size))) for size in array.shape[1:]]
        places = [tuple(axis[i] for axis, i in zip(axes, place, strict=True)) for place in _places(name, array.shape[1:])]
        out += [(name, component, place) for component in range(len(array)) for place in places]
    return tuple(out)


def flatten(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Every number of some published arrays once, and the correlations that follow from covariances."""
    found = []
    for name, array in _with_correlations(arrays).items():
        places = _places(name, array.shape[1:])
        found.append(np.stack([array[(slice(None), *place)] for place in places], axis=1).ravel())
    return np.concatenate(found)


def _with_correlations(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {name: np.asarray(array, float) for name, array in arrays.items()}
    covariances = out.get("covariances")
    if covariances is not None and covariances.shape[-1] > 1:
        deviation = np.sqrt(np.einsum("kii->ki", covariances))
        out["correlations"] = covariances / (deviation[:, :, None] * deviation[:, None, :])
    return out


def _places(name: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Which entries of one component's array to list: of symmetric matrices the lower triangle."""
    symmetric = name in ("covariances", "correlations")
    least = 1 if name == "correlations" else 0
    return [place for place in np.ndindex(*shape) if not symmetric or place[0] - place[1] >= least]


def unflatten(values: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Params:
    """The inverse of `flatten`, correlations left out."""
    out, first = {}, 0
    for name, array in arrays.items():
        places = _places(name, array.shape[1:])
        part = values[first : first + len(array) * len(places)].reshape(len(array), -1)
        first += part.size
        filled = np.zeros(array.shape)
        for slot, place in enumerate(places):
            filled[(slice(None), *place)] = part[:, slot]
            if name == "covariances":
                filled[(slice(None), *place[::-1])] = part[:, slot]
        out[name] = filled
    return Params(**out)


def normal_intervals(names: Any, estimates: np.ndarray, errors: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal intervals on the scales that `StandardErrors.intervals` names, shape (m,) each."""
    from scipy.special import ndtri

    reach = ndtri((1 + level) / 2)
    lower, upper = estimates - reach * errors, estimates + reach * errors
    scales = {"logit": np.zeros(len(errors), bool), "log": np.zeros(len(errors), bool), "z": np.zeros(len(errors), bool)}
    for row, (name, _, place) in enumerate(names):
        scales["logit"][row] = name == "weights" and 0 < estimates[row] < 1
        scales["log"][row] = name == "rates" or (name == "covariances" and place[0] == place[1])
        scales["z"][row] = name == "correlations" and abs(estimates[row]) < 1
    transforms = {
        "logit": (lambda p: np.log(p / (1 - p)), lambda t: 1 / (1 + np.exp(-t)), lambda p: 1 / (p * (1 - p))),
        "log": (np.log, np.exp, lambda v: 1 / v),
        "z": (np.arctanh, np.tanh, lambda r: 1 / (1 - r**2)),
    }
    with np.errstate(over="ignore"):  # an error beyond all bounds has an interval up to the end of the scale
        for scale, (there, back, slope) in transforms.items():
            rows = scales[scale] & (errors > 0)
            at, spread = estimates[rows], reach * slope(estimates[rows]) * errors[rows]
            lower[rows], upper[rows] = back(there(at) - spread), back(there(at) + spread)
    return lower, upper
