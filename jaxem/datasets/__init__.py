"""Data to try things on: five published sets that ship as CSV files, and generators that know the truth.

The files lie beside this module, so `jaxem select jaxem/datasets/faithful.csv` works from a clone and `path` finds them in an
installation. Nothing is downloaded. Imports NumPy only; pandas when a file is read.
"""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
from typing import TYPE_CHECKING

from ._simulate import Sample, gaussian_mixture, poisson_mixture, two_gaussians


if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Dataset", "Sample", "describe", "gaussian_mixture", "load", "names", "path", "poisson_mixture", "two_gaussians"]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What is known about a file before it is read.

    Attributes:
        name: The name `load` takes.
        about: What a row is, and the units, in a sentence.
        num_rows: Rows of the file, the header not counted.
        columns: Names of the columns, in the file's order.
        source: Where the numbers were taken from.
        reference: The publication to cite.
    """

    name: str
    about: str
    num_rows: int
    columns: tuple[str, ...]
    source: str
    reference: str


_ALL = (
    Dataset(
        "faithful",
        "Eruptions of the Old Faithful geyser: how long each took, and the wait until the next, both in minutes.",
        272,
        ("eruptions", "waiting"),
        "R, datasets::faithful",
        "Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser. Applied Statistics 39, 357-365.",
    ),
    Dataset(
        "iris",
        "Iris flowers, 50 of each of three species: lengths and widths of sepals and petals, in centimetres.",
        150,
        ("sepal_length", "sepal_width", "petal_length", "petal_width", "species"),
        "R, datasets::iris",
        "Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems. Annals of Eugenics 7, 179-188.",
    ),
    Dataset(
        "galaxies",
        "Velocities of galaxies in the Corona Borealis region, in 1000 km/s.",
        82,
        ("velocity",),
        "R, MASS::galaxies, with its 78th value corrected from 26690 to the published 26960 km/s",
        "Roeder, K. (1990). Density estimation with confidence sets exemplified by superclusters and voids in the galaxies. "
        "Journal of the American Statistical Association 85, 617-624.",
    ),
    Dataset(
        "earthquakes",
        "Earthquakes of magnitude 7 or more in the world, counted in each year from 1900 to 2006.",
        107,
        ("year", "count"),
        "Zucchini and MacDonald (2009), table 1.1",
        "Zucchini, W. and MacDonald, I. L. (2009). Hidden Markov Models for Time Series: An Introduction Using R. Chapman & Hall/CRC.",
    ),
    Dataset(
        "titanic",
        "People on board the Titanic on its maiden voyage: class (or crew), sex, age and whether they survived, by name.",
        2201,
        ("class", "sex", "age", "survived"),
        "R, datasets::Titanic, a row for each person",
        "Dawson, R. J. M. (1995). The 'unusual episode' data revisited. Journal of Statistics Education 3(3).",
    ),
)
_BY_NAME = {dataset.name: dataset for dataset in _ALL}


def names() -> tuple[str, ...]:
    """Names of the data sets that ship with the package.

    Example:
        >>> names()
        ('faithful', 'iris', 'galaxies', 'earthquakes', 'titanic')
    """
    return tuple(_BY_NAME)


def describe(name: str) -> Dataset:
    """What is known about a data set, without reading it.

    Args:
        name: One of `names()`.
    Raises:
        ValueError: for an unknown name, with the nearest known one.

    Example:
        >>> describe("galaxies").about
        'Velocities of galaxies in the Corona Borealis region, in 1000 km/s.'
    """
    if name not in _BY_NAME:
        near = difflib.get_close_matches(str(name).lower(), _BY_NAME, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown data set {name!r}.{hint} Known: {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]


def path(name: str) -> pathlib.Path:
    """Where the CSV file of a data set lies.

    Args:
        name: One of `names()`.
    Raises:
        ValueError: for an unknown name, with the nearest known one.

    Example:
        >>> path("iris").name
        'iris.csv'
    """
    return pathlib.Path(__file__).with_name(f"{describe(name).name}.csv")


def load(name: str) -> pd.DataFrame:
    """Read a data set.

    The frame's `attrs` hold the fields "about", "source" and "reference" of `describe(name)`.

    Args:
        name: One of `names()`.
    Returns:
        A new frame with one row per observation; columns and units as `describe(name)` says.
    Raises:
        ValueError: for an unknown name, with the nearest known one.

    Example:
        >>> faithful = load("faithful")
        >>> faithful.shape
        (272, 2)
        >>> faithful.attrs["source"]
        'R, datasets::faithful'
    """
    import pandas as pd

    dataset = describe(name)
    frame = pd.read_csv(path(name))
    frame.attrs.update(about=dataset.about, source=dataset.source, reference=dataset.reference)
    return frame
