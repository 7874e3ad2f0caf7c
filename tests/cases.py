"""One row for every family: what the laws need to know of it, written without the package.

Everything here is in the data's own units and in NumPy and SciPy; a case translates to the internal units that `fit` works in
(columns centred and scaled), so the laws check the translation with the family. To add a family, add a row to `CASES`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from jaxem.families import Categorical, Poisson, gaussian, student
from jaxem.models.mixture import Mixture, MixtureParams
from jaxem.protocol import Data


K = 3
NUM_ROWS = 96

Published = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """A family on some data.

    Attributes:
        name: The family's name and the number of columns.
        unbound: The family, not yet bound to the data.
        x: Rows, shape (n, d).
        random: Draws legal params: rng -> arrays by name, component axis first.
        log_density: (params, x) -> log-density of every row under every component, shape (k, n).
        estimate: (x, resp, at) -> params after an M-step with responsibilities (k, n), whatever was assumed before; where that
            matters, after an E-step at params, or after none.
        moments: params -> means (k, d) and covariances (k, d, d).
        rule: Places in one column and their weights, in which the density of the column sums to one: values with weight 1 where these
            can be counted, else a quadrature; None for Gaussians. There are as many points as places to the number of columns.
        fewer: Makes the same case with so few columns that sums over places can be had.
        accuracy: To what the M-step is exact; below rounding where it iterates in more than one direction at a time.
        only_labels: Whether labels are all that is latent: the statistics then have all that rows say of the params, and what the
            M-step maximises is the expected log-density of rows and labels.
        marginal: (params, columns) -> the same params of some columns only; by default, arrays go by column along all their axes.
        of_what_is_seen: Whether `estimate` takes rows with missing cells, and what is complete is rows and labels as they are.
    """

    name: str
    unbound: Any
    x: np.ndarray
    random: Callable[[np.random.Generator], Published]
    log_density: Callable[[Published, np.ndarray], np.ndarray]
    estimate: Callable[..., Published]
    moments: Callable[[Published], tuple[np.ndarray, np.ndarray]]
    rule: tuple[np.ndarray, np.ndarray] | None = None
    fewer: Callable[[], Case] | None = None
    accuracy: float = 1e-10
    only_labels: bool = True
    marginal: Callable[[Published, np.ndarray], Published] | None = None
    of_what_is_seen: bool = False

    @property
    def d(self) -> int:
        return self.x.shape[1]

    @property
    def centre(self) -> np.ndarray:
        return self.x.mean(0) if self.unbound.standardise else np.zeros(self.d)

    @property
    def scale(self) -> np.ndarray:
        return np.diag(self.x.std(0)) if self.unbound.standardise else np.eye(self.d)

    @property
    def weight(self) -> np.ndarray:
        """Row weights that are neither whole nor alike."""
        return np.linspace(0.5, 1.5, len(self.x))

    def inside(self, x: np.ndarray) -> np.ndarray:
        """Rows (n, d) in internal units, (d, n)."""
        return np.linalg.solve(self.scale, (x - self.centre).T)

    @functools.cached_property
    def data(self) -> Data:
        return Data(self.inside(self.x), self.weight)

    @functools.cached_property
    def family(self) -> Any:
        return self.unbound.bind(self.data.x, self.weight, self.scale, np.float64)

    @property
    def model(self) -> Mixture:
        return Mixture(self.family)

    def params(self, rng: np.random.Generator) -> tuple[Published, MixtureParams]:
        """Random legal params of a mixture, in the data's units and in internal ones."""
        published = {"weights": rng.dirichlet(np.full(K, 5.0)), **self.random(rng)}
        return published, self.adopt(published)

    def start(self, rng: np.random.Generator) -> MixtureParams:
        """Where a run may begin: the params that random responsibilities lead to."""
        resp = rng.dirichlet(np.full(K, 0.3), size=len(self.x)).T
        return self.adopt({"weights": resp.mean(1), **self.estimate(self.x, resp)})

    def adopt(self, published: Published) -> MixtureParams:
        arrays = {name: array for name, array in published.items() if name != "weights"}
        return MixtureParams(np.log(published["weights"]), self.family.adopt(arrays, self.centre, self.scale))

    def publish(self, params: MixtureParams) -> Published:
        return {"weights": np.exp(params.log_weights), **self.family.publish(params.components, self.centre, self.scale)}

    def log_joint(self, published: Published, x: np.ndarray) -> np.ndarray:
        """log p(component, row) in the data's units, shape (k, n)."""
        return np.log(published["weights"])[:, None] + self.log_density(published, x)

    @property
    def offset(self) -> float:
        """What a log-likelihood in the data's units lacks of one in internal units."""
        return float(self.weight.sum() * np.linalg.slogdet(self.scale)[1])


def _eye(covariances: np.ndarray) -> np.ndarray:
    return np.eye(covariances.shape[-1])


def _ball(covariances: np.ndarray) -> np.ndarray:
    return np.stack([np.trace(c) / len(c) * np.eye(len(c)) for c in covariances])


def _volume(covariances: np.ndarray) -> np.ndarray:
    return np.exp(np.linalg.slogdet(covariances)[1] / covariances.shape[-1])[:, None, None]


def _pool(own: np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.average(own, axis=0, weights=share), own.shape)


def _one_volume(own: np.ndarray, share: np.ndarray) -> np.ndarray:
    return own / _volume(own) * np.average(_volume(own), axis=0, weights=share)


def _one_shape(own: np.ndarray, share: np.ndarray) -> np.ndarray:
    """λ_k C, by turns."""
    volumes = np.ones((len(own), 1, 1))
    for _ in range(60):
        shape = _pool(own / volumes, share)
        volumes = np.trace(own @ np.linalg.inv(shape), axis1=1, axis2=2)[:, None, None] / own.shape[-1]
    return volumes * shape


def _along_own_axes(own: np.ndarray, share: np.ndarray, rule: Callable) -> np.ndarray:
    values, vectors = np.linalg.eigh(own)
    return vectors @ rule(values[:, :, None] * _eye(own), share) @ vectors.swapaxes(1, 2)


def _along_common_axes(own: np.ndarray, share: np.ndarray, equal: bool) -> np.ndarray:
    """The orthogonal matrix of least cost, from the best of several starts by the equations of its gradient."""
    d = own.shape[-1]
    pairs = np.triu_indices(d, 1)

    def turned(angles: np.ndarray, start: np.ndarray) -> np.ndarray:
        skew = np.zeros((d, d))
        skew[pairs] = angles / 2
        skew -= skew.T
        return start @ np.linalg.solve(_eye(own) - skew, _eye(own) + skew)

    def along(axes: np.ndarray) -> np.ndarray:
        return axes.T @ own @ axes

    def cost(axes: np.ndarray) -> float:
        mean = np.log(np.diagonal(along(axes), axis1=1, axis2=2)).mean(1)
        return np.log(share @ np.exp(mean)) if equal else share @ mean

    def gradient(axes: np.ndarray) -> np.ndarray:
        there = along(axes)
        variances = np.diagonal(there, axis1=1, axis2=2)
        pull = share * np.exp(np.log(variances).mean(1)) if equal else share
        return np.einsum("k,kij,kij->ij", pull, there, 1 / variances[:, :, None] - 1 / variances[:, None, :])[pairs]

    starts = [_eye(own), *np.linalg.eigh(np.concatenate([own, _pool(own, share)[:1]]))[1]]
    begin = min(starts, key=cost)
    near = np.zeros(len(pairs[0]))
    for _ in range(2):
        axes = turned(optimize.root(lambda angles: gradient(turned(angles, begin)), near, tol=1e-14).x, begin)
        if cost(axes) <= cost(begin):
            break
        near = optimize.minimize(lambda angles: cost(turned(angles, begin)), near, tol=1e-6).x
    assert cost(axes) <= cost(begin)
    return axes @ (along(axes) * _eye(own)) @ axes.T


# The covariances of a structure that are nearest in likelihood to the components' own: Celeux & Govaert 1995, section 3.
STRUCTURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "EII": lambda own, share: _ball(_pool(own, share)),
    "VII": lambda own, share: _ball(own),
    "EEI": lambda own, share: _pool(own, share) * _eye(own),
    "VEI": lambda own, share: _one_shape(own * _eye(own), share),
    "EVI": lambda own, share: _one_volume(own * _eye(own), share),
    "VVI": lambda own, share: own * _eye(own),
    "EEE": _pool,
    "VEE": _one_shape,
    "EVE": lambda own, share: _one_volume(_along_common_axes(own, share, equal=True), share),
    "VVE": lambda own, share: _along_common_axes(own, share, equal=False),
    "EEV": lambda own, share: _along_own_axes(own, share, _pool),
    "VEV": lambda own, share: _along_own_axes(own, share, _one_shape),
    "EVV": _one_volume,
    "VVV": lambda own, share: own,
}
STRUCTURES |= {"V": STRUCTURES["VVV"], "E": STRUCTURES["EEE"]}


def structured(code: str, own: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Covariances (k, d, d) of a structure."""
    return STRUCTURES[code](own, counts / counts.sum())


def _normal_rows(d: int) -> np.ndarray:
    """Three overlapping clusters of unequal shape, in columns of unequal scale, away from the origin."""
    rng = np.random.default_rng(d)
    labels = np.repeat(np.arange(K), NUM_ROWS // K)
    factors = rng.normal(size=(K, d, d)) / np.sqrt(d) + np.eye(d)
    x = rng.normal(scale=2.0, size=(K, d))[labels] + np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(NUM_ROWS, d)))
    return x * np.array([0.5, 3.0, 1.5])[:d] + np.array([10.0, -4.0, 1.0])[:d]


def normal(code: str, d: int) -> Case:
    x = _normal_rows(d)

    def random(rng: np.random.Generator) -> Published:
        factors = x.std(0)[:, None] * rng.normal(size=(K, d, d))
        own = 0.3 * factors @ factors.swapaxes(1, 2) + 0.05 * np.diag(x.var(0))
        means = x.mean(0) + x.std(0) * rng.normal(size=(K, d))
        return {"means": means, "covariances": structured(code, own, np.ones(K))}

    def log_density(params: Published, rows: np.ndarray) -> np.ndarray:
        pairs = zip(params["means"], params["covariances"], strict=True)
        return np.stack([np.atleast_1d(stats.multivariate_normal(m, c).logpdf(rows)) for m, c in pairs])

    def estimate(rows: np.ndarray, resp: np.ndarray, at: Published | None = None) -> Published:
        means = np.stack([np.average(rows, axis=0, weights=r) for r in resp])
        own = np.stack([np.cov(rows.T, aweights=r, ddof=0).reshape(d, d) for r in resp])
        return {"means": means, "covariances": structured(code, own, resp.sum(1))}

    return Case(
        name=f"{code}-{d}",
        unbound=gaussian(code, univariate=d == 1),
        x=x,
        random=random,
        log_density=log_density,
        estimate=estimate,
        moments=lambda params: (params["means"], params["covariances"]),
        fewer=(lambda: normal(code, 2)) if d > 2 else None,
        accuracy=1e-7 if code in ("EVE", "VVE") else 1e-10,
    )


def _poisson(d: int) -> Case:
    rng = np.random.default_rng(d)
    x = rng.poisson(np.repeat(rng.uniform(1.0, 12.0, size=(K, d)), NUM_ROWS // K, axis=0)).astype(float)

    def log_density(params: Published, rows: np.ndarray) -> np.ndarray:
        return np.stack([stats.poisson(rate).logpmf(rows).sum(1) for rate in params["rates"]])

    return Case(
        name=f"poisson-{d}",
        unbound=Poisson(),
        x=x,
        random=lambda rng: {"rates": rng.uniform(1.0, 12.0, size=(K, d))},
        log_density=log_density,
        estimate=lambda rows, resp, at=None: {"rates": np.stack([np.average(rows, axis=0, weights=r) for r in resp])},
        moments=lambda params: (params["rates"], params["rates"][:, :, None] * np.eye(d)),
        rule=(np.arange(90.0), np.ones(90)),
    )


def _categorical(sizes: tuple[int, ...]) -> Case:
    """So many categories in each column; the estimate is of the cells that are there."""
    d, most = len(sizes), max(sizes)
    exists = np.arange(most) < np.array(sizes)[:, None]

    def random(rng: np.random.Generator) -> Published:
        draws = rng.gamma(1.5, size=(K, d, most)) * exists
        return {"probabilities": draws / draws.sum(-1, keepdims=True)}

    def log_density(params: Published, rows: np.ndarray) -> np.ndarray:
        cells = rows.astype(int).T[:, :, None] == np.arange(params["probabilities"].shape[-1])
        return np.stack([np.log((own[:, None] * cells).sum(-1)).sum(0) for own in params["probabilities"]])

    def estimate(rows: np.ndarray, resp: np.ndarray, at: Published | None = None) -> Published:
        counts = np.einsum("kn,ndm->kdm", resp, rows[:, :, None] == np.arange(most))
        return {"probabilities": counts / counts.sum(-1, keepdims=True)}

    def moments(params: Published) -> tuple[np.ndarray, np.ndarray]:
        mean = params["probabilities"] @ np.arange(most)
        return mean, (params["probabilities"] @ np.arange(most) ** 2 - mean**2)[:, :, None] * np.eye(d)

    rng = np.random.default_rng(d)
    chance = np.cumsum(np.repeat(random(rng)["probabilities"], NUM_ROWS // K, axis=0), axis=-1)
    return Case(
        name=f"categorical-{d}",
        unbound=Categorical(),
        x=(rng.random((NUM_ROWS, d, 1)) > chance[:, :, :-1]).sum(-1).astype(float),
        random=random,
        log_density=log_density,
        estimate=estimate,
        moments=moments,
        rule=(np.arange(float(most)), np.ones(most)),
        marginal=lambda params, seen: {"probabilities": params["probabilities"][:, seen]},
        of_what_is_seen=True,
    )


def _student(code: str, d: int) -> Case:
    x = _normal_rows(d)

    def random(rng: np.random.Generator) -> Published:
        published = normal(code, d).random(rng)
        return {"means": published["means"], "scatters": published["covariances"], "dof": rng.uniform(8, 40, size=K)}

    def log_density(params: Published, rows: np.ndarray) -> np.ndarray:
        each = zip(params["means"], params["scatters"], params["dof"], strict=True)
        return np.stack([np.atleast_1d(stats.multivariate_t(m, c, df=nu).logpdf(rows)) for m, c, nu in each])

    def estimate(rows: np.ndarray, resp: np.ndarray, at: Published | None = None) -> Published:
        """Peel & McLachlan 2000, eq. 20 to 30; and a step of the tail 1/ν, as cautious as the family says that it is."""
        factor, dof = np.ones_like(resp), np.full(len(resp), 10.0)
        if at is not None:
            means, scatters, nu = (at[name][-len(resp) :] for name in ("means", "scatters", "dof"))
            away = rows - means[:, None]
            square = np.einsum("kni,kij,knj->kn", away, np.linalg.inv(scatters), away)
            nu = nu[:, None]
            factor = (nu + d) / (nu + square)
            by_dof = special.digamma((nu + d) / 2) - special.digamma(nu / 2) - d / nu - np.log1p(square / nu)
            score = -(nu**2) / 2 * (by_dof + (nu + d) * square / (nu * (nu + square)))
            step = (resp * score).sum(1) / (3 * (resp * score**2).sum(1))
            tail = 1 / nu[:, 0]
            dof = 1 / np.clip(np.clip(tail + step, tail / 4, tail * 4), 1e-6, 1.0)
        means = np.einsum("kn,nd->kd", resp * factor, rows) / (resp * factor).sum(1)[:, None]
        away = rows - means[:, None]
        own = np.einsum("kn,kni,knj->kij", resp * factor, away, away) / resp.sum(1)[:, None, None]
        return {"means": means, "scatters": structured(code, own, resp.sum(1)), "dof": dof}

    # Of a column of these rows: the tails fall off like powers, and with x = sinh u like exponentials.
    places = np.arange(-14, 14, 0.01)
    return Case(
        name=f"t{code}-{d}",
        unbound=student(code, univariate=d == 1),
        x=x,
        random=random,
        log_density=log_density,
        estimate=estimate,
        moments=lambda params: (
            params["means"],
            params["scatters"] * (params["dof"] / (params["dof"] - 2))[:, None, None],
        ),
        rule=(x[:, 0].mean() + np.sinh(places), 0.01 * np.cosh(places)),
        fewer=(lambda: _student("V", 1)) if d > 1 else None,
        only_labels=False,
    )


CASES = [
    *(normal(code, 3) for code in STRUCTURES if len(code) == 3),
    *(normal(code, 2) for code in ("EVE", "VVE")),  # a plane has one angle, and axes of its own to find it
    normal("E", 1),
    normal("V", 1),
    _poisson(2),
    _categorical((3, 2)),
    _student("V", 1),
    _student("VVV", 2),
]
