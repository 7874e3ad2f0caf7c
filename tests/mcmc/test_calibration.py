"""Simulation-based calibration: passes what is right, and finds what is wrong."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from helpers import told

from jaxem.bayes import PoissonPrior, UnknownK, mixing, sbc


class Normal:
    """A normal mean under a normal prior; its draws are `wide` times as spread as they should be, and off by `shift`."""

    def __init__(self, wide=1.0, shift=0.0):
        self.wide, self.shift = wide, shift

    def simulate(self, key):
        ours, theirs = jax.random.split(key)
        mean = jax.random.normal(ours)
        return mean, mean + jax.random.normal(theirs)

    def sample(self, key, data, num_draws):
        return data / 2 + self.shift + self.wide * 0.5**0.5 * jax.random.normal(key, (num_draws,))

    def quantities(self, params, data):
        return {"mean": params, "sign": jax.numpy.sign(params)}


@pytest.fixture(scope="module")
def right():
    return sbc(Normal())


def test_right_sampler_passes(right):
    assert right.uniform
    assert right.warnings == ()
    assert right.table.loc["mean", "coverage_90"] == pytest.approx(0.9, abs=0.045)
    assert right.ranks["sign"].max() == 99  # ties are broken at random, so that ranks of few values are uniform too


def test_print_shows_every_quantity(right):
    said = told(right)
    assert "uniform" in said
    for name, row in right.table.iterrows():
        assert f"{row['coverage_90']:.4g}" in next(line for line in said.splitlines() if line.startswith(str(name)))


@pytest.mark.parametrize(("wrong", "coverage"), [(Normal(wide=0.5), (0.4, 0.75)), (Normal(shift=0.3), (0.6, 0.89))])
def test_wrong_sampler_is_found(wrong, coverage):
    calibration = sbc(wrong)
    assert not calibration.uniform
    assert "The ranks of mean are not uniform" in calibration.warnings[0]
    assert coverage[0] < calibration.coverage("mean", 0.9) < coverage[1]


@pytest.mark.slow
def test_telescoping_sampler_is_calibrated():
    prior = PoissonPrior(np.array([2.0]), None, np.array([4.0]), np.array([16.0]), np.float64(1.0))
    concentration = mixing.Concentration(np.float64(6.0), np.float64(3.0), "f")
    finite = mixing.FiniteMixing(mixing.log_prior_k("bnb", 5), concentration, dynamic=True)
    calibration = sbc(UnknownK(prior, finite, num_rows=25, num_warmup=300, thin=20), num_datasets=60, num_draws=19)
    assert calibration.uniform
    assert set(calibration.ranks) >= {"num_components", "log_likelihood", "largest_weight", "mean"}


def test_plot_has_a_panel_for_each_quantity(right):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = right.plot()
    assert [ax.get_title() for ax in axes] == ["mean", "sign"]
    assert sum(patch.get_height() for patch in axes[0].patches[1:]) == 400


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"num_datasets": 5}, "num_datasets must be at least 20"), ({"num_draws": 100}, "must be a multiple of 10")],
)
def test_bad_input_is_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        sbc(Normal(), **options)
