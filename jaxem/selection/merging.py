"""From components to clusters: merging by entropy. Imports layers 0 to 3."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import again, tabular


if TYPE_CHECKING:
    import pandas as pd

    from ..result import Fit

Partition = tuple[tuple[int, ...], ...]

CLEAR = 0.01  # share of the largest entropy there can be below which rows are as good as certain


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class MergeTree:
    """A fit's components joined step by step into fewer clusters.

    Several Gaussians may describe one cluster that is not Gaussian. The density stays what it is; only the partition changes.

    Attributes:
        fit: The fit.
        partitions: By number of clusters, from K to 1: which components make up each cluster.
        entropy: By number of clusters, from 1 to K: −Σ w Σ z log z over clusters, how undecided the rows are, shape (k,).
        elbow: The number of clusters at which the entropy's line bends: below it, merging no longer costs certainty for nothing. All of
            them where components hardly overlap and there is nothing to gain; never 1.
    """

    fit: Fit
    partitions: dict[int, Partition]
    entropy: np.ndarray
    elbow: int

    @property
    def table(self) -> pd.DataFrame:
        """One row a number of clusters: `num_clusters`, `merged` (the two clusters joined last), `entropy`, `elbow`."""
        import pandas as pd

        sizes = sorted(self.partitions, reverse=True)
        merged = [None, *(_joined(self.partitions[k + 1], self.partitions[k]) for k in sizes[1:])]
        rows = [(k, pair, self.entropy[k - 1], k == self.elbow) for k, pair in zip(sizes, merged, strict=True)]
        return pd.DataFrame(rows, columns=["num_clusters", "merged", "entropy", "elbow"])

    def predict_proba(self, x: Any, num_clusters: int | None = None) -> np.ndarray:
        """The probability of each cluster given the row, shape (n, c), and of noise in one column more if the fit has some.

        Args:
            x: Rows as in `Fit.predict`.
            num_clusters: c; by default the elbow's.
        Raises:
            ValueError: if there are not so many components.
        """
        resp = self.fit.predict_proba(x)
        own = [resp[:, list(parts)].sum(1) for parts in self._partition(num_clusters)]
        return np.column_stack([*own, resp[:, self.fit.num_components :]])

    def predict(self, x: Any, num_clusters: int | None = None) -> np.ndarray:
        """The most probable cluster of each row, shape (n,), with `num_clusters` clusters or the elbow's; −1 for noise."""
        best = self.predict_proba(x, num_clusters).argmax(axis=1)
        return np.where(best < len(self._partition(num_clusters)), best, -1)

    def _partition(self, num_clusters: int | None) -> Partition:
        wanted = self.elbow if num_clusters is None else tabular.count("num_clusters", num_clusters)
        if wanted not in self.partitions:
            raise ValueError(f"num_clusters must be at most the fit's {self.fit.num_components} components, got {wanted}")
        return self.partitions[wanted]

    def __repr__(self) -> str:
        return f"MergeTree({self.fit.num_components} components, elbow at {self.elbow} clusters: {self.partitions[self.elbow]})"

    def __str__(self) -> str:
        from .text import of_merging

        return of_merging(self)


def merge(fit: Fit, data: Any, weights: Any = None, labels: Any = None) -> MergeTree:
    """Join a fit's components one pair at a time, always the pair that lowers the entropy most.

    Args:
        fit: A fit.
        data: The rows of the fit (a fit holds no data): on them the overlap is weighed.
        weights: Row weights (n,), if the fit had some.
        labels: Labels (n,), if the fit had some: there is no doubt about these rows.
    Returns:
        A `MergeTree`: a partition of the components for every number of clusters.
    Raises:
        ValueError: if these are not the data that the fit was made from.
    References:
        Baudry, Raftery, Celeux, Lo & Gottardo 2010, JCGS 19; the elbow is their piecewise linear fit with one break.

    Example:
        >>> import jaxem
        >>> data = jaxem.datasets.load("faithful")
        >>> merge(jaxem.fit(data, "EEE", 3), data).partitions[2]
        ((0, 2), (1,))
    """
    table = again.read(fit, data, weights, labels)
    weight, resp = table.weight, fit.predict_proba(data).T
    if table.label is not None:
        resp = np.where(table.label >= 0, table.label == np.arange(len(resp))[:, None], resp)
    resp = resp[: fit.num_components]  # noise is no cluster, and joins none
    clusters: list[tuple[int, ...]] = [(j,) for j in range(fit.num_components)]
    partitions, entropy = {len(clusters): tuple(clusters)}, [float(_entropy(resp).sum(0) @ weight)]
    while len(clusters) > 1:
        own = _entropy(resp) @ weight
        later, earlier = np.tril_indices(len(clusters), -1)
        saved = [own[a] + own[b] - _entropy(resp[a] + resp[b]) @ weight for a, b in zip(later, earlier, strict=True)]
        a, b = (int(side[np.argmax(saved)]) for side in (later, earlier))
        resp[b] += resp[a]
        resp = np.delete(resp, a, axis=0)
        clusters[b] = tuple(sorted((*clusters[b], *clusters.pop(a))))
        partitions[len(clusters)] = tuple(clusters)
        entropy.append(float(_entropy(resp).sum(0) @ weight))
    values = np.maximum(np.array(entropy[::-1]), 0.0)
    clear = values[-1] < CLEAR * weight.sum() * np.log(len(values))
    return MergeTree(fit, partitions, values, len(values) if clear else _elbow(values))


def _entropy(resp: np.ndarray) -> np.ndarray:
    return -resp * np.log(np.where(resp > 0, resp, 1.0))


def _elbow(entropy: np.ndarray) -> int:
    """The number of clusters at which two straight lines through the entropies, shape (k,), meet with the least error."""
    k = len(entropy)
    if k < 3:
        return k
    size = np.arange(1.0, k + 1)
    errors = []
    for bend in range(2, k):
        basis = np.stack([np.ones(k), size - bend, np.maximum(size - bend, 0)], axis=1)
        errors.append(((entropy - basis @ np.linalg.lstsq(basis, entropy)[0]) ** 2).sum())
    return int(np.argmin(errors)) + 2


def _joined(before: Partition, after: Partition) -> tuple[tuple[int, ...], ...]:
    """The clusters of one partition that are one in the next."""
    return tuple(cluster for cluster in before if cluster not in after)
