"""What the samplers ask of a prior, and the prior of mixing weights. Imports layer 0.

The conjugate Gibbs sampler is EM with draws in place of expectations and maxima: allocations are drawn instead of averaged over, and a
prior's `draw` stands where a family's `m_step` does, on the same additive statistics.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import jax

from .._typing import Array, Float


@runtime_checkable
class Prior(Protocol):
    """The prior of all params of a mixture, conjugate given the allocations. A pytree: its numbers are traced.

    `params` are the family's, component axis first; `hyper` is what a hierarchical prior learns from the data, None without one.

    Attributes:
        family: Code of the family.
        concentration: Dirichlet concentration of each mixing weight.
        shared: Names of those published arrays in which all components are the same.
        sampler: "gibbs" or "nuts": the better one for this posterior.
    """

    family: str
    concentration: Any
    shared: tuple[str, ...]
    sampler: str

    def sample_hyper(self, key: Any) -> Any:
        """The hyperparameter from its own prior; None where there is none."""
        ...

    def sample(self, key: Any, num_components: int, hyper: Any) -> Any:
        """Components from the prior: params."""
        ...

    def augment(self, key: Any, family: Any, params: Any, x: Any, own: Any) -> tuple[Any, Any]:
        """Statistics of the rows (d, n) allocated to each component, `own` (k, n) 1 where they are and 0 elsewhere.

        A prior that is conjugate only given latent numbers of the rows draws these first, and gives back with them the params that it
        has drawn without them.
        """
        ...

    def draw(self, key: Any, params: Any, stats: Any, hyper: Any) -> Any:
        """Components given their allocated rows, whose statistics were taken at `params`; a component without rows is a prior draw."""
        ...

    def draw_hyper(self, key: Any, params: Any, hyper: Any, live: Float[Array, " k"]) -> Any:
        """The hyperparameter given those components for which `live` is 1 (not 0)."""
        ...

    def begin_hyper(self, params: Any) -> Any:
        """A good hyperparameter to begin with; None where there is none."""
        ...

    def publish(self, params: Any) -> dict[str, Any]:
        """Arrays named as in `Fit.params`, from params with any axes in front."""
        ...

    def components(self, published: dict[str, Any]) -> Any:
        """The inverse of `publish`."""
        ...

    def sites(self, num_components: int) -> Any:
        """The same prior as NumPyro statements, for a model function; returns params."""
        ...

    def site_values(self, published: dict[str, Any]) -> dict[str, Any]:
        """Values of the sampled sites, from arrays named as in `Fit.params`."""
        ...


def log_dirichlet(key: Any, concentration: Float[Array, " k"]) -> Float[Array, " k"]:
    """A Dirichlet draw in logarithms, for concentrations of any size: small ones underflow on the plain scale."""
    return jax.nn.log_softmax(jax.random.loggamma(key, concentration))
