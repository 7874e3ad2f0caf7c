"""A selection's cells, refitted to resamples of its data: cross-validation and stability. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import criteria, init, resampling, tabular
from .. import families as family_names
from .._precision import precision
from .._status import Status
from ..models.mixture import MixtureParams
from ..problem import Options, Problem
from ..replicates import Outcome, Replicates, Task
from .calibrated import calibrate
from .lrt import FIRST_RANDOM, unit_scale


if TYPE_CHECKING:
    import pandas as pd

    from ..result import Fit
    from .path import Selection

Key = tuple[str, int]
NEED_ROWS = ("icl", "clc", "nec")  # criteria that ask for responsibilities
FRACTION = 0.8


class _Room:
    """Cells of one class of families, and their data in the same internal units.

    Args:
        fits: The cells' fits.
        data: The data of the selection, its columns only.
        weights: Row weights.
    """

    def __init__(self, fits: list[Fit], data: np.ndarray, weights: np.ndarray):
        self.fits = fits
        self.names = list(dict.fromkeys(fit.family for fit in fits))
        sources = {fit.family: fit.source for fit in fits}
        families = [sources[name] or family_names.resolve(name, data.shape[1])[0] for name in self.names]
        options = Options.checked(
            num_restarts=1, num_finalists=1, moves=False, init="portfolio", tol=1e-3, max_steps=2000, seed=0, dtype=np.float64
        )
        table = tabular.Table(data, weights, fits[0].columns)
        sizes = sorted({fit.num_components for fit in fits})
        self.problem = problem = Problem(table, families, sizes, options)
        self.bound = {cell.family.name: cell.family for cell in problem.cells}
        self.families = [self.bound[name] for name in self.names]
        self.weight, self.offset = problem.table.weight, problem.offset / problem.total
        half = -(-max(sizes) // 2)
        self.parts = [part for part in ([f for f in fits if (f.num_components > half) == big] for big in (False, True)) if part]

    def refit(
        self, own: Callable[[int], np.ndarray], count: int, num_restarts: int, seed: tuple[int, ...]
    ) -> dict[Key, list[Outcome]]:
        """Every cell on every resample, from the fit to all rows and from random starts on the resample."""
        problem, out = self.problem, {}
        unit = unit_scale(problem.rows, self.weight)
        draws = [init.Starts(unit, own(number), (*seed, number)) for number in range(count)]
        for part in self.parts:
            replicates = self._replicates(own, part)
            tasks = []
            for fit in part:
                k = fit.num_components
                random = range(FIRST_RANDOM, FIRST_RANDOM + num_restarts * (k > 1))
                known = self.params(fit)
                tasks += [
                    Task(
                        number,
                        self.names.index(fit.family),
                        k,
                        [known, *(draws[number].draw("portfolio", k, r)[1] for r in random)],
                    )
                    for number in range(count)
                ]
            outcomes = iter(replicates.fit(tasks))
            out |= {(fit.family, fit.num_components): [next(outcomes) for _ in range(count)] for fit in part}
        return out

    def params(self, fit: Fit) -> MixtureParams:
        """A fit's params in internal units."""
        components = self.bound[fit.family].adopt(fit.params.asdict(), self.problem.centre, self.problem.scale)
        return MixtureParams(np.log(fit.params.weights), components)

    def log_joint(self, name: str, params: Sequence[MixtureParams]) -> Iterator[np.ndarray]:
        """log p(component, row) in the data's units, (k, n) for each of some fits of one family, on all rows."""
        widest = [fit for fit in self.parts[-1] if fit.num_components >= max(len(point.log_weights) for point in params)]
        reader = self._replicates(self.weight, widest or self.parts[-1])
        family = np.full(len(params), self.names.index(name))
        for joint in reader.log_joint(params, family, np.zeros(len(params), int)):
            yield joint + self.offset

    def _replicates(self, weight: Any, part: list[Fit]) -> Replicates:
        return Replicates(self.problem.rows, weight, self.families, max(fit.num_components for fit in part))


def rooms(selection: Selection, data: Any, weights: Any) -> list[_Room]:
    """The selection's fits by class of family, each class with the data in its own units."""
    fits = [fit for fit in selection.fits.values() if not fit.status.failed]
    some = fits[0]
    rows = some.rows(data)
    weight = tabular.read(rows, weights).weight
    groups: dict[Any, list[Fit]] = {}
    for fit in fits:
        family = fit.source or family_names.resolve(fit.family, rows.shape[1])[0]
        groups.setdefault((type(family), fit.columns), []).append(fit)
    return [_Room(group, group[0].rows(data), weight) for group in groups.values()]


@dataclasses.dataclass(frozen=True, repr=False)
class CrossValidation:
    """How well each cell predicts rows that it has not seen.

    Attributes:
        scores: Mean log-density of the rows of each fold, in nats, by (family, num_components), shape (folds,) each.
        num_params: Free parameters, by (family, num_components).
        best: The (family, num_components) with the highest mean score.
        one_standard_error: The one with the fewest parameters whose mean score is within one standard error of the best.
    """

    scores: dict[Key, np.ndarray]
    num_params: dict[Key, int]
    best: Key
    one_standard_error: Key

    @property
    def table(self) -> pd.DataFrame:
        """One row a cell: `family`, `num_components`, `num_params`, `log_likelihood` (mean a row), `standard_error`, `num_failed`."""
        import pandas as pd

        rows = [
            (*key, self.num_params[key], *_mean_and_error(score), int(np.isnan(score).sum()))
            for key, score in self.scores.items()
        ]
        names = ["family", "num_components", "num_params", "log_likelihood", "standard_error", "num_failed"]
        return pd.DataFrame(rows, columns=names)

    def __repr__(self) -> str:
        return f"CrossValidation(best={self.best}, one_standard_error={self.one_standard_error})"


def _mean_and_error(score: np.ndarray) -> tuple[float, float]:
    """Mean over folds and its standard error; a fold without a fit leaves neither."""
    return float(np.mean(score)), float(np.std(score, ddof=1) / np.sqrt(len(score)))


def cross_validate(
    selection: Selection, data: Any, num_folds: int, weights: Any, num_restarts: int, seed: Any
) -> CrossValidation:
    """See `Selection.cross_validate`."""
    num_folds, num_restarts = tabular.count("folds", num_folds, 2), tabular.count("num_restarts", num_restarts, 0)
    words = tabular.seed_words(seed)
    scores: dict[Key, np.ndarray] = {}
    with precision(np.float64):
        for room in rooms(selection, data, weights):
            if num_folds > np.count_nonzero(room.weight):
                raise ValueError(f"folds is {num_folds}, but the data have only {np.count_nonzero(room.weight)} rows")
            fold = resampling.folds(room.weight, num_folds, words)
            refitted = room.refit(lambda number: room.weight * (fold != number), num_folds, num_restarts, words)  # noqa: B023
            for key, outcomes in refitted.items():
                usable = [number for number, outcome in enumerate(outcomes) if outcome.usable]
                score = np.full(num_folds, np.nan)
                joints = room.log_joint(key[0], [outcomes[number].params for number in usable]) if usable else []
                for number, joint in zip(usable, joints, strict=False):
                    out = room.weight * (fold == number)
                    score[number] = np.logaddexp.reduce(joint, axis=0) @ out / out.sum()
                scores[key] = score
    means = {key: np.mean(score) for key, score in scores.items() if not np.isnan(score).any()}
    if not means:
        raise RuntimeError("no cell could be fitted to every fold: use fewer components, or more rows")
    best = max(means, key=lambda key: means[key])
    num_params = {key: selection.fits[key].num_params for key in scores}
    least = means[best] - _mean_and_error(scores[best])[1]
    near = [key for key in means if means[key] >= least]
    return CrossValidation(scores, num_params, best, min(near, key=lambda key: (num_params[key], -means[key])))


@dataclasses.dataclass(frozen=True)
class Score(criteria.Scored):
    """What a criterion needs to know of one refit; fields as in `Fit`.

    Attributes:
        log_likelihood: In the data's units.
        num_params: p.
        num_rows: Total weight.
        num_components: K.
        log_assigned: Σ w log max_k z.
        entropy: −Σ w Σ z log z.
        log_likelihood_of_one: ℓ of one component.
        steepness: κ of the slope heuristic.
        singular_bic: The singular BIC.
        spurious: Never: spikes are left out before.
        status: Of no consequence here.
    """

    log_likelihood: float
    num_params: int
    num_rows: float
    num_components: int
    log_assigned: float = 0.0
    entropy: float | None = None
    log_likelihood_of_one: float | None = None
    steepness: float | None = None
    singular_bic: float | None = None
    spurious: bool = False
    status: Status = Status.CONVERGED


@dataclasses.dataclass(frozen=True, repr=False)
class Stability:
    """How a selection fares on resamples of its data.

    Attributes:
        chosen: The (family, num_components) of the selection.
        winners: What each resample chose.
        agreement: Adjusted Rand index between the partition of all rows by each resample's choice and by the selection's.
        labels: That partition, shape (resamples, n).
        num_failed: Refits without a usable outcome, over all cells and resamples.
    """

    chosen: Key
    winners: tuple[Key, ...]
    agreement: np.ndarray
    labels: np.ndarray
    num_failed: int

    @property
    def table(self) -> pd.DataFrame:
        """How often each cell won: `family`, `num_components`, `share`, most frequent first."""
        import pandas as pd

        counts = {key: self.winners.count(key) / len(self.winners) for key in dict.fromkeys(self.winners)}
        rows = [(*key, share) for key, share in sorted(counts.items(), key=lambda item: -item[1])]
        return pd.DataFrame(rows, columns=["family", "num_components", "share"])

    @property
    def share(self) -> float:
        """Share of the resamples that chose what the selection chose."""
        return self.winners.count(self.chosen) / len(self.winners)

    @property
    def share_of_num_components(self) -> float:
        """Share of the resamples that chose the same number of components, of whatever family."""
        return sum(k == self.chosen[1] for _, k in self.winners) / len(self.winners)

    def coclustering(self) -> np.ndarray:
        """The share of resamples in which two rows were in one cluster, shape (n, n)."""
        total = np.zeros((self.labels.shape[1],) * 2)
        for labels in self.labels:
            total += labels[:, None] == labels
        return total / len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """The shares and the mean agreement as plain numbers."""
        return {
            "num_resamples": len(self.winners),
            "share": self.share,
            "share_of_num_components": self.share_of_num_components,
            "adjusted_rand": float(np.mean(self.agreement)),
        }

    def sentence(self) -> str:
        """What the resamples say of the choice."""
        name = f"{self.chosen[0]} with K = {self.chosen[1]}"
        return (
            f"Of {len(self.winners)} resamples, {self.share:.0%} chose {name} too and {self.share_of_num_components:.0%} the same K; "
            f"their partitions agree with it to an adjusted Rand index of {np.mean(self.agreement):.2f} on average."
        )

    def __repr__(self) -> str:
        return f"Stability(chosen={self.chosen}, share={self.share:.3f}, agreement={np.mean(self.agreement):.3f})"


def stability(
    selection: Selection, data: Any, num_resamples: int, weights: Any, num_restarts: int, fraction: float, seed: Any
) -> Stability:
    """See `Selection.stability`."""
    count, num_restarts = tabular.count("num_resamples", num_resamples), tabular.count("num_restarts", num_restarts, 0)
    if not (isinstance(fraction, int | float) and 0 < fraction <= 1):
        raise ValueError(f"fraction must be between 0 and 1, got {fraction!r}")
    words = tabular.seed_words(seed)
    tables: list[dict[Key, Any]] = [{} for _ in range(count)]
    found: dict[Key, tuple[_Room, list[Outcome]]] = {}
    failed = 0
    with precision(np.float64):
        for room in rooms(selection, data, weights):
            own = resampling.subsample(room.weight, fraction, words)
            for key, outcomes in room.refit(own, count, num_restarts, words).items():
                found[key] = room, outcomes
                for number, score in _scores(room, key, outcomes, own, selection):
                    tables[number][key] = score
                failed += sum(not outcome.usable for outcome in outcomes)
        winners = tuple(_winner(table, selection.criterion) for table in tables)
        if None in winners:
            raise RuntimeError("no cell could be fitted to some resample: use fewer components, or a larger fraction")
        best = selection.best
        room = next(room for room, _ in found.values() if best in room.fits)
        whole = next(room.log_joint(best.family, [room.params(best)])).argmax(0)
        labels = []
        for number, key in enumerate(winners):
            where, outcomes = found[key]
            labels.append(next(where.log_joint(key[0], [outcomes[number].params])).argmax(0))
    agreement = np.array([adjusted_rand(one, whole, room.weight) for one in labels])
    return Stability((best.family, best.num_components), winners, agreement, np.array(labels, np.int32), failed)


def _scores(room: _Room, key: Key, outcomes: list[Outcome], own: Any, selection: Selection) -> Iterator[tuple[int, Score]]:
    """What the criteria need, for each resample with a usable refit."""
    usable = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome.usable]
    needed = selection.criterion in NEED_ROWS and usable
    joints = room.log_joint(key[0], [outcome.params for _, outcome in usable]) if needed else iter(())
    for number, outcome in usable:
        weight = own(number)
        total = weight.sum()
        score = Score(outcome.log_likelihood + room.offset * total, selection.fits[key].num_params, total, key[1])
        if needed:
            joint = next(joints)
            resp = np.exp(joint - np.logaddexp.reduce(joint, axis=0))
            log_resp = np.log(np.where(resp > 0, resp, 1.0))
            assigned, entropy = np.log(resp.max(0)) @ weight, -(resp * log_resp).sum(0) @ weight
            score = dataclasses.replace(score, log_assigned=float(assigned), entropy=float(entropy))
        yield number, score


def _winner(table: dict[Key, Any], criterion: str) -> Any:
    """The cell with the lowest criterion on one resample."""
    if criterion in ("slope", "sbic"):
        table = calibrate(table)
    ones = {name: score.log_likelihood for (name, k), score in table.items() if k == 1}
    table = {key: dataclasses.replace(score, log_likelihood_of_one=ones.get(key[0])) for key, score in table.items()}
    values = {key: getattr(score, criterion) for key, score in table.items()}
    values = {key: value for key, value in values.items() if not np.isnan(value)}
    return min(values, key=lambda key: values[key], default=None)


def adjusted_rand(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> float:
    """The adjusted Rand index of two partitions, shape (n,) each: 1 if they are the same, 0 on average if they know nothing of each other.

    Weights count repeated rows.

    References:
        Hubert & Arabie 1985, J. Classification 2.

    Example:
        >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), np.ones(4))
        1.0
    """
    both = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(both, (a, b), weight)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    together, rows, columns, all_pairs = pairs(both), pairs(both.sum(1)), pairs(both.sum(0)), pairs(both.sum(keepdims=True))
    expected = rows * columns / all_pairs
    most = (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)
