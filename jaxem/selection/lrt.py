"""The likelihood-ratio test of K components against K + 1, by parametric bootstrap. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import families as family_names
from .. import init, moves, resampling, tabular
from .._precision import precision
from ..fitting import num_features
from ..models.mixture import MixtureParams
from ..options import Options
from ..problem import Problem
from ..replicates import MOST_BYTES, Replicates, Task
from ..units import points


NULL_RESTARTS = 2  # random starts under the null, beside the params that the replicate was drawn from
FIRST_RANDOM = 2  # the portfolio's number of the first start that is random
MOST_AT_ONCE = 250


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class BootstrapLRT:
    """The outcome of a test of K components against K + 1.

    Attributes:
        family: Name of the family.
        num_components: K, under the null.
        statistic: 2 (ℓ(K + 1) − ℓ(K)) of the data.
        replicates: The same of samples from the fit with K, shape (b,).
        p_value: (replicates as large as the statistic + 1) / (b + 1); after an early stop, those as large / b.
        num_failed: Replicates without a usable fit; they are left out.
        stopped: Whether the test stopped early.
    """

    family: str
    num_components: int
    statistic: float
    replicates: np.ndarray
    p_value: float
    num_failed: int
    stopped: bool

    def __repr__(self) -> str:
        k = self.num_components
        return f"BootstrapLRT({self.family}, {k} against {k + 1}, statistic={self.statistic:.2f}, p_value={self.p_value:.4f})"

    def __str__(self) -> str:
        from .text import of_lrt

        return of_lrt(self)


def bootstrap_lrt(
    data: Any,
    family: Any = "VVV",
    num_components: int = 1,
    num_replicates: int = 999,
    seed: Any = 0,
    *,
    weights: Any = None,
    num_restarts: int = 8,
    stop_after: int | None = None,
    tol: float = 1e-3,
    max_steps: int = 2000,
) -> BootstrapLRT:
    """Test K components against K + 1: samples from the fit with K say how large the likelihood ratio is when K is right.

    Wilks' χ² does not hold here: under the null a component has no place of its own. The data are searched exactly as every
    replicate is, as one lane set among theirs: a more careful search of the data than of the replicates would reject too often.
    Under the null EM begins at the params that the replicate was drawn from and at random; under the alternative at every split of
    the null's components and at random.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame.
        family: A name or a `Family`.
        num_components: K, under the null.
        num_replicates: Samples from the null, B.
        seed: An int or a JAX key.
        weights: Row weights (n,); whole ones are repeated rows.
        num_restarts: Random starts under the alternative, for the data and every replicate.
        stop_after: Stop once so many replicates reach the statistic: the answer is then clear, and is not "reject"
            (Besag & Clifford 1991, Biometrika 78).
        tol: In nats of total log-likelihood.
        max_steps: The most E-steps of a run.
    Returns:
        A `BootstrapLRT`.
    Raises:
        ValueError: for bad values.
        RuntimeError: if the data have no usable fit with K or K + 1 components.
    References:
        McLachlan 1987, Applied Statistics 36; p-value: Davison & Hinkley 1997, Bootstrap Methods and their Application, sec. 4.2.

    Example:
        >>> import jaxem
        >>> waiting = jaxem.datasets.load("faithful")["waiting"]
        >>> test = bootstrap_lrt(waiting, "E", 1, num_replicates=19)
        >>> round(test.statistic, 1), test.p_value
        (122.6, 0.05)
    """
    k = tabular.count("num_components", num_components)
    most = tabular.count("num_replicates", num_replicates)
    random = tabular.count("num_restarts", num_restarts, 0)
    enough = None if stop_after is None else tabular.count("stop_after", stop_after)
    options = Options.checked(
        num_restarts=20,
        num_finalists=5,
        moves=True,
        init="portfolio",
        tol=tol,
        max_steps=max_steps,
        seed=seed,
        dtype=np.float64,
    )
    nominal = family_names.nominal(family)
    table = _unfolded(tabular.read(data, weights, missing=True, nominal=nominal).without_empty_rows())
    named = family_names.resolve([family], num_features(table, family))
    if len(named) != 1:
        raise ValueError(f"bootstrap_lrt takes one family, got {len(named)} ({', '.join(one.name for one in named)})")
    with precision(np.float64):
        problem = Problem(table, named, [k, k + 1], options)
        if len(problem.able) < 2:
            raise ValueError(f"num_components is {k}, but the data have only {problem.distinct} distinct rows")
        problem.search()
        null = problem.cells[0].best
        if null is None or not null.admissible:
            raise RuntimeError(f"{named[0].name} with K = {k} has no usable fit to these data: there is nothing to sample from")
        drawn = _Samples(problem, null.params, random, options)
        return _judge(named[0].name, k, drawn, most, enough)


def _judge(name: str, k: int, drawn: _Samples, most: int, enough: int | None) -> BootstrapLRT:
    """Ratios until there are as many as were asked for, or until enough are as large as the data's own."""
    ratios = drawn.ratios(most)
    statistic = next(ratios)
    if np.isnan(statistic):
        raise RuntimeError(f"{name} with K = {k + 1} has no usable fit to these data: every run failed or became a spike")
    kept: list[float] = []
    failed = reached = 0
    for ratio in ratios:
        if np.isnan(ratio):
            failed += 1
            continue
        kept.append(ratio)
        reached += ratio >= statistic
        if reached == enough:
            break
    stopped = reached == enough and len(kept) + failed < most
    p_value = reached / len(kept) if stopped else (reached + 1) / (len(kept) + 1)
    return BootstrapLRT(name, k, statistic, np.array(kept), p_value, failed, stopped)


class _Samples:
    """The data as number 0, and samples from the null as 1, 2, …, all searched in the same way."""

    def __init__(self, problem: Problem, null: MixtureParams, num_restarts: int, options: Options):
        self.null, self.num_restarts, self.seed = null, num_restarts, options.seed
        model, weight, rows = problem.cells[0].model, problem.table.weight, problem.units.rows
        self.k, self.family = len(null.log_weights), model.family
        num_rows = resampling.num_draws(weight)
        size = max(num_rows, rows.shape[1])
        gone = None if problem.table.complete else np.isnan(rows)
        draw = resampling.simulate(model.family, null, num_rows, options.seed, gone=gone)
        simulated = np.pad(np.full(num_rows, weight.sum() / num_rows), (0, size - num_rows))
        observed = np.pad(weight, (0, size - len(weight)))
        self.weight = lambda number: simulated if number else observed
        self.rows = lambda number: _widened(draw(number) if number else rows, size)
        self.replicates = Replicates(self.rows, self.weight, [model], self.k + 1, tol=options.tol, max_steps=options.max_steps)
        self.at_once = max(1, min(MOST_AT_ONCE, MOST_BYTES // (8 * size * (2 * self.k + rows.shape[0]))))

    def ratios(self, most: int) -> Iterator[float]:
        """2 (ℓ(K + 1) − ℓ(K)) of the data and of so many samples; NaN where a fit is lacking."""
        for first in range(0, most + 1, self.at_once):
            numbers = np.arange(first, min(first + self.at_once, most + 1))
            joints = self.replicates.log_joint([self.null] * len(numbers), np.zeros(len(numbers), int), numbers)
            tasks = [task for number, joint in zip(numbers, joints, strict=True) for task in self._tasks(int(number), joint)]
            outcomes = self.replicates.fit(tasks)
            for below, above in zip(outcomes[::2], outcomes[1::2], strict=True):
                usable = below.usable and above.usable
                yield 2 * (above.log_likelihood - below.log_likelihood) if usable else np.nan

    def _tasks(self, number: int, joint: np.ndarray) -> tuple[Task, Task]:
        rows, weight, k = self.replicates.fill(self.rows(number)), self.weight(number), self.k
        unit = points(self.family, rows, weight)
        draws = init.Starts(unit, weight, (*self.seed, number))
        resp = np.exp(joint - joint.max(0))
        parts = moves.halves(unit if hasattr(self.family, "embed") else rows, weight, resp / resp.sum(0))

        def random(components: int, count: int) -> list[Any]:
            return [draws.draw("portfolio", components, FIRST_RANDOM + restart)[1] for restart in range(count)]

        splits = [moves.apply(selection, parts) for selection in moves.splits(k)]
        return (
            Task(number, 0, k, [self.null, *random(k, NULL_RESTARTS if k > 1 else 0)]),
            Task(number, 0, k + 1, [*splits, *random(k + 1, self.num_restarts)]),
        )


def _unfolded(table: tabular.Table) -> tabular.Table:
    """Where cells are missing, every row as often as its weight says: the samples lack the same cells of the same rows."""
    if table.complete:
        return table
    rows = resampling.draws_of(table.weight)
    weight = np.ones(len(rows)) if len(rows) == table.weight.sum() else table.weight[rows]
    return dataclasses.replace(table, x=table.x[rows], weight=weight)


def _widened(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows (d, n) with copies of the last, of weight 0, up to `size`."""
    return np.pad(rows, ((0, 0), (0, size - rows.shape[1])), mode="edge")
