"""The search for the best optimum of every cell: starts, two stages, moves.

Owns what is run and what is kept; imports layers 0 to 2, init and lanes.

A *cell* is one family with one number of components. All cells are searched together, every run a lane:

1. `num_restarts` starts a cell take `TICKS` steps;
2. the best `num_finalists` of them that are distinct and no spikes go on to convergence;
3. *moves*: the best fit of K − 1 with one component split, of K + 1 with two merged, of K with both (SMEM) are starts for K, in two
   stages again. Rounds of moves are repeated where a neighbour has improved. They find, in two thirds of the failing cases, what
   more random starts do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import init as starts
from ._status import Status
from .lanes import Engine, take, trim_components
from .models.mixture import Mixture, MixtureParams


SAME = 0.01  # nats: runs within ten times the default tol end in the same optimum (99 % differ by less than 7e-4)
DISTINCT = 0.05  # nats at the end of the first stage: closer runs are taken to be on the same way
SAME_PARAMS = 0.5  # ... and their components differ by less than this many standard deviations, or in logarithm
MERGE_PAIRS = 10
SMEM_PAIRS = 5
SMEM_TO = 9
MOVE_ROUNDS = 3
SCOUT_STEPS = 10  # steps on all rows for the leaders of a search on a subsample ...
SCOUTS_KEPT = 2  # ... and how many of them go on


Report = Callable[[str, int, int], None]


@dataclasses.dataclass
class Run:
    """What became of one lane.

    Attributes:
        cell: Number of the cell.
        origin: "start", "split", "merge", "split-merge", or "all rows" for what a search on a subsample has found.
        kind: The kind of start; for moves, that of the number of components they came from.
        restart: Number of the restart, or of the move within its round.
        round: 0 for starts, then the round of moves.
        log_likelihood: In internal units.
        num_steps: E-steps taken.
        status: A `Status`.
        admissible: Whether it is no spike.
        finalist: Whether it was run to convergence.
        params: Its params, kept for finalists.
        history: Its objective after each step, kept for finalists.
    """

    cell: int
    origin: str
    kind: str
    restart: int
    round: int
    log_likelihood: float = -np.inf
    num_steps: int = 0
    status: Status = Status.RUNNING
    admissible: bool = False
    finalist: bool = False
    params: Any = None
    history: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Cell:
    """One family with one number of components, and the state of its search.

    Attributes:
        family: The family, bound to the data.
        num_components: K.
        runs: All runs so far.
        best: The best run: by log-likelihood among the admissible ones, or among spikes where there is nothing else.
        improved: Whether a move has raised the best log-likelihood.
        stable: Whether the last round of moves found nothing better; None if no moves were made.
        summary: The best fit's sums over rows, once it is certified.
        scout: The same cell on a subsample, where the search was made there.
    """

    family: Any
    num_components: int
    runs: list[Run] = dataclasses.field(default_factory=list)
    best: Run | None = None
    improved: bool = False
    stable: bool | None = None
    summary: Any = None
    scout: Cell | None = None

    def replicates(self) -> int:
        """How many independent starts ended in the best optimum."""
        if self.scout is not None:
            return self.scout.replicates()
        return sum(self.same_optimum(run) for run in self.runs if run.origin == "start" and run.finalist)

    def take_in(self, arrivals: list[Run]) -> None:
        """Keep new runs; one that ends clearly higher than the best so far takes its place."""
        self.runs.extend(arrivals)
        able = [run for run in arrivals if run.finalist and not run.status.failed]
        leader = max(able, key=_rank, default=None)
        if leader and (self.best is None or _rank(leader) > (self.best.admissible, self.best.log_likelihood + SAME)):
            self.best = leader

    def leaders(self, most: int) -> list[Run]:
        """The best few runs to convergence, no two in the same optimum; spikes only where there is nothing else."""
        able = [run for run in self.runs if run.finalist and not run.status.failed and run.params is not None]
        able = [run for run in able if run.admissible] or able
        chosen: list[Run] = []
        for run in sorted(able, key=_rank, reverse=True):
            if len(chosen) < most and all(abs(run.log_likelihood - other.log_likelihood) > SAME for other in chosen):
                chosen.append(run)
        return chosen

    def same_optimum(self, run: Run) -> bool:
        """Whether a finalist ended where the best one did, in log-likelihood and in params."""
        if self.best is None or run.params is None or not abs(run.log_likelihood - self.best.log_likelihood) <= SAME:
            return False
        return run is self.best or _distance(self.family, run.params, self.best.params) < SAME_PARAMS


def _rank(run: Run) -> tuple[bool, float]:
    """Any admissible run before any spike, then by log-likelihood."""
    return run.admissible, run.log_likelihood


def _distance(family: Any, a: MixtureParams, b: MixtureParams) -> float:
    """The largest difference between the components of two mixtures under the best matching."""
    from scipy.optimize import linear_sum_assignment

    between = np.maximum(family.distance(a.components, b.components), np.abs(a.log_weights[:, None] - b.log_weights))
    rows, columns = linear_sum_assignment(np.minimum(between, 1e6))
    return float(between[rows, columns].max())


class Search:
    """Searches cells on one data set.

    Args:
        engines: Programs by width; a cell uses the narrowest that holds its components.
        draws: The starts.
        weight: Row weights, shape (n,); zero where a row is padding.
        rows: Rows in internal units, shape (d, n).
        report: Called as runs end, with the phase, how many of its runs have ended, and how many there are.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        draws: starts.Starts | None,
        rows: np.ndarray,
        weight: np.ndarray,
        report: Report | None = None,
    ):
        self.engines = sorted(engines, key=lambda engine: engine.width)
        self.draws, self.rows, self.weight, self.report = draws, rows, weight, report

    def engine(self, num_components: int) -> Engine:
        """The narrowest program that holds this many components."""
        return next(engine for engine in self.engines if engine.width >= num_components)

    def from_starts(
        self, cells: list[Cell], *, init: str, num_restarts: int, num_finalists: int, stage: int, max_steps: int
    ) -> None:
        """Independent starts for every cell, in two stages."""
        runs, makes = [], []
        for number, cell in enumerate(cells):
            for restart in range(num_restarts if cell.num_components > 1 else 1):  # K = 1 has one optimum
                kind, make = self.draws.draw(init, cell.num_components, restart)
                runs.append(Run(number, "start", kind, restart, 0))
                makes.append(make)
        self._two_stages(cells, runs, makes, num_finalists, stage, max_steps, "starts")

    def from_moves(
        self, cells: list[Cell], *, num_finalists: int, stage: int, max_steps: int, rounds: int = MOVE_ROUNDS
    ) -> None:
        """Rounds of split, merge and split-merge moves, until nothing improves."""
        numbers = {(id(cell.family), cell.num_components): number for number, cell in enumerate(cells)}
        fresh = set(range(len(cells)))
        for number in range(1, rounds + 1):
            targets = [
                i
                for i, cell in enumerate(cells)
                if cell.num_components > 1
                and any(numbers.get((id(cell.family), cell.num_components + step)) in fresh for step in (-1, 0, 1))
            ]
            runs, makes = self._moves(cells, numbers, targets, fresh, number)
            before = [cell.best for cell in cells]
            self._two_stages(cells, runs, makes, num_finalists, stage, max_steps, f"moves, round {number}")
            fresh = {i for i in targets if cells[i].best is not before[i]}
            for i in targets:
                cells[i].stable = i not in fresh
                cells[i].improved |= i in fresh
            if not fresh:
                return

    def from_scouts(self, cells: list[Cell], *, num_leaders: int, max_steps: int) -> None:
        """Take the leaders of every cell's scout to all rows: all of them a few steps, the best two to convergence."""
        runs = [
            Run(number, "all rows", run.kind, place, run.round, params=run.params)
            for number, cell in enumerate(cells)
            for place, run in enumerate(cell.scout.leaders(num_leaders) if cell.scout else [])
        ]
        for engine in self.engines:
            some = [run for run in runs if self.engine(cells[run.cell].num_components) is engine]
            if not some:
                continue
            models = [Mixture(cells[run.cell].family) for run in some]
            states = engine.begin_at(models, [run.params for run in some])
            histories: list[list[float]] = [[] for _ in some]
            tell = self._teller("all rows", len(some))
            states = engine.run(models, states, max_steps=min(SCOUT_STEPS, max_steps), histories=histories, report=tell)
            self._note(cells, some, states)
            ranked = {number: [j for j, run in enumerate(some) if run.cell == number] for number in {run.cell for run in some}}
            chosen = [
                j for mine in ranked.values() for j in sorted(mine, key=lambda j: _rank(some[j]), reverse=True)[:SCOUTS_KEPT]
            ]
            self._finish(engine, cells, some, chosen, models, states, histories, max_steps, "all rows")
        for number, cell in enumerate(cells):
            cell.take_in([run for run in runs if run.cell == number])
            if cell.scout is not None:
                cell.improved, cell.stable = cell.scout.improved, cell.scout.stable

    def _moves(self, cells, numbers, targets, fresh, round_number):
        """Runs and their starts: every move onto a target cell from a fit that is new."""
        wanted = {}
        for i in targets:
            for step in (-1, 0, 1):
                source = numbers.get((id(cells[i].family), cells[i].num_components + step))
                if source in fresh and cells[source].best is not None:
                    wanted.setdefault(source, []).append((i, step))
        parts = self._halves(cells, list(wanted))
        runs, makes = [], []
        for source, aims in wanted.items():
            pieces, pairs = parts[source]
            k = cells[source].num_components
            for i, step in aims:
                if step == -1:
                    origin, selections = "split", starts.splits(k)
                elif step == 1:
                    origin, selections = "merge", starts.merges(k, pairs[:MERGE_PAIRS])
                else:
                    origin = "split-merge"
                    selections = starts.merge_splits(k, pairs[:SMEM_PAIRS]) if 2 < k <= SMEM_TO else []
                for j, selection in enumerate(selections):
                    runs.append(Run(i, origin, f"K={k}", j, round_number))
                    makes.append(starts.apply(selection, pieces))
        return runs, makes

    def _halves(self, cells, sources):
        """For each source cell, its best fit's components in halves, and its pairs by overlap."""
        out = {}
        for engine in self.engines:
            mine = [i for i in sources if self.engine(cells[i].num_components) is engine]
            models = [Mixture(cells[i].family) for i in mine]
            posteriors = engine.posterior(models, [cells[i].best.params for i in mine])
            for i, (_, resp) in zip(mine, posteriors, strict=True):
                resp = resp.astype(float)
                out[i] = starts.halves(self.rows, self.weight, resp), starts.overlapping_pairs(self.weight, resp, MERGE_PAIRS)
        return out

    def _two_stages(self, cells, runs, makes, num_finalists, stage, max_steps, phase):
        """All runs for `stage` steps, the best few of every cell to convergence; the cells learn of them."""
        tell = self._teller(phase, len(runs))
        for engine in self.engines:
            here = [j for j, run in enumerate(runs) if self.engine(cells[run.cell].num_components) is engine]
            if not here:
                continue
            some = [runs[j] for j in here]
            models = [Mixture(cells[run.cell].family) for run in some]
            states = engine.begin(models, [makes[j] for j in here])
            histories: list[list[float]] = [[] for _ in some]
            states = engine.run(models, states, max_steps=min(stage, max_steps), histories=histories, report=tell)
            self._note(cells, some, states)
            while chosen := self._finalists(cells, some, num_finalists):
                self._finish(engine, cells, some, chosen, models, states, histories, max_steps, phase)
        for number, cell in enumerate(cells):
            cell.take_in([run for run in runs if run.cell == number])

    def _finish(self, engine, cells, some, chosen, models, states, histories, max_steps, phase):
        """Run the chosen of some runs to convergence, and note how they ended."""
        paths = [histories[slot] for slot in chosen]
        tell = self._teller(f"{phase}: to convergence", len(chosen))
        few = [models[slot] for slot in chosen]
        ends = engine.finish(few, take(states, chosen), max_steps=max_steps, histories=paths, report=tell)
        finalists = [some[slot] for slot in chosen]
        self._note(cells, finalists, ends)
        for place, (run, path) in enumerate(zip(finalists, paths, strict=True)):
            run.finalist, run.history = True, path
            run.params = trim_components(take(ends.params, place), cells[run.cell].num_components)

    def _teller(self, phase: str, total: int) -> Callable[[int], None] | None:
        """A function that adds up the runs that have ended, and passes the sum on."""
        if self.report is None:
            return None
        report, done = self.report, 0

        def tell(just_ended: int) -> None:
            nonlocal done
            done += just_ended
            report(phase, done, total)

        return tell

    def _note(self, cells: list[Cell], runs: list[Run], states: Any) -> None:
        """Write the outcome of every lane into its run."""
        total = self.weight.sum()
        families = {id(cells[run.cell].family): cells[run.cell].family for run in runs}
        for key, family in families.items():
            slots = np.array([j for j, run in enumerate(runs) if id(cells[run.cell].family) == key])
            ks = np.array([cells[runs[j].cell].num_components for j in slots])
            params = take(states.params, slots)
            live = np.arange(params.log_weights.shape[1]) < ks[:, None]
            counts = np.where(live, np.exp(params.log_weights) * total, np.inf)
            admissible = family.admissible(params.components, counts)
            for slot, ok in zip(slots, admissible, strict=True):
                runs[slot].log_likelihood = float(states.log_likelihood[slot])
                runs[slot].num_steps = int(states.num_steps[slot])
                runs[slot].status = Status(int(states.status[slot]))
                runs[slot].admissible = bool(ok) and np.isfinite(states.log_likelihood[slot])

    def _finalists(self, cells: list[Cell], runs: list[Run], num_finalists: int) -> list[int]:
        """The next runs to converge: the best of every cell that are admissible, alive, and not on the way of a better one.

        A cell that has an admissible finalist needs no more; one whose finalists all became spikes gets the next best, and one
        that has nothing but spikes gets those: they are reported, and never chosen.
        """
        chosen = []
        for number in sorted({run.cell for run in runs}):
            alive = [j for j, run in enumerate(runs) if run.cell == number and not run.status.failed]
            if any(runs[j].finalist and runs[j].admissible for j in alive):
                continue
            left = [j for j in alive if not runs[j].finalist]
            mine = [j for j in left if runs[j].admissible] or (left if cells[number].best is None else [])
            mine.sort(key=lambda j: -runs[j].log_likelihood)
            best = cells[number].best
            taken = [] if best is None else [best.log_likelihood]
            kept: list[int] = []
            for j in mine:
                value = runs[j].log_likelihood
                if len(kept) < num_finalists and all(abs(value - other) > DISTINCT for other in taken):
                    kept.append(j)
                    taken.append(value)
            chosen.extend(kept)
        return chosen
