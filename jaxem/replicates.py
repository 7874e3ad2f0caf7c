"""Replicates: many data sets of one shape, fitted at once. Imports layers 0 to 3.

Bootstrap samples, folds and resamples are row weights; simulated samples are rows. Either way a lane sees a data set of its own, so
a thousand refits with all their restarts are lanes of the programs that fit one data set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._pytree import replace
from ._status import Status
from .accelerate import Squarem
from .cell import DISTINCT
from .filling import Filler
from .lanes import BLOCK, BLOCK_ELSEWHERE, CACHE_BYTES
from .models.mixture import Mixture, MixtureParams
from .own_data import advance_block, begin_block, begin_block_at, log_joint_block, of_lanes
from .padding import pad_components, row_bucket, stack, take, trim_components
from .patterns import Patterned, Patterns, guessed
from .protocol import Data
from .resampling import Own


STAGE = 20  # E-steps after which the best few starts of a data set go on
MOST_LANES = 4096  # held at a time: the states of more would fill the memory,
MOST_BYTES = 2**28  # and so would the data sets of more
WIDE_BLOCK = 64  # lanes side by side where data are so small that they all stay in the cache


@dataclasses.dataclass(frozen=True)
class Task:
    """One mixture to be fitted to one data set.

    Attributes:
        dataset: Number of the data set.
        family: Number of the mixture.
        num_components: K.
        starts: Where to begin: params (k, ...), or functions that return responsibilities (k, n).
    """

    dataset: int
    family: int
    num_components: int
    starts: Sequence[MixtureParams | Callable[[], np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The best that came of a task.

    Attributes:
        params: Params (k, ...); None where every run failed.
        log_likelihood: In the units of the rows; NaN where every run failed.
        admissible: Whether it is no spike.
        status: How its run ended.
    """

    params: Any
    log_likelihood: float
    admissible: bool
    status: Status

    @property
    def usable(self) -> bool:
        """Whether there is a fit, and no spike."""
        return self.params is not None and self.admissible


class Replicates:
    """Data sets of one shape, and the programs that fit mixtures of some families to each of them.

    Args:
        rows: Rows in internal units, shape (d, n), or a function that gives those of a data set by its number; NaN where a cell is
            missing, the same ones in all data sets.
        weight: Row weights, shape (n,), or a function that gives those of a data set by its number.
        models: Mixtures of one kind, their families bound.
        width: Components every lane is padded to.
        label: Components that rows are known to come from, −1 where that is not known, shape (n,), in all data sets; None if nothing is.
        tol: In nats of total log-likelihood.
        max_steps: The most E-steps of a run.
        num_finalists: Runs of a task that go on after the first stage.
    """

    def __init__(
        self,
        rows: np.ndarray | Own,
        weight: np.ndarray | Own,
        models: Sequence[Mixture],
        width: int,
        *,
        label: np.ndarray | None = None,
        tol: float = 1e-3,
        max_steps: int = 2000,
        num_finalists: int = 3,
    ):
        self.rows, self.weight = rows, weight
        example = rows(0) if callable(rows) else rows
        self.num_features, self.num_rows = example.shape
        self.padded = row_bucket(self.num_rows)
        extra = self.padded - self.num_rows
        self.label = None if label is None else jnp.asarray(np.pad(label, (0, extra), constant_values=-1), jnp.int32)
        gone = np.isnan(example)
        self.patterns = Patterns(gone, row_bucket) if gone.any() else None
        self.fill = Filler(example, weight(0) if callable(weight) else weight) if gone.any() else np.asarray
        self.bytes = 8 * self.padded * (self.num_features * callable(rows) + callable(weight))
        self.families, self.width = [model.family for model in models], width
        self.models = stack(list(models))
        self.accurate = stack([replace(model, family=model.family.with_residuals()) for model in models])
        self.tol, self.max_steps, self.num_finalists = np.float64(tol), max_steps, num_finalists
        self.method = Squarem()
        narrow = BLOCK.get(jax.default_backend(), BLOCK_ELSEWHERE)
        self.block = max(narrow, min(WIDE_BLOCK, CACHE_BYTES // (8 * width * self.padded)))
        self.chunk = min(self.padded, max(64, CACHE_BYTES // (self.block * width * 8) // 64 * 64))

    def fit(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Fit every task: all starts a few steps, the best few to convergence, the best of them. Call within float64."""
        out: list[Outcome] = []
        for first, last in self._batches(tasks):
            out += self._fit(tasks[first:last])
        return out

    def _fit(self, tasks: Sequence[Task]) -> list[Outcome]:
        of_task = np.concatenate([np.full(len(task.starts), place) for place, task in enumerate(tasks)])
        dataset, family, size = (
            np.array([getattr(task, name) for task in tasks])[of_task] for name in ("dataset", "family", "num_components")
        )
        held, place = self._hold(dataset)
        states = self._begin([start for task in tasks for start in task.starts], held, place, family)
        several = np.bincount(of_task, minlength=len(tasks))[of_task] > 1
        if several.any():
            self._run(states, held, place, family, np.flatnonzero(several), min(STAGE, self.max_steps))
        total = np.broadcast_to(np.asarray(guessed(held).weight).sum(-1), int(place.max()) + 1)[place]
        sound = self._admissible(states.params, total, family, size)
        final = np.array(sorted(self._finalists(states, of_task, sound)))
        self._run(states, held, place, family, final, self.max_steps)
        sound[final] = self._admissible(take(states.params, final), total[final], family[final], size[final])
        height = np.where(np.isfinite(states.objective) & ~_failed(states.status), states.objective, -np.inf)
        lanes: list[list[int]] = [[] for _ in tasks]
        for lane in final:
            lanes[of_task[lane]].append(lane)
        out = []
        for task, mine in zip(tasks, lanes, strict=True):
            best = max(mine, key=lambda lane: (sound[lane], height[lane]))
            params = trim_components(take(states.params, best), task.num_components) if np.isfinite(height[best]) else None
            value = float(states.log_likelihood[best]) if params is not None else np.nan
            out.append(Outcome(params, value, bool(sound[best]), Status(int(states.status[best]))))
        return out

    def _finalists(self, states: Any, of_task: np.ndarray, sound: np.ndarray) -> Iterator[int]:
        """The best few lanes of every task that are not on the way of a better one, spikes last."""
        height = np.where(np.isfinite(states.objective) & ~_failed(states.status), states.objective, -np.inf)
        order = np.lexsort((-height, ~sound, of_task))
        chosen: list[Any] = []
        last = -1
        for lane in order:
            if of_task[lane] != last:
                last, chosen = of_task[lane], []
            able = sound[lane] and np.isfinite(height[lane]) and len(chosen) < self.num_finalists
            if not chosen or (able and all(abs(height[lane] - other) > DISTINCT for other in chosen)):
                chosen.append(height[lane])
                yield int(lane)

    def _batches(self, tasks: Sequence[Task]) -> Iterator[tuple[int, int]]:
        """Tasks in turns of so many lanes and data sets as fit into memory."""
        first, lanes = 0, 0
        for place, task in enumerate(tasks):
            full = lanes + len(task.starts) > MOST_LANES or (place - first + 1) * self.bytes > MOST_BYTES
            if place > first and full:
                yield first, place
                first, lanes = place, 0
            lanes += len(task.starts)
        if len(tasks) > first:
            yield first, len(tasks)

    def _hold(self, dataset: np.ndarray) -> tuple[Data | Patterned, np.ndarray]:
        """The data sets of some lanes, each once, and which of them each lane sees."""
        numbers, place = np.unique(dataset, return_inverse=True)

        def held(source: Any, change: Any = np.asarray) -> Any:
            return np.stack([change(source(int(one))) for one in numbers]) if callable(source) else change(source)

        def padded(own: Any, source: Any) -> Any:
            whole = np.pad(own, [(0, 0)] * (own.ndim - 1) + [(0, self.padded - self.num_rows)])
            return whole if callable(source) else jnp.asarray(whole)

        data = Data(padded(held(self.rows, self.fill), self.rows), padded(held(self.weight), self.weight), self.label)
        return data if self.patterns is None else self.patterns.data(held(self.rows), data), place

    def _blocks(self, lanes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Lanes a block at a time, and the same filled up to the width of the program."""
        for first in range(0, len(lanes), self.block):
            mine = lanes[first : first + self.block]
            yield mine, np.concatenate([mine, np.repeat(mine[:1], self.block - len(mine))])

    def _begin(self, starts: list[Any], held: Data | Patterned, place: np.ndarray, family: np.ndarray) -> Any:
        """States of all lanes, stacked."""
        given = np.array([isinstance(start, MixtureParams) for start in starts])
        reference = self.families[0].reference(self.width, self.num_features, np.float64)
        crude = MixtureParams(np.zeros(self.width), reference)
        whole = None
        for at_params in (True, False):
            for mine, full in self._blocks(np.flatnonzero(given == at_params)):
                models, data = take(self.models, family[full]), of_lanes(guessed(held), place[full])
                if at_params:
                    params = stack([pad_components(starts[lane], self.width) for lane in full])
                    states = begin_block_at(models, params, data, method=self.method)
                else:
                    resp = np.zeros((self.block, self.width, self.padded))
                    for slot, lane in enumerate(mine):
                        values = starts[lane]()
                        resp[slot, : len(values), : self.num_rows] = values
                    resp[len(mine) :] = resp[0]
                    states = begin_block(models, crude, resp, data, method=self.method)
                states = jax.device_get(states)
                if whole is None:
                    whole = jax.tree.map(lambda leaf: np.empty((len(starts), *leaf.shape[1:]), leaf.dtype), states)
                _put(whole, mine, states)
        return whole

    def _run(
        self, states: Any, held: Data | Patterned, place: np.ndarray, family: np.ndarray, lanes: np.ndarray, max_steps: int
    ) -> None:
        """Advance some lanes, in place, until each has converged, failed or taken `max_steps` steps."""
        status = states.status
        again = lanes[(status[lanes] == Status.MAX_STEPS) & (states.num_steps[lanes] < max_steps)]
        status[again] = Status.RUNNING
        waiting = list(lanes[status[lanes] == Status.RUNNING][::-1])
        active: list[int] = []
        while waiting or active:
            while waiting and len(active) < self.block:
                active.append(waiting.pop())
            mine, full = next(self._blocks(np.array(active)))
            block = advance_block(
                take(self.models, family[full]),
                take(states, full),
                of_lanes(held, place[full]),
                self.tol,
                np.int32(max_steps),
                method=self.method,
                chunk=self.chunk,
            )
            _put(states, mine, jax.device_get(block))
            active = [lane for lane in active if status[lane] == Status.RUNNING]

    def _admissible(self, params: Any, total: np.ndarray, family: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Which lanes are no spikes, shape (l,)."""
        live = np.arange(self.width) < size[:, None]
        counts = np.where(live, np.exp(params.log_weights) * total[:, None], np.inf)
        out = np.zeros(len(size), bool)
        for number, one in enumerate(self.families):
            mine = np.flatnonzero(family == number)
            if len(mine):
                out[mine] = one.admissible(take(params.components, mine), counts[mine])
        return out

    def log_joint(self, params: Sequence[MixtureParams], family: np.ndarray, dataset: np.ndarray) -> Iterator[np.ndarray]:
        """log p(component, row) in the accurate form, (k, n) for each of some fits on a data set each; with noise, one row more."""
        for mine, full in self._blocks(np.arange(len(params))):
            held, place = self._hold(dataset[full])
            padded = stack([pad_components(params[lane], self.width) for lane in full])
            joint = np.asarray(log_joint_block(take(self.accurate, family[full]), padded, of_lanes(held, place)))
            for slot, lane in enumerate(mine):
                k = len(params[lane].log_weights)
                yield np.concatenate([joint[slot, :k, : self.num_rows], joint[slot, self.width :, : self.num_rows]])


def _failed(status: np.ndarray) -> np.ndarray:
    return np.isin(status, [one for one in Status if one.failed])


def _put(whole: Any, lanes: np.ndarray, part: Any) -> None:
    """Write a block's results into the stacked states."""
    for all_lanes, some in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
        all_lanes[lanes] = some[: len(lanes)]
