"""From a searched cell to a `Fit`: numbers in the data's own units, and what to say of them. Imports layers 0 to 3."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import families as family_names
from . import noise, trust
from ._status import Status
from .cell import GIVEN, Cell, Run
from .models.mixture import MixtureParams
from .result import Fit, Params
from .terms import Terms


def publish(cell: Cell, best: Run, terms: Terms, alone: float | None, seconds: float) -> Fit:
    """The fit of a cell.

    Args:
        cell: The cell, certified.
        best: Its best run.
        terms: The terms and the units of its problem.
        alone: The log-likelihood of one component, in internal units; None where there is none.
        seconds: What the search took.
    """
    family, summary, units = cell.family, cell.summary, terms.units
    offset = units.offset_of(units.table.weight)
    params, order = _published(cell, best.params, terms)
    searched = best.kind != GIVEN
    followed, replicated = cell.followed() if searched else (0, 0)
    level = trust.level(cell.closed, replicated, cell.stable, cell.beside) if searched else ""
    starts_made = [run for run in cell.searched if run.origin == "start" and searched]
    return Fit(
        family=family.name,
        num_components=cell.num_components,
        params=params,
        columns=units.table.columns,
        log_likelihood=float(summary.log_likelihood) + offset,
        num_params=cell.num_params(len(units.scale)),
        num_rows=terms.total,
        status=best.status,
        num_steps=best.num_steps,
        history=np.asarray(best.history, float) + offset,
        sizes=np.asarray(summary.sizes, float)[order],
        log_assigned=float(summary.log_assigned),
        entropy=max(0.0, float(summary.entropy)),
        log_likelihood_of_one=None if alone is None else alone + offset,
        num_restarts=len(starts_made),
        num_finalists=followed,
        replicated=replicated,
        improved=cell.improved,
        stable=cell.stable,
        num_failed=sum(run.status.failed for run in cell.searched),
        spurious=not best.admissible,
        closed=cell.closed,
        trust=trust.LOW if level and not (best.admissible and best.status != Status.RUNNING) else level,
        warnings=(
            *_warnings(cell, best, units.table.warnings),
            *_many(cell, len(units.scale), terms.total),
            *(_around(params, terms) if best.admissible else terms.outliers),
        ),
        input_columns=terms.columns,
        runner_up=next((_published(cell, run.params, terms)[0] for run in cell.leaders(2)[1:]), None),
        terms=terms.told(family, cell.num_components),
        seconds=seconds,
        categories={name: list(names) for name, names in units.table.categories.items()},
        source=None if family_names.known(family.name) else family,
    )


def _published(cell: Cell, params: MixtureParams, terms: Terms) -> tuple[Params, np.ndarray]:
    """Params in the data's units, and the order of their components."""
    weights = np.exp(np.asarray(params.log_weights, float))
    weights = weights if terms.region is not None else weights / weights.sum()
    order = terms.order(weights)
    named: dict[str, Any] = cell.family.publish(params.components, terms.units.centre, terms.units.scale)
    return Params(weights=weights, **named).take(order), order


def _warnings(cell: Cell, best: Run, before: tuple[str, ...]) -> tuple[str, ...]:
    said = list(before)
    label = f"{cell.family.name} with K = {cell.num_components}"
    if best.status != Status.CONVERGED:
        said.append(f"{label}: {best.status.message}.")
    if not best.admissible:
        said.append(
            f"{label}: a component is next to singular or rests on too few rows, as in every run of this search; the likelihood of such "
            "a fit is not to be trusted, and it is never chosen: use fewer components, shared covariances or a prior."
        )
    return tuple(said)


def _many(cell: Cell, num_features: int, num_rows: float) -> list[str]:
    """A word on too many parameters.

    Criteria ask many rows a parameter: with few they hold back (2,000 rows of 50 columns: 3 for 4), or see clusters in noise.
    """
    num_params, label = cell.num_params(num_features), f"{cell.family.name} with K = {cell.num_components}"
    most = cell.family.most_params() if hasattr(cell.family, "most_params") else num_params
    if num_params > most:
        return [
            f"{label} has {num_params:,} parameters, and what rows of these columns can show has {most:,}: they are not determined, "
            "however many rows there are; use fewer components."
        ]
    if num_params <= num_rows:
        return []
    return [
        f"{label} has {num_params:,} parameters for {num_rows:,g} rows: criteria suppose many "
        "rows a parameter, and here may find too few clusters, or clusters in noise; compare structures with fewer parameters."
    ]


def _around(params: Params, terms: Terms) -> list[str]:
    """A word on a component that looks like noise, where there is none."""
    if terms.region is not None or terms.prior is not None or not hasattr(params, "covariances"):
        return []
    number = noise.surrounding(params.weights, params.means, params.covariances)
    if number is None:
        return []
    return [
        f"The component with a share of {params.weights[number]:.1%} lies around all others and is more than {noise.WIDE:g} times as wide "
        "as any of them: if its rows are outliers and no cluster, noise=True (--noise) takes them for noise."
    ]
