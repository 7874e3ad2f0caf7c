"""The commands `posterior` and `compare`: a file in, a report or JSON out. Imports layer 6 and typer; the public face when they run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _process, io
from ._answer import Tables, listed, numbers
from ._version import __version__
from ._words import Array, Cache, Columns, Json, Quiet, Seed


if TYPE_CHECKING:
    from .bayes import Comparison, Posterior
    from .selection import Selection

File = Annotated[str, typer.Argument(metavar="FILE", help="A table as for jaxem select; - is standard input.")]
Family = Annotated[
    str,
    typer.Option(
        metavar="NAMES", help="gaussian or student (structures with a conjugate prior), poisson, categorical, or codes."
    ),
]
Components = Annotated[str, typer.Option(metavar="K", help="The number of clusters, or numbers to choose from by BIC: 1:9.")]
Sampler = Annotated[str, typer.Option(metavar="NAME", help="auto, gibbs, nuts or laplace.")]
Prior = Annotated[str, typer.Option(metavar="NAME", help="weak, fraley-raftery or richardson-green.")]
Chains = Annotated[int, typer.Option(metavar="N", min=1, help="Chains, side by side.")]
Warmup = Annotated[int, typer.Option(metavar="N", min=1, help="Steps of each chain before the draws that are kept.")]
Samples = Annotated[int, typer.Option(metavar="N", min=4, help="Draws kept of each chain.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="A folder for the model, the draws, tables and pictures.")]


def _command(tell: Callable[[Selection, Posterior, Path | None, bool, bool], str]) -> Callable[..., None]:
    """A command that reads, selects, samples and says what `tell` makes of it; its options are those of both commands."""

    def run(
        file: File,
        columns: Columns = None,
        array: Array = None,
        family: Family = "gaussian",
        components: Components = "1:9",
        sampler: Sampler = "auto",
        prior: Prior = "weak",
        chains: Chains = 4,
        warmup: Warmup = 500,
        samples: Samples = 1000,
        seed: Seed = 0,
        out: Out = None,
        as_json: Json = False,
        quiet: Quiet = False,
        cache: Cache = True,
    ) -> None:
        with io.folder(out):
            lengths = {"num_chains": chains, "num_warmup": warmup, "num_samples": samples}
            tables = Tables(file, array, columns, None)
            selection, post = _sampled(tables, family, components, seed, cache, sampler=sampler, prior=prior, **lengths)
            if out:
                _write(post, out)
            typer.echo(tell(selection, post, out, as_json, quiet), nl=as_json or quiet)
        if post.meaningless:
            raise RuntimeError(post.meaningless)

    run.__doc__ = tell.__doc__
    return run


@_command
def posterior(selection: Selection, post: Posterior, out: Path | None, as_json: bool, quiet: bool) -> str:
    """How uncertain are the clusters? Draws from the posterior, begun at the fit by EM.

    The family and the number of clusters are chosen by BIC from those allowed. What is wrong with the draws is said first.
    """
    if as_json:
        return _as_json(selection, {"posterior": _described(post)})
    return _in_a_line(selection, post, post.warnings) if quiet else _numbered(post, str(post))


@_command
def compare(selection: Selection, post: Posterior, out: Path | None, as_json: bool, quiet: bool) -> str:
    """Do EM and MCMC agree? Estimates and standard errors beside posterior means, sds and intervals.

    The family and the number of clusters are chosen by BIC from those allowed. With --out, a page with pictures.
    """
    from .bayes import compare_em_mcmc

    both = compare_em_mcmc(post.fit, post, by_k=selection if len(selection.table) > 1 else None)
    if out:
        _write_comparison(both, out)
    if as_json:
        return _as_json(selection, {"comparison": both.to_dict()})
    return _in_a_line(selection, post, both.warnings) if quiet else _numbered(post, str(both))


def _in_a_line(selection: Selection, post: Posterior, warnings: tuple[str, ...]) -> str:
    """The choice, how it was sampled, and what is wrong with the draws: a line still, for that is never left out."""
    from .selection.text import choice
    from .text import many

    drawn = f"{many(post.num_chains, 'chain')} of {many(post.num_samples, 'draw')} by {post.sampler}"
    return f"{choice(selection)} {drawn}{': ' if warnings else ', no warnings.'}{' '.join(warnings)}"


def _numbered(post: Posterior, told: str) -> str:
    """What is told, and how its components are called by the other commands."""
    return told if post.meaningless else f"{told}\nComponents are numbered as in Python: [0] is cluster 1 of jaxem predict.\n"


def _sampled(tables: Tables, family: str, components: str, seed: int, cache: bool, **asked: Any) -> tuple[Selection, Posterior]:
    """What both commands share: read, select, sample."""
    from .families import nominal

    _, frame, *_ = tables.read(names=nominal(listed(family)))
    _process.keep_compiled(cache)
    from .bayes.gaussian import SHAPES
    from .selection import select

    known = [code for code in SHAPES if (len(code) == 1) == (frame.shape[1] == 1)]
    groups = {"gaussian": known, "student": [f"t{code}" for code in known]}
    families = [one for name in listed(family) for one in groups.get(name.lower(), [name])]
    selection = select(frame, families, numbers(components), seed=seed)
    return selection, selection.best.posterior(frame, seed=seed, **asked)


def _described(post: Posterior) -> dict[str, Any]:
    """A posterior as JSON values, warnings first."""
    from .bayes.compare import plain

    tables = {"label_free": plain(post.label_free())} | ({} if post.meaningless else {"components": plain(post.summary())})
    lengths = {"sampler": post.sampler, "num_chains": post.num_chains, "num_samples": post.num_samples}
    starts = post.starts.to_dict(orient="records")
    return {"warnings": list(post.warnings), "notes": list(post.notes), **lengths, "starts": starts, **tables}


def _as_json(selection: Selection, answer: dict[str, Any]) -> str:
    told = selection.to_dict()
    kept = {name: told[name] for name in ("best", "data", "warnings", "seed")}
    return json.dumps({**kept, **answer, "version": __version__}, indent=2, allow_nan=False)


def _write(post: Posterior, path: Path) -> None:
    """The model, the draws and the tables, each whole or not at all."""
    from ._storage import atomic, write_arrays

    post.fit.save(path / "model.npz")
    header = {
        "format": "jaxem.draws",
        "sampler": post.sampler,
        "columns": list(post.fit.columns),
        "categories": post.fit.categories,
        "warnings": list(post.warnings),
    }
    write_arrays(path / "draws.npz", header, post.draws)
    with atomic(path / "label_free.csv") as temporary:
        post.label_free().to_csv(temporary)
    if not post.meaningless:
        with atomic(path / "components.csv") as temporary:
            post.summary().to_csv(temporary)


def _write_comparison(both: Comparison, path: Path) -> None:
    from ._storage import atomic

    both.report(path / "comparison.html")
    with atomic(path / "comparison.csv") as temporary:
        both.table.to_csv(temporary)
    for name, ax in both.figures().items():
        with atomic(path / f"{name}.png") as temporary:
            ax.figure.savefig(temporary, format="png")  # type: ignore[union-attr]
