"""Gaussian components seen through some of their columns only. Imports layer 0.

The E-step of full-information maximum likelihood: the density of a row is the marginal one of the cells that are there, and the
statistics are the conditional expectations of the complete ones given these cells: conditional means, and for the second moments
conditional covariances as well. All rows of a pattern share the regression of the missing columns on the seen ones, so the work on
rows stays two matrix products, and what is missing is put into the *moments* of a tile of rows, not into the rows.

With the inverse covariance P, the missing columns m have the conditional covariance C = P_mm⁻¹ = VᵀV and the regression B = −C P_mo;
the seen ones have the inverse covariance P_oo + P_om B. The accurate form works on the whitener W, whose condition is the square root
of P's: Q = W_m Vᵀ has orthonormal columns, H = QᵀW_o, B = −VᵀH, and W_o − QH whitens what is seen.

References:
    Dempster, Laird & Rubin 1977, JRSS-B 39, sec. 4.1.3; mixtures: Ghahramani & Jordan 1994, NIPS 6; Little & Rubin 2019, Statistical
    Analysis with Missing Data, sec. 11.2; a second pass makes Q orthonormal: Yamamoto et al. 2015, ETNA 44.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..._linalg import contract, inverse_factor, unvech, vech
from ..._pytree import pytree, replace
from ..._typing import Array, Float, Int
from .moments import LOG_2PI, monomials, natural


@pytree
class Observed:
    """Gaussian components where q columns may be missing: density and statistics as of the family.

    Attributes:
        family: The family.
        seen: 1 for columns that are seen, 0 for missing ones, shape (d,).
        place: Where each missing column lies: unit vectors, and zeros where fewer than q are missing, shape (q, d).
        log_peak: Log-density of the seen columns at their means, shape (k,).
        shape: Whitener of the seen columns in the residual form, else their inverse covariance, shape (k, d, d); 0 where missing.
        regression: Of the missing columns on the seen ones, shape (k, q, d).
        rest: Conditional covariance of the missing columns, shape (k, q, q).
        root: V with VᵀV that covariance, shape (k, q, q).
    """

    family: Any
    seen: Float[Array, " d"]
    place: Float[Array, "q d"]
    log_peak: Float[Array, " k"]
    shape: Float[Array, "k d d"]
    regression: Float[Array, "k q d"]
    rest: Float[Array, "k q q"]
    root: Float[Array, "k q q"]

    def log_prob(self, params: Any, x: Float[Array, "d n"]) -> Float[Array, "k n"]:
        """Log-density of the cells that are there."""
        mean = params.mean * self.seen
        if self.family.residuals:
            white = contract("kij,kjn->kin", self.shape, x - mean[:, :, None])
            return self.log_peak[:, None] - 0.5 * jnp.sum(white**2, axis=1)
        used = self.family.used(x.shape[0])
        return contract("kf,fn->kn", natural(self.shape, mean, self.log_peak)[:, used], monomials(x, used))

    def expected_stats(self, params: Any, x: Float[Array, "d n"], resp: Float[Array, "k n"]) -> Any:
        """Expected moments up to the second, given the cells that are there."""
        stats = self.family.expected_stats(replace(params, mean=params.mean * self.seen), x, resp)
        second = unvech(stats.second, x.shape[0])
        offset = jnp.zeros_like(self._offset(params)) if self.family.residuals else self._offset(params)
        filled = stats.count[:, None] * offset + contract("kqd,kd->kq", self.regression, stats.first)
        across = offset[:, :, None] * stats.first[:, None, :] + contract("kqi,kij->kqj", self.regression, second)
        within = contract("kpj,kqj->kpq", across, self.regression) + filled[:, :, None] * offset[:, None, :]
        within = within + stats.count[:, None, None] * self.rest
        half = across + 0.5 * contract("kpq,qj->kpj", within, self.place)
        added = contract("qi,kqj->kij", self.place, half)
        return replace(
            stats,
            first=stats.first + contract("kq,qi->ki", filled, self.place),
            second=vech(second + added + jnp.swapaxes(added, -1, -2)),
        )

    def _offset(self, params: Any) -> Float[Array, "k q"]:
        """The regression's constant."""
        return contract("kd,qd->kq", params.mean, self.place) - contract("kqd,kd->kq", self.regression, params.mean)

    def completed(self, params: Any, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
        """Rows with the missing cells' conditional means under each component."""
        filled = self._offset(params)[:, :, None] + contract("kqd,dn->kqn", self.regression, x)
        return x + contract("qd,kqn->kdn", self.place, filled)

    def drawn(self, key: Any, params: Any, x: Float[Array, "d n"]) -> Float[Array, "k d n"]:
        """Rows with draws for the missing cells, from their conditional distribution under each component."""
        noise = jax.random.normal(key, (*self.root.shape[:2], x.shape[1]), x.dtype)
        spread = contract("kpq,kpn->kqn", self.root, noise)
        return self.completed(params, x) + contract("qd,kqn->kdn", self.place, spread)


def observed(family: Any, params: Any, log_peak: Float[Array, " k"], missing: Int[Array, " q"]) -> Observed:
    """What is seen of components where the columns `missing` are not; numbers from d on stand for none.

    Args:
        family: The family.
        params: Its params.
        log_peak: Log-density of complete rows at the means.
        missing: Column numbers.
    """
    whitener = params.whitener
    dtype = whitener.dtype
    place = (missing[:, None] == jnp.arange(whitener.shape[-1])).astype(dtype)
    idle = jnp.diag(1 - jnp.sum(place, 1))  # keeps the factors regular where fewer are missing
    seen = 1 - jnp.sum(place, 0)
    if family.residuals:
        columns, shown = contract("qj,kij->kiq", place, whitener), whitener * seen
        root = inverse_factor(contract("kip,kiq->kpq", columns, columns) + idle)
        first = contract("kiq,kpq->kip", columns, root)
        root = contract("kpq,kqr->kpr", inverse_factor(contract("kip,kiq->kpq", first, first) + idle), root)
        basis = contract("kiq,kpq->kip", columns, root)
        slope = contract("kip,kij->kpj", basis, shown)
        regression = -contract("kpq,kpj->kqj", root, slope)
        shape = shown - contract("kip,kpj->kij", basis, slope)
        rest = contract("kpq,kpr->kqr", root, root)
    else:
        precision = contract("kli,klj->kij", whitener, whitener)
        across = contract("qi,kij->kqj", place, precision)
        root = inverse_factor(contract("kpj,qj->kpq", across, place) + idle)
        rest = contract("kpq,kpr->kqr", root, root)
        across = across * seen
        regression = -contract("kpq,kqj->kpj", rest, across)
        shape = precision * seen * seen[:, None] + contract("kqi,kqj->kij", across, regression)
    volume = jnp.sum(jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)), -1)
    return Observed(
        family=family,
        seen=seen,
        place=place,
        log_peak=log_peak + volume + 0.5 * LOG_2PI * jnp.sum(place),
        shape=shape,
        regression=regression,
        rest=rest,
        root=root,
    )
