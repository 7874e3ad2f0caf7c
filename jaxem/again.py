"""The data of a fit, given again to go on from it: are they the same? Imports tabular and `_parts`.

A fit holds no data, so whoever goes on from it gives them again. With weights forgotten, or with other rows, what follows would be an
answer about another fit, and nothing in it would show that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import tabular
from ._parts import parts


if TYPE_CHECKING:
    from .result import Fit

SAME = 1e-4  # nats a row and column: fits in float32, with an offset of 1e8 spreads, are within a tenth of it
SAME_TOTAL = 1e-9  # relative: of the same weights, summed in any order


def read(fit: Fit, data: Any, weights: Any = None, labels: Any = None) -> tabular.Table:
    """The fit's own columns of the data that it was made from, with their weights and labels.

    Args:
        fit: A `Fit`.
        data: Its rows.
        weights: Its row weights (n,), if it had some.
        labels: Its labels (n,), if it had some.
    Raises:
        ValueError: if these are not the data of the fit.
    """
    rows = fit.rows(data, missing=True)
    given = tabular.read(rows, weights, labels, missing=True)
    if given.label is None and "labels" in fit.terms:
        raise ValueError("this fit was made with labels, which a fit does not hold: give the same ones again, as labels=")
    table = tabular.Table(rows, given.weight, fit.columns, label=given.label).without_empty_rows()
    check(fit, table)
    return table


def check(
    fit: Fit, table: tabular.Table, advice: str = "give the same rows again, and the same weights if it had some"
) -> None:
    """Refuse rows that are not those of a fit, by their total weight and their log-likelihood under it.

    Args:
        fit: A `Fit`; of one that knows no log-likelihood nothing can be told, and all is let through.
        table: Rows of the fit's columns.
        advice: What to do.
    Raises:
        ValueError: if they differ, with both log-likelihoods.
    """
    if np.isnan(fit.log_likelihood):
        return
    total = float(table.weight.sum())
    here = sum(float(table.weight[some] @ _own(fit, table, some)) for some in parts(table.num_rows))
    near = abs(here - fit.log_likelihood) <= SAME * max(total, fit.num_rows) * len(fit.columns)
    if near and abs(total - fit.num_rows) <= SAME_TOTAL * total:
        return
    known = "labels" in fit.terms
    asked = f"{advice}, and the same labels" if known else advice if table.label is None else f"{advice}, without labels"
    raise ValueError(
        f"these are not the rows that the fit was made from, or not with its weights{' or labels' * known}: its log-likelihood is "
        f"{fit.log_likelihood:.7g} with a total weight of {fit.num_rows:.7g}, and that of these is {here:.7g} with {total:.7g}; {asked}"
    )


def _own(fit: Fit, table: tabular.Table, some: slice) -> np.ndarray:
    """Each row's part of the log-likelihood, that of its label included, for some rows; 0 for rows of no weight."""
    joint, seen = fit.log_joint(table.x[some]), table.weight[some] > 0
    top = joint.max(axis=1)
    finite = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        own = finite + np.log(np.exp(joint - finite[:, None]).sum(axis=1))
    if table.label is not None:
        label = table.label[some]
        known = np.where(label < fit.num_components, label, 0)
        own = np.where(label >= 0, joint[np.arange(len(joint)), known], own)
        own[label >= fit.num_components] = -np.inf
    return np.where(seen, own, 0.0)
