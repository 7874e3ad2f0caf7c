"""`select`: every family with every number of components, and the choice among them. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import criteria, tabular
from .. import families as family_names
from .._precision import precision
from .._status import Status
from .._typing import Whole
from ..cell import Cell, Run
from ..options import Options
from ..prior import Prior
from ..problem import Problem, Progress, heard
from ..result import Fit
from ..units import nearly_collinear
from . import doubt
from . import report as sentences
from .calibrated import calibrate
from .outcome import TOO_FEW, UNSEARCHED, Interrupted, Selection, check_criterion, same_model


def select(
    data: Any,
    families: Any = "gaussian",
    num_components: Iterable[Whole] | Whole = range(1, 10),
    *,
    criterion: str = "bic",
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
    num_resamples: int = 0,
    progress: Progress | None = None,
) -> Selection:
    """Choose the family and the number of components: all restarts of all of them at once.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame. NaN is a missing cell: missing at random, given what is there. A column
            that is constant is left out, with a warning.
        families: A name, a `Family` or a list. "gaussian" is every covariance structure; structures go by mclust's codes ("VVV") or
            scikit-learn's ("full"). "student" is all of these of t components, for heavy tails; single ones are "tVVV" and, with degrees of
            freedom in common or known, "tVVV:equal" and "tVVV:4". "poisson" is for counts, "categorical" for categories (latent
            class analysis): numbers from 0 or, in a data frame, names.
        num_components: The numbers of components to try.
        criterion: What to minimise: "aic", "aicc", "bic", "caic", "sabic", "hqic", "icl", "clc", "nec", "slope" or "sbic". Lower is
            better (mclust's signs are the opposite).
        num_restarts: Independent starts for each (family, K).
        num_finalists: How many of them, the best after a short first stage, are run to convergence.
        moves: Whether moves along the path of K follow: the best of K − 1 split, the best of K + 1 merged, until nothing improves.
        init: Kind of start: "portfolio" (a mix), "kmeans++", "ward", "random-rows" or "random-responsibilities".
        weights: Row weights (n,), real, not negative; an integer weight is a repeated row.
        labels: Components (n,) that rows are known to come from, numbered from 0, and −1 where that is not known; these numbers stay
            as they are, and the other components follow by weight. The log-likelihood is then that of rows and labels.
        noise: Whether some rows may come from no component but be spread evenly over the region of the data (`Fit.noise`).
        equal_weights: Whether all components have the same weight.
        prior: "fraley-raftery" or a `jaxem.Prior`: estimates are then those of highest posterior density. None: maximum likelihood.
        fixed: Parameters that are known, by name: "means" (k, d), "covariances" (k, d, d) or both, in the data's units. They stay as
            they are and in this order; the rest is estimated.
        tol: Stop a run when less than this is estimated to be missing from its total log-likelihood, in nats.
        max_steps: The most E-steps of a run.
        seed: An int or a JAX key; the same seed gives the same result on the same machine.
        dtype: "float64" or "float32". Float32 shows gains of about 5e-7 times the log-likelihood and no less: where EM creeps towards an
            optimum, as with more components than the data carry, `fit(..., start=found.params)` in float64 finds what is missing.
        num_resamples: Parts of the rows on which the whole choice is made again (`Selection.stability`), for the trust report.
        progress: Called as runs end with (phase, runs ended, runs in the phase, lowest BIC so far or NaN).
    Returns:
        A `Selection`. Cells with more components than distinct rows, cells that the labels contradict, and cells in which every run
        failed, have a row that says so; a fit with a component next to singular, or on too few rows, is marked `spurious` and never
        chosen.
    Raises:
        ValueError: for bad values, naming argument, row and column.
        TypeError: for arguments of the wrong kind.
        Interrupted: on Ctrl-C, with what had been finished as its `selection`.

    Example:
        >>> import jaxem
        >>> sel = jaxem.select(jaxem.datasets.load("faithful"), ["EEE", "VVV"], range(1, 5))
        >>> sel.best.family, sel.best.num_components
        ('EEE', 3)
    """
    criterion = check_criterion(criterion)
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
    components = tabular.counts("num_components", num_components)
    parts = tabular.count("num_resamples", num_resamples, 0)
    nominal = family_names.nominal(families)
    table = tabular.read(data, weights, labels, missing=True, nominal=nominal).without_empty_rows()
    report, groups = heard(progress), _groups(families, table)
    varying = any(family.standardise for group in groups for family in group)  # criteria compare fits to the same columns
    with precision(options.dtype):
        # All are made before the first is searched: what is wrong with the data for one is said at once.
        problems = [Problem(family_names.folded(group, table), group, components, options, report, varying) for group in groups]
        begun: list[Problem] = []
        try:
            for problem in problems:
                begun.append(problem)
                problem.search()
        except KeyboardInterrupt:
            raise Interrupted(_selection(begun, table, criterion, options)) from None
        try:
            selection = _selection(problems, table, criterion, options)
        except KeyboardInterrupt:  # to check and sum up what was found is soon done again
            raise Interrupted(_selection(problems, table, criterion, options)) from None
    if not parts or not selection.ranking():
        return selection
    try:
        found = selection.stability(table.x, parts, weights=table.weight, labels=table.label, seed=seed)
    except KeyboardInterrupt:
        raise Interrupted(selection) from None
    except RuntimeError as error:
        said = f"The choice could not be made again on parts of the rows: {error}."
        return dataclasses.replace(selection, warnings=(*selection.warnings, said))
    return dataclasses.replace(
        selection,
        trust_report=(*selection.trust_report, found.sentence()),
        doubts=selection.doubts | {"stability": found.to_dict()},
    )


def _groups(families: Any, table: tabular.Table) -> list[list[Any]]:
    """Families that share a problem: those of one kind, so that they run in one program, and in the same internal units."""
    varying = bool((np.nanmax(table.x, axis=0) > np.nanmin(table.x, axis=0)).any())
    num_features = (table.without_constant_columns() if varying else table).x.shape[1]
    groups: dict[tuple[Any, bool], list[Any]] = {}
    for family in family_names.resolve(families, num_features):
        if table.categories and not family_names.nominal([family]):
            raise ValueError(
                f"column {next(iter(table.categories))!r} holds names, which family {family.name!r} would take for numbers: choose among "
                "families of categories, or leave out what holds names"
            )
        sphered = getattr(family, "linear", False) and num_features > 1 and nearly_collinear(table)
        groups.setdefault((family_names.kind(family), sphered), []).append(family)
    return list(groups.values())


def _selection(problems: list[Problem], table: tabular.Table, criterion: str, options: Options) -> Selection:
    """What was found, checked and summed up."""
    for problem in problems:
        problem.certify()
    cells = [(problem, *both) for problem in problems for both in zip(problem.cells, problem.fits(), strict=True)]
    fits = calibrate({(cell.family.name, cell.num_components): fit for _, cell, fit in cells if fit is not None})
    rows = [_table_row(problem, cell, fits.get((cell.family.name, cell.num_components))) for problem, cell, _ in cells]
    # A model that goes by several names (those of K = 1) has one share of belief, in equal parts.
    names = {key: sum(same_model(fit, other) for other in fits.values()) for key, fit in fits.items()}
    for name, criterion_of in (("schwarz_weight", "bic"), ("akaike_weight", "aic")):
        shares = [2 * np.log(names.get((row["family"], row["num_components"]), 1)) for row in rows]
        values = [np.nan if row["spurious"] else row[criterion_of] + share for row, share in zip(rows, shares, strict=True)]
        rows = [row | {name: weight} for row, weight in zip(rows, criteria.weights(values), strict=True)]
    selection = Selection(
        fits=fits,
        cells=tuple(rows),
        lanes=tuple(_lane(*told, options) for problem in problems for cell in problem.cells for told in _runs(problem, cell)),
        criterion=criterion,
        warnings=(),
        trust_report=(),
        doubts={},
        num_rows=problems[0].total,
        columns=problems[0].table.columns,
        seed=options.seed,
        settings=_settings(options, table),
        work={name: sum(getattr(problem.work, name) for problem in problems) for name in ("useful", "done")},
    )
    if selection.ranking():
        selection = dataclasses.replace(selection, doubts=doubt.facts(selection, table.x, table.weight, table.label))
    return dataclasses.replace(
        selection, warnings=sentences.warnings(selection, problems), trust_report=sentences.trust(selection)
    )


def _runs(problem: Problem, cell: Cell) -> Iterator[tuple[Run, str, float]]:
    """Every run of a cell, which rows it saw, and what its log-likelihood lacks of theirs in the data's units."""
    yield from ((run, "subsample", problem.sample_offset) for run in (cell.scout.runs if cell.scout else []))
    yield from ((run, "all", problem.offset) for run in cell.runs)


def _lane(run: Run, seen: str, offset: float, options: Options) -> dict[str, Any]:
    """A row of `Selection.runs`."""
    return {
        "family": run.cell.family.name,
        "num_components": run.cell.num_components,
        "origin": run.origin,
        "start": run.kind,
        "restart": run.restart,
        "round": run.round,
        "rows": seen,
        "seed": options.seed[0] if len(options.seed) == 1 else str(options.seed),
        "log_likelihood": run.log_likelihood + offset,
        "num_steps": run.num_steps,
        "status": run.status.name.lower(),
        "finalist": run.finalist,
        "spurious": not run.admissible,
    }


def _settings(options: Options, table: tabular.Table) -> dict[str, Any]:
    """What `Selection.settings` says."""
    told = {name: value for name, value in vars(options).items() if name not in ("seed", "fixed")}
    given = {"labels": table.label is not None, "fixed": bool(options.fixed)}
    told |= {"given": [name for name, there in given.items() if there]}
    prior = None if options.prior is None else options.prior.to_dict()
    return told | {"prior": prior, "dtype": str(options.dtype), "weighted": bool((table.weight != 1).any())}


def _table_row(problem: Problem, cell: Cell, fit: Fit | None) -> dict[str, Any]:
    row: dict[str, Any] = {"family": cell.family.name, "num_components": cell.num_components}
    if fit is not None:
        names = ("log_likelihood", "num_params", *criteria.NAMES)
        more = ("relative_entropy", "num_steps", "replicated", "improved", "stable", "trust", "spurious", "num_failed")
        row |= {name: getattr(fit, name) for name in names} | {"status": fit.status.name.lower()}
        return row | {name: getattr(fit, name) for name in more}
    count = cell.num_params(len(problem.units.scale))
    none = dict.fromkeys(("log_likelihood", "num_params", *criteria.NAMES), np.nan) | {"num_params": count}
    failed = [run.status for run in cell.runs or cell.searched]
    left_out = problem.terms.left_out.get(cell.num_components, UNSEARCHED if cell in problem.able else TOO_FEW)
    status = max(set(failed), key=failed.count).name.lower() if failed else left_out
    rest = {
        "relative_entropy": np.nan,
        "num_steps": 0,
        "replicated": 0,
        "improved": False,
        "stable": None,
        "trust": "",
        "spurious": False,
    }
    return row | none | {"status": status} | rest | {"num_failed": sum(s.failed for s in failed if isinstance(s, Status))}
