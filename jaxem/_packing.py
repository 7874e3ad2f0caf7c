"""Many small arrays as few: what a compiled program takes and gives costs the host a fixed time an array. Imports JAX and NumPy only."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the leaves of a stacked pytree lie in one matrix a dtype, (lanes, numbers); a static argument of programs.

    Attributes:
        treedef: Structure of the tree.
        shapes: Shape of every leaf without its leading axis.
        dtypes: Name of every leaf's dtype.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @classmethod
    def of(cls, tree: Any) -> Layout:
        """The layout of a pytree whose leaves have a leading axis in common."""
        leaves, treedef = jax.tree.flatten(tree)
        return cls(treedef, tuple(leaf.shape[1:] for leaf in leaves), tuple(str(leaf.dtype) for leaf in leaves))

    def pack(self, tree: Any, xp: Any = np) -> tuple[Any, ...]:
        """One matrix a dtype; `xp` is NumPy on the host and jax.numpy inside a program."""
        leaves = jax.tree.leaves(tree)
        flat = [xp.reshape(leaf, (leaf.shape[0], math.prod(shape))) for leaf, shape in zip(leaves, self.shapes, strict=True)]
        return tuple(
            xp.concatenate([leaf for leaf, dtype in zip(flat, self.dtypes, strict=True) if dtype == kind], axis=1)
            for kind in self._kinds()
        )

    def unpack(self, matrices: tuple[Any, ...]) -> Any:
        """The tree again; on the host its leaves are views of the matrices."""
        kinds, leaves = self._kinds(), []
        start = dict.fromkeys(kinds, 0)
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            matrix, first = matrices[kinds.index(dtype)], start[dtype]
            start[dtype] = last = first + math.prod(shape)
            leaves.append(matrix[:, first:last].reshape((matrix.shape[0], *shape)))
        return jax.tree.unflatten(self.treedef, leaves)

    def _kinds(self) -> list[str]:
        return list(dict.fromkeys(self.dtypes))
