"""From a fit and its data to draws: checks, starts, sampler, names of components. Imports layers 0 to 3 and the rest of the room.

Every chain begins at the EM solution, taken to the peak of the posterior near it and jittered by the Laplace approximation there; the last
one at the runner-up of the EM runs, in the same way. What that chain finds tells whether EM set aside something that matters.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import again, tabular
from .._compiler import quick_jit
from .._precision import precision, random_key
from ..models.mixture import Mixture, MixtureParams
from . import _programs, diagnostics, gibbs, laplace, priors, relabel
from .gaussian import SPHERICAL
from .model import family_of
from .posterior import Posterior


if TYPE_CHECKING:
    import pandas as pd

    from ..result import Fit

SAMPLERS = ("auto", "gibbs", "nuts", "laplace")
BYTES = 2**28  # what probabilities of all rows at all draws may fill; above it draws are thinned for them
SAME_PEAK = 0.01  # nats
NEGLIGIBLE = 1e-3  # share of the posterior below which a peak need not be among the draws
OTHER_MODELS = {"noise", "labels", "equal_weights", "fixed"}  # `Fit.terms` that the samplers do not know
BLOCK = 2**22  # numbers in a block of draws


@dataclasses.dataclass(frozen=True)
class Start:
    """Where the chains begin.

    Attributes:
        space: The model's coordinates.
        peaks: `Peak` of each chain, chain axis in front.
        noise: Standard normal jitter of each chain, shape (c, p); 0 at irregular peaks.
        origins: "EM" or "runner-up", one a chain.
        shares: Share of each chain's peak in the posterior, by Laplace's estimate.
    """

    space: laplace.Space
    peaks: laplace.Peak
    noise: np.ndarray
    origins: tuple[str, ...]
    shares: np.ndarray


def posterior(
    fit: Fit, data: Any, *, num_chains: Any, num_warmup: Any, num_samples: Any, sampler: str, prior: Any, seed: Any
) -> Posterior:
    """See `Fit.posterior`."""
    counts = tabular.count("num_warmup", num_warmup), tabular.count("num_samples", num_samples, diagnostics.FEWEST)
    num_chains = tabular.count("num_chains", num_chains)
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(map(repr, SAMPLERS))}, got {sampler!r}")
    rows = _checked_rows(fit, data)
    prior = priors.resolve(prior, fit, rows)
    sampler = prior.sampler if sampler == "auto" else sampler
    rng = np.random.default_rng(tabular.seed_words(seed))
    seconds: dict[str, float] = {}
    with precision(np.float64):
        start = _starts(fit, rows, prior, num_chains, rng)
        key = random_key(rng.integers(2**31))
        draws, stats, ratios = _SAMPLE[sampler](key, start, *counts, seconds)
        thin = max(1, int(np.ceil(draws["weights"].size * len(rows) * 4 / BYTES)))
        kept = {name: draws[name][:, ::thin] for name in fit.params.asdict()}
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), kept)
        told = jax.device_get(rows_under(prior, rows.T, flat))
        log_likelihood, probabilities = (a.reshape(*kept["weights"].shape[:2], *a.shape[1:]) for a in told)
    keep, notes = _which(start, log_likelihood.sum(-1), sampler)
    if keep.sum() == 1 and sampler != "laplace":
        notes.append(
            "One chain: R-hat compares its halves, and cannot tell whether others would go where it did not; draw four."
        )
    raw = Posterior(
        fit=fit,
        prior=prior,
        sampler=sampler,
        draws={name: a[keep] for name, a in draws.items()},
        sample_stats={name: a[keep] for name, a in stats.items()},
        log_likelihood=log_likelihood[keep],
        probabilities=probabilities[keep],
        thin=thin,
        responsibilities=fit.predict_proba(rows),
        starts=_start_table(start, keep),
        relabelled="",
        switched=0.0,
        non_permutations=0.0,
        log_ratios=ratios,
        standard_errors=_standard_errors(fit, data),
        seconds=seconds,
        notes=tuple(notes),
    )
    return relabelled(raw, "stephens" if thin == 1 else "pivot")


def _checked_rows(fit: Fit, data: Any) -> np.ndarray:
    """The rows of the fit, once it and they can be sampled from."""
    if not fit.converged:
        raise ValueError(
            f"the fit did not converge ({fit.status.message}): its params are no place to start from; fit again with more max_steps"
        )
    priors.check_family(fit.family, len(fit.columns))
    if other := sorted(set(fit.terms) & OTHER_MODELS):
        raise ValueError(
            f"the posterior is that of a free mixture of the rows alone, and this fit was made with {' and '.join(other)}; fit again "
            "without, or take jaxem.bayes.mixture_model and go on in NumPyro"
        )
    rows = fit.rows(data)
    missing = np.argwhere(np.isnan(rows))
    if len(missing):
        row, column = missing[0]
        raise ValueError(
            f"row {row + 1}, column {fit.columns[column]!r} is missing; the posterior needs complete rows: drop or fill it"
        )
    table = tabular.Table(rows, np.ones(len(rows)), fit.columns)
    again.check(fit, table, "give the same rows; a fit with weights has no posterior here")
    return rows


def _starts(fit: Fit, rows: np.ndarray, prior: Any, num_chains: int, rng: np.random.Generator) -> Start:
    """The peaks above the EM solution and its runner-up, and who begins where."""
    sets = [fit.params] if fit.runner_up is None or num_chains == 1 else [fit.params, fit.runner_up]
    values = [{"weights": jnp.asarray(params.weights), **prior.site_values(params.asdict())} for params in sets]
    space = laplace.Space(prior, jnp.asarray(rows), values[0])
    peaks = jax.device_get(laplace.peaks(space, jax.tree.map(lambda *arrays: jnp.stack(arrays), *values)))
    distinct = len(sets) == 2 and abs(peaks.log_density[0] - peaks.log_density[1]) > SAME_PEAK
    which = np.zeros(num_chains, int)
    which[-1] = int(distinct)
    mass = (peaks.log_mass if peaks.regular.all() else peaks.log_density)[: 1 + int(distinct)]
    shares = np.exp(mass - mass.max()) / np.exp(mass - mass.max()).sum()
    ours = jax.tree.map(lambda a: a[which], peaks)
    noise = rng.normal(size=ours.point.shape) * ours.regular[:, None]
    return Start(space, ours, noise, tuple(np.array(["EM", "runner-up"])[which].tolist()), shares[which])


def _gibbs(key: Any, start: Start, num_warmup: int, num_samples: int, seconds: dict[str, float]) -> Any:
    prior = start.space.prior
    points = start.peaks.point + np.einsum("cij,cj->ci", start.peaks.factor, start.noise)
    values = _values(start.space, points)
    params = MixtureParams(jnp.log(values["weights"]), prior.components(values))
    keys = jax.random.split(key, len(points))
    rows = start.space.x.T
    state = _programs.call(
        gibbs.chains, keys, prior, rows, params, seconds=seconds, num_warmup=num_warmup, num_samples=num_samples
    )
    draws = {"weights": np.exp(state.params.log_weights), **jax.device_get(prior.publish(state.params.components))}
    return draws | ({} if state.hyper is None else {"scale": state.hyper}), {}, None


def _nuts(key: Any, start: Start, num_warmup: int, num_samples: int, seconds: dict[str, float]) -> Any:
    from . import nuts

    keys = jax.random.split(key, len(start.noise))
    arguments = keys, start.space, start.peaks, jnp.asarray(start.noise)
    trace = _programs.call(nuts.chains, *arguments, seconds=seconds, num_warmup=num_warmup, num_samples=num_samples)
    stats = {"diverging": trace.diverging, "num_steps": trace.num_steps, "accept_prob": trace.accept_prob}
    return trace.sites, stats, None


def _laplace(key: Any, start: Start, num_warmup: int, num_samples: int, seconds: dict[str, float]) -> Any:
    peak = jax.tree.map(lambda a: a[0], start.peaks)
    if not peak.regular:
        raise RuntimeError(
            "the posterior has no regular peak near the fit, so that there is no Laplace approximation; use sampler='gibbs'"
        )
    chains = len(start.noise)
    values, ratios = _programs.call(laplace.samples, key, start.space, peak, seconds=seconds, num_samples=chains * num_samples)
    split = jax.tree.map(lambda a: a.reshape(chains, num_samples, *a.shape[1:]), values)
    return split, {}, ratios.reshape(chains, num_samples)


_SAMPLE = {"gibbs": _gibbs, "nuts": _nuts, "laplace": _laplace}


@quick_jit()
def _values(space: laplace.Space, points: Any) -> Any:
    return jax.vmap(space.values)(points)


@quick_jit()
def rows_under(prior: Any, x: Any, draws: dict[str, Any]) -> tuple[Any, Any]:
    """Log-likelihoods (s, n) of rows, features first, at draws (s, …), and probabilities (s, n, k) of their components."""
    family = family_of(prior)

    def at(draw):
        params = MixtureParams(jnp.log(draw["weights"]), prior.components(draw))
        joint = Mixture(family).log_joint(params, x)
        total = jax.nn.logsumexp(joint, axis=0)
        return total, jnp.exp(joint - total).T.astype(jnp.float32)

    block = max(1, BLOCK // (x.shape[0] * x.shape[1] * draws["weights"].shape[1]))
    return jax.lax.map(at, draws, batch_size=block)


def _which(start: Start, log_likelihood: np.ndarray, sampler: str) -> tuple[np.ndarray, list[str]]:
    """Which chains are among the draws, and why: all but one that stays at a peak of no mass."""
    chains = len(log_likelihood)
    keep = np.ones(chains, bool)
    if start.origins[-1] != "runner-up" or sampler == "laplace":
        return keep, []
    gap = start.peaks.log_posterior[0] - start.peaks.log_posterior[-1]
    others = log_likelihood[:-1]
    apart = abs(log_likelihood[-1].mean() - others.mean()) > 3 * max(others.std(), log_likelihood[-1].std())
    where = (
        f"Chain {chains} began at the runner-up optimum, whose log-posterior is {gap:.1f} below that of the others' optimum,"
    )
    if not apart:
        return keep, [f"{where} and joined them."]
    if start.shares[-1] < NEGLIGIBLE:
        keep[-1] = False
        return keep, [
            f"{where} and stayed: by Laplace's estimate it holds {start.shares[-1]:.1g} of the posterior. It was left out."
        ]
    return keep, [f"{where} and stayed: by Laplace's estimate it holds {start.shares[-1]:.1g} of the posterior."]


def _start_table(start: Start, keep: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    columns = {"start": start.origins, "log_posterior": start.peaks.log_posterior, "share": start.shares, "kept": keep}
    return pd.DataFrame(columns).rename_axis("chain")


def _standard_errors(fit: Fit, data: Any) -> Any:
    """Those of the fit, or None where its information matrix is singular."""
    try:
        return fit.standard_errors(data)
    except RuntimeError:
        return None


def relabelled(post: Posterior, method: str) -> Posterior:
    """A posterior with its components named by one of the methods, and as in the fit."""
    if method not in relabel.METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, relabel.METHODS))}, got {method!r}")
    if method != "pivot" and post.thin > 1:
        raise ValueError(
            f"method {method!r} needs the allocations of every draw, and only one in {post.thin} is kept; use 'pivot'"
        )
    chains, draws = post.draws["weights"].shape[:2]
    at_fit = {name: a[None, None] for name, a in post.fit.params.asdict().items()}
    points, target = _points(post.prior, post.draws), _points(post.prior, at_fit)[0]
    order = _order(post, method, points, target)
    named = {name for name in post.draws if name in post.fit.params.asdict()}
    renamed = {
        name: relabel.apply(order, a.reshape(-1, *a.shape[2:])).reshape(a.shape) if name in named else a
        for name, a in post.draws.items()
    }
    thinned = order.reshape(chains, draws, -1)[:, :: post.thin]
    return dataclasses.replace(
        post,
        draws=renamed,
        probabilities=np.take_along_axis(post.probabilities, thinned[:, :, None, :], axis=3),
        relabelled=method,
        switched=float((order != np.arange(order.shape[1])).any(1).mean()),
        non_permutations=relabel.non_permutation_share(points, target),
    )


def _order(post: Posterior, method: str, points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Permutations (s, k) of all draws."""
    if method == "pivot":
        return relabel.pivot(points, target)
    flat = post.probabilities.reshape(-1, *post.probabilities.shape[2:])
    if method == "stephens":
        return relabel.stephens(flat, post.responsibilities)
    return relabel.ecr(flat.argmax(-1), flat.shape[-1], post.responsibilities.argmax(-1))


def _points(prior: Any, draws: dict[str, np.ndarray]) -> np.ndarray:
    """Coordinates of what is a component's own at each draw, each parameter once, all near to normal, shape (s, k, q).

    What components share tells none from another, and k-means would part the draws by it.
    """
    if "rates" in draws:
        points = np.sqrt(draws["rates"])
    elif "probabilities" in draws:
        chance = draws["probabilities"]
        points = np.sqrt(chance.reshape(*chance.shape[:-2], -1))
    elif prior.pooled:
        points = draws["means"]
    else:
        own = draws["covariances"] if "covariances" in draws else draws["scatters"]
        variances = np.diagonal(own, axis1=-2, axis2=-1)[..., : 1 if prior.shape == SPHERICAL else None]
        points = np.concatenate([draws["means"], np.log(variances)], axis=-1)
    return points.reshape(-1, *points.shape[2:])
