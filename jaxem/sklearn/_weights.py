"""Row weights as scikit-learn's users give them. Imports scikit-learn and NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight


def weighted_mean(values: np.ndarray, sample_weight: Any) -> float:
    """The mean of values (n,), weighted where weights are given.

    Raises:
        ValueError: for weights that are negative, not finite, of another number, or all 0.
    """
    return float(values.mean() if sample_weight is None else np.average(values, weights=unit_weights(sample_weight, values)))


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
