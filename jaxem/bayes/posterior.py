"""What a posterior is to its user: draws in the data's units, what they are worth, and no data. Imports layers 0 to 3 and diagnostics."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from .._parts import parts
from .._precision import precision
from ..padding import row_bucket
from ..spread import category
from . import diagnostics
from .gaussian import SPHERICAL


if TYPE_CHECKING:
    import pandas as pd

    from ..result import Fit
    from ..standard_errors import StandardErrors

NON_PERMUTATIONS_MAX = 0.2  # share of draws without a naming of components above which components mean nothing
RHAT_HOPELESS = 1.1  # above it, after relabelling, the chains describe different components
PARETO_K_MAX = 0.7  # Vehtari et al. 2024, JMLR 25: above it importance weights, and so the Laplace approximation, are no good
FEWEST_FOR_LOO = 100
ENOUGH = 1000  # draws that predictions average over
ROWS = 1024  # rows at once: each has a density and k probabilities at every one of these draws


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Posterior:
    """Draws from the posterior of a mixture, their components named alike. It holds no data.

    Attributes:
        fit: The `Fit` it started from.
        prior: The prior.
        sampler: "gibbs", "nuts" or "laplace".
        draws: Arrays named as in `Fit.params` (and "scale" where the prior learns it), shape (chains, draws, …).
        sample_stats: Numbers of the sampler by name, each (chains, draws): for NUTS `diverging`, `num_steps`, `accept_prob`.
        log_likelihood: Of every row at the draws kept for that, in nats, shape (chains, draws // thin, n).
        probabilities: p(component | row) at these draws, shape (chains, draws // thin, n, k), float32.
        thin: Every which draw is kept for the two.
        responsibilities: The fit's own p(component | row), shape (n, k).
        starts: A data frame with one row a chain: where it began, the log-posterior of the peak there, that peak's share of the
            posterior by Laplace's estimate, and whether the chain is among the draws.
        relabelled: How components were named: "stephens", "ecr" or "pivot".
        switched: Share of the draws whose components were renamed.
        non_permutations: Share of the draws that have no naming at all (see `relabel.non_permutation_share`).
        log_ratios: For "laplace": log of the posterior over the approximation, shape (chains, draws); else None.
        standard_errors: Those of the fit on these data, or None where they do not exist.
        seconds: "compiling" and "running" of the sampler.
        notes: Sentences about how the draws were made.
    """

    fit: Fit
    prior: Any
    sampler: str
    draws: dict[str, np.ndarray]
    sample_stats: dict[str, np.ndarray]
    log_likelihood: np.ndarray
    probabilities: np.ndarray
    thin: int
    responsibilities: np.ndarray
    starts: pd.DataFrame
    relabelled: str
    switched: float
    non_permutations: float
    log_ratios: np.ndarray | None
    standard_errors: StandardErrors | None
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def num_chains(self) -> int:
        """Chains among the draws."""
        return self.draws["weights"].shape[0]

    @property
    def num_samples(self) -> int:
        """Draws of each chain."""
        return self.draws["weights"].shape[1]

    @property
    def num_divergent(self) -> int:
        """Draws whose trajectory diverged; 0 for samplers without trajectories."""
        return int(self.sample_stats["diverging"].sum()) if "diverging" in self.sample_stats else 0

    @functools.cached_property
    def pareto_k(self) -> float | None:
        """How far the Laplace approximation is from the posterior: the tail index of the importance weights; None for samplers."""
        if self.log_ratios is None:
            return None
        return float(diagnostics.loo(-self.log_ratios[:, :, None])["pareto_k"][0])

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences: what is wrong with the draws. Where there are any, they come before every table."""
        said = []
        if self.num_divergent:
            said.append(
                f"{self.num_divergent} of {self.num_chains * self.num_samples} draws diverged: the sampler misses part of the "
                "posterior; use sampler='gibbs', or fewer components."
            )
        if self.pareto_k is not None and not self.pareto_k < PARETO_K_MAX:
            said.append(
                f"The posterior is not near its Laplace approximation (Pareto k {self.pareto_k:.2f}): use sampler='gibbs'."
            )
        said += [f"Label-free: {sentence}" for sentence in diagnostics.unmixed(self.label_free())]
        said += [self.meaningless] if self.meaningless else diagnostics.unmixed(self._components)
        return tuple(said)

    @functools.cached_property
    def meaningless(self) -> str:
        """Why component-wise summaries mean nothing here, in a sentence; empty where they mean something."""
        advice = "use label_free(), coclustering() or predictions, or fit fewer components."
        if self.non_permutations > NON_PERMUTATIONS_MAX:
            return (
                f"Component-wise summaries mean nothing here: in {100 * self.non_permutations:.0f} % of the draws two components share "
                f"the place of one, so that none can be named; {advice}"
            )
        worst = self._components["r_hat"].max()
        if worst > RHAT_HOPELESS:
            who = "the chains" if self.num_chains > 1 else "parts of the chain"
            return (
                f"Component-wise summaries mean nothing here: {who} describe different components (R-hat {worst:.2f} after "
                f"relabelling); {advice}"
            )
        return ""

    def summary(self, prob: float = diagnostics.PROB) -> pd.DataFrame:
        """One row a free parameter: mean, sd, interval, Monte Carlo error, effective sample sizes, R-hat.

        Args:
            prob: Probability of the equal-tailed interval.
        Returns:
            A data frame with rows such as "means[0, waiting]" and columns mean, sd, low, high, mcse_mean, ess_bulk, ess_tail, r_hat; where
            `warnings` has sentences, they are in a last column, in every row.
        Raises:
            RuntimeError: where component-wise summaries mean nothing; the sentence says why, and what does mean something.
            ValueError: for a probability outside (0, 1).
        """
        if self.meaningless:
            raise RuntimeError(self.meaningless)
        table = diagnostics.summary(self.numbers(), prob)
        return table.assign(warning=" ".join(self.warnings)) if self.warnings else table

    def label_free(self, prob: float = diagnostics.PROB) -> pd.DataFrame:
        """A table like `summary` of what does not depend on the components' names: it means something whenever the chains have mixed.

        Rows: the log-likelihood, the largest and smallest weight, and each column's mean and variance under the mixture; of t
        components, whose variance may be infinite, scatter in its place; of categories, their shares.

        Args:
            prob: Probability of the equal-tailed interval.
        """
        weights = self.draws["weights"]
        out = {"largest weight": weights.max(-1), "smallest weight": weights.min(-1)}
        if "probabilities" in self.draws:
            shares = np.einsum("csk,cskdm->csdm", weights, self.draws["probabilities"])
            return self._summed_up(
                out | {f"share of {self._title(*place)}": shares[(..., *place)] for place in self._places()}, prob
            )
        centres = self.draws["means"] if "means" in self.draws else self.draws["rates"]
        matrices, spread = self.draws.get("covariances", self.draws.get("scatters")), "variance"
        within = centres if matrices is None else np.diagonal(matrices, axis1=-2, axis2=-1)
        if "scatters" in self.draws:
            spread = "scatter"
        mean = np.einsum("csk,cskd->csd", weights, centres)
        variance = np.einsum("csk,cskd->csd", weights, within + (centres - mean[:, :, None]) ** 2)
        for j, name in enumerate(self.fit.columns):
            out |= {f"mean of {name}": mean[..., j], f"{spread} of {name}": variance[..., j]}
        return self._summed_up(out, prob)

    def _summed_up(self, out: dict[str, np.ndarray], prob: float) -> pd.DataFrame:
        """A summary of draws by name, and of the log-likelihood."""
        kept = slice(None, None, self.thin)
        out = {"log-likelihood": self.log_likelihood.sum(-1)} | {name: draws[:, kept] for name, draws in out.items()}
        return diagnostics.summary(out, prob)

    def _places(self) -> list[tuple[int, int]]:
        """Column and number of every category that is there."""
        there = self.fit.params.probabilities.max(axis=0) > 0
        return [(column, number) for column, number in np.argwhere(there).tolist()]

    def _title(self, column: int, number: int) -> str:
        return f"{self.fit.columns[column]}, {category(self.fit, column, number)}"

    def numbers(self) -> dict[str, np.ndarray]:
        """Draws (chains, draws) of every free parameter by label: "weights[0]", "means[0, waiting]", "covariances[0, waiting, waiting]".

        A covariance that components share is there once, as that of component 0.
        """
        return {label: draws for label, draws in self.labelled(self.draws).items() if np.ptp(draws) > 0}

    def labelled(self, params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays named as in `draws`, with axes (chains, draws) in front, by the labels of `numbers`, zeros by design among them."""
        columns, spherical = self.fit.columns, "means" in params and self.prior.shape == SPHERICAL
        out: dict[str, np.ndarray] = {}
        for name in (name for name in self.fit.params.asdict() if name in params):
            draws = params[name]
            if name == "probabilities":
                each = [(k, *place) for k in range(self.fit.num_components) for place in self._places()]
                out |= {f"{name}[{place[0]}, {self._title(*place[1:])}]": draws[(..., *place)] for place in each}
                continue
            for k in range(1 if name in self.prior.shared else self.fit.num_components):
                for place in np.ndindex(*draws.shape[3:]):
                    twice = list(place) != sorted(place, reverse=True) or (spherical and len(place) == 2 and any(place))
                    if not twice:
                        out[f"{name}[{', '.join([str(k), *(columns[i] for i in place)])}]"] = draws[(..., k, *place)]
        return out

    @functools.cached_property
    def _components(self) -> pd.DataFrame:
        return diagnostics.summary(self.numbers())

    def to_arviz(self) -> Any:
        """The draws for ArviZ, with the columns' names: InferenceData in ArviZ 0.x, DataTree in 1.x.

        The rows' log-likelihoods are there where they were kept for every draw.
        """
        dims = {"weights": ["component"], "x": ["row"]}
        third = "category" if "probabilities" in self.draws else "other_column"
        dims |= {
            name: ["component", "column", third][: self.draws[name].ndim - 2]
            for name in self.draws
            if name in self.fit.params.asdict()
        }
        columns = list(self.fit.columns)
        coords = {"component": np.arange(self.fit.num_components), "column": columns, "other_column": columns}
        if "probabilities" in self.draws:
            coords |= {"category": np.arange(self.fit.params.probabilities.shape[2])}
        rows = {"x": self.log_likelihood} if self.thin == 1 else None
        return diagnostics.to_arviz(self.draws, rows, self.sample_stats, dims=dims, coords=coords)

    def loo(self) -> dict[str, Any]:
        """Leave-one-out predictive density by PSIS, on the log-likelihood with the allocation summed out; see `diagnostics.loo`.

        Raises:
            ValueError: if there are too few draws for its diagnostics.
        """
        draws = self.log_likelihood.shape[0] * self.log_likelihood.shape[1]
        if draws < FEWEST_FOR_LOO:
            raise ValueError(
                f"loo needs at least {FEWEST_FOR_LOO} draws for its diagnostics, and there are {draws}: raise num_samples"
            )
        return diagnostics.loo(self.log_likelihood)

    def waic(self) -> dict[str, Any]:
        """The widely applicable information criterion as a predictive density; see `diagnostics.waic`."""
        return diagnostics.waic(self.log_likelihood)

    def predict_proba(self, x: Any) -> np.ndarray:
        """The posterior probability of each component given the row, shape (n, k), averaged over the draws.

        Raises:
            RuntimeError: where the components mean nothing (see `summary`).
        """
        if self.meaningless:
            raise RuntimeError(self.meaningless)
        return self._rows(x)[1]

    def predict(self, x: Any) -> np.ndarray:
        """The most probable component of each row, shape (n,)."""
        return self.predict_proba(x).argmax(1)

    def log_prob(self, x: Any) -> np.ndarray:
        """Log of each row's posterior predictive density, in nats, shape (n,)."""
        return self._rows(x)[0]

    def coclustering(self) -> np.ndarray:
        """The posterior probability that two rows belong to one component, shape (n, n); names of components do not matter."""
        c, s, n, k = self.probabilities.shape
        flat = np.moveaxis(self.probabilities, 2, 0).reshape(n, c * s * k)
        together = flat @ flat.T / np.float32(c * s)
        np.fill_diagonal(together, 1.0)
        return np.asarray(together, dtype=np.float64)

    def relabel(self, method: str) -> Posterior:
        """The same draws with their components named in another way.

        Args:
            method: "stephens" (allocation probabilities), "ecr" (allocations) or "pivot" (params).
        Raises:
            ValueError: for an unknown method, and for one that needs allocations where these are not kept for every draw.
        """
        from .sampling import relabelled

        return relabelled(self, method)

    def _rows(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Log predictive densities (n,) and probabilities (n, k) of rows, averaged over up to a thousand draws."""
        from .sampling import rows_under

        rows = self.fit.rows(x)
        total = self.num_chains * self.num_samples
        kept = np.unique(np.linspace(0, total - 1, min(ENOUGH, total)).round().astype(int))
        draws = {name: self.draws[name].reshape(total, *self.draws[name].shape[2:])[kept] for name in self.fit.params.asdict()}
        log_prob, resp = np.empty(len(rows)), np.empty((len(rows), self.fit.num_components))
        with precision(np.float64):
            for some in parts(len(rows), ROWS):
                here = rows[some]
                padded = np.pad(here, ((0, row_bucket(len(here)) - len(here)), (0, 0)), mode="edge")
                told = rows_under(self.prior, padded.T, draws)
                each, probabilities = (np.asarray(a)[:, : len(here)] for a in told)
                top = each.max(0)
                log_prob[some] = top + np.log(np.exp(each - top).mean(0))
                resp[some] = probabilities.mean(0, dtype=np.float64)
        return log_prob, resp

    def __repr__(self) -> str:
        fit = self.fit
        return (
            f"Posterior({fit.family}, num_components={fit.num_components}, sampler={self.sampler!r}, "
            f"num_chains={self.num_chains}, num_samples={self.num_samples})"
        )

    def __str__(self) -> str:
        from .text import posterior

        return posterior(self)
