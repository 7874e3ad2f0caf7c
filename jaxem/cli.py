"""The command `jaxem`: a file in, a report or JSON out. Calls the public face; imports layer 6 and typer, and what is heavy when it runs.

Exit status: 0 done, 1 it ran and could not answer, 2 bad input or usage, 130 interrupted. Every foreseeable mishap is one
sentence on stderr; the environment variable JAXEM_TRACEBACK asks for the traceback too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import textwrap
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _bayesian, _process, io
from ._answer import Output, Tables, answer, listed, numbers
from ._version import __version__
from ._words import (
    Array,
    Believed,
    Cache,
    Columns,
    Equal,
    File,
    Json,
    Labels,
    Moves,
    Noise,
    Out,
    Quiet,
    Report,
    Resamples,
    Restarts,
    Seed,
    Weights,
    completing,
    examples,
)


DONE, NO_ANSWER, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
USAGE_ERROR: Any = typer.BadParameter.__base__  # click's, which typer may or may not carry inside itself
if TYPE_CHECKING:
    from typer import Context
else:
    Context = typer.Context.__base__  # click's too: what a command is called with


app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=examples(
        "jaxem select table.csv                     which model, and how many clusters",
        "jaxem fit table.csv --components 3 --out result",
        "jaxem predict result/model.npz other.csv   the cluster of each row",
        "jaxem datasets faithful --out table.csv    something to try it on",
    ),
)


@app.callback(invoke_without_command=True)
def top(context: Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """How many clusters, and how far can the answer be trusted?

    Mixture models by EM, from many starts at once. Each command says more: jaxem select --help.
    """
    if version:
        typer.echo(f"jaxem {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(
    epilog=examples(
        "jaxem select table.csv",
        "jaxem select table.csv --columns height,weight --components 1:4",
        "jaxem select table.csv --family VVV,EEE --out result --report report.html",
        "jaxem select counts.tsv --family poisson --criterion icl",
        "jaxem select answers.csv --family categorical   latent classes, by name",
        "jaxem select table.csv --json | jq .best.num_components",
        "zcat table.csv.gz | jaxem select - --quiet",
    )
)
def select(
    file: File,
    columns: Columns = None,
    array: Array = None,
    family: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="gaussian or student (t components; all structures), poisson, categorical, or codes: VVV,tEEE.",
            autocompletion=completing("families:names"),
        ),
    ] = "gaussian",
    components: Annotated[str, typer.Option(metavar="K", help="Numbers of clusters to try: 1:9, or 2,3,5.")] = "1:9",
    criterion: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What to minimise: bic, icl, aic, sbic, slope, …", autocompletion=completing("criteria:NAMES")
        ),
    ] = "bic",
    restarts: Restarts = 20,
    seed: Seed = 0,
    moves: Moves = True,
    resamples: Resamples = 0,
    weights: Weights = None,
    labels: Labels = None,
    noise: Noise = False,
    equal_weights: Equal = False,
    prior: Believed = None,
    out: Out = None,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
    cache: Cache = True,
) -> None:
    """Choose the family and the number of clusters.

    Every family with every K is fitted from many starts; the lowest BIC wins, and the report says how far to trust that.
    """
    asked = {"families": listed(family), "num_components": numbers(components), "criterion": criterion}
    asked |= {"num_resamples": resamples}
    tables = Tables(file, array, columns, weights, labels)
    asked |= {"noise": noise, "equal_weights": equal_weights, "prior": prior}
    answer(tables, Output(out, report, as_json, quiet), cache, num_restarts=restarts, seed=seed, moves=moves, **asked)


@app.command(
    epilog=examples("jaxem fit table.csv --components 3", "jaxem fit table.csv --family EEE --components 3 --out result")
)
def fit(
    file: File,
    components: Annotated[int, typer.Option(metavar="K", min=1, help="The number of clusters.")],
    columns: Columns = None,
    array: Array = None,
    family: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="One family: VVV, EEE, …, tVVV (t components), …, poisson, or categorical.",
            autocompletion=completing("families:names"),
        ),
    ] = "VVV",
    restarts: Restarts = 20,
    seed: Seed = 0,
    moves: Moves = True,
    weights: Weights = None,
    labels: Labels = None,
    noise: Noise = False,
    equal_weights: Equal = False,
    prior: Believed = None,
    out: Out = None,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
    cache: Cache = True,
) -> None:
    """Fit one family with one number of clusters."""
    if len(listed(family)) != 1 or family.lower() in ("gaussian", "student"):
        raise ValueError(f"fit takes one family, such as VVV or poisson, got {family!r}; use jaxem select to compare several")
    asked = {"families": listed(family), "num_components": [components]}
    tables = Tables(file, array, columns, weights, labels)
    asked |= {"noise": noise, "equal_weights": equal_weights, "prior": prior}
    answer(tables, Output(out, report, as_json, quiet), cache, num_restarts=restarts, seed=seed, moves=moves, **asked)


@app.command(
    epilog=examples(
        "jaxem predict result/model.npz table.csv",
        "jaxem predict result/model.npz other.parquet --out clusters.parquet",
        "jaxem predict result/model.npz table.csv --quiet | sort | uniq -c",
    )
)
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model that select or fit wrote: .npz or .json.")],
    file: File,
    array: Array = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write, CSV or .parquet; standard output without it.")
    ] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the cluster of each row, and nothing else.")] = False,
    cache: Cache = True,
) -> None:
    """Give every row its cluster, with probabilities.

    The table is written with more columns: the cluster, numbered as in the report (1 has the largest share, unless --labels said
    otherwise; 0 is noise), and the probability of every cluster.
    """
    with io.folder(out.parent if out else None):
        _process.keep_compiled(cache)
        from .saving import load

        fitted = load(model)
        name, frame = io.read_table(file, array, fitted.columns)
        advice, names = "leave a cell empty where it is missing", bool(fitted.categories)
        resp = fitted.predict_proba(io.numeric(name, frame, fitted.columns, advice=advice, names=names))
        table = io.with_clusters(name, frame, resp, fitted.num_components)
        if out:
            io.write_table(table, out)
        if as_json:
            typer.echo(json.dumps({"cluster": table["cluster"].tolist(), "probability": resp.tolist(), "version": __version__}))
        elif quiet:
            typer.echo("\n".join(map(str, table["cluster"])))
        elif not out:
            typer.echo(io.as_csv(table), nl=False)


app.command("posterior", epilog=examples("jaxem posterior table.csv", "jaxem posterior table.csv --sampler nuts"))(
    _bayesian.posterior
)
app.command("compare", epilog=examples("jaxem compare table.csv", "jaxem compare table.csv --out result"))(_bayesian.compare)


@app.command(epilog=examples("jaxem datasets", "jaxem datasets faithful", "jaxem datasets faithful --out faithful.csv"))
def datasets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="One of the data sets.", show_default=False, autocompletion=completing("datasets:names")
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to copy it.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the names, and nothing else.")] = False,
) -> None:
    """List the data that come with jaxem, describe one, or copy it."""
    from . import datasets as shipped
    from ._storage import write_text

    if out:
        if name is None:
            raise ValueError("--out needs the name of a data set")
        with io.folder(out.parent):
            write_text(out, shipped.path(name).read_text(encoding="utf-8"))
        return
    known = [shipped.describe(each) for each in (shipped.names() if name is None else [name])]
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in known], indent=2))
        return
    for each in known:
        if quiet:
            typer.echo(each.name)
            continue
        typer.echo(f"{each.name}: {each.num_rows} rows; {', '.join(each.columns)}")
        said = [each.about] if name is None else [each.about, f"From: {each.source}.", f"Cite: {each.reference}"]
        for sentence in said:
            typer.echo(textwrap.fill(sentence, 80, initial_indent="  ", subsequent_indent="    "))


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The words after the command's name; None for those of the process, which then ends with the command.
    Returns:
        The exit status.
    """
    if arguments is None:
        _process.collect_rarely()
        _process.redeliver_lost_interrupts()
        _process.leave(_run(None))
    return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    """The command, and its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no ± gets a question mark, not a traceback
    try:
        status = app(arguments, prog_name="jaxem", standalone_mode=False) or DONE
        sys.stdout.flush()
        if status == INTERRUPTED:  # typer may turn Ctrl-C into a status by itself
            raise KeyboardInterrupt
        return status
    except BrokenPipeError:  # the reader has seen enough; keep Python from complaining when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_ANSWER
    except (KeyboardInterrupt, typer.Abort, USAGE_ERROR, OSError, ValueError, RuntimeError) as error:
        if os.environ.get("JAXEM_TRACEBACK"):
            raise
        status, sentence = _mishap(error)
        typer.echo(f"jaxem: {sentence}", err=True)
        return status


def _mishap(error: Any) -> tuple[int, str]:
    """The exit status and the sentence for a mishap."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED, "interrupted"
    if isinstance(error, USAGE_ERROR):
        command = error.ctx.command_path if error.ctx else "jaxem"
        said = error.format_message().rstrip(".")
        return BAD_INPUT, f"{said} See {command} --help" if said.endswith("?") else f"{said}; see {command} --help"
    if isinstance(error, OSError) and error.strerror:
        return BAD_INPUT, f"{error.strerror}: {error.filename}"
    return BAD_INPUT if isinstance(error, OSError | ValueError) else NO_ANSWER, str(error)
