"""The NumPyro model of a fitted mixture, the allocation summed out. Imports layers 0 to 2, priors and NumPyro."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from .. import families
from ..models.mixture import MixtureParams
from .categorical import CategoricalPrior
from .prior import Prior
from .sites import MixtureRows


def mixture_model(prior: Prior, num_components: int) -> Callable[..., None]:
    """A NumPyro model function of a mixture.

    Its sites carry the names of `Fit.params`: `weights`, `means` and `covariances`, or `rates`. Where the structure ties or constrains
    covariances, `covariances` is deterministic, and `covariance`, `variance` or `variances` is what is sampled; `scale` is there
    where the prior learns it. Of t components there are `scatters` (of `scatter`, `squared_scale` or `squared_scales`) and `dof`, of
    `shared_dof` where it is in common. Of categories there are `probabilities`, made of `probabilities_2` and others, of the columns with
    so many. The rows are the site `x`, with the same log-density as `Fit.log_prob`.

    Args:
        prior: A prior made for the family, such as `jaxem.bayes.weak(fit, data)`; its family is the model's.
        num_components: K.
    Returns:
        A function of rows (n, d), in the data's units; or of `x=None` and `num_rows`, to draw from the prior predictive.

    Example:
        >>> import jaxem
        >>> from numpyro.handlers import seed, trace
        >>> counts = jaxem.datasets.load("earthquakes")[["count"]]
        >>> model = jaxem.bayes.mixture_model(jaxem.bayes.richardson_green(counts, "poisson"), 3)
        >>> sites = trace(seed(model, 0)).get_trace(num_rows=5)
        >>> sites["rates"]["value"].shape, sites["x"]["value"].shape
        ((3, 1), (5, 1))
    """

    def model(x: Any = None, num_rows: int | None = None) -> None:
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(num_components, prior.concentration)))
        components = prior.sites(num_components)
        d = num_features(prior)
        family = family_of(prior)
        rows = MixtureRows(family, MixtureParams(jnp.log(weights), components), d)
        with numpyro.plate("rows", len(x) if x is not None else num_rows or 1):
            numpyro.sample("x", rows, obs=x)

    return model


def num_features(prior: Any) -> int:
    """Columns of the data that a prior is for."""
    if hasattr(prior, "strength"):
        return len(prior.strength)
    return (prior.location if hasattr(prior, "location") else prior.shape).shape[-1]


def family_of(prior: Any) -> Any:
    """The family of a prior, in its accurate form."""
    if isinstance(prior, CategoricalPrior):
        return prior.known()
    return families.resolve(prior.family, num_features(prior))[0].with_residuals()
