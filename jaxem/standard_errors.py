"""Standard errors and confidence intervals of a fit's parameters, of every kind. Imports result; information when it is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .result import Params


if TYPE_CHECKING:
    import pandas as pd

    from .result import Fit


ANALYTIC = ("observed", "sandwich")


@dataclasses.dataclass(frozen=True, repr=False)
class StandardErrors:
    """How uncertain the parameters of a fit are, as far as sampling goes: that K is right is taken for granted.

    Attributes:
        kind: How they were found.
        params: The standard errors, a tree like `Fit.params`.
        estimates: The parameters in the order of the table's rows, shape (m,).
        covariance: Their covariance, shape (m, m).
        labels: For each row: name of the parameter, number of the component, columns.
        level: Coverage that the table's intervals aim at.
        replicates: Estimates from each replicate, shape (r, m), for bootstrap kinds; else None.
        num_failed: Replicates without a usable fit; they are left out.
        num_unclear: Replicates in which a component had no clear counterpart in the fit; they are kept, and widen the errors.
        warnings: Sentences.
    """

    kind: str
    params: Params
    estimates: np.ndarray
    covariance: np.ndarray
    labels: tuple[tuple[str, int, str], ...]
    level: float = 0.95
    replicates: np.ndarray | None = None
    num_failed: int = 0
    num_unclear: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row a parameter: `parameter`, `component`, `columns`, `estimate`, `standard_error`, `lower`, `upper`."""
        return self.intervals(self.level)

    def intervals(self, level: float = 0.95) -> pd.DataFrame:
        """The table with confidence intervals of another level.

        Bootstrap kinds give percentile intervals. The others give normal ones on the scale on which the estimate is nearest to
        normal: weights in logits, variances and rates in logarithms, correlations in Fisher's z, all else as it is.

        Args:
            level: Between 0 and 1.
        Raises:
            ValueError: if it is not.
        """
        import pandas as pd

        level = check_level(level)
        errors = np.sqrt(np.diag(self.covariance))
        if self.replicates is not None:
            lower, upper = np.quantile(self.replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
        else:
            lower, upper = _normal_intervals(self.labels, self.estimates, errors, level)
        frame = pd.DataFrame(list(self.labels), columns=["parameter", "component", "columns"])
        return frame.assign(estimate=self.estimates, standard_error=errors, lower=lower, upper=upper)

    def __repr__(self) -> str:
        return f"StandardErrors(kind={self.kind!r}, {len(self.labels)} parameters)"


def check_level(level: Any) -> float:
    """A coverage between 0 and 1.

    Raises:
        ValueError: if it is none.
    """
    if not (isinstance(level, int | float | np.floating) and 0 < level < 1):
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    return float(level)


def labels(arrays: Mapping[str, np.ndarray], columns: tuple[str, ...]) -> tuple[tuple[str, int, str], ...]:
    """Names for the entries of `flatten`."""
    out = []
    for name, array in _with_correlations(arrays).items():
        for component in range(len(array)):
            out += [(name, component, ", ".join(columns[i] for i in place)) for place in _places(name, array.shape[1:])]
    return tuple(out)


def flatten(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Every number of some published arrays once, and the correlations that follow from covariances."""
    parts = []
    for name, array in _with_correlations(arrays).items():
        places = _places(name, array.shape[1:])
        parts.append(np.stack([array[(slice(None), *place)] for place in places], axis=1).ravel())
    return np.concatenate(parts)


def _with_correlations(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {name: np.asarray(array, float) for name, array in arrays.items()}
    covariances = out.get("covariances")
    if covariances is not None and covariances.shape[-1] > 1:
        deviation = np.sqrt(np.einsum("kii->ki", covariances))
        out["correlations"] = covariances / (deviation[:, :, None] * deviation[:, None, :])
    return out


def _places(name: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Which entries of one component's array to list: of symmetric matrices the lower triangle."""
    symmetric = name in ("covariances", "correlations")
    least = 1 if name == "correlations" else 0
    return [place for place in np.ndindex(*shape) if not symmetric or place[0] - place[1] >= least]


def unflatten(values: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Params:
    """The inverse of `flatten`, correlations left out."""
    out, first = {}, 0
    for name, array in arrays.items():
        places = _places(name, array.shape[1:])
        part = values[first : first + len(array) * len(places)].reshape(len(array), -1)
        first += part.size
        filled = np.zeros(array.shape)
        for slot, place in enumerate(places):
            filled[(slice(None), *place)] = part[:, slot]
            if name == "covariances":
                filled[(slice(None), *place[::-1])] = part[:, slot]
        out[name] = filled
    return Params(**out)


def _normal_intervals(names: Any, estimates: np.ndarray, errors: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal intervals on the scales that `StandardErrors.intervals` names, shape (m,) each."""
    from scipy.special import ndtri

    reach = ndtri((1 + level) / 2)
    lower, upper = estimates - reach * errors, estimates + reach * errors
    scales = {"logit": np.zeros(len(errors), bool), "log": np.zeros(len(errors), bool), "z": np.zeros(len(errors), bool)}
    for row, (name, _, columns) in enumerate(names):
        first, *second = columns.split(", ")
        scales["logit"][row] = name == "weights" and 0 < estimates[row] < 1
        scales["log"][row] = name == "rates" or (name == "covariances" and second == [first])
        scales["z"][row] = name == "correlations" and abs(estimates[row]) < 1
    transforms = {
        "logit": (lambda p: np.log(p / (1 - p)), lambda t: 1 / (1 + np.exp(-t)), lambda p: 1 / (p * (1 - p))),
        "log": (np.log, np.exp, lambda v: 1 / v),
        "z": (np.arctanh, np.tanh, lambda r: 1 / (1 - r**2)),
    }
    for scale, (there, back, slope) in transforms.items():
        rows = scales[scale] & (errors > 0)
        at, spread = estimates[rows], reach * slope(estimates[rows]) * errors[rows]
        lower[rows], upper[rows] = back(there(at) - spread), back(there(at) + spread)
    return lower, upper


def standard_errors(fit: Fit, data: Any, kind: str, *, weights: Any, level: float) -> StandardErrors:
    """See `Fit.standard_errors`."""
    from .information import Local

    if kind not in ANALYTIC:
        raise ValueError(f"kind must be one of {', '.join(map(repr, ANALYTIC))}, got {kind!r}")
    level = check_level(level)
    arrays = fit.params.asdict()
    covariance = Local(fit, data, weights).published_covariance(flatten, sandwich=kind == "sandwich")
    covariance = (covariance + covariance.T) / 2
    return StandardErrors(
        kind=kind,
        params=unflatten(np.sqrt(np.maximum(np.diag(covariance), 0)), arrays),
        estimates=flatten(arrays),
        covariance=covariance,
        labels=labels(arrays, fit.columns),
        level=level,
    )
