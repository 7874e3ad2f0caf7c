"""A family of the user's own goes through the same doors: exponential components, in one class and without an import of ours."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxem
from jaxem import report
from jaxem.families import gaussian, resolve


REFERENCE = pathlib.Path(__file__).parent / "reference"


class Rate(NamedTuple):
    rate: object


class Sums(NamedTuple):
    count: object
    total: object


@jax.tree_util.register_static
class Exponential:
    """Waiting times, columns independent."""

    name = "exponential"
    standardise = False

    def check(self, x, columns):
        if (x <= 0).any():
            raise ValueError("waiting times must be positive")

    def bind(self, x, weight, scale, dtype):
        return self

    def with_residuals(self):
        return self

    def num_params(self, num_components, num_features):
        return num_components * num_features

    def reference(self, num_components, num_features, dtype):
        return Rate(np.ones((num_components, num_features), dtype))

    def log_prob(self, params, x):
        return jnp.sum(jnp.log(params.rate)[:, :, None] - params.rate[:, :, None] * x, axis=1)

    def expected_stats(self, params, x, resp):
        return Sums(jnp.sum(resp, 1), jnp.einsum("kn,dn->kd", resp, x))

    def m_step(self, params, stats):
        alive = (stats.count > 0)[:, None]
        return Rate(jnp.where(alive, stats.count[:, None] / jnp.where(alive, stats.total, 1.0), params.rate))

    def to_free(self, params):
        return Rate(jnp.log(params.rate))

    def from_free(self, free):
        return Rate(jnp.exp(free.rate))

    def complete(self, params, stats, at):
        return jnp.sum(jnp.log(params.rate) * stats.count[:, None] - params.rate * stats.total)

    def collapsed(self, params, stats, live):
        return jnp.asarray(False)

    def admissible(self, params, counts):
        return np.isfinite(params.rate).all((-1, -2))

    def distance(self, a, b):
        return np.abs(np.log(a.rate)[:, None] - np.log(b.rate)[None]).max(-1)

    def publish(self, params, centre, scale):
        return {"rates": np.asarray(params.rate, float)}

    def adopt(self, published, centre, scale):
        return Rate(np.asarray(published["rates"], float))

    def sample(self, key, params, labels):
        return (jax.random.exponential(key, (len(labels), params.rate.shape[1])) / params.rate[labels]).T


@pytest.fixture(scope="module")
def x():
    return pd.read_csv(REFERENCE / "data" / "family_exponential.csv")["x"]


@pytest.fixture(scope="module")
def fit(x):
    return jaxem.fit(x, Exponential(), 2, tol=1e-9)


def test_it_finds_the_direct_maximum(fit):
    """Direct maximisation by SciPy (provenance in reference/README.md)."""
    wanted = json.loads((REFERENCE / "direct_exponential.json").read_text())
    assert fit.log_likelihood == pytest.approx(wanted["loglik"], rel=0, abs=1e-6)
    got = sorted(zip(fit.params.rates[:, 0], fit.params.weights, strict=True))
    theirs = sorted((part["rate"], weight) for part, weight in zip(wanted["components"], wanted["pro"], strict=True))
    np.testing.assert_allclose(got, theirs, rtol=1e-4)


def test_it_is_selected_like_any_other(x):
    selection = jaxem.select(x, [Exponential(), "V"], range(1, 4), num_restarts=5)
    assert selection.best.family == "exponential"
    assert selection.best.num_params == 2 * selection.best.num_components - 1
    assert "2 families, K = 1..3" in str(selection)


def test_its_fit_predicts_and_samples(fit, x):
    rows = x.to_numpy()[:, None]
    density = (fit.params.weights * fit.params.rates[:, 0] * np.exp(-rows * fit.params.rates[:, 0])).sum(1)
    np.testing.assert_allclose(np.exp(fit.log_prob(x)), density, rtol=1e-9)
    assert fit.sample(1000, seed=0).mean() == pytest.approx(rows.mean(), rel=0.2)


def test_its_fit_is_saved_and_loaded(fit, x, tmp_path):
    """A file cannot hold the class, so whoever loads the fit brings it."""
    fit.save(tmp_path / "model.npz")
    again = jaxem.load(tmp_path / "model.npz", family=Exponential())
    np.testing.assert_array_equal(again.log_prob(x), fit.log_prob(x))
    with pytest.raises(ValueError, match="a fit of family 'exponential'; family must be the object of that name, got"):
        jaxem.load(tmp_path / "model.npz", family=Quartiles())
    with pytest.raises(TypeError, match="an object with the Family methods"):
        jaxem.load(tmp_path / "model.npz", family=Exponential)


def test_its_checks_are_heard(x):
    with pytest.raises(ValueError, match="waiting times must be positive"):
        jaxem.fit(x - 10, Exponential(), 2)


@jax.tree_util.register_static
class Quartiles(Exponential):
    """What it publishes need not go by column."""

    name = "quartiles"

    def publish(self, params, centre, scale):
        rates = np.asarray(params.rate, float)
        return {"rates": rates, "quartiles": np.log([4 / 3, 2, 4]) / rates}


def test_what_it_publishes_has_errors(x, fit):
    """By the delta method those of a quartile are those of the rate, times log 2 / rate²."""
    own = jaxem.fit(x, Quartiles(), 2, tol=1e-9)
    table = own.standard_errors(x).table.set_index(["parameter", "component", "columns"])["standard_error"]
    median = table["quartiles", 0, "1"]
    assert median == pytest.approx(table["rates", 0, "x"] * np.log(2) / own.params.rates[0, 0] ** 2, rel=1e-6)
    assert own.standard_errors(x, "bootstrap", num_replicates=20).table["standard_error"].notna().all()


@jax.tree_util.register_static
class Slowed(Exponential):
    """Two objects of this class are two families, each with a program of its own."""

    def __init__(self, factor):
        self.factor, self.name = factor, f"slowed-{factor}"

    def log_prob(self, params, x):
        return jnp.log(self.factor) * len(x) + super().log_prob(params, self.factor * x)


def test_two_of_one_class_are_two_families(x):
    selection = jaxem.select(x, [Slowed(0.5), Slowed(2.0)], 2, num_restarts=2, moves=False)
    assert [cell["family"] for cell in selection.cells] == ["slowed-0.5", "slowed-2.0"]


@jax.tree_util.register_static
class Coins(Exponential):
    """Zeros and ones, columns independent: latent classes. What it publishes is called neither means nor rates."""

    name = "coins"
    bounds = {"probabilities": (0, 1)}  # noqa: RUF012

    def check(self, x, columns):
        if not np.isin(x, (0, 1)).all():
            raise ValueError("coins fall on 0 or 1")

    def reference(self, num_components, num_features, dtype):
        return Rate(np.full((num_components, num_features), 0.5, dtype))

    def log_prob(self, params, x):
        return jnp.log(params.rate) @ x + jnp.log1p(-params.rate) @ (1 - x)

    def m_step(self, params, stats):
        alive = (stats.count > 0)[:, None]
        share = stats.total / jnp.where(alive, stats.count[:, None], 1.0)
        return Rate(jnp.where(alive, jnp.clip(share, 1e-9, 1 - 1e-9), params.rate))

    def to_free(self, params):
        return Rate(jnp.log(params.rate) - jnp.log1p(-params.rate))

    def from_free(self, free):
        return Rate(jax.nn.sigmoid(free.rate))

    def complete(self, params, stats, at):
        no = stats.count[:, None] - stats.total
        return jnp.sum(stats.total * jnp.log(params.rate) + no * jnp.log1p(-params.rate))

    def distance(self, a, b):
        return 2 * np.abs(np.arcsin(np.sqrt(a.rate))[:, None] - np.arcsin(np.sqrt(b.rate))[None]).max(-1)

    def publish(self, params, centre, scale):
        return {"probabilities": np.asarray(params.rate, float)}

    def adopt(self, published, centre, scale):
        return Rate(np.asarray(published["probabilities"], float))

    def sample(self, key, params, labels):
        return (jax.random.uniform(key, (len(labels), params.rate.shape[1])) < params.rate[labels]).T.astype(float)


@pytest.fixture(scope="module")
def tossed():
    """Four coins, all tossed by one of two hands; from one of these the first seldom shows 1."""
    rng = np.random.default_rng(0)
    chances = np.array([[0.04, 0.2, 0.2, 0.1], [0.7, 0.8, 0.9, 0.8]])
    return (rng.random((150, 4)) < chances[np.arange(150) % 3 // 2]).astype(float)


@pytest.fixture(scope="module")
def coins(tossed):
    return jaxem.select(tossed, Coins(), 2, num_restarts=4, moves=False)


def test_a_report_asks_for_the_family_itself(coins, tossed):
    """Its name means nothing to `select`."""
    call = report.call(coins)
    assert call.startswith("jaxem.select(data, [coins], range(2, 3), ")
    again = eval(call, {"jaxem": jaxem, "data": tossed, "coins": Coins()})
    pd.testing.assert_frame_equal(again.table, coins.table)
    assert "<code>coins</code> is your own family &#x27;coins&#x27;: the object itself" in report.page(coins)
    for name in ("slowed-0.5", "lambda", "data", "family_0"):
        named = dataclasses.replace(coins, cells=tuple(cell | {"family": name} for cell in coins.cells))
        assert "(data, [family_0], " in report.call(named)


def test_its_pictures_and_pages_need_no_means(coins, tossed, tmp_path):
    """Where it publishes neither means nor rates, the moments of its components are those of rows drawn from them."""
    from jaxem.spread import moments

    wanted = coins.best.params.probabilities
    means, variances = moments(coins.best)
    np.testing.assert_allclose(means, wanted, atol=0.02)
    np.testing.assert_allclose(variances, wanted * (1 - wanted), atol=0.02)
    assert coins.report(tmp_path / "page.html", tossed) is None
    for draw in (jaxem.plot.clusters, jaxem.plot.uncertainty):
        assert set(draw(coins.best, tossed, columns=None).get_legend().get_title().get_text())
    assert "spread" in jaxem.plot.profile(coins.best, coins.best.standard_errors(tossed)).get_legend().get_title().get_text()
    jaxem.plot.clusters(jaxem.fit(tossed[:, 1], Coins(), 1), tossed[:, 1])


def test_a_file_without_its_family_is_printed_and_no_more(coins, tossed):
    alone = jaxem.Fit.from_json(coins.best.to_json())
    assert "probabilities" in str(alone)
    for ask in (alone.predict, alone.standard_errors, lambda x: jaxem.plot.profile(alone)):
        with pytest.raises(ValueError, match=r"'coins' does not come with jaxem.*family=\.\.\."):
            ask(tossed)


def test_intervals_stay_inside_its_bounds(coins, tossed):
    found = coins.best.standard_errors(tossed)
    table = found.table[found.table["parameter"] == "probabilities"]
    assert (table["lower"] > 0).all()
    assert (table["upper"] < 1).all()
    assert (table["estimate"] - 1.96 * table["standard_error"] < 0).any()
    for low, high in ((-np.inf, 1.0), (0.0, np.inf), (-1.0, 2.0)):
        table = dataclasses.replace(found, bounds={"probabilities": (low, high)}).table
        table = table[table["parameter"] == "probabilities"]
        assert (table["lower"] > low).all()
        assert (table["upper"] < high).all()
        assert ((table["lower"] < table["estimate"]) & (table["estimate"] < table["upper"])).all()


def made(registered=jax.tree_util.register_static, **own):
    """A family that differs from `Exponential` in some of what it has, None for nothing."""
    kept = {name: part for name, part in vars(Exponential).items() if not name.startswith("__")} | {"name": "made"} | own
    return registered(type("Made", (), {name: part for name, part in kept.items() if part is not None}))


def publishing(name, form):
    return made(publish=lambda self, params, centre, scale: {name: form(np.asarray(params.rate, float))})


SPOILT = {
    r"a family is a name or an object": lambda: Exponential,
    r"family 'made' lacks standardise, collapsed\(\): jaxem\.protocol": lambda: made(standardise=None, collapsed=None)(),
    r"name of a family must be a string, got 3": lambda: made(name=3)(),
    r"JAX does not know the class Made of the family 'made': put @jax": lambda: made(lambda cls: cls)(),
    r"'made' has alone = 3\.0, .* must be a method: jaxem\.protocol\.Family says": lambda: made(alone=3.0)(),
    r"has full = array\(.* must be True or False: ": lambda: made(full=np.ones(2))(),
    r"has shareable = 'no', .* must be True or False: ": lambda: made(shareable="no")(),
    r"has standardise = 'no', .* must be True or False: ": lambda: made(standardise="no")(),
    r"has bounds = 1, .* must be a dict: ": lambda: made(bounds=1)(),
    r"something called residuals, and this name is kept for Gaussian": lambda: made(residuals=True)(),
    r"'vvv' is that of a family which comes with jaxem": lambda: made(name="vvv")(),
    r"publishes 'weights', which means something else": lambda: publishing("weights", np.copy)(),
    r"publishes 'take', which": lambda: publishing("take", np.copy)(),
    r"publishes 'covariances' and no 'means'": lambda: publishing("covariances", lambda rate: rate[:, :, None])(),
    r"publishes 'means' of shape \(2,\).*where \(k, d\)": lambda: publishing("means", lambda rate: rate[:, 0])(),
    r"publishes 'all' of shape \(\)": lambda: publishing("all", np.sum)(),
    r"bounds \(0, inf\) for 'rate'.*is 'rates'": lambda: made(bounds={"rate": (0, np.inf)})(),
    r"bounds \(1, 0\) for 'rates'": lambda: made(bounds={"rates": (1, 0)})(),
}


@pytest.mark.parametrize("said", SPOILT)
def test_what_it_lacks_is_said(said, x):
    """Before anything is compiled."""
    with pytest.raises((TypeError, ValueError), match=said):
        jaxem.fit(x, SPOILT[said](), 2)


def test_too_few_rows_for_it_are_said(x):
    """By what it says that it needs; a `structure` means nothing to anyone but itself."""
    spoilt = {"structure": "chain", "collapsed": lambda self, params, stats, live: jnp.asarray(True)}
    family = made(rows_needed=lambda self, num_features: 3, **spoilt)()
    with pytest.raises(RuntimeError, match="made with num_components 2 needs at least 6 rows of 1 columns, got 5"):
        jaxem.fit(x[:5], family, 2, num_restarts=2, moves=False)


def test_a_name_is_that_of_one_family(x):
    with pytest.raises(ValueError, match=r"two different families have the name 'exponential'.*give each its own"):
        jaxem.select(x, [Exponential(), Exponential()], 2)
    with pytest.raises(ValueError, match="two different families have the name 'V'"):
        jaxem.select(x, ["V", dataclasses.replace(gaussian("V", univariate=True), ridge=1.0)], 2)
    same = Exponential()
    assert [family.name for family in resolve([same, same, "V", "full", gaussian("V", univariate=True)], 1)] == [same.name, "V"]


def test_noise_is_refused(x):
    with pytest.raises(ValueError, match=r"'exponential' is a family of counts, or takes its columns unscaled"):
        jaxem.fit(x, Exponential(), 2, noise=True)
