"""EM beside MCMC on the same model and the same rows: one table, one block of scalars, five figures. Imports posterior, selection, text."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _storage
from ..selection.stability import adjusted_rand
from ..text import NORMAL
from .posterior import Posterior


if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ..result import Fit

MOST_ROWS = 1000  # rows, evenly spaced, that co-clustering matrices are compared and drawn on


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """What EM and MCMC say of one mixture.

    Attributes:
        fit: The `Fit`.
        posterior: The `Posterior`.
        table: A data frame with one row a free parameter: `estimate` and `standard_error` (EM), `mean`, `sd`, `low`, `high` (of the
            posterior, 95 %), `z`, the difference of mean and estimate in posterior sds, `sd_ratio` (posterior over EM), `r_hat`,
            `ess_bulk`. Degrees of freedom without end have neither an error nor a `z`. Empty where component-wise summaries mean nothing.
        scalars: Numbers by name: likelihood, effective dimension, predictive criteria, agreement of the partitions, work.
        warnings: Sentences, to be read first.
        by_k: A table with a column `num_components` and one or more criteria, or None.
    """

    fit: Fit
    posterior: Posterior
    table: pd.DataFrame
    scalars: dict[str, float]
    warnings: tuple[str, ...]
    by_k: Any = None

    def figures(self) -> dict[str, Axes]:
        """Every picture that there is, by name: forest, log_likelihood, contours, coclustering, and by_k where criteria were given."""
        from . import figures

        drawn = {"forest": figures.forest} if len(self.table) else {}
        drawn |= {"log_likelihood": figures.log_likelihood, "contours": figures.contours, "coclustering": figures.coclustering}
        drawn |= {"by_k": figures.by_k} if self.by_k is not None else {}
        return {name: draw(self) for name, draw in drawn.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings."""
        return {
            "family": self.fit.family,
            "num_components": self.fit.num_components,
            "sampler": self.posterior.sampler,
            "warnings": list(self.warnings),
            "notes": list(self.posterior.notes),
            "table": [{"parameter": name, **row} for name, row in plain(self.table).items()],
            "scalars": {name: value if np.isfinite(value) else None for name, value in self.scalars.items()},
            "starts": self.posterior.starts.to_dict(orient="records"),
        }

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one self-contained page of HTML, whole or not at all.

        Args:
            path: The HTML file.
        """
        from .page import comparison

        _storage.write_text(path, comparison(self))

    def __repr__(self) -> str:
        return f"Comparison({self.fit!r}, {self.posterior!r})"

    def __str__(self) -> str:
        from .text import comparison

        return comparison(self)


def compare_em_mcmc(fit: Fit, posterior: Posterior, *, heldout: Any = None, by_k: Any = None) -> Comparison:
    """Set a fit by EM beside draws from its posterior.

    Args:
        fit: The fit that the posterior started from.
        posterior: What `fit.posterior(data)` returned.
        heldout: Rows that neither has seen, for their predictive densities: the fit's, and the average over draws.
        by_k: A `Selection`, or anything with a `.table` that has `num_components` and criteria, for the picture of K.
    Raises:
        TypeError: if these are not a fit and a posterior.
        ValueError: if the posterior is one of another fit, or has too few draws for PSIS-LOO.

    Example:
        >>> import jaxem
        >>> counts = jaxem.datasets.load("earthquakes")[["count"]]
        >>> fit = jaxem.fit(counts, "poisson", 2)
        >>> both = jaxem.bayes.compare_em_mcmc(fit, fit.posterior(counts, num_samples=500))
        >>> both.table["z"].abs().max() < 0.5
        np.True_
    """
    if not hasattr(fit, "params") or not isinstance(posterior, Posterior):
        raise TypeError(
            f"compare_em_mcmc takes a Fit and its Posterior, got {type(fit).__name__} and {type(posterior).__name__}"
        )
    own = posterior.fit
    if own is not fit and not (own.family == fit.family and np.array_equal(own.params.weights, fit.params.weights)):
        raise ValueError(f"the posterior was started from another fit ({own!r}); give that one, or call fit.posterior(data)")
    warnings = list(posterior.warnings)
    if posterior.standard_errors is None:
        warnings.append("EM's standard errors do not exist: the information matrix at the fit is singular.")
    table = _table(posterior)
    scalars = _likelihood(posterior) | _prediction(posterior, heldout) | _partitions(posterior) | _work(posterior, table)
    shown = by_k.table if hasattr(by_k, "table") else by_k
    return Comparison(fit, posterior, table, scalars, tuple(warnings), shown)


def plain(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Rows of JSON values by name: what is not finite is None."""
    return {
        str(name): {
            str(key): float(value) if np.isfinite(value) else None for key, value in row.items() if not isinstance(value, str)
        }
        for name, row in table.to_dict(orient="index").items()
    }


def _table(post: Posterior) -> pd.DataFrame:
    import pandas as pd

    if post.meaningless:
        return pd.DataFrame()
    table = post.summary().drop(columns=["mcse_mean", "ess_tail", "warning"], errors="ignore")
    errors: dict[str, tuple[float, float]] = {}
    if post.standard_errors is not None:
        for row in post.standard_errors.table.itertuples():
            place = ", ".join(filter(None, [str(row.component), str(row.columns)]))
            errors[f"{row.parameter}[{place}]"] = (float(row.estimate), float(row.standard_error))  # type: ignore[arg-type]
    estimates = _estimates(post)
    table.insert(0, "estimate", [estimates[name] for name in table.index])
    table.insert(1, "standard_error", [errors.get(str(name), (0.0, np.nan))[1] for name in table.index])
    table.insert(6, "z", (table["mean"] - table["estimate"]) / table["sd"])
    table.insert(7, "sd_ratio", table["sd"] / table["standard_error"])
    table.loc[np.isinf(table["estimate"]), ["standard_error", "z", "sd_ratio"]] = np.nan
    table.loc[table["standard_error"] == 0, "sd_ratio"] = (
        np.nan
    )  # an estimate at the end of its range has no error to compare with
    return table


def _estimates(post: Posterior) -> dict[str, float]:
    """The fit's params by the posterior's labels; degrees of freedom that stand for a Gaussian component are infinite."""
    params = {name: array[None, None] for name, array in post.fit.params.asdict().items()}
    if "dof" in params:
        params["dof"] = np.where(params["dof"] < NORMAL, params["dof"], np.inf)
    return {name: float(number[0, 0]) for name, number in post.labelled(params).items()}


def _likelihood(post: Posterior) -> dict[str, float]:
    total = post.log_likelihood.sum(-1)
    return {
        "log-likelihood at the optimum": post.fit.log_likelihood,
        "log-likelihood, mean over draws": float(total.mean()),
        "log-likelihood, sd over draws": float(total.std()),
        "log-likelihood, largest of all draws": float(total.max()),
        "effective dimension, 2(max - mean)": 2 * (post.fit.log_likelihood - float(total.mean())),
        "free parameters": float(post.fit.num_params),
    }


def _prediction(post: Posterior, heldout: Any) -> dict[str, float]:
    loo, waic = post.loo(), post.waic()
    out = {
        "elpd by LOO": loo["elpd"],
        "elpd by LOO, standard error": loo["se"],
        "effective parameters by LOO": loo["p"],
        "largest Pareto k of LOO": float(loo["pareto_k"].max()),
        "elpd by WAIC": waic["elpd"],
        "-AIC/2": -post.fit.aic / 2,
        "-BIC/2": -post.fit.bic / 2,
    }
    if heldout is not None:
        out["held-out log-density, EM"] = float(post.fit.log_prob(heldout).sum())
        out["held-out log-density, posterior"] = float(post.log_prob(heldout).sum())
    return out


def _partitions(post: Posterior) -> dict[str, float]:
    em, rows = post.responsibilities, some_rows(len(post.responsibilities))
    ours = post.probabilities[:, :, rows]
    both = em[rows] @ em[rows].T, dataclasses.replace(post, probabilities=ours).coclustering()
    apart = [matrix[~np.eye(len(rows), dtype=bool)] for matrix in both]
    out = {"co-clustering, root mean square difference": float(np.sqrt(np.mean((apart[0] - apart[1]) ** 2)))}
    if not post.meaningless:
        mean = post.probabilities.mean((0, 1), dtype=np.float64)
        out["adjusted Rand index of the partitions"] = adjusted_rand(em.argmax(1), mean.argmax(1), np.ones(len(em)))
        out["responsibilities, mean absolute difference"] = float(np.abs(em - mean).mean())
    return out


def _work(post: Posterior, table: pd.DataFrame) -> dict[str, float]:
    running, compiling = post.seconds["running"], post.seconds["compiling"]
    out = {} if post.fit.seconds is None else {"seconds of EM, its whole search": post.fit.seconds}
    out |= {
        "seconds of the sampler, cold": running + compiling,
        "seconds of the sampler, warm": running,
        "divergent draws": float(post.num_divergent),
        "share of draws renamed": post.switched,
        "share of draws without a naming": post.non_permutations,
    }
    if len(table):
        out["effective draws a second, warm"] = float(table["ess_bulk"].min()) / running
    return out


def some_rows(num_rows: int) -> np.ndarray:
    """Numbers of up to `MOST_ROWS` rows, evenly spaced."""
    return np.unique(np.linspace(0, num_rows - 1, min(num_rows, MOST_ROWS)).round().astype(int))
