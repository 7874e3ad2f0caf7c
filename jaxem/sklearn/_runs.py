"""Runs of EM as scikit-learn makes them, side by side, from its parameters to its parameters. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np

from .. import families
from .._parts import parts
from .._precision import precision
from .._pytree import replace
from .._status import Status
from ..families.gaussian import GaussianParams
from ..filling import filled
from ..lanes import BLOCK, BLOCK_ELSEWHERE, Engine
from ..models.mixture import Mixture, MixtureParams
from ..padding import pad_data, take
from ._average_gain import AverageGain
from ._course import Course


Params: TypeAlias = tuple[Any, Any, Any, Any]  # weights, means, covariances, precisions_cholesky, as scikit-learn shapes them
LOG_2PI = float(np.log(2 * np.pi))
NARROW = 1e-3  # in units of the data's standard deviations: below, the fast kernels lose digits that are worth having


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one run ended.

    Attributes:
        params: Its last good params, in internal units or scikit-learn's.
        bounds: The lower bound at each iteration.
        status: A `Status`.
    """

    params: Any
    bounds: list[float]
    status: Status

    @property
    def failed(self) -> bool:
        """Whether a covariance became singular."""
        return self.status == Status.COLLAPSED


class _Heard(list[float]):
    """The lower bounds of a run; whoever listens hears of them as they come."""

    def __init__(self, hear: Callable[[list[float], int], None]):
        super().__init__()
        self.hear = hear

    def extend(self, values: Any) -> None:
        before = len(self)
        super().extend(values)
        self.hear(self, len(self) - before)


class Runs:
    """Makes runs on one table, which is centred and scaled column by column for them.

    Args:
        x: Rows, shape (n, d), NaN where a cell is missing.
        whole: The same rows with guesses in the place of missing cells, from `completed`.
        weight: Row weights, shape (n,).
        covariance_type: "full", "tied", "diag" or "spherical".
        reg_covar: Added to the variances, in squared units of the data.
        tol: In nats of the mean log-likelihood.
        max_iter: Most iterations.
        course: Whom to tell while runs are under way.
    """

    def __init__(
        self,
        x: np.ndarray,
        whole: np.ndarray,
        weight: np.ndarray,
        covariance_type: str,
        reg_covar: float,
        tol: float,
        max_iter: int,
        course: Course | None = None,
    ):
        x, self.weight = np.asarray(x, np.float64), weight
        self.centre, self.deviation = _moments(x, weight)
        self.rows, self.whole = (((rows - self.centre) / self.deviation).T for rows in (x, whole))
        there = weight @ ~np.isnan(x) / weight.sum()
        self.offset = -float(there @ np.log(self.deviation))  # of a row's mean log-density, from internal units to the data's
        self.covariance_type, self.reg_covar, self.tol, self.max_iter = covariance_type, reg_covar, tol, max_iter
        self.course = course

    def from_starts(self, starts: list[Params], before: float) -> list[Outcome]:
        """EM from every start, each a lane: by the fast kernels, and again by the accurate ones where those were not safe.

        Args:
            starts: Where to begin.
            before: The lower bound that the first step's is compared with.
        """
        family = replace(families.resolve(self.covariance_type, 2)[0], ridge=self.reg_covar)
        points = [self._inward(*start) for start in starts]
        with precision(np.float64):
            model = Mixture(family.bind(self.whole, self.weight, np.diag(self.deviation), np.float64))
            block = min(len(starts), BLOCK.get(jax.default_backend(), BLOCK_ELSEWHERE))
            guesses = self.whole if np.isnan(self.rows).any() else None
            data, k = pad_data(self.rows, self.weight, np.float64, filled=guesses), len(starts[0][0])
            how: dict[str, Any] = {"method": AverageGain(), "block": block, "shareable": model.shareable}
            how |= {} if self.course is None else {"ticks": self.course.interval}
            engine = Engine(data, self.rows.shape[1], k, tol=self.tol, **how)
            lanes = self._advance(engine, model, dict(enumerate(points)), before)
            unsafe = {j: points[j] for j, lane in lanes.items() if lane.failed or _narrow(lane.params)}
            lanes |= self._advance(engine, _careful(model), unsafe, before)
        outcomes = []
        for j, lane in sorted(lanes.items()):
            bounds = [bound + self.offset for bound in lane.bounds]
            if self.course is not None:
                self.course.ended(j, lane.status, bounds[-1] if bounds else before)
            outcomes.append(Outcome(self._outward(lane.params), bounds, lane.status))
        return outcomes

    def _advance(self, engine: Engine, model: Mixture, points: dict[int, MixtureParams], before: float) -> dict[int, Outcome]:
        """Runs of EM from some points, by the number of the run, in internal units."""
        if not points:
            return {}
        lanes = len(points)
        states = engine.begin_at([model] * lanes, list(points.values()))
        states = replace(states, objective=np.full(lanes, before - self.offset))
        course = self.course
        paths: list[list[float]] = [[] if course is None else _Heard(functools.partial(course.heard, j)) for j in points]
        if any(map(_narrow, points.values())):  # as starts on single rows are: the first step widens them
            states = engine.run([_careful(model)] * lanes, states, max_steps=1, histories=paths)
        states = engine.run([model] * lanes, states, max_steps=self.max_iter, histories=paths)
        return {
            j: Outcome(take(states.params, lane), paths[lane], Status(int(states.status[lane])))
            for lane, j in enumerate(points)
        }

    def _inward(self, weights: Any, means: Any, _: Any, cholesky: Any) -> MixtureParams:
        """scikit-learn's parameters in internal units; a weight of 0 becomes an absent component."""
        weights, means = (np.asarray(array, np.float64) for array in (weights, means))
        whitener = whiteners(cholesky, self.covariance_type, *means.shape)
        components = GaussianParams((means - self.centre) / self.deviation, whitener * self.deviation)
        with np.errstate(divide="ignore"):
            return MixtureParams(np.log(weights), components)

    def _outward(self, params: MixtureParams) -> Params:
        """Internal parameters as scikit-learn's."""
        weights = np.exp(params.log_weights)
        means = params.components.mean * self.deviation + self.centre
        upper = (params.components.whitener / self.deviation).mT
        if self.covariance_type in ("full", "tied"):
            factor = np.linalg.inv(upper)
            covariances = factor.mT @ factor
        else:
            upper = np.diagonal(upper, axis1=1, axis2=2)
            covariances = upper**-2.0
        if self.covariance_type == "tied":
            covariances, upper = covariances[0], upper[0]
        if self.covariance_type == "spherical":
            covariances, upper = covariances[:, 0], upper[:, 0]
        return weights / weights.sum(), means, covariances, upper


def whiteners(cholesky: np.ndarray, covariance_type: str, k: int, d: int) -> np.ndarray:
    """scikit-learn's `precisions_cholesky_` as whiteners, shape (k, d, d)."""
    cholesky = np.asarray(cholesky, np.float64)
    if covariance_type in ("full", "tied"):
        return np.broadcast_to(cholesky, (k, d, d)).mT
    return np.eye(d) * _along(cholesky, k, d)[:, :, None]


def log_densities(x: np.ndarray, means: np.ndarray, cholesky: np.ndarray, covariance_type: str) -> np.ndarray:
    """Log-density of rows (n, d) under every component, shape (n, k), NaN where a cell is missing.

    The mean is taken off before anything is squared: scikit-learn's x² − 2xμ + μ² has no digits left where data are far from zero.
    """
    k, d = means.shape
    whole = covariance_type in ("full", "tied")
    upper = np.broadcast_to(np.asarray(cholesky, np.float64), (k, d, d)) if whole else _along(cholesky, k, d)
    log_det = np.log(np.diagonal(upper, axis1=1, axis2=2) if whole else upper).sum(1)
    out = np.empty((len(x), k))
    for some in parts(len(x)):
        for j in range(k):
            away = x[some] - means[j]
            white = away @ upper[j] if whole else away * upper[j]
            out[some, j] = log_det[j] - 0.5 * (d * LOG_2PI + np.einsum("nd,nd->n", white, white))
    return out


def _along(cholesky: np.ndarray, k: int, d: int) -> np.ndarray:
    """Reciprocal standard deviations by column, (k, d), of types that have no others."""
    return np.broadcast_to(np.asarray(cholesky, np.float64).reshape(k, -1), (k, d))


def completed(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows (n, d) with guesses in the place of missing cells, for starts to look at; the rows themselves where none is missing.

    Raises:
        ValueError: if a column has no value at all.
    """
    gone = np.isnan(x)
    if not gone.any():
        return x
    if gone.all(axis=0).any():
        raise ValueError(f"every value of column {np.flatnonzero(gone.all(axis=0))[0]} of X is missing: leave that column out")
    centre, deviation = _moments(np.asarray(x, np.float64), weight)
    return (filled(((x - centre) / deviation).T, weight).T * deviation + centre).astype(x.dtype)


def _moments(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column over the cells that are there; 1 for a column that does not vary."""
    total = np.maximum(weight @ ~np.isnan(x), np.finfo(float).tiny)
    centre = weight @ np.nan_to_num(x) / total
    deviation = np.sqrt(weight @ np.nan_to_num(x - centre) ** 2 / total)
    return centre, np.where(deviation > 0, deviation, 1.0)


def _narrow(params: MixtureParams) -> bool:
    """Whether some component is narrow in some direction."""
    return bool((np.linalg.norm(params.components.whitener, axis=(1, 2)) > 1 / NARROW).any())


def _careful(model: Mixture) -> Mixture:
    """The same model in its accurate form."""
    return Mixture(model.family.with_residuals())
