"""Mixtures of rows that come in groups: components are shared, weights and perhaps means differ from group to group. Layers 0 to 3."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ... import fitting, tabular
from ..._pytree import pytree, static
from ..._typing import Array, Float, Int
from . import columns, components
from .posterior import HierarchicalPosterior
from .sampling import Options, Task, sample


@pytree
class GroupedMixture:
    """A NumPyro model of grouped rows in standard units: Gaussian components, partially pooled weights and, if asked, means.

    The log-weights of group g are β + τ ε_g up to a constant, β and ε_g of zero sum, ε_g standard normal, τ half-normal. Where means
    vary, that of component k in group g is μ_k + s_k η_gk, η_gk standard normal, s_k half-normal column by column.

    Attributes:
        weight_width: Sd of β.
        weight_spread: Scale of the half-normal prior of τ.
        mean_spread: Scale of the half-normal prior of s_k; were it large, groups could swap components.
        num_components: K.
        num_groups: Groups.
        order_by: The column in which components ascend.
        vary_means: Whether groups have means of their own.
    """

    weight_width: Any = 1.5
    weight_spread: Any = 1.0
    mean_spread: Any = 0.3
    num_components: int = static(default=2)
    num_groups: int = static(default=2)
    order_by: int = static(default=0)
    vary_means: bool = static(default=False)

    def __call__(self, x: Float[Array, "n d"], group: Int[Array, " n"]) -> None:
        """The statements, for rows (n, d) and the number of each row's group (n,)."""
        values = self.parameters(x.shape[1])
        numpyro.factor("log_likelihood", jnp.sum(self.log_likelihood(values, x, group)))

    def parameters(self, num_features: int) -> dict[str, Any]:
        """The prior, and what the likelihood needs."""
        k, d = self.num_components, num_features
        means, factors = components.gaussians(k, d, self.order_by)
        centre: Any = numpyro.sample("log_weights", dist.ZeroSumNormal(self.weight_width, event_shape=(k,)))
        spread: Any = numpyro.sample("weight_sd", dist.HalfNormal(self.weight_spread))
        offsets = dist.ZeroSumNormal(1.0, event_shape=(k,)).expand([self.num_groups])
        offsets: Any = numpyro.sample("weight_offsets", offsets.to_event(1))
        numpyro.deterministic("weights", jax.nn.softmax(centre))
        weights: Any = numpyro.deterministic("group_weights", jax.nn.softmax(centre + spread * offsets, axis=-1))
        if self.vary_means:
            width: Any = numpyro.sample("mean_sd", dist.HalfNormal(self.mean_spread).expand([k, d]).to_event(2))
            shifts: Any = numpyro.sample("mean_offsets", dist.Normal(0.0, 1.0).expand([self.num_groups, k, d]).to_event(3))
            means: Any = numpyro.deterministic("group_means", means + width * shifts)
        return {"means": means, "group_means": means, "factors": factors, "group_weights": weights}

    def log_joint(self, values: dict[str, Any], x: Any, group: Any) -> Float[Array, "n k"]:
        """log p(component, row)."""
        means = values["group_means"][group] if self.vary_means else values["means"]
        return components.gaussian_log_prob(x[:, None, :] - means, values["factors"]) + jnp.log(values["group_weights"])[group]

    def log_likelihood(self, values: dict[str, Any], x: Any, group: Any) -> Float[Array, " n"]:
        """Of each row, the component summed out."""
        return jax.nn.logsumexp(self.log_joint(values, x, group), axis=-1)

    def memberships(self, values: dict[str, Any], x: Any, group: Any) -> Float[Array, "n k"]:
        """Probability of each component given the row and the parameters."""
        return jax.nn.softmax(self.log_joint(values, x, group), axis=-1)


def grouped_mixture(
    data: Any,
    group: Any,
    num_components: int = 2,
    *,
    vary: str = "weights",
    num_chains: int = 4,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    target_accept: float = 0.9,
    seed: Any = 0,
) -> HierarchicalPosterior:
    """Sample a mixture of Gaussians whose components are shared by groups and whose weights, and perhaps means, are partially pooled.

    Chains start at the EM fit of all rows together. Components ascend in the column that tells them apart best.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame.
        group: The group of each row: values (n,), or the name of a column of the frame. Two groups at least.
        num_components: K, at least 2.
        vary: What differs from group to group: "weights", or "means" for means and weights.
        num_chains: Chains, run side by side.
        num_warmup: Draws of each chain that tune the sampler and are thrown away.
        num_samples: Draws of each chain that are kept.
        target_accept: Acceptance rate that NUTS's step size is tuned to.
        seed: An int or a JAX key; the same seed gives the same draws on the same machine.
    Returns:
        A `HierarchicalPosterior` of weights (k,), group_weights (g, k), weight_sd, means (k, d), covariances (k, d, d) and, where
        means vary, group_means (g, k, d) and mean_sd (k, d). Groups are in sorted order: `coords["group"]`.
    Raises:
        ValueError: for a group column that is missing or has one level, missing cells, and values out of range.
        TypeError: for arguments of the wrong kind.
        RuntimeError: if every run of EM failed.

    Example:
        >>> import numpy as np, jaxem
        >>> rng = np.random.default_rng(0)
        >>> school = np.repeat(["a", "b", "c"], 60)
        >>> able = rng.random(180) < np.repeat([0.2, 0.7, 0.8], 60)
        >>> posterior = jaxem.bayes.hierarchical.grouped_mixture(
        ...     np.where(able, 4.0, 0.0) + rng.normal(size=180), school, num_warmup=300, num_samples=500
        ... )
        >>> posterior.samples["group_weights"].mean((0, 1)).argmax(1).tolist()        # most of "a" are in the lower component
        [0, 1, 1]
    """
    if vary not in ("weights", "means"):
        raise ValueError(f'vary must be "weights" or "means", got {vary!r}')
    k = tabular.count("num_components", num_components, 2)
    options = Options.checked(num_chains, num_warmup, num_samples, target_accept, seed)
    data, roles = columns.split(data, group=group)
    table = tabular.read(data)
    names, numbers = columns.levels("group", roles["group"], table.num_rows, 2, "there is nothing to pool; use jaxem.fit")
    units = components.Standard.of(table.x, table.columns)
    x = units.into(table.x)
    fit = fitting.fit(x, "VVV" if x.shape[1] > 1 else "V", k, seed=seed)
    deviation = np.sqrt(np.diagonal(fit.params.covariances, axis1=1, axis2=2))
    order_by, order = components.best_order(fit.params.means, deviation)
    model = GroupedMixture(num_components=k, num_groups=len(names), order_by=order_by, vary_means=vary == "means")
    task = Task(
        name=f"grouped mixture, {vary} vary",
        model=model,
        args=(x, numbers),
        starts=[_start(model, fit.params.take(order), x.shape[1])],
        publish=lambda draws: _publish(draws, units),
        units=np.arange(table.num_rows),
        log_volume=units.log_volume,
        dims={
            "weights": ["component"],
            "group_weights": ["group", "component"],
            "means": ["component", "column"],
            "covariances": ["component", "column", "other"],
            "group_means": ["group", "component", "column"],
            "mean_sd": ["component", "column"],
        },
        coords={"group": names.tolist(), "column": list(table.columns), "other": list(table.columns)},
    )
    return sample(task, options)


def _start(model: GroupedMixture, params: Any, num_features: int) -> dict[str, Any]:
    """Values of the sites at an EM fit, all groups alike."""
    log_weights = np.log(np.maximum(params.weights, 1e-3))
    out = components.gaussian_values(params.means, params.covariances, model.order_by) | {
        "log_weights": log_weights - log_weights.mean(),
        "weight_sd": np.float64(0.5),
        "weight_offsets": np.zeros((model.num_groups, model.num_components)),
    }
    if model.vary_means:
        shape = (model.num_components, num_features)
        out |= {"mean_sd": np.full(shape, 0.1), "mean_offsets": np.zeros((model.num_groups, *shape))}
    return out


def _publish(draws: dict[str, np.ndarray], units: components.Standard) -> dict[str, np.ndarray]:
    """Draws in the data's units."""
    out = {name: draws[name] for name in ("weights", "group_weights", "weight_sd")}
    out |= {"means": units.means(draws["means"]), "covariances": units.covariances(draws["covariances"])}
    if "group_means" in draws:
        out |= {"group_means": units.means(draws["group_means"]), "mean_sd": draws["mean_sd"] * units.scale}
    return out
