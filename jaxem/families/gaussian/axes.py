"""Axes along which covariances become diagonal: each component's own, or common ones. Imports layer 0.

Own axes are eigenvectors. Common ones minimise the criterion of EVE or of VVE over the orthogonal matrices, by L-BFGS. They begin
where the last M-step ended; when no axes are known yet, where a sweep of plane rotations leads that tries, in every plane, each
component's own axes and the pooled ones. In two dimensions, where there is one plane only, every M-step looks everywhere, and no local
optimum stands in the way; on the reference data with up to 13 columns, starts from the columns' axes and from the pooled ones ended
alike.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._linalg import contract, inverse_factor
from ..._typing import Array, Float


JACOBI_TO = 4  # columns up to which it beats LAPACK; at 13 LAPACK takes a tenth of its time from scratch, and half when warm
MOST_SWEEPS = 30  # of Jacobi's method: two or three from where the last M-step left off
MOST_STEPS = 40  # of L-BFGS: a handful, likewise; the few M-steps that would take more go on in the next one
PAIRS = 4  # of steps that L-BFGS remembers
LARGEST_TURN = 0.5  # in one step, in radians
SHORTEST = 1e-6  # share of a step below which halving it ends


def align(
    scatter: Float[Array, "k d d"],
    share: Float[Array, " k"],
    axes: Float[Array, "k d d"],
    *,
    wanted: Any,
    common: Any,
    equal_volume: Any,
) -> tuple[Float[Array, "k d d"], Float[Array, "k d d"]]:
    """Turn axes until covariances are diagonal along them, or as near to it in likelihood as common axes can be.

    Own axes come in order of falling variance. Common ones minimise Σ s_k log|diag| (variable volume: VVE) or
    Σ s_k |diag|^(1/d) (equal volume: EVE).

    Args:
        scatter: Covariances.
        share: Their shares of the rows, summing to 1.
        axes: Orthogonal matrices, axes in rows: where to begin. Common ones are all alike; the identity if none are known.
        wanted: Whether anything is to be done.
        common: Whether one set of axes serves all components.
        equal_volume: Which of the two criteria.
    Returns:
        The axes, and the covariances along them.
    References:
        Flury & Gautschi 1986, SIAM J. Sci. Stat. Comput. 7 (common axes by plane rotations); Celeux & Govaert 1995, sec. 3.
    """

    def turn(axes, along):
        axes, along = _own_axes(axes, along, wanted & ~common)
        axes, along = _search(axes, along, share, wanted & common, equal_volume)
        return *_descend(axes, along, share, wanted & common, equal_volume), jnp.zeros((), along.dtype)

    return _loop(wanted, 1, turn, axes, _along(axes, scatter))


def _along(axes: Any, scatter: Any) -> Any:
    return contract("kij,kjl,kml->kim", axes, scatter, axes)


def _turned(turn: Any, axes: Any) -> Any:
    return contract("kij,kjl->kil", turn, axes)


def _loop(wanted: Any, most: int, step: Any, *carry: Any) -> Any:
    """Repeat step(*carry) -> (*carry, moved) until nothing moves; not once where nothing is wanted, as a `cond` under `vmap` would."""
    still = jnp.finfo(carry[0].dtype).eps ** 0.5

    def go_on(state):
        *_, moved, number = state
        return wanted & (moved > still) & (number < most)

    def once_more(state):
        *now, _, number = state
        return *step(*now), number + 1

    start = *carry, jnp.full((), jnp.inf, carry[0].dtype), jnp.zeros((), jnp.int32)
    return lax.while_loop(go_on, once_more, start)[: len(carry)]


def _cost(along: Float[Array, "k d d"], share: Float[Array, " k"], equal_volume: Any) -> Any:
    """The criterion of VVE, or of EVE."""
    mean = jnp.mean(jnp.log(jnp.diagonal(along, axis1=-2, axis2=-1)), -1)
    return jnp.sum(jnp.where(share > 0, share * jnp.where(equal_volume, jnp.exp(mean), mean), 0.0))


def _own_axes(axes: Any, along: Any, wanted: Any) -> tuple[Any, Any]:
    """Eigenvectors in rows, by falling eigenvalues, as near to the given axes as that allows; the covariances along them."""
    if along.shape[-1] <= JACOBI_TO:
        return _loop(wanted, MOST_SWEEPS if along.shape[-1] > 2 else 1, functools.partial(_sweep, _jacobi), axes, along)

    def eigenvectors(axes, along):
        turn = jnp.swapaxes(jnp.linalg.eigh(along)[1], -1, -2)[:, ::-1]
        turned = _turned(turn, axes)
        sign = jnp.where(jnp.sum(turned * axes, -1, keepdims=True) < 0, -1.0, 1.0)
        return sign * turned, _along(turn, along), jnp.zeros((), along.dtype)

    return _loop(wanted, 1, eigenvectors, axes, along)


def _search(axes: Any, along: Any, share: Any, wanted: Any, equal_volume: Any) -> tuple[Any, Any]:
    """From the columns' axes or the pooled ones, whichever are nearer, the better of those and what a sweep makes of them."""
    d = along.shape[-1]

    def better(here, there):
        rise = _cost(there[1], share, equal_volume) < _cost(here[1], share, equal_volume)
        return tuple(jnp.where(rise, b, a) for a, b in zip(here, there, strict=True))

    def look(axes, along):
        if d > 2:
            eye = jnp.eye(d, dtype=along.dtype)[None]
            turn, _ = _own_axes(eye, contract("k,kij->ij", share, along)[None], jnp.asarray(True))
            turn = jnp.broadcast_to(turn, along.shape)
            axes, along = better((axes, along), (_turned(turn, axes), _along(turn, along)))
        swept = _sweep(functools.partial(_likeliest, share, equal_volume), axes, along)
        return *better((axes, along), swept[:2]), jnp.zeros((), along.dtype)

    unknown = (d == 2) | jnp.all(axes == jnp.eye(d, dtype=axes.dtype))
    return _loop(wanted & unknown, 1, look, axes, along)


def _descend(axes: Any, along: Any, share: Any, wanted: Any, equal_volume: Any) -> tuple[Any, Any]:
    """L-BFGS from common axes, its steps halved until the criterion does not rise.

    Points are skew matrices of angles, taken from where the axes are. The Hessian that the pairs of steps correct is diagonal in
    the planes, as it is where all covariances are (compare Ablin, Cardoso & Gramfort 2019, IEEE DSW, for joint diagonalisation
    without orthogonality). By that alone, axes in 13 columns took 100 to 600 steps; so they take 20 to 60.
    """
    d = along.shape[-1]
    eye = jnp.eye(d, dtype=along.dtype)
    eps = jnp.finfo(along.dtype)
    blank = jnp.zeros((min(PAIRS, d * (d - 1) // 2 - 1), d, d), along.dtype)

    def slopes(along):
        """The criterion's gradient by the angles, and its curvature in every plane."""
        variance = jnp.diagonal(along, axis1=-2, axis2=-1)
        product = variance[:, :, None] * variance[:, None, :]
        half = (variance[:, :, None] - variance[:, None, :]) / 2
        pull = share * jnp.where(equal_volume, jnp.exp(jnp.mean(jnp.log(variance), -1)), 1.0)
        first = -2 * half * along / product  # of log(x_ii x_jj), by twice the angle
        second = 2 * (half**2 - along**2) / product + jnp.where(equal_volume, 1 / d - 1, -1.0) * first**2
        least = 0.2 * half**2 / product
        slope, bend, least = contract("k,ckij->cij", pull, jnp.stack([first, second, least]))
        return slope, 2 * jnp.maximum(jnp.abs(bend), least + eps.tiny)

    def step(axes, along, slope, bend, turns, changes, length):
        """The turns that led here, newest first, and the changes of the slope that they brought, shape (m, d, d)."""
        angles = _newton(slope, bend, turns, changes) * (1 - eye)
        bent = eye + length * angles
        turn = contract("ij,jl->il", inverse_factor(contract("ij,lj->il", bent, bent)), bent)
        turn = jnp.broadcast_to(turn, along.shape)
        there = _along(turn, along)
        before, after = (_cost(point, share, equal_volume) for point in (along, there))
        good = after <= before + 8 * eps.eps * (1 + jnp.abs(before))
        moved = jnp.where(length < SHORTEST, 0.0, jnp.max(jnp.abs(angles)))
        ahead = slopes(there)
        later = _turned(turn, axes), there, *ahead, _newest(length * angles, turns), _newest(ahead[0] - slope, changes)
        here = axes, along, slope, bend, turns, changes
        kept = (jnp.where(good, new, old) for new, old in zip(later, here, strict=True))
        return *kept, jnp.where(good, jnp.minimum(1.0, 2 * length), length / 4), moved

    start = axes, along, *slopes(along), blank, blank, jnp.ones((), along.dtype)
    axes, along, *_ = _loop(wanted, MOST_STEPS, step, *start)
    return axes, along


def _newest(first: Any, others: Any) -> Any:
    """Pushed in front, the last one dropped."""
    return jnp.concatenate([first[None], others])[: len(others)]


def _newton(slope: Any, bend: Any, turns: Any, changes: Any) -> Any:
    """Downhill by L-BFGS (Nocedal 1980, Math. Comp. 35), in no plane further than is allowed in one step."""
    products = jnp.sum(turns * changes, (1, 2))
    curved = products > jnp.finfo(slope.dtype).eps * jnp.sqrt(jnp.sum(turns**2, (1, 2)) * jnp.sum(changes**2, (1, 2)))
    scale = jnp.where(curved, 1 / jnp.where(curved, products, 1.0), 0.0)
    way, shares = slope, []
    for number in range(len(turns)):
        shares.append(scale[number] * jnp.sum(turns[number] * way))
        way = way - shares[number] * changes[number]
    way = way / bend
    for number in reversed(range(len(turns))):
        way = way + turns[number] * (shares[number] - scale[number] * jnp.sum(changes[number] * way))
    angles = jnp.clip(-way, -LARGEST_TURN, LARGEST_TURN)
    return jnp.where(jnp.sum(angles * slope) < 0, angles, jnp.clip(-slope / bend, -LARGEST_TURN, LARGEST_TURN))


@functools.cache
def _rounds(d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A round-robin tournament of d axes.

    For every round the first and the second axis of each pair, smaller number first, shape (r, d // 2); and for every axis the
    number of its pair, d // 2 for one that rests, and its partner, shape (r, d).
    """
    even, half = d + d % 2, d // 2
    circle, pairs, pair_of, partner = list(range(even)), [], [], []
    for _ in range(even - 1):
        some = [(min(pair), max(pair)) for pair in zip(circle[: even // 2], circle[::-1], strict=False)]
        some = [pair for pair in some if pair[1] < d]
        number, other = np.full(d, half), np.arange(d)
        for j, (a, b) in enumerate(some):
            number[[a, b]], other[[a, b]] = j, (b, a)
        pairs.append(some)
        pair_of.append(number)
        partner.append(other)
        circle = [circle[0], circle[-1], *circle[1:-1]]
    table = np.array(pairs, np.int32).reshape(-1, half, 2)
    return table[:, :, 0], table[:, :, 1], np.array(pair_of, np.int32), np.array(partner, np.int32)


def _sweep(angles: Any, axes: Any, along: Any) -> tuple[Any, Any, Any]:
    """One turn of every pair of axes, disjoint pairs at the same time; the sine of the largest turn comes last."""
    first, second, pair_of, partner = (jnp.asarray(table) for table in _rounds(along.shape[-1]))

    def turn(number, carry):
        axes, along, moved = carry
        partners, one, two = partner[number], first[number], second[number]
        variance = jnp.diagonal(along, axis1=-2, axis2=-1)
        twice = angles((variance[:, one] + variance[:, two]) / 2, (variance[:, one] - variance[:, two]) / 2, along[:, one, two])
        angle = jnp.concatenate([twice, jnp.zeros_like(twice[:, :1])], axis=1)[:, pair_of[number]] / 2
        sign = jnp.sign(partners - jnp.arange(along.shape[-1])).astype(along.dtype)
        cosine, sine = jnp.cos(angle)[:, :, None], (sign * jnp.sin(angle))[:, :, None]

        def rotate(rows):
            return cosine * rows + sine * rows[:, partners]

        along = jnp.swapaxes(rotate(jnp.swapaxes(rotate(along), 1, 2)), 1, 2)
        return rotate(axes), along, jnp.maximum(moved, jnp.max(jnp.abs(sine)))

    # A bound that is an array: `inlined` would write out a loop of known length.
    return lax.fori_loop(0, jnp.asarray(len(first)), turn, (axes, along, jnp.zeros((), along.dtype)))


def _jacobi(middle: Any, half: Any, across: Any) -> Any:
    """Twice the angle that makes each covariance diagonal, with the larger variance to come first, (k, m)."""
    return jnp.arctan2(across, half)


def _likeliest(share: Any, equal_volume: Any, middle: Any, half: Any, across: Any) -> Any:
    """Twice the best common angle in each plane among the components' own, the pooled one, and none, (1, m)."""
    weight, tiny = share[:, None], jnp.finfo(half.dtype).tiny
    pooled = jnp.arctan2(jnp.sum(weight * across, 0), jnp.sum(weight * half, 0))[None]
    tries = jnp.concatenate([jnp.zeros_like(pooled), pooled, jnp.arctan2(across, half)])
    tries = tries - jnp.pi * jnp.round(tries / jnp.pi)  # a quarter turn changes the names of the axes only
    y = half * jnp.cos(tries)[:, None] + across * jnp.sin(tries)[:, None]
    product = jnp.maximum((middle - y) * (middle + y), tiny)  # of the two variances
    terms = jnp.where(equal_volume, jnp.sqrt(product), jnp.log(product))
    best = jnp.argmin(jnp.sum(jnp.where(weight > 0, weight * terms, 0.0), axis=1), axis=0)
    return jnp.take_along_axis(tries, best[None], axis=0)
