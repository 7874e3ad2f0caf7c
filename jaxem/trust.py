"""How far a result can be trusted: was the best log-likelihood replicated, and stable under moves? Imports the standard library only.

The levels and their error rates are measured (`experiments/trust`): over 13 data sets, 14 structures, K = 2..9 and three seeds, how
often a result of this level was later beaten by more than 0.05 nats by a search with five times as many starts. High: 13 of 1,411;
fair: 100 of 577; low: 661 of 1,754. Of fits alone, one K each, splits and merges of their own components find less, and more starts must
agree: then 19 of 613, 19 of 142 and 274 of 524 were beaten (`alone.py`, which finds the levels as good with a prior).
"""

from __future__ import annotations

from typing import Any


HIGH, FAIR, LOW = "high", "fair", "low"
BEATEN = {HIGH: "1 to 3", FAIR: "13 to 17", LOW: "38 to 52"}  # in 100 results of this level, of a selection and alone


def level(closed: bool, replicated: int, stable: bool | None, beside: bool = True) -> str:
    """The level of trust in one fit.

    Args:
        closed: Whether there is one optimum, that of the M-step: always "high".
        replicated: Independent starts that ended in the best optimum.
        stable: Whether every move was tried, and found nothing better; None if no moves were made.
        beside: Whether the moves came from fits with one component more or fewer; those of a fit alone find less.
    """
    high, fair = (3, 1) if beside else (5, 3)
    if closed or (stable and replicated >= high):
        return HIGH
    if (stable and replicated >= fair) or (stable is None and replicated >= 3):
        return FAIR
    return LOW


def sentence(fit: Any) -> str:
    """The trust report's first sentence, from the facts behind a fit's level."""
    if fit.closed:
        why = "every row has a label, so that nothing is left to search: the optimum is that of a single M-step"
        if fit.num_components == 1:
            why = "one component has one optimum" + (", in closed form" if not hasattr(fit.params, "dof") else "")
        doubt = "" if fit.trust == HIGH else ", but there a component is next to singular or rests on too few rows"
        return f"{fit.trust.capitalize()}: {why}{doubt}."
    reached, replicated = "no start reached the best log-likelihood, only moves did", fit.replicated
    if replicated:
        followed = fit.num_finalists
        who = {1: "the one start that was", 2: "both starts that were"}.get(followed, f"all {followed} starts that were")
        if replicated < followed:
            who = f"{replicated} of the {followed} starts that were"
        reached = f"{who} followed reached the best log-likelihood"
    moved = {
        None: "no moves were tried, so how often such results are later beaten is not known",
        True: f"splitting or merging clusters did not improve it{' any further' if fit.improved else ''}",
        False: "splitting or merging clusters was still improving it when the rounds of moves ended",
    }[fit.stable]
    measured = not set(fit.terms) - {"prior"} and hasattr(fit.params, "covariances")
    such = "such results" if measured else "such results of plain Gaussian mixtures"
    rate = "" if fit.stable is None else f" (of {such} about {BEATEN[fit.trust]} in 100 were later beaten)"
    advice = "; another search may well find better: raise num_restarts" if fit.trust == LOW else ""
    return f"{fit.trust.capitalize()}: {reached}, and {moved}{rate}{advice}."
