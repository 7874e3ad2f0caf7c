"""Lanes: many runs of EM as one batch. Owns blocks; imports layers 0 to 2, padding and programs.

A lane is one run: one model (its hyperparameters are numbers too, so lanes of several structures mix), one start, one number of
components. A compiled program advances a *block* of lanes of fixed width by a few steps; lanes that finish leave the block and
waiting ones take their places, so that stragglers never hold the others up and one program serves any number of lanes. K is padded
to the width of the program, and nobody outside sees it. Where there are several devices, each has its share of the block, or of the rows.

Blocks run one after the other: two programs at once in threads can wait for each other for ever in XLA's own pool of threads, where
several CPU devices share programs that call LAPACK. None of these is shared now (`devices.mesh_for`), and 192 fits in 4 and 8 threads,
on one and two devices, ended with the log-likelihoods that they have alone; but no more than one device is promised to users who call
from threads.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from . import programs
from ._packing import Packed
from ._pytree import replace
from ._status import Status
from .accelerate import Squarem
from .devices import LANES, ROWS, mesh_for, on_one, placed, shares
from .models.mixture import MixtureParams
from .padding import pad_components, stack, take
from .patterns import Patterned, guessed
from .protocol import Data
from .quasi_newton import QuasiNewton


TICKS = 20  # steps a block takes before the host looks at it; also the length of the first stage ...
TICKS_LONG = 8  # ... and where a step takes as long as that look: a lane that ends early idles for half of them
LONG = 200_000  # lanes × rows × components from which it does
# ... and from which one step a look costs next to nothing. Where devices share the rows, XLA keeps 8 kB of every chunk until a program
# ends (measured, jaxlib 0.10.2): at 2,000,000 rows eight steps are 100 MB.
ENDLESS = 20_000_000
CACHE_BYTES = 2**22  # what a chunk's densities and monomials should fill: measured best between 2 and 4 MB on two cores
CHUNK = 4096  # the most rows in a chunk: where components are few, the monomials fill the cache
CHUNK_SHARED = 1024  # ... and where the cores share the rows: so short that XLA leaves an operation to one of them
BLOCK = {"cpu": 16}  # lanes side by side; a block of 16 stays in the cache
BLOCK_ELSEWHERE = 256
BLOCK_LONG = 8  # ... where a step takes long and each device has a core: no slower by the lane, and fewer of them idle
FEW = 4  # lanes side by side where they are few and long: next to no cheaper by the lane than 16, and stragglers cost a quarter
LARGE = 50_000  # rows × components from which it pays to compile more: for few lanes, for few components, and one to finish
MUCH = 1_500_000  # lanes × rows × components from which it pays to compile for few components anyway
PATIENCE = 60  # steps of SQUAREM after which, on large data, a run is taken to be on a ridge, and L-BFGS finishes it
SMALL = 150_000  # lanes × rows × components up to which the hasty compiler's program is no slower


def _fill(items: list[Any], size: int) -> list[Any]:
    """A full block: places left over repeat the first lane, and what comes of them is dropped."""
    return items + items[:1] * (size - len(items))


def _chunk(num_rows: int, most: int) -> int:
    """The longest chunk of at most so many rows that divides all: what would be left over needs an E-step compiled for it."""
    fewest = -(-num_rows // most)
    return next(num_rows // number for number in range(fewest, num_rows + 1) if num_rows % number == 0)


@dataclasses.dataclass
class Work:
    """What the blocks have done, in steps × rows × components.

    Attributes:
        useful: For lanes that were running, real rows and components that were there.
        done: For whole blocks, padding of every kind and lanes that had ended included.
    """

    useful: int = 0
    done: int = 0

    def count(self, useful: int, done: int) -> None:
        """Add a block's."""
        self.useful, self.done = self.useful + useful, self.done + done


class Engine:
    """Runs lanes on one data set: the compiled programs with their shapes settled.

    Args:
        data: Padded rows, from `pad_data` or another engine's `placed`: `Data`, or `Patterned` where cells are missing.
        num_rows: How many of them are real.
        width: Components every lane is padded to.
        least: The fewest components that a lane has; by default the width.
        tol: In nats of total objective.
        method: The accelerated EM to run.
        block: Lanes side by side on a device; by default what suits it.
        ticks: The most steps of a block before the host looks at it; by default what suits it.
        lanes: How many there will be, or nearly: what there are devices for.
        shareable: Whether the models are, all of them.
        work: Where to count what is done.
    """

    def __init__(
        self,
        data: Any,
        num_rows: int,
        width: int,
        *,
        tol: float,
        least: int | None = None,
        method: Any = None,
        block: int | None = None,
        ticks: int = TICKS,
        lanes: int = 1,
        shareable: bool = False,
        work: Work | None = None,
    ):
        self.num_rows, self.width, self.least = num_rows, width, least or width
        self.shareable = shareable
        x = guessed(data).x
        self.num_features, self.num_places = x.shape
        self.work = Work() if work is None else work
        self.method = Squarem() if method is None else method
        self.finisher = QuasiNewton()
        self.dtype = x.dtype
        self.tol = np.asarray(tol, self.dtype)
        self.block = block or BLOCK.get(jax.default_backend(), BLOCK_ELSEWHERE)
        self.large = num_rows * width > LARGE
        half = -(-width // 2)
        halve = self.large or lanes * num_rows * width > MUCH
        self.sizes = (half, width) if halve and self.least <= half < width else (width,)
        step = self.block * num_rows * width
        self.long = step > LONG
        self.ticks = np.asarray(min(ticks, 1 if step > ENDLESS else TICKS_LONG if self.long else TICKS), np.int32)
        columns = self.num_features
        self.mesh = mesh_for(-(-lanes // self.block), data, of_rows=self.large, shareable=shareable)
        if self.long and shares(self.mesh, LANES) > 1:
            self.block = min(self.block, BLOCK_LONG)
        self.narrow = min(FEW, self.block) if self.large else self.block
        self.placed = placed(data, self.mesh)
        numbers = self.block * width + columns * (columns + 3) // 2  # of a row: densities, and products of columns
        most = CHUNK_SHARED if shares(self.mesh, ROWS) > 1 else CHUNK
        most = max(64, min(most, CACHE_BYTES // (numbers * self.dtype.itemsize)))
        self.chunk = _chunk(self.num_places // shares(self.mesh, ROWS), most)
        self.small = jax.default_backend() == "cpu" and self.block * num_rows * width <= SMALL

    @functools.cached_property
    def data(self) -> Any:
        """All rows on one device."""
        return on_one(self.placed, self.mesh)

    def without_labels(self) -> Engine:
        """The same engine where nothing is known of any row."""
        if guessed(self.placed).label is None:
            return self
        data = self.placed.without_labels() if isinstance(self.placed, Patterned) else replace(self.placed, label=None)
        how = {"least": self.least, "method": self.method, "block": self.block, "shareable": self.shareable}
        return Engine(data, self.num_rows, self.width, tol=float(self.tol), **how)

    def prepare(self, models: list[Any], finals: list[Any], *, moves: bool) -> None:
        """Compile beside other work what a search on little data begins and ends with; there compiling takes longer than the rest.

        Args:
            models: Models of lanes.
            finals: Models to be summarised.
            moves: Whether there will be moves.
        """
        if not self.small:
            return
        some, last = (stack(self._fill(few[:1])) for few in (models, finals))
        params, resp = self._blank(models[0].family)
        begun = programs.begin.ahead(some, params, resp, guessed(self.data), method=self.method)
        wide = self.block * shares(self.mesh, LANES)
        numbers, states = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((wide, *leaf.shape[1:]), leaf.dtype), (Packed.of(some), begun)
        )
        none = np.zeros((), np.int32)
        programs.advance_small.ahead(numbers, states, self.placed, self.tol, none, self.ticks, none, **self._how(self.method))
        programs.summarise.ahead(last, params, self.data, chunk=self.chunk, mesh=None)
        if moves:
            programs.posterior.ahead(some, params, self.data)

    def begin(self, models: list[Any], responsibilities: list[Callable[[], np.ndarray]]) -> Any:
        """States that begin with an M-step on responsibilities, each a function that returns an array (k, n)."""
        blocks = [slice(first, first + self.block) for first in range(0, len(models), self.block)]
        parts = [self._begin(models[here], responsibilities[here]) for here in blocks]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def _begin(self, models: list[Any], responsibilities: list[Callable[[], np.ndarray]]) -> Any:
        """The same for a block."""
        blank, resp = self._blank(models[0].family)
        log_weights = blank.log_weights
        for slot, make in enumerate(responsibilities):
            values = make()
            resp[slot, : len(values), : self.num_rows] = values
            log_weights[slot, : len(values)] = -np.log(len(values))
        resp[len(models) :], log_weights[len(models) :] = resp[0], log_weights[0]
        states = programs.begin(stack(self._fill(models)), blank, resp, guessed(self.data), method=self.method)
        return take(jax.device_get(states).unpack(), slice(len(models)))

    def _blank(self, family: Any) -> tuple[MixtureParams, np.ndarray]:
        """Params of a block without a component, and responsibilities (l, k, n), all 0."""
        reference = family.reference(self.width, self.num_features, self.dtype)
        components = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (self.block, *leaf.shape)), reference)
        log_weights = np.full((self.block, self.width), -np.inf, self.dtype)
        return MixtureParams(log_weights, components), np.zeros((self.block, self.width, self.num_places), self.dtype)

    def begin_at(self, models: list[Any], params: list[MixtureParams], method: Any = None) -> Any:
        """States whose first step is an E-step at given params (k, ...)."""
        parts, row = [], Data(np.zeros((self.num_features, 1), self.dtype), np.zeros(1, self.dtype))
        for first in range(0, len(models), self.block):
            some, here = self._fill(models[first : first + self.block]), self._fill(params[first : first + self.block])
            padded = stack([pad_components(point, self.width) for point in here])
            states = programs.begin_at(stack(some), padded, row, method=self.method if method is None else method)
            parts.append(take(jax.device_get(states).unpack(), slice(min(self.block, len(models) - first))))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def begin_after(self, model: Any, params: MixtureParams) -> Any:
        """The state, stacked, that begins with an M-step on what an E-step at given params (k, ...) says."""
        padded = stack(self._fill([pad_components(params, self.width)]))
        models = stack(self._fill([model]))
        states = programs.begin_after(models, padded, self.data, method=self.method, chunk=self.chunk)
        return take(jax.device_get(states).unpack(), slice(1))

    def finish(
        self,
        models: list[Any],
        states: Any,
        *,
        max_steps: int,
        histories: list[list[float]] | None = None,
        report: Callable[[int], None] | None = None,
    ) -> Any:
        """Run lanes to convergence: SQUAREM and, on large data and where that is slow, L-BFGS.

        Arguments and result as for `run`; the result may hold the states of either method, in the fields they share.
        """
        begun = isinstance(self.method, QuasiNewton)
        if begun or not self.large or max_steps <= PATIENCE or not getattr(models[0], "smooth", False):
            return self.run(models, states, max_steps=max_steps, histories=histories, report=report)
        before = states
        states = self.run(models, states, max_steps=PATIENCE, histories=histories)
        unfinished = np.flatnonzero(states.status == Status.MAX_STEPS)
        if report is not None:
            report(len(models) - len(unfinished))
        if not len(unfinished):
            return states
        some = [models[lane] for lane in unfinished]
        paths = None if histories is None else [histories[lane] for lane in unfinished]
        best = [take(states.params, lane) for lane in unfinished]
        late = replace(self.begin_at(some, best, self.finisher), num_steps=states.num_steps[unfinished])
        late = self.run(some, late, max_steps=max_steps, histories=paths, report=report, method=self.finisher)
        shared = {}
        for name in ("params", "log_likelihood", "objective", "num_steps", "status"):
            whole = getattr(states, name)
            for old, new in zip(jax.tree.leaves(whole), jax.tree.leaves(getattr(late, name)), strict=True):
                old[unfinished] = new
            shared[name] = whole
        return replace(before, **shared)

    def run(
        self,
        models: list[Any],
        states: Any,
        *,
        max_steps: int,
        histories: list[list[float]] | None = None,
        report: Callable[[int], None] | None = None,
        method: Any = None,
    ) -> Any:
        """Advance lanes until each has converged, failed or taken `max_steps` steps.

        Args:
            models: One model a lane.
            states: Their states, stacked; lanes that ended at an earlier `max_steps` go on.
            max_steps: The most E-steps a lane may have taken in all.
            histories: Where to append the objective after each step, one list a lane.
            report: Called with the number of lanes that have just ended.
            method: The method whose states these are; by default the engine's.
        Returns:
            The states, stacked, as NumPy arrays.
        """
        numbers, packed = Packed.of(stack(models)), Packed.of(states)
        states = packed.unpack()  # views: what a block brings back shows in them
        status, num_steps = states.status, states.num_steps
        status[(status == Status.MAX_STEPS) & (num_steps < max_steps)] = Status.RUNNING
        present = (np.isfinite(states.params.log_weights) * np.arange(1, 1 + self.width)).max(axis=1)
        how = self._how(self.method if method is None else method)
        split = shares(self.mesh, LANES)
        narrow, wide = self.narrow * split, self.block * split

        waiting = np.flatnonzero(status == Status.RUNNING)[::-1].tolist()
        active: list[int] = []
        while waiting or active:
            while waiting and len(active) < wide:
                active.append(waiting.pop())
            lanes = np.array(_fill(active, narrow if len(active) <= narrow else wide))
            here = np.array(active)
            level = np.searchsorted(self.sizes, present[here].max())
            block, trace = self._advance(take(numbers, lanes), take(packed, lanes), max_steps, level, how)
            before = num_steps[here]
            for whole, part in zip(packed.matrices, block.matrices, strict=True):
                whole[here] = part[: len(here)]
            steps = num_steps[here] - before
            filled = np.array(_fill(steps.tolist(), len(lanes)))
            longest = filled.reshape(split, -1).max(axis=1)
            done = len(lanes) // split * int(longest.sum()) * self.sizes[level] * self.num_places
            self.work.count(int(steps @ present[here]) * self.num_rows, done)
            if histories is not None:
                for slot, lane in enumerate(active):
                    histories[lane].extend(trace[: steps[slot], slot].tolist())
            still = [lane for lane in active if status[lane] == Status.RUNNING]
            if report is not None and len(still) < len(active):
                report(len(active) - len(still))
            active = still
        return states

    def _how(self, method: Any) -> dict[str, Any]:
        """What a program that advances a block is compiled for."""
        return {"method": method, "sizes": self.sizes, "chunk": self.chunk, "record": TICKS, "mesh": self.mesh}

    def _advance(self, numbers: Any, packed: Any, max_steps: int, level: Any, how: dict[str, Any]) -> Any:
        """A block of lanes after a few more steps, and their objectives on the way; `level` says which of the sizes holds them."""
        most, level = np.asarray(max_steps, np.int32), np.asarray(level, np.int32)
        advance = programs.advance_small if self.small else programs.advance
        return jax.device_get(advance(numbers, packed, self.placed, self.tol, most, self.ticks, level, **how))

    def summarise(self, models: list[Any], params: list[MixtureParams]) -> list[programs.Summary]:
        """What a report needs of each fit, summed over rows."""
        out = []
        data, mesh = (self.placed, self.mesh) if shares(self.mesh, ROWS) > 1 else (self.data, None)
        for first in range(0, len(models), self.block):
            some, here = self._fill(models[first : first + self.block]), self._fill(params[first : first + self.block])
            padded = stack([pad_components(point, self.width) for point in here])
            summary = jax.device_get(programs.summarise(stack(some), padded, data, chunk=self.chunk, mesh=mesh))
            for slot, point in enumerate(params[first : first + self.block]):
                one = take(summary, slot)
                out.append(replace(one, sizes=one.sizes[: len(point.log_weights)]))
        return out

    def posterior(self, models: list[Any], params: list[MixtureParams]) -> list[np.ndarray]:
        """Responsibilities (k, n) of every row in float64, for each model and its params (k, ...)."""
        out = []
        for first in range(0, len(models), self.block):
            some = self._fill(models[first : first + self.block])
            here = self._fill(params[first : first + self.block])
            padded = stack([pad_components(point, self.width) for point in here])
            resp = np.asarray(programs.posterior(stack(some), padded, self.data), dtype=np.float64)
            for slot, point in enumerate(params[first : first + self.block]):
                out.append(resp[slot, : len(point.log_weights), : self.num_rows])
        return out

    def _fill(self, items: list[Any]) -> list[Any]:
        return _fill(items, self.block)
