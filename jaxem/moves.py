"""Moves: starts made of a fit, with components cut in two, joined, or both. Imports init.

A fit is taken apart once, into the halves of its components; every move is a selection of halves, a matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .init import obey


def halves(x: np.ndarray, weight: np.ndarray, resp: np.ndarray) -> np.ndarray:
    """Every component cut in two across the principal axis of its rows: (2k, n), where rows j and k + j add up to resp[j]."""
    weighted = resp * weight
    count = np.maximum(weighted.sum(1), np.finfo(float).tiny)
    means = weighted @ x.T / count[:, None]
    second = np.einsum("kn,in,jn->kij", weighted, x, x, optimize=True) / count[:, None, None]
    _, vectors = np.linalg.eigh(second - means[:, :, None] * means[:, None, :])
    axis = vectors[:, :, -1]
    beyond = axis @ x > (axis * means).sum(1)[:, None]
    return np.concatenate([resp * beyond, resp * ~beyond])


def overlapping_pairs(weight: np.ndarray, resp: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Pairs of components by the correlation of their responsibilities, most overlapping first (Ueda et al. 2000, eq. 15)."""
    gram = (resp * weight) @ resp.T
    norm = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    later, earlier = np.tril_indices(len(gram), -1)
    order = np.argsort(-(gram / np.outer(norm, norm))[later, earlier], kind="stable")[:most]
    return [(int(later[i]), int(earlier[i])) for i in order]


def splits(k: int) -> list[np.ndarray]:
    """Selections (k + 1, 2k) of halves: one component cut, the others whole."""
    whole = np.concatenate([np.eye(k), np.eye(k)], axis=1)
    out = []
    for j in range(k):
        cut = np.concatenate([whole, np.zeros((1, 2 * k))])
        cut[j, k + j], cut[k, k + j] = 0, 1
        out.append(cut)
    return out


def merges(k: int, pairs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Selections (k − 1, 2k) of halves: one pair joined, the others whole."""
    whole = np.concatenate([np.eye(k), np.eye(k)], axis=1)
    out = []
    for a, b in pairs:
        joined = whole.copy()
        joined[b] += joined[a]
        out.append(np.delete(joined, a, axis=0))
    return out


def merge_splits(k: int, pairs: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Selections (k, 2k) of halves: one pair joined, another component cut (SMEM; Ueda et al. 2000, Neural Computation 12)."""
    if k == 2 and pairs:  # nothing is left to cut but what was joined: its quarters, paired in the two other ways
        return [np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]]), np.array([[1.0, 0, 0, 1], [0, 1, 1, 0]])]
    out = []
    for (a, b), joined in zip(pairs, merges(k, pairs), strict=True):
        survivors = [j for j in range(k) if j != a]
        for row, j in enumerate(survivors):
            if j != b:
                cut = np.concatenate([joined, np.zeros((1, 2 * k))])
                cut[row, k + j], cut[k - 1, k + j] = 0, 1
                out.append(cut)
    return out


def apply(selection: np.ndarray, parts: np.ndarray, label: np.ndarray | None = None) -> Callable[[], Any]:
    """A start made of the halves of a fit: a function that returns its responsibilities (k, n); known rows stay where they belong."""
    if label is None:
        return functools.partial(np.matmul, selection, parts)
    return lambda: obey(selection @ parts, label)
