"""What README promises: its Python runs, its two commands stand as printed, its links lead somewhere."""

from __future__ import annotations

import pathlib
import re

import pytest

import jaxem


ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_there_is_an_example():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_example_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize(
    "command",
    [
        "python -m pip install . && jaxem select jaxem/datasets/faithful.csv",
        "python -m pip install '.[test]' && python -m pytest",
    ],
)
def test_command_stands_as_printed(command):
    assert README.splitlines().count(command) == 1


def test_the_file_of_the_first_command_is_there():
    assert (ROOT / "jaxem/datasets/faithful.csv").is_file()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_link_leads_to_a_file(target):
    assert (ROOT / target).exists()


def test_the_citation_is_of_this_version():
    assert f"\nversion: {jaxem.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
