"""`Selection`: what `select` found, and the questions that can be asked of it. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _storage, criteria
from .._version import __version__
from ..cell import SAME
from ..result import Fit
from .merging import MergeTree, merge


if TYPE_CHECKING:
    import pandas as pd

    from .stability import Stability
    from .validation import CrossValidation


TOO_FEW = "too few distinct rows"  # the status of a cell that was not to be searched ...
UNSEARCHED = "not searched"  # ... and of one that had no turn before Ctrl-C
RUN = (  # the columns of `Selection.runs`
    *("family", "num_components", "origin", "start", "restart", "round", "rows", "seed"),
    *("log_likelihood", "num_steps", "status", "finalist", "spurious"),
)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Selection:
    """The outcome of `select`: every fit, the choice, and how far it can be trusted. It holds no data.

    Attributes:
        fits: Every `Fit` by (family, num_components); cells without one are missing here and explained in `table`.
        cells: The rows of `table`, one a (family, num_components).
        lanes: The rows of `runs`, one a run, failed ones included.
        criterion: What was minimised: one of `jaxem.criteria.NAMES`.
        warnings: Sentences about the data and the fits.
        trust_report: Sentences: how far to trust the choice.
        doubts: The numbers behind these sentences: optimum, criteria, relative_entropy, least_sure, leads and, if asked for, stability.
        num_rows: Rows, or their total weight.
        columns: Names of the columns used.
        seed: Words of the seed.
        settings: How it was searched: keywords of `select`, by name, and whether there were weights.
        work: Steps × rows × components that were "useful", and that were "done" with all padding.

    Example:
        >>> import jaxem
        >>> sel = jaxem.select(jaxem.datasets.load("faithful"), ["EEE", "VVV"], range(1, 5))
        >>> sel.best.family, sel.best.num_components, sel["VVV", 2].num_params
        ('EEE', 3, 11)
        >>> sel.table.loc[sel.table["bic"].idxmin(), ["family", "trust"]].tolist()
        ['EEE', 'high']
    """

    fits: dict[tuple[str, int], Fit]
    cells: tuple[dict[str, Any], ...]
    lanes: tuple[dict[str, Any], ...]
    criterion: str
    warnings: tuple[str, ...]
    trust_report: tuple[str, ...]
    doubts: dict[str, Any]
    num_rows: float
    columns: tuple[str, ...]
    seed: tuple[int, ...]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    work: dict[str, int] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """A data frame with one row a (family, num_components).

        Columns: `family`, `num_components`; `log_likelihood` (nats), `num_params`; a column for each of `jaxem.criteria.NAMES`, lower
        is better; `status`; `relative_entropy` (1: all rows are sure of their component, 0: none is); `num_steps`; `replicated`,
        `improved`, `stable`, `trust`, `spurious`, `num_failed` as in `Fit`; `schwarz_weight` and `akaike_weight` (what BIC and AIC
        make of the cells as shares of belief; they sum to 1). NaN where there is no fit, and `status` says why.
        """
        import pandas as pd

        return pd.DataFrame(self.cells)

    @functools.cached_property
    def runs(self) -> pd.DataFrame:
        """A data frame with one row a run, failed ones included.

        Columns: `family`, `num_components`; `origin` (a start, a move, …), `start` (its kind, or the neighbour that was split or
        merged), `restart` and `round` (its numbers), `rows` ("all", or "subsample": many rows are searched on some of them, and the
        best runs go on with all, as runs whose origin is "all rows"), `seed`; `log_likelihood` (nats, of the rows it saw: that of a
        subsample compares with others of the subsample only), `num_steps`, `status`; `finalist` (went on after the first stage),
        `spurious`.
        """
        import pandas as pd

        return pd.DataFrame(self.lanes, columns=list(RUN))

    @property
    def best(self) -> Fit:
        """The chosen fit: the lowest criterion among fits that are not spurious.

        Raises:
            RuntimeError: if there is none.
        """
        return self.best_by(self.criterion)

    def best_by(self, criterion: str) -> Fit:
        """The fit that another criterion chooses.

        Args:
            criterion: One of `jaxem.criteria.NAMES`: "aic", "aicc", "bic", "caic", "sabic", "hqic", "icl", "clc", "nec", "slope",
                "sbic".
        Raises:
            ValueError: for an unknown criterion.
            RuntimeError: if no fit can be chosen.
        """
        criterion = check_criterion(criterion)
        ranking = self.ranking(criterion)
        if not ranking:
            if self.ranking("bic"):
                raise RuntimeError(unknown(criterion))
            reasons = "; ".join(sorted({row["status"] for row in self.cells}))
            raise RuntimeError(f"no fit can be chosen ({reasons}); allow fewer components or shared covariances")
        return ranking[0]

    def ranking(self, criterion: str | None = None) -> list[Fit]:
        """All fits that can be chosen, best first, and none twice: structures that differ in nothing for K = 1 count as one."""
        criterion = check_criterion(self.criterion if criterion is None else criterion)
        able = [fit for fit in self.fits.values() if not fit.spurious and not fit.status.failed]
        able = [fit for fit in able if np.isfinite(getattr(fit, criterion))]  # AICc of too few rows is infinite
        able = [fit for number, fit in enumerate(able) if not any(same_model(fit, other) for other in able[:number])]
        return sorted(able, key=lambda fit: getattr(fit, criterion))

    def __getitem__(self, key: tuple[str, int]) -> Fit:
        """The fit of one (family, num_components).

        Raises:
            KeyError: if it was not asked for or has no fit, with the reason.
        """
        if not (isinstance(key, tuple) and len(key) == 2):
            raise KeyError(
                f"a fit goes by (family, num_components), such as {next(iter(self.fits), ('VVV', 2))!r}; got {key!r}"
            )
        if key in self.fits:
            return self.fits[key]
        rows = [row for row in self.cells if (row["family"], row["num_components"]) == key]
        why = f"it has no fit: {rows[0]['status']}" if rows else f"there are {sorted({name for name, _ in self.fits})}"
        raise KeyError(f"no fit for {key!r}; {why}")

    def __repr__(self) -> str:
        if not self.ranking():
            return "Selection(best=None)"
        best = self.best
        value = getattr(best, self.criterion)
        return f"Selection(best={best.family!r}, num_components={best.num_components}, {self.criterion}={value:.4f})"

    def __str__(self) -> str:
        from .text import of_selection

        return of_selection(self)

    def cross_validate(
        self, data: Any, folds: int = 10, *, weights: Any = None, labels: Any = None, num_restarts: int = 5, seed: Any = 0
    ) -> CrossValidation:
        """Score every cell by the log-density of rows it was not fitted to.

        Each fold is a lane with weight 0 for the rows it leaves out; EM begins at the fit to all rows and at random starts.

        Args:
            data: The rows of the selection (it holds no data).
            folds: Into how many parts of equal size the rows are cut, at random.
            weights: Row weights (n,), if the selection had some.
            labels: Labels (n,), if the selection had some: scores are then log-densities of rows and labels.
            num_restarts: Random starts for each cell and fold.
            seed: An int or a JAX key.
        Returns:
            A `CrossValidation`: `.table`, `.best` and `.one_standard_error`.
        Raises:
            ValueError: for bad values, or other data than the selection was made from.
            RuntimeError: if no cell has a fit in every fold.
        References:
            Smyth 2000, Statistics and Computing 10; the one-standard-error rule: Breiman et al. 1984, CART, sec. 3.4.3.
        """
        from .validation import cross_validate

        return cross_validate(self, data, folds, weights, labels, num_restarts, seed)

    def stability(
        self,
        data: Any,
        num_resamples: int = 200,
        *,
        weights: Any = None,
        labels: Any = None,
        num_restarts: int = 2,
        fraction: float = 0.8,
        seed: Any = 0,
    ) -> Stability:
        """Make the whole choice again on parts of the rows.

        Parts are drawn without replacement: repeated rows, as a bootstrap has them, look like clusters and raise K. They tell how
        far the choice hangs on single rows, not how often fresh data would choose the same: a part of m of n rows varies about the
        whole with (n − m)/m of the variance that n fresh rows have about the truth, a quarter where the fraction is 0.8. At 0.5 it is
        all of it, but half the rows may carry fewer components.

        Args:
            data: The rows of the selection (it holds no data).
            num_resamples: How many parts.
            weights: Row weights (n,), if the selection had some.
            labels: Labels (n,), if the selection had some; rows keep theirs.
            num_restarts: Random starts for each cell and part, beside the fit to all rows.
            fraction: Share of the rows in each part.
            seed: An int or a JAX key.
        Returns:
            A `Stability`: `.table` (how often each cell wins), `.agreement` (adjusted Rand index with the choice) and
            `.coclustering()`.
        Raises:
            ValueError: for bad values, or other data than the selection was made from.
            RuntimeError: if some part has no usable fit.
        References:
            Ben-Hur, Elisseeff & Guyon 2002, Pacific Symposium on Biocomputing 7; co-clustering: Monti, Tamayo, Mesirov & Golub
            2003, Machine Learning 52.
        """
        from .stability import stability

        return stability(self, data, num_resamples, weights, labels, num_restarts, fraction, seed)

    def merge(self, data: Any, *, weights: Any = None, labels: Any = None) -> MergeTree:
        """Join the choice's components into clusters, for their number need not be that of clusters; see `jaxem.selection.merge`."""
        return merge(self.best, data, weights, labels)

    def plot(self, ax: Any = None) -> Any:
        """Draw the criterion by number of components and family; see `jaxem.plot.criteria`."""
        from ..plot import criteria as draw

        return draw(self, ax=ax)

    def report(self, path: str | os.PathLike[str], data: Any = None, weights: Any = None, labels: Any = None) -> None:
        """Write one self-contained page of HTML; see `jaxem.report.write`.

        Args:
            path: The file, written whole or not at all.
            data: The rows, for pictures of the clusters and for the errors of the parameters.
            weights: Row weights (n,), if the selection had some.
            labels: Labels (n,), if the selection had some.
        """
        from ..report import write

        write(self, path, data, weights, labels)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, as `to_json` writes them; "best" is None where no fit can be chosen."""
        ranking = self.ranking()
        return {
            "best": _describe(ranking[0]) if ranking else None,
            "criterion": self.criterion,
            "table": _plain(self.cells),
            "trust_report": list(self.trust_report),
            "doubts": _plain(self.doubts),
            "warnings": list(self.warnings),
            "data": {"num_rows": self.num_rows, "columns": list(self.columns)},
            "seed": self.seed[0] if len(self.seed) == 1 else list(self.seed),
            "settings": self.settings,
            "work": self.work,
            "version": __version__,
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The selection as JSON text; written to `path` too, whole or not at all, if one is given."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        if path is not None:
            _storage.write_text(path, text + "\n")
        return text


def _describe(fit: Fit) -> dict[str, Any]:
    """A fit as JSON values."""
    names = ("family", "num_components", "log_likelihood", "num_params", *criteria.NAMES, "relative_entropy", "trust")
    return {
        **_plain({name: getattr(fit, name) for name in names}),
        "status": fit.status.name.lower(),
        "params": {name: array.tolist() for name, array in fit.params.asdict().items()},
        "sizes": fit.sizes.tolist(),
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it, whatever is in it: what is not finite is null."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during `select`; what had been finished by then is in `selection`.

    Attributes:
        selection: A `Selection` of the fits that the phases before the interrupted one have found; there may be none.
    """

    def __init__(self, selection: Selection):
        super().__init__("interrupted")
        self.selection = selection


def same_model(a: Fit, b: Fit) -> bool:
    """Whether two fits are one model under two names: of one component, with as many parameters, and the same maximum."""
    alike = a.num_components == b.num_components == 1 and a.num_params == b.num_params
    return a is b or (alike and abs(a.log_likelihood - b.log_likelihood) <= SAME)


def unknown(criterion: str) -> str:
    """Why no fit can be chosen by a criterion, though there are fits."""
    needs = {
        "aicc": "two rows more than a model has parameters",
        "nec": "a sound fit of one component",
        "sbic": "weights that may differ, and sound fits of every number of components from 1 on",
        "slope": "six sizes of models or more",
    }
    why = f": it needs {needs[criterion]}" if criterion in needs else ""
    return f"{criterion!r} is not known for any fit{why}; choose another criterion"


def check_criterion(criterion: str) -> str:
    """The name of a criterion, in whatever case it was written.

    Raises:
        ValueError: if it is unknown.
    """
    name = criterion.lower() if isinstance(criterion, str) else criterion
    if name not in criteria.NAMES:
        raise ValueError(f"criterion must be one of {', '.join(map(repr, criteria.NAMES))}, got {criterion!r}")
    return name
