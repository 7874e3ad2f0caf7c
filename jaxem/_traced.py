"""Programs that an earlier process has traced, kept on disk. Imports layer 0.

JAX's own cache keeps what XLA has compiled, but to find it there Python must trace the program again, which for fourteen structures
takes half a second. What was traced is kept beside it, as `jax.export` writes it: only where `keep_in` has named a folder, as the
command does.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from ._storage import atomic


DIGEST = hashlib.sha256().digest_size
_kept: dict[str, Path] = {}


def keep_in(folder: Path | None) -> None:
    """Keep what is traced from now on in a folder; None for no longer."""
    _kept.clear()
    if folder is not None:
        _kept["folder"] = folder


def keeps() -> bool:
    """Whether there is a folder."""
    return bool(_kept)


def program(function: Callable[..., Any], args: tuple[Any, ...], how: dict[str, Any], options: Any) -> Callable[..., Any]:
    """A function from the leaves of args to those of `function(*args, **how)`, compiled; `how` is hashable."""
    leaves, tree = jax.tree.flatten(args)
    types = tuple((leaf.shape, str(leaf.dtype), getattr(leaf, "sharding", None)) for leaf in leaves)
    return _program(function, tree, types, tuple(sorted(how.items())), tuple((options or {}).items()))


@functools.cache
def _program(function: Any, tree: Any, types: Any, how: Any, options: Any) -> Callable[..., Any]:
    from jax import export

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, leaves), **dict(how)))

    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib")]
    what = [function.__qualname__, tree, types, how, versions, jax.default_backend(), _sources()]
    path = _kept["folder"] / f"{hashlib.sha256(repr(what).encode()).hexdigest()}.jaxexport"
    content = _read(path)
    if content:
        traced = export.deserialize(content)
    else:
        some = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape, dtype, sharding in types]
        traced = export.export(jax.jit(flat))(*some)
        _write(path, traced.serialize())
    mesh = dict(how).get("mesh")
    places: dict[str, Any] = {} if mesh is None else {"in_shardings": traced.in_shardings_jax(mesh)}
    return jax.jit(traced.call, compiler_options=dict(options), **places)


@functools.cache
def _sources() -> list[tuple[str, int, int]]:
    """Name, time and size of every file of the package: another version traces other programs."""
    root = Path(__file__).parent
    return [(str(path.relative_to(root)), path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(root.rglob("*.py"))]


def _read(path: Path) -> bytearray | None:
    """What was written, if it is all there."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, rest = content[:DIGEST], content[DIGEST:]
    return bytearray(rest) if hashlib.sha256(rest).digest() == digest else None


def _write(path: Path, content: bytes | bytearray) -> None:
    """Content, and before it a digest of it. A full disk is no reason to fail."""
    with contextlib.suppress(OSError), atomic(path) as temporary:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
