"""The number of components: samplers against sums over all partitions, priors against SciPy, and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import math

import jax
import numpy as np
import pytest
from helpers import told
from scipy import stats
from scipy.special import gammaln

import jaxem
from jaxem.bayes import GaussianPrior, PoissonPrior, mixing, number, partitions
from jaxem.families.poisson import PoissonParams
from jaxem.models.mixture import MixtureParams


COUNTS = np.array([[0.0], [1.0], [7.0], [9.0]])
POISSON = PoissonPrior(np.array([1.5]), np.array([0.3]), None, None, np.float64(1.0))
NATURAL = GaussianPrior(np.array([0.5]), np.float64(0.4), None, np.float64(3.0), np.eye(1), None, None, np.float64(0.7), "V")
LENGTH = partitions.Length(num_chains=8, num_warmup=500, num_samples=5000, thin=10)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def partitions_of(n):
    """All partitions of n rows, as label vectors in order of first appearance."""
    for labels in itertools.product(range(n), repeat=n):
        if all(label <= max(labels[:i], default=-1) + 1 for i, label in enumerate(labels)):
            yield np.array(labels)


def poisson_evidence(y):
    """log ∫ ∏ Poisson(y | λ) Gamma(λ | 1.5, 0.3) dλ."""
    a, b = 1.5 + y.sum(), 0.3 + len(y)
    return 1.5 * np.log(0.3) - gammaln(1.5) + gammaln(a) - a * np.log(b) - gammaln(y + 1).sum()


def natural_evidence(y):
    """log ∫ ∏ N(y | μ, σ²) N(μ | 0.5, σ²/0.4) InvGamma(σ² | 1.5, 0.5) dμ dσ²: a Student t in n dimensions."""
    n = len(y)
    return stats.multivariate_t(np.full(n, 0.5), (0.5 / 1.5) * (np.eye(n) + 1 / 0.4), df=3).logpdf(y)


def joint(x, evidence, log_weight):
    """{(partition, …)}: log p(partition) + log p(rows | partition), for every partition."""
    for labels in partitions_of(len(x)):
        counts = np.bincount(labels)
        yield labels, log_weight(counts) + sum(evidence(x[labels == k, 0]) for k in range(len(counts)))


def finite(counts, size, gamma):
    """log p(partition | K) of Dirichlet weights: K!/(K − filled)! label assignments, each Dirichlet-multinomial."""
    if len(counts) > size:
        return -np.inf
    ways = gammaln(size + 1) - gammaln(size - len(counts) + 1)
    return (
        ways + gammaln(size * gamma) - gammaln(counts.sum() + size * gamma) + (gammaln(counts + gamma) - gammaln(gamma)).sum()
    )


def exact_k(x, evidence, log_prior, gamma):
    """p(K | x) by summing over all partitions."""
    sizes = np.arange(1, len(log_prior) + 1)
    terms = [[value for _, value in joint(x, evidence, lambda c, k=k: finite(c, k, gamma(k)))] for k in sizes]
    total = log_prior + np.logaddexp.reduce(np.array(terms), axis=1)
    return np.exp(total - np.logaddexp.reduce(total))


def agrees(draws, probability, wanted):
    """Whether a frequency is the wanted one, within four of its own standard errors (from the chains' disagreement)."""
    each = probability.mean(axis=1)
    error = each.std(axis=0, ddof=1) / math.sqrt(len(each))
    np.testing.assert_array_less(np.abs(each.mean(axis=0) - wanted), 4 * error + 0.004)


@pytest.mark.slow
def test_static_gaussians_match_the_sum_over_partitions():
    x = np.array([[-1.2], [0.1], [0.3], [4.0]])
    log_prior = mixing.log_prior_k("geometric", 4)
    finite_mixing = mixing.FiniteMixing(log_prior, mixing.Concentration(np.float64(0.7)))
    draws = partitions.sample("test", x, NATURAL, finite_mixing, 4, [1, 4], LENGTH, 0)
    wanted = exact_k(x, natural_evidence, log_prior, lambda k: 0.7)
    agrees(draws, draws.num_components[..., None] == np.arange(1, 5), wanted)
    np.testing.assert_allclose(draws.posterior_k, wanted, atol=0.01)


@pytest.mark.slow
def test_dynamic_poissons_match_the_sum_over_partitions():
    log_prior = mixing.log_prior_k(("bnb", 1, 4, 3), 4)
    finite_mixing = mixing.FiniteMixing(log_prior, mixing.Concentration(np.float64(1.3)), dynamic=True)
    draws = partitions.sample("test", COUNTS, POISSON, finite_mixing, 4, [1, 4], LENGTH, 0)
    wanted = exact_k(COUNTS, poisson_evidence, log_prior, lambda k: 1.3 / k)
    agrees(draws, draws.num_components[..., None] == np.arange(1, 5), wanted)
    assert draws.table.loc["num_components", "r_hat"] < 1.02


@pytest.mark.slow
def test_dirichlet_process_matches_the_sum_over_partitions():
    alpha = 0.8
    process = mixing.ProcessMixing(mixing.Concentration(np.float64(alpha)), 12)
    draws = partitions.sample("test", COUNTS, POISSON, process, 12, [1, 4], LENGTH, 0)
    chance = np.zeros((4, 4))
    filled, total = np.zeros(4), []
    for labels, value in joint(COUNTS, poisson_evidence, lambda c: len(c) * np.log(alpha) + gammaln(c).sum()):
        total.append(value)
        filled[labels.max()] += np.exp(value)
        chance += np.exp(value) * (labels[:, None] == labels)
    total = np.exp(np.logaddexp.reduce(total))
    agrees(draws, draws.num_filled[..., None] == np.arange(1, 5), filled / total)
    np.testing.assert_allclose(draws.coclustering(), chance / total, atol=0.03)


def test_concentration_is_drawn_from_its_conditional():
    """A random walk in log γ, against the conditional on a grid."""
    prior = mixing.Concentration(np.float64(6.0), np.float64(3.0), "f")
    model = mixing.FiniteMixing(np.zeros(5), prior, dynamic=True)
    counts = np.array([7.0, 3.0, 2.0, 0.0, 0.0])

    def step(gamma, key):
        gamma = mixing.draw_concentration(key, model, counts, 4.0, gamma)
        return gamma, gamma

    draws = np.asarray(jax.lax.scan(step, 1.0, jax.random.split(jax.random.key(0), 40_000))[1])
    grid = np.exp(np.linspace(-7, 7, 4001))
    log_target = stats.f(6, 3).logpdf(grid) + np.log(grid)
    log_target += [finite(counts[:3], 4, value / 4) for value in grid]
    weight = np.exp(log_target - log_target.max())
    mean = (weight * np.log(grid)).sum() / weight.sum()
    assert np.log(draws).mean() == pytest.approx(mean, abs=0.04)


@pytest.mark.parametrize("kind", ["gamma", "f"])
def test_concentration_prior_is_scipys(kind):
    prior = mixing.Concentration(np.float64(6.0), np.float64(3.0), kind)
    scipy = {"gamma": stats.gamma(6, scale=1 / 3), "f": stats.f(6, 3)}[kind]
    values = np.array([0.2, 1.0, 4.0])
    got, wanted = np.asarray(prior.log_prob(values)), scipy.logpdf(values)
    np.testing.assert_allclose(got - got[0], wanted - wanted[0])
    draws = jax.vmap(prior.sample)(jax.random.split(jax.random.key(1), 2000))
    assert stats.kstest(np.asarray(draws), scipy.cdf).pvalue > 1e-3


def test_priors_of_k_are_scipys():
    more = np.arange(30)
    wanted = {
        "uniform": np.ones(30),
        "geometric": stats.geom(0.1).pmf(more + 1),
        ("poisson", 2.0): stats.poisson(2.0).pmf(more),
        "bnb": stats.betanbinom(1, 4, 3).pmf(more),
    }
    for name, pmf in wanted.items():
        np.testing.assert_allclose(np.exp(mixing.log_prior_k(name, 30)), pmf / pmf.sum(), rtol=1e-5)
    np.testing.assert_allclose(np.exp(mixing.log_prior_k([0.25, 0.75], 3)), [0.25, 0.75, 0.0])


def test_process_weights_are_a_partition_of_one():
    process = mixing.ProcessMixing(mixing.Concentration(np.float64(2.0)), 6)
    for filled in (0, 3, 6):
        counts = np.where(np.arange(6) < filled, 5.0, 0.0)
        weights = np.exp(process.draw_weights(jax.random.key(filled), counts, 6.0, 2.0))
        assert weights.sum() == pytest.approx(1.0)
        assert (weights > 0).all()


def poissons(counts, **options):
    """Up to four Poisson components compared, all in the same programs."""
    length = {"num_chains": 4, "num_warmup": 500, "num_samples": 2000}
    return jaxem.bayes.compare_k(counts, range(1, 5), **{"family": "poisson", **length, **options})


@pytest.fixture(scope="module")
def by_k():
    return poissons(jaxem.datasets.load("earthquakes")["count"])


def test_compare_k_puts_everything_in_one_table(by_k):
    table = by_k.table.set_index("num_components")
    assert list(table.index) == [1, 2, 3, 4]
    np.testing.assert_allclose(table["posterior"], by_k.posterior_k)
    assert by_k.posterior_k.sum() == pytest.approx(1.0)
    assert by_k.posterior_filled.sum() == pytest.approx(1.0)
    assert by_k.best == by_k.posterior_k.argmax() + 1
    fits = jaxem.select(jaxem.datasets.load("earthquakes")["count"], "poisson", range(1, 5))
    np.testing.assert_allclose(table["bic"], [fits["poisson", k].bic for k in range(1, 5)])
    # One Poisson has one parameter: the prior is all but flat, so LOO is near AIC but for overdispersion, which it pays for.
    assert table.loc[1, "loo"] == pytest.approx(table.loc[1, "aic"], abs=8)
    assert (np.abs(table["loo"] - table["waic"]) < 3).all()
    assert (table.loc[[2, 3, 4], "loo"] < table.loc[1, "loo"] - 30).all()


def test_spurious_fits_have_no_criteria():
    """14 rows are too few for three full covariances."""
    found = jaxem.select(np.random.default_rng(5).normal(size=(14, 2)), "VVV", [1, 3])
    assert found["VVV", 3].spurious
    assert np.isnan(list(number._em_row(found, 3).values())).all()
    assert number._em_row(found, 1)["bic"] == found["VVV", 1].bic


def test_missing_criteria_are_told(by_k, monkeypatch):
    counts = jaxem.datasets.load("earthquakes")["count"]
    found = jaxem.select(counts, "poisson", range(1, 5))
    spikes = {key: dataclasses.replace(fit, spurious=key[1] > 2) for key, fit in found.fits.items()}
    monkeypatch.setattr(number.selection, "select", lambda *args, **options: dataclasses.replace(found, fits=spikes))
    doubted = poissons(counts)
    assert "EM has no sound fit for K = 3, 4: every run failed, or ended with" in doubted.warnings[-1]
    assert doubted.table["bic"].isna().tolist() == [False, False, True, True]
    assert "unknown" in told(doubted)
    assert not any("no sound fit" in sentence for sentence in by_k.warnings)


def test_warnings_lead_the_report(by_k):
    assert any("the largest that was allowed" in sentence for sentence in by_k.warnings)
    assert by_k.report().splitlines()[1].startswith("WARNING: ")


def test_print_shows_the_probability_of_every_k(by_k):
    said = told(by_k)
    lines = {line.split()[0].rstrip("*"): line for line in said.splitlines() if line.strip()}
    for k, share in enumerate(by_k.posterior_k, 1):
        assert str(k) in lines or share < 0.001
        assert f" {share:.4f} " in lines.get(str(k), f" {share:.4f} ")
    assert f"{by_k.best}*" in said.split()
    assert all(sentence in " ".join(said.split()) for sentence in by_k.warnings)
    assert all(f" {share:.4f} " in told(by_k.posterior) for share in by_k.posterior_filled if share >= 0.001)


def test_what_is_rare_is_told_of_together(by_k):
    rare = np.r_[by_k.posterior_k, np.zeros(96)]
    posterior = dataclasses.replace(by_k.posterior, posterior_k=rare)
    assert "5..100: below 0.001 each" in told(posterior)


def test_a_bound_on_k_is_no_posterior(by_k):
    bound = np.full_like(by_k.posterior.num_components, 4)
    process = dataclasses.replace(by_k.posterior, num_components=bound, posterior_k=np.array([0.0, 0.0, 0.0, 1.0]))
    assert "p(K)" not in told(process)
    assert "p(filled)" in told(process)


def test_posterior_of_partitions(by_k):
    counts = jaxem.datasets.load("earthquakes")["count"].to_numpy()
    partition = by_k.posterior.partition()
    assert partition.shape == counts.shape
    assert (np.diff(np.bincount(partition)) <= 0).all()
    together = by_k.posterior.coclustering()
    np.testing.assert_allclose(np.diag(together), 1.0)
    grid = np.arange(0.0, 100.0)
    assert np.exp(by_k.posterior.log_prob(grid)).sum() == pytest.approx(1.0, abs=1e-3)
    assert by_k.posterior.to_arviz()["posterior"]["num_components"].shape == (4, 2000)


@pytest.fixture(scope="module")
def drawn():
    """A posterior of two chains with 60 kept sweeps each, made up."""
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((2, 60, 40)) < 0.2, rng.integers(5, size=(2, 60, 40)), np.arange(40) % 3).astype(np.int32)
    params = MixtureParams(np.log(rng.dirichlet(np.ones(5), (2, 60))), PoissonParams(rng.gamma(3.0, 2.0, (2, 60, 5, 1))))
    numbers = [np.full((2, 60), 3)] * 3 + [np.zeros((2, 60)), np.ones(3) / 3]
    return partitions.PartitionPosterior("test", *numbers, params, labels, POISSON, 0.0)


def test_new_rows_have_the_mean_density_of_the_kept_mixtures(drawn, monkeypatch):
    """A few rows at a time under a few mixtures: on the way to (c, t, n) numbers there is no room for those of all components."""
    x = np.random.default_rng(1).poisson(6.0, (45, 1)).astype(float)
    each = stats.poisson(drawn.params.components.rate[..., 0]).pmf(x[:, :, None, None])
    wanted = np.log((np.exp(drawn.params.log_weights) * each).sum(-1).mean((1, 2)))
    monkeypatch.setattr(partitions, "ROWS", 32)
    np.testing.assert_allclose(drawn.log_prob(x), wanted, rtol=1e-12)
    many = jax.tree.map(lambda leaf: np.repeat(leaf, 50, axis=1), drawn.params)
    program = partitions.rows_under.lower(POISSON, np.zeros((1, 512)), many).compile()
    assert program.memory_analysis().temp_size_in_bytes < 8 * 512 * many.log_weights.size / 2


def test_summaries_of_partitions_are_those_of_all_pairs(drawn, monkeypatch):
    monkeypatch.setattr(partitions, "MEMBERS", 2000)  # ten partitions at a time, and all rows; else one would do here
    flat = drawn.labels.reshape(-1, 40)
    same = flat[:, :, None] == flat[:, None]
    together = same.mean(axis=0)
    np.testing.assert_allclose(drawn.coclustering(), together, rtol=1e-15)
    best = flat[(same * (1 - 2 * together)).sum((1, 2)).argmin()]
    ours = drawn.partition()
    np.testing.assert_array_equal(ours[:, None] == ours, best[:, None] == best)
    assert (np.diff(np.bincount(ours)) <= 0).all()


BAD = {
    "method": ({"method": "bridge"}, ValueError, "method must be one of 'telescoping', 'loo', got 'bridge'"),
    "no K": ({"num_components": []}, ValueError, "num_components must hold at least one number"),
    "one K of 0": ({"num_components": 0}, ValueError, "num_components must be at least 1, got 0"),
    "K in words": ({"num_components": "3"}, TypeError, "num_components must be a whole number, got '3'"),
    "K of 0": ({"num_components": [0, 1]}, ValueError, "num_components must be at least 1, got 0"),
    "prior on K": ({"prior_on_k": "flat"}, ValueError, "prior_on_k must be one of 'uniform', 'bnb'"),
    "parameters": ({"prior_on_k": ("bnb", 1, 4)}, ValueError, "prior_on_k 'bnb' has 3 parameters, got 2"),
    "impossible": ({"prior_on_k": ("geometric", 1.5)}, ValueError, "must be positive and below 1"),
    "probabilities": ({"prior_on_k": [0.5, 0.4]}, ValueError, "must sum to 1"),
    "one K elsewhere": ({"num_components": 3, "prior_on_k": [0.5, 0.5]}, ValueError, "gives no probability to any"),
    "elsewhere": ({"num_components": [3], "prior_on_k": [0.5, 0.5]}, ValueError, "gives no probability to any"),
    "prior of K": ({"prior": "fraley-raftery"}, ValueError, "a prior that depends on K cannot be used"),
    "no prior": ({"prior": 3}, TypeError, "prior must be a name or a prior made by jaxem.bayes, got int"),
    "few sweeps": ({"num_samples": 10}, ValueError, "num_samples must be at least 50"),
    "missing cells": ({"data": [1.0, np.nan]}, ValueError, "row 2, column 'x1' is missing"),
}


@pytest.mark.parametrize(("options", "error", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(options, error, sentence):
    with pytest.raises(error, match=sentence):
        number.compare_k(**{"data": [1.0, 2.0, 3.0], "num_components": [1, 2]} | options)


@pytest.mark.parametrize("name", ["sparse_mixture", "dirichlet_process"])
@pytest.mark.parametrize("concentration", [(1.0,), (0.0, 1.0), "weak"])
def test_concentration_is_a_gamma(name, concentration):
    with pytest.raises(ValueError, match="concentration must be"):
        getattr(jaxem.bayes.hierarchical, name)([1.0, 2.0, 3.0], concentration=concentration)
