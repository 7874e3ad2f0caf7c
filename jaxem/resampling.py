"""Ways to make new data sets of one: row weights or rows, each from a stream of random numbers of its own. Imports layers 0 to 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ._parts import parts
from ._precision import random_key
from .models.mixture import MixtureParams


Own = Callable[[int], np.ndarray]


def stream(seed: tuple[int, ...], number: int) -> np.random.Generator:
    """The random numbers of one data set and of no other."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 0, 0)))


def whole(weight: np.ndarray) -> bool:
    """Whether weights count repeated rows; else a row is one observation, whatever it weighs. Beyond 2⁵³ no number has a fraction."""
    fractions = any((weight[some] != np.round(weight[some])).any() for some in parts(len(weight)))
    return not fractions and bool(weight.sum() < 2**53)


def num_draws(weight: np.ndarray) -> int:
    """Rows that a sample of the same size has: whole weights count repeated rows, others do not."""
    return int(weight.sum() if whole(weight) else np.count_nonzero(weight))


def draws_of(weight: np.ndarray) -> np.ndarray:
    """Which rows' patterns of missing cells the rows of such a sample have, shape (num_draws,)."""
    return np.repeat(np.arange(len(weight)), weight.astype(int) if whole(weight) else weight > 0)


def bootstrap(weight: np.ndarray, seed: tuple[int, ...]) -> Own:
    """Weights of bootstrap samples (Efron 1979): rows drawn with replacement, as many as there are.

    Where all weights are whole, they count repeated rows, and the draws are among those; else rows are drawn with their weights.
    """
    if whole(weight):
        return lambda number: stream(seed, number).multinomial(num_draws(weight), weight / weight.sum()).astype(float)
    seen = np.flatnonzero(weight > 0)

    def draw(number: int) -> np.ndarray:
        times = np.bincount(stream(seed, number).choice(seen, len(seen)), minlength=len(weight))
        return weight * times

    return draw


def weighted_bootstrap(weight: np.ndarray, seed: tuple[int, ...]) -> Own:
    """Weights of the Bayesian bootstrap (Rubin 1981): exponential, scaled to the same total; no row is ever lost."""
    shape = weight if whole(weight) else (weight > 0).astype(float)

    def draw(number: int) -> np.ndarray:
        random = stream(seed, number).standard_gamma(shape) * np.where(shape > 0, weight / np.where(shape > 0, shape, 1), 0)
        return random * (weight.sum() / random.sum())

    return draw


def jackknife(weight: np.ndarray) -> tuple[Own, np.ndarray]:
    """Weights without one observation each, and how many observations each of these data sets stands for.

    Where all weights are whole, a row stands for so many observations that are alike, and one of them is left out; else all of a row.
    """
    seen = np.flatnonzero(weight > 0)
    times = weight[seen] if whole(weight) else np.ones(len(seen))

    def leave_out(number: int) -> np.ndarray:
        rest = weight.copy()
        rest[seen[number]] -= weight[seen[number]] / times[number]
        return rest

    return leave_out, times


def subsample(weight: np.ndarray, fraction: float, seed: tuple[int, ...]) -> Own:
    """Weights of a share of the rows each, drawn without replacement."""
    seen = np.flatnonzero(weight > 0)
    size = max(1, round(fraction * len(seen)))

    def draw(number: int) -> np.ndarray:
        kept = np.zeros(len(weight))
        rows = stream(seed, number).choice(seen, size, replace=False)
        kept[rows] = weight[rows]
        return kept

    return draw


def folds(weight: np.ndarray, num_folds: int, seed: tuple[int, ...]) -> np.ndarray:
    """The fold of every row, shape (n,): equal numbers of rows of positive weight, drawn at random."""
    fold = np.zeros(len(weight), int)
    seen = np.flatnonzero(weight > 0)
    fold[stream(seed, 0).permutation(seen)] = np.arange(len(seen)) % num_folds
    return fold


def simulate(
    family: Any,
    params: MixtureParams,
    num_rows: int,
    seed: tuple[int, ...],
    noise: Callable[[Any, int], np.ndarray] | None = None,
    gone: np.ndarray | None = None,
) -> Own:
    """Rows (d, n) drawn from a mixture, in the units of its params. Call within float64.

    Args:
        family: The bound family.
        params: Params (k, ...); what the weights lack of 1 is noise.
        num_rows: n.
        seed: Words of the seed.
        noise: Draws rows (d, n) of noise, given a generator and n.
        gone: Cells (d, n) that are to be missing.
    """
    share = np.exp(params.log_weights)
    rest = max(0.0, 1 - share.sum()) if noise else 0.0
    share = share / share.sum()

    def draw(number: int) -> np.ndarray:
        rng = stream(seed, number)
        labels = rng.choice(len(share), num_rows, p=share)
        key = random_key(rng.integers(2**31))
        rows = np.asarray(rows_from(family, key, params.components, labels), float)
        rows = rows if noise is None else np.where(rng.random(num_rows) < rest, noise(rng, num_rows), rows)
        return rows if gone is None else np.where(gone, np.nan, rows)

    return draw


@jax.jit
def rows_from(family: Any, key: Any, components: Any, labels: Any) -> Any:
    """A row for each label (n,), drawn from the component that it names, shape (d, n)."""
    return family.sample(key, components, labels)
