"""One fit of Old Faithful and its posterior by each sampler, for all tests of this room."""

from __future__ import annotations

import pytest

import jaxem


@pytest.fixture(scope="session")
def two(faithful):
    """Two full Gaussian components, with a runner-up."""
    return jaxem.fit(faithful, "VVV", 2)


@pytest.fixture(scope="session")
def by_gibbs(two, faithful):
    return two.posterior(faithful)


@pytest.fixture(scope="session")
def by_nuts(two, faithful):
    return two.posterior(faithful, sampler="nuts", seed=1)
