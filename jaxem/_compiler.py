"""The quick compiler, for programs that take longer to compile than to run; and quicker tracing. Imports layer 0."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.core import Tracer

from . import _traced
from ._precision import outside


Traced = TypeVar("Traced", bound=Callable[..., Any])

_QUICK = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 4,
    "xla_cpu_prefer_vector_width": 512,  # where the machine has such registers exp takes two thirds of the time
}
_HASTY = _QUICK | {"xla_backend_optimization_level": 1}


@functools.cache
def quick_options(hasty: bool = False) -> dict[str, Any] | None:
    """Options for a CPU: half the time to compile, and wide registers; without those that this version of XLA does not know.

    What the user has asked for in XLA_FLAGS holds.

    Args:
        hasty: Whether to take a third off what is left, too: the program is then up to a fifth slower where arrays are large.
    """
    asked = os.environ.get("XLA_FLAGS", "")
    return {name: value for name, value in _known().items() if (hasty or name in _QUICK) and name not in asked} or None


@functools.cache
def _known() -> dict[str, Any]:
    """The options that there are."""
    if jax.default_backend() != "cpu":
        return {}
    return _HASTY if _compiles(_HASTY) else {name: value for name, value in _HASTY.items() if _compiles({name: value})}


def _compiles(options: dict[str, Any]) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options=options)(np.zeros((), np.float32))
    except jax.errors.JaxRuntimeError:
        return False
    return True


def quick_jit(
    *static_argnames: str, hasty: bool = False, like: Callable[..., Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`jax.jit` with `quick_options`, which are looked up at the first call: importing a module must not start a backend.

    What it returns has `ahead`, which takes the arguments of a call to come, gives the shapes of its result, and has a thread compile
    it. The call waits for that thread; meanwhile Python is free to trace what else there is. Programs are compiled in the order in which
    they were asked for: two at a time get in each other's way, for the first one wanted as well.

    Args:
        static_argnames: Of keywords.
        hasty: See `quick_options`.
        like: From the positional arguments a pytree of the structure that the function returns; with it, traces may be kept on disk.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def compiled() -> Callable[..., Any]:
            return jax.jit(function, static_argnames=static_argnames, compiler_options=quick_options(hasty))

        def program(args: Any, kwargs: Any) -> tuple[Callable[..., Any], Any, Any, Callable[[Any], Any]]:
            """What is called, with what, and how to put together what it gives: leaves only where its trace is kept on disk."""
            if like is None or not _traced.keeps():
                return compiled(), args, kwargs, lambda out: out
            kept, whole = _traced.program(function, args, kwargs, quick_options(hasty)), jax.tree.structure(like(*args))
            return kept, jax.tree.leaves(args), {}, lambda out: jax.tree.unflatten(whole, out)

        begun: dict[Any, tuple[Any, threading.Thread]] = {}

        def ahead(*args: Any, **kwargs: Any) -> Any:
            leaves, tree = jax.tree.flatten(args)
            which = tree, *((np.shape(leaf), getattr(leaf, "dtype", None)) for leaf in leaves), *kwargs.items()
            if which not in begun:
                jitted, some, how, together = program(args, kwargs)
                lowered = jitted.lower(*some, **how)
                begun[which] = together(lowered.out_info), _in_line(lowered.compile)
            return begun[which][0]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for _, thread in tuple(begun.values()):
                thread.join()
            jitted, some, how, together = program(args, kwargs)
            return together(jitted(*some, **how))

        call.compiled = compiled  # type: ignore[attr-defined]
        call.ahead = ahead  # type: ignore[attr-defined]
        call.lower = lambda *args, **kwargs: compiled().lower(*args, **kwargs)  # type: ignore[attr-defined]
        return call

    return decorate


_last: list[threading.Thread] = []  # in the line


def _in_line(work: Callable[[], Any]) -> threading.Thread:
    """A thread that does this work as soon as all that was asked for before is done."""
    before = tuple(_last)
    work = outside(work)  # the width of floats is a setting of each thread

    def attempt() -> None:
        for thread in before:
            thread.join()
        with contextlib.suppress(Exception):  # what fails here fails again, and is reported, where it is called
            work()

    thread = threading.Thread(target=attempt)
    thread.start()
    _last[:] = [thread]
    return thread


def inlined(function: Traced) -> Traced:
    """Trace what a function calls in place.

    JAX's own functions are each a `jit`, and to batch some 400 small programs one by one is 40 % of tracing a step of EM (0.1 s for one
    structure). Not for a function with a loop of fixed length, which would be unrolled.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            return function(*args, **kwargs)
        with jax.disable_jit():
            return function(*args, **kwargs)

    return call  # type: ignore[return-value]  # it takes and gives the same
