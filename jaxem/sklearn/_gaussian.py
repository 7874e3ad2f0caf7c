"""scikit-learn's `GaussianMixture` with its EM in lanes. Imports layers 0 to 3 and scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn import mixture
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .._status import Status
from ..families.gaussian import GaussianParams, gaussian
from ..rowwise import log_prob
from ._course import Course
from ._runs import Outcome, Params, Runs, completed, log_densities, whiteners
from ._weights import Score, unit_weights


class GaussianMixture(Score, mixture.GaussianMixture):
    """A mixture of Gaussians by EM, in the place of `sklearn.mixture.GaussianMixture`.

    The same constructor, attributes, methods, warnings and errors, and the same numbers for the same `random_state`, to rounding:
    starts are drawn and EM is stopped as scikit-learn does it. Four things differ. All `n_init` runs are lanes of one compiled
    program; `fit` takes `sample_weight`; NaN is a missing cell, and the likelihood that of the cells that are there; and a run that
    degenerates is set aside, so that `fit` fails only if all of them do.
    EM is computed in float64 whatever the data are, and the attributes have the dtype of the data. With `verbose`, runs side by
    side take turns to print, each under its number.

    This is for code written against scikit-learn. Its stopping rule often ends a run short of the optimum, and one start is seldom
    enough: `jaxem.fit` and `MixtureSelector` search harder by default.

    Args:
        n_components: Number of components.
        covariance_type: "full", "tied", "diag" or "spherical"; in mclust's codes VVV, EEE, VVI and VII.
        tol: Stop when the mean log-likelihood of a row changes by less than this, in nats.
        reg_covar: Added to the variances, in squared units of the data.
        max_iter: Most iterations.
        n_init: Number of initialisations; the best is kept.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weights_init: Starting weights, shape (n_components,).
        means_init: Starting means, shape (n_components, n_features).
        precisions_init: Starting inverse covariances, in the shape that `covariance_type` has in `precisions_`.
        random_state: As everywhere in scikit-learn.
        warm_start: Whether `fit` goes on where the last one ended.
        verbose: 1 prints initialisations and iterations, 2 the changes of the lower bound as well.
        verbose_interval: Iterations between lines.

    Attributes:
        weights_: Shape (n_components,).
        means_: Shape (n_components, n_features).
        covariances_: By `covariance_type`: (n_components, n_features, n_features), (n_features, n_features), (n_components,
            n_features) or (n_components,).
        precisions_: Inverse covariances, in the same shapes.
        precisions_cholesky_: U with U Uᵀ the precision, in the same shapes.
        converged_: Whether the best run met `tol`.
        n_iter_: Its number of iterations.
        lower_bound_: Its last mean log-likelihood, before the last M-step.
        lower_bounds_: The mean log-likelihood at each of its iterations.
        n_features_in_: Number of columns seen by `fit`.
        feature_names_in_: Their names, where they have any.

    Example:
        >>> from jaxem import datasets
        >>> from jaxem.sklearn import GaussianMixture
        >>> gm = GaussianMixture(2, n_init=5, random_state=0).fit(datasets.load("faithful"))
        >>> gm.means_[gm.weights_.argsort()].round(1)
        array([[ 2. , 54.5],
               [ 4.3, 80. ]])
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianMixture:
        """Estimate the parameters by EM.

        Args:
            X: Rows, shape (n_samples, n_features), NaN where a cell is missing.
            y: Not used.
            sample_weight: Row weights, shape (n_samples,), not negative; an integer weight is a repeated row. Their unit makes no
                difference.
        Returns:
            self.
        Raises:
            ValueError: for bad values; if all weights are 0; if a column is missing altogether; if every run ends with a singular
                covariance; or if `warm_start` cannot go on from the last fit, which had other components or columns.
        """
        self.fit_predict(X, y, sample_weight)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Estimate the parameters by EM, and say which component each row belongs to.

        Args:
            X: Rows, shape (n_samples, n_features).
            y: Not used.
            sample_weight: As in `fit`.
        Returns:
            Component numbers, shape (n_samples,).
        """
        self._validate_params()
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2, ensure_all_finite="allow-nan")
        if len(X) < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {len(X)}"
            )
        weight = None if sample_weight is None else unit_weights(sample_weight, X)
        self._check_parameters(X, xp=np)
        every = np.ones(len(X)) if weight is None else weight
        whole = completed(X, every)

        going_on = self.warm_start and hasattr(self, "converged_")
        if going_on:
            self._check_same(X.shape[1])
        before = self.lower_bound_ if going_on else -np.inf
        starts = [self._get_parameters()] if going_on else self._starts(whole, weight)
        outcomes = self._run(X, whole, every, starts, before)
        self._adopt(outcomes, X.dtype)
        return self._estimate_weighted_log_prob(X).argmax(axis=1)

    def _check_same(self, num_features: int) -> None:
        """Whether the last fit is one to go on from: of as many components, of the same type, and in as many columns.

        Raises:
            ValueError: if it is not.
        """
        last = (*self.means_.shape, getattr(self, "_fitted_type", self.covariance_type))
        now = (self.n_components, num_features, self.covariance_type)
        if last != now:
            had, has = ("{} components in {} columns, covariance_type {!r}".format(*which) for which in (last, now))
            raise ValueError(
                f"warm_start=True goes on where the last fit ended, which has {had}; asked for are {has}: set warm_start=False, or fit "
                "a clone"
            )

    def _starts(self, X: np.ndarray, weight: np.ndarray | None) -> list[Params]:
        """Params for every initialisation, from scikit-learn's stream of random numbers."""
        rng = check_random_state(self.random_state)
        given = self.weights_init is not None and self.means_init is not None and self.precisions_init is not None
        out, failed = [], None
        # scikit-learn takes E[x²] − mean² for a variance; of a tied one that begins on single rows, E is over all, and the origin counts.
        single = self.covariance_type == "tied" and self.init_params in ("k-means++", "random_from_data")
        centre = X.mean(axis=0) * (not single)
        X = X - centre
        for _ in range(self.n_init):
            resp = None if given else self._responsibilities(X, weight, rng)
            self.covariances_ = None  # scikit-learn leaves it alone where all is given
            try:
                self._initialize(X, resp if weight is None or resp is None else resp * weight[:, None], xp=np)
            except ValueError as error:  # singular from the start
                failed = error
                continue
            if weight is not None and resp is not None:
                self._weigh(X, resp, weight)
            if self.means_init is None:
                self.means_ = self.means_ + centre
            out.append(self._get_parameters())
        if failed and not out:
            raise failed
        return out

    def _responsibilities(self, X: np.ndarray, weight: np.ndarray | None, rng: np.random.RandomState) -> np.ndarray:
        """The start that `init_params` names, (n, k); rows of weight 0 take no part in it."""
        k = self.n_components
        if self.init_params == "random":
            resp = np.asarray(rng.uniform(size=(len(X), k)), dtype=X.dtype)
            return resp / resp.sum(axis=1, keepdims=True)
        resp = np.zeros((len(X), k), dtype=X.dtype)
        if self.init_params == "kmeans":
            labels = KMeans(k, n_init="auto", random_state=rng).fit(X, sample_weight=weight).labels_
            resp[np.arange(len(X)), labels] = 1
            return resp
        if self.init_params == "k-means++":
            rows = kmeans_plusplus(X, k, sample_weight=weight, random_state=rng)[1]
        else:
            rows = rng.choice(len(X), size=k, replace=False, p=None if weight is None else weight / weight.sum())
        resp[rows, np.arange(k)] = 1
        return resp

    def _weigh(self, X: np.ndarray, resp: np.ndarray, weight: np.ndarray) -> None:
        """Mend what scikit-learn's start takes for granted: that rows weigh 1."""
        if self.weights_init is None:
            self.weights_ = self.weights_ * len(X) / weight.sum()
        if self.covariance_type == "tied" and self.precisions_init is None:
            count = (resp * weight[:, None]).sum(axis=0)
            means = (resp * weight[:, None]).T @ X / np.maximum(count, np.finfo(X.dtype).tiny)[:, None]
            scatter = (X * weight[:, None]).T @ X - (count * means.T) @ means
            self.covariances_ = scatter / count.sum() + self.reg_covar * np.eye(X.shape[1], dtype=X.dtype)
            self.precisions_cholesky_ = _compute_precision_cholesky(self.covariances_, "tied")

    def _run(self, X: np.ndarray, whole: np.ndarray, weight: np.ndarray, starts: list[Params], before: float) -> list[Outcome]:
        """EM from every start."""
        if self.max_iter == 0:
            return [Outcome(start, [], Status.MAX_STEPS) for start in starts]
        course = Course(self.verbose, self.verbose_interval, len(starts) > 1) if self.verbose else None
        runs = Runs(X, whole, weight, self.covariance_type, self.reg_covar, self.tol, self.max_iter, course)
        return runs.from_starts(starts, before)

    def _adopt(self, outcomes: list[Outcome], dtype: Any) -> None:
        """Take the best outcome for the answer."""
        sound = [outcome for outcome in outcomes if not outcome.failed]
        if not sound:
            _compute_precision_cholesky(np.zeros((1, 1, 1)), "full")  # raises, in scikit-learn's own words
        best = max(sound, key=lambda outcome: outcome.bounds[-1] if outcome.bounds else -np.inf)
        self._fitted_type, self.converged_ = self.covariance_type, best.status == Status.CONVERGED
        self._set_parameters(tuple(None if array is None else np.asarray(array, dtype) for array in best.params), xp=np)
        self.n_iter_ = len(best.bounds)
        self.lower_bound_ = best.bounds[-1] if best.bounds else -np.inf
        self.lower_bounds_ = best.bounds
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(  # these are the words that filters look for
                "Best performing initialization did not converge. Try different init parameters, or increase max_iter, tol, or "
                "check for degenerate data.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of each row, shape (n_samples,); missing cells are left out of account."""
        return self._estimate_weighted_log_prob(self._rows(X)).argmax(axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each component given the cells of the row that are there, shape (n_samples, n_components)."""
        joint = self._estimate_weighted_log_prob(self._rows(X))
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of the cells of each row that are there, in nats, shape (n_samples,)."""
        return np.logaddexp.reduce(self._estimate_weighted_log_prob(self._rows(X)), axis=1)

    def _rows(self, X: Any) -> np.ndarray:
        """Rows to look at with the fit, checked."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, reset=False, ensure_all_finite="allow-nan"))

    def _estimate_log_prob(self, X: np.ndarray, xp: Any = None) -> np.ndarray:
        """log p(row | component), shape (n_samples, n_components): rows with all their cells by NumPy, and by it alone."""
        means = np.asarray(self.means_, np.float64)
        out = log_densities(X, means, self.precisions_cholesky_, self.covariance_type)
        gone = np.isnan(X).any(axis=1)
        if gone.any():
            components = GaussianParams(means, whiteners(self.precisions_cholesky_, self.covariance_type, *means.shape))
            names = tuple(map(str, range(means.shape[1])))
            out[gone] = log_prob(gaussian("VVV").with_residuals(), components, X[gone], names).T
        return out.astype(np.result_type(X, self.means_), copy=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.array_api_support = False  # tensors would have to leave their device
        return tags
