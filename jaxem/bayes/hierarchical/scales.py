"""Richardson & Green's mixture in one dimension: the size of the variances is learned. Layers 0 to 3 and NumPyro."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ... import fitting, tabular
from ..._pytree import pytree, static
from ..._typing import Array, Float
from . import components
from .posterior import HierarchicalPosterior
from .sampling import Options, Task, sample


@pytree
class RichardsonGreen:
    """A NumPyro model of rows in one dimension: σ⁻² ~ Γ(2, β) and β ~ Γ(0.2, 10/R²), means N(midpoint, R²), weights Dirichlet(1).

    Attributes:
        midpoint: Of the rows.
        extent: R, their range.
        num_components: K.
    """

    midpoint: Any
    extent: Any
    num_components: int = static(default=2)

    def __call__(self, x: Float[Array, " n"]) -> None:
        """The statements, for rows (n,)."""
        numpyro.factor("log_likelihood", jnp.sum(self.log_likelihood(self.parameters(), x)))

    def parameters(self) -> dict[str, Any]:
        """The prior, and what the likelihood needs."""
        k = self.num_components
        weights: Any = numpyro.sample("weights", dist.Dirichlet(jnp.ones(k)))
        means: Any = numpyro.sample("means", components.Ascending(dist.Normal(self.midpoint, self.extent), k))
        scale: Any = numpyro.sample("scale", dist.Gamma(0.2, 10 / self.extent**2))
        precisions: Any = numpyro.sample("precisions", dist.Gamma(2.0, scale).expand([k]).to_event(1))
        return {"weights": weights, "means": means, "precisions": precisions}

    def log_joint(self, values: dict[str, Any], x: Any) -> Float[Array, "n k"]:
        """log p(component, row)."""
        normal = dist.Normal(values["means"], values["precisions"] ** -0.5)
        return normal.log_prob(x[:, None]) + jnp.log(values["weights"])

    def log_likelihood(self, values: dict[str, Any], x: Any) -> Float[Array, " n"]:
        """Of each row, the component summed out."""
        return jax.nn.logsumexp(self.log_joint(values, x), axis=-1)

    def memberships(self, values: dict[str, Any], x: Any) -> Float[Array, "n k"]:
        """Probability of each component given the row and the parameters."""
        return jax.nn.softmax(self.log_joint(values, x), axis=-1)


def richardson_green(
    data: Any,
    num_components: int = 2,
    *,
    num_chains: int = 4,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    target_accept: float = 0.9,
    seed: Any = 0,
) -> HierarchicalPosterior:
    """Sample a Gaussian mixture in one dimension under Richardson & Green's hierarchical prior, by NUTS, from the EM fit.

    Components ascend in their means. For several columns, or a K that is not known, see `jaxem.bayes.compare_k`, which has the same
    prior and samples by Gibbs.

    Args:
        data: Rows: array-like (n,) or (n, 1), or a data frame of one column.
        num_components: K, at least 2.
        num_chains: Chains, run side by side.
        num_warmup: Draws of each chain that tune the sampler and are thrown away.
        num_samples: Draws of each chain that are kept.
        target_accept: Acceptance rate that NUTS's step size is tuned to.
        seed: An int or a JAX key; the same seed gives the same draws on the same machine.
    Returns:
        A `HierarchicalPosterior` of weights (k,), means (k, 1), covariances (k, 1, 1) and scale, the β of the prior.
    Raises:
        ValueError: for data of several columns, missing cells, and values out of range.
        TypeError: for arguments of the wrong kind.
        RuntimeError: if every run of EM failed.
    References:
        Richardson & Green 1997, JRSS-B 59, sec. 2.
    """
    k = tabular.count("num_components", num_components, 2)
    options = Options.checked(num_chains, num_warmup, num_samples, target_accept, seed)
    table = tabular.read(data)
    if len(table.columns) != 1:
        raise ValueError(
            f"richardson_green takes one column, got {list(table.columns)}; for several use jaxem.bayes.compare_k, "
            "which has this prior in any number of dimensions"
        )
    units = components.Standard.of(table.x, table.columns)
    x = units.into(table.x)[:, 0]
    params = fitting.fit(x, "V", k, seed=seed).params
    params = params.take(np.argsort(params.means[:, 0]))
    variances = np.maximum(params.covariances[:, 0, 0], 1e-3)
    task = Task(
        name="Richardson & Green's mixture",
        model=RichardsonGreen(midpoint=(x.max() + x.min()) / 2, extent=np.ptp(x), num_components=k),
        args=(x,),
        starts=[
            {"weights": params.weights, "means": params.means[:, 0], "scale": variances.mean(), "precisions": 1 / variances}
        ],
        publish=lambda draws: {
            "weights": draws["weights"],
            "means": units.means(draws["means"][..., None]),
            "covariances": units.covariances(1 / draws["precisions"][..., None, None]),
            "scale": draws["scale"] * units.scale[0] ** 2,
        },
        units=np.arange(table.num_rows),
        log_volume=units.log_volume,
        dims={"weights": ["component"], "means": ["component", "column"], "covariances": ["component", "column", "other"]},
        coords={"column": list(table.columns), "other": list(table.columns)},
    )
    return sample(task, options)
