"""The entries of a fit's parameters in a row, each with a name: trees as vectors, and intervals for them. Imports result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .result import Params


SYMMETRIC = ("covariances", "scatters")  # a family has one of these at most


Names = Mapping[str, Sequence[str]]  # of the categories of a column


def labels(
    arrays: Mapping[str, np.ndarray], columns: tuple[str, ...], categories: Names | None = None
) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Names for the entries of `flatten`: array, component, and the place in its array by column, by number along other axes.

    Args:
        arrays: By name.
        columns: Names of the columns.
        categories: Where the arrays are probabilities of categories, (k, d, m), the names of these, of columns that have some.
    """
    out = []
    for name, array in _with_correlations(arrays).items():
        if categories is not None and array.ndim == 3:
            places = [(column, own) for column in columns for own in _named(categories.get(column, ()), array.shape[2])]
            out += [(name, component, place) for component in range(len(array)) for place in places]
            continue
        axes = [columns if size == len(columns) else tuple(map(str, range(size))) for size in array.shape[1:]]
        places = [tuple(axis[i] for axis, i in zip(axes, place, strict=True)) for place in _places(name, array.shape[1:])]
        out += [(name, component, place) for component in range(len(array)) for place in places]
    return tuple(out)


def _named(names: Sequence[str], most: int) -> list[str]:
    return [names[number] if number < len(names) else str(number) for number in range(most)]


def flatten(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Every number of some published arrays once, and the correlations that follow from covariances or scatters."""
    found = []
    for name, array in _with_correlations(arrays).items():
        places = _places(name, array.shape[1:])
        found.append(np.stack([array[(slice(None), *place)] for place in places], axis=1).ravel())
    return np.concatenate(found)


def _with_correlations(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {name: np.asarray(array, float) for name, array in arrays.items()}
    matrices = next((out[name] for name in SYMMETRIC if name in out), None)
    if matrices is not None and matrices.shape[-1] > 1:
        deviation = np.sqrt(np.einsum("kii->ki", matrices))
        out["correlations"] = matrices / (deviation[:, :, None] * deviation[:, None, :])
    return out


def _places(name: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Which entries of one component's array to list: of symmetric matrices the lower triangle."""
    symmetric = name in (*SYMMETRIC, "correlations")
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
            if name in SYMMETRIC:
                filled[(slice(None), *place[::-1])] = part[:, slot]
        out[name] = filled
    return Params(**out)


Bounds = Mapping[str, tuple[float, float]]  # lowest and highest value of what has this name

ANYWHERE = (-np.inf, np.inf)
KNOWN: Bounds = {"weights": (0.0, 1.0), "rates": (0.0, np.inf), "correlations": (-1.0, 1.0)}
VARIANCE = (0.0, np.inf)

# For numbers between two bounds, above one and below one: the scale, the way back, and its slope.
SCALES: dict[tuple[bool, bool], tuple[Callable[..., Any], ...]] = {
    (True, True): (
        lambda x, a, b: np.log((x - a) / (b - x)),
        lambda t, a, b: a + (b - a) / (1 + np.exp(-t)),
        lambda x, a, b: (b - a) / ((x - a) * (b - x)),
    ),
    (True, False): (lambda x, a, b: np.log(x - a), lambda t, a, b: a + np.exp(t), lambda x, a, b: 1 / (x - a)),
    (False, True): (lambda x, a, b: -np.log(b - x), lambda t, a, b: b - np.exp(-t), lambda x, a, b: 1 / (b - x)),
}


def normal_intervals(
    names: Any, estimates: np.ndarray, errors: np.ndarray, level: float, bounds: Bounds
) -> tuple[np.ndarray, np.ndarray]:
    """Normal intervals on the scales that `StandardErrors.intervals` names, shape (m,) each, inside the bounds of what has some."""
    from scipy.special import ndtri

    reach, known = ndtri((1 + level) / 2), {**KNOWN, **bounds}
    lower, upper = estimates - reach * errors, estimates + reach * errors
    variance = [name in SYMMETRIC and place[0] == place[1] for name, _, place in names]
    own = [VARIANCE if own else known.get(name, ANYWHERE) for (name, *_), own in zip(names, variance, strict=True)]
    low, high = np.array(own, float).T
    inside = (low < estimates) & (estimates < high) & (errors > 0)
    with np.errstate(over="ignore"):  # an error beyond all bounds has an interval up to the end of the scale
        for (below, above), (there, back, slope) in SCALES.items():
            rows = inside & (np.isfinite(low) == below) & (np.isfinite(high) == above)
            at, ends = estimates[rows], (low[rows], high[rows])
            spread = reach * slope(at, *ends) * errors[rows]
            lower[rows], upper[rows] = (back(there(at, *ends) + side * spread, *ends) for side in (-1, 1))
    return np.clip(lower, low, high), np.clip(upper, low, high)
