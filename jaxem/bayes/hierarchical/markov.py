"""The Gaussian hidden Markov model: states summed out by products of matrices. Layers 0 to 3 and NumPyro."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax

from ... import fitting, tabular
from ..._pytree import pytree, static
from ..._typing import Array, Bool, Float
from . import columns, components
from .posterior import HierarchicalPosterior
from .sampling import Options, Task, sample


NEVER = -1e30  # the logarithm of 0 in the identity, finite so that gradients are


def log_product(matrices: Float[Array, "t k k"]) -> Float[Array, "k k"]:
    """The product of matrices given by their logarithms, in as many rounds as t has binary digits."""
    identity = jnp.where(jnp.eye(matrices.shape[-1], dtype=bool), 0.0, NEVER)
    while matrices.shape[0] > 1:
        if matrices.shape[0] % 2:
            matrices = jnp.concatenate([matrices, identity[None]])
        left, right = matrices[0::2], matrices[1::2]
        matrices = jax.nn.logsumexp(left[:, :, :, None] + right[:, None, :, :], axis=2)
    return matrices[0]


@pytree
class HiddenMarkov:
    """A NumPyro model of series in standard units: Gaussian emissions, Dirichlet rows of the transition matrix.

    Attributes:
        stay: What the diagonal of the transition matrix has in its Dirichlet prior above the 1 of all entries.
        num_components: K, states.
        order_by: The column in which states ascend.
    """

    stay: Any = 2.0
    num_components: int = static(default=2)
    order_by: int = static(default=0)

    def __call__(self, x: Float[Array, "t d"], begins: Bool[Array, " t"]) -> None:
        """The statements, for steps (t, d) and which of them begin a series (t,)."""
        values = self.parameters(x.shape[1])
        numpyro.factor("log_likelihood", self._total(self._emissions(values, x), values, begins))

    def parameters(self, num_features: int) -> dict[str, Any]:
        """The prior, and what the likelihood needs."""
        k = self.num_components
        means, factors = components.gaussians(k, num_features, self.order_by)
        rows = dist.Dirichlet(jnp.ones((k, k)) + self.stay * jnp.eye(k)).to_event(1)
        transitions: Any = numpyro.sample("transitions", rows)
        initial: Any = numpyro.sample("initial", dist.Dirichlet(jnp.ones(k)))
        return {"means": means, "factors": factors, "transitions": transitions, "initial": initial}

    def log_likelihood(self, values: dict[str, Any], x: Any, begins: Any) -> Float[Array, " t"]:
        """Of each step given the steps before it."""
        log_transitions, log_initial = jnp.log(values["transitions"]), jnp.log(values["initial"])

        def step(state: Any, now: Any) -> Any:
            emission, begin = now
            ahead = jnp.where(begin, log_initial, jax.nn.logsumexp(state[:, None] + log_transitions, axis=0))
            joint = ahead + emission
            total = jax.nn.logsumexp(joint)
            return joint - total, total

        return lax.scan(step, log_initial, (self._emissions(values, x), begins))[1]

    def memberships(self, values: dict[str, Any], x: Any, begins: Any) -> Float[Array, "t k"]:
        """Probability of each state at each step, given the whole series and the parameters: the gradient by its emission."""
        return jax.grad(self._total)(self._emissions(values, x), values, begins)

    def _emissions(self, values: dict[str, Any], x: Any) -> Float[Array, "t k"]:
        return components.gaussian_log_prob(x[:, None, :] - values["means"], values["factors"])

    def _total(self, emissions: Any, values: dict[str, Any], begins: Any) -> Any:
        """Log-likelihood of all series. A step that begins a series forgets what was before: all rows of its matrix are alike."""
        into = jnp.where(begins[:, None, None], jnp.log(values["initial"]), jnp.log(values["transitions"]))
        return jax.nn.logsumexp(log_product(into + emissions[:, None, :])[0])


def hidden_markov(
    data: Any,
    num_components: int = 2,
    *,
    series: Any = None,
    num_chains: int = 4,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    target_accept: float = 0.9,
    seed: Any = 0,
) -> HierarchicalPosterior:
    """Sample a hidden Markov model with Gaussian emissions; the states are summed out.

    Chains start at the highest posterior mode reached from an EM fit of the steps as if their order did not matter. States ascend in
    the column that tells them apart best.

    Args:
        data: Steps in order: array-like (t, d) or (t,), or a data frame.
        num_components: K, states, at least 2.
        series: Which series each step belongs to: values (t,), or the name of a column of the frame; None for one series. The steps of
            a series follow each other.
        num_chains: Chains, run side by side.
        num_warmup: Draws of each chain that tune the sampler and are thrown away.
        num_samples: Draws of each chain that are kept.
        target_accept: Acceptance rate that NUTS's step size is tuned to.
        seed: An int or a JAX key; the same seed gives the same draws on the same machine.
    Returns:
        A `HierarchicalPosterior` of initial (k,), transitions (k, k), rows summing to 1, means (k, d) and covariances (k, d, d).
        `log_likelihood` is of each step given those before it, and `memberships` of each step given the whole series.
    Raises:
        ValueError: for missing cells, a series that is interrupted, and values out of range.
        TypeError: for arguments of the wrong kind.
        RuntimeError: if every run of EM failed, or the posterior is not finite at any start.
    References:
        Scott 2002, Journal of the American Statistical Association 97.
    """
    k = tabular.count("num_components", num_components, 2)
    options = Options.checked(num_chains, num_warmup, num_samples, target_accept, seed)
    data, roles = (data, {}) if series is None else columns.split(data, series=series)
    table = tabular.read(data)
    begins = _begins(roles.get("series"), table.num_rows)
    units = components.Standard.of(table.x, table.columns)
    x = units.into(table.x)
    fit = fitting.fit(x, "VVV" if x.shape[1] > 1 else "V", k, seed=seed)
    deviation = np.sqrt(np.diagonal(fit.params.covariances, axis1=1, axis2=2))
    order_by, order = components.best_order(fit.params.means, deviation)
    params, labels = fit.params.take(order), np.argsort(order)[fit.predict(x)]
    moves = np.ones((k, k))
    np.add.at(moves, (labels[:-1][~begins[1:]], labels[1:][~begins[1:]]), 1.0)
    start = components.gaussian_values(params.means, params.covariances, order_by) | {
        "transitions": moves / moves.sum(axis=1, keepdims=True),
        "initial": np.full(k, 1 / k),
    }
    task = Task(
        name="hidden Markov model",
        model=HiddenMarkov(num_components=k, order_by=order_by),
        args=(x, begins),
        starts=[start],
        publish=lambda draws: {
            "initial": draws["initial"],
            "transitions": draws["transitions"],
            "means": units.means(draws["means"]),
            "covariances": units.covariances(draws["covariances"]),
        },
        units=np.arange(table.num_rows),
        log_volume=units.log_volume,
        dims={
            "initial": ["state"],
            "transitions": ["state", "next"],
            "means": ["state", "column"],
            "covariances": ["state", "column", "other"],
        },
        coords={"column": list(table.columns), "other": list(table.columns)},
        polish=True,
        exchangeable=False,
    )
    return sample(task, options)


def _begins(series: Any, num_rows: int) -> np.ndarray:
    """Which steps begin a series."""
    if series is None:
        return np.arange(num_rows) == 0
    names, numbers = columns.levels("series", series, num_rows, 1)
    begins = np.r_[True, np.diff(numbers) != 0]
    if begins.sum() != len(names):
        again = numbers[begins]
        twice = names[np.flatnonzero(np.bincount(again) > 1)[0]]
        raise ValueError(f"series {str(twice)!r} is interrupted by another: sort the rows by series, and by time within each")
    return begins
