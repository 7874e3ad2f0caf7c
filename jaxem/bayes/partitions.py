"""Draws of partitions: what samplers with an unknown number of components give back, and the call that makes them. Layers 0 to 3."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .. import tabular
from .._parts import parts
from .._precision import precision, random_key
from ..init import Starts
from ..models.mixture import Mixture, MixtureParams
from ..padding import coarse_bucket
from . import diagnostics, priors, telescoping
from .model import family_of


RHAT_MAX = 1.02  # of the number of components: its chains jump, and agree later than those of means do
ROWS = 1024  # new rows at once: each has a density under every kept mixture
BLOCK = 2**19  # numbers in a block of draws
MEMBERS = 2**21  # numbers that say who is in which component


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class PartitionPosterior:
    """Draws from the posterior of a mixture whose number of filled components is not fixed. It holds no rows.

    Attributes:
        model: What was sampled, in a word.
        num_components: K at every sweep, (c, s).
        num_filled: Components that have rows, at every sweep, (c, s).
        concentration: Of the weights' prior at every sweep, (c, s).
        log_likelihood: Of the mixture at every sweep, in nats, (c, s).
        posterior_k: p(K = 1), p(K = 2), … given the data, (m,): averaged over p(K | partition), which is steadier than counting draws.
        params: Mixtures at the kept sweeps, `MixtureParams` with axes (c, t) in front; log-weights are −inf where there is no component.
        labels: Component of every row at the kept sweeps, (c, t, n); labels mean something within a sweep only.
        prior: The prior of the components.
        seconds: How long sampling took, compiling included.
    """

    model: str
    num_components: np.ndarray
    num_filled: np.ndarray
    concentration: np.ndarray
    log_likelihood: np.ndarray
    posterior_k: np.ndarray
    params: Any
    labels: np.ndarray
    prior: Any
    seconds: float

    @functools.cached_property
    def posterior_filled(self) -> np.ndarray:
        """p(1 filled component), p(2 filled components), … given the data, (m,)."""
        counts = np.bincount(self.num_filled.ravel(), minlength=len(self.posterior_k) + 1)[1:]
        return counts / counts.sum()

    @functools.cached_property
    def table(self) -> Any:
        """Summary of what does not depend on labels: K, filled components, concentration, log-likelihood."""
        names = ("num_components", "num_filled", "concentration", "log_likelihood")
        return diagnostics.summary({name: getattr(self, name).astype(float) for name in names})

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences: what keeps these draws from being trusted."""
        said = []
        for name, row in self.table.iterrows():
            if row["r_hat"] > RHAT_MAX:
                said.append(f"R-hat of {name} is {row['r_hat']:.3f}: the chains do not agree; draw more sweeps.")
            if row["ess_bulk"] < diagnostics.ESS_MIN:
                said.append(f"The effective sample size of {name} is {row['ess_bulk']:.0f} only; draw more sweeps.")
        return tuple(said)

    def coclustering(self) -> np.ndarray:
        """How often two rows share a component, (n, n), float64."""
        flat = self._flat()
        return _times_together(flat) / len(flat)

    def partition(self) -> np.ndarray:
        """The kept partition nearest to all others, (n,): its expected number of misplaced pairs (Binder's loss) is least.

        Largest cluster first, which is 0.

        References:
            Dahl 2006, in Bayesian Inference for Gene Expression and Proteomics, Cambridge.
        """
        flat = self._flat()
        loss = len(flat) - 2 * _times_together(flat)  # of every pair that is put together, whole numbers
        flat = np.unique(flat, axis=0)
        total = np.concatenate([_within(labels, loss) for labels in _several(flat)])
        best = flat[int(np.argmin(total))]
        sizes = np.bincount(best)
        return np.argsort(np.argsort(-sizes, kind="stable"))[best]

    def _flat(self) -> np.ndarray:
        """The kept partitions of all chains, (s, n)."""
        return self.labels.reshape(-1, self.labels.shape[-1])

    def log_prob(self, x: Any) -> np.ndarray:
        """Log predictive density of new rows, averaged over the kept mixtures, in nats, (n,)."""
        rows = tabular.read(x).x
        out = np.empty(len(rows))
        with precision(np.float64):
            for some in parts(len(rows), ROWS):
                here = rows[some]
                padded = np.pad(here, ((0, coarse_bucket(len(here)) - len(here)), (0, 0)), mode="edge")
                each = np.asarray(rows_under(self.prior, padded.T, self.params))[..., : len(here)]
                top = each.max(axis=(0, 1))
                out[some] = top + np.log(np.exp(each - top).mean(axis=(0, 1)))
        return out

    def to_arviz(self) -> Any:
        """An ArviZ container of what does not depend on labels."""
        names = ("num_components", "num_filled", "concentration")
        return diagnostics.to_arviz({name: getattr(self, name) for name in names}, None, {"lp": self.log_likelihood})

    def report(self) -> str:
        """The table as text, warnings first."""
        from .text import sampled

        head = (sampled(self.model, self.num_components, "sweep"), *(f"WARNING: {sentence}" for sentence in self.warnings))
        return "\n".join([*head, self.table.to_string(float_format=lambda value: f"{value:.4g}")])

    def __repr__(self) -> str:
        chains, sweeps = self.num_components.shape
        most = int(self.posterior_filled.argmax()) + 1
        return f"PartitionPosterior({self.model!r}, chains={chains}, sweeps={sweeps}, most often filled={most})"

    def __str__(self) -> str:
        from .text import partitions

        return partitions(self)


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a Gibbs sampler runs.

    Attributes:
        num_chains: Chains, run side by side.
        num_warmup: Sweeps of each chain that are thrown away.
        num_samples: Sweeps of each chain that count.
        thin: Of these, every how manieth mixture is kept whole.
    """

    num_chains: int
    num_warmup: int
    num_samples: int
    thin: int

    @classmethod
    def checked(cls, num_chains: Any, num_warmup: Any, num_samples: Any, kept: int = 250) -> Length:
        """A length whose parts are whole numbers, rounded up to whole blocks so that about `kept` mixtures a chain are kept.

        Raises:
            ValueError: for a number too small for R-hat and ESS.
            TypeError: for no whole number.
        """
        chains, samples = tabular.count("num_chains", num_chains, 2), tabular.count("num_samples", num_samples, 50)
        warmup = tabular.count("num_warmup", num_warmup, 0)
        thin = max(1, samples // kept)
        return cls(chains, -(-warmup // thin) * thin, -(-samples // thin) * thin, thin)


def sample(
    model: str, x: np.ndarray, prior: Any, mixing: Any, max_components: int, begin_at: list[int], length: Length, seed: Any
) -> PartitionPosterior:
    """Run the telescoping sampler.

    Args:
        model: What is sampled, in a word.
        x: Rows, (n, d).
        prior: A `Prior` of the components.
        mixing: A `FiniteMixing` or `ProcessMixing`.
        max_components: Components there is room for.
        begin_at: Numbers of components that chains begin with, used in turn.
        length: How long.
        seed: An int or a JAX key.
    """
    begun, words = time.perf_counter(), tabular.seed_words(seed)
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    starts = Starts(((x - x.mean(axis=0)) / spread).T, np.ones(len(x)), words)
    sizes = [min(begin_at[chain % len(begin_at)], len(x)) for chain in range(length.num_chains)]
    labels = np.stack([starts.draw("kmeans++", k, chain)[1]().argmax(axis=0) for chain, k in enumerate(sizes)])
    first = length.num_warmup // length.thin
    with precision(np.float64):
        key = random_key(np.random.default_rng(words).integers(2**31))
        prior, mixing = jax.tree.map(np.asarray, (prior, mixing))
        told, shares, params, kept = jax.device_get(
            telescoping.chains(
                jax.random.split(key, length.num_chains),
                prior,
                mixing,
                x.T,
                labels,
                max_components,
                first + length.num_samples // length.thin,
                length.thin,
            )
        )
    told = jax.tree.map(lambda leaf: leaf[:, first:].reshape(length.num_chains, -1), told)
    return PartitionPosterior(
        model=model,
        num_components=told.size,
        num_filled=told.filled,
        concentration=told.gamma,
        log_likelihood=told.log_likelihood,
        posterior_k=shares[:, first:].mean(axis=(0, 1)),
        params=jax.tree.map(lambda leaf: leaf[:, first:], params),
        labels=kept[:, first:],
        prior=prior,
        seconds=time.perf_counter() - begun,
    )


def beginnings(sizes: list[int]) -> list[int]:
    """Of the numbers of components that may be, those that chains begin with: the larger half of the first ten.

    A chain that begins with too many soon empties some; one that begins with a single component may stay there for ten thousands of
    sweeps, since two split from it hardly ever both fit.
    """
    first = sizes[:10]
    return first[len(first) // 2 :]


def _several(flat: np.ndarray) -> Iterator[np.ndarray]:
    """Partitions (s, n), some at a time: so many that who is in which of their components is no large array."""
    return (flat[some] for some in parts(len(flat), max(1, MEMBERS // (flat.shape[1] * (int(flat.max()) + 1)))))


def _members(labels: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Who is in which component, 0 or 1, (n, m), and the partition (m,) that each component is of; of partitions (s, n)."""
    k = int(labels.max()) + 1
    number = labels + k * np.arange(len(labels))[:, None]
    filled = np.bincount(number.ravel()) > 0
    out = np.zeros((labels.shape[1], int(filled.sum())), dtype)
    out[np.arange(len(out)), (np.cumsum(filled) - 1)[number]] = 1
    return out, np.flatnonzero(filled) // k


def _times_together(flat: np.ndarray) -> np.ndarray:
    """In how many of some partitions (s, n) two rows share a component, (n, n), float64."""
    num_rows = flat.shape[1]
    out = np.zeros((num_rows, num_rows))
    for labels in _several(flat):
        members, _ = _members(labels, np.float32)  # which counts no further than 2²⁴, and there are fewer partitions at a time
        for some in parts(num_rows, max(1, MEMBERS // num_rows)):
            out[some] += members[some] @ members.T
    return out


def _within(labels: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """The sum of a loss (n, n) over all pairs that share a component, for each of some partitions (s, n): (s,)."""
    members, owner = _members(labels, np.float64)
    return np.bincount(owner, ((loss @ members) * members).sum(axis=0), len(labels))


@jax.jit
def rows_under(prior: Any, x: Any, params: MixtureParams) -> Any:
    """Log-density of rows (d, n) under mixtures with axes (c, t) in front: (c, t, n)."""
    family = family_of(prior)
    chains, kept, k = params.log_weights.shape

    def one(mixture: MixtureParams) -> Any:
        return jax.nn.logsumexp(Mixture(family).log_joint(mixture, x), axis=0)

    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), params)
    return jax.lax.map(one, flat, batch_size=max(1, BLOCK // (x.size * k))).reshape(chains, kept, -1)


def components_prior(prior: Any, x: np.ndarray, family: Any) -> Any:
    """The prior of the components, which may not depend on K.

    Args:
        prior: "richardson-green", or a prior object.
        x: Rows, (n, d).
        family: The family that the named prior is for; a prior object has its own.
    Raises:
        ValueError: for another name, and impossible values.
        TypeError: if it is neither a name nor a prior.
    """
    if isinstance(prior, str):
        if prior != "richardson-green":
            raise ValueError(
                f'prior must be "richardson-green" or a prior object, got {prior!r}; '
                "a prior that depends on K cannot be used where K is not known"
            )
        return priors.richardson_green(x, family)
    if not isinstance(prior, priors.KNOWN):
        raise TypeError(f"prior must be a name or a prior made by jaxem.bayes, got {type(prior).__name__}")
    return priors.checked(prior, x.shape[1])
