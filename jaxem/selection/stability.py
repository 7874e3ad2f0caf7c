"""Stability: the whole choice made again on parts of the rows. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import criteria, resampling, tabular
from .._precision import precision
from .._status import Status
from ..replicates import Outcome
from .calibrated import calibrate
from .resampled import Key, Room, rooms


if TYPE_CHECKING:
    import pandas as pd

    from .outcome import Selection

NEED_ROWS = ("icl", "clc", "nec")  # criteria that ask for responsibilities


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


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
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
            f"Of {len(self.winners)} parts of the rows, {self.share:.0%} chose {name} too and "
            f"{self.share_of_num_components:.0%} the same K; their partitions agree with it to an adjusted Rand index of "
            f"{np.mean(self.agreement):.2f} on average."
        )

    def __repr__(self) -> str:
        return f"Stability(chosen={self.chosen}, share={self.share:.3f}, agreement={np.mean(self.agreement):.3f})"

    def __str__(self) -> str:
        from .text import of_stability

        return of_stability(self)


def stability(
    selection: Selection,
    data: Any,
    num_resamples: int,
    weights: Any,
    labels: Any,
    num_restarts: int,
    fraction: float,
    seed: Any,
) -> Stability:
    """See `Selection.stability`."""
    count, num_restarts = tabular.count("num_resamples", num_resamples), tabular.count("num_restarts", num_restarts, 0)
    if not (tabular.is_number(fraction) and 0 < fraction <= 1):
        raise ValueError(f"fraction must be between 0 and 1, got {fraction!r}")
    words = tabular.seed_words(seed)
    tables: list[dict[Key, Any]] = [{} for _ in range(count)]
    found: dict[Key, tuple[Room, list[Outcome]]] = {}
    failed = 0
    with precision(np.float64):
        for room in rooms(selection, data, weights, labels):
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


def _scores(room: Room, key: Key, outcomes: list[Outcome], own: Any, selection: Selection) -> Iterator[tuple[int, Score]]:
    """What the criteria need, for each resample with a usable refit."""
    usable = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome.usable]
    needed = selection.criterion in NEED_ROWS and usable
    joints = room.log_joint(key[0], [outcome.params for _, outcome in usable]) if needed else iter(())
    for number, outcome in usable:
        weight = own(number)
        total = weight.sum()
        score = Score(
            outcome.log_likelihood + room.problem.units.offset_of(weight), selection.fits[key].num_params, total, key[1]
        )
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
    values = {key: value for key, value in values.items() if np.isfinite(value)}
    return min(values, key=lambda key: values[key], default=None)


def adjusted_rand(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> float:
    """The adjusted Rand index of two partitions, shape (n,) each: 1 if they are the same, 0 on average if they know nothing of each other.

    Whole weights count repeated rows; else a pair of rows counts with the product of their weights, whatever these sum to.

    References:
        Hubert & Arabie 1985, J. Classification 2.

    Example:
        >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), np.ones(4))
        1.0
    """
    with_itself = weight if resampling.whole(weight) else weight**2
    both = np.zeros((int(a.max()) + 1, int(b.max()) + 1, 2))
    np.add.at(both, (a, b), np.stack([weight, with_itself], axis=-1))

    def pairs(counts: np.ndarray) -> float:
        return float((counts[..., 0] ** 2 - counts[..., 1]).sum() / 2)

    together, rows, columns, all_pairs = (pairs(both.sum(axis)) for axis in ((), 1, 0, (0, 1)))
    expected = rows * columns / all_pairs
    most = (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)
