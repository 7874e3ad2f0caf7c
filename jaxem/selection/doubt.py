"""The facts behind a trust report: do the criteria agree, do clusters overlap, is the lead larger than the noise? Imports layers 0 to 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import resampling
from .._parts import parts
from ..text import rows as rows_of


if TYPE_CHECKING:
    from ..result import Fit
    from .outcome import Selection


SECOND_OPINIONS = ("bic", "icl", "slope")  # evidence; clusters; a penalty that the data calibrate
PENALISED = ("aic", "aicc", "bic", "caic", "sabic", "hqic", "slope")  # −2ℓ and a penalty that does not depend on the rows
NUM_RESAMPLES = 999
MOST_GROUPS = 500  # rows are resampled one by one up to so many, in random groups beyond: the variance of a sum is the same
LEAST_SURE = 0.7  # mean probability of the rows of a group that is one (Nagin 2005, sec. 5.4)
# What is said of clusters where relative entropy is above a number, and the least sure cluster at another or above.
APART = (("are well apart", 0.95, 0.9), ("overlap a little", 0.8, 0.8), ("overlap", 0.6, LEAST_SURE))
CLEAR = 0.95  # share of resamples in which a lead that is no accident holds


def facts(selection: Selection, rows: np.ndarray, weight: np.ndarray, label: np.ndarray | None = None) -> dict[str, Any]:
    """What the report says, as numbers.

    Args:
        selection: The selection, whose choice exists.
        rows: All rows (n, d), every column that was given.
        weight: Row weights (n,).
        label: Known components of the rows, −1 where they are not known, shape (n,); or None.
    Returns:
        "optimum" (level, replicated, stable), "criteria" (what each second opinion chooses), "relative_entropy", "least_sure" (the
        component whose rows are least sure of it; None of one component, or where every row has a label), "leads": for the
        runner-up and for the best with another K, the gap and the share of resamples in which the choice stays ahead, None where
        the criterion is not a sum over rows.
    """
    ranking = selection.ranking()
    best = ranking[0]
    opinions = {name: selection.ranking(name)[:1] for name in dict.fromkeys((*SECOND_OPINIONS, selection.criterion))}
    rivals = ranking[1:2]
    rivals += [fit for fit in ranking[1:] if fit.num_components != best.num_components][:1]
    distinct = list({id(rival): rival for rival in rivals}.values())
    return {
        "optimum": {"level": best.trust, "replicated": best.replicated, "stable": best.stable},
        "criteria": {name: _key(fits[0]) for name, fits in opinions.items() if fits},
        "relative_entropy": best.relative_entropy,
        "least_sure": least_sure(best, rows, weight, label) if best.num_components > 1 else None,
        "leads": [_lead(selection.criterion, best, rival, rows, weight, label, selection.seed) for rival in distinct],
    }


def _key(fit: Fit) -> dict[str, Any]:
    return {"family": fit.family, "num_components": fit.num_components}


def least_sure(fit: Fit, rows: np.ndarray, weight: np.ndarray, label: np.ndarray | None = None) -> dict[str, Any] | None:
    """The component whose rows are least sure of it: relative entropy is a mean over all rows, and hides what few of them make up.

    Args:
        fit: A fit.
        rows: All rows (n, d), every column that was given.
        weight: Row weights (n,).
        label: Known components of the rows, −1 where they are not known, shape (n,); or None. Rows that have one are not in doubt.
    Returns:
        "component", the "num_rows" assigned to it, and their "mean_probability" of being its own, None without rows; or None where
        every row has a label.
    References:
        Nagin 2005, Group-Based Modeling of Development, sec. 5.4: the average posterior probability of assignment.
    """
    labelled = np.zeros(len(rows), bool) if label is None else np.asarray(label) >= 0
    if not (weight > 0)[~labelled].any():
        return None
    total, sure = np.zeros((2, fit.num_components + 1))  # the last is noise
    known = np.isin(np.arange(len(total)), [] if label is None else np.asarray(label)[labelled])
    for some in parts(len(rows)):
        resp, own = fit.predict_proba(rows[some]), np.where(labelled[some], 0.0, weight[some])
        chosen = resp.argmax(axis=1)
        total += np.bincount(chosen, own, len(total))
        sure += np.bincount(chosen, own * resp.max(axis=1), len(total))
    mean = np.divide(sure, total, out=known.astype(float), where=total > 0)[:-1]
    worst = int(mean.argmin())
    probability = float(mean[worst]) if total[worst] else None
    return {"component": worst, "num_rows": float(total[worst]), "mean_probability": probability}


def _of_rows(fit: Fit, rows: np.ndarray, label: np.ndarray | None) -> np.ndarray:
    """Each row's part of the log-likelihood, shape (n,)."""
    if label is None:
        return fit.log_prob(rows)
    joint = fit.log_joint(rows)
    return np.where(label >= 0, joint[np.arange(len(joint)), label], np.logaddexp.reduce(joint, axis=1))


def _lead(
    criterion: str, best: Fit, rival: Fit, rows: np.ndarray, weight: np.ndarray, label: Any, seed: tuple[int, ...]
) -> dict[str, Any]:
    gap = getattr(rival, criterion) - getattr(best, criterion)
    share = None
    if criterion in PENALISED:
        difference = np.empty(len(rows))
        for some in parts(len(rows)):
            known = None if label is None else label[some]
            difference[some] = 2 * (_of_rows(best, rows[some], known) - _of_rows(rival, rows[some], known))
        share = share_ahead(difference, gap, weight, seed)
    return _key(rival) | {"gap": gap, "share_ahead": share}


def share_ahead(difference: np.ndarray, gap: float, weight: np.ndarray, seed: tuple[int, ...]) -> float:
    """In what share of bootstrap samples of the rows, both fits kept as they are, a lead stays one.

    Whole weights count repeated rows; else the rows are drawn with their weights.

    Args:
        difference: Each row's part of the lead, shape (n,): twice the difference of log-densities. The rest of `gap` is penalties.
        gap: The lead.
        weight: Row weights (n,).
        seed: Words of the seed.
    References:
        Resampling estimated log-likelihoods: Kishino, Miyata & Hasegawa 1990, J. Mol. Evol. 31; the noise of such a difference:
        Vuong 1989, Econometrica 57.

    Example:
        >>> share_ahead(np.array([1.0, 1.0, 1.0, -1.0]), 2.0, np.ones(4), (0,)) < 1
        True
    """
    rng = resampling.stream(seed, 0)
    whole, total = resampling.whole(weight), weight.sum()
    if whole and len(weight) <= MOST_GROUPS:
        counts = rng.multinomial(int(total), weight / total, size=NUM_RESAMPLES)
        return float(np.mean(gap + (counts - weight) @ difference > 0))
    part = _alike(difference, weight) if whole else difference * weight
    if len(part) > MOST_GROUPS:
        groups = np.zeros(MOST_GROUPS)
        for some in parts(len(part)):
            order = some.start + rng.permutation(len(part[some]))
            groups += np.bincount(order % MOST_GROUPS, weights=part[some], minlength=MOST_GROUPS)
        part = groups
    counts = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), size=NUM_RESAMPLES)
    return float(np.mean(gap + (counts - 1) @ part > 0))


def _alike(difference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Parts of rows drawn once each whose sum varies as much as that of the rows when each is repeated `weight` times."""
    part = difference - weight @ difference / weight.sum()  # in place from here: there may be millions
    for some in parts(len(part)):
        part[some] *= np.sqrt(weight[some])
    square = part @ part
    part -= part.mean()
    part *= np.sqrt(square / max(part @ part, np.finfo(float).tiny))
    return part


def opinions(found: dict[str, Any], criterion: str) -> list[str]:
    """Whether the second opinions agree with the choice."""
    chosen = found["criteria"]
    others = {name: key for name, key in chosen.items() if name != criterion}
    dissent = {name: key for name, key in others.items() if key != chosen[criterion]}
    if not others:
        return []
    if not dissent:
        return [f"{_listed(others)} {'choose' if len(others) > 1 else 'chooses'} the same."]
    says = "; ".join(
        f"{_title(name)} chooses {key['family']} with K = {key['num_components']}" for name, key in dissent.items()
    )
    agreeing = [name for name in others if name not in dissent]
    agrees = (
        f"; {' and '.join(_title(name) for name in agreeing)} {'agree' if len(agreeing) > 1 else 'agrees'} with {_title(criterion)}"
        if agreeing
        else ""
    )
    return [f"{says[0].upper()}{says[1:]}{agrees}."]


def overlap(found: dict[str, Any], num_components: int) -> list[str]:
    """How far clusters can be told apart: by all rows together, and by the cluster that stands out least."""
    value, worst = found["relative_entropy"], found["least_sure"]
    if num_components == 1 or worst is None or not np.isfinite(value):
        return []
    sure = worst["mean_probability"] or 0.0
    how = next((word for word, entropy, least in APART if value > entropy and sure >= least), "overlap strongly")
    said = f"Clusters {how}: relative entropy {value:.2f}, where 1 is no doubt about any row"
    if how == APART[0][0]:
        return [f"{said}."]
    if worst["num_rows"]:
        said += f"; the least sure has {rows_of(worst['num_rows'])}, its own with a mean probability of {sure:.2f}"
        said += f", where groups should have {LEAST_SURE} or more" if sure < LEAST_SURE else ""
    else:
        said += "; one of them is the most probable of no row"
    return [f"{said}{'; `merge` says which components make one cluster' if num_components > 2 else ''}."]


def leads(found: dict[str, Any], criterion: str) -> list[str]:
    """Whether the leads are larger than the noise."""
    said = []
    for lead in found["leads"]:
        if lead["share_ahead"] is not None:
            verdict = "is larger than the noise" if lead["share_ahead"] >= CLEAR else "is within the noise"
            name = f"{lead['family']} with K = {lead['num_components']}"
            said.append(
                f"The lead over {name}, {lead['gap']:.1f} {criterion.upper()}, {verdict}: "
                f"it holds in {lead['share_ahead']:.0%} of {NUM_RESAMPLES} resamplings of the rows."
            )
    return said


def uncertain(found: dict[str, Any], num_components: int) -> list[str]:
    """A warning where another number of components is within the noise."""
    near = [lead for lead in found["leads"] if lead["num_components"] != num_components]
    near = [lead for lead in near if lead["share_ahead"] is not None and lead["share_ahead"] < CLEAR]
    if not near:
        return []
    name = f"{near[-1]['family']} with K = {near[-1]['num_components']}"
    return [f"The number of components is not certain: {name} is within the noise."]


def _title(name: str) -> str:
    return "the slope heuristic" if name == "slope" else "the singular BIC" if name == "sbic" else name.upper()


def _listed(names: Any) -> str:
    titles = [_title(name) for name in names]
    text = " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)
    return text[0].upper() + text[1:]
