"""Programs that an earlier process has traced give what programs traced anew give, and are not traced again."""

from __future__ import annotations

import jax
import pytest

import jaxem
from jaxem import _traced, programs


WORK = {"families": ["EEE", "VVI"], "num_components": [2, 3], "num_restarts": 4, "moves": False}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for traces; how often a program was traced is counted in `folder.traced`."""
    counts = []
    loop = programs.em.advance
    monkeypatch.setattr(programs.em, "advance", lambda *args, **how: counts.append(1) or loop(*args, **how))
    _traced.keep_in(tmp_path)
    yield tmp_path, counts
    _traced.keep_in(None)


def _again(faithful):
    """The answer of a process that has nothing in memory."""
    _traced._program.cache_clear()
    jax.clear_caches()
    return [fit.log_likelihood for fit in jaxem.select(faithful, **WORK).fits.values()]


def test_kept_programs_are_not_traced_again(folder, faithful):
    path, counts = folder
    anew = _again(faithful)
    assert counts
    assert list(path.glob("*.jaxexport"))
    counts.clear()
    assert _again(faithful) == anew
    assert not counts
    _traced.keep_in(None)
    assert _again(faithful) == pytest.approx(anew, abs=1e-6)


def test_a_spoiled_file_is_traced_again(folder, faithful):
    path, counts = folder
    anew = _again(faithful)
    for file in path.glob("*.jaxexport"):
        file.write_bytes(b"spoiled")
    counts.clear()
    assert _again(faithful) == anew
    assert counts


def test_changed_sources_are_traced_again(folder, faithful, monkeypatch):
    _, counts = folder
    anew = _again(faithful)
    monkeypatch.setattr(_traced, "_sources", lambda: ["another version"])
    counts.clear()
    assert _again(faithful) == anew
    assert counts
