"""NUTS on a NumPyro model: all chains in one compiled program. Imports layer 0 and NumPyro.

NumPyro's own kernel runs under `jit(scan(vmap))`. The model is a pytree and the rows are arguments, so a second call with the same
shapes compiles nothing.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from numpyro.infer import NUTS
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from ..._compiler import quick_jit


BATCH = 256  # draws that are looked at together afterwards


@quick_jit("num_warmup", "num_samples", "max_tree_depth")
def run(
    model: Any, args: tuple, keys: Any, start: Any, target: Any, *, num_warmup: int, num_samples: int, max_tree_depth: int
) -> Any:
    """Unconstrained draws and NUTS's own numbers, each (chains, draws, …), from `start` with a chain axis in front."""

    @jax.jit  # so that the kernel, which asks for it in many places, traces the model once
    def potential(position: Any) -> Any:
        return potential_energy(model, args, {}, position)

    kernel = NUTS(potential_fn=potential, target_accept_prob=target, max_tree_depth=max_tree_depth)

    def step(state: Any) -> tuple[Any, Any]:
        state = kernel.sample(state, (), {})
        told = {"diverging": state.diverging, "num_steps": state.num_steps, "acceptance_rate": state.accept_prob}
        return state, (state.z, told | {"lp": -state.potential_energy})

    # One scan for warm-up and draws: the kernel is the greater part of what there is to compile. Chains side by side inside it: to
    # batch a scan of the kernel takes twice as long to trace.
    first = jax.vmap(lambda key, position: kernel.init(key, num_warmup, position, (), {}))(keys, start)
    draws = lax.scan(lambda state, _: jax.vmap(step)(state), first, None, length=num_warmup + num_samples)[1]
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf[num_warmup:], 0, 1), draws)


@quick_jit()
def look(model: Any, args: tuple, positions: Any) -> Any:
    """What draws mean: site values, the log-likelihood of each unit, and the mean membership of each unit in each component.

    Args:
        model: A model with `log_likelihood` and `memberships`.
        args: Its rows.
        positions: Unconstrained draws, (chains, draws, …).
    Returns:
        Values (chains, draws, …), log-likelihoods (chains, draws, u), memberships (u, k).
    """
    chains, draws = jax.tree.leaves(positions)[0].shape[:2]
    total = chains * draws
    batch = max(size for size in range(1, min(total, BATCH) + 1) if total % size == 0)
    batches = jax.tree.map(lambda leaf: leaf.reshape(total // batch, batch, *leaf.shape[2:]), positions)

    def one(position: Any) -> Any:
        values = constrain_fn(model, args, {}, position, return_deterministic=True)
        return values, model.log_likelihood(values, *args), model.memberships(values, *args)

    def some(mean: Any, position: Any) -> Any:
        values, log_likelihood, members = jax.vmap(one)(position)
        return mean + jnp.sum(members, 0) / total, (values, log_likelihood)

    nothing = jax.eval_shape(one, jax.tree.map(lambda leaf: leaf[0, 0], positions))[2]
    members, seen = lax.scan(some, jnp.zeros(nothing.shape, nothing.dtype), batches)
    values, log_likelihood = jax.tree.map(lambda leaf: leaf.reshape(chains, draws, *leaf.shape[2:]), seen)
    return values, log_likelihood, members


@quick_jit()
def _slope(model: Any, args: tuple, position: Any) -> Any:
    return jax.value_and_grad(lambda at: potential_energy(model, args, {}, at))(position)


def climb(model: Any, args: tuple, starts: list[dict[str, Any]]) -> dict[str, Any]:
    """The highest posterior mode that L-BFGS reaches from any of several points.

    Args:
        model: A NumPyro model.
        args: Its rows.
        starts: Values of its sites.
    Returns:
        The mode, unconstrained.
    """
    from scipy.optimize import minimize

    best, lowest = None, np.inf
    for values in starts:
        flat, unravel = ravel_pytree(unconstrained(model, args, values))

        def objective(at: np.ndarray, unravel: Any = unravel) -> tuple[float, np.ndarray]:
            value, slope = _slope(model, args, unravel(jnp.asarray(at)))
            return float(value), np.asarray(ravel_pytree(slope)[0])

        found = minimize(objective, np.asarray(flat), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        if found.fun < lowest:
            best, lowest = unravel(jnp.asarray(found.x)), found.fun
    if best is None:
        raise RuntimeError("the posterior is not finite at any start; check the data for extreme values")
    return best


@quick_jit()
def unconstrained(model: Any, args: tuple, values: dict[str, Any]) -> dict[str, Any]:
    """Values of the sites as a point of the space that NUTS moves in."""
    return dict(unconstrain_fn(model, args, {}, values))


def scattered(key: Any, position: Any, num_chains: int, width: float) -> Any:
    """One start a chain: Gaussian noise about a point, so that R-hat means something."""
    leaves, tree = jax.tree.flatten(position)
    keys = jax.random.split(key, len(leaves))
    noisy = [leaf + width * jax.random.normal(k, (num_chains, *jnp.shape(leaf))) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, noisy)
