"""Samplers' programs are JAX's to keep, and to forget."""

from __future__ import annotations

import functools

import jax
import numpy as np

from jaxem.bayes import _programs


def test_programs_are_kept_until_jax_is_told_to_forget_them():
    traced = []

    @functools.partial(jax.jit, static_argnames="power")
    def function(x, *, power):
        traced.append(power)
        return x**power

    seconds = {}
    for size, power in [(3, 2), (3, 2), (3, 3), (4, 2), (3, 2)]:
        np.testing.assert_allclose(_programs.call(function, np.full(size, 3.0), seconds=seconds, power=power), 3.0**power)
    assert traced == [2, 3, 2]
    assert set(seconds) == {"compiling", "running"}
    jax.clear_caches()
    _programs.call(function, np.full(3, 3.0), seconds=seconds, power=2)
    assert traced == [2, 3, 2, 2]
