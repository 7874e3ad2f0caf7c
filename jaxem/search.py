"""The search for the best optimum of every cell: starts, two stages, moves. Imports layers 0 to 3.

All cells are searched together, every run a lane:

1. `num_restarts` starts a cell take a few steps;
2. the best `num_finalists` of them that are distinct and no spikes go on to convergence;
3. *moves*: the best fit of K − 1 with one component split and of K + 1 with two merged are starts for K, in two stages again, and so
   on wherever a neighbour has improved, until nothing does; K without neighbours takes its own best fit with both at once (SMEM).
   Moves find, in two thirds of the failing cases, what more random starts do not.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import init as starts
from . import moves
from ._status import Status
from .cell import Cell, Run
from .lanes import Engine
from .padding import take, trim_components


MERGE_PAIRS = 10
SMEM_PAIRS = 5
SMEM_TO = 9
MOVE_ROUNDS = 20  # it takes 3 to 8: gains spread from neighbour to neighbour
SCOUT_STEPS = 5  # steps on all rows for the leaders of a search on a subsample ...
SCOUTS_KEPT = 2  # ... and how many of them go on, if they may still overtake the first:
HOPE = 4.0  # times the gain of the last two steps

Report = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much work a search may do.

    Attributes:
        num_finalists: Runs of a cell that go on after the first stage.
        stage: E-steps in the first stage.
        max_steps: The most E-steps of a run.
    """

    num_finalists: int
    stage: int
    max_steps: int


class Search:
    """Searches cells on one data set.

    Args:
        engine: The programs.
        points: Rows as points that a cut may divide, shape (e, n).
        weight: Row weights, shape (n,).
        effort: How much work to do.
        report: Called as runs end, with the phase, how many of its runs have ended, and how many there are.
        label: Components that rows are known to come from, −1 where that is not known, shape (n,); None if nothing is known.
    """

    def __init__(
        self,
        engine: Engine,
        points: np.ndarray,
        weight: np.ndarray,
        effort: Effort,
        report: Report | None = None,
        label: np.ndarray | None = None,
    ):
        self.engine, self.points, self.weight, self.effort, self.report = engine, points, weight, effort, report
        self.label, self.num_labels = label, 0 if label is None else int(label.max()) + 1

    def from_starts(self, cells: list[Cell], draws: starts.Draws, init: str, num_restarts: int) -> None:
        """Independent starts for every cell."""
        runs, makes = [], []
        for cell in cells:
            for restart in range(1 if cell.closed else num_restarts):
                kind, make = draws.draw(init, cell.num_components, restart)
                runs.append(Run(cell, "start", kind, restart, 0))
                makes.append(make)
        self._two_stages(runs, makes, "starts")

    def from_moves(self, cells: list[Cell]) -> None:
        """Rounds of moves until nothing improves: splits of K − 1 and merges of K + 1; for a cell that stands alone both at once."""
        by_name = {(cell.number, cell.num_components): cell for cell in cells}
        beside = {id(cell): [by_name.get((cell.number, cell.num_components + step)) for step in (-1, 1)] for cell in cells}
        sources = {id(cell): [one for one in beside[id(cell)] if one] or [cell] for cell in cells if not cell.closed}
        for cell in cells:
            cell.beside = any(beside[id(cell)])
        fresh = {id(cell) for cell in cells if cell.best is not None}
        tried: dict[int, Cell] = {}
        for number in itertools.count(1):
            aims = [(cell, source) for cell in cells for source in sources.get(id(cell), []) if id(source) in fresh]
            left = {id(cell) for cell, _ in aims}
            for cell in tried.values():
                cell.stable = id(cell) not in left
            if not aims or number > MOVE_ROUNDS:
                return
            runs, makes = self._moves(aims, number)
            targets = {id(run.cell): run.cell for run in runs}
            before = {key: cell.best for key, cell in targets.items()}
            self._two_stages(runs, makes, f"moves, round {number}")
            fresh = {key for key, cell in targets.items() if cell.best is not before[key]}
            for key in fresh:
                targets[key].improved = True
            tried |= targets

    def from_scouts(self, cells: list[Cell]) -> None:
        """Take what a search on a subsample has found to all rows: its leaders a few steps, the best to convergence.

        The best two starts are among these, whatever leads: what moves had won on the subsample was another optimum on all rows, 13
        to 95 nats lower, in 8 of 60 cells tried.
        """
        slowest = sorted(cells, key=self._turn)
        runs = [
            Run(cell, "all rows", run.kind, place, run.round, params=run.params)
            for cell in slowest
            for place, run in enumerate(cell.scout.scouts(self.effort.num_finalists, SCOUTS_KEPT) if cell.scout else [])
        ]
        if runs:
            states = self.engine.begin_at([run.cell.model for run in runs], [run.params for run in runs])
            batch = Batch(self.engine, runs, states, self.weight.sum())
            batch.advance(min(SCOUT_STEPS, self.effort.max_steps), self._teller("all rows", len(runs)))
            of_cell = {id(cell): [run for run in runs if run.cell is cell] for cell in cells}
            best = [run for cell in slowest for run in _rivals(of_cell[id(cell)])]
            while best:
                batch.finish(best, self.effort.max_steps, self._teller("all rows: to convergence", len(best)))
                best = [run for cell in slowest for run in cell.finalists(of_cell[id(cell)], SCOUTS_KEPT)]
        for cell in cells:
            cell.take_in([run for run in runs if run.cell is cell])
            cell.follow_scout()

    def _moves(self, aims: list[tuple[Cell, Cell]], number: int) -> tuple[list[Run], list[Callable[[], np.ndarray]]]:
        """Runs and their starts: for each (cell, source), every move that leads from the source's best fit to the cell."""
        parts = self._halves(list({id(source): source for _, source in aims}.values()))
        runs, makes = [], []
        for cell, source in aims:
            pieces, pairs = parts[id(source)]
            pairs = [pair for pair in pairs if pair[0] >= self.num_labels]  # the first of a pair is what merging takes away
            k = source.num_components
            if cell.num_components > k:
                origin, selections = "split", moves.splits(k)
            elif cell.num_components < k:
                origin, selections = "merge", moves.merges(k, pairs[:MERGE_PAIRS])
            else:
                origin = "split-merge"
                selections = moves.merge_splits(k, pairs[:SMEM_PAIRS]) if k <= SMEM_TO else []
            for j, selection in enumerate(selections):
                runs.append(Run(cell, origin, f"K={k}", j, number))
                makes.append(moves.apply(selection, pieces, self.label))
        return runs, makes

    def _halves(self, sources: list[Cell]) -> dict[int, tuple[np.ndarray, list[tuple[int, int]]]]:
        """For each source cell, its best fit's components in halves, and its pairs by overlap."""
        found = [(cell, cell.best) for cell in sources if cell.best]
        posteriors = self.engine.posterior([cell.model for cell, _ in found], [best.params for _, best in found])
        out = {}
        for (cell, _), resp in zip(found, posteriors, strict=True):
            pairs = moves.overlapping_pairs(self.weight, resp, MERGE_PAIRS)
            out[id(cell)] = moves.halves(self.points, self.weight, resp), pairs
        return out

    def _two_stages(self, runs: list[Run], makes: list[Callable[[], np.ndarray]], phase: str) -> None:
        """All runs through the first stage, the best few of every cell to convergence; the cells learn of them."""
        if not runs:
            return
        tell = self._teller(phase, len(runs))
        order = sorted(range(len(runs)), key=lambda j: self._turn(runs[j].cell))
        runs, makes = [runs[j] for j in order], [makes[j] for j in order]
        cells = list({id(run.cell): run.cell for run in runs}.values())
        of_cell = {id(cell): [run for run in runs if run.cell is cell] for cell in cells}
        try:
            states = self.engine.begin([run.cell.model for run in runs], makes)
            batch = Batch(self.engine, runs, states, self.weight.sum())
            batch.advance(min(self.effort.stage, self.effort.max_steps), tell)
            while best := [run for cell in cells for run in cell.finalists(of_cell[id(cell)], self.effort.num_finalists)]:
                batch.finish(best, self.effort.max_steps, self._teller(f"{phase}: to convergence", len(best)))
        finally:  # an interrupted phase leaves what it has run to convergence
            for cell in cells:
                cell.take_in(of_cell[id(cell)])

    def _turn(self, cell: Cell) -> tuple[int, int]:
        """When a cell has its turn: those first that are slow, for what is left at the end is soon done.

        Where a step takes long, the most parameters first, for they take the most steps; elsewhere family by family, the most
        components first: lanes of a family share a block, and its M-step has no loops but theirs.
        """
        if self.engine.long:
            return -cell.num_params(self.engine.num_features), cell.number
        return cell.number, -cell.num_components

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


def _rivals(runs: list[Run]) -> list[Run]:
    """The best of some runs in flight; the best of those that were starts, and those next to it that may still overtake it."""
    order = sorted(runs, key=lambda run: run.rank, reverse=True)
    starts = ([run for run in order if run.round == 0] or order)[:SCOUTS_KEPT]
    hopes = [run.objective + HOPE * (run.history[-1] - run.history[-3:][0]) for run in starts]
    kept = [run for run, hope in zip(starts, hopes, strict=True) if run is starts[0] or not hope < starts[0].objective]
    return kept if order[0] in kept else [order[0], *kept]


class Batch:
    """Runs in flight on one engine, and their states.

    Args:
        engine: The engine.
        runs: The runs, one a lane.
        states: Their states, stacked.
        total: Total weight of the rows.
    """

    def __init__(self, engine: Engine, runs: list[Run], states: Any, total: float):
        self.engine, self.runs, self.states, self.total = engine, runs, states, total
        self.models = [run.cell.model for run in runs]

    def advance(self, max_steps: int, tell: Callable[[int], None] | None) -> None:
        """Take every run to `max_steps` steps."""
        histories = [run.history for run in self.runs]
        self.states = self.engine.run(self.models, self.states, max_steps=max_steps, histories=histories, report=tell)
        self._note(self.runs, self.states)

    def finish(self, runs: list[Run], max_steps: int, tell: Callable[[int], None] | None) -> None:
        """Take some of the runs to convergence, and keep their params."""
        place = {id(run): slot for slot, run in enumerate(self.runs)}
        slots = [place[id(run)] for run in runs]
        models, histories = [self.models[slot] for slot in slots], [run.history for run in runs]
        ends = self.engine.finish(models, take(self.states, slots), max_steps=max_steps, histories=histories, report=tell)
        self._note(runs, ends)
        for slot, run in enumerate(runs):
            run.finalist = True
            run.params = trim_components(take(ends.params, slot), run.cell.num_components)

    def _note(self, runs: list[Run], states: Any) -> None:
        """Write the outcome of every lane into its run."""
        families = {run.cell.number: run.cell.family for run in runs}  # those of several K differ in nothing that matters here
        for number, family in families.items():
            slots = np.array([slot for slot, run in enumerate(runs) if run.cell.number == number])
            params = take(states.params, slots)
            live = np.arange(params.log_weights.shape[1]) < np.array([[runs[slot].cell.num_components] for slot in slots])
            counts = np.where(live, np.exp(params.log_weights) * self.total, np.inf)
            for slot, able in zip(slots, family.admissible(params.components, counts), strict=True):
                run = runs[slot]
                run.log_likelihood, run.objective = float(states.log_likelihood[slot]), float(states.objective[slot])
                run.num_steps = int(states.num_steps[slot])
                run.status = Status(int(states.status[slot]))
                run.admissible = bool(able) and bool(np.isfinite(run.log_likelihood))
