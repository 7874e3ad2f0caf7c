"""Settings of JAX for the tests, and what many tests share."""

from __future__ import annotations

import gc
import pathlib

import jax
import numpy as np
import pytest

import jaxem


MOST_MAPS = 20_000


def pytest_configure(config):
    """Compiled programs outlive a run: the second run of the tests compiles next to nothing."""
    if hasattr(config, "cache"):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


@pytest.fixture(autouse=True, scope="module")
def room_for_programs():
    """Every compiled program takes mappings of memory, of which Linux allows a process 65,530: near the limit, LLVM crashes."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


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


@pytest.fixture(scope="session")
def x(faithful):
    """Old Faithful without its names, (272, 2)."""
    return faithful.to_numpy()


@pytest.fixture(scope="session")
def resp(x):
    """A soft start for K = 3."""
    rng = np.random.default_rng(5)
    return 0.8 * np.eye(3)[np.argsort(np.argsort(x[:, 1])) * 3 // len(x)] + 0.2 * rng.dirichlet(np.ones(3), len(x))
