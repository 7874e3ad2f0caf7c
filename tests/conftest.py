"""Settings of JAX for the tests, and what many tests share."""

from __future__ import annotations

import gc
import os
import pathlib

import jax
import numpy as np
import pytest

import jaxem
from jaxem.bayes import nuts
from jaxem.bayes.hierarchical import chains


MOST_MAPS = 35_000  # clearing all programs takes seconds, and what was shared is compiled again
# Most programs of the tests run once, on little: compiling them is most of their time. Once a week CI compiles them as users do.
LEVEL = "--xla_backend_optimization_level"
HASTE = (  # every worker has a core of its own, and loops that are entered once need no tidying
    f"{LEVEL}=0 --xla_cpu_parallel_codegen_split_count=1 "
    "--xla_disable_hlo_passes=simplify-while-loops,while-loop-invariant-code-motion,tree_reduction_rewriter"
)
if LEVEL not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {HASTE}".strip()


def pytest_configure(config):
    """Compiled programs outlive a run: the second run of the tests compiles next to nothing."""
    if hasattr(config, "cache"):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


# What takes more than 4 s where nothing is compiled yet; other slow tests have the mark where they stand.
SLOW_FIXTURES = {"by_gibbs", "by_nuts", "by_k", "test_of_two", "posterior"}
SLOW_EXAMPLES = {"classes.regression_mixture", "grouped.grouped_mixture", "compare.compare_em_mcmc"}


# Where annotations are read at run time (CONTRIBUTING), misuse is refused before our own sentence is reached.
MISUSES = {
    "test_bad_input.py",
    "test_a_cell_that_is_not_there_says_why",
    "test_bad_arguments_are_refused",
    "test_bad_input_is_one_sentence",
    "test_concentration_is_a_gamma",
    "test_what_would_fail_later_is_refused_at_once",
}


def compile_with_care(module, name, *static):
    """Have a program compiled to be fast after all: one that takes thousands of steps, five times as long each at level 0."""
    options = {LEVEL.removeprefix("--"): 2}
    setattr(module, name, jax.jit(getattr(module, name).__wrapped__, static_argnames=static, compiler_options=options))


def pytest_collection_modifyitems(config, items):
    """Mark what cannot bear a mark itself: fixtures, whichever test asks for them first, and examples in docstrings."""
    compile_with_care(nuts, "chains", "num_warmup", "num_samples")
    compile_with_care(chains, "run", "num_warmup", "num_samples", "max_tree_depth")
    for item in items:
        if config.getoption("jaxtyping_packages", None) and MISUSES & {item.path.name, getattr(item, "originalname", "")}:
            item.add_marker(pytest.mark.skip(reason="annotations are read, and refuse misuse in their own words"))
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())) or item.name.endswith(tuple(SLOW_EXAMPLES)):
            item.add_marker("slow")


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
