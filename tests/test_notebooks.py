"""The notebooks: stored without outputs, and written with public names only. CI runs them; see the job "notebooks"."""

from __future__ import annotations

import ast
import json
import pathlib

import pytest


FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"
FILES = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks():
    assert {"which_k", "coming_from_mclust_and_sklearn", "em_for_your_model"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_is_stored_bare_and_uses_what_is_public(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
    assert any("SMOKE" in source for source in code)
    for node in ast.walk(ast.parse("\n".join(source.rstrip("; \n") for source in code))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxem"):
            assert not any(part.startswith("_") for part in node.module.split("."))
            assert not any(alias.name.startswith("_") for alias in node.names)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr.startswith("__")
