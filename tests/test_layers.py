"""Imports run inward only; importing the package is cheap and changes nothing around it; docstrings name what there is."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import jaxem


PACKAGE = pathlib.Path(jaxem.__file__).parent

# What a layer may import, at module level and in functions: itself and the layers before it. The rooms of an outer layer (5 and up)
# are closed to each other: only what stands on one line here belongs together.
LAYERS = {
    0: ["_lazy _pytree _packing _typing _status _linalg _precision _parts _storage _version _compiler _traced _page _picture"],
    1: ["protocol patterns devices em reduce restarts accelerate quasi_newton families"],
    2: ["models"],
    3: [
        "ward noise filling prior options init moves programs padding lanes cell search units terms given publish columns"
        " categories tabular text criteria trust rowwise density result problem fitting saving convert resampling own_data"
        " replicates information spread entries standard_errors again"
    ],
    4: ["selection"],
    5: ["datasets", "plot report", "bayes", "sklearn"],
    6: ["cli __main__ _words _answer _bayesian _terminal _process io _formats _plain"],
}
ROOMS = {room: (layer, line) for layer, lines in LAYERS.items() for line in lines for room in line.split()}
# The public methods that call outward, for the convenience of who has a fit or a selection at hand.
OUTWARD = {("result", "posterior", "bayes"), ("selection", "plot", "plot"), ("selection", "report", "report")}
LIGHT = {"jax", "numpy", "jaxtyping"}
ALSO = {
    "cli": {"typer"},
    "_words": {"typer"},
    "_answer": {"typer"},
    "_bayesian": {"typer"},
    "_terminal": {"rich"},
    "bayes": {"numpyro"},
    "sklearn": {"sklearn"},
}


def modules():
    """Every module of the package, as dotted names below it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield path, parts[:-1] if parts[-1] == "__init__" else parts


def eager_imports(tree):
    """Import statements that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (found for child in node.orelse for found in eager_imports(child))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from eager_imports(node)


def rooms_of(node, path, name):
    """Rooms of the package that a relative import names."""
    package = name if path.name == "__init__.py" else name[:-1]
    base = package[: len(package) - node.level + 1]
    targets = [(*base, *node.module.split("."))] if node.module else [(*base, alias.name) for alias in node.names]
    return {target[0] for target in targets}


def late_imports(path, name):
    """Rooms of the package that functions of a module import when they run: (function, room)."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for node in ast.walk(function) if isinstance(function, functions) else ():
            if isinstance(node, ast.ImportFrom) and node.level:
                yield from ((function.name, room) for room in rooms_of(node, path, name))


def imports(path, name):
    """Rooms of the package, and other packages, that a module imports at once."""
    inside, outside = set(), set()
    for node in eager_imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            inside |= rooms_of(node, path, name)
        else:
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            outside |= {target.split(".")[0] for target in names}
    return inside, outside - set(sys.stdlib_module_names)


EDGES = [(name[0], *imports(path, name)) for path, name in modules() if name]


def test_every_module_has_a_room():
    assert {room for room, *_ in EDGES} <= set(ROOMS)


def inward(room, target):
    """Whether a room may import another."""
    (layer, line), (below, other) = ROOMS[room], ROOMS[target]
    return below < layer or other == line


@pytest.mark.parametrize(("room", "inside", "outside"), EDGES, ids=[".".join(name) for _, name in modules() if name])
def test_imports_run_inward(room, inside, outside):
    for target in inside:
        assert inward(room, target), f"{room} imports {target}"
    assert outside <= LIGHT | ALSO.get(room, set())


def test_imports_in_functions_run_inward_too():
    late = {(name[0], *found) for path, name in modules() if name for found in late_imports(path, name)}
    assert {(room, function, target) for room, function, target in late if not inward(room, target)} == OUTWARD


def promised(path):
    """What a module's first paragraph says that it imports; None where it says nothing."""
    words = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    found = re.search(r"[Ii]mports? ((?:[^.]|\.\w)*)\.", words)
    return found and found[1]


SAID = {name: (path, said) for path, name in modules() if (said := promised(path))}
NAMED = {"JAX": "jax", "NumPy": "numpy", "NumPyro": "numpyro", "scikit-learn": "sklearn", "typer": "typer", "rich": "rich"}


@pytest.mark.parametrize("name", SAID, ids=".".join)
def test_a_module_imports_what_it_says(name):
    """Layers by number, or modules by name; its own room, and layer 0 where it does not say "only", go without saying."""
    path, said = SAID[name]
    layers = {0} if "only" not in said else set()
    for first, joined, last in re.findall(r"layers? (\d)(?: (to|and) (\d))?", said):
        layers |= set(range(int(first), int(last) + 1)) if joined == "to" else {int(first), int(last or first)}
    inside, outside = imports(path, name)
    inside -= {name[0]} | {room for room in inside if ROOMS[room][0] in layers or re.search(rf"\b{room}\b", said)}
    assert not inside
    if "only" in said and "layer" not in said:
        assert outside <= {package for word, package in NAMED.items() if re.search(rf"\b{word}\b", said)} | {"jaxtyping"}


def test_families_know_no_engine():
    for room, inside, _ in EDGES:
        if room == "families":
            assert inside <= {"families", "protocol"} | set(LAYERS[0][0].split())


def test_no_module_needs_itself():
    """The order of the modules that import each other has no circles."""
    needs = {room: set() for room, *_ in EDGES}
    for room, inside, _ in EDGES:
        needs[room] |= inside - {room}
    while needs:
        free = {room for room, wanted in needs.items() if not wanted & set(needs)}
        assert free, f"a circle among {sorted(needs)}"
        needs = {room: wanted for room, wanted in needs.items() if room not in free}


def python(code):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_costs_little_over_jax():
    """At most 0.15 s of work; the fastest of a few, for the machine may be busy."""
    code = "import time, jax; start = time.process_time(); import jaxem; print(time.process_time() - start)"
    assert min(float(python(code)) for _ in range(3)) <= 0.15


def test_import_leaves_heavy_packages_alone():
    heavy = ["arviz", "numpyro", "pandas", "matplotlib", "sklearn", "scipy.cluster", "scipy.optimize", "typer", "rich"]
    assert python(f"import jaxem, sys; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_import_changes_nothing_around_it():
    code = """
import logging, os, sys, warnings, jax

def around():
    handlers = logging.root.handlers[:], logging.root.filters[:], logging.root.level
    return dict(jax.config.values), dict(os.environ), warnings.filters[:], handlers, sys.excepthook, sys.unraisablehook

before = around()
import jaxem
assert around() == before
"""
    python(code)


def test_every_module_of_the_reference_resolves_from_jaxem():
    """Whatever ran before: each in a package of which nothing is loaded yet."""
    reference = ast.parse((PACKAGE.parent / ".github/reference.py").read_text(encoding="utf-8"))
    names = next(ast.literal_eval(node.value) for node in reference.body if isinstance(node, ast.Assign))
    code = f"""
import sys, types, jaxem

for name in {names}:
    for loaded in [loaded for loaded in sys.modules if loaded.startswith("jaxem.")]:
        parent, _, child = loaded.rpartition(".")
        vars(sys.modules[parent]).pop(child, None)
    found = jaxem
    for part in name.split(".")[1:]:
        assert part in dir(found), name
        found = getattr(found, part)
    assert isinstance(found, types.ModuleType) and found.__name__ == name
"""
    python(code)


def test_only_the_command_sets_jax():
    setting = re.compile(r"config\.update|environ\[.*\] =|environ\.update")
    found = {name[0] for path, name in modules() if name and setting.search(path.read_text(encoding="utf-8"))}
    assert found <= {"_process", "cli"}


RECORDS = [
    value
    for path, name in modules()
    if name and name != ("__main__",)
    for value in vars(importlib.import_module(".".join(("jaxem", *name)))).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == ".".join(("jaxem", *name))
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_docstring_lists_every_field_once(record):
    """Where a docstring has a list of attributes, it is the list of the fields; a class may leave those of its base to it."""
    lines = itertools.dropwhile(lambda line: line != "Attributes:", inspect.cleandoc(record.__doc__).splitlines())
    listed = [found[1] for line in lines if (found := re.match(r" {4}(\w+): ", line))]
    assert listed == list(inspect.get_annotations(record))


RESULTS = (
    "Fit StandardErrors Refits Selection MergeTree BootstrapLRT CrossValidation Stability Posterior Comparison KComparison LeaveOut"
    " PartitionPosterior HierarchicalPosterior Calibration"
)


@pytest.mark.parametrize("name", RESULTS.split())
def test_a_result_is_equal_to_itself_alone(name):
    """Arrays have no one truth value, and neither they nor dicts have a hash."""
    (record,) = (record for record in RECORDS if record.__name__ == name)
    one, other = object.__new__(record), object.__new__(record)
    for field, made in itertools.product(dataclasses.fields(record), (one, other)):
        object.__setattr__(made, field.name, np.ones(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2
