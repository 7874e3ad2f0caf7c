"""From a model and a start to a `HierarchicalPosterior`: the one way in which every model here is sampled by NUTS."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ... import tabular
from ..._precision import precision, random_key
from . import chains
from .posterior import HierarchicalPosterior


JITTER = 0.1  # of the chains' starts, on the unconstrained scale


@dataclasses.dataclass(frozen=True)
class Options:
    """How long and how carefully NUTS runs.

    Attributes:
        num_chains: Chains, run side by side.
        num_warmup: Draws of each chain that tune step size and mass matrix, and are thrown away.
        num_samples: Draws of each chain that are kept.
        target_accept: Acceptance rate that the step size is tuned to.
        seed: Words of the seed.
        max_tree_depth: Each draw takes at most 2 to this power leapfrog steps.
    """

    num_chains: int
    num_warmup: int
    num_samples: int
    target_accept: float
    seed: tuple[int, ...]
    max_tree_depth: int = 10

    @classmethod
    def checked(cls, num_chains: Any, num_warmup: Any, num_samples: Any, target_accept: Any, seed: Any) -> Options:
        """The options, once each is known to be possible.

        Raises:
            ValueError: for a value out of range.
            TypeError: for a value of the wrong kind.
        """
        if isinstance(target_accept, bool) or not isinstance(target_accept, int | float | np.number):
            raise TypeError(f"target_accept must be a number in [0.5, 1), got {target_accept!r}")
        if not 0.5 <= target_accept < 1:
            raise ValueError(f"target_accept must lie in [0.5, 1), got {target_accept!r}")
        return cls(
            num_chains=tabular.count("num_chains", num_chains, 2),
            num_warmup=tabular.count("num_warmup", num_warmup, 50),
            num_samples=tabular.count("num_samples", num_samples, 50),
            target_accept=float(target_accept),
            seed=tabular.seed_words(seed),
        )

    def key(self) -> Any:
        """The JAX key of the seed, whose words may be of any size and JAX's have 32 bits."""
        first, *rest = (word >> bit & 0xFFFFFFFF for word in self.seed for bit in range(0, max(word.bit_length(), 1), 32))
        key = random_key(first)
        for word in rest:
            key = jax.random.fold_in(key, word)
        return key


@dataclasses.dataclass(frozen=True)
class Task:
    """A model with its rows, ready to be sampled.

    Attributes:
        name: What it is, in a word.
        model: A NumPyro model that is a pytree, with `log_likelihood`, `memberships` and `publish`.
        args: Its rows, in standard units.
        starts: Values of its sites at one or more starts, best first.
        publish: From draws by site to parameters in the data's units, by name.
        units: Labels of the units that belong to components.
        log_volume: What each unit's log-likelihood loses in going to the data's units: a number, or one each.
        dims: Names of the axes of each parameter.
        coords: Labels along these axes.
        polish: Whether L-BFGS climbs from the starts to a mode first.
        exchangeable: Whether units are independent given the parameters.
    """

    name: str
    model: Any
    args: tuple
    starts: list[dict[str, Any]]
    publish: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
    units: np.ndarray
    log_volume: Any
    dims: dict[str, list[str]]
    coords: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    polish: bool = False
    exchangeable: bool = True


def sample(task: Task, options: Options) -> HierarchicalPosterior:
    """Run NUTS from the task's start, all chains at once, in float64."""
    begun = time.perf_counter()
    with precision(np.float64):
        model, args = jax.tree.map(np.asarray, (task.model, task.args))
        climbed = chains.climb(model, args, task.starts) if task.polish else None
        position = climbed or chains.unconstrained(model, args, task.starts[0])
        key_start, key_run = jax.random.split(options.key())
        draws, told = chains.run(
            model,
            args,
            jax.random.split(key_run, options.num_chains),
            chains.scattered(key_start, position, options.num_chains, JITTER),
            options.target_accept,
            num_warmup=options.num_warmup,
            num_samples=options.num_samples,
            max_tree_depth=options.max_tree_depth,
        )
        values, log_likelihood, memberships = chains.look(model, args, draws)
        at = chains.look(model, args, jax.tree.map(lambda leaf: leaf[None, None], position))[0]
        values, at, told = jax.tree.map(np.asarray, (values, at, told))
    start = {name: array[0, 0] for name, array in task.publish(at).items()}
    return HierarchicalPosterior(
        model=task.name,
        samples=task.publish(values),
        log_likelihood=np.asarray(log_likelihood) - task.log_volume,
        memberships=np.asarray(memberships),
        units=task.units,
        dims=task.dims,
        coords=task.coords,
        sample_stats=told,
        start=start,
        exchangeable=task.exchangeable,
        seconds=time.perf_counter() - begun,
    )
