"""The prior of t components: that of Gaussian ones for means and scatter, and one for degrees of freedom. Layer 0, families, gaussian.

A t component is Gaussian once the factors of its rows are known (`families.student`), and they are gamma distributed given the rest. So
a sweep draws them, and means and scatter given weighted moments. Degrees of freedom are drawn before, from their density with the
factors summed out: given the factors of thousands of rows they could hardly move.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._linalg import contract
from .._pytree import pytree, static
from .._typing import Array, Float
from ..families.gaussian import GaussianStats
from ..families.student import LEAST, StudentParams, student, tail_peak
from .gaussian import GaussianPrior


WIDTHS = 1.0, 0.3, 0.1  # of a sweep's random-walk steps in log(ν − 1): little data leave ν open to a factor of e, many do not
START = 1.1, 50.0  # degrees of freedom between which a chain begins, whatever EM has found


def gammas(key: Any, shape: Float[Array, " n"]) -> Float[Array, " n"]:
    """Gamma draws for shapes of 1 or more, all proposed at once until the last is taken: on a CPU `jax.random.gamma` draws one by one.

    Args:
        key: A JAX key.
        shape: Shapes, (n,).
    References:
        Marsaglia & Tsang 2000, ACM Transactions on Mathematical Software 26: of their proposals 95 in 100 or more are taken.
    """
    mean = shape - 1 / 3

    def propose(carry: Any) -> Any:
        key, drawn, open_ = carry
        key, of_normal, of_uniform = jax.random.split(key, 3)
        normal = jax.random.normal(of_normal, shape.shape, shape.dtype)
        cube = (1 + normal / jnp.sqrt(9 * mean)) ** 3
        log_cube = jnp.log(jnp.maximum(cube, jnp.finfo(shape.dtype).tiny))
        level = jnp.log(jax.random.uniform(of_uniform, shape.shape, shape.dtype))
        taken = (cube > 0) & (level < 0.5 * normal**2 + mean * (1 - cube + log_cube))
        return key, jnp.where(open_ & taken, mean * cube, drawn), open_ & ~taken

    begin = key, jnp.zeros_like(shape), jnp.ones(shape.shape, bool)
    return jax.lax.while_loop(lambda carry: jnp.any(carry[2]), propose, begin)[1]


@pytree
class Weighted:
    """What the rows allocated to each component tell, once their factors u are drawn.

    Attributes:
        count: How many there are, shape (k,).
        moments: About the component's mean, each row with the weight u.
    """

    count: Float[Array, " k"]
    moments: GaussianStats


@pytree
class StudentPrior:
    """A prior of t components; make one with the functions of `jaxem.bayes`, or by hand.

    Attributes:
        normal: Of means and scatter matrices, as if these were covariances; of weights as well.
        dof_shape: Shape of the gamma prior of ν − 1, ν degrees of freedom.
        dof_rate: Its rate.
        dof: None where each component has degrees of freedom of its own, "equal" where they are in common, a number where known.
    References:
        The factors: Frühwirth-Schnatter & Pyne 2010, Biostatistics 11, sec. 3; the gamma prior: Juárez & Steel 2010, Journal of Business
        & Economic Statistics 28, sec. 3.
    """

    normal: GaussianPrior
    dof_shape: Any = 2.0
    dof_rate: Any = 0.1
    dof: Any = static(default=None)

    sampler = (
        "nuts"  # given the factors, scatter and degrees of freedom hold each other: a draw by Gibbs is worth a tenth as much
    )

    @property
    def family(self) -> str:
        """The family's name."""
        return student(self.normal.family, dof=self.dof, univariate=len(self.normal.family) == 1).name

    @property
    def concentration(self) -> Any:
        """Dirichlet concentration of each mixing weight."""
        return self.normal.concentration

    @property
    def location(self) -> Any:
        """Mean of the means, shape (d,)."""
        return self.normal.location

    @property
    def pooled(self) -> bool:
        """Whether all components share one scatter matrix."""
        return self.normal.pooled

    @property
    def shape(self) -> str:
        """Whether scatter matrices are full, diagonal or spherical."""
        return self.normal.shape

    @property
    def common(self) -> bool:
        """Whether degrees of freedom are drawn for all components together."""
        return self.dof == "equal"

    @property
    def held(self) -> float | None:
        """Degrees of freedom that are known."""
        return None if self.dof is None or self.common else float(self.dof)

    @property
    def shared(self) -> tuple[str, ...]:
        """What all components have in common, of what is published."""
        return (("scatters",) if self.pooled else ()) + (("dof",) if self.common else ())

    def sample_hyper(self, key: Any) -> Any:
        """The scale of the scatter matrices from its own prior."""
        return self.normal.sample_hyper(key)

    def sample(self, key: Any, num_components: int, hyper: Any = None) -> StudentParams:
        """Components from the prior."""
        ours, tails = jax.random.split(key)
        normal = self.normal.sample(ours, num_components, hyper)
        return StudentParams(normal, self._tail(self._sample_above(tails, num_components)))

    def augment(
        self, key: Any, family: Any, params: StudentParams, x: Float[Array, "d n"], own: Float[Array, "k n"]
    ) -> tuple[StudentParams, Weighted]:
        """Degrees of freedom given rows, then the rows' factors, and the moments weighted by these."""
        of_tail, of_factor = jax.random.split(key)
        more, square = 0.5 * x.shape[0], jnp.sum(own * family.normal.squares(params.normal, x), 0)
        tail = self._draw_tail(of_tail, params.tail, square, own, more)
        half = 0.5 / contract("kn,k->n", own, tail)
        factor = gammas(of_factor, half + more) / (half + 0.5 * square)
        moments = family.normal.expected_stats(params.normal, x, own * factor)
        return StudentParams(params.normal, tail), Weighted(jnp.sum(own, 1), moments)

    def draw(self, key: Any, params: StudentParams, stats: Weighted, hyper: Any = None) -> StudentParams:
        """Means and scatter matrices given weighted moments; degrees of freedom are drawn already."""
        return StudentParams(self.normal.draw(key, params.normal, stats.moments, hyper, stats.count), params.tail)

    def draw_hyper(self, key: Any, params: StudentParams, hyper: Any, live: Float[Array, " k"]) -> Any:
        """The scale of the scatter matrices given those of the live components."""
        return self.normal.draw_hyper(key, params.normal, hyper, live)

    def begin_hyper(self, params: StudentParams) -> Any:
        """The mean of the scale given all components."""
        return self.normal.begin_hyper(params.normal)

    def publish(self, params: StudentParams) -> dict[str, Any]:
        """Means (…, k, d), scatter matrices (…, k, d, d) and degrees of freedom (…, k)."""
        normal = self.normal.publish(params.normal)
        return {"means": normal["means"], "scatters": normal["covariances"], "dof": 1 / params.tail}

    def components(self, published: dict[str, Any]) -> StudentParams:
        """The inverse of `publish`."""
        normal = self.normal.components({"means": published["means"], "covariances": published["scatters"]})
        return StudentParams(normal, 1 / jnp.asarray(published["dof"]))

    def sites(self, num_components: int) -> StudentParams:
        """The prior as NumPyro statements: sites `means`, `scatters` and `dof`, and those that the latter two are made of."""
        from . import sites

        return sites.student(self, num_components)

    def site_values(self, published: dict[str, Any]) -> dict[str, Any]:
        """Values of the sampled sites; degrees of freedom that the prior all but excludes are moved to where it does not."""
        out = self.normal.site_values(published, "scatters")
        if self.held:
            return out
        dof = jnp.clip(jnp.asarray(published["dof"]), *START)
        return out | ({"shared_dof": dof[0]} if self.common else {"dof": dof})

    def _tail(self, above: Any) -> Any:
        """Tails from ν − 1; those that are known."""
        return jnp.full_like(above, 1 / self.held) if self.held else 1 / (LEAST + above)

    def _sample_above(self, key: Any, k: int) -> Float[Array, " k"]:
        """ν − 1 from the prior."""
        return jnp.broadcast_to(jax.random.gamma(key, self.dof_shape, (1 if self.common else k,)) / self.dof_rate, (k,))

    def _draw_tail(self, key: Any, tail: Any, square: Float[Array, " n"], own: Float[Array, "k n"], more: float) -> Any:
        """Tails given labels, means and scatter, by random-walk steps; those of components without rows from the prior."""
        if self.held:
            return tail
        count, k = jnp.sum(own, 1), len(tail)

        def log_density(log_above: Float[Array, " k"]) -> Float[Array, " k"]:
            tail = 1 / (LEAST + jnp.exp(log_above))
            drops = contract("kn,n->k", own, jnp.log1p(contract("kn,k->n", own, tail) * square))
            said = count * tail_peak(tail, more) - (0.5 / tail + more) * drops
            said = jnp.broadcast_to(jnp.sum(said), (k,)) if self.common else said
            return said + self.dof_shape * log_above - self.dof_rate * jnp.exp(log_above)

        fresh, *keys = jax.random.split(key, 1 + len(WIDTHS))
        at = jnp.log(jnp.maximum(1 / tail - LEAST, np.finfo(np.float32).tiny))
        height = log_density(at)
        for width, one in zip(WIDTHS, keys, strict=True):
            walk, accept = jax.random.split(one)
            shape = (1,) if self.common else (k,)
            there = at + width * jax.random.normal(walk, shape)
            proposed = log_density(there)
            taken = jnp.log(jax.random.uniform(accept, shape)) < proposed - height
            at, height = jnp.where(taken, there, at), jnp.where(taken, proposed, height)
        return self._tail(jnp.where(count > 0, jnp.exp(at), self._sample_above(fresh, k)))
