"""Hierarchical models: their densities against enumeration and SciPy, their answers against the truth, and what they refuse."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math

import jax
import numpy as np
import pandas as pd
import pytest
from helpers import jit, sites, told
from scipy import stats

import jaxem
from jaxem.bayes import diagnostics, hierarchical
from jaxem.bayes.hierarchical import classes, components
from jaxem.bayes.hierarchical.sampling import Options


SHORT = {"num_warmup": 300, "num_samples": 500}


@pytest.fixture(scope="module", autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def schools():
    """Two components four standard deviations apart, whose shares differ from school to school."""
    rng = np.random.default_rng(3)
    school = np.repeat(["a", "b", "c"], 60)
    able = rng.random(180) < np.repeat([0.2, 0.5, 0.8], 60)
    return pd.DataFrame({"score": 100 + 10 * (np.where(able, 4.0, 0.0) + rng.normal(size=180)), "school": school})


@pytest.fixture(scope="module")
def posterior(schools):
    return hierarchical.grouped_mixture(schools, "school", **SHORT)


# Densities ------------------------------------------------------------------------------------------------------------------


def test_order_statistics_have_k_factorial_times_the_density(rng):
    base = components.dist.Normal(1.0, 2.0)
    ascending = components.Ascending(base, 4)
    draw = ascending.sample(jax.random.key(0), (3,))
    assert (np.diff(draw, axis=-1) > 0).all()
    wanted = stats.norm(1.0, 2.0).logpdf(draw).sum(-1) + math.log(24)
    np.testing.assert_allclose(ascending.log_prob(draw), wanted)


def test_gaussians_match_scipy(rng):
    means, factors = rng.normal(size=(3, 2)), np.tril(rng.normal(size=(3, 2, 2)), -1) + np.diag([0.5, 2.0])
    x = rng.normal(size=(5, 2))
    got = components.gaussian_log_prob(x[:, None] - means, factors)
    pairs = zip(means, factors, strict=True)
    wanted = [stats.multivariate_normal(mean, factor @ factor.T).logpdf(x) for mean, factor in pairs]
    np.testing.assert_allclose(got, np.transpose(wanted))


@pytest.mark.parametrize("vary", [False, True])
def test_grouped_density_matches_scipy(rng, vary):
    model = hierarchical.GroupedMixture(num_components=2, num_groups=3, vary_means=vary)
    x, group = rng.normal(size=(9, 1)), np.repeat([0, 1, 2], 3)
    means, weights = rng.normal(size=(3, 2, 1)), rng.dirichlet([1, 1], 3)
    values = {"means": means[0], "group_means": means, "factors": np.array([[[0.5]], [[2.0]]]), "group_weights": weights}
    centres = means[group, :, 0] if vary else means[[0] * 9, :, 0]
    wanted = np.log((weights[group] * stats.norm(centres, [0.5, 2.0]).pdf(x)).sum(1))
    np.testing.assert_allclose(model.log_likelihood(values, x, group), wanted)


@pytest.mark.parametrize("random", [(), (0,), (0, 1)])
def test_random_effects_are_integrated_out(rng, random):
    """The density from four sums of each subject's rows is that of a Gaussian with the covariance written out."""
    subject, q = np.array([0, 0, 0, 1, 1, 1, 1]), len(random)
    design, y = np.c_[np.ones(7), rng.normal(size=7)], rng.normal(size=7)
    factors = np.tril(rng.normal(size=(2, q, q)))
    values = {"weights": np.array([0.3, 0.7]), "coefficients": rng.normal(size=(2, 2)), "residual_sd": np.array([0.4, 0.9])}
    model = hierarchical.LinearClasses(random=random)
    sums = hierarchical.SubjectSums.of(design, y, subject, 2)
    got = model.log_joint(values | {"random_factors": factors}, sums)
    for s, k in itertools.product(range(2), range(2)):
        x, z = design[subject == s], design[subject == s][:, random]
        covariance = z @ factors[k] @ factors[k].T @ z.T + values["residual_sd"][k] ** 2 * np.eye(len(x))
        density = stats.multivariate_normal(x @ values["coefficients"][k], covariance).logpdf(y[subject == s])
        assert got[s, k] == pytest.approx(density + math.log(values["weights"][k]))


@pytest.mark.parametrize(("subject", "several"), [(np.arange(41), False), (np.r_[np.arange(40), 7], True)])
def test_intercepts_are_random_where_a_subject_has_two_rows(rng, monkeypatch, subject, several):
    """With one row a subject, only the sum of both variances is known."""
    monkeypatch.setattr(classes, "sample", lambda task, options: task)
    x = rng.normal(size=41)
    task = hierarchical.regression_mixture(x, np.where(subject < 20, x, 5 - x) + rng.normal(size=41), subject)
    assert all(("random_sd" in start) == several for start in task.starts)
    draws = {"weights": np.full((4, 9, 2), 0.5), "coefficients": np.zeros((4, 9, 2, 2)), "residual_sd": np.ones((4, 9, 2))}
    draws |= {"random_factors": np.ones((4, 9, 2, 1, 1))} if several else {}
    assert set(task.publish(draws)) == {"weights", "coefficients", "residual_sd", *(["random_sd"] if several else [])}
    assert ("random_sd" in sites(task.model, *task.args)) == several


def test_hidden_states_are_summed_out(rng):
    """Two series of 4 and 3 steps, against the sum over all 2^7 paths."""
    begins = np.array([True, False, False, False, True, False, False])
    x, steps = rng.normal(size=(7, 1)), np.arange(7)
    values = {
        "means": np.array([[-0.5], [0.8]]),
        "factors": np.array([[[0.7]], [[1.2]]]),
        "transitions": rng.dirichlet([1, 1], 2),
        "initial": np.array([0.2, 0.8]),
    }
    density = stats.norm([-0.5, 0.8], [0.7, 1.2]).pdf(x)
    total, states = 0.0, np.zeros((7, 2))
    for path in itertools.product(range(2), repeat=7):
        moves = [values["initial"][b] if begins[t] else values["transitions"][path[t - 1], b] for t, b in enumerate(path)]
        joint = np.prod(moves) * np.prod(density[steps, path])
        total += joint
        states[steps, path] += joint
    model = hierarchical.HiddenMarkov()
    assert np.sum(jit(model.log_likelihood)(values, x, begins)) == pytest.approx(math.log(total))
    np.testing.assert_allclose(jit(model.memberships)(values, x, begins), states / total)


@pytest.mark.parametrize("degree", [1, 3])
def test_coefficients_go_into_the_datas_units(rng, degree):
    """A curve is the same curve in either units."""
    t = rng.uniform(2000, 2010, size=20)
    units, response = components.Standard.of(t[:, None], ("t",)), components.Standard(np.array([7.0]), np.array([3.0]))
    m, h = units.centre[0], units.scale[0]
    into = [[math.comb(j, i) * (-m) ** max(j - i, 0) / h**j for j in range(degree + 1)] for i in range(degree + 1)]
    standard = rng.normal(size=(1, 1, 2, degree + 1))
    draws = {"weights": 0, "coefficients": standard, "residual_sd": np.ones(1), "random_factors": np.ones((1, 1, 2, 1, 1))}
    published = classes._publish(draws, np.array(into), response)["coefficients"]
    powers = np.arange(degree + 1)
    curve = 7 + 3 * units.into(t[:, None]) ** powers @ standard[0, 0].T
    np.testing.assert_allclose(t[:, None] ** powers @ published[0, 0].T, curve, rtol=1e-4)


# Answers --------------------------------------------------------------------------------------------------------------------


def test_grouped_mixture_finds_the_truth(posterior):
    assert posterior.num_divergences == 0
    assert posterior.rhat < 1.03
    table = posterior.table
    truth = {"means[0, 0]": 100, "means[1, 0]": 140, "covariances[0, 0, 0]": 100, "covariances[1, 0, 0]": 100}
    truth |= {"group_weights[0, 1]": 0.2, "group_weights[1, 1]": 0.5, "group_weights[2, 1]": 0.8}
    for name, value in truth.items():
        assert abs(table.loc[name, "mean"] - value) < 3.5 * table.loc[name, "sd"], name


def test_posterior_speaks_the_datas_units(posterior, schools):
    """The log-likelihood of the mean parameters is near the mean log-likelihood, and below none of them by much."""
    weights = posterior.samples["group_weights"].mean((0, 1))[schools["school"].map({"a": 0, "b": 1, "c": 2})]
    means, sd = posterior.samples["means"].mean((0, 1))[:, 0], posterior.samples["covariances"].mean((0, 1))[:, 0, 0] ** 0.5
    here = np.log((weights * stats.norm(means, sd).pdf(schools[["score"]].to_numpy())).sum(1)).sum()
    there = posterior.log_likelihood.sum(-1)
    assert there.mean() < here < there.max() + 3


def test_memberships_are_probabilities(posterior, schools):
    np.testing.assert_allclose(posterior.memberships.sum(1), 1.0)
    high = schools["score"].to_numpy() > 130
    assert (posterior.predict()[high] == 1).mean() > 0.95


def test_result_goes_to_arviz_and_loo(posterior):
    box = posterior.to_arviz()
    assert box["posterior"]["group_weights"].dims == ("chain", "draw", "group", "component")
    assert list(box["posterior"]["group"].values) == ["a", "b", "c"]
    assert posterior.loo()["p"] == pytest.approx(7, abs=3)  # two means, two variances, three shares that are pooled


def test_intervals_are_as_wide_as_those_of_a_plain_posterior(posterior):
    """95 % where nothing is asked, as in `Posterior`, `diagnostics` and the comparison with EM."""
    mean = posterior.samples["means"][..., 0, 0]
    for table in (posterior.table, posterior.summary(), diagnostics.summary(posterior.samples)):
        np.testing.assert_allclose(table.loc["means[0, 0]", ["low", "high"]], np.quantile(mean, [0.025, 0.975]))
    narrow = posterior.summary(0.5).loc["means[0, 0]", ["low", "high"]]
    np.testing.assert_allclose(narrow, np.quantile(mean, [0.25, 0.75]))
    asked = (jaxem.bayes.Posterior.summary, jaxem.bayes.Posterior.label_free, type(posterior).summary, diagnostics.summary)
    assert {inspect.signature(ask).parameters["prob"].default for ask in asked} == {0.95}


def test_trouble_comes_first(posterior, recwarn):
    diverged = np.zeros((4, 500), bool)
    diverged[0, :2] = True
    bad = dataclasses.replace(posterior, sample_stats={"diverging": diverged})
    assert "WARNING: 2 transitions diverged" in bad.report().splitlines()[1]
    assert "divergences=2" in repr(bad)
    assert told(bad).splitlines()[1].strip().startswith("2 transitions diverged")
    assert all(name in told(bad) for name in bad.table.index)
    bad.summary()
    assert str(recwarn[0].message).startswith("2 transitions diverged")


def test_same_seed_same_draws(posterior, schools):
    again = hierarchical.grouped_mixture(schools["score"], schools["school"].to_numpy(), **SHORT)
    np.testing.assert_array_equal(again.samples["means"], posterior.samples["means"])


@pytest.mark.slow
def test_growth_mixture_finds_the_truth(rng):
    who, t = np.repeat(np.arange(60), 5), np.tile(np.arange(5.0), 60)
    late = np.arange(60) < 20
    level, slope = np.where(late, 30.0, 10.0) + rng.normal(size=60), np.where(late, -2.0, 1.0) + 0.3 * rng.normal(size=60)
    frame = pd.DataFrame({"y": level[who] + slope[who] * t + 0.5 * rng.normal(size=300), "t": t, "who": who})
    posterior = hierarchical.growth_mixture(frame, "t", "who", **SHORT)
    assert posterior.num_divergences == 0
    table, order = posterior.table, [0, 1] if posterior.samples["coefficients"][..., 0, 0].mean() < 20 else [1, 0]
    for k, (a, b, w) in zip(order, [(10, 1, 2 / 3), (30, -2, 1 / 3)], strict=True):
        truth = {f"coefficients[{k}, 0]": a, f"coefficients[{k}, 1]": b, f"weights[{k}]": w, "residual_sd": 0.5}
        truth |= {f"random_covariance[{k}, 0, 0]": 1.0, f"random_covariance[{k}, 1, 1]": 0.09}
        for name, value in truth.items():
            assert abs(table.loc[name, "mean"] - value) < 3.5 * table.loc[name, "sd"], name
    assert posterior.predict().tolist() == np.where(late, order[1], order[0]).tolist()


@pytest.mark.slow
def test_hidden_markov_finds_the_truth(rng):
    states, stay = [0], [0.95, 0.9]
    for _ in range(149):
        states.append(states[-1] if rng.random() < stay[states[-1]] else 1 - states[-1])
    posterior = hierarchical.hidden_markov(np.where(states, 5.0, 0.0) + rng.normal(size=150), **SHORT)
    assert posterior.num_divergences == 0
    table = posterior.table
    for name, value in {"means[0, 0]": 0, "means[1, 0]": 5, "transitions[0, 0]": 0.95, "transitions[1, 1]": 0.9}.items():
        assert abs(table.loc[name, "mean"] - value) < 3.5 * table.loc[name, "sd"], name
    assert (posterior.predict() == states).mean() > 0.97
    with pytest.raises(ValueError, match="leaving out one step of a series"):
        posterior.loo()


@pytest.mark.slow
def test_richardson_green_finds_the_truth(rng):
    x = 1000 + 50 * np.r_[rng.normal(0, 1, 80), rng.normal(6, 1, 40)]
    posterior = hierarchical.richardson_green(x, **SHORT)
    assert posterior.num_divergences == 0
    table = posterior.table
    for name, value in {"means[0, 0]": 1000, "means[1, 0]": 1300, "covariances[0, 0, 0]": 2500, "weights[0]": 2 / 3}.items():
        assert abs(table.loc[name, "mean"] - value) < 3.5 * table.loc[name, "sd"], name


# Refusals -------------------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"y": [1.0, 2.0, 3.0, 5.0], "t": [0.0, 1.0, 2.0, 4.0], "g": ["a", "a", "b", "b"], "one": ["a"] * 4})
NUMBERS = FRAME[["y", "t"]]
BAD = {
    "group is no column": (hierarchical.grouped_mixture, (FRAME, "school"), "group='school' is no column of the data"),
    "name without a frame": (hierarchical.grouped_mixture, ([1.0, 2.0], "g"), "names a column, but data is no data frame"),
    "one group": (
        hierarchical.grouped_mixture,
        (FRAME[["y", "one"]], "one"),
        "group must have at least 2 levels, got 1 .a.: there",
    ),
    "group too short": (hierarchical.grouped_mixture, (NUMBERS, [0, 1]), "one value for each of the 4 rows, got shape"),
    "group is missing": (hierarchical.grouped_mixture, (NUMBERS, [0, 1, np.nan, 1]), "group is missing in row 3"),
    "no such variation": (lambda *a: hierarchical.grouped_mixture(*a, vary="sd"), (FRAME, "g"), 'vary must be "weights" or'),
    "cell is missing": (hierarchical.grouped_mixture, ([1.0, np.nan, 2.0], [0, 1, 1]), "row 2, column 'x1' is missing"),
    "one row a subject": (hierarchical.growth_mixture, (NUMBERS, "t", [0, 1, 2, 3]), "each of the 4 subjects has one row"),
    "one component": (hierarchical.grouped_mixture, (FRAME, "g", 1), "num_components must be at least 2, got 1"),
    "constant": (hierarchical.grouped_mixture, ([1.0, 1.0, 1.0], [0, 1, 1]), "column 'x1' is constant"),
    "too few subjects": (
        hierarchical.regression_mixture,
        (NUMBERS, "y", FRAME["g"], 3),
        "subject must have at least 3 levels, got 2 \\(a, b\\): every component needs a subject; give fewer components",
    ),
    "response is missing": (
        hierarchical.regression_mixture,
        ([1.0, 2.0], [1.0, np.nan], [0, 1]),
        "response is missing or infinite in row 2",
    ),
    "two responses": (hierarchical.growth_mixture, (NUMBERS, [0, 1, 2, 3], FRAME["g"]), "one column besides time and subject"),
    "several columns": (hierarchical.richardson_green, (NUMBERS,), "takes one column, got \\['y', 't'\\]; for several use"),
    "series interrupted": (
        lambda x: hierarchical.hidden_markov(x, series="g"),
        (FRAME[["y", "g"]].iloc[[0, 2, 1, 3]],),
        "is interrupted",
    ),
    "few draws": (lambda x: hierarchical.hidden_markov(x, num_samples=10), ([1.0, 2.0],), "num_samples must be at least 50"),
    "one chain": (lambda x: hierarchical.hidden_markov(x, num_chains=1), ([1.0, 2.0],), "num_chains must be at least 2"),
    "impossible rate": (lambda x: hierarchical.hidden_markov(x, target_accept=1.0), ([1.0, 2.0],), "target_accept must lie in"),
}


@pytest.mark.parametrize(("call", "args", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(call, args, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(*args)


def test_every_seed_of_fit_is_one_here():
    """Of any size, and as a key; none that `fit` takes gives the draws of another."""
    seeds = [0, 7, 2**33 + 7, 2**70, 2**70 + 1, jax.random.key(7), jax.random.key(42), jax.random.key_data(jax.random.key(3))]
    keys = {tuple(np.asarray(jax.random.key_data(Options.checked(2, 50, 50, 0.9, seed).key())).tolist()) for seed in seeds}
    assert len(keys) == len(seeds)
    for seed, error in ((-1, ValueError), (True, TypeError), (0.5, TypeError), ("7", TypeError), (None, TypeError)):
        with pytest.raises(error, match="seed must"):
            hierarchical.hidden_markov([1.0, 2.0, 3.0], seed=seed)


@pytest.mark.parametrize("name", ["regression_mixture", "growth_mixture"])
def test_em_has_the_whole_seed(rng, monkeypatch, name):
    """The first word of every key made from a small number is 0."""
    seeds, fit = [], classes.fitting.fit
    monkeypatch.setattr(classes, "sample", lambda task, options: task)
    monkeypatch.setattr(classes.fitting, "fit", lambda *args, seed: seeds.append(seed) or fit(*args, seed=seed))
    x, who = rng.normal(size=40), np.repeat(np.arange(10), 4)
    for seed in (given := [jax.random.key(7), jax.random.key(42), 2**70]):
        getattr(hierarchical, name)(x + rng.normal(size=40), x, who, seed=seed)
    assert seeds == given


STARTED = {
    hierarchical.grouped_mixture: (FRAME[["y", "g"]], "g"),
    hierarchical.regression_mixture: (NUMBERS, "y", FRAME["g"]),
    hierarchical.growth_mixture: (NUMBERS, "t", FRAME["g"]),
    hierarchical.hidden_markov: (NUMBERS,),
    hierarchical.richardson_green: (FRAME["y"],),
}


@pytest.mark.parametrize("call", STARTED, ids=lambda call: call.__name__)
def test_failure_of_em_is_documented(monkeypatch, call):
    def fails(*args, **options):
        raise RuntimeError("all 20 runs failed")

    monkeypatch.setattr(classes.fitting, "fit", fails)
    with pytest.raises(RuntimeError, match="all 20 runs failed"):
        call(*STARTED[call])
    assert "RuntimeError: if every run of EM failed" in call.__doc__


@pytest.mark.parametrize("rate", ["x", "0.9", True, None, [0.9]])
def test_target_accept_is_a_number(rate):
    with pytest.raises(TypeError, match=r"target_accept must be a number in \[0.5, 1\), got "):
        hierarchical.grouped_mixture(FRAME[["y", "g"]], "g", target_accept=rate)
