"""From checked data to fits: search and certify. Imports layers 0 to 3.

A `Problem` is one table in internal units with the cells to be fitted to it. Numbers leave it in the data's own units, and only after
the fast kernels' answer has been checked by the accurate ones.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from . import criteria, em, given, rowwise, tabular
from . import families as family_names
from . import init as starts
from ._precision import outside
from ._pytree import replace
from ._status import Status
from .cell import GIVEN, Cell, Run
from .lanes import FEW, TICKS, Engine, Work
from .models.mixture import MixtureParams
from .options import Options
from .padding import pad_data, row_bucket
from .patterns import Patterned
from .protocol import Data
from .publish import publish
from .quasi_newton import QuasiNewton
from .result import Fit
from .search import Batch, Effort, Search
from .terms import Terms
from .units import Units, dependence, points


PLAIN_STEPS_FROM_START = 5  # a given start leads to its own optimum more often when EM takes the first steps alone
SUBSAMPLE = 2000  # rows that tell where the optima are; or twice the parameters, if that is more
SUBSAMPLE_FROM = 4  # times as many rows make a search on a subsample pay
SUBSAMPLE_STEPS = 300
ROUNDING = 10  # sums over rows in two orders differ by a few units of what the dtype can resolve

Progress = Callable[[str, int, int, float], Any]


def heard(progress: Any) -> Progress | None:
    """The function that is told of progress, as a problem calls it: under the settings of JAX that hold here, those of its owner.

    Raises:
        TypeError: if it is no function.
    """
    if progress is None:
        return None
    if not callable(progress):
        raise TypeError(f"progress must be a function of (phase, done, total, lowest_bic), got {progress!r}")
    return outside(progress)


class Problem:
    """One table in internal units, and the cells to be fitted to it.

    Args:
        table: Checked data.
        families: Families of one kind: all standardised, or none.
        components: Numbers of components.
        options: How to search.
        report: From `heard`, called as runs end: with the phase, how many of its runs have ended, how many there are, and the lowest
            BIC so far.
        varying: Whether to leave out constant columns; by default where the families are standardised.
    """

    def __init__(
        self,
        table: tabular.Table,
        families: Sequence[Any],
        components: Sequence[int],
        options: Options,
        report: Progress | None = None,
        varying: bool | None = None,
    ):
        self.begun = time.perf_counter()
        self.options, self.work = options, Work()
        self.report = None if report is None else lambda phase, done, total: report(phase, done, total, self.lowest_bic())
        columns = table.columns
        varying = families[0].standardise if varying is None else varying
        self.families = families
        self.table = table = table.without_constant_columns() if varying else table
        for family in families:
            if not hasattr(family, "observed"):
                table.require_complete(f"family {family.name!r}")
            family.check(table.x, list(table.columns))
        self.total = float(table.weight.sum())
        bounded = options.prior is not None or "covariances" in options.fixed
        if not bounded and any(getattr(family, "full", False) for family in families):
            self.table = table = dataclasses.replace(table, warnings=(*table.warnings, *dependence(table)))
        if options.prior is not None:
            said = options.prior.uneven(families, table.x)
            self.table = table = dataclasses.replace(table, warnings=(*table.warnings, *said))
        self.units = units = Units(table, families)
        self.terms = Terms(options, units, columns, components)
        self.offset = units.offset_of(table.weight)
        self.distinct = table.num_distinct(max(components))
        room = units.inside(table.x, row_bucket(table.num_rows))
        rows = room[:, : table.num_rows]
        whole = units.filled(rows, table.weight)
        bound = [family.bind(whole, table.weight, units.scale, options.dtype) for family in families]
        self.bound = [family_names.settled(family, len(rows), options.dtype) for family in bound]
        plain, known = table.complete and self.terms.region is None, self.terms.known
        self.cells = [
            Cell(self.terms.model(one, k), k, number, plain and (known or k == 1))
            for number, one in enumerate(self.bound)
            for k in components
        ]
        out = self.terms.left_out
        self.able = [cell for cell in self.cells if cell.num_components <= self.distinct and cell.num_components not in out]
        self.sample, self.light = self._subsample() if self.able else (None, table.weight)
        self.sample_offset = self.offset if self.sample is None else units.offset_of(self._weight_of(self.sample))
        self.engine = self._all_rows(*((room, room) if whole is rows else (rows, whole)))

    def _weight_of(self, sample: np.ndarray) -> np.ndarray:
        """Row weights (n,), 0 for rows that are not in the sample."""
        out = np.zeros(self.table.num_rows)
        out[sample] = self.light
        return out

    def _data(self, rows: np.ndarray, whole: np.ndarray, weight: np.ndarray, label: np.ndarray | None) -> Data | Patterned:
        """Rows (d, n), and the same filled up, padded."""
        return pad_data(rows, weight, self.options.dtype, label, None if whole is rows else whole)

    def _all_rows(self, rows: np.ndarray, whole: np.ndarray) -> Engine:
        """The programs for all rows; after a search on a subsample, few lanes go on, from near their ends: L-BFGS at its best."""
        data = self._data(rows, whole, self.table.weight, self.table.label)
        if self.sample is None:
            return self._engine(data, self.table.num_rows)
        smooth = all(cell.model.smooth for cell in self.able)
        return self._engine(data, self.table.num_rows, block=FEW, method=QuasiNewton() if smooth else None)

    def _engine(self, data: Data | Patterned, num_rows: int, **how: Any) -> Engine:
        """The programs for some rows."""
        components = [cell.num_components for cell in self.able or self.cells]
        how |= {"least": min(components), "lanes": len(components) * self.options.num_restarts}
        how |= {"shareable": all(cell.model.shareable for cell in self.cells)}
        return Engine(data, num_rows, max(components), tol=self.options.tol, work=self.work, **how)

    def search(self) -> None:
        """Find the best optimum of every cell; where the fast form was not accurate enough for any run, once more in the accurate one."""
        if not self.able:
            return
        self._find(self.able)
        lost = [
            cell for cell in self.able if cell.best is None and any(run.status == Status.DECREASED for run in cell.searched)
        ]
        for cell in lost:
            cell.model = cell.accurate
        if lost:
            self._find(lost)

    def _find(self, cells: list[Cell]) -> None:
        """Search cells: on all rows or, where there are very many, on a subsample first."""
        weight, options, sample = self.table.weight, self.options, self.sample
        if sample is None:
            models, finals = [cell.model for cell in cells], [cell.accurate for cell in cells]
            self.engine.prepare(models, finals, moves=options.moves and not all(cell.closed for cell in cells))
            if self.engine.small and self.table.complete and len(cells) > 1:  # the choice is then weighed row by row
                rowwise.prepare(self.families[0].with_residuals(), self.table.x, self.table.columns)
            self._search(cells, self.engine, self.units.guesses, weight, self.table.label, options.max_steps)
            return
        for cell in cells:
            cell.scout = Cell(cell.model, cell.num_components, cell.number, cell.closed)
        scouts = [cell.scout for cell in cells]
        few, light = self.units.inside(self.table.x[sample]), self.light
        label = None if self.table.label is None else self.table.label[sample]
        whole = self.units.filled(few, light)
        engine = self._engine(self._data(few, whole, light, label), len(sample))
        effort = Effort(options.num_finalists, 0, options.max_steps)
        try:
            self._search(scouts, engine, whole, light, label, min(SUBSAMPLE_STEPS, options.max_steps))
            Search(self.engine, few, weight, effort, self.report).from_scouts(cells)
        except KeyboardInterrupt:  # what the subsample has told is kept
            for cell in cells:
                cell.settle_for_scout()
            raise

    def _subsample(self) -> tuple[np.ndarray | None, np.ndarray]:
        """Numbers of the rows to search on, or None for all, as where there is nothing to search for; and their weights.

        Rows of unequal weight are drawn by it, each as often as its share asks, rounded up or down; and weigh as often as they are drawn.
        """
        weight = self.table.weight
        if self.terms.known:
            return None, weight
        d = self.table.x.shape[1]
        most = max(cell.num_params(d) for cell in self.able)
        size = max(SUBSAMPLE, 2 * most)
        seen = np.flatnonzero(weight > 0)
        if len(seen) <= SUBSAMPLE_FROM * size:
            return None, weight
        draws = starts.stream(self.options.seed, 0, 1)
        if np.ptp(weight[seen]) == 0:
            sample = np.sort(draws.choice(seen, size, replace=False))
            return sample, weight[sample]
        order = draws.permutation(seen)
        reach = np.cumsum(weight[order])
        marks = (draws.random() + np.arange(size)) * (reach[-1] / size)
        sample, times = np.unique(order[np.searchsorted(reach, marks).clip(max=len(order) - 1)], return_counts=True)
        return sample, times.astype(float)

    def _search(
        self,
        cells: list[Any],
        engine: Engine,
        rows: np.ndarray,
        weight: np.ndarray,
        label: np.ndarray | None,
        max_steps: int,
    ) -> None:
        """Starts, then moves, on some rows (d, n), complete or filled up."""
        options = self.options
        unit = rows if self.units.scaled else points(self.bound[0], rows, weight)
        effort = Effort(options.num_finalists, TICKS, max_steps)
        search = Search(engine, unit if self.units.nominal else rows, weight, effort, self.report, label)
        draws = starts.draws(unit, weight, options.seed, noisy=options.noise, label=label)
        search.from_starts(cells, draws, options.init, options.num_restarts)
        if options.moves:
            search.from_moves(cells)

    def lowest_bic(self) -> float:
        """The lowest BIC of the cells that have a fit and no spike for one; NaN where none has."""
        d = len(self.units.scale)
        found = [(cell, cell.best) for cell in self.able if cell.best is not None and cell.best.admissible]
        scores = [criteria.bic(best.log_likelihood + self.offset, cell.num_params(d), self.total) for cell, best in found]
        return min(scores, default=float("nan"))

    def run_from(self, start: Any) -> None:
        """One run of the only cell, from responsibilities (n, k) or from params."""
        cell, wide = self.cells[0], self.engine
        engine = Engine(
            wide.placed, wide.num_rows, wide.width, tol=self.options.tol, block=1, shareable=wide.shareable, work=self.work
        )
        self.engine = engine
        if hasattr(start, "weights"):
            point = given.params(start, cell, self.units, rest=self.options.noise)
            states = engine.begin_after(cell.model, jax.tree.map(lambda leaf: np.asarray(leaf, self.options.dtype), point))
        else:
            resp = given.responsibilities(start, self.table.num_rows, cell.num_components, rest=self.options.noise)
            if self.table.label is not None:
                resp = starts.obey(resp, self.table.label)
            states = engine.begin([cell.model], [lambda: resp])
        states = dataclasses.replace(states, num_plain=np.full_like(states.num_plain, PLAIN_STEPS_FROM_START))
        run = Run(cell, "start", GIVEN, 0, 0)
        Batch(engine, [run], states, self.total).finish([run], self.options.max_steps, None)
        cell.runs.append(run)
        cell.best = run if np.isfinite(run.log_likelihood) else None

    def certify(self) -> None:
        """Check every best fit in the accurate form; where the fast form was not safe, finish the run in the accurate one."""
        left, settled = self.able, set()
        while found := [(cell, cell.best) for cell in left if cell.best is not None]:
            left = []
            models = [cell.accurate for cell, _ in found]
            summaries = self.engine.summarise(models, [best.params for _, best in found])
            for (cell, best), summary in zip(found, summaries, strict=True):
                cell.summary = summary
                rounding = float(em.resolution(summary.log_likelihood, np.asarray(self.total)))
                if best.status == Status.RUNNING or id(best) in settled:
                    best.log_likelihood = float(summary.log_likelihood)
                elif not abs(summary.log_likelihood - best.log_likelihood) <= max(self.options.tol / 10, ROUNDING * rounding):
                    left.append(cell)
            settled |= self._finish_accurately(left)

    def _finish_accurately(self, cells: list[Cell]) -> set[int]:
        """Take the best runs of some cells to convergence in the accurate form; one that fails there gives way to the next best.

        Returns:
            The `id` of every run that is to be believed now.
        """
        if not cells:
            return set()
        before = [(cell, cell.best) for cell in cells if cell.best is not None]
        runs = [dataclasses.replace(best, history=best.history.copy()) for _, best in before]
        for cell in cells:
            cell.model = cell.accurate
        states = self.engine.begin_at([cell.model for cell in cells], [run.params for run in runs])
        Batch(self.engine, runs, states, self.total).finish(runs, self.options.max_steps, None)
        for (cell, best), run in zip(before, runs, strict=True):
            run.num_steps += best.num_steps
            cell.put(run, best)
        return {id(run) for run in runs}

    def _one_component(self) -> dict[int, float]:
        """The log-likelihood of a single component without noise, for each family by number: what `nec` compares with."""
        if self.options.fixed:  # of K components, and no word on one
            return {}
        plain = self.terms.region is None and self.table.label is None
        ones = [cell for cell in self.able if cell.num_components == 1 and cell.summary]
        known = {cell.number: cell.summary.log_likelihood for cell in ones if plain}
        models = {
            cell.number: replace(self.terms.model(self.bound[cell.number], 1), noise=None, equal_weights=False)
            for cell in self.able
            if cell.number not in known
        }
        if self.table.complete:
            told = {number: getattr(model.family, "alone", lambda _: None)(self.total) for number, model in models.items()}
            known |= {number: value for number, value in told.items() if value is not None}
            models = {number: model for number, model in models.items() if number not in known}
        if models:
            engine, some = self.engine.without_labels(), list(models.values())
            if self.sample is None:
                states = engine.begin(some, [lambda: np.ones((1, self.table.num_rows))] * len(some))
            else:
                crude = [model.family.reference(1, len(self.units.scale), engine.dtype) for model in some]
                states = engine.begin_at(some, [MixtureParams(np.zeros(1, engine.dtype), point) for point in crude])
            ends = engine.run(some, states, max_steps=self.options.max_steps)
            known |= dict(zip(models, ends.log_likelihood, strict=True))
        return {number: float(value) for number, value in known.items()}

    def fits(self) -> list[Fit | None]:
        """One `Fit` a cell, None where there is none."""
        alone, seconds = self._one_component(), time.perf_counter() - self.begun
        return [
            publish(cell, cell.best, self.terms, alone.get(cell.number), seconds) if cell.best is not None else None
            for cell in self.cells
        ]
