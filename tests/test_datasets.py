"""The shipped data are what their records say, and the generators draw from the mixture that they report."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from jaxem import datasets


@pytest.mark.parametrize("name", datasets.names())
def test_file_is_as_described(name):
    about, frame = datasets.describe(name), datasets.load(name)
    assert tuple(frame.columns) == about.columns
    assert len(frame) == about.num_rows
    assert not frame.isna().any(axis=None)
    assert frame.attrs == {"about": about.about, "source": about.source, "reference": about.reference}
    assert datasets.path(name).read_text().splitlines()[0] == ",".join(about.columns)


def test_every_file_has_a_record():
    folder = datasets.path("faithful").parent
    assert {file.stem for file in folder.glob("*.csv")} == set(datasets.names())


def test_faithful_has_the_means_that_r_prints():
    assert datasets.load("faithful").mean().tolist() == pytest.approx([3.487783, 70.897059], abs=1e-6)


def test_iris_is_fishers():
    from sklearn.datasets import load_iris

    frame, other = datasets.load("iris"), load_iris()
    np.testing.assert_array_equal(frame.iloc[:, :4].to_numpy(), other.data)
    assert frame["species"].tolist() == other.target_names[other.target].tolist()


def test_galaxies_have_the_published_value_and_not_the_typo():
    velocity = datasets.load("galaxies")["velocity"]
    assert velocity.iloc[77] == 26.960
    assert (velocity != 26.690).all()
    assert velocity.is_monotonic_increasing


def test_earthquakes_have_the_moments_of_the_book():
    """Zucchini and MacDonald (2009), section 1.2: sample mean 19.364, variance 51.573."""
    frame = datasets.load("earthquakes")
    assert frame["count"].mean() == pytest.approx(19.364, abs=5e-4)
    assert frame["count"].var() == pytest.approx(51.573, abs=5e-4)
    assert frame["year"].tolist() == list(range(1900, 2007))


def test_titanic_has_the_margins_of_dawsons_table():
    people = datasets.load("titanic")
    assert people["class"].value_counts().to_dict() == {"Crew": 885, "3rd": 706, "1st": 325, "2nd": 285}
    assert (people["survived"] == "Yes").sum() == 711
    assert people.groupby(["sex", "age"]).size().to_dict() == {
        ("Female", "Adult"): 425,
        ("Female", "Child"): 45,
        ("Male", "Adult"): 1667,
        ("Male", "Child"): 64,
    }


@pytest.mark.parametrize("function", [datasets.load, datasets.path, datasets.describe])
def test_unknown_name_suggests_the_nearest(function):
    with pytest.raises(ValueError, match=r"unknown data set 'Faitful'\. Did you mean 'faithful'\? Known: faithful, iris,"):
        function("Faitful")
    with pytest.raises(ValueError, match=r"unknown data set 'x'\. Known:"):
        function("x")


def test_a_loaded_frame_is_the_callers_own():
    frame = datasets.load("iris")
    del frame["species"]
    assert "species" in datasets.load("iris")


def test_importing_leaves_pandas_alone():
    code = "import sys, jaxem.datasets; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_gaussians_are_exact_in_number_and_shuffled():
    sample = datasets.two_gaussians(seed=3)
    assert sample.x.shape == sample.labels.shape == (10_000,)
    assert np.bincount(sample.labels).tolist() == [7000, 3000]
    assert sample.weights.tolist() == [0.7, 0.3]
    assert sample.means.tolist() == [[40.0], [20.0]]
    assert sample.covariances.tolist() == [[[25.0]], [[25.0]]]
    assert 2800 / 2 < np.bincount(sample.labels[:5000])[1] < 3200 / 2
    for label, mean in enumerate([40.0, 20.0]):
        rows = sample.x[sample.labels == label]
        assert abs(rows.mean() - mean) < 4 * 5 / np.sqrt(len(rows))
        assert abs(rows.std() - 5) < 4 * 5 / np.sqrt(2 * len(rows))


SHAPES = [(1, 1), (1, 3), (2, 1), (3, 2), (8, 1), (5, 10)]
GENERATORS = [datasets.gaussian_mixture, datasets.poisson_mixture]
each_generator = pytest.mark.parametrize("generate", GENERATORS)
each_shape = pytest.mark.parametrize(("num_components", "num_features"), SHAPES)


@each_generator
@each_shape
def test_sample_agrees_with_its_truth(generate, num_components, num_features):
    sample = generate(40_000, num_components, num_features, separation=3.0, seed=11)
    assert sample.x.shape == (40_000, num_features)
    assert sample.x.dtype == np.float64
    assert sample.means.shape == (num_components, num_features)
    assert sample.covariances.shape == (num_components, num_features, num_features)
    assert sample.weights.sum() == pytest.approx(1.0)
    assert (np.diff(sample.weights) <= 0).all()
    shares = np.bincount(sample.labels, minlength=num_components) / 40_000
    assert np.abs(shares - sample.weights).max() < 5 * 0.5 / np.sqrt(40_000)
    for label, (mean, covariance) in enumerate(zip(sample.means, sample.covariances, strict=True)):
        rows = sample.x[sample.labels == label]
        variances = np.diag(covariance)
        assert (np.abs(rows.mean(0) - mean) < 5 * np.sqrt(variances / len(rows))).all()
        scale = np.sqrt(np.outer(variances, variances))
        assert np.abs((np.cov(rows.T, ddof=0).reshape(covariance.shape) - covariance) / scale).max() < 8 / np.sqrt(len(rows))


@each_generator
def test_a_seed_names_a_mixture_whatever_the_number_of_rows(generate):
    short, long, again, other = (generate(n, 3, 2, seed=seed) for n, seed in ((5, 1), (50, 1), (50, 1), (50, 2)))
    np.testing.assert_array_equal(short.means, long.means)
    np.testing.assert_array_equal(short.covariances, long.covariances)
    np.testing.assert_array_equal(long.x, again.x)
    assert not np.array_equal(long.x, other.x)


@pytest.mark.parametrize("separation", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(("num_components", "num_features"), [(2, 1), (6, 1), (4, 3)])
def test_nearest_gaussians_are_as_far_apart_as_asked(num_components, num_features, separation):
    sample = datasets.gaussian_mixture(1, num_components, num_features, separation=separation, seed=5)
    distances = []
    for i, j in itertools.combinations(range(num_components), 2):
        gap = sample.means[i] - sample.means[j]
        distances.append(np.sqrt(gap @ np.linalg.inv((sample.covariances[i] + sample.covariances[j]) / 2) @ gap))
    assert min(distances) == pytest.approx(separation, abs=1e-9)
    spreads = np.linalg.eigvalsh(sample.covariances)
    assert 0.25 <= spreads.min() <= spreads.max() <= 4.0


@pytest.mark.parametrize("separation", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(("num_components", "num_features"), [(2, 1), (6, 1), (4, 3)])
def test_nearest_poissons_are_as_far_apart_as_asked(num_components, num_features, separation):
    sample = datasets.poisson_mixture(1, num_components, num_features, separation=separation, seed=5)
    roots = 2 * np.sqrt(sample.means)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(roots, 2)]
    assert min(distances) == pytest.approx(separation, abs=1e-9)


def test_poisson_rows_are_counts():
    x = datasets.poisson_mixture(200, 2, seed=0).x
    np.testing.assert_array_equal(x, np.abs(np.rint(x)))


@each_generator
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_rows": 0}, "num_rows must be at least 1, got 0"),
        ({"num_components": 0}, "num_components must be at least 1, got 0"),
        ({"num_features": -1}, "num_features must be at least 1, got -1"),
        ({"separation": -0.5}, r"separation must be at least 0 and finite, got -0\.5"),
        ({"separation": np.nan}, "separation must be at least 0 and finite, got nan"),
    ],
)
def test_misuse_is_named(generate, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(**({"num_rows": 10, "num_components": 2, "num_features": 2} | arguments))
