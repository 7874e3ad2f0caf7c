"""`fit`: one mixture, by EM from many starts. Imports layers 0 to 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import families as family_names
from . import tabular
from ._precision import precision
from .options import Options
from .prior import Prior
from .problem import Problem, Progress, heard
from .result import Fit
from .units import dependence, few_values


def fit(
    data: Any,
    family: Any = "VVV",
    num_components: int = 3,
    *,
    start: Any = None,
    num_restarts: int = 20,
    num_finalists: int = 5,
    moves: bool = True,
    init: str = "portfolio",
    weights: Any = None,
    labels: Any = None,
    noise: bool = False,
    equal_weights: bool = False,
    prior: Prior | str | None = None,
    fixed: Mapping[str, Any] | None = None,
    tol: float = 1e-3,
    max_steps: int = 2000,
    seed: Any = 0,
    dtype: Any = "float64",
    progress: Progress | None = None,
) -> Fit:
    """Fit one mixture by EM, from many starts at once.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame. NaN is a missing cell: missing at random, given what is there. A column
            that is constant is left out, with a warning.
        family: A name ("VVV", "full", "tVVV", "poisson", "categorical", …) or a `Family`. Columns of categories may hold names.
        num_components: K.
        start: Responsibilities (n, k), from which EM begins with an M-step, or a params object (`Fit.params`), from which it
            begins with an E-step. There are then no restarts and no moves, and the stationary point reached may be a saddle.
        num_restarts: Independent starts.
        num_finalists: How many of them, the best after a short first stage, are run to convergence.
        moves: Whether split-and-merge moves then try to improve on the best.
        init: Kind of start: "portfolio" (a mix), "kmeans++", "ward", "random-rows" or "random-responsibilities".
        weights: Row weights (n,), real, not negative; an integer weight is a repeated row.
        labels: Components (n,) that rows are known to come from, numbered from 0, and −1 where that is not known; these numbers stay
            as they are, and the other components follow by weight. The log-likelihood is then that of rows and labels.
        noise: Whether some rows may come from no component but be spread evenly over the region of the data (`Fit.noise`).
        equal_weights: Whether all components have the same weight.
        prior: "fraley-raftery" or a `jaxem.Prior`: estimates are then those of highest posterior density. None: maximum likelihood.
        fixed: Parameters that are known, by name: "means" (k, d), "covariances" (k, d, d) or both, in the data's units. They stay as
            they are and in this order; the rest is estimated.
        tol: Stop when less than this is estimated to be missing from the total log-likelihood, in nats.
        max_steps: The most E-steps of a run.
        seed: An int or a JAX key; the same seed gives the same result on the same machine.
        dtype: "float64" or "float32". Float32 shows gains of about 5e-7 times the log-likelihood and no less: where EM creeps towards an
            optimum, as with more components than the data carry, `fit(..., start=found.params)` in float64 finds what is missing.
        progress: Called as runs end with (phase, runs ended, runs in the phase, lowest BIC so far or NaN).
    Returns:
        The best `Fit` found; `spurious`, with a warning, if every run ended with a component next to singular or on too few rows.
    Raises:
        ValueError: for bad values, naming argument, row and column.
        TypeError: for arguments of the wrong kind.
        RuntimeError: if every run failed.
    References:
        Dempster, Laird & Rubin 1977, JRSS-B 39; moves: Ueda, Nakano, Ghahramani & Hinton 2000, Neural Computation 12; noise:
        Banfield & Raftery 1993, Biometrics 49; labels: McLachlan & Peel 2000, Finite Mixture Models, sec. 2.19; prior: Fraley &
        Raftery 2007, J. Classification 24; missing cells: Ghahramani & Jordan 1994, NIPS 6.

    Example:
        >>> import jaxem
        >>> result = jaxem.fit(jaxem.datasets.load("faithful"), "EEE", 3)
        >>> round(result.log_likelihood, 2), result.sizes.round().astype(int).tolist()
        (-1126.32, [134, 97, 41])
    """
    options = Options.checked(
        num_restarts=num_restarts,
        num_finalists=num_finalists,
        moves=moves,
        init=init,
        tol=tol,
        max_steps=max_steps,
        seed=seed,
        dtype=dtype,
        noise=noise,
        equal_weights=equal_weights,
        prior=prior,
        fixed=fixed,
    )
    k = tabular.count("num_components", num_components)
    nominal = family_names.nominal(family)
    table = tabular.read(data, weights, labels, missing=True, nominal=nominal).without_empty_rows()
    family = family_names.resolve([family], num_features(table, family))
    if len(family) != 1:
        raise ValueError(
            f"fit takes one family, got {len(family)} ({', '.join(f.name for f in family)}); use select to compare them"
        )
    report = heard(progress)
    with precision(options.dtype):
        problem = Problem(family_names.folded(family, table) if start is None else table, family, [k], options, report)
        if not problem.able:
            raise ValueError(f"num_components is {k}, but the data have only {problem.distinct} distinct rows")
        problem.search() if start is None else problem.run_from(start)
        problem.certify()
        result = problem.fits()[0]
    if result is None:
        runs = problem.cells[0].runs
        count = f"all {len(runs)} runs" if len(runs) > 1 else "the run"
        raise RuntimeError(f"{count} failed: {_shortage(problem) or runs[0].status.message}")
    return result


def _shortage(problem: Problem) -> str:
    """What the data lack for full covariances, if that is why runs failed."""
    cell, table = problem.cells[0], problem.table
    if dependent := dependence(table) if getattr(cell.family, "full", False) else []:
        return dependent[0].rstrip(".")
    if few := few_values(table, cell.num_components) if getattr(cell.family, "standardise", False) else []:
        return few[0][0].lower() + few[0][1:].rstrip(".")
    d, rows = table.x.shape[1], np.count_nonzero(table.weight)
    needed = cell.num_components * int(getattr(cell.family, "rows_needed", lambda _: 0)(d))
    if rows >= needed:
        return ""
    return (
        f"{cell.family.name} with num_components {cell.num_components} needs at least {needed} rows of {d} columns, got {rows}; "
        "use fewer components, shared covariances or a prior"
    )


def num_features(table: tabular.Table, family: Any) -> int:
    """Columns that a family will see: constant ones are left out where the family is scaled."""
    if not family_names.standardised(family):
        return table.x.shape[1]
    return table.without_constant_columns().x.shape[1]
