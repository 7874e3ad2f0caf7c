"""Criteria that a whole collection of fits calibrates: the slope heuristic and the singular BIC. Imports NumPy only."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    from ..result import Fit


PLATEAU = 0.15  # share of the collection's sizes over which the choice must stay put (Baudry, Maugis & Michel 2012, sec. 4.2)
LEAST_SIZES = 6  # with fewer different numbers of parameters no slope can be told from noise


@dataclasses.dataclass(frozen=True)
class Slope:
    """How fast the log-likelihood climbs where more parameters only fit noise.

    Attributes:
        steepness: κ, nats a parameter, from the straight part of ℓ against p; None if there is none.
        jump: κ at which the chosen number of parameters falls most: the dimension jump.
        chosen: Place of the fit that −ℓ + 2κp chooses with `steepness`; None if there is none.
        chosen_by_jump: Place of the one that it chooses with `jump`.
    """

    steepness: float | None
    jump: float | None
    chosen: int | None
    chosen_by_jump: int | None


def slope_heuristic(log_likelihoods: Sequence[float], num_params: Sequence[int]) -> Slope:
    """Calibrate a penalty proportional to the number of parameters on the fits themselves: twice the least that works.

    The *data-driven slope*: a robust line (median of pairwise slopes) through the best log-likelihood of every number of parameters,
    the smallest ones left out one by one; the steepness is the one over the longest run of lines that lead to the same choice. The
    *dimension jump*: as κ grows from 0 the choice by −ℓ + κp falls from the largest model; κ is taken where it falls furthest.

    Args:
        log_likelihoods: ℓ of every fit.
        num_params: p of every fit.
    Returns:
        A `Slope`; its parts are None where fewer than six different numbers of parameters were fitted.
    References:
        Birgé & Massart 2007, PTRF 138; Baudry, Maugis & Michel 2012, Statistics and Computing 22.

    Example:
        >>> p = range(2, 40, 3)
        >>> found = slope_heuristic([-500 + 400 * (k > 8) + 0.6 * k for k in p], p)
        >>> round(found.steepness, 3), found.chosen
        (0.6, 3)
    """
    height, size = np.asarray(log_likelihoods, float), np.asarray(num_params, float)
    sizes = np.unique(size[np.isfinite(height)])
    if len(sizes) < LEAST_SIZES:
        return Slope(None, None, None, None)
    tops = np.array([np.nanmax(np.where(size == each, height, -np.inf)) for each in sizes])
    place = [int(np.flatnonzero((size == each) & (height == top))[0]) for each, top in zip(sizes, tops, strict=True)]

    lines = [(start, max(_median_slope(sizes[start:], tops[start:]), 0.0)) for start in range(len(sizes) - 2)]
    chosen = [int(np.argmax(tops - 2 * steepness * sizes)) for _, steepness in lines]
    first, last = max(_plateaus(chosen), key=lambda run: (run[1] - run[0], run[0]))
    found = last - first >= max(2, PLATEAU * len(sizes))
    steepness = float(np.median([value for _, value in lines[first:last]])) if found else None

    jump = _jump(sizes, tops)
    picked = None if jump is None else place[int(np.argmax(tops - 2 * jump * sizes))]
    return Slope(steepness, jump, place[chosen[first]] if found else None, picked)


def _median_slope(x: np.ndarray, y: np.ndarray) -> float:
    later, earlier = np.tril_indices(len(x), -1)
    return float(np.median((y[later] - y[earlier]) / (x[later] - x[earlier])))


def _plateaus(values: list[int]) -> list[tuple[int, int]]:
    """Runs of equal values as (first, one past the last)."""
    edges = [0, *(i for i in range(1, len(values)) if values[i] != values[i - 1]), len(values)]
    return list(itertools.pairwise(edges))


def _jump(sizes: np.ndarray, tops: np.ndarray) -> float | None:
    """The κ at which the size chosen by −ℓ + κp falls most, going down the upper hull of the points."""
    here, steps = int(np.argmax(tops)), []
    while here > 0:
        slopes = (tops[here] - tops[:here]) / (sizes[here] - sizes[:here])
        following = int(np.argmin(slopes))
        steps.append((sizes[here] - sizes[following], slopes[following]))
        here = following
    return float(max(steps)[1]) if steps else None


def singular_bic(
    log_likelihoods: Sequence[float],
    num_params: Sequence[int],
    num_components: Sequence[int],
    num_rows: float,
    *,
    dirichlet: float = np.inf,
    learning: Any = None,
) -> np.ndarray:
    """BIC for models that lose parameters where they overfit: mixtures of one family, by number of components.

    A mixture of K components that describes i < K of them has fewer directions that the data can tell apart than it has parameters,
    and BIC charges it too much. The marginal likelihood of K is here the mean of exp(ℓ) n^−λ over the truths i ≤ K, weighted by how
    likely these are, with equal probabilities before. The learning coefficient λ is taken at its upper bound
    (pᵢ + (K − i) min(φ, r/2)) / 2: K − i components either lose their weight (φ each, under a Dirichlet(φ) prior) or join others
    (r/2 each, with r parameters a component). With equal weights neither is open to them, and the criterion is not known: `select` leaves
    it out.

    Args:
        log_likelihoods: ℓ, one a number of components.
        num_params: p of the same fits.
        num_components: K of the same fits.
        num_rows: n.
        dirichlet: φ; by default large, so that superfluous components join others. φ = 1, the uniform prior, penalises less.
        learning: λ itself where a better bound is known, shape (m, m): row of the model fitted, column of the truth; only columns of
            fewer components are read.
    Returns:
        −2 log of the approximate marginal likelihoods, shape as given; lower is better, on the scale of BIC.
    Raises:
        ValueError: if `learning` has another shape.
    References:
        Drton & Plummer 2017, JRSS-B 79; the two ways to be superfluous: Rousseau & Mengersen 2011, JRSS-B 73.

    Example:
        >>> singular_bic([-120.0, -100.0, -99.0], [2, 5, 8], [1, 2, 3], 100).round(2).tolist()
        [249.21, 223.03, 226.03]
    """
    height, p, k = (np.asarray(values, float) for values in (log_likelihoods, num_params, num_components))
    if learning is None:
        extra = np.maximum(k[:, None] - k, 1)
        learning = (p + np.minimum(dirichlet * extra, (p[:, None] - p - extra) / 2)) / 2
    learning = np.asarray(learning, float)
    if learning.shape != (len(k), len(k)):
        raise ValueError(f"learning must have a row and a column for each of the {len(k)} fits, got shape {learning.shape}")
    order, top, log_n = np.argsort(k), height.max(), np.log(num_rows)
    log_marginal = np.full(len(k), -np.inf)
    for rank, j in enumerate(order):
        smaller = order[:rank]
        log_each = height[j] - top - learning[j, smaller] * log_n
        log_marginal[j] = _positive_root(log_marginal[smaller], log_each, height[j] - top - p[j] / 2 * log_n)
    return -2 * (log_marginal + top)


def _positive_root(log_before: np.ndarray, log_each: np.ndarray, own: float) -> float:
    """log L of L² + (Σ Lᵢ − L'ⱼⱼ) L − Σ L'ᵢⱼ Lᵢ = 0, all given as logarithms."""
    if not len(log_before):
        return own
    log_c = np.logaddexp.reduce(log_before + log_each)
    unit = max(own, log_before.max(), 0.5 * log_c)  # of the root's own size: one of the three terms is never lost to underflow
    b = np.exp(log_before - unit).sum() - np.exp(own - unit)
    log_c -= 2 * unit
    root = np.sqrt(b * b + 4 * np.exp(log_c))
    return float(unit + (np.log((root - b) / 2) if b < 0 else log_c + np.log(2 / (root + b))))


def calibrate(fits: dict[tuple[str, int], Fit]) -> dict[tuple[str, int], Fit]:
    """The same fits, knowing of each other: `slope` and `sbic` are numbers.

    `sbic` is one up to the largest K below which no number of components, from 1 on, lacks a sound fit, and where weights may differ.
    """
    sound = {key: fit for key, fit in fits.items() if not fit.spurious and not fit.status.failed}
    everyone = list(sound.values())
    steepness = slope_heuristic([fit.log_likelihood for fit in everyone], [fit.num_params for fit in everyone]).steepness
    out = {key: dataclasses.replace(fit, steepness=steepness) for key, fit in fits.items()}
    equal = any("equal_weights" in getattr(fit, "terms", ()) for fit in everyone)
    for family in {name for name, _ in sound} if not equal else ():
        keys = list(itertools.takewhile(sound.__contains__, ((family, k) for k in itertools.count(1))))
        if not keys:
            continue
        path = [sound[key] for key in keys]
        values = singular_bic(
            [fit.log_likelihood for fit in path],
            [fit.num_params for fit in path],
            [fit.num_components for fit in path],
            path[0].num_rows,
        )
        for key, value in zip(keys, values, strict=True):
            out[key] = dataclasses.replace(out[key], singular_bic=float(value))
    return out
