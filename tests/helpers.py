"""Small tools of many tests."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxem import programs


def _quick() -> dict[str, Any] | None:
    """Options for compiling in half of the time, where the compiler has them."""
    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except RuntimeError:
        return None
    return options


QUICK = _quick()


def jit(function: Any, **options: Any) -> Any:
    """`jax.jit` for laws. Code that runs a few times on a hundred rows need not be fast: its compiling was most of their time."""
    return jax.jit(function, compiler_options=QUICK, **options)


def sites(model: Any, *args: Any, **options: Any) -> dict[str, Any]:
    """The sites of a draw from a NumPyro model, by name, as they are while it is traced: nothing is computed."""
    from numpyro.handlers import seed, trace

    found: dict[str, Any] = {}
    jax.eval_shape(lambda: found.update(trace(seed(model, 0)).get_trace(*args, **options)))
    return found


def agree(got: Any, wanted: Any, rtol: float = 1e-10, atol: float = 1e-10) -> None:
    """Whether two pytrees, or a dict and the object whose attributes it names, hold the same numbers to rounding."""
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=rtol, atol=atol)


def identical(got: Any, wanted: Any) -> None:
    """Whether two pytrees hold the same bits, NaN included."""
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def matching(got: np.ndarray, wanted: np.ndarray) -> list[int]:
    """The order in which the components of `got` (means or rates, (k, d)) lie nearest to those of `wanted`."""
    from scipy.optimize import linear_sum_assignment

    scale = wanted.std(0) + 1e-300
    distance = np.abs((got[None] - wanted[:, None]) / scale).sum(-1)
    return linear_sum_assignment(distance)[1].tolist()


@contextlib.contextmanager
def new_programs() -> Iterator[dict[str, int]]:
    """How many programs each jitted function of the lanes has compiled within the block, by name; filled when it ends."""
    functions = {name: value.compiled() for name, value in vars(programs).items() if hasattr(value, "compiled")}
    before = {name: function._cache_size() for name, function in functions.items()}
    counts: dict[str, int] = {}
    yield counts
    counts |= {name: function._cache_size() - before[name] for name, function in functions.items()}


@contextlib.contextmanager
def compiling(caplog: Any) -> Iterator[list[str]]:
    """What JAX says of every program that this thread compiles within the block; filled when it ends."""
    said: list[str] = []
    with jax.log_compiles(), caplog.at_level("WARNING"):
        yield said
    here = [record.getMessage() for record in caplog.records if record.thread == threading.get_ident()]
    said += [message for message in here if message.startswith("Finished XLA compilation")]
    caplog.clear()


def pairs(items: Any) -> list[tuple[Any, Any]]:
    """Neighbours in a sequence."""
    return list(itertools.pairwise(items))


def told(result: Any) -> str:
    """What `print` says of a result: more than its name, in lines that a terminal takes, without blanks at their ends."""
    said = str(result)
    lines = said.splitlines()
    assert "\n" not in repr(result)
    assert len(said) > len(repr(result))
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 60
    assert all(line == line.rstrip() for line in lines)
    return said
