"""Frozen dataclasses that are JAX pytrees. Owns `pytree` and `static`; imports JAX and the standard library only.

A pytree is rebuilt from its leaves without calling the constructor: under `vmap` or `eval_shape` the leaves are batched arrays,
tracers or plain objects, and a constructor that checks shapes would refuse them.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, TypeVar, dataclass_transform

import jax


T = TypeVar("T")


def static(default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that belongs to the program, not to the numbers: hashable, and a new value means a new compilation."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass and a JAX pytree whose leaves are its fields, except those declared `static()`."""
    declared = [cls.__dict__.get(name) for name in inspect.get_annotations(cls)]
    only_static = all(isinstance(value, dataclasses.Field) and value.metadata.get("static") for value in declared)
    cls = dataclasses.dataclass(frozen=True, eq=only_static)(cls)  # arrays do not compare; a class of statics does, and hashes
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # dataclass() returns the class it was given
    leaves = tuple(field.name for field in fields if not field.metadata.get("static"))
    statics = tuple(field.name for field in fields if field.metadata.get("static"))

    def flatten_with_keys(node):
        children = tuple((jax.tree_util.GetAttrKey(name), getattr(node, name)) for name in leaves)
        return children, tuple(getattr(node, name) for name in statics)

    def flatten(node):
        return tuple(getattr(node, name) for name in leaves), tuple(getattr(node, name) for name in statics)

    def unflatten(aux, children):
        node = object.__new__(cls)
        for name, value in zip(statics, aux, strict=True):
            object.__setattr__(node, name, value)
        for name, value in zip(leaves, children, strict=True):
            object.__setattr__(node, name, value)
        return node

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


replace = dataclasses.replace
