"""Row weights as scikit-learn's users give them. Imports scikit-learn and NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight


class Score:
    """The score of an estimator that has `score_samples`."""

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-density of a row, in nats: higher is better, as a search over a grid wants it.

        Args:
            X: Rows, shape (n_samples, n_features).
            y: Not used.
            sample_weight: Row weights, shape (n_samples,), not negative, not all 0.
        Raises:
            ValueError: for weights that are negative, not finite, of another number, or all 0.
        """
        each = self.score_samples(X)  # type: ignore[attr-defined]
        return float(each.mean() if sample_weight is None else np.average(each, weights=unit_weights(sample_weight, each)))


def unit_weights(sample_weight: Any, rows: np.ndarray) -> np.ndarray:
    """Weights (n,) whose positive ones have a mean of 1: nothing may hang on their unit.

    Raises:
        ValueError: for weights that are negative, not finite, of another number, or all 0.
    """
    weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("sample_weight must hold at least one number above 0, got none")
    weight = weight / weight.max()  # sums of the largest and of the least numbers are neither infinite nor 0
    return weight / weight[weight > 0].mean()
