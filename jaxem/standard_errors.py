"""Standard errors and confidence intervals of a fit's parameters, of every kind. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from . import tabular
from ._precision import precision
from .entries import Bounds, flatten, normal_intervals, unflatten
from .entries import labels as names_of
from .models.mixture import MixtureParams
from .result import Params


if TYPE_CHECKING:
    import pandas as pd

    from .result import Fit


ANALYTIC = ("observed", "sandwich")
KINDS = (*ANALYTIC, "bootstrap", "weighted-bootstrap", "parametric-bootstrap", "jackknife")
DISSOLVED = 0.5  # a component that shares no more than this with its counterpart has none


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class StandardErrors:
    """How uncertain the parameters of a fit are, as far as sampling goes: that K is right is taken for granted.

    Attributes:
        kind: How they were found.
        params: The standard errors, a tree like `Fit.params`.
        estimates: The parameters in the order of the table's rows, shape (m,).
        covariance: Their covariance, shape (m, m).
        labels: For each row: name of the parameter, number of the component, its columns (along other axes, numbers).
        level: Coverage that the table's intervals aim at.
        replicates: Estimates from each replicate, shape (r, m), for bootstrap kinds; else None.
        num_failed: Replicates without a usable fit; they are left out.
        num_unclear: Replicates in which a component had no clear counterpart in the fit; they are kept, and widen the errors.
        bounds: Lowest and highest values of what the family publishes, by name, where it says so; see `jaxem.protocol.Family`.
        warnings: Sentences.
    """

    kind: str
    params: Params
    estimates: np.ndarray
    covariance: np.ndarray
    labels: tuple[tuple[str, int, tuple[str, ...]], ...]
    level: float = 0.95
    replicates: np.ndarray | None = None
    num_failed: int = 0
    num_unclear: int = 0
    bounds: Bounds = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row a parameter: `parameter`, `component`, `columns`, `estimate`, `standard_error`, `lower`, `upper`."""
        return self.intervals(self.level)

    def intervals(self, level: float = 0.95) -> pd.DataFrame:
        """The table with confidence intervals of another level.

        Bootstrap kinds give percentile intervals. The others give normal ones on the scale on which the estimate is nearest to
        normal: weights in logits, variances and rates in logarithms, correlations in Fisher's z, all else as it is, unless the
        family has `bounds` for it: logits between two, logarithms of the distance from one.

        Args:
            level: Between 0 and 1.
        Raises:
            ValueError: if it is not.
        """
        import pandas as pd

        level = check_level(level)
        errors = np.sqrt(np.diag(self.covariance))
        if self.replicates is not None:
            lower, upper = np.quantile(self.replicates, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
        else:
            lower, upper = normal_intervals(self.labels, self.estimates, errors, level, self.bounds)
        named = [(name, component, ", ".join(place)) for name, component, place in self.labels]
        frame = pd.DataFrame(named, columns=["parameter", "component", "columns"])
        return frame.assign(estimate=self.estimates, standard_error=errors, lower=lower, upper=upper)

    def __repr__(self) -> str:
        return f"StandardErrors(kind={self.kind!r}, {len(self.labels)} parameters)"

    def __str__(self) -> str:
        """What is to be known first, and the whole table."""
        head = (f"Standard errors ({self.kind}) and {100 * self.level:g} % intervals", *self.warnings)
        return "\n".join([*head, self.table.to_string(index=False, float_format="{:.4g}".format)])


def check_level(level: Any) -> float:
    """A coverage between 0 and 1.

    Raises:
        ValueError: if it is none.
    """
    if not (tabular.is_number(level) and 0 < level < 1):
        raise ValueError(f"level must be between 0 and 1, got {level!r}")
    return float(level)


def standard_errors(
    fit: Fit, data: Any, kind: str, *, weights: Any, labels: Any, level: float, num_replicates: int, seed: Any
) -> StandardErrors:
    """See `Fit.standard_errors`."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    if "labels" in fit.terms:
        if kind == "parametric-bootstrap":
            raise ValueError(
                "the parametric bootstrap is not supported for fits with labels: which of its rows would be labelled is no part of the "
                "model; use another kind"
            )
        if labels is None:
            raise ValueError("this fit was made with labels, which a fit does not hold: give the same ones again, as labels=")
    level, arrays = check_level(level), fit.params.asdict()
    estimates = flatten(arrays)
    more: dict[str, Any] = {}
    replicates: np.ndarray | None = None
    said: tuple[str, ...] = ()
    if kind in ANALYTIC:
        from .information import Local

        local = Local(fit, data, weights, labels)
        covariance = local.published_covariance(flatten, sandwich=kind == "sandwich")
        if held := local.num_held:
            are = "A parameter is" if held == 1 else f"{held} parameters are"
            said = (f"{are} at the end of the range: errors there are 0, and those of the others take it for given.",)
    else:
        count, words = tabular.count("num_replicates", num_replicates, 2), tabular.seed_words(seed)
        refitted = refits(fit, data, kind, weights, labels, count, words)
        usable = len(refitted.estimates)
        if usable < 2:
            raise RuntimeError(
                f"{refitted.num_failed} of {refitted.num_failed + usable} replicates failed; use fewer components"
            )
        total = refitted.times.sum()
        scale = (total - 1) ** 2 / total if kind == "jackknife" else 1.0
        covariance = scale * np.atleast_2d(np.cov(refitted.estimates, rowvar=False, fweights=refitted.times.astype(int)))
        more = {"num_failed": refitted.num_failed, "num_unclear": refitted.num_unclear}
        said = _warnings(refitted)
        replicates = None if kind == "jackknife" else refitted.estimates
    errors = unflatten(np.sqrt(np.maximum(np.diag(covariance), 0)), arrays)
    names, there = names_of(arrays, fit.columns), np.ones(len(estimates), bool)
    if fit.family == "categorical":  # a column with fewer categories than another has none in their place
        names = names_of(arrays, fit.columns, fit.categories)
        exists = np.broadcast_to(fit.params.probabilities.max(axis=0) > 0, fit.params.probabilities.shape)
        there = flatten({"weights": np.ones(fit.num_components), "probabilities": exists}) > 0
    return StandardErrors(
        kind=kind,
        params=errors,
        estimates=estimates[there],
        covariance=((covariance + covariance.T) / 2)[np.ix_(there, there)],
        labels=tuple(name for name, own in zip(names, there, strict=True) if own),
        level=level,
        bounds=dict(getattr(fit._family(), "bounds", {})),
        warnings=(*_of_weights(kind, weights), *said),
        replicates=None if replicates is None else replicates[:, there],
        **more,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Refits:
    """A fit's parameters on many data sets.

    Attributes:
        estimates: As `flatten` lists them, components in the fit's order, shape (r, m).
        times: How many replicates each of them stands for, shape (r,).
        num_failed: Data sets without a usable fit.
        num_unclear: Data sets in which a component had no clear counterpart.
    """

    estimates: np.ndarray
    times: np.ndarray
    num_failed: int
    num_unclear: int


def refits(fit: Fit, data: Any, kind: str, weights: Any, labels: Any, num_replicates: int, seed: tuple[int, ...]) -> Refits:
    """Refit to replicates, from the fit itself, and bring the components of each into the fit's order."""
    from . import resampling
    from .information import bound
    from .replicates import Replicates, Task

    problem = bound(fit, data, weights, labels)
    model, k = problem.cells[0].model, fit.num_components
    weight, label = problem.table.weight, problem.table.label
    family = model.family
    components = family.adopt(fit.params.asdict(), problem.units.centre, problem.units.scale)
    params = MixtureParams(np.log(fit.params.weights), components)
    rows, own, times = problem.units.rows, weight, np.ones(num_replicates)
    with precision(np.float64):
        if kind == "parametric-bootstrap":
            num_rows = resampling.num_draws(weight)
            gone = None if problem.table.complete else np.isnan(rows[:, resampling.draws_of(weight)])
            rows = resampling.simulate(family, params, num_rows, seed, problem.terms.sample_noise, gone)
            own = np.full(num_rows, weight.sum() / num_rows)
        elif kind == "jackknife":
            own, times = resampling.jackknife(weight)
            num_replicates = len(times)
        else:
            own = (resampling.bootstrap if kind == "bootstrap" else resampling.weighted_bootstrap)(weight, seed)
        replicates = Replicates(rows, own, [model], k, label=label)
        outcomes = replicates.fit([Task(number, 0, k, [params]) for number in range(num_replicates)])
        usable = np.array([outcome.usable for outcome in outcomes])
        found = [outcome.params for outcome in outcomes if outcome.usable]
        reader = Replicates(problem.units.rows, weight, [model], k, label=label)
        everywhere = np.zeros(len(found) + 1, int)
        joints = reader.log_joint([params, *found], everywhere, everywhere)
        wanted = _responsibilities(next(joints))
        values, num_unclear = [], 0
        for point, joint in zip(found, joints, strict=True):
            order, clear = align(_responsibilities(joint)[:k], wanted[:k], weight)
            num_unclear += not clear
            published = family.publish(point.components, problem.units.centre, problem.units.scale)
            arrays = {"weights": np.exp(point.log_weights), **published}
            values.append(flatten({name: array[order] for name, array in arrays.items()}))
    return Refits(np.array(values), times[usable], len(outcomes) - len(found), num_unclear)


def _responsibilities(joint: np.ndarray) -> np.ndarray:
    odds = np.exp(joint - joint.max(0))
    return odds / odds.sum(0)


def align(resp: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, bool]:
    """The order that makes components most like wanted ones, and whether it is clear.

    Likeness is the Jaccard similarity of responsibilities, Σ w min / Σ w max; the order maximises its sum. It is not clear where a
    component shares less than half with its counterpart: the cluster is then dissolved (Hennig 2007, CSDA 52, sec. 3).

    Args:
        resp: Responsibilities, shape (k, n).
        wanted: Those of the other mixture, shape (k, n).
        weight: Row weights, shape (n,).
    Returns:
        Order such that `resp[order]` is like `wanted`, shape (k,), and whether every pair shares more than half.

    Example:
        >>> resp = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.9]])
        >>> align(resp, resp[::-1], np.ones(3))
        (array([1, 0]), True)
    """
    from scipy.optimize import linear_sum_assignment

    both = np.stack([np.minimum(resp, one) @ weight for one in wanted])
    either = np.stack([np.maximum(resp, one) @ weight for one in wanted])
    likeness = both / np.maximum(either, np.finfo(float).tiny)
    mine, order = linear_sum_assignment(-likeness)
    return order, bool((likeness[mine, order] > DISSOLVED).all())


def _of_weights(kind: str, weights: Any) -> tuple[str, ...]:
    """What a kind takes weights for where they are not whole: as soon as they are, all kinds take them for repeated rows."""
    from . import resampling

    if weights is None or resampling.whole(np.asarray(weights, float)):
        return ()
    taken = "their sum counts the rows" if kind == "observed" else "a row is one observation, whatever it weighs"
    return (f"The weights are not whole: to {kind} errors {taken}.",)


def _warnings(refitted: Refits) -> tuple[str, ...]:
    said, count = [], len(refitted.estimates)
    if refitted.num_failed:
        said.append(f"{refitted.num_failed} of {refitted.num_failed + count} replicates had no usable fit and were left out.")
    if refitted.num_unclear:
        said.append(
            f"In {refitted.num_unclear} of {count} replicates a component had no clear counterpart in the fit: "
            "the errors are those of a fit that changes its clusters, and a normal interval describes it badly."
        )
    return tuple(said)
