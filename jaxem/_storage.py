"""Files written whole or not at all, and arrays with a JSON header in one `.npz`. Imports NumPy and the standard library only."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


HEADER = "header"
NAMES = "names"  # of all arrays, in the header: the directory of an archive has no check of its own


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and is removed when it does not.

    Where `path` is a link, it is what it leads to that is replaced.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    path = Path(path)
    target = path.resolve()
    for folder in (path.parent, target.parent):
        if not folder.is_dir():
            raise FileNotFoundError(f"no such folder: {folder}")
    temporary = _new_file(target)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _new_file(beside: Path) -> Path:
    """An empty file of a new name, with the permissions of any new file: `tempfile` makes it for its owner alone."""
    while True:
        path = beside.with_name(f".{beside.name}.{secrets.token_hex(4)}{beside.suffix}")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return path


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {os.fspath(path)}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{os.fspath(path)} is no text file, or is damaged") from None


def write_arrays(path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write arrays and a JSON header as `.npz`, without pickle."""
    text = np.frombuffer(json.dumps(header | {NAMES: list(arrays)}).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:  # NumPy 2.0's savez would take allow_pickle for an array
        for name, array in ({HEADER: text} | arrays).items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read_arrays(path: str | os.PathLike[str], what: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write_arrays` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or is not of this kind; `what` names what was expected.
    """
    try:
        with zipfile.ZipFile(path) as file:  # by itself: what is read to its end is checked, and NumPy may stop before
            arrays = {name.removesuffix(".npy"): _array(file.read(name)) for name in file.namelist()}
        header = json.loads(arrays.pop(HEADER).tobytes().decode())
        if set(header.pop(NAMES, arrays)) != set(arrays):
            raise ValueError
        return header, arrays
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {os.fspath(path)}") from None
    except Exception as error:  # whatever damage makes of an archive, of what is packed in it, or of a number of bytes
        raise ValueError(f"{os.fspath(path)} is not {what}, or is damaged ({type(error).__name__})") from None


def _array(raw: bytes) -> np.ndarray:
    return np.load(io.BytesIO(raw), allow_pickle=False)
