"""Simulation-based calibration: does a sampler draw from the posterior that it claims to? All data sets in one program. Imports tabular.

Parameters are drawn from the prior, data from them, and the posterior from the data: the rank of the true value among the draws is then
uniform, whatever the model. A wrong kernel, a wrong density or a chain that is too short shows in some rank.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from .. import tabular
from .._picture import figure
from .._precision import precision, random_key


if TYPE_CHECKING:
    import pandas as pd

BINS = 10
LEVEL = 0.01  # of the test of uniformity, all quantities together


@runtime_checkable
class Problem(Protocol):
    """What is to be calibrated: three functions that JAX can trace."""

    def simulate(self, key: Any) -> tuple[Any, Any]:
        """Parameters from the prior, and data from them."""
        ...

    def sample(self, key: Any, data: Any, num_draws: int) -> Any:
        """Draws from the posterior, as good as independent, draws in front of every array."""
        ...

    def quantities(self, params: Any, data: Any) -> dict[str, Any]:
        """Numbers by name whose ranks are looked at; none may depend on labels that the sampler is free to permute."""
        ...


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Calibration:
    """The outcome of `sbc`.

    Attributes:
        ranks: Draws below the true value, ties broken at random, by quantity, each (b,).
        num_draws: Draws of each data set; ranks run from 0 to this number.
    """

    ranks: dict[str, np.ndarray]
    num_draws: int

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row a quantity: p-value of uniform ranks (χ² over 10 bins), and coverage of central 50 % and 90 % intervals."""
        import pandas as pd
        from scipy.stats import chisquare

        rows = {}
        for name, ranks in self.ranks.items():
            counts = np.bincount(ranks * BINS // (self.num_draws + 1), minlength=BINS)
            p_value = float(chisquare(counts).pvalue)
            rows[name] = {"p_value": p_value, "coverage_50": self.coverage(name, 0.5), "coverage_90": self.coverage(name, 0.9)}
        return pd.DataFrame.from_dict(rows, orient="index")

    def coverage(self, name: str, prob: float = 0.9) -> float:
        """How often the true value lay in the central interval of a quantity.

        Args:
            name: Of the quantity.
            prob: What the interval claims.
        """
        share = (self.ranks[name] + 0.5) / (self.num_draws + 1)
        return float((np.abs(share - 0.5) < prob / 2).mean())

    @property
    def uniform(self) -> bool:
        """Whether no quantity's ranks differ from uniform at level 0.01, Bonferroni's correction made."""
        return bool(self.table["p_value"].min() * len(self.table) > LEVEL)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about quantities whose ranks are not uniform."""
        bad = self.table[self.table["p_value"] * len(self.table) <= LEVEL]
        return tuple(
            f"The ranks of {name} are not uniform (p = {row['p_value']:.2g} of {len(self.table)} tests; 90 % intervals cover "
            f"{row['coverage_90']:.0%}): the sampler, the model or the length of the chains is wrong."
            for name, row in bad.iterrows()
        )

    def plot(self, axes: Any = None) -> Any:
        """Histograms of ranks with the band that holds 99 % of bins if they are uniform; returns the array of Axes."""
        from scipy.stats import binom

        if axes is None:
            axes = figure((2.6 * len(self.ranks), 2.4)).subplots(1, len(self.ranks), sharey=True)
        for ax, (name, ranks) in zip(np.atleast_1d(axes), self.ranks.items(), strict=True):
            low, high = binom(len(ranks), 1 / BINS).interval(0.99)
            ax.axhspan(low, high, color="0.9")
            ax.hist(ranks, bins=np.linspace(-0.5, self.num_draws + 0.5, BINS + 1))
            ax.set(title=name, xlabel="rank")
        return axes

    def __repr__(self) -> str:
        count = len(next(iter(self.ranks.values())))
        return f"Calibration(datasets={count}, quantities={len(self.ranks)}, uniform={self.uniform})"

    def __str__(self) -> str:
        from .text import calibration

        return calibration(self)


def sbc(problem: Problem, *, num_datasets: int = 400, num_draws: int = 99, seed: Any = 0) -> Calibration:
    """Calibrate a sampler by simulation.

    Args:
        problem: `KnownK`, `UnknownK`, or an object of your own with the methods of `Problem`.
        num_datasets: Data sets simulated, all in one program.
        num_draws: Draws from the posterior of each; one less than a multiple of 10 makes all bins of ranks alike.
        seed: An int or a JAX key; the same seed gives the same ranks on the same machine.
    Returns:
        A `Calibration`.
    Raises:
        ValueError: for fewer than 20 data sets, or a number of draws that the bins do not divide.
        TypeError: for numbers of the wrong kind.
    References:
        Talts, Betancourt, Simpson, Vehtari & Gelman 2018, arXiv:1804.06788; the log-likelihood as a quantity: Modrák, Moon, Kim, Bürkner,
        Huurre, Faltejsková, Gelman & Vehtari 2023, Bayesian Analysis.

    Example:
        A normal mean with a normal prior, drawn from its exact posterior.

        >>> import jax, jaxem
        >>> class Normal:
        ...     def simulate(self, key):
        ...         ours, theirs = jax.random.split(key)
        ...         mean = jax.random.normal(ours)
        ...         return mean, mean + jax.random.normal(theirs)
        ...     def sample(self, key, data, num_draws):
        ...         return data / 2 + 0.5**0.5 * jax.random.normal(key, (num_draws,))
        ...     def quantities(self, params, data):
        ...         return {"mean": params}
        >>> jaxem.bayes.sbc(Normal())
        Calibration(datasets=400, quantities=1, uniform=True)
    """
    count, draws = tabular.count("num_datasets", num_datasets, 20), tabular.count("num_draws", num_draws, BINS - 1)
    if (draws + 1) % BINS:
        raise ValueError(f"num_draws + 1 must be a multiple of {BINS}, so that every bin holds as many ranks; got {draws}")
    words = tabular.seed_words(seed)
    with precision(np.float64):
        key = random_key(np.random.default_rng(words).integers(2**31))
        ranks = jax.jit(jax.vmap(functools.partial(_ranks, problem, draws)))(jax.random.split(key, count))
    return Calibration({name: np.asarray(values) for name, values in ranks.items()}, draws)


def _ranks(problem: Problem, num_draws: int, key: Any) -> dict[str, Any]:
    """Rank of each true quantity among the draws of one data set."""
    first, second, ties = jax.random.split(key, 3)
    truth, data = problem.simulate(first)
    wanted = problem.quantities(truth, data)
    draws = jax.vmap(lambda params: problem.quantities(params, data))(problem.sample(second, data, num_draws))
    return {
        name: jnp.sum(draws[name] < value) + jax.random.randint(ties, (), 0, jnp.sum(draws[name] == value) + 1)
        for name, value in wanted.items()
    }
