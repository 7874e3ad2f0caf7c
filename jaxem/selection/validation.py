"""Cross-validated log-likelihood: how well every cell predicts rows that it has not seen. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import resampling, tabular
from .._precision import precision
from .resampled import Key, rooms


if TYPE_CHECKING:
    import pandas as pd

    from .outcome import Selection


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
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

    def __str__(self) -> str:
        from .text import of_cross_validation

        return of_cross_validation(self)


def _mean_and_error(score: np.ndarray) -> tuple[float, float]:
    """Mean over folds and its standard error; a fold without a fit leaves neither."""
    return float(np.mean(score)), float(np.std(score, ddof=1) / np.sqrt(len(score)))


def cross_validate(
    selection: Selection, data: Any, num_folds: int, weights: Any, labels: Any, num_restarts: int, seed: Any
) -> CrossValidation:
    """See `Selection.cross_validate`."""
    num_folds, num_restarts = tabular.count("folds", num_folds, 2), tabular.count("num_restarts", num_restarts, 0)
    words = tabular.seed_words(seed)
    scores: dict[Key, np.ndarray] = {}
    with precision(np.float64):
        for room in rooms(selection, data, weights, labels):
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
