"""Gaussian components in the data's units, and back: what `check`, `publish` and `adopt` of the family do. Imports layer 0, NumPy only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np

from .params import GaussianParams
from .structure import E


if TYPE_CHECKING:
    from .family import Gaussian


LARGEST = 1e150  # of the numbers, whose squares are to be numbers


def check(x: np.ndarray, columns: list[str]) -> None:
    """Whether the squares of all rows (n, d), and of their differences, are numbers.

    Raises:
        ValueError: if they are not, with the column.
    """
    check_rows(x, columns)
    for name, width in zip(columns, np.nanmax(x, axis=0) - np.nanmin(x, axis=0), strict=True):
        if not width > 1 / LARGEST:
            _refuse(name, f"numbers that differ by {width:.0e}")


def check_rows(x: np.ndarray, columns: list[str]) -> None:
    """The part of `check` that is about each row by itself."""
    largest_of = np.fmax(np.fmax.reduce(x, axis=0), -np.fmin.reduce(x, axis=0))  # NaN where all cells are missing
    for name, largest in zip(columns, largest_of, strict=True):
        if largest >= LARGEST:
            _refuse(name, f"numbers up to {largest:.0e}")


def _refuse(name: str, what: str) -> NoReturn:
    raise ValueError(f"column {name!r} has {what}, and squares of these are beyond float64: give it in other units")


def publish(params: GaussianParams, centre: np.ndarray, scale: np.ndarray) -> dict[str, np.ndarray]:
    """Means (k, d) and covariances (k, d, d) in the data's units."""
    factor = scale @ np.linalg.inv(np.asarray(params.whitener, float))
    return {"means": np.asarray(params.mean, float) @ scale.T + centre, "covariances": factor @ np.swapaxes(factor, -1, -2)}


def adopt(family: Gaussian, published: dict[str, np.ndarray], centre: np.ndarray, scale: np.ndarray) -> GaussianParams:
    """The inverse of `publish`.

    Raises:
        ValueError: if a covariance is not symmetric positive definite.
    """
    covariances = np.asarray(published["covariances"], float)
    size = np.sqrt(np.abs(np.einsum("kii,kjj->kij", covariances, covariances)))
    skew = np.abs(covariances - np.swapaxes(covariances, -1, -2)) > 1e-8 * size
    try:
        if skew.any():
            raise np.linalg.LinAlgError
        whitener = np.linalg.inv(np.linalg.cholesky(covariances)) @ scale
    except np.linalg.LinAlgError:
        raise ValueError("covariances must be symmetric positive definite, and at least one is not") from None
    if not np.array_equal(scale, np.diag(np.diag(scale))):
        whitener = _triangular(whitener)  # a general map leaves W square
    if family.structure.oriented:
        whitener = _along_axes(family, whitener)
    means = np.linalg.solve(scale, (np.asarray(published["means"], float) - centre).T).T
    return GaussianParams(means, whitener)


def _along_axes(family: Gaussian, whitener: np.ndarray) -> np.ndarray:
    """The same covariances by their axes; where they do not share axes and should, what they are along the nearest ones."""
    scale = np.broadcast_to(family.scale, whitener.shape[-1])
    factor = scale[:, None] * np.linalg.inv(whitener)
    covariances = factor @ np.swapaxes(factor, -1, -2)
    if family.structure.orientation == E:  # a combination has no two equal variances unless all components have
        unit = covariances / np.trace(covariances, axis1=-2, axis2=-1)[:, None, None]
        _, vectors = np.linalg.eigh(np.average(unit, axis=0, weights=np.sqrt(2 + np.arange(len(unit)))))
    else:
        _, vectors = np.linalg.eigh(covariances)
    axes = np.broadcast_to(np.swapaxes(vectors, -1, -2)[..., ::-1, :], whitener.shape)
    variances = np.einsum("kij,kjl,kil->ki", axes, covariances, axes)
    return axes * scale / np.sqrt(variances)[:, :, None]


def _triangular(whitener: np.ndarray) -> np.ndarray:
    """The lower triangular matrices with the same WᵀW and a positive diagonal: W = QR has WᵀW = RᵀR."""
    upper = np.linalg.qr(whitener[..., ::-1, ::-1])[1][..., ::-1, ::-1]
    return upper * np.sign(np.diagonal(upper, axis1=-2, axis2=-1))[..., :, None]
