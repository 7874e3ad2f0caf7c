"""Classes of subjects that share a regression line or a growth curve. The random effects are integrated out. Layers 0 and NumPyro.

A subject's rows enter the likelihood through four sums only, so that a draw costs the same whatever the number of rows.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ..._linalg import contract, inverse_factor
from ..._pytree import pytree, static
from ..._typing import Array, Float
from . import components


@pytree
class SubjectSums:
    """What is kept of each subject's rows.

    Attributes:
        count: Rows, (s,).
        xx: Sums of x xᵀ, (s, p, p).
        xy: Sums of x y, (s, p).
        yy: Sums of y², (s,).
    """

    count: Float[Array, " s"]
    xx: Float[Array, "s p p"]
    xy: Float[Array, "s p"]
    yy: Float[Array, " s"]

    @classmethod
    def of(cls, design: np.ndarray, y: np.ndarray, subject: np.ndarray, num_subjects: int) -> SubjectSums:
        """Sums over the rows of each subject; design (n, p), responses (n,), subject numbers (n,)."""

        def total(values: np.ndarray) -> np.ndarray:
            out = np.zeros((num_subjects, *values.shape[1:]))
            np.add.at(out, subject, values)
            return out

        products = design[:, :, None] * design[:, None, :]
        return cls(total(np.ones(len(y))), total(products), total(design * y[:, None]), total(y**2))


@pytree
class LinearClasses:
    """A NumPyro model of subjects in latent classes, each with a linear mixed model of its own, in standard units.

    Given class k, the rows of a subject are y = X b_k + Z u + e, u ~ N(0, Λ_k Λ_kᵀ), e ~ N(0, σ²); Z holds those columns of X whose
    coefficients differ from subject to subject. Class and u are summed and integrated out.

    Attributes:
        coefficient_width: Sd of the prior of coefficients.
        random_spread: Scale of the half-normal prior of the random effects' standard deviations.
        num_components: K, classes.
        order_by: The coefficient in which classes ascend.
        random: Columns of X that are Z; none where no effect is random.
        shared_residual: Whether all classes have one σ.
    """

    coefficient_width: Any = 2.0
    random_spread: Any = 1.0
    num_components: int = static(default=2)
    order_by: int = static(default=0)
    random: tuple[int, ...] = static(default=(0,))
    shared_residual: bool = static(default=False)

    def __call__(self, sums: SubjectSums) -> None:
        """The statements, for the sums of each subject."""
        values = self.parameters(sums.xy.shape[1])
        numpyro.factor("log_likelihood", jnp.sum(self.log_likelihood(values, sums)))

    def parameters(self, num_columns: int) -> dict[str, Any]:
        """The prior, and what the likelihood needs."""
        k, q = self.num_components, len(self.random)
        weights: Any = numpyro.sample("weights", dist.Dirichlet(jnp.full(k, 2.0)))
        coefficients = components.ascending("coefficients", self.coefficient_width, k, num_columns, self.order_by)
        residual = dist.LogNormal(np.log(0.4), 0.75)
        residual: Any = numpyro.sample("residual_sd", residual if self.shared_residual else residual.expand([k]).to_event(1))
        values = {"weights": weights, "coefficients": coefficients, "residual_sd": residual}
        if not q:
            return values
        spread: Any = numpyro.sample("random_sd", dist.HalfNormal(self.random_spread).expand([k, q]).to_event(2))
        factors = spread[:, :, None] * jnp.ones((1, 1, 1))
        if q > 1:
            factors = spread[:, :, None] * numpyro.sample(
                "random_correlations", dist.LKJCholesky(q, 2.0).expand([k]).to_event(1)
            )
        factors: Any = numpyro.deterministic("random_factors", factors)
        return values | {"random_factors": factors}

    def log_joint(self, values: dict[str, Any], sums: SubjectSums) -> Float[Array, "s k"]:
        """log p(class, rows of the subject)."""
        b = values["coefficients"]
        variance = jnp.broadcast_to(values["residual_sd"] ** 2, b.shape[:1])
        xxb = contract("sij,kj->ski", sums.xx, b)
        squares = sums.yy[:, None] - 2 * contract("si,ki->sk", sums.xy, b) + contract("ki,ski->sk", b, xxb)
        rows = sums.count[:, None] * (0.5 * jnp.log(variance) + components.HALF_LOG_TAU)
        fixed = jnp.log(values["weights"]) - rows
        if not self.random:
            return fixed - 0.5 * squares / variance
        factors, picked = values["random_factors"], np.array(self.random)
        pull = contract("kij,ski->skj", factors, (sums.xy[:, None] - xxb)[..., picked]) / variance[:, None]
        zz = sums.xx[:, picked[:, None], picked]
        inner = contract("kia,sij,kjb->skab", factors, zz, factors) / variance[:, None, None] + jnp.eye(len(picked))
        whitener = inverse_factor(inner)
        explained = jnp.sum(contract("skab,skb->ska", whitener, pull) ** 2, axis=-1)
        log_det = jnp.sum(jnp.log(jnp.diagonal(whitener, axis1=-2, axis2=-1)), axis=-1)
        return fixed + log_det - 0.5 * (squares / variance - explained)

    def log_likelihood(self, values: dict[str, Any], sums: SubjectSums) -> Float[Array, " s"]:
        """Of each subject, class and random effects summed out."""
        return jax.nn.logsumexp(self.log_joint(values, sums), axis=-1)

    def memberships(self, values: dict[str, Any], sums: SubjectSums) -> Float[Array, "s k"]:
        """Probability of each class given all rows of the subject and the parameters."""
        return jax.nn.softmax(self.log_joint(values, sums), axis=-1)

    def site_values(self, weights: np.ndarray, coefficients: np.ndarray, residual: float, spread: float) -> dict[str, Any]:
        """Values of the sites, from classes that ascend already."""
        k, q = self.num_components, len(self.random)
        out = components.ascending_values("coefficients", coefficients, self.order_by) | {
            "weights": weights,
            "residual_sd": np.float64(residual) if self.shared_residual else np.full(k, residual),
        }
        out |= {"random_sd": np.full((k, q), spread)} if q else {}
        return out | ({"random_correlations": np.tile(np.eye(q), (k, 1, 1))} if q > 1 else {})
