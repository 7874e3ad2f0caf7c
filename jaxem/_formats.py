"""Binary tables in and out, for the command. Imports the standard library only; what reads a format, when such a file comes.

A format is told by its first bytes. What needs an extra package says which.
"""

from __future__ import annotations

import importlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    import pandas as pd

Reader = Callable[[bytes, str, "str | None"], "pd.DataFrame"]
DENSE_TO = 50_000_000  # cells of a sparse matrix that are made dense without being asked for by columns


def reader(raw: bytes) -> Reader | None:
    """What reads a file that begins like this; None for text."""
    return next((read for magic, read in _READERS.items() if raw.startswith(magic)), None)


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet."""
    _needed("pyarrow", "Parquet")
    frame.to_parquet(path, engine="pyarrow", index=frame.index.name is not None)


def _needed(package: str, kind: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise ValueError(f"{kind} needs the package {package}: python -m pip install {package}") from None


def _parquet(raw: bytes, name: str, array: str | None) -> pd.DataFrame:
    return _arrow(raw, name, array, "parquet", "Parquet")


def _feather(raw: bytes, name: str, array: str | None) -> pd.DataFrame:
    return _arrow(raw, name, array, "feather", "Feather")


def _arrow(raw: bytes, name: str, array: str | None, format: str, kind: str) -> pd.DataFrame:
    _no_array(array, name)
    arrow = _needed("pyarrow", kind)
    read = importlib.import_module(f"pyarrow.{format}").read_table
    try:
        return read(io.BytesIO(raw)).to_pandas()
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"{name} is a damaged {kind} file ({type(error).__name__})") from None


def _npy(raw: bytes, name: str, array: str | None) -> pd.DataFrame:
    import numpy as np

    _no_array(array, name)
    try:
        return _framed(np.load(io.BytesIO(raw), allow_pickle=False), name)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{name} cannot be read as an array of numbers ({error})") from None


def _npz(raw: bytes, name: str, array: str | None) -> pd.DataFrame:
    import numpy as np

    try:
        _refuse_other_archives(raw, name)
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return _framed(file[_chosen(file.files, name, array)], name)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{name} is a damaged NPZ file ({type(error).__name__})") from None


def _refuse_other_archives(raw: bytes, name: str) -> None:
    """A ZIP archive of arrays is NPZ; many other kinds of file are ZIP archives too."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = archive.namelist()
    if not members or any(member.endswith(".npy") for member in members):
        return
    if any(member.startswith("xl/") for member in members):
        _excel(raw, name, None)
    if "content.xml" in members:
        raise ValueError(f"{name} is an OpenDocument file: save the sheet as CSV, and give that file")
    raise ValueError(f"{name} is a ZIP archive without arrays: unpack it, and give the table inside ({members[0]}, ...)")


def _excel(raw: bytes, name: str, array: str | None) -> pd.DataFrame:
    raise ValueError(f"{name} is an Excel workbook: save the sheet as CSV (File, Save As), and give that file")


def _h5ad(raw: bytes, name: str, array: str | None) -> pd.DataFrame:
    """The matrix X of annotated data, or one of its embeddings (obsm), such as X_pca."""
    import pandas as pd

    h5py = _needed("h5py", "h5ad")
    try:
        file = h5py.File(io.BytesIO(raw), "r")
    except OSError as error:
        raise ValueError(f"{name} is a damaged HDF5 file ({error})") from None
    with file:
        names = [*(["X"] if "X" in file else []), *file.get("obsm", [])]
        chosen = _chosen(names, name, array or ("X" if "X" in names else None))
        node = file["X"] if chosen == "X" else file["obsm"][chosen]
        frame = _framed(_sparse(node, name) if isinstance(node, h5py.Group) else node[()], name)
        if chosen == "X":
            frame.columns = _index(file, "var", frame.columns)
        else:
            frame.columns = [f"{chosen}{j + 1}" for j in range(frame.shape[1])]
        return frame.set_index(pd.Index(_index(file, "obs", frame.index), name="obs"))


def _sparse(group: Any, name: str) -> Any:
    """A compressed sparse matrix as a dense one."""
    from scipy import sparse

    kind = str(group.attrs.get("encoding-type", ""))
    shape = tuple(int(side) for side in group.attrs.get("shape", ()))
    if kind not in ("csr_matrix", "csc_matrix") or len(shape) != 2:
        raise ValueError(f"{name}: X is neither a matrix nor a compressed sparse one")
    if shape[0] * shape[1] > DENSE_TO:
        raise ValueError(f"{name}: X has {shape[0]} rows and {shape[1]} columns; use an embedding, such as --array X_pca")
    parts = tuple(group[part][()] for part in ("data", "indices", "indptr"))
    return (sparse.csr_matrix if kind == "csr_matrix" else sparse.csc_matrix)(parts, shape).toarray()


def _index(file: Any, axis: str, otherwise: Any) -> list[Any]:
    """Names of the rows ("obs") or columns ("var") of annotated data."""
    group = file.get(axis)
    if group is None or (key := group.attrs.get("_index", "_index")) not in group:
        return list(otherwise)
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group[key][()]]


def _framed(values: Any, name: str) -> pd.DataFrame:
    """An array as a table; fields of a structured one are columns."""
    import pandas as pd

    if values.dtype.names:
        return pd.DataFrame({field: values[field] for field in values.dtype.names})
    if values.ndim not in (1, 2):
        raise ValueError(f"{name} holds an array of shape {values.shape}; rows and columns are needed")
    table = values.reshape(len(values), -1)
    return pd.DataFrame(table, columns=[f"x{j + 1}" for j in range(table.shape[1])])


def _chosen(names: list[str], name: str, array: str | None) -> str:
    if array is None and len(names) == 1:
        return names[0]
    if array not in names:
        said = "holds several arrays" if array is None else f"has no array {array!r}"
        raise ValueError(f"{name} {said}: choose with --array {' or '.join(names)}")
    return array


def _no_array(array: str | None, name: str) -> None:
    if array is not None:
        raise ValueError(f"{name} holds one table; --array is for NPZ and h5ad files")


_READERS: dict[bytes, Reader] = {
    b"PAR1": _parquet,
    b"ARROW1": _feather,
    b"FEA1": _feather,
    b"\x93NUMPY": _npy,
    b"PK\x03\x04": _npz,
    b"\x89HDF": _h5ad,
    b"\xd0\xcf\x11\xe0": _excel,  # of before 2007
}
