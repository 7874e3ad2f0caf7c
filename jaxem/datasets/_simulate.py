"""Draws from mixtures whose parameters are known. Imports NumPy only.

Components are ordered by decreasing weight, as in a `Fit`. The parameters are drawn before the rows: a seed names one mixture,
whatever the number of rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Rows and the mixture that they were drawn from, with k components and d columns.

    Attributes:
        x: Rows, float64, shape (n, d), or (n,) where the generator is of one dimension only.
        labels: The component of each row, from 0, shape (n,).
        weights: Mixing weights, decreasing, shape (k,).
        means: Means of the components, shape (k, d).
        covariances: Covariances of the components, shape (k, d, d).
    """

    x: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def two_gaussians(seed: int = 0) -> Sample:
    """Two Gaussians in one dimension: exactly 7,000 rows from N(40, 5²) and 3,000 from N(20, 5²), shuffled.

    The means are four standard deviations apart, so there are two humps and a little overlap. The weights are the exact shares of
    the rows, not probabilities that they were drawn with.

    Args:
        seed: Not negative; the same seed gives the same rows.
    Returns:
        The sample, x of shape (10000,). Component 0 is the one at 40.

    Example:
        >>> sample = two_gaussians()
        >>> sample.x.shape, sample.weights, sample.means.ravel()
        ((10000,), array([0.7, 0.3]), array([40., 20.]))
    """
    rng = np.random.default_rng(seed)
    means, sd = np.array([40.0, 20.0]), 5.0
    labels = rng.permutation(np.repeat([0, 1], [7000, 3000]))
    x = rng.normal(means[labels], sd)
    return Sample(x, labels, np.array([0.7, 0.3]), means[:, None], np.full((2, 1, 1), sd**2))


def gaussian_mixture(
    num_rows: int, num_components: int, num_features: int, *, separation: float = 4.0, seed: int = 0
) -> Sample:
    """A mixture of Gaussians with random weights, means and full covariances.

    The distance of two components is sqrt(δᵀ S⁻¹ δ), δ the difference of their means and S the average of their covariances; the
    nearest two are `separation` apart. Were those two alone, with equal weights and equal covariances, the best possible rule
    would misplace a share Φ(-separation / 2) of the rows: 31 % at 1, 16 % at 2, 2.3 % at 4, 0.13 % at 6.

    Args:
        num_rows: Rows to draw, at least 1.
        num_components: Components, at least 1.
        num_features: Columns, at least 1.
        separation: Distance between the nearest two components, at least 0; at 0, or with one component, all means are 0.
        seed: Not negative; the same seed gives the same mixture for any number of rows.
    Returns:
        The sample, x of shape (num_rows, num_features). Standard deviations along the axes of a component lie between 1/2 and 2.
    Raises:
        ValueError: for a count below 1 or a negative separation.

    Example:
        >>> sample = gaussian_mixture(1000, 3, 2, separation=5.0, seed=1)
        >>> sample.x.shape, sample.means.shape, sample.covariances.shape
        ((1000, 2), (3, 2), (3, 2, 2))
    """
    _check(num_rows, num_components, num_features, separation)
    rng = np.random.default_rng(seed)
    weights = _weights(rng, num_components)
    means = _spread(rng, num_components, num_features)
    axes = np.linalg.qr(rng.normal(size=(num_components, num_features, num_features))).Q
    roots = axes * np.exp2(rng.uniform(-1.0, 1.0, size=(num_components, 1, num_features)))
    covariances = roots @ roots.swapaxes(1, 2)

    first, second = np.triu_indices(num_components, k=1)
    gaps = (means[first] - means[second])[:, :, None]
    average = (covariances[first] + covariances[second]) / 2
    distances = np.sqrt(gaps.swapaxes(1, 2) @ np.linalg.solve(average, gaps))
    means = means * (separation / distances.min(initial=np.inf))

    labels = rng.choice(num_components, size=num_rows, p=weights)
    x = rng.normal(size=(num_rows, num_features))
    for component in range(num_components):
        rows = labels == component
        x[rows] = means[component] + x[rows] @ roots[component].T
    return Sample(x, labels, weights, means, covariances)


def poisson_mixture(
    num_rows: int, num_components: int, num_features: int = 1, *, separation: float = 4.0, seed: int = 0
) -> Sample:
    """A mixture of Poisson distributions with random weights and rates; the columns of a component are independent.

    The distance of two components is measured between the square roots of their rates, in units of 1/2: that is about the standard
    deviation of the square root of a Poisson count, whatever the rate, so `separation` means what it means for `gaussian_mixture`.
    The nearest two are that far apart.

    Args:
        num_rows: Rows to draw, at least 1.
        num_components: Components, at least 1.
        num_features: Columns, at least 1.
        separation: Distance between the nearest two components, at least 0; at 0, or with one component, all rates are 1.
        seed: Not negative; the same seed gives the same mixture for any number of rows.
    Returns:
        The sample, x of shape (num_rows, num_features) with whole numbers; `means` are the rates, and `covariances` are diagonal
        with the rates.
    Raises:
        ValueError: for a count below 1 or a negative separation.

    Example:
        >>> sample = poisson_mixture(500, 2, separation=6.0, seed=2)
        >>> sample.x.shape, sample.x.dtype, sample.means.shape
        ((500, 1), dtype('float64'), (2, 1))
    """
    _check(num_rows, num_components, num_features, separation)
    rng = np.random.default_rng(seed)
    weights = _weights(rng, num_components)
    places = _spread(rng, num_components, num_features)

    first, second = np.triu_indices(num_components, k=1)
    distances = 2 * np.linalg.norm(places[first] - places[second], axis=1)
    rates = (1 + places * (separation / distances.min(initial=np.inf))) ** 2

    labels = rng.choice(num_components, size=num_rows, p=weights)
    x = rng.poisson(rates[labels]).astype(np.float64)
    return Sample(x, labels, weights, rates, rates[:, :, None] * np.eye(num_features))


def _check(num_rows: int, num_components: int, num_features: int, separation: float) -> None:
    for name, count in (("num_rows", num_rows), ("num_components", num_components), ("num_features", num_features)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    if not 0 <= separation < np.inf:
        raise ValueError(f"separation must be at least 0 and finite, got {separation}")


def _weights(rng: np.random.Generator, num_components: int) -> np.ndarray:
    """Unequal weights, the largest first, that leave no component without rows."""
    return np.sort(rng.dirichlet(np.full(num_components, 5.0)))[::-1]


def _spread(rng: np.random.Generator, num_points: int, num_features: int, num_candidates: int = 20) -> np.ndarray:
    """Points in the unit cube, each the farthest from those before it of a few candidates: no two fall together by chance."""
    points = rng.uniform(size=(1, num_features))
    for _ in range(num_points - 1):
        candidates = rng.uniform(size=(num_candidates, num_features))
        nearest = np.linalg.norm(candidates[:, None] - points, axis=2).min(1)
        points = np.vstack([points, candidates[nearest.argmax()]])
    return points
