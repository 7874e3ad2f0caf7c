"""How many components: the posterior of K and PSIS-LOO, beside what EM's criteria say. Layers 0 to 4 and the samplers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import families, selection, tabular
from .._picture import axes
from .._precision import precision
from .._typing import Whole
from . import diagnostics, partitions
from .mixing import Concentration, FiniteMixing, log_prior_k
from .partitions import Length, PartitionPosterior


if TYPE_CHECKING:
    import pandas as pd

METHODS = ("telescoping", "loo")
LOO_LENGTH = Length(num_chains=4, num_warmup=500, num_samples=1500, thin=3)
CLOSE = 2.0  # standard errors of the difference within which PSIS-LOO is taken not to tell two K apart
EDGE = 0.01  # posterior probability of the largest K above which the range matters


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class KComparison:
    """What is known of the number of components. It holds no rows.

    Attributes:
        method: "telescoping" or "loo": by which `best` is chosen.
        posterior_k: p(K = 1), p(K = 2), … given the data, (m,).
        posterior_filled: p(1 component has rows), p(2 have rows), …, (m,).
        table: A data frame with a row for each K: prior and posterior probability of K, posterior probability that so many are filled;
            loo and waic (−2 elpd: lower is better, as for all criteria here), their standard errors and largest Pareto k; the EM fit's
            log-likelihood, aic, bic and icl, NaN where it has none that is not `spurious`.
        posterior: The `PartitionPosterior` behind `posterior_k`.
        best: K: the most probable one, or the smallest that PSIS-LOO does not tell from the best by two standard errors.
        ess: Effective sample size of K.
        rhat: R-hat of K.
        warnings: Sentences.
    """

    method: str
    posterior_k: np.ndarray
    posterior_filled: np.ndarray
    table: pd.DataFrame
    posterior: PartitionPosterior
    best: int
    ess: float
    rhat: float
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"KComparison(best={self.best}, method={self.method!r}, ess={self.ess:.0f}, rhat={self.rhat:.3f})"

    def __str__(self) -> str:
        from .text import number_of_components

        return number_of_components(self)

    def report(self) -> str:
        """The table as text, warnings first."""
        from .text import choice_of_k

        head = (choice_of_k(self), *(f"WARNING: {sentence}" for sentence in self.warnings))
        return "\n".join([*head, self.table.to_string(index=False, float_format=lambda value: f"{value:.3f}")])

    def plot(self, ax: Any = None) -> Any:
        """Draw p(K) and p(filled components) as bars; returns the Axes."""
        ax = axes(ax)
        k = np.arange(1, len(self.posterior_k) + 1)
        ax.bar(k - 0.2, self.posterior_k, 0.4, label="components")
        ax.bar(k + 0.2, self.posterior_filled, 0.4, label="filled components")
        seen = np.flatnonzero(np.maximum(self.posterior_k, self.posterior_filled) > 1e-3)
        ax.set(xlabel="K", ylabel="posterior probability", xlim=(0.4, seen[-1] + 1.6))
        ax.legend()
        return ax


def compare_k(
    data: Any,
    num_components: Iterable[Whole] | Whole = range(1, 31),
    *,
    method: str = "telescoping",
    family: Any = "VVV",
    prior: Any = "richardson-green",
    prior_on_k: Any = "uniform",
    dynamic: bool = False,
    num_chains: int = 16,
    num_warmup: int = 2000,
    num_samples: int = 20000,
    seed: Any = 0,
) -> KComparison:
    """Compare numbers of components: posterior of K by the telescoping sampler, PSIS-LOO and WAIC, and EM's AIC, BIC and ICL.

    The sampler moves slowly between values of K, so it makes many cheap sweeps; the effective sample size of K is part of the answer.
    p(K) counts components, filled or not; the number that has rows, the clusters of the data at hand, is `posterior_filled`.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame.
        num_components: The numbers of components to compare.
        method: By which `best` is chosen: "telescoping", or "loo" for PSIS-LOO.
        family: A structure with a conjugate prior ("V", "E", "VVV", "EEE", "VVI", "EEI", "VII", "EII"; "tVVV", … for t components), or
            "poisson" or "categorical", as for `jaxem.fit`: a name or a `Family`. A prior object has its own.
        prior: Of the components: "richardson-green", or a prior object of `jaxem.bayes`.
        prior_on_k: "uniform", "bnb", "geometric" or "poisson" (the last three for K − 1), one of these with its parameters, such as
            ("bnb", 1, 4, 3), or probabilities of K = 1, 2, …. Cut off outside `num_components`.
        dynamic: Whether the weights' Dirichlet concentration is α/K with α ~ F(6, 3) learned, instead of the prior's own at every K.
        num_chains: Chains, run side by side.
        num_warmup: Sweeps of each chain that are thrown away.
        num_samples: Sweeps of each chain that count.
        seed: An int or a JAX key; the same seed gives the same result on the same machine.
    Returns:
        A `KComparison`.
    Raises:
        ValueError: for an unknown name, an impossible prior, missing cells, and values out of range.
        TypeError: for arguments of the wrong kind.
    References:
        Frühwirth-Schnatter, Malsiner-Walli & Grün 2021, Bayesian Analysis 16; Richardson & Green 1997, JRSS-B 59; PSIS-LOO: Vehtari,
        Gelman & Gabry 2017, Statistics and Computing 27.

    Example:
        >>> import jaxem
        >>> counts = jaxem.datasets.load("earthquakes")["count"]
        >>> by_k = jaxem.bayes.compare_k(counts, range(1, 4), family="poisson", num_chains=4, num_warmup=500, num_samples=2000)
        >>> bool(by_k.posterior_k[0] < 0.01)                                    # one Poisson distribution is not enough
        True
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    sizes = tabular.counts("num_components", num_components)
    length = Length.checked(num_chains, num_warmup, num_samples)
    table = tabular.read(data, nominal=families.nominal(family))
    prior = partitions.components_prior(prior, table.x, family)
    log_prior = _cut(log_prior_k(prior_on_k, sizes[-1]), sizes)
    concentration = Concentration(np.float64(6.0), np.float64(3.0), "f") if dynamic else Concentration(prior.concentration)
    mixing = FiniteMixing(log_prior, concentration, dynamic)
    begin_at = partitions.beginnings([k for k in sizes if np.isfinite(log_prior[k - 1])])
    posterior = partitions.sample("telescoping sampler", table.x, prior, mixing, sizes[-1], begin_at, length, seed)
    leave_out = {k: _leave_out(table.x, prior, mixing, k, sizes[-1], seed) for k in sizes}
    em = selection.select(table.x, prior.family, sizes, seed=seed)
    shares = {"prior": np.exp(log_prior), "posterior": posterior.posterior_k, "filled": posterior.posterior_filled}
    rows = [
        {"num_components": k} | {name: values[k - 1] for name, values in shares.items()} | leave_out[k].row | _em_row(em, k)
        for k in sizes
    ]
    import pandas as pd

    frame = pd.DataFrame(rows)
    by_loo = _smallest_as_good(leave_out)
    told = posterior.table.loc["num_components"] if "num_components" in posterior.table.index else None
    return KComparison(
        method=method,
        posterior_k=posterior.posterior_k,
        posterior_filled=posterior.posterior_filled,
        table=frame,
        posterior=posterior,
        best=int(posterior.posterior_k.argmax()) + 1 if method == "telescoping" else by_loo,
        ess=float(told["ess_bulk"]) if told is not None else float(posterior.num_components.size),
        rhat=float(told["r_hat"]) if told is not None else 1.0,
        warnings=_warnings(posterior, sizes, leave_out, by_loo, em),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class LeaveOut:
    """PSIS-LOO and WAIC of one K.

    Attributes:
        row: Columns of the table.
        elpd_rows: Of each row, (n,).
        num_high: Rows whose Pareto k is too high.
        rhat: Of the log-likelihood.
    """

    row: dict[str, float]
    elpd_rows: np.ndarray
    num_high: int
    rhat: float


def _leave_out(x: np.ndarray, prior: Any, mixing: FiniteMixing, k: int, most: int, seed: Any) -> LeaveOut:
    """The same sampler with all prior mass on one K, so that all K share one program."""
    certain = dataclasses.replace(mixing, log_prior_k=np.where(np.arange(1, most + 1) == k, 0.0, -np.inf))
    draws = partitions.sample(f"K = {k}", x, prior, certain, most, [k], LOO_LENGTH, seed)
    with precision(np.float64):
        log_likelihood = np.asarray(partitions.rows_under(draws.prior, x.T, draws.params))
    loo, waic = diagnostics.loo(log_likelihood), diagnostics.waic(log_likelihood)
    row = {"loo": -2 * loo["elpd"], "loo_se": 2 * loo["se"], "p_loo": loo["p"], "max_pareto_k": float(loo["pareto_k"].max())}
    row |= {"waic": -2 * waic["elpd"]}
    return LeaveOut(row, loo["elpd_rows"], int((loo["pareto_k"] > loo["good_k"]).sum()), diagnostics.rhat(draws.log_likelihood))


def _smallest_as_good(leave_out: dict[int, LeaveOut]) -> int:
    """The smallest K whose expected log predictive density is within two standard errors of the difference from the highest."""
    top = max(leave_out, key=lambda k: leave_out[k].elpd_rows.sum())
    for k in sorted(leave_out):
        gap = leave_out[top].elpd_rows - leave_out[k].elpd_rows
        if gap.sum() <= CLOSE * np.sqrt(len(gap) * gap.var()):
            return k
    return top


def _cut(log_prior: np.ndarray, sizes: list[int]) -> np.ndarray:
    """The prior of K within the numbers that are compared."""
    inside = np.isin(np.arange(1, len(log_prior) + 1), sizes)
    out = np.where(inside, log_prior, -np.inf)
    if not np.isfinite(out).any():
        raise ValueError("prior_on_k gives no probability to any of num_components")
    return out - np.logaddexp.reduce(out[np.isfinite(out)])


def _em_row(em: Any, k: int) -> dict[str, float]:
    """What EM says of K; nothing where it has no fit that is not spurious."""
    names = ("log_likelihood", "aic", "bic", "icl")
    fit = next((fit for (_, size), fit in em.fits.items() if size == k and not fit.spurious), None)
    return {name: np.nan if fit is None else getattr(fit, name) for name in names}


def _warnings(
    posterior: PartitionPosterior, sizes: list[int], leave_out: dict[int, LeaveOut], by_loo: int, em: Any
) -> tuple[str, ...]:
    said = list(posterior.warnings)
    if len(sizes) > 1 and posterior.posterior_k[sizes[-1] - 1] > EDGE:
        said.append(
            f"K = {sizes[-1]}, the largest that was allowed, has posterior probability {posterior.posterior_k[sizes[-1] - 1]:.3f}: "
            "the answer depends on where num_components ends."
        )
    high = leave_out[by_loo].num_high
    if high:
        said.append(
            f"PSIS-LOO is not to be trusted for {high} rows at K = {by_loo} (Pareto k too high): each of them alone moves the posterior."
        )
    apart = [k for k in sizes if leave_out[k].rhat > 1.05]
    if apart:
        said.append(
            f"At fixed K the chains behind PSIS-LOO do not agree for K = {', '.join(map(str, apart))} (R-hat above 1.05)."
        )
    lost = [k for k in sizes if np.isnan(_em_row(em, k)["bic"])]
    if lost:
        said.append(
            f"EM has no sound fit for K = {', '.join(map(str, lost))}: every run failed, or ended with a component next to singular or "
            "on too few rows. Its criteria are left out there."
        )
    return tuple(said)
