"""A selection as one page of HTML that needs nothing but itself. Imports families, plot, prior, selection, spread and text."""

from __future__ import annotations

import inspect
import keyword
import os
import platform
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _storage, families, plot
from ._page import bullets, document, figure, prose, table
from ._version import __version__
from .prior import DEFAULT, Prior
from .selection import select
from .spread import category, matrices
from .text import NUMBERED, degrees


if TYPE_CHECKING:
    from .result import Fit
    from .selection import Selection
    from .standard_errors import StandardErrors

MOST_PARAMS = 150  # beyond, a table of errors is no reading matter, and a Hessian takes its time
MOST_CATEGORIES, RARE = 6, 0.005  # of a column in a cell of the table of clusters, and the least probable of them

MARKS = {
    "best": "the choice",
    "doubt": "?: of low trust, a better fit may well exist",
    "spike": "~: next to singular, never chosen",
}


def write(
    selection: Selection, path: str | os.PathLike[str], data: Any = None, weights: Any = None, labels: Any = None
) -> None:
    """Write the report of a selection, whole or not at all.

    Args:
        selection: What `jaxem.select` found.
        path: The HTML file.
        data: The rows, for pictures of the clusters and the errors of the parameters; they are drawn, and not kept.
        weights: Row weights (n,), if the selection had some.
        labels: Labels (n,), if the selection had some.
    """
    _storage.write_text(path, page(selection, data, weights, labels))


def page(selection: Selection, data: Any = None, weights: Any = None, labels: Any = None) -> str:
    """The report as HTML text: choice, trust, warnings, table, pictures, parameters, and the call that reproduces it."""
    ranking = selection.ranking()
    title = _choice(selection, ranking[0]) if ranking else "No fit can be chosen"
    parts = [f"<p>{prose(_data(selection))}</p>"]
    if ranking:
        parts += ["<h2>How far to trust it</h2>", f'<div class="trust">{bullets(selection.trust_report)}</div>']
    if selection.warnings:
        parts += ["<h2>Warnings</h2>", bullets(selection.warnings)]
    parts += [f"<h2>{selection.criterion.upper()} by family and number of components</h2>", _table(selection)]
    errors, why_none = _errors(ranking[0], data, weights, labels) if ranking else (None, "")
    parts += _pictures(selection, ranking[0] if ranking else None, data, errors)
    if ranking:
        parts += ["<h2>Parameters of the choice</h2>", _parameters(ranking[0])]
        parts += [_error_table(errors)] if errors is not None else [f"<p><small>{prose(why_none)}</small></p>"] * bool(why_none)
    parts += [
        "<h2>How to get this again</h2>",
        f"<pre>{prose(call(selection))}</pre>",
        *(f"<p><small>{prose(sentence)}</small></p>" for sentence in _own_families(selection)),
        f"<p><small>{_versions()}</small></p>",
    ]
    return document(title, parts, "46rem")


def call(selection: Selection) -> str:
    """The call of `jaxem.select` that gives this selection again; settings that it does not name are at their defaults.

    Families of the user's own are variables in it, for `select` knows them as objects only, and a selection does not keep these.
    """
    own = _variables(selection)
    tried_families = ", ".join(own.get(name, repr(name)) for name in dict.fromkeys(selection.table["family"]))
    components = sorted(set(selection.table["num_components"].tolist()))
    run = components == list(range(components[0], components[-1] + 1))
    tried = f"range({components[0]}, {components[-1] + 1})" if run else components
    seed = selection.seed[0] if len(selection.seed) == 1 else list(selection.seed)
    defaults = {name: parameter.default for name, parameter in inspect.signature(select).parameters.items()}
    words = [f"criterion={selection.criterion!r}"]
    named = {name: value for name, value in selection.settings.items() if name in defaults and value != defaults[name]}
    words += [f"{name}={_prior(value) if name == 'prior' else repr(value)}" for name, value in named.items()]
    if selection.settings.get("weighted"):
        words.append("weights=weights")
    words += [f"{name}={name}" for name in selection.settings.get("given", ())]
    return f"jaxem.select({', '.join(['data', f'[{tried_families}]', str(tried), *words, f'seed={seed}'])})"


def _variables(selection: Selection) -> dict[str, str]:
    """The variable that stands for each family of the user's own: its name, where that is one and has no other meaning in the call."""
    own = [name for name in dict.fromkeys(selection.table["family"]) if not families.known(name)]
    taken = {"jaxem", *inspect.signature(select).parameters}
    taken |= {f"family_{number}" for number in range(len(own))}
    able = [name.isidentifier() and not keyword.iskeyword(name) and name not in taken for name in own]
    return {name: name if plain else f"family_{number}" for number, (name, plain) in enumerate(zip(own, able, strict=True))}


def _own_families(selection: Selection) -> list[str]:
    """What the variables in the call are."""
    return [
        f"Here `{variable}` is your own family {name!r}: the object itself, with the same numbers, not its name."
        for name, variable in _variables(selection).items()
    ]


def _prior(told: dict[str, Any]) -> str:
    """The expression of a prior; fields that it does not name are at their defaults."""
    named = [f"{name}={value!r}" for name, value in told.items() if value != Prior().to_dict()[name]]
    return f"jaxem.Prior({', '.join(named)})" if named else repr(DEFAULT)


def _choice(selection: Selection, best: Fit) -> str:
    clusters = "cluster" if best.num_components == 1 else "clusters"
    value = getattr(best, selection.criterion)
    return f"{best.num_components} {clusters}: {best.family}, {selection.criterion.upper()} {value:.1f}"


def _data(selection: Selection) -> str:
    names = ", ".join(selection.columns[:12]) + (", …" if len(selection.columns) > 12 else "")
    return f"{selection.num_rows:g} rows, columns {names}; {len(selection.runs):,} runs of EM. Lower is better."


def _table(selection: Selection) -> str:
    """The criterion, one row a family and one column a number of components."""
    chosen = selection.ranking()[:1]
    components = sorted(set(selection.table["num_components"]))
    rows = {(row["family"], row["num_components"]): row for row in selection.table.to_dict(orient="records")}
    lines = ["<tr><th>K</th>" + "".join(f"<th>{k}</th>" for k in components) + "</tr>"]
    for family in dict.fromkeys(selection.table["family"]):
        cells = []
        for k in components:
            row = rows[family, k]
            best = bool(chosen) and (chosen[0].family, chosen[0].num_components) == (family, k)
            kind = "best" if best else "spike" if row["spurious"] else "doubt" if row["trust"] == "low" else ""
            value = row[selection.criterion]
            cells.append(
                f'<td class="{kind}">{value:.1f}</td>' if np.isfinite(value) else f'<td title="{prose(row["status"])}">–</td>'
            )
        lines.append(f"<tr><td>{prose(family)}</td>{''.join(cells)}</tr>")
    legend = "; ".join(["framed: the choice", *list(MARKS.values())[1:], "–: no fit"])
    return f"{table(lines)}<p><small>{legend}.</small></p>"


def _pictures(selection: Selection, best: Fit | None, data: Any, errors: StandardErrors | None) -> list[str]:
    out = []
    if len(selection.table) > 1:
        what = f"{selection.criterion.upper()} by number of components, one line a family"
        out.append(figure(plot.criteria(selection), what))
    if best is None:
        return out
    if data is not None:
        out.append(figure(plot.clusters(best, data), "The rows and the clusters of the choice"))
        if best.num_components > 1:
            out.append(figure(plot.uncertainty(best, data), "How sure the cluster of each row is"))
    if len(best.columns) > 2 or best.family == "categorical":
        out.append(figure(plot.profile(best, errors), "The clusters side by side"))
    if best.num_components > 1:
        what = "Where every run of the choice ended: was the best log-likelihood found more than once?"
        out.append(figure(plot.restarts(selection, best.family, best.num_components), what))
    return out


def _parameters(fit: Fit) -> str:
    """Share, rows and each column's mean, with its standard deviation where the family has one."""
    params = fit.params.asdict()
    if fit.family == "categorical":
        return _categories(fit)
    if not families.known(fit.family) or not {"means", "rates"} & set(params):  # what its parameters mean, its family knows
        return f"<pre>{prose(fit.params)}</pre>"
    means = params["means"] if "means" in params else params["rates"]
    own, dof = matrices(fit), params.get("dof")
    sds = None if own is None else np.sqrt(np.diagonal(own, axis1=1, axis2=2))
    titles = ["cluster", "share", "rows", *([] if dof is None else ["dof"]), *fit.columns]
    lines = ["<tr>" + "".join(f"<th>{prose(name)}</th>" for name in titles) + "</tr>"]
    for k, weight in enumerate(fit.params.weights):
        spread = [f" ± {sd:.3g}" for sd in sds[k]] if sds is not None else [""] * len(fit.columns)
        values = "".join(f"<td>{mean:.4g}{extra}</td>" for mean, extra in zip(means[k], spread, strict=True))
        tail = "" if dof is None else f"<td>{degrees(dof[k])}</td>"
        lines.append(f"<tr><td>{k + 1}</td><td>{weight:.2f}</td><td>{fit.sizes[k]:g}</td>{tail}{values}</tr>")
    note = "mean ± standard deviation within the cluster" if sds is not None else "expected count"
    if dof is not None:
        note = "centre ± scale of a t distribution with dof degrees of freedom"
    return f"{table(lines)}<p><small>{note}; {NUMBERED}.</small></p>{_covariances(fit)}"


def _categories(fit: Fit) -> str:
    """Share, rows and each column's most probable categories."""
    lines = ["<tr>" + "".join(f"<th>{prose(name)}</th>" for name in ("cluster", "share", "rows", *fit.columns)) + "</tr>"]
    for k, weight in enumerate(fit.params.weights):
        cells = ""
        for j, chance in enumerate(fit.params.probabilities[k]):
            likeliest = [c for c in np.argsort(-chance, kind="stable")[:MOST_CATEGORIES].tolist() if chance[c] >= RARE]
            cells += f"<td>{'<br>'.join(f'{prose(category(fit, j, c))} {chance[c]:.2f}' for c in likeliest)}</td>"
        lines.append(f"<tr><td>{k + 1}</td><td>{weight:.2f}</td><td>{fit.sizes[k]:g}</td>{cells}</tr>")
    note = f"the most probable categories, up to {MOST_CATEGORIES}, and their probabilities within the cluster"
    return f"{table(lines)}<p><small>{note}; {NUMBERED}.</small></p>"


def _errors(fit: Fit, data: Any, weights: Any, labels: Any) -> tuple[StandardErrors | None, str]:
    """Standard errors of the fit or, where there are none, the reason."""
    if data is None:
        return None, "Standard errors need the data: selection.report(path, data)."
    if fit.num_params > MOST_PARAMS:
        return None, f"{fit.num_params} parameters are too many for a table of errors; fit.standard_errors(data) computes them."
    try:
        return fit.standard_errors(data, weights=weights, labels=labels), ""
    except (RuntimeError, ValueError) as error:
        return None, f"There are no standard errors: {error}."


def _error_table(errors: StandardErrors) -> str:
    """Every parameter with its error and interval, folded up."""
    lines = ["<tr><th>parameter</th><th>cluster</th><th>columns</th><th>estimate</th><th>error</th><th>95 % interval</th></tr>"]
    for row in errors.table.to_dict(orient="records"):
        numbers = f"<td>{row['estimate']:.4g}</td><td>{row['standard_error']:.2g}</td>"
        interval = f"<td>{row['lower']:.4g} to {row['upper']:.4g}</td>"
        names = f"<td>{prose(row['parameter'])}</td><td>{row['component'] + 1}</td><td>{prose(row['columns'])}</td>"
        lines.append(f"<tr>{names}{numbers}{interval}</tr>")
    said = "".join(f"<p><small>{prose(sentence)}</small></p>" for sentence in errors.warnings)
    summary = "Standard errors and intervals of all parameters"
    note = "From the observed information; that the family and K are right is taken for granted."
    return f"<details><summary>{summary}</summary>{table(lines)}<p><small>{note}</small></p>{said}</details>"


def _covariances(fit: Fit) -> str:
    own = matrices(fit)
    if own is None:
        return ""
    name = "Covariances" if hasattr(fit.params, "covariances") else "Scatter matrices"
    text = "\n\n".join(f"cluster {k + 1}\n{np.array2string(matrix, precision=4)}" for k, matrix in enumerate(own))
    return f"<details><summary>{name}</summary><pre>{prose(text)}</pre></details>"


def _versions() -> str:
    import jax

    return f"jaxem {__version__}, JAX {jax.__version__}, NumPy {np.__version__}, Python {platform.python_version()}."
