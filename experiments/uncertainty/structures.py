"""Standard errors of every covariance structure against SciPy's density, differentiated numerically in coordinates written out here.

    python experiments/uncertainty/structures.py

Two Gaussians in two dimensions, Σ = volume · rotation · shape · rotationᵀ, each factor equal, varying or the identity's, as the structure's
code says. The package never sees these coordinates: it takes its own from the M-step.
"""

from __future__ import annotations

import json
import pathlib
import time

import numpy as np
from scipy import stats

import jaxem


CODES = ["EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"]
STEP = 3e-3


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def data():
    rng = np.random.default_rng(3)
    one = rng.normal(size=(120, 2)) * [2.0, 0.7] @ rotation(0.5).T
    return np.concatenate([one, rng.normal(size=(80, 2)) * [1.2, 0.5] @ rotation(1.4).T + [4.0, 3.0]])


def coordinates(fit):
    """Log-odds of the weights, means, and the free log-volumes, log-shapes and angles."""
    spectra = [np.linalg.eigh(covariance) for covariance in fit.params.covariances]
    volumes = [0.5 * np.log(values.prod()) for values, _ in spectra]
    angles = [np.arctan2(axes[1, 1], axes[0, 1]) for _, axes in spectra]
    if fit.family[2] == "I":
        angles = [0.0, 0.0]
    elif fit.family[2] == "E":
        angles = [angles[np.argmax([values[1] / values[0] for values, _ in spectra])]] * 2
    along = [np.diag(rotation(a).T @ c @ rotation(a)) for a, c in zip(angles, fit.params.covariances, strict=True)]
    shapes = [0.5 * np.log(values[0] / values[1]) for values in along]
    weights = fit.params.weights
    out = [np.log(weights[0] / weights[1]), *fit.params.means.ravel()]
    for letter, values in zip(fit.family, (volumes, shapes, angles), strict=True):
        out += {"I": [], "E": values[:1], "V": values}[letter]
    return np.array(out)


def log_likelihood(code, at, x):
    rest, factors = list(at[5:]), []
    for letter in code:
        count = {"I": 0, "E": 1, "V": 2}[letter]
        factors.append([0.0, 0.0] if not count else rest[:count] * (2 // count))
        rest = rest[count:]
    share = 1 / (1 + np.exp(-at[0]))
    total = 0.0
    for weight, mean, volume, shape, angle in zip((share, 1 - share), (at[1:3], at[3:5]), *factors, strict=True):
        turn = rotation(angle)
        total = total + weight * stats.multivariate_normal(
            mean, np.exp(volume) * (turn * np.exp([shape, -shape])) @ turn.T
        ).pdf(x)
    return np.log(total).sum()


def hessian(function, at, step):
    """Central differences with one Richardson step."""

    def once(h):
        moves = h * np.eye(len(at))
        corners = [(a, b) for a in (1, -1) for b in (1, -1)]
        value = [[sum(a * b * function(at + a * u + b * v) for a, b in corners) for v in moves] for u in moves]
        return np.array(value) / (4 * h * h)

    return (4 * once(step / 2) - once(step)) / 3


def main():
    x, results = data(), {}
    path = pathlib.Path(__file__).with_name("structures.json")
    for code in CODES:
        fit = jaxem.fit(x, code, 2, num_restarts=5, tol=1e-10, max_steps=20_000)
        begun = time.perf_counter()
        errors = fit.standard_errors(x).params
        seconds = time.perf_counter() - begun
        at = coordinates(fit)
        wanted = np.sqrt(np.diag(np.linalg.inv(-hessian(lambda u, code=code: log_likelihood(code, u, x), at, STEP))))[:5]
        share = fit.params.weights[0]
        got = np.array([errors.weights[0] / (share * (1 - share)), *errors.means.ravel()])
        results[code] = {
            "free_parameters": [fit.num_params, len(at)],
            "log_likelihood_error": abs(log_likelihood(code, at, x) - fit.log_likelihood),
            "largest_relative_error": float(np.abs(got / wanted - 1).max()),
            "seconds_with_compiling": round(seconds, 1),
        }
        print(code, results[code], flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
