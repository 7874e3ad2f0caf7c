"""Starts: where EM begins. Owns every kind of start; imports layers 0 to 2, ward, noise and NumPy.

A start is nothing but responsibilities (k, n). Each is drawn from its own stream of random numbers, set by the seed, the number of
components and the number of the restart: restart 7 of K = 3 is the same whatever else is run.

The portfolio and its order come from a study on reference data: no single kind finds the best optimum in more than two thirds of
the cases, kinds differ in *which* cases they find, and Lloyd steps make starts alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import noise, ward


KINDS = ("portfolio", "kmeans++", "ward", "random-rows", "random-responsibilities")

# One Ward start for each scaling, then 18 random ones; restarts beyond 20 go round the random ones again. A prefix of any length
# is itself a mixed portfolio.
_FIRST = ("ward", "ward-whitened")
_ROUND = (
    "kmeans++",
    "kmeans++-whitened",
    "random-rows",
    "kmeans++",
    "kmeans++-whitened",
    "neighbourhoods",
    "kmeans++-lloyd",
    "kmeans++-whitened",
    "random-rows",
    "kmeans++",
    "kmeans++-whitened",
    "random-rows",
    "kmeans++",
    "neighbourhoods",
    "kmeans++-whitened",
    "kmeans++-lloyd",
    "kmeans++",
    "random-rows",
)
BLUR = 0.05  # share of every hard start that is spread evenly, so that no tiny group begins with a singular covariance
LLOYD_STEPS = 3
KEPT_BYTES = 2**25  # of starts that are kept, because other families will begin with them too
WARD_ROWS = 1000  # Ward's method needs all distances: beyond this, a subsample is clustered and the rest join the nearest mean


def kind_of(init: str, restart: int, univariate: bool) -> str:
    """The kind of start number `restart` under `init`; in one dimension whitening changes nothing."""
    if init != "portfolio":
        return init
    kind = _FIRST[restart] if restart < len(_FIRST) else _ROUND[(restart - len(_FIRST)) % len(_ROUND)]
    if univariate and kind == "ward-whitened":
        return "kmeans++"
    return kind.removesuffix("-whitened") if univariate else kind


def stream(seed: tuple[int, ...], num_components: int, restart: int) -> np.random.Generator:
    """The random numbers of one run and of no other."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(num_components, restart)))


class Starts:
    """All starts for one data set.

    Args:
        x: Rows with unit scale in every column, shape (d, n).
        weight: Row weights, shape (n,).
        seed: Words of the seed.
        room: Bytes of starts that may be kept.
    """

    def __init__(self, x: np.ndarray, weight: np.ndarray, seed: tuple[int, ...], *, room: int = KEPT_BYTES):
        self.x, self.weight, self.seed = np.asarray(x, float), np.asarray(weight, float), seed
        self.seen = np.flatnonzero(self.weight > 0)
        self._kept: dict[tuple[str, int, int], np.ndarray] = {}
        self._room = room
        self._trees: dict[str, Any] = {}

    @functools.cached_property
    def whitened(self) -> np.ndarray:
        """Rows with unit covariance, shape (d, n); directions in which the data have no width are left out."""
        total = self.weight.sum()
        mean = self.x @ self.weight / total
        centred = self.x - mean[:, None]
        values, vectors = np.linalg.eigh((centred * self.weight) @ centred.T / total)
        wide = values > 1e-12 * values[-1]
        return (vectors[:, wide].T @ centred) / np.sqrt(values[wide])[:, None]

    def draw(self, init: str, num_components: int, restart: int) -> tuple[str, Callable[[], np.ndarray]]:
        """The kind of a start, and a function that makes its responsibilities (k, n)."""
        kind = kind_of(init, restart, len(self.x) == 1)
        return kind, functools.partial(self._made, kind, num_components, restart)

    def _made(self, *which: Any) -> np.ndarray:
        """A start, made once while there is room to keep it."""
        if (known := self._kept.get(which)) is not None:
            return known
        made = self._make(*which)
        if made.nbytes <= self._room:
            self._room -= made.nbytes
            self._kept[which] = made
        return made

    def _make(self, kind: str, k: int, restart: int) -> np.ndarray:
        if k == 1:
            # All rows; further starts, where noise or missing cells leave several optima, are one of two groups, a little spread out.
            several = restart and len(self.seen) > 1
            return self._made(kind, 2, restart)[[restart % 2]] if several else np.ones((1, self.x.shape[1]))
        rng = stream(self.seed, k, restart)
        name = kind.removesuffix("-whitened")
        space = self.whitened if "-whitened" in kind else self.x
        if name == "ward":
            return _blur(self._ward(kind, k), k)
        if name.startswith("kmeans++"):
            lloyd = LLOYD_STEPS if name.endswith("-lloyd") else 0
            return _blur(_kmeans(space, self.weight, k, lloyd, rng), k)
        if name == "random-rows":
            return self._random_rows(k, rng)
        if name == "neighbourhoods":
            return self._neighbourhoods(k, rng)
        if name == "random-responsibilities":
            draws = rng.standard_exponential((k, self.x.shape[1]))
            return draws / draws.sum(0)
        raise ValueError(f"there is no start of the kind {kind!r}")

    def _ward(self, kind: str, k: int) -> np.ndarray:
        """Labels of Ward's clustering cut at k groups."""
        rows, cuts = self._tree(kind)
        space = self.whitened if kind.endswith("-whitened") else self.x
        labels = cuts(k)
        if len(rows) == space.shape[1]:
            return labels
        means = np.stack([space[:, rows[labels == j]].mean(1) for j in range(labels.max() + 1)])
        everywhere = _nearest(space, means)
        everywhere[rows] = labels
        return everywhere

    def _tree(self, kind: str) -> tuple[np.ndarray, Callable[[int], np.ndarray]]:
        """The rows that are clustered, and a function that cuts their tree: one tree a scaling."""
        if kind not in self._trees:
            self._trees[kind] = self._grown(kind)
        return self._trees[kind]

    def _grown(self, kind: str) -> tuple[np.ndarray, Callable[[int], np.ndarray]]:
        space = self.whitened if kind.endswith("-whitened") else self.x
        rows = self.seen
        if len(rows) > WARD_ROWS:
            rows = np.sort(stream(self.seed, 0, 0).choice(rows, WARD_ROWS, replace=False))
        elif len(rows) == space.shape[1]:
            rows = np.arange(space.shape[1])
        return rows, functools.partial(_cut, ward.tree(space[:, rows]), len(rows))

    def _random_rows(self, k: int, rng: np.random.Generator) -> np.ndarray:
        """Random rows as means, the data's own covariance for every component, one E-step."""
        means = self.whitened[:, self._pick(k, rng)].T
        log_prob = means @ self.whitened - 0.5 * (means**2).sum(1)[:, None]
        log_prob -= log_prob.max(0)
        resp = np.exp(log_prob)
        return resp / resp.sum(0)

    def _neighbourhoods(self, k: int, rng: np.random.Generator) -> np.ndarray:
        """Random rows, each with the n/2k rows nearest to it; rows that nobody claims belong to all."""
        d, n = self.whitened.shape
        size = min(n, max(d + 2, len(self.seen) // (2 * k)))
        resp = np.zeros((k, n))
        for j, row in enumerate(self._pick(k, rng)):
            distance = ((self.whitened - self.whitened[:, [row]]) ** 2).sum(0)
            resp[j, np.argpartition(distance, size - 1)[:size]] = 1
        claims = resp.sum(0)
        shared = np.where(claims > 0, resp / np.maximum(claims, 1), 1 / k)
        return (1 - BLUR) * shared + BLUR / k

    def _pick(self, k: int, rng: np.random.Generator) -> np.ndarray:
        """k rows with probability proportional to weight, different ones while there are enough."""
        share = self.weight / self.weight.sum()
        return rng.choice(len(share), k, replace=len(self.seen) < k, p=share)


class Informed:
    """Starts that know of noise and of labels.

    Every other start leaves out the rows that are lonely enough to be noise, and gives them to it; in the rest, all rows are noise
    to a small share. Components are numbered so that they agree best with the labels, which are then obeyed.

    Args:
        x: As for `Starts`.
        weight: As for `Starts`.
        seed: As for `Starts`.
        noisy: Whether there is noise.
        label: Components that rows are known to come from, −1 where that is not known, shape (n,); or None.
        room: As for `Starts`.
    """

    def __init__(
        self,
        x: np.ndarray,
        weight: np.ndarray,
        seed: tuple[int, ...],
        *,
        noisy: bool,
        label: np.ndarray | None,
        room: int = KEPT_BYTES,
    ):
        self.label = label
        self.sources = [(Starts(x, weight, seed, room=room), np.full(x.shape[1], noise.SHARE * noisy))]
        if noisy:
            lonely = noise.guess(x, weight)
            crowd = np.where(lonely < 0.5, weight, 0.0)
            if crowd.any():
                self.sources.insert(0, (Starts(x, crowd, seed, room=room), np.maximum(lonely, noise.SHARE)))

    def draw(self, init: str, num_components: int, restart: int) -> tuple[str, Callable[[], np.ndarray]]:
        """As `Starts.draw`; what the responsibilities lack of 1 is noise."""
        source, lonely = self.sources[restart % len(self.sources)]
        kind, make = source.draw(init, num_components, restart)
        return kind, lambda: self._adapted(make(), lonely)

    def _adapted(self, resp: np.ndarray, lonely: np.ndarray) -> np.ndarray:
        resp = resp * (1 - lonely)
        return resp if self.label is None else obey(_renumbered(resp, self.label), self.label)


Draws = Starts | Informed


def draws(
    x: np.ndarray,
    weight: np.ndarray,
    seed: tuple[int, ...],
    *,
    noisy: bool = False,
    label: Any = None,
    room: int = KEPT_BYTES,
) -> Draws:
    """Starts that know what there is to know; arguments as for `Informed`."""
    if not noisy and label is None:
        return Starts(x, weight, seed, room=room)
    return Informed(x, weight, seed, noisy=noisy, label=label, room=room)


def _renumbered(resp: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Components in the order that agrees best with the labels."""
    from scipy.optimize import linear_sum_assignment  # slow to load, and only needed here

    shared = (label == np.arange(len(resp))[:, None]) @ resp.T
    return resp[linear_sum_assignment(-shared)[1]]


def _blur(labels: np.ndarray, k: int) -> np.ndarray:
    """Responsibilities of a hard partition, a little spread out."""
    return (1 - BLUR) * (labels == np.arange(k)[:, None]) + BLUR / k


def _nearest(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The number of the centre (k, d) nearest to every row of x (d, n)."""
    return ((centres**2).sum(1)[:, None] - 2 * centres @ x).argmin(0)


def _kmeans(x: np.ndarray, weight: np.ndarray, k: int, lloyd: int, rng: np.random.Generator) -> np.ndarray:
    """Labels of the nearest k-means++ seed (Arthur & Vassilvitskii 2007), after `lloyd` Lloyd steps."""
    uniforms = rng.random(k)
    square = (x**2).sum(0)
    centres = np.empty((k, len(x)))
    distance = np.full(x.shape[1], np.inf)
    chance = weight
    for j in range(k):
        cumulative = np.cumsum(chance)
        row = min(np.searchsorted(cumulative, uniforms[j] * cumulative[-1], side="right"), x.shape[1] - 1)
        centres[j] = x[:, row]
        distance = np.minimum(distance, np.maximum(square - 2 * centres[j] @ x + square[row], 0.0))
        chance = weight * distance if (weight * distance).any() else weight
    labels = _nearest(x, centres)
    for _ in range(lloyd):
        member = (labels == np.arange(k)[:, None]) * weight
        size = member.sum(1)
        centres = np.where(size[:, None] > 0, member @ x.T / np.where(size > 0, size, 1)[:, None], centres)
        labels = _nearest(x, centres)
    return labels


def _cut(merges: np.ndarray, num_rows: int, k: int) -> np.ndarray:
    """Labels 0..k−1 after all but the last k − 1 merges of a tree."""
    parent = np.arange(2 * num_rows)
    for step in range(num_rows - k):
        parent[merges[step]] = num_rows + step
    roots = np.arange(num_rows)
    while True:
        above = parent[roots]
        if (above == roots).all():
            break
        roots = above
    return np.unique(roots, return_inverse=True)[1]


def obey(resp: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Responsibilities (k, n) in which rows of known origin belong to their component alone."""
    return np.where(label >= 0, label == np.arange(len(resp))[:, None], resp)
