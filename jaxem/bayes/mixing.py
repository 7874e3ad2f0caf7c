"""How many components there are, and how large: priors of K and of the weights. Imports layer 0 and tabular.

A prior of partitions knows three conditionals, all given the sizes of the filled components: of K, of the concentration, and of the
weights. Mixtures of finite mixtures (static and dynamic), sparse finite mixtures and the Dirichlet process differ in nothing else.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, gammaln

from .. import tabular
from .._pytree import pytree, static
from .._typing import Array, Float, Number, Scalar


STEP = 1.0  # sd of the random walk that moves log concentrations
NAMES = ("uniform", "bnb", "geometric", "poisson")
DEFAULTS = {"uniform": (), "bnb": (1.0, 4.0, 3.0), "geometric": (0.1,), "poisson": (1.0,)}


@pytree
class Concentration:
    """The prior of a Dirichlet concentration.

    Attributes:
        first: The value itself, or the gamma's shape, or the F's first degrees of freedom.
        second: The gamma's rate or the F's second degrees of freedom; not used for a fixed value.
        kind: "fixed", "gamma" or "f".
    """

    first: Any
    second: Any = 1.0
    kind: str = static(default="fixed")

    def log_prob(self, value: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Log-density up to a constant."""
        if self.kind == "gamma":
            return (self.first - 1) * jnp.log(value) - self.second * value
        half, other = 0.5 * self.first, 0.5 * self.second
        return (half - 1) * jnp.log(value) - (half + other) * jnp.log1p(self.first / self.second * value)

    def sample(self, key: Any) -> Scalar:
        """A draw from the prior."""
        if self.kind == "fixed":
            return jnp.asarray(self.first)
        one, other = jax.random.split(key)
        if self.kind == "gamma":
            return jax.random.gamma(one, self.first) / self.second
        ratio = jax.random.gamma(one, 0.5 * self.first) / jax.random.gamma(other, 0.5 * self.second)
        return ratio * self.second / self.first

    def begin(self) -> Scalar:
        """A value to begin with: the middle of the prior, roughly."""
        return jnp.asarray(self.first / self.second if self.kind == "gamma" else 1.0 if self.kind == "f" else self.first)


@pytree
class FiniteMixing:
    """A mixture of finite mixtures: K has a prior, and the weights are Dirichlet with concentration γ, or γ/K in the dynamic form.

    Attributes:
        log_prior_k: Log prior of K = 1, 2, …, shape (m,); −inf where K is impossible.
        concentration: Prior of γ.
        dynamic: Whether each weight has γ/K instead of γ.
    References:
        Frühwirth-Schnatter, Malsiner-Walli & Grün 2021, Bayesian Analysis 16, sec. 2 and algorithm 1.
    """

    log_prior_k: Float[Array, " m"]
    concentration: Concentration
    dynamic: bool = static(default=False)

    def each(self, gamma: Number, size: Any) -> Any:
        """Concentration of each of K weights."""
        return gamma / size if self.dynamic else gamma

    def log_partition(self, counts: Float[Array, " m"], size: Any, gamma: Scalar) -> Any:
        """Log-probability of the sizes of the filled components given K and γ, up to what depends on neither."""
        each = self.each(gamma, size)
        filled = gammaln(counts + jnp.expand_dims(each, -1)) - gammaln(jnp.expand_dims(each, -1))
        total = each * size
        return gammaln(total) - gammaln(jnp.sum(counts) + total) + jnp.sum(jnp.where(counts > 0, filled, 0.0), -1)

    def log_size(self, counts: Float[Array, " m"], gamma: Scalar) -> Float[Array, " m"]:
        """Log-probability of K = 1, 2, … given the sizes of the filled components."""
        sizes = jnp.arange(1.0, len(self.log_prior_k) + 1)
        filled = jnp.sum(counts > 0)
        labels = gammaln(sizes + 1) - gammaln(jnp.maximum(sizes - filled, 0.0) + 1)
        joint = self.log_prior_k + labels + self.log_partition(counts, sizes, gamma)
        return jax.nn.log_softmax(jnp.where(sizes >= filled, joint, -jnp.inf))

    def draw_weights(self, key: Any, counts: Float[Array, " m"], size: Number, gamma: Number) -> Float[Array, " m"]:
        """Log-weights of K components given the sizes of the filled ones, which come first; −inf beyond K."""
        each = jax.random.loggamma(key, counts + self.each(gamma, size))
        return jax.nn.log_softmax(jnp.where(jnp.arange(len(counts)) < size, each, -jnp.inf))


@pytree
class ProcessMixing:
    """The Dirichlet process: K is infinite, and only as many components are kept as `max_components` allows.

    Given the partition, the filled weights and the rest are Dirichlet(n_1, …, n_filled, α), and the rest is broken like a stick; what is
    cut off lies behind all filled components.

    Attributes:
        concentration: Prior of α.
        max_components: Components kept.
    References:
        Pitman 1996, in Statistics, Probability and Game Theory, IMS Lecture Notes 30; Ishwaran & James 2001, JASA 96.
    """

    concentration: Concentration
    max_components: int = static(default=30)

    def log_partition(self, counts: Float[Array, " m"], size: Any, gamma: Scalar) -> Scalar:
        """Log-probability of the partition given α, up to what does not depend on it."""
        return jnp.sum(counts > 0) * jnp.log(gamma) + gammaln(gamma) - gammaln(jnp.sum(counts) + gamma)

    def log_size(self, counts: Float[Array, " m"], gamma: Scalar) -> Float[Array, " m"]:
        """All components that are kept are there."""
        return jnp.where(jnp.arange(self.max_components) == self.max_components - 1, 0.0, -jnp.inf)

    def draw_weights(self, key: Any, counts: Float[Array, " m"], size: Number, gamma: Number) -> Float[Array, " m"]:
        """Log-weights: of the filled components, which come first, and of sticks broken from what they leave."""
        sizes, sticks = jax.random.split(key)
        filled = jnp.sum(counts > 0)
        here = jnp.arange(len(counts))
        shares = jax.nn.log_softmax(
            jax.random.loggamma(sizes, jnp.where(here < filled, counts, jnp.where(here == filled, gamma, 1.0)))
            + jnp.where(here <= filled, 0.0, -jnp.inf)
        )
        rest = jnp.where(filled < len(counts), shares[jnp.minimum(filled, len(counts) - 1)], -jnp.inf)
        broken = -jax.random.exponential(sticks, (len(counts),)) / gamma  # log(1 - Beta(1, α))
        before = jnp.cumsum(jnp.where(here >= filled, broken, 0.0)) - broken
        last = here == len(counts) - 1
        piece = jnp.where(last, 0.0, jnp.log(-jnp.expm1(broken)))
        return jnp.where(here < filled, shares, rest + before + piece)


def draw_concentration(key: Any, mixing: Any, counts: Float[Array, " m"], size: Number, gamma: Scalar) -> Scalar:
    """One step of a random walk in log γ that leaves its conditional, given partition and K, as it is."""
    prior = mixing.concentration
    if prior.kind == "fixed":
        return gamma
    move, accept = jax.random.split(key)
    proposed = gamma * jnp.exp(STEP * jax.random.normal(move))

    def log_target(value: Scalar) -> Scalar:
        return prior.log_prob(value) + jnp.log(value) + mixing.log_partition(counts, size, value)

    better = log_target(proposed) - log_target(gamma)
    return jnp.where(jnp.log(jax.random.uniform(accept)) < better, proposed, gamma)


def log_prior_k(prior: Any, max_components: int) -> np.ndarray:
    """Log prior of K = 1, …, max_components, normalised.

    Args:
        prior: A name, a name with its parameters such as ("bnb", 1, 4, 3), or probabilities of K = 1, 2, …. "uniform"; "bnb", the
            beta-negative-binomial of K − 1, by default (1, 4, 3); "geometric" of K − 1, by default with success probability 0.1;
            "poisson" of K − 1, by default with mean 1.
        max_components: The largest K.
    Raises:
        ValueError: for an unknown name, a wrong number of parameters, and impossible ones.
    References:
        Frühwirth-Schnatter, Malsiner-Walli & Grün 2021, Bayesian Analysis 16, sec. 2.1 and table 1.
    """
    name, given = (prior, ()) if isinstance(prior, str) else (prior[0], tuple(prior[1:])) if _named(prior) else ("", ())
    if not name:
        return _probabilities(prior, max_components)
    if name not in NAMES:
        raise ValueError(
            f"prior_on_k must be one of {', '.join(map(repr, NAMES))} or probabilities of K = 1, 2, …, got {name!r}"
        )
    wanted = DEFAULTS[name]
    if given and len(given) != len(wanted):
        raise ValueError(f"prior_on_k {name!r} has {len(wanted)} parameters, got {len(given)}")
    numbers = [float(value) for value in (given or wanted)]
    if not all(value > 0 and np.isfinite(value) for value in numbers) or (name == "geometric" and numbers[0] >= 1):
        raise ValueError(
            f"prior_on_k {name!r}: parameters must be positive{' and below 1' * (name == 'geometric')}, got {given}"
        )
    more = np.arange(max_components)
    if name == "uniform":
        out = np.zeros(max_components)
    elif name == "geometric":
        out = more * np.log1p(-numbers[0])
    elif name == "poisson":
        out = more * np.log(numbers[0]) - np.asarray(gammaln(more + 1.0))
    else:
        shape, a, b = numbers
        out = np.asarray(gammaln(shape + more) + betaln(shape + a, more + b) - gammaln(more + 1.0))
    return out - np.logaddexp.reduce(out)


def _named(prior: Any) -> bool:
    return isinstance(prior, tuple | list) and len(prior) > 0 and isinstance(prior[0], str)


def _probabilities(prior: Any, max_components: int) -> np.ndarray:
    """Log of given probabilities of K = 1, 2, …; K beyond them is impossible."""
    table = tabular.read(prior).x[:, 0]
    if len(table) > max_components or (table < 0).any() or not np.isclose(table.sum(), 1.0):
        raise ValueError(
            f"prior_on_k: probabilities of K = 1, …, {max_components} must not be negative and must sum to 1, got {prior!r}"
        )
    with np.errstate(divide="ignore"):
        return np.log(np.pad(table, (0, max_components - len(table))))
