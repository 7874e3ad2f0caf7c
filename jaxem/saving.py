"""Fits in files and as JSON, bit for bit. Imports layers 0 and 1 and result.

Two forms of the same record: `.npz` (arrays, and a JSON header for the rest; no pickle) and JSON text, in which numbers have all their
digits and what is not finite is a string. Older records are read; what a newer jaxem has written is said to be newer.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import numpy as np

from . import _storage, families
from ._status import Status
from .result import Fit, Params


FORMAT = "jaxem.Fit"
FILE_VERSION = 3  # one more whenever the fields of `Fit`, the statuses or the terms change: a test has the list
NOT_SAVED = ("source", "seconds")
KINDS = {"str": str, "int": int, "float": int | float, "bool": bool, "tuple": tuple, "dict": dict, "np.ndarray": np.ndarray}
KINDS |= {"Params": Params, "Status": Status, "None": type(None)}
TERMS = ("noise", "equal_weights", "prior", "fixed", "labels")


def save(fit: Fit, path: str | os.PathLike[str]) -> None:
    """Write a fit as `.npz`, or as JSON where the path says so, whole or not at all."""
    if str(os.fspath(path)).endswith(".json"):
        to_json(fit, path)
        return
    plain, arrays = _taken_apart(fit)
    _storage.write_arrays(path, {"format": FORMAT, "version": FILE_VERSION, "fit": plain}, arrays)


def load(path: str | os.PathLike[str], family: Any = None) -> Fit:
    """Read a fit that `Fit.save` or `Fit.to_json` wrote.

    Args:
        path: The `.npz` or `.json` file.
        family: The `Family` object, if it is one that does not come with jaxem.
    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, is not a jaxem fit, or was written by a newer version; if `family` is not the one it was saved with.
        TypeError: if `family` is no `Family` object.

    Example:
        >>> import jaxem, os, tempfile
        >>> fit = jaxem.fit(jaxem.datasets.load("faithful"), "EEE", 3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fit.save(os.path.join(folder, "model.npz"))
        ...     again = jaxem.load(os.path.join(folder, "model.npz"))
        >>> again.bic == fit.bic
        True
    """
    name = os.fspath(path)
    if str(name).endswith(".json"):
        return from_json(_storage.read_text(path), family, name)
    header, arrays = _storage.read_arrays(path, "a saved jaxem fit")
    return _put_together(header, arrays, family, name)


def to_json(fit: Fit, path: str | os.PathLike[str] | None = None) -> str:
    """A fit as JSON text; written to `path` too, whole or not at all, if one is given."""
    plain, arrays = _taken_apart(fit)
    record = {
        "format": FORMAT,
        "version": FILE_VERSION,
        "fit": {name: _finite(value) for name, value in plain.items()},
        "arrays": {name: _finite(array.tolist()) for name, array in arrays.items()},
    }
    text = json.dumps(record, allow_nan=False)
    if path is not None:
        _storage.write_text(path, text + "\n")
    return text


def from_json(text: str, family: Any = None, name: str = "the text") -> Fit:
    """The fit that `Fit.to_json` wrote.

    Args:
        text: JSON text.
        family: The `Family` object, if it is one that does not come with jaxem.
        name: What to call the text if it is refused.
    Raises:
        ValueError, TypeError: as for `load`.
    """
    try:
        record = json.loads(text)
        arrays = {key: np.array(values, dtype=object).astype(np.float64) for key, values in record["arrays"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        file = "" if str(text).lstrip().startswith("{") else "; jaxem.load(path) reads a file"
        raise ValueError(f"{name} is not a saved jaxem fit, or is damaged{file}") from None
    return _put_together(record, arrays, family, name)


def _taken_apart(fit: Fit) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What JSON can hold, and the arrays, both by name; the arrays of a `Params` as "params.means"."""
    plain, arrays = {}, {}
    for field in dataclasses.fields(fit):
        value = getattr(fit, field.name)
        if field.name in NOT_SAVED:
            continue
        if isinstance(value, Params):
            arrays |= {f"{field.name}.{name}": array for name, array in value.asdict().items()}
        elif isinstance(value, np.ndarray):
            arrays[field.name] = value
        else:
            plain[field.name] = value.name if isinstance(value, Status) else value
    return plain, arrays


def _put_together(header: dict[str, Any], arrays: dict[str, np.ndarray], family: Any, name: str) -> Fit:
    """The inverse of `_taken_apart`."""
    if header.get("format") != FORMAT or not isinstance(header.get("version"), int):
        raise ValueError(f"{name} is not a saved jaxem fit")
    newer = f"{name} was written by a newer jaxem ({{}}); upgrade jaxem to read it"
    if header["version"] > FILE_VERSION:
        raise ValueError(newer.format(f"file version {header['version']}"))
    sets: dict[str, dict[str, np.ndarray]] = {}
    single = {}
    for key, array in arrays.items():
        field, _, part = key.partition(".")
        if part:
            sets.setdefault(field, {})[part] = array
        else:
            single[field] = array
    known = {field.name: field for field in dataclasses.fields(Fit)}
    numbers = [key for key, field in known.items() if str(field.type).startswith("float")]
    damaged = f"{name} is not a saved jaxem fit, or is damaged"
    fit = None
    try:
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in header["fit"].items()
        }
        foreign = {*fields, *single, *sets} - {*known} | {*fields.get("terms", {})} - {*TERMS}
        foreign |= {str(fields.get("status", Status.RUNNING.name))} - {*Status.__members__}
        if not foreign:
            fields |= {key: float(fields[key]) for key in numbers if isinstance(fields.get(key), str)}
            fields["status"] = Status[fields["status"]]
            fields |= single | {field: Params(**own) for field, own in sets.items()} | {"source": family}
            fit = Fit(**fields)
            _check_kinds(fit)
            _check_shapes(fit)
    except KeyError as error:
        raise ValueError(f"{damaged} (it lacks {error})") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{damaged} ({error})") from None
    if fit is None:
        raise ValueError(newer.format(f"this one knows nothing of {', '.join(map(repr, sorted(foreign)))}"))
    if family is not None:
        if getattr(family, "name", None) != fit.family:
            raise ValueError(
                f"{name} is a fit of family {fit.family!r}; family must be the object of that name, got {family!r:.60}"
            )
        families.resolve([family], len(fit.columns))
    return fit


def _check_kinds(fit: Fit) -> None:
    """Refuse a field that is not of its kind.

    Raises:
        ValueError: naming it.
    """
    for field in dataclasses.fields(fit):
        kinds = tuple(KINDS.get(kind.partition("[")[0], object) for kind in str(field.type).split(" | "))
        value = getattr(fit, field.name)
        if not isinstance(value, kinds) or (isinstance(value, tuple) and not all(isinstance(item, str) for item in value)):
            raise ValueError(f"{field.name} is {value!r:.40}")


def _check_shapes(fit: Fit) -> None:
    """Refuse parameters or noise without the shapes that the family, the components and the columns ask for.

    Raises:
        ValueError: naming what it is.
    """
    if not set(fit.columns) <= set(fit.input_columns or fit.columns):
        raise ValueError("its columns are others than were given")
    k, d = fit.num_components, len(fit.columns)
    shapes = {"weights": (k,)}
    if fit.source is None and families.known(fit.family) and len(fit.params.weights) == k:
        family = fit._family()
        example = family.publish(family.reference(k, d, np.float64), np.zeros(d), np.eye(d))
        shapes |= {name: array.shape for name, array in example.items()}
    sets = [own.asdict() for own in (fit.params, fit.runner_up) if own is not None]
    wanted = [(name, own.get(name), shape) for own in sets for name, shape in shapes.items()]
    if fit.noise is not None:
        wanted += [("noise", fit.noise.origin, (d,)), ("noise", fit.noise.edges, (d, d))]
    for name, array, shape in wanted:
        if array is None or array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {'nothing' if array is None else array.shape}")


def _finite(value: Any) -> Any:
    """A value, or a nested list of values, as JSON has them: what is not finite as a string."""
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
