"""Component families, by name. Imports layer 0 and the families."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from .._pytree import replace
from .categorical import Categorical
from .gaussian import STRUCTURES, UNIVARIATE, Gaussian, fix, gaussian
from .own import check_family, check_published
from .poisson import Poisson
from .student import Student, student


__all__ = [
    "Categorical",
    "Gaussian",
    "Poisson",
    "Student",
    "fix",
    "gaussian",
    "kind",
    "known",
    "names",
    "resolve",
    "settled",
    "standardised",
    "student",
]

ALIGNED_FROM = 4  # columns from which a program of its own pays for diagonal covariances

SKLEARN = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}

OTHERS = {"poisson": Poisson, "categorical": Categorical}  # families that are made by their name alone
T = "t"  # before a structure's code: t components


def names() -> tuple[str, ...]:
    """Every name that `resolve` knows, a group before its members; after those of t components, and a colon, degrees of freedom."""
    codes = (*STRUCTURES, *UNIVARIATE)
    return ("gaussian", *codes, *SKLEARN, *OTHERS, "student", *(T + code for code in codes))


def known(name: str) -> bool:
    """Whether a fit's family is one that comes with jaxem."""
    plain, colon, _ = name.partition(":")
    return plain in names() and (not colon or plain[0] == T)


def resolve(families: Any, num_features: int) -> list[Any]:
    """The families that a user means, each once.

    Args:
        families: A name, a `Family`, or a list of them. "gaussian" is every structure, "student" the same of t components, whose codes
            begin with a t: "tVVV", or "tVVV:equal" and "tVVV:4" for common and for known degrees of freedom. scikit-learn's covariance
            types and, in one dimension, all structure codes are understood.
        num_features: Columns of the data.
    Raises:
        ValueError: for an unknown name, with the nearest known one; for two families of one name; or for no family at all.
        TypeError: if an item is neither a name nor a family, with what it lacks.
    """
    items = [families] if isinstance(families, str) or not isinstance(families, Iterable) else list(families)
    if not items:
        raise ValueError("families must name at least one family, got an empty list")
    out: dict[str, Any] = {}
    for item in items:
        for family in _one(item, num_features):
            if not _same(out.setdefault(family.name, family), family):
                raise ValueError(
                    f"two different families have the name {family.name!r}, and results go by that name: give each its own"
                )
    return _alike(list(out.values()), num_features)


def standardised(family: Any) -> bool:
    """Whether a family, or the one of this name, sees columns centred and scaled."""
    known = OTHERS.get(family.lower()) if isinstance(family, str) else family
    return getattr(known, "standardise", True)


def nominal(families: Any) -> bool:
    """Whether one of the families that a user means takes values for names of categories."""
    items = [families] if isinstance(families, str) or not isinstance(families, Iterable) else list(families)
    return any(hasattr(OTHERS.get(item.lower()) if isinstance(item, str) else item, "embed") for item in items)


def folded(families: Iterable[Any], table: Any) -> Any:
    """The table that some families see: of names there are few rows that differ, and each is there once.

    Raises:
        ValueError: for rows that a family cannot have made: they have their numbers still.
    """
    seen = list(families)
    if not all(hasattr(family, "embed") for family in seen):
        return table
    for family in seen:
        family.check(table.x, list(table.columns))
    return table.folded()


def settled(family: Any, num_features: int, dtype: Any) -> Any:
    """A family that is bound to rows of so many columns; what one of the user's own publishes is looked at first.

    Raises:
        ValueError: for names, shapes or bounds that cannot be published.
    """
    if not _built_in(family):
        check_published(family, num_features, dtype)
    return family


def kind(family: Any) -> Any:
    """What families have in common that run in one program: of the user's own, all but their numbers."""
    return type(family) if _built_in(family) else jax.tree.structure(family)


def _built_in(family: Any) -> bool:
    """Whether a family comes with jaxem, and is none that was made from one."""
    return type(family) in (Gaussian, Student, *OTHERS.values())


def _same(one: Any, other: Any) -> bool:
    """Whether two families are the same to the last number."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def _alike(families: list[Any], num_features: int) -> list[Any]:
    """Gaussian families in one program, whatever their structures, and t families in another."""
    gaussians = _in_one([family for family in families if isinstance(family, Gaussian)], num_features)
    students = _in_one([family.normal for family in families if isinstance(family, Student)], num_features)

    def shared(family: Any) -> Any:
        if isinstance(family, Student):
            return replace(family, normal=replace(family.normal, **students))
        return replace(family, **gaussians) if isinstance(family, Gaussian) else family

    return [shared(family) for family in families]


def _in_one(families: list[Gaussian], num_features: int) -> dict[str, bool]:
    """What the program of some Gaussian families must have."""
    has = {name: any(getattr(family, name) for family in families) for name in ("with_axes", "with_volumes")}
    return has | {"aligned": num_features >= ALIGNED_FROM and all(family.structure.aligned for family in families)}


def _one(item: Any, num_features: int) -> list[Any]:
    univariate = num_features == 1
    if not isinstance(item, str):
        if isinstance(item, type) or not hasattr(item, "expected_stats"):
            raise TypeError(f"a family is a name or an object with the Family methods, got {item!r}")
        if not _built_in(item):
            check_family(item)
            if known(item.name) or item.name.lower() in map(str.lower, names()):
                raise ValueError(f"the name {item.name!r} is that of a family which comes with jaxem: give yours another")
        return [item]
    if item.lower() in OTHERS:
        return [OTHERS[item.lower()]()]
    plain, _, dof = item.lower().partition(":")
    if plain == "student" or (plain[:1] == T and plain[1:].upper() in (*STRUCTURES, *UNIVARIATE)):
        inside = _one("gaussian" if plain == "student" else plain[1:], num_features)
        return [student(normal.name, dof=dof or None, univariate=univariate) for normal in inside]
    if item.lower() == "gaussian":
        return [gaussian(code, univariate=univariate) for code in (UNIVARIATE if univariate else STRUCTURES)]
    code = SKLEARN.get(item.lower(), item.upper())
    if univariate and (code in STRUCTURES or code in UNIVARIATE):
        return [gaussian(code[0], univariate=True)]  # one variance: only the volume's letter still means something
    if code in STRUCTURES:
        return [gaussian(code)]
    if code in UNIVARIATE:
        wider = "EEE" if code == "E" else "VVV"
        raise ValueError(f"family {item!r} is for data of one column, and these have {num_features}; use {wider!r}")
    near = difflib.get_close_matches(item.upper(), [name.upper() for name in names()], n=9, cutoff=0.6)
    nearest = max(near, key=lambda name: _likeness(name, item.upper()), default=None)
    name = next((name for name in names() if name.upper() == nearest), None)
    raise ValueError(f"unknown family {item!r}: " + (f"did you mean {name!r}?" if name else f"known are {', '.join(names())}"))


def _likeness(name: str, given: str) -> tuple[float, int]:
    """How alike two names are; of structures with as many letters in common, the one with more of them in place."""
    in_place = sum(a == b for a, b in zip(name, given, strict=False))
    return difflib.SequenceMatcher(None, given, name).ratio(), in_place
