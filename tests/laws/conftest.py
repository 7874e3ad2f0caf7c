"""What the laws run over: every family, in double precision."""

from __future__ import annotations

import jax
import pytest
from cases import CASES


FORMS = [(case, case.family) for case in CASES]
FORMS += [(case, case.family.with_residuals()) for case in CASES if case.family.with_residuals() is not case.family]


@pytest.fixture(autouse=True)
def double():
    """The laws call the package's inner functions, where the caller settles the width."""
    with jax.enable_x64(True):
        yield


def pytest_generate_tests(metafunc):
    """A law that asks for `case` runs over every family; one that asks for `family` too, over every form of each.

    A module of laws about a method that a family need not have names it, `OF`. Laws of what is maximised are of families of which
    labels are all that is latent, and have a mark for that.
    """
    method = getattr(metafunc.module, "OF", "log_prob")
    any_case = metafunc.definition.get_closest_marker("only_labels") is None
    forms = [(case, family) for case, family in FORMS if hasattr(family, method) and (any_case or case.only_labels)]
    cases = [case for case in CASES if hasattr(case.family, method) and (any_case or case.only_labels)]
    if "family" in metafunc.fixturenames:
        names = [f"{case.name}{'-residuals' * (family is not case.family)}" for case, family in forms]
        metafunc.parametrize(("case", "family"), forms, ids=names)
    elif "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])
