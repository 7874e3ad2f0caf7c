"""`jaxem.select` as an estimator. Imports layers 0 to 4 and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .. import tabular
from .._typing import Whole
from ..result import Fit
from ..selection import Selection, select
from ._weights import Score


class MixtureSelector(Score, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """A mixture whose family and number of components a criterion chooses: `jaxem.select` as a scikit-learn estimator.

    A clusterer (`predict`), a transformer (`transform` gives the probability of every component) and a density (`score_samples`),
    for pipelines, searches over a grid, `clone`, pickle and `set_output`. Labels, noise, priors, fixed parameters and float32 are for
    `jaxem.select` itself.

    Args:
        families: A name, a `Family` or a list of them; "gaussian" is every covariance structure.
        n_components: The numbers of components to try.
        criterion: What to minimise: "aic", "aicc", "bic", "caic", "sabic", "hqic", "icl", "clc", "nec", "slope" or "sbic".
        n_init: Independent starts for each family and number of components.
        n_finalists: How many of them are run to convergence.
        moves: Whether moves that split and merge components follow.
        init: Kind of start; see `jaxem.select`.
        tol: Stop a run when less than this is estimated to be missing from its total log-likelihood, in nats. (In `GaussianMixture`
            `tol` is something else: the change of the mean log-likelihood in one step.)
        max_iter: The most E-steps of a run.
        random_state: As everywhere in scikit-learn.

    Attributes:
        selection_: The `Selection`: every fit, the table, the trust report.
        best_: The chosen `Fit`.
        family_: Its family's name.
        n_components_: Its number of components.
        n_iter_: E-steps of the run that found it.
        labels_: The component of each row seen by `fit`, 0 for the largest.
        n_features_in_: Number of columns seen by `fit`.
        feature_names_in_: Their names, where they have any.

    Example:
        >>> from jaxem import datasets
        >>> from jaxem.sklearn import MixtureSelector
        >>> selector = MixtureSelector(["EEE", "VVV"], range(1, 5), random_state=0).fit(datasets.load("faithful"))
        >>> selector.family_, selector.n_components_
        ('EEE', 3)
    """

    def __init__(
        self,
        families: Any = "gaussian",
        n_components: Iterable[Whole] | Whole = tuple(range(1, 10)),
        *,
        criterion: str = "bic",
        n_init: int = 20,
        n_finalists: int = 5,
        moves: bool = True,
        init: str = "portfolio",
        tol: float = 1e-3,
        max_iter: int = 2000,
        random_state: Any = None,
    ):
        self.families = families
        self.n_components = n_components
        self.criterion = criterion
        self.n_init = n_init
        self.n_finalists = n_finalists
        self.moves = moves
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    selection_: Selection
    best_: Fit
    feature_names_in_: np.ndarray

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MixtureSelector:
        """Fit every family with every number of components, and choose.

        Args:
            X: Rows, shape (n_samples, n_features), NaN where a cell is missing.
            y: Not used.
            sample_weight: Row weights, shape (n_samples,), not negative; an integer weight is a repeated row.
        Returns:
            self.
        Raises:
            ValueError: for bad values.
            TypeError: for values of the wrong kind.
            RuntimeError: if no fit can be chosen, with the reasons.
        """
        sizes, seed = self._checked()
        X = np.asarray(validate_data(self, X, dtype=np.float64, ensure_min_samples=2, ensure_all_finite="allow-nan"))
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        rows, weights = _merged(X, weight)
        self.selection_ = select(
            self._named(rows),
            self.families,
            sizes,
            criterion=self.criterion,
            num_restarts=self.n_init,
            num_finalists=self.n_finalists,
            moves=self.moves,
            init=self.init,
            weights=weights,
            tol=self.tol,
            max_steps=self.max_iter,
            seed=seed,
        )
        self.best_ = self.selection_.best
        self.family_, self.n_components_ = self.best_.family, self.best_.num_components
        self.n_iter_ = self.best_.num_steps
        self.labels_ = self.best_.predict(X)
        return self

    def _checked(self) -> tuple[list[int], int]:
        """The numbers of components and a seed; what `select` calls otherwise is refused by the name that it has here."""
        sizes = tabular.counts("n_components", self.n_components)
        for name in ("n_init", "n_finalists", "max_iter"):
            tabular.count(name, getattr(self, name))
        if isinstance(self.random_state, int | np.integer):
            return sizes, tabular.count("random_state", self.random_state, 0)
        try:
            return sizes, int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        except ValueError:
            raise ValueError(f"random_state must be an int, a RandomState or None, got {self.random_state!r}") from None

    def _named(self, X: np.ndarray) -> Any:
        """Rows with the names of their columns, where these are known."""
        if not hasattr(self, "feature_names_in_"):
            return X
        import pandas as pd

        return pd.DataFrame(X, columns=self.feature_names_in_)

    def _rows(self, X: Any) -> np.ndarray:
        """Rows to look at with the fit, checked."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False, ensure_all_finite="allow-nan"))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of each row, shape (n_samples,), 0 for the largest component."""
        X = self._rows(X)
        return self.best_.predict(X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each component given the row, shape (n_samples, n_components_)."""
        X = self._rows(X)
        return self.best_.predict_proba(X)

    def transform(self, X: Any) -> np.ndarray:
        """The same as `predict_proba`: the rows in terms of the components."""
        return self.predict_proba(X)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of each row, in nats, shape (n_samples,)."""
        X = self._rows(X)
        return self.best_.log_prob(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_


def _merged(X: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every distinct row once, in order, with its weight.

    A row of weight 2 is then a row seen twice to the last digit, and the order of the rows does not matter.
    """
    seen = weight > 0
    rows, place = np.unique(X[seen], axis=0, return_inverse=True)
    return rows, np.bincount(place.ravel(), weight[seen], len(rows))
