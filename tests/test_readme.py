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


def test_the_table_shown_is_what_is_found(faithful):
    rows = {line.split()[0]: line.split()[1:] for line in README.splitlines() if re.match(r"  (EEE|VVV) \d", line)}
    fits = jaxem.select(faithful, list(rows)).fits
    assert {(family, k) for family, cells in rows.items() for k in range(1, 1 + len(cells))} == set(fits)
    for family, cells in rows.items():
        for k, cell in enumerate(cells, start=1):
            slack = 20 if "?" in cell else 0.06  # what is of low trust may differ between processors
            assert fits[family, k].bic == pytest.approx(float(cell.rstrip("?*")), abs=slack)


def test_the_file_of_the_first_command_is_there():
    assert (ROOT / "jaxem/datasets/faithful.csv").is_file()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_link_leads_to_a_file(target):
    assert (ROOT / target).exists()


def test_the_citation_is_of_this_version():
    assert f"\nversion: {jaxem.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
