"""The reference site, from the docstrings: python .github/reference.py FOLDER. Needs the extra `docs`."""

import importlib
import pathlib
import sys
import warnings

import pdoc


MODULES = [
    "jaxem",
    "jaxem.selection",
    "jaxem.criteria",
    "jaxem.density",
    "jaxem.convert",
    "jaxem.saving",
    "jaxem.plot",
    "jaxem.report",
    "jaxem.datasets",
    "jaxem.sklearn",
    "jaxem.bayes",
    "jaxem.bayes.diagnostics",
    "jaxem.bayes.hierarchical",
    "jaxem.bayes.relabel",
    "jaxem.em",
    "jaxem.accelerate",
    "jaxem.quasi_newton",
    "jaxem.reduce",
    "jaxem.protocol",
    "jaxem.families",
]


def main(folder: str) -> None:
    """Write the site; a name that does not resolve is an error."""
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []):  # many names are imported when they are first used, and pdoc uses none
            setattr(module, public, getattr(module, public))
    pdoc.render.configure(docformat="google", math=True, footer_text="jaxem")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found .* in .*__all__, but it does not resolve")
        warnings.filterwarnings("ignore", message="Error parsing type annotation|.* has already been added")
        pdoc.pdoc(*MODULES, output_directory=pathlib.Path(folder))


if __name__ == "__main__":
    main(sys.argv[1])
