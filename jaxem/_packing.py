"""Many small arrays as few: what a compiled program takes and gives costs the host a fixed time an array. Imports layer 0."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from ._pytree import pytree, static


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the leaves of a stacked pytree lie in one matrix a dtype, (lanes, numbers).

    Attributes:
        treedef: Structure of the tree.
        shapes: Shape of every leaf without its leading axis.
        dtypes: Name of every leaf's dtype.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]

    @property
    def kinds(self) -> list[str]:
        """The dtypes, in the order of the matrices."""
        return list(dict.fromkeys(self.dtypes))


@pytree
class Packed:
    """A stacked pytree in few arrays; in and out of programs it goes as it is.

    Attributes:
        matrices: One a dtype, shape (lanes, numbers).
        layout: Where the leaves lie in them.
    """

    matrices: tuple[Any, ...]
    layout: Layout = static()

    @classmethod
    def of(cls, tree: Any, xp: Any = np) -> Packed:
        """A pytree whose leaves have a leading axis in common; `xp` is NumPy on the host and jax.numpy inside a program."""
        leaves, treedef = jax.tree.flatten(tree)
        layout = Layout(treedef, tuple(leaf.shape[1:] for leaf in leaves), tuple(str(leaf.dtype) for leaf in leaves))
        flat = [xp.reshape(leaf, (leaf.shape[0], math.prod(shape))) for leaf, shape in zip(leaves, layout.shapes, strict=True)]
        matrices = (
            xp.concatenate([leaf for leaf, dtype in zip(flat, layout.dtypes, strict=True) if dtype == kind], axis=1)
            for kind in layout.kinds
        )
        return cls(tuple(matrices), layout)

    def unpack(self) -> Any:
        """The tree again; on the host its leaves are views of the matrices."""
        kinds, leaves = self.layout.kinds, []
        start = dict.fromkeys(kinds, 0)
        for shape, dtype in zip(self.layout.shapes, self.layout.dtypes, strict=True):
            matrix, first = self.matrices[kinds.index(dtype)], start[dtype]
            start[dtype] = last = first + math.prod(shape)
            leaves.append(matrix[:, first:last].reshape((matrix.shape[0], *shape)))
        return jax.tree.unflatten(self.layout.treedef, leaves)
