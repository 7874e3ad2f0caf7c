"""Several devices: they share the lanes of a program where data are small, and the rows where they are large. Imports layers 0 and 1.

Lanes need nothing of each other, so each device has a loop of its own. Rows are summed over: every device has all lanes and some of
the rows, and after each E-step the devices add up their statistics. On a CPU both do better than XLA's own threads, which share out
one small operation after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from .patterns import Patterned


LANES, ROWS = "lanes", "rows"
LEAST_BLOCKS = 4  # of lanes for one device: with fewer the program takes longer to compile than is gained
LEAST_ROWS = 1024  # of one device: what the devices say to each other costs as much as some hundred rows


def mesh_for(num_blocks: int, data: Any, *, of_rows: bool, shareable: bool) -> Mesh | None:
    """The devices that share so many blocks of lanes, or the rows of data that are large; None where one does it all.

    They are all of the default backend, or the one that the user has named as default. Rows with missing cells are not shared out.
    CPU devices share only what is `shareable`: what calls nothing of LAPACK. There a batch of matrices is given in parts to XLA's only
    pool of threads and waited for in one of its threads; where every device waits so, none is left to do the parts (jaxlib 0.10.2).
    """
    if not shareable and jax.default_backend() == "cpu":
        return None
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    devices = jax.local_devices() if chosen is None else [chosen]
    most = min(len(devices), num_blocks // LEAST_BLOCKS)
    if of_rows:
        num_rows = 0 if isinstance(data, Patterned) else data.x.shape[1]
        sizes = range(1, min(len(devices), num_rows // LEAST_ROWS) + 1)
        most = max((size for size in sizes if num_rows % size == 0), default=1)
    return Mesh(np.array(devices[:most]), (ROWS if of_rows else LANES,)) if most > 1 else None


def shares(mesh: Mesh | None, axis: str) -> int:
    """In how many parts the devices split lanes, or rows."""
    return mesh.size if mesh is not None and mesh.axis_names == (axis,) else 1


def _parts(data: Any, mesh: Mesh) -> Any:
    """How the data lie on the devices."""
    if shares(mesh, LANES) > 1:
        return jax.tree.map(lambda leaf: P(), data)
    return jax.tree.map(lambda leaf: P(*[None] * (leaf.ndim - 1), ROWS), data)


def placed(data: Any, mesh: Mesh | None) -> Any:
    """Data from the host, or from where they were placed before, where the devices want them: there is no copy on any other."""
    if mesh is None:
        return jax.device_put(data)
    return jax.device_put(data, jax.tree.map(lambda part: NamedSharding(mesh, part), _parts(data, mesh)))


def on_one(data: Any, mesh: Mesh | None) -> Any:
    """Placed data on one device: a copy where they are shared out."""
    return data if mesh is None else jax.device_put(data, mesh.devices.flat[0])


def shared(program: Callable[..., Any], mesh: Mesh | None, lane_axes: Any) -> Callable[..., Any]:
    """A program (models, states, data, *numbers), the lanes of which the devices share, or its rows; its results have lanes too."""
    if mesh is None:
        return program
    lanes = P(LANES) if shares(mesh, LANES) > 1 else P()
    out = jax.tree.map(lambda axis: P(*[None] * axis, *lanes), lane_axes)

    def over_devices(models: Any, states: Any, data: Any, *numbers: Any) -> Any:
        inward = (lanes, lanes, _parts(data, mesh), *[P()] * len(numbers))
        split = jax.shard_map(program, mesh=mesh, in_specs=inward, out_specs=out, check_vma=False)
        return split(models, states, data, *numbers)

    return over_devices
