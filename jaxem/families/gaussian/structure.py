"""Covariance structures by their letters, and the M-step of each. Imports layer 0.

Σ_k = λ_k D_k A_k D_kᵀ: a volume λ (Equal or Variable), a shape A of determinant 1 (I for spheres) and an orientation D (I for the
axes of the columns). The letters are numbers, not program: lanes of all structures share one compiled program, and the loops below
take no turn where no lane of a block needs them.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._linalg import contract, inverse_factor
from ..._pytree import pytree
from ..._typing import Array, Float
from .axes import align


E, V, I = range(3)  # noqa: E741  # the letters of the field
LETTERS = "EVI"
STRUCTURES = ("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV")
UNIVARIATE = {"E": "EII", "V": "VII"}
MOST_TURNS = 200  # of the loop for the volumes; from the pooled shape a handful does


@pytree
class Structure:
    """One of the 14 structures: three letters as numbers, plain or traced.

    Attributes:
        volume: E or V.
        shape: E, V or I.
        orientation: E, V or I.
    """

    volume: Any
    shape: Any
    orientation: Any

    @property
    def code(self) -> str:
        """The three letters."""
        return "".join(LETTERS[int(letter)] for letter in (self.volume, self.shape, self.orientation))

    @property
    def spherical(self) -> Any:
        """Whether components are spheres: EII, VII."""
        return self.shape == I

    @property
    def aligned(self) -> bool:
        """Whether covariances are diagonal: EII, VII, EEI, VEI, EVI, VVI."""
        return bool(self.orientation == I)

    @property
    def triangular(self) -> Any:
        """Whether orientation and shape together are any matrix of determinant 1: EEE, VEE, EVV, VVV."""
        return (self.orientation == self.shape) & (self.orientation != I)

    @property
    def oriented(self) -> Any:
        """Whether the axes themselves are constrained, or the shape along them: EVE, VVE, EEV, VEV."""
        return (self.orientation != self.shape) & (self.orientation != I)

    @property
    def one_shape(self) -> Any:
        """Whether components share a shape and not the volume: VEI, VEE, VEV."""
        return (self.shape == E) & (self.volume == V)

    @property
    def single(self) -> Any:
        """Whether all components share one covariance: EII, EEI, EEE."""
        return (self.volume == E) & (self.shape != V) & (self.orientation != V)

    @property
    def linear(self) -> Any:
        """Whether the structure is equivariant under every linear map of the data: EEE, VEE, EVV, VVV."""
        return self.triangular

    @property
    def scalable(self) -> Any:
        """Whether it is equivariant under scaling of single columns: the linear ones, and EEI, VEI, EVI, VVI."""
        return self.triangular | (self.orientation == I) & (self.shape != I)

    def num_params(self, num_components: int, num_features: int) -> int:
        """Free entries of the covariances."""
        k, d = num_components, num_features
        sizes = (self.volume, 1), (self.shape, d - 1), (self.orientation, d * (d - 1) // 2)
        return sum({E: 1, V: k, I: 0}[int(letter)] * size for letter, size in sizes)

    def rows_needed(self, num_features: int) -> Any:
        """Rows below which a component's own part of its covariance is degenerate; 0 where volume and shape are shared.

        A full covariance with a volume of its own needs d + 1. Where the volume is shared, fewer rows leave the likelihood bounded;
        whether the shape is next to singular is seen by its variances.
        """
        full = self.triangular & (self.orientation == V) & (self.volume == V)
        own = (self.volume == V) | (self.shape == V)
        return own * (2.0 + full * (num_features - 1.0))

    def log_volume(self, covariance: np.ndarray) -> float:
        """log |Σ| of the likeliest covariance Σ of a single component for rows that have this one, shape (d, d). On the host."""
        variances = np.diag(covariance)
        if self.spherical:
            return float(len(variances) * np.log(variances.mean()))
        return float(np.log(variances).sum() if self.aligned else np.linalg.slogdet(covariance)[1])

    def fit(
        self,
        scatter: Float[Array, "k d d"],
        count: Float[Array, " k"],
        axes: Float[Array, "k d d"] | None = None,
        ridge: Any = 0.0,
        least: Float[Array, "d d"] | None = None,
        with_volumes: bool = True,
    ) -> tuple[Float[Array, "k d"], Float[Array, "k d d"]]:
        """The covariances nearest in likelihood to the components' own: minimise Σ count (log|Σ| + trace(scatter Σ⁻¹)).

        In units in which the structure is equivariant under rotation, if it is so. Components of count 0 do not count.

        Args:
            scatter: The components' own covariances.
            count: Rows of each.
            axes: Orthogonal matrices, axes in rows: where to look for axes first. None if no structure at hand is oriented.
            ridge: What to add to the covariances of components that stand for themselves.
            least: What no covariance may be below in any direction; None where there is no such floor.
            with_volumes: Whether some structure at hand has one shape and volumes of its own.
        Returns:
            log δ and F with Σ⁻¹ = Fᵀ diag(δ²) F and |det F| = 1: F is orthogonal where the structure is oriented, else unit lower
            triangular.
        References:
            Celeux & Govaert 1995, Pattern Recognition 28, sec. 3; the axes: see `axes.align`.
        """
        eye = jnp.eye(scatter.shape[-1], dtype=scatter.dtype)
        share = count / jnp.sum(count)
        along = scatter
        if axes is not None:
            axes = jnp.where(self.oriented, axes, eye)
            common, equal = self.orientation == E, self.volume == E
            axes, along = align(scatter, share, axes, wanted=self.oriented, common=common, equal_volume=equal)
        along = jnp.where(self.triangular, scatter, along * eye)
        size = jnp.trace(along, axis1=-2, axis2=-1) / len(eye)
        along = jnp.where(self.spherical, size[:, None, None] * eye, along)
        pooled = contract("k,kij->ij", share, along)
        along = jnp.where((self.shape == E) & (self.volume == E), pooled, along)
        if with_volumes:
            along = _one_shape(along, share, wanted=self.one_shape)
        if least is not None:
            along = _raised(along, least)
        whitener = inverse_factor(along + ridge)
        scale = jnp.diagonal(whitener, axis1=-2, axis2=-1)
        log_scale, frame = jnp.log(scale), whitener / scale[:, :, None]
        middle = jnp.mean(log_scale, -1)
        common = -0.5 * jnp.log(jnp.sum(jnp.where(share > 0, share * jnp.exp(-2 * middle), 0.0)))
        log_scale = log_scale + jnp.where(self.volume == E, common - middle, 0.0)[:, None]
        return log_scale, frame if axes is None else jnp.where(self.oriented, axes, frame)


def _one_shape(scatter: Float[Array, "k d d"], share: Float[Array, " k"], *, wanted: Any) -> Float[Array, "k d d"]:
    """Covariances λ_k C: volumes of their own, one shape. In turns the best C and the best λ, until the λ stand still.

    In log λ the problem is convex, so where it ends does not depend on where it begins (Celeux & Govaert 1995, sec. 3.2).
    """
    d = scatter.shape[-1]
    close = jnp.finfo(scatter.dtype).eps ** 0.6  # what is missing is second order in it

    def shape(log_volume):
        return contract("k,kij->ij", share * jnp.exp(-log_volume), scatter)

    def turn(carry):
        log_volume, _, number = carry
        factor = inverse_factor(shape(log_volume))
        better = jnp.log(contract("ij,kjl,il->k", factor, scatter, factor) / d)
        moved = jnp.max(jnp.where(share > 0, jnp.abs(better - log_volume), 0.0))
        return better, moved, number + 1

    def go_on(carry):
        _, moved, number = carry
        return wanted & (moved > close) & (number < MOST_TURNS)

    start = jnp.zeros_like(share), jnp.full((), jnp.inf, share.dtype), jnp.zeros((), jnp.int32)
    log_volume, _, _ = lax.while_loop(go_on, turn, start)
    return jnp.where(wanted, jnp.exp(log_volume)[:, None, None] * shape(log_volume), scatter)


def _raised(scatter: Float[Array, "k d d"], least: Float[Array, "d d"]) -> Float[Array, "k d d"]:
    """The covariances above a floor that are nearest in likelihood: along common axes of both, the larger of the two variances."""
    factor = inverse_factor(least)
    values, vectors = jnp.linalg.eigh(contract("ij,kjl,ml->kim", factor, scatter, factor))
    lack = contract("kij,kj,klj->kil", vectors, jnp.maximum(1 - values, 0.0), vectors)
    back = jnp.linalg.inv(factor)
    return scatter + contract("ij,kjl,ml->kim", back, lack, back)


def above(whitener: Float[Array, "k d d"], least: Float[Array, "d d"]) -> Float[Array, "k d d"]:
    """Whiteners of the covariances given by whiteners, raised to a floor."""
    factor = jnp.linalg.inv(whitener)
    return inverse_factor(_raised(contract("kij,klj->kil", factor, factor), least))


def structure(code: str) -> Structure:
    """The structure with this code of three letters."""
    volume, shape, orientation = (np.int32(LETTERS.index(letter)) for letter in code)
    return Structure(volume, shape, orientation)
