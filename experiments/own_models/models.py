"""Latent-variable models from the literature, each written against `jaxem.protocol.LatentModel` as a user would, without an import of ours.

Params are any pytree; statistics are sums over rows. `to_free` and `from_free` give SQUAREM coordinates without constraints: of
probabilities and intensities, which may come to be 0, their square roots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln, logsumexp, polygamma


TINY = 1e-300  # below every probability: 0 log 0 is 0


def safe_log(p: Any) -> Any:
    return jnp.log(jnp.maximum(p, TINY))


def on_simplex(root: Any) -> Any:
    """Probabilities, along the last axis, from their square roots or what an extrapolation has made of these."""
    return root**2 / jnp.sum(root**2, -1, keepdims=True)


class BloodGroups:
    """Frequencies of the alleles A, B and O from counts of the groups A, B, AB and O (Ceppellini, Siniscalco & Smith 1955)."""

    def e_step(self, p, counts):
        a, b, ab, o = counts
        group_a, group_b = p[0] * (p[0] + 2 * p[2]), p[1] * (p[1] + 2 * p[2])
        aa, bb = a * p[0] ** 2 / group_a, b * p[1] ** 2 / group_b
        alleles = jnp.stack([a + aa + ab, b + bb + ab, a - aa + b - bb + 2 * o])
        probabilities = jnp.stack([group_a, group_b, 2 * p[0] * p[1], p[2] ** 2])
        return alleles, jnp.sum(counts * jnp.log(probabilities))

    def m_step(self, p, alleles):
        return alleles / alleles.sum()

    to_free = staticmethod(jnp.sqrt)
    from_free = staticmethod(on_simplex)


class Haplotypes:
    """Frequencies of haplotypes from genotypes without phase (Excoffier & Slatkin 1995).

    Data: the pairs of haplotypes that explain each person, (n, pairs, 2), and how many orders each has, (n, pairs), 0 for padding.
    """

    def e_step(self, p, data):
        pairs, orders = data
        joint = orders * p[pairs[..., 0]] * p[pairs[..., 1]]
        likelihood = joint.sum(1)
        share = joint / likelihood[:, None]
        counts = jnp.zeros_like(p).at[pairs].add(share[..., None])
        return counts, jnp.sum(jnp.log(likelihood))

    def m_step(self, p, counts):
        return counts / counts.sum()

    to_free = staticmethod(jnp.sqrt)
    from_free = staticmethod(on_simplex)


class Tomography(NamedTuple):
    """Intensities of pixels from Poisson counts of detectors (Shepp & Vardi 1982; Lange & Carson 1984).

    Attributes:
        reach: What the detectors see of each pixel, all together, shape (pixels,).
    """

    reach: Any

    def e_step(self, x, data):
        matrix, y, background = data
        mean = matrix @ x + background
        return x * (matrix.T @ (y / mean)), jnp.sum(y * jnp.log(mean) - mean - gammaln(y + 1))

    def m_step(self, x, emitted):
        return emitted / self.reach

    to_free = staticmethod(jnp.sqrt)
    from_free = staticmethod(jnp.square)


class TomographyInLogarithms(Tomography):
    """The same with the logarithms of intensities to extrapolate: of those that come to be 0, they run off."""

    to_free = staticmethod(safe_log)
    from_free = staticmethod(jnp.exp)


class Motif(NamedTuple):
    """A motif of fixed width at unknown places of sequences, in each of them or in some (Bailey & Elkan 1994, OOPS and ZOOPS).

    Data: letters of all windows as 0 and 1, (n, places, width · 4); which windows are there, (n, places); the log-probability of all
    letters, a number. Params: probabilities of letters, (width, 4), and the share of sequences that have the motif.

    Attributes:
        background: Of the letters, shape (4,).
        everywhere: Whether every sequence has the motif.
    """

    background: Any
    everywhere: bool

    def e_step(self, params, data):
        windows, there, outside = data
        motif, share = params
        odds = windows @ safe_log(motif / self.background).reshape(-1) - jnp.log(there.sum(1, keepdims=True))
        has = jnp.where(there, odds if self.everywhere else jnp.log(share) + odds, -jnp.inf)
        total = logsumexp(has, axis=1)
        total = total if self.everywhere else jnp.logaddexp(total, jnp.log1p(-share))
        resp = jnp.exp(has - total[:, None])
        counts = jnp.einsum("np,npw->w", resp, windows).reshape(motif.shape)
        return (counts, resp.sum(), 1.0 * len(there)), total.sum() + outside

    def m_step(self, params, stats):
        counts, found, number = stats
        return counts / counts.sum(1, keepdims=True), params[1] if self.everywhere else jnp.minimum(found / number, 1.0)

    def to_free(self, params):
        motif, share = params
        return jnp.sqrt(motif), share if self.everywhere else jnp.sqrt(jnp.stack([share, 1 - share]))

    def from_free(self, free):
        return on_simplex(free[0]), free[1] if self.everywhere else on_simplex(free[1])[0]


class LatentClasses:
    """Categorical answers, independent within a class (Lazarsfeld & Henry 1968); an answer that is missing tells nothing.

    Data: answers, (n, questions, categories), 1 for the one given. Params: weights (k,), probabilities (k, questions, categories).
    """

    def e_step(self, params, x):
        weights, probs = params
        joint = jnp.log(weights) + jnp.einsum("nqc,kqc->nk", x, safe_log(probs))
        log_prob = logsumexp(joint, axis=1)
        resp = jnp.exp(joint - log_prob[:, None])
        return (resp.sum(0), jnp.einsum("nk,nqc->kqc", resp, x)), log_prob.sum()

    def m_step(self, params, stats):
        counts, answers = stats
        return counts / counts.sum(), answers / answers.sum(2, keepdims=True)

    def to_free(self, params):
        return jax.tree.map(jnp.sqrt, params)

    def from_free(self, free):
        return jax.tree.map(on_simplex, free)


class GammaMixture:
    """Gamma components in one column. Params: weights, shapes, scales, all (k,)."""

    def e_step(self, params, x):
        weights, shape, scale = params
        log_x = jnp.log(x)
        joint = jnp.log(weights) + (shape - 1) * log_x[:, None] - x[:, None] / scale - gammaln(shape) - shape * jnp.log(scale)
        log_prob = logsumexp(joint, axis=1)
        resp = jnp.exp(joint - log_prob[:, None])
        return (resp.sum(0), x @ resp, log_x @ resp), log_prob.sum()

    def m_step(self, params, stats):
        count, total, logs = stats
        mean = total / count
        spread = jnp.log(mean) - logs / count  # log shape − ψ(shape)

        def newton(_, shape):  # on 1 / shape, as Minka 2002
            return 1 / (1 / shape + (jnp.log(shape) - digamma(shape) - spread) / (shape - shape**2 * polygamma(1, shape)))

        shape = jax.lax.fori_loop(0, 8, newton, (3 - spread + jnp.sqrt((spread - 3) ** 2 + 24 * spread)) / (12 * spread))
        return count / count.sum(), shape, mean / shape

    def to_free(self, params):
        return jnp.sqrt(params[0]), jnp.log(params[1]), jnp.log(params[2])

    def from_free(self, free):
        return on_simplex(free[0]), jnp.exp(free[1]), jnp.exp(free[2])


class StudentMixture(NamedTuple):
    """Multivariate t components (Peel & McLachlan 2000). Params: weights (k,), means (k, d), scales (k, d, d), degrees of freedom (k,).

    Attributes:
        dof: "fixed", "common" or "free".
    """

    dof: str

    def e_step(self, params, x):
        weights, mean, scale, dof = params
        d = x.shape[1]
        centred = x[:, None] - mean
        factor = jnp.linalg.cholesky(scale)
        white = jax.scipy.linalg.solve_triangular(factor, jnp.moveaxis(centred, 0, 2), lower=True)
        square = (white**2).sum(1).T
        log_det = 2 * jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(1)
        half = 0.5 * (dof + d)
        joint = jnp.log(weights) + gammaln(half) - gammaln(0.5 * dof) - 0.5 * (d * jnp.log(jnp.pi * dof) + log_det)
        joint = joint - half * jnp.log1p(square / dof)
        log_prob = logsumexp(joint, axis=1)
        resp = jnp.exp(joint - log_prob[:, None])
        precision = (dof + d) / (dof + square)
        weighted = resp * precision
        slope = digamma(half) - jnp.log(half) + jnp.log(precision) - precision
        sums = resp.sum(0), weighted.sum(0), weighted.T @ x, jnp.einsum("nk,ni,nj->kij", weighted, x, x), (resp * slope).sum(0)
        return sums, log_prob.sum()

    def m_step(self, params, stats):
        count, weight, first, second, slope = stats
        mean = first / weight[:, None]
        scale = (second - weight[:, None, None] * mean[:, :, None] * mean[:, None]) / count[:, None, None]
        dof = params[3]
        if self.dof == "common":
            dof = jnp.broadcast_to(_dof(slope.sum() / count.sum()), dof.shape)
        elif self.dof == "free":
            dof = _dof(slope / count)
        return count / count.sum(), mean, scale, dof

    def to_free(self, params):
        weights, mean, scale, dof = params
        factor = jnp.linalg.cholesky(scale)
        diagonal = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2))
        return jnp.sqrt(weights), mean, jnp.tril(factor, -1), diagonal, jnp.log(dof)

    def from_free(self, free):
        roots, mean, lower, diagonal, log_dof = free
        factor = jnp.tril(lower, -1) + jnp.exp(diagonal)[:, :, None] * jnp.eye(mean.shape[1])
        return on_simplex(roots), mean, factor @ jnp.swapaxes(factor, 1, 2), jnp.exp(log_dof)


def _dof(slope: Any) -> Any:
    """The root of log(ν/2) + 1 − ψ(ν/2) + slope, by bisection of log ν."""

    def halve(_, bounds):
        low, high = bounds
        half = 0.5 * jnp.exp(0.5 * (low + high))
        above = jnp.log(half) + 1 - digamma(half) + slope > 0
        return jnp.where(above, 0.5 * (low + high), low), jnp.where(above, high, 0.5 * (low + high))

    low, high = jax.lax.fori_loop(0, 60, halve, (jnp.full_like(slope, -3.0), jnp.full_like(slope, 20.0)))
    return jnp.exp(0.5 * (low + high))


class RegressionMixture(NamedTuple):
    """Mixtures of generalised linear models (DeSarbo & Cron 1988; Wedel & DeSarbo 1995).

    Data: the design (n, q), the response (n,), trials (n,). Params: weights (k,), coefficients (k, q), residual sds (k,).
    One Newton step is an M-step where the response is not Gaussian (Lange 1995).

    Attributes:
        kind: "gaussian", "poisson" or "binomial".
        common: Whether the residual sd is the same for all components.
    """

    kind: str
    common: bool = False

    def e_step(self, params, data):
        weights, coefficients, sd = params
        z, y, trials = data
        eta = z @ coefficients.T
        y, trials = y[:, None], trials[:, None]
        if self.kind == "gaussian":
            mean, curvature = eta, jnp.ones_like(eta)
            density = -0.5 * ((y - eta) / sd) ** 2 - jnp.log(sd) - 0.5 * jnp.log(2 * jnp.pi)
        elif self.kind == "poisson":
            mean = curvature = jnp.exp(eta)
            density = y * eta - mean - gammaln(y + 1)
        else:
            mean = trials * jax.nn.sigmoid(eta)
            curvature = mean * jax.nn.sigmoid(-eta)
            coefficient = gammaln(trials + 1) - gammaln(y + 1) - gammaln(trials - y + 1)
            density = y * eta - trials * jax.nn.softplus(eta) + coefficient
        joint = jnp.log(weights) + density
        log_prob = logsumexp(joint, axis=1)
        resp = jnp.exp(joint - log_prob[:, None])
        gradient = jnp.einsum("nk,ni->ki", resp * (y - mean), z)
        hessian = jnp.einsum("nk,ni,nj->kij", resp * curvature, z, z)
        return (resp.sum(0), gradient, hessian, (resp * (y - eta) ** 2).sum(0)), log_prob.sum()

    def m_step(self, params, stats):
        count, gradient, hessian, residual = stats
        step = jnp.linalg.solve(hessian, gradient[..., None])[..., 0]
        sd = params[2]
        if self.kind == "gaussian":
            left = residual - jnp.sum(step * gradient, 1)
            sd = jnp.sqrt(jnp.broadcast_to(left.sum() / count.sum(), sd.shape) if self.common else left / count)
        return count / count.sum(), params[1] + step, sd

    def to_free(self, params):
        return jnp.sqrt(params[0]), params[1], jnp.log(params[2])

    def from_free(self, free):
        return on_simplex(free[0]), free[1], jnp.exp(free[2])


class HiddenMarkov(NamedTuple):
    """Hidden Markov models by the forward-backward recursions (Baum, Petrie, Soules & Weiss 1970; Rabiner 1989).

    Data: sequences (s, t, d) and which rows are there (s, t). Params: of the start (k,), of transitions (k, k), of emissions.

    Attributes:
        kind: "poisson" (rates (k, d)), "categorical" (probabilities (k, categories), one column) or "gaussian" (means, covariances).
    """

    kind: str

    def log_prob(self, emission, x):
        if self.kind == "poisson":
            return jnp.sum(x[..., None, :] * jnp.log(emission) - emission - gammaln(x[..., None, :] + 1), -1)
        if self.kind == "categorical":
            return safe_log(emission).T[x[..., 0].astype(int)]
        mean, covariance = emission
        factor = jnp.linalg.cholesky(covariance)
        white = jnp.einsum("kij,...kj->...ki", jnp.linalg.inv(factor), x[..., None, :] - mean)
        log_det = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(1)
        return -0.5 * (white**2).sum(-1) - log_det - 0.5 * x.shape[-1] * jnp.log(2 * jnp.pi)

    def e_step(self, params, data):
        start, transition, emission = params
        x, there = data
        parts, log_likelihoods = jax.vmap(self._sequence, (None, None, 0, 0))(
            start, transition, jnp.where(there[..., None], self.log_prob(emission, x), 0.0), there
        )
        first, moves, resp = parts
        count, total = resp.sum((0, 1)), jnp.einsum("stk,std->kd", resp, x)
        if self.kind == "poisson":
            stats = count, total
        elif self.kind == "categorical":
            stats = (jnp.einsum("stk,stc->kc", resp, jax.nn.one_hot(x[..., 0], emission.shape[1])),)
        else:
            stats = count, total, jnp.einsum("stk,sti,stj->kij", resp, x, x)
        return (first.sum(0), moves.sum(0), stats), log_likelihoods.sum()

    def _sequence(self, start, transition, log_prob, there):
        """Of one sequence: who begins, who moves where, who is when; and the log-likelihood."""
        shift = log_prob.max(1)
        density = jnp.exp(log_prob - shift[:, None])

        def forward(before, now):
            density, there = now
            reached = jnp.where(there, before @ transition, before) * density
            size = reached.sum()
            return reached / size, (reached / size, size)

        first = start * density[0]
        _, (rest, sizes) = jax.lax.scan(forward, first / first.sum(), (density[1:], there[1:]))
        alpha = jnp.concatenate([first[None] / first.sum(), rest])

        def backward(beta, now):
            alpha, density, size, there = now
            ahead = density * beta / size
            moves = jnp.where(there, alpha[:, None] * transition * ahead, 0.0)
            return jnp.where(there, transition @ ahead, ahead), (beta, moves)

        beta, (betas, moves) = jax.lax.scan(
            backward, jnp.ones_like(start), (alpha[:-1], density[1:], sizes, there[1:]), reverse=True
        )
        resp = alpha * jnp.concatenate([beta[None], betas]) * there[:, None]
        return (resp[0], moves.sum(0), resp), jnp.log(first.sum()) + jnp.log(sizes).sum() + shift.sum()

    def m_step(self, params, stats):
        first, moves, emission = stats
        rows = moves.sum(1, keepdims=True)
        transition = jnp.where(rows > 0, moves / jnp.where(rows > 0, rows, 1.0), params[1])
        if self.kind == "categorical":
            new = emission[0] / emission[0].sum(1, keepdims=True)
        elif self.kind == "poisson":
            new = emission[1] / emission[0][:, None]
        else:
            count, total, square = emission
            mean = total / count[:, None]
            new = mean, square / count[:, None, None] - mean[:, :, None] * mean[:, None]
        return first / first.sum(), transition, new

    def to_free(self, params):
        start, transition, emission = params
        if self.kind == "gaussian":
            factor = jnp.linalg.cholesky(emission[1])
            free = emission[0], jnp.tril(factor, -1), jnp.log(jnp.diagonal(factor, axis1=1, axis2=2))
        else:
            free = jnp.sqrt(emission)
        return jnp.sqrt(start), jnp.sqrt(transition), free

    def from_free(self, free):
        start, transition, emission = free
        if self.kind == "gaussian":
            mean, lower, diagonal = emission
            factor = jnp.tril(lower, -1) + jnp.exp(diagonal)[:, :, None] * jnp.eye(mean.shape[1])
            emission = mean, factor @ jnp.swapaxes(factor, 1, 2)
        else:
            emission = on_simplex(emission) if self.kind == "categorical" else jnp.square(emission)
        return on_simplex(start), on_simplex(transition), emission
