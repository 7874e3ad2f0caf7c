"""From checked data to fits: scale, search, certify, publish. Imports layers 0 to 2, options, init, lanes, search and result.

A `Problem` is one table in internal units (every column centred and scaled where the families allow it) with the cells to be fitted to
it. Numbers leave it in the data's own units, and only after the fast kernels' answer has been checked by the accurate ones.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from . import criteria, em, noise, tabular, trust
from . import families as family_names
from . import init as starts
from ._pytree import replace
from ._status import Status
from .cell import Cell, Run
from .filling import filled
from .lanes import FEW, TICKS, Engine, Work, pad_data, row_bucket, take, trim_components, widths
from .models.mixture import Mixture, MixtureParams
from .options import Options
from .patterns import Patterned
from .protocol import Data
from .quasi_newton import QuasiNewton
from .result import Fit, Params
from .search import SCOUTS_KEPT, Batch, Effort, Search


PLAIN_STEPS_FROM_START = 5  # a given start leads to its own optimum more often when EM takes the first steps alone
GIVEN = "given"
COLLINEAR = 1e-15, 1e-5  # smallest eigenvalues of the correlation matrix between which full covariances see sphered data
DEPENDENT = 1e-3  # share of a column in the constant combination from which it is named
SUBSAMPLE = 2000  # rows that tell where the optima are; or twice the parameters, if that is more
SUBSAMPLE_FROM = 4  # times as many rows make a search on a subsample pay
SUBSAMPLE_STEPS = 300
ROUNDING = 10  # sums over rows in two orders differ by a few units of what the dtype can resolve
WITH_MOVES = 5  # times as many lanes, moves included

Progress = Callable[[str, int, int, float], Any]


class Problem:
    """One table in internal units, and the cells to be fitted to it.

    Args:
        table: Checked data.
        families: Families of one kind: all standardised, or none.
        components: Numbers of components.
        options: How to search.
        report: Called as runs end, with the phase, how many of its runs have ended, how many there are, and the lowest BIC so far.
    """

    def __init__(
        self,
        table: tabular.Table,
        families: Sequence[Any],
        components: Sequence[int],
        options: Options,
        report: Progress | None = None,
    ):
        if report is not None and not callable(report):
            raise TypeError(f"progress must be a function of (phase, done, total, lowest_bic), got {report!r}")
        self.begun = time.perf_counter()
        self.options, self.work = options, Work()
        self.report = None if report is None else lambda phase, done, total: report(phase, done, total, self.lowest_bic())
        self.input_columns = table.columns
        self.scaled = bool(families[0].standardise)
        self.table = table = table.without_constant_columns() if self.scaled else table
        if table.label is not None:
            _refuse_labels(table.label, table.weight, components)
        for family in families:
            if not hasattr(family, "observed"):
                table.require_complete(f"family {family.name!r}")
            family.check(table.x, list(table.columns))
        self.total = float(table.weight.sum())
        self.centre, self.scale = np.zeros(table.x.shape[1]), np.eye(table.x.shape[1])
        if options.prior is None and any(getattr(family, "full", False) for family in families):
            self.table = table = dataclasses.replace(table, warnings=(*table.warnings, *_dependence(table)))
        if self.scaled:
            self.centre, deviation = _moments(table.x, table.weight)
            self.scale = np.diag(deviation)
            if all(getattr(family, "linear", False) for family in families) and nearly_collinear(table):
                self.scale = deviation[:, None] * np.linalg.cholesky(_correlation(table))
        self.offset = self.offset_of(table.weight)
        self.distinct = table.num_distinct(max(components))
        if options.fixed and len(components) > 1:
            raise ValueError(
                f"fixed parameters are those of one number of components, got {len(components)} numbers to choose from"
            )
        room = self._internal(table.x, row_bucket(table.num_rows))
        rows = room[:, : table.num_rows]
        self.region = noise.region(table.seen()) if options.noise else None
        whole = self._filled(rows, table.weight)
        self.bound = [family.bind(whole, table.weight, self.scale, options.dtype) for family in families]
        self.prior = None if options.prior is None else options.prior.for_columns(self.input_columns, table.columns)
        self.cells = [Cell(self._model(one, k), k, number) for number, one in enumerate(self.bound) for k in components]
        self.able = [cell for cell in self.cells if cell.num_components <= self.distinct]
        self.sample = self._subsample() if self.able else None
        self.engines = self._all_rows(*((room, room) if whole is rows else (rows, whole))) if self.able else []

    def offset_of(self, weight: np.ndarray) -> float:
        """What a log-likelihood in internal units lacks of one in the data's, for rows of these weights (n,)."""
        if self.table.complete:
            return -float(weight.sum()) * float(np.linalg.slogdet(self.scale)[1])
        return float(weight @ self.row_offset)

    @property
    def row_offset(self) -> np.ndarray:
        """What the log-density of each row in internal units lacks of the one in the data's, shape (n,)."""
        if self.table.complete:
            return np.full(self.table.num_rows, -np.linalg.slogdet(self.scale)[1])
        return -(~np.isnan(self.table.x) @ np.log(np.diag(self.scale)))

    def _model(self, bound: Any, num_components: int) -> Mixture:
        """The mixture of one family, bound to the rows, under the terms asked for."""
        density = concentration = None
        if self.options.fixed:
            bound = family_names.fix(bound, self._given(num_components), self.centre, self.scale)
        if self.region is not None:
            if not self.scaled:
                raise ValueError(f"noise has a density, and {bound.name!r} is a family of counts: leave noise=False")
            density = np.linalg.slogdet(self.scale)[1] - self.region.log_volume
            if not self.table.complete:  # the box lies along the columns
                density = np.log(np.diag(self.scale)) - np.log(np.diag(self.region.edges))
            density = np.asarray(density, self.options.dtype)
        if self.prior is not None:
            bound, told = self._believing(bound, num_components)
            concentration = np.asarray(told["concentration"], self.options.dtype)
        return Mixture(bound, density, concentration, self.options.equal_weights)

    def _believing(self, bound: Any, num_components: int) -> tuple[Any, dict[str, Any]]:
        """A family under the prior, which depends on the number of components, and the prior's numbers."""
        if not hasattr(bound, "with_prior"):
            raise ValueError(f"prior: the family {bound.name!r} knows none: leave prior=None")
        return bound.with_prior(self.prior, num_components, self.centre, self.scale, self.total)

    @property
    def sample_noise(self) -> Callable[[np.random.Generator, int], np.ndarray] | None:
        """What draws rows of noise in internal units, (d, n); None where there is no noise."""
        region = self.region
        return None if region is None else lambda rng, n: self._internal(region.sample(rng, n))

    def _given(self, k: int) -> dict[str, np.ndarray]:
        """The fixed parameters of k components, of the columns that are not constant."""
        d = len(self.input_columns)
        kept = [self.input_columns.index(name) for name in self.table.columns]
        out = {}
        for name, array in self.options.fixed.items():
            wanted = (k, *[d] * (array.ndim - 1))
            if array.shape != wanted:
                raise ValueError(f"fixed: {name} must have shape {wanted}, got {array.shape}")
            out[name] = array[:, kept] if array.ndim == 2 else array[:, kept][:, :, kept]
        return out

    @property
    def rows(self) -> np.ndarray:
        """All rows in internal units, shape (d, n), NaN where missing: made anew each time, for the device holds them already."""
        return self._internal(self.table.x)

    @property
    def guesses(self) -> np.ndarray:
        """The same rows with guesses in the place of missing cells."""
        return self._filled(self.rows, self.table.weight)

    def _filled(self, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Rows (d, n) with guesses in the place of missing cells."""
        if self.scaled or self.table.complete:
            return filled(rows, weight)
        centre, scale = _moments(rows.T, weight)  # counts: columns of any scale
        return (filled(((rows.T - centre) / scale).T, weight).T * scale + centre).T

    def _internal(self, x: np.ndarray, room: int = 0) -> np.ndarray:
        """Rows (n, d) in internal units, shape (d, n), or up to `room` with zeros where scaling makes a copy anyway."""
        if not self.scaled:
            return x.T
        deviation = np.diag(self.scale)
        plain = np.array_equal(self.scale, np.diag(deviation))
        n, d = x.shape
        rows = np.zeros((d, max(n, room)))
        for row, column, centre, unit in zip(rows, x.T, self.centre, deviation if plain else np.ones(d), strict=True):
            np.subtract(column, centre, out=row[:n])
            row[:n] /= unit
        return rows if plain else np.linalg.solve(self.scale, rows)

    def _data(self, rows: np.ndarray, whole: np.ndarray, weight: np.ndarray, label: np.ndarray | None) -> Data | Patterned:
        """Rows (d, n), and the same filled up, on the device."""
        return pad_data(rows, weight, self.options.dtype, label, None if whole is rows else whole)

    def _all_rows(self, rows: np.ndarray, whole: np.ndarray) -> list[Engine]:
        """The programs for all rows; after a search on a subsample, few lanes go on, from near their ends: L-BFGS at its best."""
        data = self._data(rows, whole, self.table.weight, self.table.label)
        if self.sample is None:
            return self._engines(data, self.table.num_rows, self._num_lanes())
        smooth = all(cell.model.smooth for cell in self.able)
        return self._engines(data, self.table.num_rows, SCOUTS_KEPT, block=FEW, method=QuasiNewton() if smooth else None)

    def _engines(self, data: Data | Patterned, num_rows: int, num_lanes: int, **how: Any) -> list[Engine]:
        """The programs for some rows and about so many lanes a cell."""
        padded = widths([cell.num_components for cell in self.able], len(self.able) * num_lanes * num_rows)
        return [Engine(data, num_rows, width, tol=self.options.tol, work=self.work, **how) for width in padded]

    def _num_lanes(self) -> int:
        """About how many runs a cell's search takes."""
        return self.options.num_restarts * (WITH_MOVES if self.options.moves else 1)

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
            self._search(cells, self.engines, self.guesses, weight, self.table.label, options.max_steps)
            return
        for cell in cells:
            cell.scout = Cell(cell.model, cell.num_components, cell.number)
        scouts = [cell.scout for cell in cells]
        few, light = self._internal(self.table.x[sample]), weight[sample]
        label = None if self.table.label is None else self.table.label[sample]
        whole = self._filled(few, light)
        engines = self._engines(self._data(few, whole, light, label), len(sample), self._num_lanes())
        self._search(scouts, engines, whole, light, label, min(SUBSAMPLE_STEPS, options.max_steps))
        effort = Effort(options.num_finalists, 0, options.max_steps)
        Search(self.engines, few, weight, effort, self.report).from_scouts(cells)

    def _subsample(self) -> np.ndarray | None:
        """Numbers of the rows to search on, or None for all."""
        d = self.table.x.shape[1]
        most = max(cell.num_params(d) for cell in self.able)
        size = max(SUBSAMPLE, 2 * most)
        seen = np.flatnonzero(self.table.weight > 0)
        if len(seen) <= SUBSAMPLE_FROM * size:
            return None
        return np.sort(starts.stream(self.options.seed, 0, 1).choice(seen, size, replace=False))

    def _search(
        self,
        cells: list[Any],
        engines: list[Engine],
        rows: np.ndarray,
        weight: np.ndarray,
        label: np.ndarray | None,
        max_steps: int,
    ) -> None:
        """Starts, then moves, on some rows (d, n), complete or filled up."""
        options, unit = self.options, rows
        if not self.scaled:  # distances between rows need comparable columns, though the family must see the data as they are
            centre, scale = _moments(rows.T, weight)
            unit = ((rows.T - centre) / np.where(scale > 0, scale, 1.0)).T
        effort = Effort(options.num_finalists, TICKS, max_steps)
        search = Search(engines, rows, weight, effort, self.report, label)
        draws = starts.draws(unit, weight, options.seed, noisy=options.noise, label=label)
        search.from_starts(cells, draws, options.init, options.num_restarts)
        if options.moves:
            search.from_moves(cells)

    def lowest_bic(self) -> float:
        """The lowest BIC of the cells that have a fit and no spike for one; NaN where none has."""
        d, found = len(self.scale), [(cell, cell.best) for cell in self.able if cell.best is not None and cell.best.admissible]
        scores = [
            criteria.bic(
                best.log_likelihood + self.offset,
                cell.num_params(d),
                self.total,
            )
            for cell, best in found
        ]
        return min(scores, default=float("nan"))

    def run_from(self, start: Any) -> None:
        """One run of the only cell, from responsibilities (n, k) or from params."""
        cell, wide = self.cells[0], self.engines[0]
        engine = Engine(wide.data, wide.num_rows, wide.width, tol=self.options.tol, block=1, work=self.work)
        self.engines = [engine]
        if hasattr(start, "weights"):
            states = engine.begin_after(cell.model, self._adopt(start, cell))
        else:
            resp = _responsibilities(start, self.table.num_rows, cell.num_components, rest=self.options.noise)
            if self.table.label is not None:
                resp = starts.obey(resp, self.table.label)
            states = engine.begin([cell.model], [lambda: resp])
        states = dataclasses.replace(states, num_plain=np.full_like(states.num_plain, PLAIN_STEPS_FROM_START))
        run = Run(cell, "start", GIVEN, 0, 0)
        Batch(engine, [run], states, self.total).finish([run], self.options.max_steps, None)
        cell.runs.append(run)
        cell.best = run if np.isfinite(run.log_likelihood) else None

    def _adopt(self, start: Any, cell: Cell) -> MixtureParams:
        """Given params, checked, in internal units."""
        given = start.asdict() if isinstance(start, Params) else {name: np.asarray(a, float) for name, a in vars(start).items()}
        reference = cell.family.reference(cell.num_components, len(self.scale), float)
        wanted = cell.family.publish(reference, self.centre, self.scale)
        for name, example in {"weights": np.empty(cell.num_components), **wanted}.items():
            if name not in given or given[name].shape != example.shape:
                came = f"shape {given[name].shape}" if name in given else "nothing"
                raise ValueError(f"start: {name} must have shape {example.shape}, got {came}")
            if not np.isfinite(given[name]).all():
                raise ValueError(f"start: {name} must be finite")
        if (given["weights"] <= 0).any():
            raise ValueError("start: weights must be positive")
        try:
            components = cell.family.adopt({name: given[name] for name in wanted}, self.centre, self.scale)
        except ValueError as error:
            raise ValueError(f"start: {error}") from None
        weights = given["weights"]
        if not self.options.noise:
            weights = weights / weights.sum()
        elif weights.sum() > 1 - np.finfo(float).eps:  # nothing is left for the noise, and EM would leave it so
            weights = weights * ((1 - noise.SHARE) / weights.sum())
        params = MixtureParams(np.log(weights), components)
        return jax.tree.map(lambda leaf: np.asarray(leaf, self.options.dtype), params)

    def certify(self) -> None:
        """Check every best fit in the accurate form; where the fast form was not safe, finish the run in the accurate one."""
        found = [(cell, cell.best) for cell in self.able if cell.best is not None]
        if not found:
            return
        engine = self.engines[-1]  # the widest holds every cell: one program, run once
        doubtful = []
        for cell, best, summary in self._summaries(engine, found):
            cell.summary = summary
            rounding = float(em.resolution(summary.log_likelihood, np.asarray(self.total)))
            if not abs(summary.log_likelihood - best.log_likelihood) <= max(self.options.tol / 10, ROUNDING * rounding):
                doubtful.append((cell, best))
        if not doubtful:
            return
        models = [cell.accurate for cell, _ in doubtful]
        states = engine.begin_at(models, [best.params for _, best in doubtful])
        states = engine.finish(models, states, max_steps=self.options.max_steps)
        for slot, (cell, best) in enumerate(doubtful):
            if np.isfinite(states.log_likelihood[slot]):
                best.params = trim_components(take(states.params, slot), cell.num_components)
                best.num_steps += int(states.num_steps[slot])
                best.objective = float(states.objective[slot])
                best.status = Status(int(states.status[slot]))
        for cell, best, summary in self._summaries(engine, doubtful):
            cell.summary, best.log_likelihood = summary, float(summary.log_likelihood)

    def _summaries(self, engine: Engine, found: list[tuple[Cell, Run]]) -> list[tuple[Cell, Run, Any]]:
        """What the accurate form says of fits."""
        models = [cell.accurate for cell, _ in found]
        summaries = engine.summarise(models, [best.params for _, best in found])
        return [(cell, best, summary) for (cell, best), summary in zip(found, summaries, strict=True)]

    def _one_component(self) -> dict[int, float]:
        """The log-likelihood of a single component without noise, for each family by number: what `nec` compares with."""
        if self.options.fixed:  # of K components, and no word on one
            return {}
        plain = self.region is None and self.table.label is None
        ones = [cell for cell in self.able if cell.num_components == 1 and cell.summary]
        known = {cell.number: cell.summary.log_likelihood for cell in ones if plain}
        models = {
            cell.number: replace(self._model(self.bound[cell.number], 1), noise=None, equal_weights=False)
            for cell in self.able
            if cell.number not in known
        }
        if self.table.complete:
            told = {number: getattr(model.family, "alone", lambda _: None)(self.total) for number, model in models.items()}
            known |= {number: value for number, value in told.items() if value is not None}
            models = {number: model for number, model in models.items() if number not in known}
        if models:
            engine, some = self.engines[0].without_labels(), list(models.values())
            if self.sample is None:
                states = engine.begin(some, [lambda: np.ones((1, self.table.num_rows))] * len(some))
            else:
                crude = [model.family.reference(1, len(self.scale), engine.dtype) for model in some]
                states = engine.begin_at(some, [MixtureParams(np.zeros(1, engine.dtype), point) for point in crude])
            steps = (
                2 if self.table.complete else self.options.max_steps
            )  # the first M-step is the answer where all cells are there
            ends = engine.run(some, states, max_steps=steps)
            known |= dict(zip(models, ends.log_likelihood, strict=True))
        return {number: float(value) for number, value in known.items()}

    def fits(self) -> list[Fit | None]:
        """One `Fit` a cell, None where there is none."""
        self.one_component = self._one_component()
        return [self._publish(cell, cell.best) if cell.best is not None else None for cell in self.cells]

    def _publish(self, cell: Cell, best: Run) -> Fit:
        family, summary = cell.family, cell.summary
        params, order = self._published(family, best.params)
        searched = best.kind != GIVEN
        replicated = cell.replicates() if searched else 0
        level = trust.level(cell.num_components, replicated, cell.stable) if searched else ""
        starts_made = [run for run in cell.searched if run.origin == "start" and searched]
        return Fit(
            family=family.name,
            num_components=cell.num_components,
            params=params,
            columns=self.table.columns,
            log_likelihood=float(summary.log_likelihood) + self.offset,
            num_params=cell.num_params(len(self.scale)),
            num_rows=self.total,
            status=best.status,
            num_steps=best.num_steps,
            history=np.asarray(best.history, float) + self.offset,
            sizes=np.asarray(summary.sizes, float)[order],
            log_assigned=float(summary.log_assigned),
            entropy=max(0.0, float(summary.entropy)),
            log_likelihood_of_one=None
            if cell.number not in self.one_component
            else self.one_component[cell.number] + self.offset,
            num_restarts=len(starts_made),
            num_finalists=sum(run.finalist for run in starts_made),
            replicated=replicated,
            improved=cell.improved,
            stable=cell.stable,
            num_failed=sum(run.status.failed for run in cell.searched),
            spurious=not best.admissible,
            trust=trust.LOW if level and not best.admissible else level,
            warnings=tuple(self._warnings(cell, best)),
            input_columns=self.input_columns,
            runner_up=next((self._published(family, run.params)[0] for run in cell.leaders(2)[1:]), None),
            terms=self._terms(cell),
            seconds=time.perf_counter() - self.begun,
            source=None if family.name in family_names.names() else family,
        )

    def _published(self, family: Any, params: MixtureParams) -> tuple[Params, np.ndarray]:
        """Params in the data's units, and the order of their components: given ones and labelled ones as they are, others by weight."""
        weights = np.exp(np.asarray(params.log_weights, float))
        weights = weights if self.options.noise else weights / weights.sum()
        known = len(weights) if self.options.fixed else 0 if self.table.label is None else int(self.table.label.max()) + 1
        order = np.concatenate([np.arange(known), known + np.argsort(-weights[known:], kind="stable")])
        named = family.publish(params.components, self.centre, self.scale)
        return Params(weights=weights, **named).take(order), order

    def _terms(self, cell: Cell) -> dict[str, Any]:
        """What `Fit.terms` says."""
        told: dict[str, Any] = {} if self.region is None else {"noise": self.region.to_dict()}
        told |= {"equal_weights": True} if self.options.equal_weights else {}
        told |= {} if self.prior is None else {"prior": self._believing(cell.family, cell.num_components)[1]}
        told |= {"fixed": sorted(self.options.fixed)} if self.options.fixed else {}
        return told | ({} if self.table.label is None else {"labels": int(self.table.label.max()) + 1})

    def _warnings(self, cell: Cell, best: Run) -> list[str]:
        said = list(self.table.warnings)
        label = f"{cell.family.name} with K = {cell.num_components}"
        if best.status != Status.CONVERGED:
            said.append(f"{label}: {best.status.message}.")
        if not best.admissible:
            said.append(
                f"{label}: a component is next to singular or rests on too few rows, as in every run found; "
                "the likelihood of such a fit is not to be trusted, and it is never chosen."
            )
        return said


def nearly_collinear(table: tabular.Table) -> bool:
    """Whether some combination of the columns has next to no variance of its own, though they are no exact multiples."""
    if not table.complete:  # a combination of columns needs all of them
        return False
    columns = table.without_constant_columns()
    least = float(np.linalg.eigvalsh(_correlation(columns))[0])
    return COLLINEAR[0] < least < COLLINEAR[1]


def _dependence(table: tabular.Table) -> list[str]:
    """A sentence on columns of which some combination is constant to rounding, if there are any."""
    n, d = table.x.shape
    if d == 1 or not table.complete:
        return []
    values, vectors = np.linalg.eigh(_correlation(table))
    if values[0] > max(COLLINEAR[0], d * np.finfo(float).eps):
        return []
    cause = f"There are {n} rows for {d} columns"
    if n > d:
        names = [repr(name) for name, share in zip(table.columns, vectors[:, 0], strict=True) if abs(share) > DEPENDENT]
        cause = f"Columns {', '.join(names)} are linearly dependent to rounding"
    return [
        f"{cause}: the likelihood of covariances that are not diagonal has no maximum; leave columns out, choose among EII, VII, EEI, "
        "VEI, EVI and VVI, or give a prior."
    ]


def _correlation(table: tabular.Table) -> np.ndarray:
    """The correlation matrix of the columns, shape (d, d)."""
    mean, deviation = _moments(table.x, table.weight)
    total = np.zeros((len(mean), len(mean)))
    for some in tabular.parts(table.num_rows):
        unit = (table.x[some] - mean) / deviation
        total += (unit * table.weight[some, None]).T @ unit
    return total / table.weight.sum()


def _moments(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every column of x (n, d), of the cells that are there, for numbers of any size."""
    gone = np.isnan(x)
    if gone.any():
        each = [_moments(column[there, None], weight[there]) for column, there in zip(x.T, ~gone.T, strict=True)]
        return np.array([mean[0] for mean, _ in each]), np.array([deviation[0] for _, deviation in each])
    size = np.max([np.abs(x[some]).max(axis=0) for some in tabular.parts(len(x))], axis=0)
    size = np.where(size > 0, size, 1.0)
    share = weight / weight.sum()
    mean = sum(share[some] @ (x[some] / size) for some in tabular.parts(len(x)))
    variance = sum(share[some] @ (x[some] / size - mean) ** 2 for some in tabular.parts(len(x)))
    return mean * size, np.sqrt(variance) * size


def _refuse_labels(label: np.ndarray, weight: np.ndarray, components: Sequence[int]) -> None:
    """Labels that no number of components, or not every one of them, can have."""
    row, least = int(label.argmax()), min(components)
    if label[row] >= least:
        raise ValueError(
            f"labels: row {row + 1} is said to come from component {label[row]}, so num_components must be at least "
            f"{label[row] + 1}, got {least}"
        )
    seen = np.unique(label[weight > 0])
    lacking = np.setdiff1d(np.arange(max(components)), seen)
    if seen[0] >= 0 and len(lacking):
        raise ValueError(
            f"labels: every row has one, and none is left for component {lacking[0]} of {max(components)}; "
            "give -1 to rows whose component is not known, or ask for fewer components"
        )


def _responsibilities(start: Any, num_rows: int, num_components: int, *, rest: bool) -> np.ndarray:
    """A given start, checked, as (k, n); with noise, what a row lacks of 1 is noise."""
    shape = (num_rows, num_components)
    try:
        resp = np.asarray(start, dtype=np.float64)
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
    return resp.T
