"""What a hierarchical model's sampler gives back. Imports NumPy only; pandas and ArviZ when they are asked for."""

from __future__ import annotations

import dataclasses
import functools
import warnings as python_warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import diagnostics


if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class HierarchicalPosterior:
    """Draws from the posterior of a hierarchical model, in the data's own units. It holds no rows.

    Attributes:
        model: What was sampled, in a word.
        samples: Draws by parameter, each (chains, draws, …).
        log_likelihood: Of each unit (row, subject or sequence) at each draw, in nats, (chains, draws, u).
        memberships: Probability of each component for each unit, averaged over draws, (u, k).
        units: Labels of the units, (u,).
        dims: Names of the axes of each parameter, chains and draws left out.
        coords: Labels along these axes.
        sample_stats: The sampler's own numbers by name, each (chains, draws).
        start: Values at the point where chains began, before they were scattered.
        exchangeable: Whether units are independent given the parameters, so that one may be left out.
        seconds: How long sampling took, compiling included.
    """

    model: str
    samples: dict[str, np.ndarray]
    log_likelihood: np.ndarray
    memberships: np.ndarray
    units: np.ndarray
    dims: dict[str, list[str]]
    coords: dict[str, list[Any]]
    sample_stats: dict[str, np.ndarray]
    start: dict[str, np.ndarray]
    exchangeable: bool
    seconds: float

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row a number: mean, sd, 95 % interval, Monte Carlo errors, ESS and R-hat."""
        return diagnostics.summary(self.samples)

    def summary(self, prob: float = diagnostics.PROB) -> pd.DataFrame:
        """One row a number: mean, sd, interval, Monte Carlo error, ESS and R-hat.

        Args:
            prob: Probability of the equal-tailed interval.
        Warns:
            UserWarning: if the chains diverged or do not agree; the sentences are those of `warnings`.
        """
        for sentence in self.warnings:
            python_warnings.warn(sentence, stacklevel=2)
        return self.table if prob == diagnostics.PROB else diagnostics.summary(self.samples, prob)

    @property
    def rhat(self) -> float:
        """The largest R-hat (rank-normalised, split) of any number."""
        return float(self.table["r_hat"].max())

    @property
    def ess(self) -> float:
        """The smallest effective sample size, bulk or tail, of any number."""
        return float(self.table[["ess_bulk", "ess_tail"]].min().min())

    @property
    def num_divergences(self) -> int:
        """Divergent transitions after warm-up; 0 for a Gibbs sampler."""
        return int(self.sample_stats["diverging"].sum()) if "diverging" in self.sample_stats else 0

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences: what keeps these draws from being trusted."""
        said = []
        if self.num_divergences:
            said.append(
                f"{self.num_divergences} transitions diverged: the posterior has corners that were not explored; "
                "raise target_accept towards 1, and do not report these intervals."
            )
        said += diagnostics.unmixed(self.table)
        return tuple(said)

    def predict(self) -> np.ndarray:
        """The most probable component of each unit, (u,)."""
        return self.memberships.argmax(axis=1)

    def to_arviz(self) -> Any:
        """An ArviZ container (InferenceData in ArviZ 0.x, DataTree in 1.x) with posterior, log-likelihood and sampler's numbers."""
        return diagnostics.to_arviz(
            self.samples, {"y": self.log_likelihood}, self.sample_stats, dims=self.dims | {"y": ["unit"]}, coords=self.coords
        )

    def loo(self) -> dict[str, Any]:
        """PSIS-LOO of whole units; see `jaxem.bayes.diagnostics.loo`.

        Raises:
            ValueError: if units depend on each other, as the steps of one series do.
        """
        if not self.exchangeable:
            raise ValueError(
                "leaving out one step of a series is no prediction of it, for its neighbours tell; "
                "compare models by log_likelihood on a later stretch"
            )
        return diagnostics.loo(self.log_likelihood)

    def report(self) -> str:
        """The table as text, warnings first."""
        from ..text import sampled

        head = (sampled(self.model, self.log_likelihood, "draw"), *(f"WARNING: {sentence}" for sentence in self.warnings))
        return "\n".join([*head, self.table.to_string(float_format=lambda value: f"{value:.4g}")])

    def __repr__(self) -> str:
        chains, draws = self.log_likelihood.shape[:2]
        trouble = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"HierarchicalPosterior({self.model!r}, chains={chains}, draws={draws}, "
            f"rhat={self.rhat:.3f}, ess={self.ess:.0f}, divergences={self.num_divergences}{trouble})"
        )

    def __str__(self) -> str:
        from ..text import hierarchical

        return hierarchical(self)
