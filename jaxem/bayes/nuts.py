"""NumPyro's NUTS, compiled once: one scan of its kernel, chains side by side. Imports laplace and NumPyro.

`numpyro.infer.MCMC` traces and compiles anew in every call; here data, prior and starts are arguments of one program, which serves any
data of the same shape. Each chain moves in coordinates in which the Laplace approximation of the peak it begins at is a standard
normal, so that neither the units of the data nor correlated params cost it leapfrog steps; with few of them, a dense mass matrix is
learned on top.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
from numpyro.infer import NUTS

from .._pytree import pytree
from .._typing import Array, Bool, Float, Int
from .laplace import Peak, Space


TARGET = 0.8  # mean acceptance probability that the step size is adapted to
DEPTH = 8  # trees of at most 2⁸ − 1 leapfrog steps
DENSE = 32  # coordinates up to which warm-up can learn a dense mass matrix: chains that leave their peak for another need it


@pytree
class Trace:
    """What became of the chains.

    Attributes:
        sites: Values of all sites, axes (chain, draw) in front.
        diverging: Whether a draw's trajectory diverged.
        num_steps: Leapfrog steps of each draw.
        accept_prob: Its mean acceptance probability.
    """

    sites: Any
    diverging: Bool[Array, "c s"]
    num_steps: Int[Array, "c s"]
    accept_prob: Float[Array, "c s"]


@functools.partial(jax.jit, static_argnames=("num_warmup", "num_samples"))
def chains(keys: Any, space: Space, peaks: Peak, noise: Float[Array, "c p"], num_warmup: int, num_samples: int) -> Trace:
    """Draws of several chains in one program.

    Args:
        keys: One JAX key a chain.
        space: The model's coordinates.
        peaks: The peak that each chain begins at, chain axis in front.
        noise: Where it begins, in standard normal units from its peak.
        num_warmup: Steps of adaptation, not kept.
        num_samples: Draws kept of each chain.
    """

    def chain(key, peak, start):
        def potential(z):
            return -space.log_density(peak.point + peak.factor @ z)

        dense = start.shape[0] <= DENSE
        kernel = NUTS(potential_fn=potential, target_accept_prob=TARGET, max_tree_depth=DEPTH, dense_mass=dense)
        state = kernel.init(key, num_warmup, start, (), {})

        def step(state, _):
            state = kernel.sample(state, (), {})
            return state, (state.z, state.diverging, state.num_steps, state.accept_prob)

        told = jax.lax.scan(step, state, None, length=num_warmup + num_samples)[1]  # one scan: the kernel is compiled once
        z, *told = (leaf[num_warmup:] for leaf in told)
        return Trace(jax.vmap(lambda z: space.values(peak.point + peak.factor @ z))(z), *told)

    return jax.vmap(chain)(keys, peaks, noise)
