"""Cells and runs: what is searched, and what became of every try. Imports layers 0 and 2 only.

A *cell* is one family with one number of components; a *run* is one lane that was spent on it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ._pytree import replace
from ._status import Status
from .models.mixture import Mixture, MixtureParams


GIVEN = "given"  # the kind of a start that the user made
SAME = 0.01  # nats: runs within ten times the default tol end in the same optimum (99 % differ by less than 7e-4) ...
SAME_PARAMS = 0.5  # ... if their components differ by less than this many standard deviations, and in logarithm
DISTINCT = 0.05  # nats at the end of the first stage: closer runs are taken to be on the same way


@dataclasses.dataclass(eq=False)
class Run:
    """What became of one lane.

    Attributes:
        cell: The cell it was spent on.
        origin: "start", "split", "merge", "split-merge", or "all rows" for what a search on a subsample has found.
        kind: The kind of start; for moves, the number of components they came from.
        restart: Number of the restart, or of the move within its round.
        round: 0 for starts, then the round of moves.
        log_likelihood: In internal units.
        objective: The same plus the log-prior: what runs are ranked by.
        num_steps: E-steps taken.
        status: A `Status`.
        admissible: Whether it is no spike.
        finalist: Whether it was run to convergence.
        params: Its params, kept for finalists.
        history: Its objective after each step.
    """

    cell: Cell = dataclasses.field(repr=False)
    origin: str
    kind: str
    restart: int
    round: int
    log_likelihood: float = -np.inf
    objective: float = -np.inf
    num_steps: int = 0
    status: Status = Status.RUNNING
    admissible: bool = False
    finalist: bool = False
    params: Any = dataclasses.field(default=None, repr=False)
    history: list[float] = dataclasses.field(default_factory=list, repr=False)

    @property
    def rank(self) -> tuple[bool, float]:
        """Any admissible run before any spike, then by objective."""
        return self.admissible, self.objective


@dataclasses.dataclass(eq=False)
class Cell:
    """One family with one number of components, and the state of its search.

    Attributes:
        model: The mixture, its family bound to the data.
        num_components: K.
        number: Number of the family among those of the problem.
        closed: Whether there is one optimum, that of the M-step: of one component, or where every row has a label, without noise, on
            complete rows.
        runs: All runs so far.
        best: The best run: by objective among the admissible ones, or among spikes where there is nothing else.
        improved: Whether a move has raised the best objective.
        stable: Whether every move from the best fits beside it was tried, and found nothing better; None if no moves were made.
        beside: Whether moves came from fits with one component more or fewer, and not from its own alone.
        summary: The best fit's sums over rows, once it is certified.
        scout: The same cell on a subsample, where the search was made there.
    """

    model: Mixture
    num_components: int
    number: int = 0
    closed: bool = False
    runs: list[Run] = dataclasses.field(default_factory=list, repr=False)
    best: Run | None = None
    improved: bool = False
    stable: bool | None = None
    beside: bool = False
    summary: Any = None
    scout: Cell | None = None

    @property
    def family(self) -> Any:
        """The family, bound to the data."""
        return self.model.family

    @property
    def accurate(self) -> Mixture:
        """The model in its most accurate form, by which results are certified."""
        return replace(self.model, family=self.family.with_residuals())

    def num_params(self, num_features: int) -> int:
        """Free parameters."""
        return self.model.num_params(self.num_components, num_features)

    @property
    def searched(self) -> list[Run]:
        """The runs of the search itself, on the subsample if there was one."""
        return (self.scout or self).runs

    def take_in(self, arrivals: list[Run]) -> None:
        """Keep new runs; one that ends clearly higher than the best so far takes its place."""
        self.runs.extend(arrivals)
        able = [run for run in arrivals if run.finalist and not run.status.failed]
        leader = max(able, key=lambda run: run.rank, default=None)
        if leader and (self.best is None or leader.rank > (self.best.admissible, self.best.objective + SAME)):
            self.best = leader

    def put(self, run: Run, before: Run) -> None:
        """Put a run in the place of one that it continues; if it has failed, the next best leads."""
        self.runs[self.runs.index(before)] = self.best = run
        if run.status.failed:
            self.best = next(iter(self.leaders(1)), run)

    def settle_for_scout(self) -> None:
        """Where a search was cut off before any run on all rows had ended, take the subsample's best, still running, for the best."""
        found = self.scout and self.scout.best
        if found and self.best is None:
            cut = Run(
                self, "all rows", found.kind, 0, found.round, params=found.params, admissible=found.admissible, finalist=True
            )
            self.take_in([cut])
            self.follow_scout()

    def follow_scout(self) -> None:
        """What moves have said was said on the subsample."""
        if self.scout is not None:
            self.improved, self.stable, self.beside = self.scout.improved, self.scout.stable, self.scout.beside

    def finalists(self, runs: list[Run], most: int) -> list[Run]:
        """The next of some runs to converge: the best that are admissible, alive, and not on the way of a better one.

        Where one of them has ended admissible, no more are needed. Where all became spikes, the next best follow; where there is
        nothing but spikes, these are run as well: they are reported, and never chosen.
        """
        alive = [run for run in runs if not run.status.failed]
        if any(run.finalist and run.admissible for run in alive):
            return []
        left = [run for run in alive if not run.finalist]
        able = [run for run in left if run.admissible] or (left if self.best is None else [])
        known = [] if self.best is None else [self.best.objective]
        apart = DISTINCT if self.num_components > 1 else -1.0  # one component takes no time, and moves have little to say of it
        return _distinct(able, most, apart, known)

    def leaders(self, most: int) -> list[Run]:
        """The best few runs to convergence, no two in the same optimum; spikes only where there is nothing else."""
        return _distinct(self._converged(), most, SAME, [])

    def scouts(self, of_starts: int, of_others: int) -> list[Run]:
        """The leaders among starts, and beyond these among all: what moves gain on a subsample may be lost on all rows."""
        runs = self._converged()
        first = _distinct([run for run in runs if run.origin == "start"], of_starts, SAME, [])
        return first + _distinct(runs, of_others, SAME, [run.objective for run in first])

    def _converged(self) -> list[Run]:
        able = [run for run in self.runs if run.finalist and not run.status.failed]
        return [run for run in able if run.admissible] or able

    def followed(self) -> tuple[int, int]:
        """How many independent starts were followed to an end, and how many of them to the best optimum.

        One that was as high as the best already when the first stage was over, and left because another was too, counts as well: where
        optima are found easily, all starts but one end so.
        """
        if self.scout is not None:
            return self.scout.followed()
        starts = [run for run in self.runs if run.origin == "start"]
        finalists = [run for run in starts if run.finalist]
        arrived = sum(not run.finalist and self._arrived(run) for run in starts)
        return len(finalists) + arrived, sum(self._same_optimum(run) for run in finalists) + arrived

    def _arrived(self, run: Run) -> bool:
        """Whether a run that was left had the best objective but for what would keep it from being distinct."""
        if self.best is None or run.status.failed or not run.admissible:
            return False
        return abs(run.objective - self.best.objective) <= DISTINCT

    def _same_optimum(self, run: Run) -> bool:
        """Whether a finalist ended where the best one did, in objective and in params."""
        if self.best is None or not abs(run.objective - self.best.objective) <= SAME:
            return False
        return run is self.best or _distance(self.family, run.params, self.best.params) < SAME_PARAMS


def _distinct(runs: list[Run], most: int, apart: float, known: list[float]) -> list[Run]:
    """The best few runs, each with an objective apart from those of better ones and from known ones."""
    chosen: list[Run] = []
    for run in sorted(runs, key=lambda run: -run.objective):
        others = [*known, *(other.objective for other in chosen)]
        if len(chosen) < most and all(abs(run.objective - other) > apart for other in others):
            chosen.append(run)
    return chosen


def _distance(family: Any, a: MixtureParams, b: MixtureParams) -> float:
    """The largest difference between the components of two mixtures under the best matching."""
    with np.errstate(invalid="ignore"):  # −inf on both sides: components without rows
        apart = np.nan_to_num(np.abs(a.log_weights[:, None] - b.log_weights), nan=0.0, posinf=np.inf)
    between = np.maximum(family.distance(a.components, b.components), apart)
    nearest = between.argmin(axis=1)
    if len(set(nearest.tolist())) == len(nearest):
        return float(between.min(axis=1).max())
    from scipy.optimize import linear_sum_assignment  # slow to load, and rarely needed

    rows, columns = linear_sum_assignment(np.minimum(between, 1e6))
    return float(between[rows, columns].max())
