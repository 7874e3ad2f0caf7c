"""Many runs of a model of one's own, each from a start of its own. Owns their blocks; knows no model. Imports layer 0 and em.

`jax.vmap` over `em.run` keeps all runs computing until the slowest has ended. Here a compiled program advances a *block* of runs by a
few steps; those that have ended leave it, and waiting ones take their places. (Mixtures of a `Family` have `lanes` for this, and better
`jaxem.fit`.)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import em
from ._status import Status
from ._typing import Number


# Runs side by side. Six problems of experiments/own_models, all runs and compiling: with 16 as fast as `vmap` over `em.run` or up to 2.3
# times faster, with 64 and 256 up to 2.5 and 1.5 times, and on others a fifth slower.
BLOCK = {"cpu": 16}
BLOCK_ELSEWHERE = 256
TICKS = 20  # steps before the host looks which of them have ended


def run(
    model: Any,
    params: Any,
    data: Any,
    *,
    tol: Number = 1e-3,
    max_steps: int = 2000,
    method: Any = None,
    e_step: em.EStep | None = None,
    block: int | None = None,
) -> Any:
    """Run EM from many starts, each until it converges, fails or has taken `max_steps` steps.

    A run that fails leaves the others alone. What comes of a start does not depend, beyond rounding, on what is run beside it.

    Args:
        model: A `LatentModel`.
        params: The starts: a pytree of arrays with a leading axis over the runs, all float32 or all float64.
        data: What the model's `e_step` takes, a pytree of arrays in the same dtype; what is no array belongs into the model.
        tol: In nats of total objective, as in `em.run`.
        max_steps: The most E-steps of a run after its first.
        method: As in `em.run`.
        e_step: As in `em.run`.
        block: The most runs side by side: 16 on a CPU and 256 elsewhere, unless given. Memory grows with it; small blocks waste less on
            runs that have ended, large ones less on calls.
    Returns:
        The method's states, stacked: `params`, `log_likelihood`, `objective`, `num_steps`, `status`, all NumPy arrays with the leading
        axis of the starts. `best` takes the best of them.
    Raises:
        TypeError, ValueError: as in `em.run`.
        ValueError: if the params' arrays differ in their leading axes; if there is no start, or no room for one in a block.

    Example:
        The modes of a density of two peaks, the left one higher, from either side.

        >>> class Peaks:
        ...     def e_step(self, place, data):
        ...         left, right = 1 - (place + 1) ** 2, -((place - 1) ** 2)
        ...         return jax.nn.sigmoid(right - left), jnp.logaddexp(left, right)
        ...     def m_step(self, place, is_right):
        ...         return 2 * is_right - 1
        >>> runs = run(Peaks(), jnp.array([-2.0, 2.0, 3.0]), None)
        >>> print(runs.params.round(2), best(runs).params.round(2))
        [-0.99  0.8   0.8 ] -0.99
    """
    em.refuse_other_than_floats(params)
    number, data = _num_runs(params), _arrays(data)
    block = BLOCK.get(jax.default_backend(), BLOCK_ELSEWHERE) if block is None else block
    if block < 1:
        raise ValueError(f"block must be at least 1 run, got {block}")
    size = min(block, number)
    begin, onward = _programs(model, em.EM() if method is None else method, e_step)

    parts = []
    for first in range(0, number, size):
        mine = np.arange(first, min(first + size, number))
        part = jax.device_get(begin(_take(params, np.resize(mine, size)), data))
        parts.append(_take(part, slice(len(mine))))
    states = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    em.refuse_mixed_dtypes(params, states.objective)

    limit, most = np.asarray(tol, states.objective.dtype), np.asarray(max_steps, np.int32)
    waiting = np.flatnonzero(states.status == Status.RUNNING)
    if max_steps < 1:
        states.status[waiting], waiting = Status.MAX_STEPS, waiting[:0]
    active = waiting[:0]
    while len(waiting) or len(active):
        room = size - len(active)
        active, waiting = np.concatenate([active, waiting[:room]]), waiting[room:]
        after = jax.device_get(onward(_take(states, np.resize(active, size)), data, limit, most))
        for whole, part in zip(jax.tree.leaves(states), jax.tree.leaves(after), strict=True):
            whole[active] = part[: len(active)]
        active = active[states.status[active] == Status.RUNNING]
    return states


def _programs(model: Any, method: Any, e_step: em.EStep | None) -> tuple[Any, Any]:
    """What begins a block of runs, and what takes it a few steps on."""

    @jax.jit
    def begin(starts: Any, data: Any) -> Any:
        return jax.vmap(lambda start: method.init(model, start, data, e_step))(starts)

    @jax.jit
    def onward(states: Any, data: Any, tol: Any, max_steps: Any) -> Any:
        step = jax.vmap(lambda state: method.step(model, state, data, tol, e_step))
        return em.advance(step, states, max_steps=max_steps, num_ticks=TICKS)[0]

    return begin, onward


def best(states: Any) -> Any:
    """The state of the run with the highest objective, of those that have not failed: converged, or out of steps.

    Args:
        states: What `run` returned.
    Raises:
        RuntimeError: if all have failed, with how.
    """
    failed = np.isin(states.status, [one for one in Status if one.failed]) | ~np.isfinite(states.objective)
    if failed.all():
        names, counts = np.unique([Status(int(status)).name for status in states.status], return_counts=True)
        found = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
        raise RuntimeError(
            f"all {len(failed)} runs failed ({found}): look at their starts, and at jaxem.em.Status for what each means"
        )
    return _take(states, int(np.argmax(np.where(failed, -np.inf, states.objective))))


def _num_runs(params: Any) -> int:
    """The length of the leading axis, which all arrays must share."""
    found = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(params)}
    if len(found) != 1 or found <= {(), (0,)}:
        shapes = ", ".join(str(np.shape(leaf)) for leaf in jax.tree.leaves(params))
        raise ValueError(
            f"the starts must be arrays with a leading axis over the runs, the same for all; got shapes {shapes or 'none'}: stack them, "
            "e.g. with jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts), or take jaxem.em.run for one start"
        )
    return found.pop()[0]


def _arrays(data: Any) -> Any:
    """The data on the device.

    Raises:
        TypeError: for what is no array of numbers.
    """
    for leaf in jax.tree.leaves(data):
        kind = np.asarray(leaf).dtype.kind if not isinstance(leaf, jax.Array) else "f"
        if (not hasattr(leaf, "__array__") and not isinstance(leaf, int | float)) or kind not in "biuf":
            raise TypeError(
                f"data must be a pytree of arrays of numbers, but some of it is a {type(leaf).__name__}: keep what is no array in the "
                "model, and turn a data frame into an array with to_numpy()"
            )
    return jax.tree.map(jnp.asarray, data)


def _take(tree: Any, where: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[where], tree)
