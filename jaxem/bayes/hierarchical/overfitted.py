"""Mixtures with more components than the data need: sparse finite mixtures and the Dirichlet process, by Gibbs. Layers 0 to 3.

NUTS does not move between partitions; the telescoping sampler's sweeps do. Components are exchangeable and have no names: what is
reported does not depend on labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import families, tabular
from .. import partitions
from ..mixing import Concentration, FiniteMixing, ProcessMixing
from ..partitions import Length, PartitionPosterior


SPARSE = (1.0, 20.0)  # gamma prior of the concentration of each weight: its mean is 0.05
PROCESS = (2.0, 4.0)  # gamma prior of the process's concentration; Escobar & West 1995, JASA 90, sec. 6


def sparse_mixture(
    data: Any,
    num_components: int = 10,
    *,
    family: Any = "VVV",
    concentration: tuple[float, float] = SPARSE,
    prior: Any = "richardson-green",
    num_chains: int = 8,
    num_warmup: int = 2000,
    num_samples: int = 20000,
    seed: Any = 0,
) -> PartitionPosterior:
    """Sample a sparse finite mixture: K is larger than needed, and a small Dirichlet concentration empties what is superfluous.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame.
        num_components: K, well above the number of clusters.
        family: A Gaussian structure with a conjugate prior, "poisson" or "categorical", as for `jaxem.fit`; a prior object has its own.
        concentration: Shape and rate of the gamma prior of the Dirichlet concentration of each weight.
        prior: Of the components: "richardson-green", or a prior object of `jaxem.bayes`.
        num_chains: Chains, run side by side.
        num_warmup: Sweeps of each chain that are thrown away.
        num_samples: Sweeps of each chain that count.
        seed: An int or a JAX key; the same seed gives the same draws on the same machine.
    Returns:
        A `PartitionPosterior`; `posterior_filled` is of the number of clusters, and `partition()` the clustering.
    Raises:
        ValueError: for an unknown name, an impossible prior, missing cells, and values out of range.
        TypeError: for arguments of the wrong kind.
    References:
        Malsiner-Walli, Frühwirth-Schnatter & Grün 2016, Statistics and Computing 26.

    Example:
        >>> import jaxem
        >>> counts = jaxem.datasets.load("earthquakes")["count"]
        >>> posterior = jaxem.bayes.hierarchical.sparse_mixture(
        ...     counts, 4, family="poisson", num_chains=4, num_warmup=500, num_samples=2000
        ... )
        >>> int(posterior.posterior_filled.argmax()) + 1 in (2, 3)
        True
    """
    k = tabular.count("num_components", num_components, 2)
    mixing = FiniteMixing(np.where(np.arange(1, k + 1) == k, 0.0, -np.inf), _gamma(concentration))
    return _sample(
        "sparse finite mixture", data, family, prior, mixing, k, Length.checked(num_chains, num_warmup, num_samples), seed
    )


def dirichlet_process(
    data: Any,
    max_components: int = 30,
    *,
    family: Any = "VVV",
    concentration: tuple[float, float] = PROCESS,
    prior: Any = "richardson-green",
    num_chains: int = 8,
    num_warmup: int = 2000,
    num_samples: int = 20000,
    seed: Any = 0,
) -> PartitionPosterior:
    """Sample a Dirichlet process mixture by blocked Gibbs; differs from `sparse_mixture` in that the number of clusters grows with n.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame.
        max_components: Components kept; what is cut off lies behind all that have rows.
        family: A Gaussian structure with a conjugate prior, "poisson" or "categorical", as for `jaxem.fit`; a prior object has its own.
        concentration: Shape and rate of the gamma prior of α.
        prior: Of the components: "richardson-green", or a prior object of `jaxem.bayes`.
        num_chains: Chains, run side by side.
        num_warmup: Sweeps of each chain that are thrown away.
        num_samples: Sweeps of each chain that count.
        seed: An int or a JAX key; the same seed gives the same draws on the same machine.
    Returns:
        A `PartitionPosterior`; `posterior_filled` is of the number of clusters, and `partition()` the clustering.
    Raises:
        ValueError: for an unknown name, an impossible prior, missing cells, and values out of range.
        TypeError: for arguments of the wrong kind.
    References:
        Ishwaran & James 2001, Journal of the American Statistical Association 96; weights given the partition: Pitman 1996.
    """
    k = tabular.count("max_components", max_components, 2)
    mixing = ProcessMixing(_gamma(concentration), k)
    return _sample(
        "Dirichlet process mixture", data, family, prior, mixing, k, Length.checked(num_chains, num_warmup, num_samples), seed
    )


def _sample(
    model: str, data: Any, family: Any, prior: Any, mixing: Any, most: int, length: Length, seed: Any
) -> PartitionPosterior:
    table = tabular.read(data, nominal=families.nominal(family))
    prior = partitions.components_prior(prior, table.x, family)
    begin_at = partitions.beginnings(list(range(1, most + 1)))
    return partitions.sample(model, table.x, prior, mixing, most, begin_at, length, seed)


def _gamma(concentration: Any) -> Concentration:
    """A gamma prior, checked."""
    try:
        shape, rate = (float(value) for value in concentration)
    except (TypeError, ValueError):
        raise ValueError(f"concentration must be the shape and rate of a gamma prior, got {concentration!r}") from None
    if not (0 < shape < np.inf and 0 < rate < np.inf):
        raise ValueError(f"concentration must be a positive shape and rate, got {concentration!r}")
    return Concentration(np.float64(shape), np.float64(rate), "gamma")
