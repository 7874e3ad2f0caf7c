"""What a selection says of itself, in sentences. Imports layers 0 to 3."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import trust as levels
from .._status import Status
from ..text import rows
from ..units import few_values
from . import doubt
from .outcome import TOO_FEW, UNSEARCHED, unknown


if TYPE_CHECKING:
    from ..result import Fit
    from .outcome import Selection


FAILING = {status.name.lower() for status in Status if status.failed}
TINY = 2.0  # a component with fewer than this many times the rows its covariance needs is worth a sentence


def evidence(gap: float) -> str:
    """What a difference of BIC is worth (Kass & Raftery 1995, JASA 90, sec. 3.2: twice the log Bayes factor)."""
    if gap < 2:
        return "no evidence worth mentioning"
    if gap < 6:
        return "positive evidence"
    return "strong evidence, not decisive" if gap < 10 else "very strong evidence"


def trust(selection: Selection) -> tuple[str, ...]:
    """How far to trust the choice: the optimum, the lead over the runner-up, the runs that failed, the components."""
    ranking = selection.ranking()
    if not ranking:
        return ()
    best = ranking[0]
    said = [levels.sentence(best)]
    said += _runner_up(selection.criterion, ranking)
    said += doubt.leads(selection.doubts, selection.criterion)
    said += doubt.opinions(selection.doubts, selection.criterion) if len(ranking) > 1 else []
    said += doubt.overlap(selection.doubts, best.num_components)
    said += _elsewhere(selection.criterion, ranking)
    said += _failures(selection)
    said += _tiny(best) + _noise(best)
    return tuple(said)


def _name(fit: Fit) -> str:
    return f"{fit.family} with K = {fit.num_components}"


def _runner_up(criterion: str, ranking: list[Fit]) -> list[str]:
    if len(ranking) < 2:
        return []
    gap = getattr(ranking[1], criterion) - getattr(ranking[0], criterion)
    worth = f": {evidence(gap)}" if criterion == "bic" else ""
    return [f"The runner-up, {_name(ranking[1])}, is {gap:.1f} {criterion.upper()} behind{worth}."]


def _elsewhere(criterion: str, ranking: list[Fit]) -> list[str]:
    """Cells with little trust that a better optimum could carry past the winner."""
    best = getattr(ranking[0], criterion)
    near = [fit for fit in ranking[1:] if fit.trust == levels.LOW and getattr(fit, criterion) - best < 10]
    if not near:
        return []
    names = ", ".join(_name(fit) for fit in near[:3]) + (" and others" if len(near) > 3 else "")
    return [f"Close behind and of low trust themselves: {names}; a better optimum there could change the choice."]


def _failures(selection: Selection) -> list[str]:
    runs = selection.lanes
    if not runs:
        return []
    failed = [run for run in runs if run["status"] in FAILING]
    if not failed:
        return [f"None of the {len(runs):,} runs failed." if len(runs) > 1 else "The one run did not fail."]
    kinds = collections.Counter(run["status"] for run in failed).most_common()
    what = ", ".join(f"{count:,} {name}" for name, count in kinds)
    cells = collections.Counter((run["family"], run["num_components"]) for run in failed).most_common()
    where = ", ".join(f"{family} K = {k}" for (family, k), _ in cells[:3]) + (", …" if len(cells) > 3 else "")
    return [f"Of {len(runs):,} runs, {what} (most in {where}); {'it was' if len(failed) == 1 else 'they were'} set aside."]


def _tiny(fit: Fit) -> list[str]:
    smallest = float(fit.sizes.min())
    if fit.spurious or fit.num_components == 1 or smallest >= TINY * (len(fit.columns) + 1):
        return []
    return [f"The smallest cluster of the choice has only {rows(smallest)}: look at them before you believe in it."]


def _noise(fit: Fit) -> list[str]:
    if fit.noise is None:
        return []
    rows = fit.num_rows - fit.sizes.sum()
    return [f"Noise has a share of {fit.noise_weight:.1%}: {rows:g} rows are more likely to be noise than of any cluster."]


def warnings(selection: Selection, problems: list[Any]) -> tuple[str, ...]:
    """What the user must know of the data and the fits, once each."""
    said = [sentence for problem in problems for sentence in problem.table.warnings]
    for problem in problems:
        short = [cell.num_components for cell in problem.cells if cell.num_components > problem.distinct]
        short = [k for k in short if k not in problem.terms.left_out]
        if short:
            said.append(f"K = {min(short)} and more were left out: the data have only {problem.distinct} distinct rows.")
    said = list(dict.fromkeys(said))
    said += _contradicted(problems[0].terms.left_out)
    said += _far(selection, problems)
    ranking = selection.ranking()
    if _cut_off(selection):
        return (*said, "No fit can be chosen: nothing was finished yet.")
    said += _lost(selection, problems)
    if not ranking and selection.ranking("bic"):
        said.append(f"No fit can be chosen: {unknown(selection.criterion)}.")
        return tuple(said)
    if not ranking:
        said.append(
            "No fit can be chosen: every run of every cell failed or is next to singular; try fewer components, shared covariances or a "
            "prior."
        )
        return tuple(said)
    best = ranking[0]
    said += [sentence for sentence in best.warnings if sentence not in said]
    tempting = [
        fit
        for fit in selection.fits.values()
        if fit.spurious and getattr(fit, selection.criterion) < getattr(best, selection.criterion)
    ]
    if tempting:
        names = ", ".join(_name(fit) for fit in tempting[:4]) + (" and others" if len(tempting) > 4 else "")
        said.append(f"{names} would have won, but rest on next to singular components and were left out of the choice.")
    said += doubt.uncertain(selection.doubts, best.num_components)
    tried = sorted({fit.num_components for fit in selection.fits.values()})
    if len(tried) > 1 and best.num_components == tried[-1]:
        said.append(f"The largest number of components tried, {tried[-1]}, was chosen: try more.")
    return tuple(said)


def _cut_off(selection: Selection) -> bool:
    """Whether the search was stopped before it had run anything to convergence: of all runs that are alive the best always are."""
    alive = any(run["status"] not in FAILING for run in selection.lanes)
    pending = alive or any(cell["status"] == UNSEARCHED for cell in selection.cells)
    return pending and not any(run["finalist"] for run in selection.lanes)


def _contradicted(left_out: dict[int, str]) -> list[str]:
    """A word on numbers of components that labels contradict."""
    by_status: dict[str, list[str]] = {}
    for k, status in sorted(left_out.items()):
        by_status.setdefault(status, []).append(str(k))
    return [
        f"K = {', '.join(numbers)} {'was' if len(numbers) == 1 else 'were'} left out: {status}."
        for status, numbers in by_status.items()
    ]


def _lost(selection: Selection, problems: list[Any]) -> list[str]:
    """A word on cells that had no part in the choice, where they are many."""
    unsearched = (TOO_FEW, UNSEARCHED, *problems[0].terms.left_out.values())
    tried = [cell for cell in selection.cells if cell["num_components"] > 1 and cell["status"] not in unsearched]
    lost = [cell for cell in tried if cell["spurious"] or not np.isfinite(cell["log_likelihood"])]
    if 2 * len(lost) <= len(tried):
        return []
    most = max(cell["num_components"] for cell in tried)
    why = few_values(problems[0].table, most)
    return [
        f"{len(lost)} of {len(tried)} cells with K of 2 or more have no sound fit and no part in the choice: every run collapsed or is "
        "next to singular.",
        *why,
    ]


def _far(selection: Selection, problems: list[Any]) -> list[str]:
    """A word on rows far out, where cells have no sound fit."""
    terms = problems[0].terms
    several = [cell for cell in selection.cells if cell["num_components"] > 1 and cell["num_components"] not in terms.left_out]
    lacking = any(cell["spurious"] or not cell["num_steps"] for cell in several)
    return list(terms.outliers) if lacking else []
