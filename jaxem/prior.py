"""What is believed of the components before the data are seen. Owns the public `Prior`; imports NumPy only."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


DEFAULT = "fraley-raftery"
UNEVEN = 10.0  # times a variance that another column's must have for one prior scale to be wrong for both


@dataclasses.dataclass(frozen=True, eq=False)
class Prior:
    """A conjugate prior for Gaussian mixtures. Estimates are then those of the highest posterior density (MAP) and do not degenerate.

    With μ and Σ a component's mean and covariance: μ given Σ is normal about `mean` with covariance Σ/shrinkage, and Σ is inverse
    Wishart with `dof` and `scale`. Diagonal covariances have an inverse gamma (dof/2, scale/2) for each variance, spheres one for
    their common variance. Every component has this prior; a covariance that all components share (EII, EEI, EEE, E) has it once. For
    the other structures the same density is taken where the structure permits it, and the M-step is its exact maximum: mclust 6.0's
    agrees for VII, VVI, EEE, VVV, E and V, leaves `scale` out of EII, counts differently for EEI, VEI, EVI, EEV and VEV, and knows
    no prior for VEE, EVE, VVE and EVV.

    `Prior()` is what `prior="fraley-raftery"` stands for. Log-likelihood and criteria are taken at the MAP, as mclust has it.

    Attributes:
        shrinkage: κ ≥ 0, how many rows `mean` is worth; 0 for no prior on the means.
        dof: ν, above d − 1 for covariances that are not diagonal, else above 0; by default d + 2.
        scale: In the data's units squared: a number, one for each column, or a positive definite matrix (d, d); 0 for no prior on
            the covariances. By default S/K^(2/d) with S the covariance of the data (divisor n − 1; its diagonal where it is
            singular); for diagonal covariances and spheres, which read a matrix by its diagonal or by the mean of that, the mean of
            the columns' variances over K^(2/d).
        mean: Where means are drawn to, in the data's units, shape (d,); by default the data's mean.
        concentration: α ≥ 1 of a Dirichlet prior on the mixing weights, that of noise included; None is 1, which says nothing.
        floor: The least variance of a component in any direction, as a share of the data's there: no estimate, a constraint. For
            spheres, of the columns' mean variance. For the structures whose best covariances under it are known in closed form (VVV,
            EEE, VVI, EEI, VII, EII, E, V).

    References:
        Fraley & Raftery 2007, J. Classification 24, sec. 3; the constraint: eigenvalues below the floor are raised to it.

    Example:
        >>> import jaxem
        >>> rows = jaxem.datasets.load("faithful")
        >>> plain = jaxem.fit(rows, "VVV", 2)
        >>> careful = jaxem.fit(rows, "VVV", 2, prior=jaxem.Prior(shrinkage=0.1))
        >>> careful.log_likelihood < plain.log_likelihood, careful.terms["prior"]["dof"]
        (True, 4.0)
    """

    shrinkage: float = 0.01
    dof: float | None = None
    scale: Any = None
    mean: Any = None
    concentration: float | None = None
    floor: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("shrinkage", 0.0), ("dof", 0.0), ("concentration", 1.0), ("floor", 0.0)):
            value = getattr(self, name)
            if value is None and name != "shrinkage":
                continue
            number = _number(name, value)
            if not (np.isfinite(number) and (number > least or (number == least and name in ("shrinkage", "concentration")))):
                bound = "at least" if name in ("shrinkage", "concentration") else "above"
                raise ValueError(f"prior: {name} must be {bound} {least:g}, got {value!r}")
            object.__setattr__(self, name, number)
        if self.floor is not None and self.floor >= 1:
            raise ValueError(f"prior: floor is a share of the data's variance, below 1, got {self.floor:g}")
        if self.mean is not None:
            mean = _array("mean", self.mean)
            if mean.ndim != 1:
                raise ValueError(f"prior: mean must have shape (d,), got shape {mean.shape}")
            object.__setattr__(self, "mean", mean)
        if self.scale is not None:
            object.__setattr__(self, "scale", _scale(self.scale))
            if self.dof is not None and not self.scale.any():
                raise ValueError(f"prior: scale=0 means no prior on the covariances, so dof must be None, got {self.dof:g}")

    @classmethod
    def checked(cls, prior: Any) -> Prior | None:
        """What a user gave as `prior=`."""
        if prior is None or isinstance(prior, cls):
            return prior
        if isinstance(prior, str) and prior == DEFAULT:
            return cls()
        raise ValueError(f"prior must be None, {DEFAULT!r} or a jaxem.Prior, got {prior!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; None for what the data settle."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    def for_columns(self, names: tuple[str, ...], kept: tuple[str, ...]) -> Prior:
        """The prior for those columns of the data that vary; its arrays must have an entry for each column given."""
        d, place = len(names), [names.index(name) for name in kept]
        arrays = {}
        for name in ("mean", "scale"):
            value = getattr(self, name)
            if value is None or value.ndim == 0:
                continue
            if value.shape not in ((d,), (d,) * (2 if name == "scale" else 1)):
                shape = f"({d},)" if name == "mean" else f"(), ({d},) or ({d}, {d})"
                raise ValueError(f"prior: {name} must have shape {shape} for data of {d} columns, got shape {value.shape}")
            arrays[name] = value[np.ix_(*[place] * value.ndim)]
        return dataclasses.replace(self, **arrays)

    def uneven(self, families: Any, x: np.ndarray) -> list[str]:
        """A sentence where the default scale, one variance for all of rows (n, d), meets diagonal covariances and uneven columns."""
        structures = [(family.name, getattr(family, "structure", None)) for family in families]
        names = [name for name, one in structures if one is not None and one.aligned and not one.spherical]
        if self.scale is not None or not names:
            return []
        variances = np.nanvar(x, axis=0)
        ratio = variances.max() / max(variances.min(), np.finfo(float).tiny)
        if ratio < UNEVEN:
            return []
        return [
            f"The default prior has one variance for all columns of {', '.join(names)} (Fraley & Raftery 2007), but the columns' own "
            f"differ by a factor of {ratio:,.3g}: scale the columns alike, or give jaxem.Prior(scale=variances), one for each column."
        ]


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"prior: {name} must be a number, got {value!r}")
    return float(value)


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"prior: {name} must hold numbers, got {str(value)[:40]!r}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"prior: {name} must be finite")
    return array


def _scale(value: Any) -> np.ndarray:
    scale = _array("scale", value)
    if scale.ndim > 2 or (scale.ndim == 2 and scale.shape[0] != scale.shape[1]):
        raise ValueError(f"prior: scale must be a number, or have shape (d,) or (d, d), got shape {scale.shape}")
    if scale.ndim < 2:
        if (scale < 0).any() or (scale.ndim == 1 and (scale == 0).any()):
            raise ValueError(f"prior: scale must be positive, got {value!r}")
        return scale
    size = np.sqrt(np.abs(np.diag(scale)))
    size = np.outer(size, size)
    if (np.abs(scale - scale.T) <= 1e-8 * size).all() and (size > 0).all() and np.linalg.eigvalsh(scale / size)[0] > 0:
        return (scale + scale.T) / 2
    raise ValueError("prior: scale must be symmetric positive definite, and it is not")
