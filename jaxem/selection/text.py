"""Selections, tests and resamples in plain text. Imports families, and text of layer 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..families.gaussian import STRUCTURES, UNIVARIATE
from ..text import INDENT, MOST_LINES, Table, columns, filled, joined, level, listed, many, rows, upright


if TYPE_CHECKING:
    from .lrt import BootstrapLRT
    from .merging import MergeTree
    from .outcome import Selection
    from .stability import Stability
    from .validation import CrossValidation

BEST = 5  # fits shown of a selection
MOST = 10  # rows shown of the other tables
LONGEST = 24  # letters of a list of components


def of_selection(selection: Selection) -> str:
    """A selection: what was asked, the choice, the fits next to it, how far to trust it, its warnings."""
    settings = selection.settings
    restarts = f", {many(settings['num_restarts'], 'restart')} each" if "num_restarts" in settings else ""
    head = f"{rows(selection.num_rows)}, {columns(selection.columns)}. {asked(selection)}{restarts}, {seeded(selection)}."
    ranking = selection.ranking()
    return joined(
        filled(head),
        [*filled(choice(selection), hang=INDENT), *_leaders(selection)] if ranking else [],
        listed("How far to trust it", selection.trust_report),
        listed("Warnings", selection.warnings),
    )


def _leaders(selection: Selection) -> list[str]:
    """The best fits by the criterion, and how far each is behind."""
    ranking, name = selection.ranking(), selection.criterion
    if len(ranking) < 2:
        return []
    fits = ranking[:BEST]
    values = [getattr(fit, name) for fit in fits]
    table: Table = [
        ("family", [fit.family for fit in fits]),
        ("K", [str(fit.num_components) for fit in fits]),
        (name.upper(), [level(value) for value in values]),
        ("behind", [level(value - values[0]) for value in values]),
        ("log-likelihood", [level(fit.log_likelihood) for fit in fits]),
        ("parameters", [str(fit.num_params) for fit in fits]),
        ("trust", [fit.trust for fit in fits]),
    ]
    return [*upright(table), *_cut(len(ranking), BEST, "fit", "that can be chosen")]


def choice(selection: Selection) -> str:
    """The chosen model in a line."""
    best, name = selection.best, selection.criterion
    return (
        f"Chosen: {best.family} with K = {best.num_components}: {name.upper()} {level(getattr(best, name))}, "
        f"log-likelihood {level(best.log_likelihood)}, {best.num_params} parameters."
    )


def asked(selection: Selection) -> str:
    """What was compared."""
    families, ks = axes(selection)
    several = "structures" if {*families} <= {*STRUCTURES, *UNIVARIATE} else "families"
    kinds = f"{len(families)} {several}" if len(families) > 1 else f"Family {families[0]}"
    run = len(ks) > 1 and ks == list(range(ks[0], ks[-1] + 1))
    return f"{kinds}, K = {f'{ks[0]}..{ks[-1]}' if run else ', '.join(map(str, ks))}"


def seeded(selection: Selection) -> str:
    """The seed, for a sentence."""
    return f"seed {selection.seed[0] if len(selection.seed) == 1 else selection.seed}"


def axes(selection: Selection) -> tuple[list[str], list[int]]:
    """The families and the numbers of components that were tried."""
    cells = selection.cells
    return list(dict.fromkeys(row["family"] for row in cells)), sorted({row["num_components"] for row in cells})


def of_lrt(test: BootstrapLRT) -> str:
    """A bootstrap test: the statistic, the p-value, and what the replicates were."""
    k, kept = test.num_components, len(test.replicates)
    as_large = int((test.replicates >= test.statistic).sum())
    middle, high = np.quantile(test.replicates, [0.5, 0.95]) if kept else (np.nan, np.nan)
    facts = [
        ("statistic", [f"{test.statistic:.2f}"]),
        ("p-value", [f"{test.p_value:.4f}"]),
        ("replicates", [f"{kept}"]),
        ("as large", [f"{as_large}"]),
        ("median", [f"{middle:.2f}"]),
        ("95 % quantile", [f"{high:.2f}"]),
    ]
    said = f"The statistic is 2 (ℓ({k + 1}) − ℓ({k})), the replicates are of samples from the fit with K = {k}. "
    said += f"{test.num_failed} more had no usable fit and were left out" if test.num_failed else "Each had a usable fit"
    said += "; the test stopped early, since enough of them were as large." if test.stopped else "; the test ran to its end."
    head = f"{test.family}: K = {k} against K = {k + 1} by parametric bootstrap of the likelihood ratio"
    return joined(filled(head, hang=INDENT), [*upright(facts), *filled(said, INDENT)])


def of_cross_validation(found: CrossValidation) -> str:
    """Held-out log-likelihoods, best first, and which cells the two rules choose."""
    known = {(row["family"], row["num_components"]): row for row in found.table.to_dict(orient="records")}
    ranking = sorted((key for key in known if not known[key]["num_failed"]), key=lambda key: -known[key]["log_likelihood"])
    shown = list(dict.fromkeys([*ranking[:MOST], found.one_standard_error]))
    best = known[found.best]["log_likelihood"]
    marks = {key: ["best"] * (key == found.best) + ["one standard error"] * (key == found.one_standard_error) for key in shown}
    table: Table = [
        ("family", [family for family, _ in shown]),
        ("K", [str(k) for _, k in shown]),
        ("parameters", [str(known[key]["num_params"]) for key in shown]),
        ("log-likelihood", [f"{known[key]['log_likelihood']:.4f}" for key in shown]),
        ("error", [f"{known[key]['standard_error']:.4f}" for key in shown]),
        ("behind", [f"{best - known[key]['log_likelihood']:.4f}" for key in shown]),
        ("choice", [", ".join(marks[key]) for key in shown]),
    ]
    folds, lacking = len(found.scores[found.best]), len(known) - len(ranking)
    head = f"Cross-validation in {folds} folds: log-likelihood a row of rows not seen, in nats; higher is better."
    more = [f"{many(lacking, 'cell')} had no usable fit in some fold and cannot be chosen"] if lacking else []
    return joined(filled(head), [*upright(table, gap=2), *_cut(len(ranking), len(shown), "cell"), *_noted(more)])


def of_stability(found: Stability) -> str:
    """What the resamples say of the choice, and what each of them chose."""
    shown = found.table.head(MOST)
    table: Table = [
        ("family", shown["family"].tolist()),
        ("K", [str(k) for k in shown["num_components"]]),
        ("share", [f"{share:.3f}" for share in shown["share"]]),
        (
            "choice",
            ["of all rows" * (key == found.chosen) for key in zip(shown["family"], shown["num_components"], strict=True)],
        ),
    ]
    more = [f"{many(found.num_failed, 'refit')} had no usable outcome"] if found.num_failed else []
    return joined(filled(found.sentence()), [*upright(table), *_cut(len(found.table), MOST, "cell", "chosen"), *_noted(more)])


def of_merging(tree: MergeTree) -> str:
    """The clusters at the elbow, and the entropy of fewer and more."""
    weights, partition = tree.fit.params.weights, tree.partitions[tree.elbow]
    own = partition[:MOST_LINES]
    clusters: Table = [
        ("cluster", [str(number) for number in range(len(own))]),
        ("share", [f"{weights[list(parts)].sum():.2f}" for parts in own]),
        ("components", [_components(parts) for parts in own]),
    ]
    frame = tree.table
    frame = frame[(frame["num_clusters"] <= MOST) | frame["elbow"]]
    steps: Table = [
        ("clusters", [str(number) for number in frame["num_clusters"]]),
        ("entropy", [f"{entropy:.2f}" for entropy in frame["entropy"]]),
        ("joined last", [" + ".join(map(_components, pair)) if pair else "" for pair in frame["merged"]]),
        ("", ["elbow" * bool(elbow) for elbow in frame["elbow"]]),
    ]
    head = f"{tree.fit.family} with K = {tree.fit.num_components}, merged by entropy: the elbow is at {many(tree.elbow, 'cluster')}."
    return joined(
        filled(head),
        [
            *upright(clusters),
            *_cut(len(partition), MOST_LINES, "cluster"),
            *_noted(["clusters and components are numbered as by predict"]),
        ],
        [*upright(steps), *_cut(len(tree.partitions), len(frame), "partition")],
    )


def _components(parts: tuple[int, ...]) -> str:
    """Numbers of components, as far as they go into a line."""
    told = ",".join(map(str, parts))
    return told if len(told) <= LONGEST else told[: told.rindex(",", 0, LONGEST)] + ",…"


def _cut(count: int, shown: int, what: str, which: str = "") -> list[str]:
    """A word on a table that shows only a part."""
    return _noted([f"{shown} of {many(count, what)}{' ' * bool(which)}{which}"]) if count > shown else []


def _noted(sentences: list[str]) -> list[str]:
    """Words under a table."""
    return [line for sentence in sentences for line in filled(sentence, INDENT)]
