"""Mixtures of regressions and growth mixtures: calls that take a table and sample `LinearClasses`. Layers 0 to 3."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from ... import fitting, tabular
from . import columns, components
from .linear import LinearClasses, SubjectSums
from .posterior import HierarchicalPosterior
from .sampling import Options, Task, sample


FEW_SUBJECTS = "every component needs a subject; give fewer components (num_components), or more subjects"
RANDOM_STARTS = 4  # from which L-BFGS climbs, besides the EM fit


def regression_mixture(
    data: Any,
    response: Any,
    subject: Any,
    num_components: int = 2,
    *,
    num_chains: int = 4,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    target_accept: float = 0.9,
    seed: Any = 0,
) -> HierarchicalPosterior:
    """Sample a mixture of linear regressions in which a subject, with all its rows, belongs to one class.

    Each class has its own coefficients, residual sd and sd of the subjects' intercepts; the intercepts are integrated out. Where no
    subject has two rows there are no such intercepts, for nothing tells them from residuals: the residual sd has all. Chains start
    at the highest posterior mode reached from an EM fit of the subjects' own least-squares lines, and from some random subjects' lines.
    Classes ascend in the coefficient that tells them apart best.

    Args:
        data: Covariates: array-like (n, p) or (n,), or a data frame. An intercept is added.
        response: The response of each row: values (n,), or the name of a column of the frame.
        subject: Whose row it is: values (n,), or the name of a column of the frame.
        num_components: K, at least 2.
        num_chains: Chains, run side by side.
        num_warmup: Draws of each chain that tune the sampler and are thrown away.
        num_samples: Draws of each chain that are kept.
        target_accept: Acceptance rate that NUTS's step size is tuned to.
        seed: An int or a JAX key; the same seed gives the same draws on the same machine.
    Returns:
        A `HierarchicalPosterior` of weights (k,), coefficients (k, 1 + p), intercept first, residual_sd (k,) and, where a subject has
        two rows, random_sd (k,). Units are subjects, in sorted order.
    Raises:
        ValueError: for a column that is missing, fewer subjects than components, missing cells, and values out of range.
        TypeError: for arguments of the wrong kind.
        RuntimeError: if every run of EM failed, or the posterior is not finite at any start.

    Example:
        >>> import numpy as np, jaxem
        >>> rng = np.random.default_rng(0)
        >>> who, x = np.repeat(np.arange(20), 5), rng.normal(size=100)
        >>> y = np.where(who < 10, 1 + 2 * x, -x) + 0.3 * rng.normal(size=100)
        >>> posterior = jaxem.bayes.hierarchical.regression_mixture(x, y, who, num_warmup=200, num_samples=100)
        >>> posterior.predict().tolist()
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    """
    k = tabular.count("num_components", num_components, 2)
    options = Options.checked(num_chains, num_warmup, num_samples, target_accept, seed)
    data, roles = columns.split(data, response=response, subject=subject)
    table = tabular.read(data)
    y = columns.numbers("response", roles["response"], table.num_rows)
    names, numbers = columns.levels("subject", roles["subject"], table.num_rows, k, FEW_SUBJECTS)
    units = components.Standard.of(table.x, table.columns)
    rows = _Rows.of(np.column_stack([np.ones(len(y)), units.into(table.x)]), y, "response", numbers, names)
    into = np.diag([1.0, *(1 / units.scale)])
    into[0, 1:] = -units.centre / units.scale
    model = LinearClasses(num_components=k, random=(0,) if rows.repeated else ())
    task = _task("mixture of regressions", model, rows, into, ["intercept", *table.columns], seed)
    return sample(task, options)


def growth_mixture(
    data: Any,
    time: Any,
    subject: Any,
    num_components: int = 2,
    *,
    degree: int = 1,
    num_chains: int = 4,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    target_accept: float = 0.9,
    seed: Any = 0,
) -> HierarchicalPosterior:
    """Sample a growth mixture: each class has a mean curve over time, and its subjects vary about it in level and slope.

    Level and slope of a subject have a covariance of their own in each class and are integrated out; times may differ between subjects.
    Chains start as those of `regression_mixture` do, from which it differs in that slopes are random and the residual sd is shared.

    Args:
        data: The response of each row: array-like (n,), or a data frame in which it is the one column left.
        time: When: values (n,), or the name of a column of the frame.
        subject: Whose row it is: values (n,), or the name of a column of the frame.
        num_components: K, at least 2.
        degree: Of the polynomial in time that is a class's mean curve, at least 1.
        num_chains: Chains, run side by side.
        num_warmup: Draws of each chain that tune the sampler and are thrown away.
        num_samples: Draws of each chain that are kept.
        target_accept: Acceptance rate that NUTS's step size is tuned to.
        seed: An int or a JAX key; the same seed gives the same draws on the same machine.
    Returns:
        A `HierarchicalPosterior` of weights (k,), coefficients (k, 1 + degree) of 1, time, time² …, residual_sd and
        random_covariance (k, 2, 2) of level at time 0 and slope. Units are subjects, in sorted order.
    Raises:
        ValueError: for a column that is missing, fewer subjects than components, subjects of one row each, missing cells, and values out
            of range.
        TypeError: for arguments of the wrong kind.
        RuntimeError: if every run of EM failed, or the posterior is not finite at any start.
    References:
        Muthén & Shedden 1999, Biometrics 55.
    """
    k, degree = tabular.count("num_components", num_components, 2), tabular.count("degree", degree)
    options = Options.checked(num_chains, num_warmup, num_samples, target_accept, seed)
    data, roles = columns.split(data, time=time, subject=subject)
    table = tabular.read(data)
    if len(table.columns) != 1:
        raise ValueError(f"data must hold one column besides time and subject, the response; got {list(table.columns)}")
    when = columns.numbers("time", roles["time"], table.num_rows)
    names, numbers = columns.levels("subject", roles["subject"], table.num_rows, k, FEW_SUBJECTS)
    units = components.Standard.of(when[:, None], ("time",))
    design = units.into(when[:, None]) ** np.arange(degree + 1)
    rows = _Rows.of(design, table.x[:, 0], table.columns[0], numbers, names)
    if not rows.repeated:
        raise ValueError(
            f"each of the {len(names)} subjects has one row, and growth needs some with two or more: nothing tells a subject's level and "
            "slope from residuals; check subject, or use regression_mixture"
        )
    shift, scale = float(units.centre[0]), float(units.scale[0])
    into = np.array(
        [[math.comb(j, i) * (-shift) ** max(j - i, 0) / scale**j for j in range(degree + 1)] for i in range(degree + 1)]
    )
    model = LinearClasses(num_components=k, random=(0, 1), shared_residual=True)
    powers = ["1", "time", *(f"time^{power}" for power in range(2, degree + 1))]
    task = _task("growth mixture", model, rows, into, powers, seed)
    return sample(task, options)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows of subjects in standard units.

    Attributes:
        sums: `SubjectSums`.
        names: The subjects' labels, (s,).
        units: Of the response.
    """

    sums: SubjectSums
    names: np.ndarray
    units: components.Standard

    @classmethod
    def of(cls, design: np.ndarray, y: np.ndarray, name: str, numbers: np.ndarray, names: np.ndarray) -> _Rows:
        units = components.Standard.of(y[:, None], (name,))
        return cls(SubjectSums.of(design, units.into(y[:, None])[:, 0], numbers, len(names)), names, units)

    @property
    def repeated(self) -> bool:
        """Whether some subject has two rows: elsewhere nothing tells what is its own from residuals."""
        return bool((np.asarray(self.sums.count) > 1).any())


def _task(name: str, model: LinearClasses, rows: _Rows, into: np.ndarray, terms: list[str], seed: Any) -> Task:
    """Starts and units of a model of classes; `into` (p, p) takes coefficients in standard units of the design to the data's."""
    starts, order_by = _starts(model, rows.sums, seed)
    return Task(
        name=name,
        model=dataclasses.replace(model, order_by=order_by),
        args=(rows.sums,),
        starts=starts,
        publish=lambda draws: _publish(draws, into, rows.units),
        units=rows.names,
        log_volume=rows.units.log_volume * np.asarray(rows.sums.count),
        dims={
            "weights": ["component"],
            "coefficients": ["component", "term"],
            "residual_sd": [] if model.shared_residual else ["component"],
            "random_sd": ["component"],
            "random_covariance": ["component", "effect", "other"],
        },
        coords={"term": terms},
        polish=True,
    )


def _starts(model: LinearClasses, sums: SubjectSums, seed: Any) -> tuple[list[dict[str, Any]], int]:
    """Site values at classes of the subjects' own least-squares coefficients, and the coefficient that tells classes apart."""
    rng = np.random.default_rng(tabular.seed_words(seed))
    k, p = model.num_components, np.asarray(sums.xy).shape[1]
    own = np.linalg.solve(sums.xx + 0.1 * np.eye(p), np.asarray(sums.xy)[:, :, None])[:, :, 0]
    fit = fitting.fit(own, "EEE" if p > 1 else "E", k, seed=seed)
    spread = np.sqrt(np.diagonal(fit.params.covariances, axis1=1, axis2=2))
    order_by, order = components.best_order(fit.params.means, spread)
    guesses = [(fit.params.weights[order], fit.params.means[order])]
    for _ in range(RANDOM_STARTS):
        some = own[rng.choice(len(own), k, replace=False)]
        guesses.append((np.full(k, 1 / k), some[np.argsort(some[:, order_by])]))
    model = dataclasses.replace(model, order_by=order_by)
    apart = 1e-3 * np.arange(k)[:, None] * (np.arange(p) == order_by)  # no two classes may begin at one place
    return [model.site_values(weights, lines + apart, 0.4, 0.3) for weights, lines in guesses], order_by


def _publish(draws: dict[str, np.ndarray], into: np.ndarray, units: components.Standard) -> dict[str, np.ndarray]:
    """Draws in the data's units."""
    scale, coefficients = units.scale[0], draws["coefficients"] @ into.T * units.scale[0]
    coefficients[..., 0] += units.centre[0]
    out = {"weights": draws["weights"], "coefficients": coefficients, "residual_sd": draws["residual_sd"] * scale}
    if "random_factors" not in draws:
        return out
    factors = draws["random_factors"]
    if factors.shape[-1] == 1:
        return out | {"random_sd": factors[..., 0, 0] * scale}
    q = factors.shape[-1]
    factors = scale * into[:q, :q] @ factors
    return out | {"random_covariance": factors @ factors.swapaxes(-1, -2)}
