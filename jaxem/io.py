"""Tables in and folders out, for the command: what can be wrong with a file is found here and said in a sentence.

Imports the standard library only; pandas when a file is read. Rows are counted from 1, the header not counted.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import gzip
import io
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _formats as formats


if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ._plain import PlainTable
    from .selection import Selection

STDIN = "-"
GZIP = b"\x1f\x8b"
NO_NUMBERS = "the file has no numeric column; names of categories are for --family categorical"
SEPARATORS = ("\t", ";", ",", " ")  # the first that splits all lines alike; a blank stands for any run of blanks
LINES_TO_LOOK_AT = 50
PLAIN_TO = 5_000_000  # bytes from which pandas is faster, loading it included


def read_table(file: str, array: str | None = None, wanted: Sequence[str] = ()) -> tuple[str, pd.DataFrame]:
    """Read a table, whatever its format; that is told by its first bytes, not by its name.

    Text: CSV or TSV, with separator, header and decimal comma recognised. A first column without a name holds row names, as R
    writes them, and becomes the index. Columns without a header are x1, x2, …. Other formats are in `formats`; any may be gzipped.

    Args:
        file: A path, or "-" for standard input.
        array: Name of the array, for files that hold several.
        wanted: Names that will be asked for: a first line that has them all is a header, though it be of numbers.
    Returns:
        The file's name for people, and a frame with one row per line.
    Raises:
        ValueError: saying what is wrong with the file.
    """
    name = "standard input" if file == STDIN else Path(file).name
    raw = _bytes(file)
    if raw.startswith(GZIP):
        raw = _unzipped(raw, name)
    reader = formats.reader(raw)
    if reader is None:
        return name, _from_text(_text(raw, name), name, wanted)
    frame = reader(raw, name, array)
    if not len(frame):
        raise ValueError(f"{name} has no rows")
    frame.columns = [str(column) for column in frame.columns]
    return name, frame


def read_plain(file: str, wanted: Sequence[str] = ()) -> tuple[str, PlainTable] | None:
    """The same for a plain text file, without pandas; None for any other file, and where `read_table` has something to say."""
    if file == STDIN:  # can be read only once
        return None
    from . import _plain

    raw = _bytes(file)
    if len(raw) > PLAIN_TO or raw.startswith(GZIP) or formats.reader(raw) is not None or b"\0" in raw:
        return None
    text = _text(raw, Path(file).name)
    separator, names, _ = _shape(text, wanted)
    table = _plain.parse(text, separator, names)
    return None if table is None else (Path(file).name, table)


def _shape(text: str, wanted: Sequence[str]) -> tuple[str, list[str] | None, list[str]]:
    """How a text is laid out: its separator, the names in its first line if that is what they are, and its first lines."""
    lines = [line for line in text.splitlines() if line.strip()][:LINES_TO_LOOK_AT]
    separator = next((sep for sep in SEPARATORS if _splits_alike(lines, sep)), ",")
    first = _fields(lines[0], separator)
    asked = bool(wanted) and {*wanted} <= {*first} and len({*first}) == len(first)
    return separator, first if asked or not _all_numbers(first) else None, lines


def _from_text(text: str, name: str, wanted: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    separator, names, lines = _shape(text, wanted)
    header = names is not None
    inexact = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)  # the last digit is pandas's own before
    exact: Any = {"float_precision": "round_trip"} if inexact else {}
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if separator == " " else separator,
            header=0 if header else None,
            decimal="," if separator == ";" and "," in "".join(lines[1:]) else ".",
            skipinitialspace=True,
            **exact,
        )
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{name} is not a regular table: {str(error).removeprefix('Error tokenizing data. C error: ').strip()}"
        ) from None
    if not len(frame):
        raise ValueError(f"{name} has a header but no rows")
    if not header:
        frame.columns = [f"x{j + 1}" for j in range(frame.shape[1])]
    elif str(frame.columns[0]).startswith("Unnamed: 0"):
        frame = frame.set_index(frame.columns[0]).rename_axis("")
    return frame


def _bytes(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except FileNotFoundError:
        raise ValueError(f"no such file: {file}") from None
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None


def _unzipped(raw: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error):
        raise ValueError(f"{name} is a damaged gzip file") from None


def _text(raw: bytes, name: str) -> str:
    if b"\0" in raw:
        raise ValueError(f"{name} is no table: CSV, TSV, Parquet, Feather, NPY, NPZ or h5ad is needed")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")  # what spreadsheets write; digits are the same in both
    if not text.strip():
        raise ValueError(f"{name} is empty")
    return text


def _fields(line: str, separator: str) -> list[str]:
    return line.split() if separator == " " else next(csv.reader([line], delimiter=separator, skipinitialspace=True))


def _splits_alike(lines: list[str], separator: str) -> bool:
    """Whether a separator splits all lines into the same number of fields; a header may lack the name of the row names."""
    first, *rest = (len(_fields(line, separator)) for line in lines)
    width = rest[0] if rest else first
    return width > 1 and first in (width, width - 1) and all(other == width for other in rest)


def _all_numbers(fields: list[str]) -> bool:
    try:
        return bool([float(field) for field in fields if field.strip() not in ("", "NA")])
    except ValueError:
        return False


def numeric(
    name: str,
    frame: pd.DataFrame,
    columns: Sequence[str] | None = None,
    besides: Sequence[str] = (),
    advice: str | None = None,
    names: bool = False,
) -> pd.DataFrame:
    """The columns to compute with.

    Args:
        name: The file's name for people.
        frame: What was read.
        columns: Names wanted; None for all of them.
        besides: Columns that are none of them, such as that of the weights.
        advice: What to do about text; by default, to choose the columns that hold none.
        names: Whether text will do: names of categories.
    Raises:
        ValueError: if a column does not exist (with the near miss), or holds text (with the cell, and the advice).
    """
    wanted = [column for column in frame.columns if column not in besides] if columns is None else list(dict.fromkeys(columns))
    for column in wanted:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, frame.columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(frame.columns)}"
            raise ValueError(f"{name} has no column {column!r}: {hint}")
    if names:
        return frame[wanted]
    cells = {column: cell for column in frame.columns if (cell := _first_text(frame[column]))}
    for column in wanted:
        if column in cells:
            row, value = cells[column]
            able = [other for other in frame.columns if other not in cells and other not in besides]
            others = f"choose numeric ones with --columns {','.join(able)}" if able else NO_NUMBERS
            raise ValueError(f"column {column!r} is not numeric (row {row} holds {value!r}); {advice or others}")
    return frame[wanted]


def _first_text(column: pd.Series) -> tuple[int, str] | None:
    """Row number and content of the first cell that is no number, None if all are (missing ones included)."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return None
    text = column.astype(str)
    bad = (pd.to_numeric(text, errors="coerce").isna() & column.notna()).to_numpy()
    return (int(bad.argmax()) + 1, text.iloc[bad.argmax()]) if bad.any() else None


def with_clusters(name: str, frame: pd.DataFrame, resp: np.ndarray, num_clusters: int) -> pd.DataFrame:
    """The table with each row's cluster, counted from 1 (0 is noise), and the probability of every cluster.

    Args:
        name: The file's name for people.
        frame: What was read.
        resp: Probabilities, shape (n, k); of noise in one column more, if there is some.
        num_clusters: k.
    Raises:
        ValueError: if the table has columns of these names.
    """
    number = resp.argmax(axis=1) + 1
    new = {"cluster": number * (number <= num_clusters)}
    new |= {f"probability_{j + 1 if j < num_clusters else 'noise'}": column for j, column in enumerate(resp.T)}
    taken = [column for column in new if column in frame.columns]
    if taken:
        raise ValueError(f"{name} has a column {taken[0]!r} already: rename it")
    return frame.assign(**new)


def as_csv(frame: pd.DataFrame) -> str:
    """A table as CSV, with the row names that its file had."""
    return frame.to_csv(index=frame.index.name is not None, lineterminator="\n")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all: as Parquet where the name says so, else as CSV."""
    from ._storage import atomic, write_text

    if path.suffix.lower() not in (".parquet", ".pq"):
        write_text(path, as_csv(frame))
        return
    with atomic(path) as temporary:
        formats.write_parquet(frame, temporary)


@contextlib.contextmanager
def folder(path: Path | None) -> Iterator[None]:
    """Make an output folder, and see that it can be written, before the work starts; where nothing comes of it, remove it.

    Raises:
        ValueError: if it cannot be made or written.
    """
    made: list[Path] = []
    try:
        if path is not None:
            made = [each for each in (path, *path.parents) if not each.exists()]
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
    except OSError as error:
        why = "it is not a folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise ValueError(f"cannot write to {path}: {why}") from None
    try:
        yield
    except BaseException:
        for each in made:
            with contextlib.suppress(OSError):  # not empty: something did come of it
                each.rmdir()
        raise


def write_selection(selection: Selection, frame: pd.DataFrame, path: Path) -> list[str]:
    """Write every result that there is into a folder, each file whole or not at all.

    Args:
        selection: What `jaxem.select` found; without a choice there is no model, and with one cell no criteria to draw.
        frame: The data.
        path: The folder.
    Returns:
        Names of the files.
    """
    from . import plot
    from ._storage import atomic

    def runs(path: Path) -> None:
        with atomic(path) as temporary:
            selection.runs.to_csv(temporary, index=False)

    def picture(draw: Callable[..., Any], *what: Any) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with atomic(path) as temporary:
                draw(*what).figure.savefig(temporary, format="png")

        return write

    ranking = selection.ranking()
    makers: dict[str, Callable[[Path], Any]] = {"selection.json": selection.to_json, "runs.csv": runs}
    if ranking:
        makers["model.npz"] = ranking[0].save
    if len(selection.table) > 1:
        makers["criteria.png"] = picture(plot.criteria, selection)
    if ranking:
        makers["clusters.png"] = picture(plot.clusters, ranking[0], frame)
    for name, write in makers.items():
        write(path / name)
    return list(makers)
