"""All that is asked of ArviZ, in one place: containers, R-hat, ESS, PSIS-LOO. Imports NumPy only; ArviZ and pandas when they are needed.

ArviZ 0.2x and 1.x differ in how containers are made and in the names of results; nothing outside this module knows.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    import pandas as pd

RHAT_MAX = 1.01
ESS_MIN = 400.0
PROB = 0.95  # of intervals, where nothing else is asked for
FEWEST = 4  # draws of a chain: R-hat splits it in two, and needs two draws in each half
WAIC_VARIANCE_MAX = 0.4  # Vehtari, Gelman & Gabry 2017, Statistics and Computing 27: above it a row's WAIC is not to be trusted


def arviz() -> Any:
    """The module; importing it takes seconds, and says things that are of no use here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz

    return arviz


def to_arviz(
    posterior: dict[str, Any],
    log_likelihood: dict[str, Any] | None = None,
    sample_stats: dict[str, Any] | None = None,
    *,
    dims: dict[str, list[str]] | None = None,
    coords: dict[str, Any] | None = None,
) -> Any:
    """Draws as ArviZ keeps them: InferenceData in ArviZ 0.x, DataTree in 1.x.

    Args:
        posterior: Draws by name, each (chains, draws, …).
        log_likelihood: Log-likelihoods of rows by name, each (chains, draws, n).
        sample_stats: Numbers of the sampler by name, each (chains, draws).
        dims: Names of the axes after the first two.
        coords: Labels along these axes.
    """
    az = arviz()
    given = {"posterior": posterior, "log_likelihood": log_likelihood, "sample_stats": sample_stats}
    groups = {group: {name: np.asarray(a) for name, a in arrays.items()} for group, arrays in given.items() if arrays}
    names = {name for arrays in groups.values() for name in arrays}
    options: dict[str, Any] = {"coords": coords or {}, "dims": {k: v for k, v in (dims or {}).items() if k in names}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if int(az.__version__.split(".")[0]) >= 1:
            return az.from_dict(groups, **options)
        return az.from_dict(**groups, **options)  # 0.x takes the other form too, and misreads it


def rhat(draws: Any) -> float:
    """Rank-normalised split R-hat of draws (chains, draws); 1 where every draw is the same.

    One chain counts as two, its halves; NaN where a chain, or a half, has fewer than 4 draws.
    """
    draws = _several(np.asarray(draws, dtype=np.float64))
    if np.ptp(draws) == 0:
        return 1.0
    return float(arviz().rhat(draws)) if draws.shape[1] >= FEWEST else np.nan


def _several(draws: np.ndarray) -> np.ndarray:
    """Draws (chains, draws) as R-hat wants them, which compares chains: of one chain its halves."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]]) if len(draws) == 1 else draws


def ess(draws: Any) -> float:
    """Bulk effective sample size of draws (chains, draws); their number where every draw is the same."""
    draws = np.asarray(draws, dtype=np.float64)
    return float(draws.size) if np.ptp(draws) == 0 else float(arviz().ess(draws))


def mcse(draws: Any, method: str, prob: float | None = None) -> float:
    """Monte Carlo standard error of a mean, a standard deviation or a quantile of draws (chains, draws).

    Args:
        draws: Draws of one number.
        method: "mean", "sd" or "quantile".
        prob: Which quantile.
    """
    options = {} if prob is None else {"prob": prob}
    return float(arviz().mcse(np.asarray(draws, dtype=np.float64), method=method, **options))


def summary(samples: dict[str, np.ndarray], prob: float = PROB) -> pd.DataFrame:
    """One row a number.

    Args:
        samples: Draws by name, each (chains, draws, …).
        prob: Probability of the equal-tailed interval.
    Returns:
        Columns mean, sd, low, high (the interval's ends), mcse_mean, ess_bulk, ess_tail, r_hat (as by `rhat`); rows "means[0, 1]" and so
        on.
        Numbers that never change, such as entries that are 0 by design, are left out.
    Raises:
        ValueError: for a probability outside (0, 1).
    """
    import pandas as pd

    if not 0 < prob < 1:
        raise ValueError(f"prob must lie between 0 and 1, got {prob!r}")
    az, flat = arviz(), {}
    for name, draws in samples.items():
        for index in np.ndindex(*draws.shape[2:]):
            label = f"{name}[{', '.join(map(str, index))}]" if index else name
            values = np.asarray(draws[(..., *index)], dtype=np.float64)
            if np.ptp(values) > 0:
                flat[label] = values
    box, apart = to_arviz(flat), {label: _several(values) for label, values in flat.items()}
    enough = all(values.shape[1] >= FEWEST for values in apart.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = {
            "mcse_mean": az.mcse(box, method="mean"),
            "ess_bulk": az.ess(box, method="bulk"),
            "ess_tail": az.ess(box, method="tail"),
            "r_hat": az.rhat(to_arviz(apart), method="rank") if enough else dict.fromkeys(apart, np.nan),
        }
    ends = (0.5 - prob / 2, 0.5 + prob / 2)
    rows = {
        label: [values.mean(), values.std(ddof=1), *np.quantile(values, ends), *(float(t[label]) for t in told.values())]
        for label, values in flat.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "sd", "low", "high", *told])


def unmixed(table: pd.DataFrame) -> list[str]:
    """Sentences about numbers of a `summary` whose chains disagree or that rest on too few effective draws."""
    said = []
    apart = table.index[table["r_hat"] > RHAT_MAX]
    if len(apart):
        worst = table["r_hat"].idxmax()
        said.append(
            f"R-hat exceeds {RHAT_MAX} for {len(apart)} of {len(table)} numbers ({worst}: {table['r_hat'].max():.3f}): "
            "the chains, or parts of them, do not agree; draw more, or do not use these numbers."
        )
    unknown = int(table["r_hat"].isna().sum())
    if unknown:
        said.append(
            f"R-hat is not known for {unknown} of {len(table)} numbers: one chain needs {2 * FEWEST} draws for it; draw more."
        )
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    few = table.index[least < ESS_MIN]
    if len(few):
        said.append(
            f"The effective sample size is below {ESS_MIN:.0f} for {len(few)} of {len(table)} numbers "
            f"({least.idxmin()}: {least.min():.0f}): intervals are rough; draw more."
        )
    return said


def _efficiency(log_likelihood: np.ndarray) -> float:
    """Effective draws a draw, for the mean likelihood of a row, averaged over rows; of too few draws to tell, 1.

    ArviZ would take it from the parameters, which are not at hand here.
    """
    if log_likelihood.shape[1] < FEWEST:
        return 1.0
    rows = np.moveaxis(log_likelihood, -1, 0)
    return float(np.mean([arviz().ess(np.exp(row - row.max()), method="mean") for row in rows])) / rows[0].size


def loo(log_likelihood: Any) -> dict[str, Any]:
    """Expected log predictive density by Pareto-smoothed importance sampling, each row left out in turn.

    Args:
        log_likelihood: Of each row at each draw, the allocation summed out, in nats, (chains, draws, n).
    Returns:
        elpd (nats, higher is better), se, p (effective parameters), elpd_rows (n,), pareto_k (n,) and good_k, above which a row's
        term is not to be trusted.
    References:
        Vehtari, Gelman & Gabry 2017, Statistics and Computing 27; Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25.
    """
    log_likelihood = np.asarray(log_likelihood)
    box = to_arviz({"none": log_likelihood[..., 0]}, {"y": log_likelihood})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = arviz().loo(box, pointwise=True, reff=_efficiency(log_likelihood))

    def either(*names: str) -> Any:
        return next(getattr(found, name) for name in names if hasattr(found, name))

    return {
        "elpd": float(either("elpd", "elpd_loo")),
        "se": float(found.se),
        "p": float(either("p", "p_loo")),
        "elpd_rows": np.asarray(either("elpd_i", "loo_i"), dtype=np.float64),
        "pareto_k": np.asarray(found.pareto_k, dtype=np.float64),
        "good_k": float(found.good_k),
    }


def waic(log_likelihood: Any) -> dict[str, Any]:
    """The widely applicable information criterion, as an expected log predictive density (ArviZ 1.x has it no more).

    Args:
        log_likelihood: As for `loo`.
    Returns:
        elpd (nats, higher is better), se, p and num_unstable, the rows whose log-likelihood varies too much for it.
    References:
        Watanabe 2010, JMLR 11; in this form Vehtari, Gelman & Gabry 2017, Statistics and Computing 27, sec. 2.2.
    """
    draws = np.asarray(log_likelihood, dtype=np.float64)
    draws = draws.reshape(-1, draws.shape[-1])
    top = draws.max(axis=0)
    variance = draws.var(axis=0, ddof=1)
    rows = top + np.log(np.exp(draws - top).mean(axis=0)) - variance
    return {
        "elpd": float(rows.sum()),
        "se": float(np.sqrt(len(rows) * rows.var())),
        "p": float(variance.sum()),
        "num_unstable": int((variance > WAIC_VARIANCE_MAX).sum()),
    }
