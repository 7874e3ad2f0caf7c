"""What is asked of a family of the user's own before anything is compiled. Imports layer 0, NumPy and JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from .gaussian import Gaussian


ATTRIBUTES = ("name", "standardise")
METHODS = (
    *("check", "bind", "with_residuals", "num_params", "admissible", "distance", "publish", "adopt"),
    *("reference", "log_prob", "expected_stats", "m_step", "complete", "to_free", "from_free", "collapsed", "sample"),
)
KINDS: dict[str, Callable[[Any], bool]] = {
    "True or False": lambda value: isinstance(value, bool | np.bool_),
    "a method": callable,
    "a dict": lambda value: isinstance(value, Mapping),
}
ANSWERS = (
    *(
        "check_rows",
        "log_joint",
        "observed",
        "rows_needed",
        "alone",
        "likeliest",
        "embed",
        "knowing",
        "pinned",
        "most_params",
        "num_held",
    ),
    *("with_prior", "log_prior"),
)
OPTIONAL = (  # what the engine looks for, and what it must be then
    *((name, "True or False") for name in ("standardise", "linear", "full", "smooth", "shareable")),
    *((name, "a method") for name in ANSWERS),
    ("bounds", "a dict"),
)
RESERVED = ("weights", "correlations", "asdict", "take")  # by the mixture, by the table of standard errors, by `Params`
MATRICES = ("covariances", "scatters")
PLACES = {"means": "(k, d)", "rates": "(k, d)"} | dict.fromkeys(MATRICES, "(k, d, d)")  # names that mean the same everywhere
PROBE = 2  # components


def check_family(family: Any) -> None:
    """Whether an object has what `protocol.Family` asks for.

    Raises:
        TypeError: if it lacks something, with its name; if it has something that means another thing; or if JAX does not know its class.
    """
    called = getattr(family, "name", None)
    whose = f"the family {called!r}" if isinstance(called, str) else f"the family {family!r:.60}"
    lacking = [f"{name}()" for name in METHODS if not callable(getattr(family, name, None))]
    lacking = [name for name in ATTRIBUTES if not hasattr(family, name)] + lacking
    if lacking:
        raise TypeError(f"{whose} lacks {', '.join(lacking)}: jaxem.protocol.Family says what each is to do")
    if not isinstance(called, str) or not called:
        raise TypeError(f"the name of a family must be a string, got {called!r}")
    for name, wanted in OPTIONAL:
        if hasattr(family, name) and not KINDS[wanted](getattr(family, name)):
            raise TypeError(
                f"{whose} has {name} = {getattr(family, name)!r:.60}, and what a family has by this name must be {wanted}: "
                "jaxem.protocol.Family says what it is for; if yours is something else, call it otherwise"
            )
    if hasattr(family, "residuals") and not isinstance(family, Gaussian):
        raise TypeError(
            f"{whose} has something called residuals, and this name is kept for Gaussian families, whose moments may be taken about "
            "their means: call it otherwise"
        )
    kind = type(family).__name__
    if jax.tree_util.all_leaves([family]):
        raise TypeError(
            f"JAX does not know the class {kind} of {whose}: put @jax.tree_util.register_static above the class or, where it holds "
            "arrays, @jax.tree_util.register_dataclass"
        )


def check_published(family: Any, num_features: int, dtype: Any) -> None:
    """Whether what a family publishes can stand beside the weights: asked at its reference point, in internal units.

    Args:
        family: The family, bound to rows.
        num_features: Columns of these, d.
        dtype: Of the reference point.
    Raises:
        ValueError: for a name that means something else, an array without the component axis, or bounds that are none.
    """
    whose, d = f"the family {family.name!r}", num_features
    published = family.publish(family.reference(PROBE, d, dtype), np.zeros(d), np.eye(d))
    shapes = {name: np.shape(array) for name, array in published.items()}
    for name, shape in shapes.items():
        if name in RESERVED or not name.isidentifier():
            raise ValueError(f"{whose} publishes {name!r}, which means something else in a fit's params: choose another name")
        wanted = {"(k, d)": (PROBE, d), "(k, d, d)": (PROBE, d, d)}.get(PLACES.get(name, ""), shape)
        if shape[:1] != (PROBE,) or shape != wanted:
            raise ValueError(
                f"{whose} publishes {name!r} of shape {shape} for k = {PROBE} and d = {d}, where {PLACES.get(name, '(k, …)')} is "
                "expected: the component axis comes first"
                + (f", and {name!r} is kept for such arrays" if name in PLACES else "")
            )
    about = next((name for name in MATRICES if name in shapes), None)
    if about and "means" not in shapes:
        raise ValueError(
            f"{whose} publishes {about!r} and no 'means' that they are about: publish both, or choose another name"
        )
    for name, bounds in getattr(family, "bounds", {}).items():
        low, high = bounds if np.shape(bounds) == (2,) else (0, 0)
        if name not in shapes or not low < high:
            raise ValueError(
                f"{whose} has bounds {bounds!r} for {name!r}: bounds are pairs (lowest, highest), numbers or infinite, of what it "
                f"publishes, which is {', '.join(map(repr, shapes))}"
            )
