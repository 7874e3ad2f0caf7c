"""Settings of JAX for the tests, and what many tests share."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import jaxem


def pytest_configure(config):
    """Compiled programs outlive a run: the second run of the tests compiles next to nothing."""
    if hasattr(config, "cache"):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


@pytest.fixture
def rng():
    """The same random numbers in every test, whatever runs before it."""
    return np.random.default_rng(20_240_229)


@pytest.fixture(scope="session")
def faithful():
    return jaxem.datasets.load("faithful")


@pytest.fixture(scope="session")
def earthquakes():
    return jaxem.datasets.load("earthquakes")[["count"]]


@pytest.fixture(scope="session")
def fitted(faithful):
    """A fit with nothing special about it."""
    return jaxem.fit(faithful, "EEE", 3)


@pytest.fixture(scope="session")
def selection(faithful):
    """A selection with nothing special about it."""
    return jaxem.select(faithful, ["EEE", "VVV"], range(1, 5))
