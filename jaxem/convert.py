"""Fits as objects of other packages, and back. Imports layers 0 to 3; the other packages in functions.

The density is the same to rounding; what another package has no place for (trust, history, warnings) stays behind.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from . import families, tabular
from ._status import Status
from .result import Fit, Params


def to_sklearn(fit: Fit) -> Any:
    """A fitted `sklearn.mixture.GaussianMixture` with the same density.

    Its `covariance_type` is the simplest that holds the structure: "tied" for EII, EEI, EEE and E, "spherical" for VII, "diag" for the
    other structures with axes along the columns, else "full". Where that type has more parameters than the structure, its `aic` and
    `bic` are larger than the fit's.

    Args:
        fit: A Gaussian fit.
    Raises:
        ValueError: if the fit is not Gaussian, or has noise.

    Example:
        >>> import jaxem
        >>> data = jaxem.datasets.load("faithful")
        >>> fit = jaxem.fit(data, "EEE", 3)
        >>> round(fit.to_sklearn().bic(data), 4) == round(fit.bic, 4)
        True
    """
    from sklearn.mixture import GaussianMixture

    _without_noise(fit, "to_sklearn")
    params = _gaussian(fit, "to_sklearn")
    covariances = params.covariances
    precisions = np.linalg.inv(covariances)
    cholesky = np.linalg.inv(np.linalg.cholesky(covariances)).mT
    kind = _covariance_type(fit.family)
    if kind == "tied":
        covariances, precisions, cholesky = covariances[0], precisions[0], cholesky[0]
    elif kind != "full":
        covariances, precisions, cholesky = (
            np.diagonal(array, axis1=1, axis2=2).copy() for array in (covariances, precisions, cholesky)
        )
        if kind == "spherical":
            covariances, precisions, cholesky = covariances[:, 0], precisions[:, 0], cholesky[:, 0]
    estimator: Any = GaussianMixture(fit.num_components, covariance_type=kind, reg_covar=0.0)
    estimator.weights_, estimator.means_ = params.weights.copy(), params.means.copy()
    estimator.covariances_, estimator.precisions_, estimator.precisions_cholesky_ = covariances, precisions, cholesky
    estimator.converged_, estimator.n_iter_ = fit.converged, fit.num_steps
    estimator.lower_bound_ = fit.log_likelihood / fit.num_rows
    estimator.lower_bounds_ = (fit.history / fit.num_rows).tolist()
    estimator.n_features_in_ = len(fit.columns)
    if not _numbered(fit.input_columns or fit.columns):  # scikit-learn warns wherever rows then come without names
        estimator.feature_names_in_ = np.array(fit.columns, dtype=object)
    return estimator


def _numbered(names: tuple[str, ...]) -> bool:
    """Whether columns are but counted, from x1 as those of arrays are, or from 0 as pandas does it: no user's own names."""
    places = range(len(names))
    return names in (tuple(f"x{j + 1}" for j in places), tuple(map(str, places)))


def _covariance_type(code: str) -> str:
    """The simplest covariance type of scikit-learn that holds a structure."""
    if code in ("EII", "EEI", "EEE", "E"):
        return "tied"
    if code == "VII":
        return "spherical"
    return "diag" if code.endswith("I") or code == "V" else "full"


def from_sklearn(estimator: Any, data: Any = None, weights: Any = None) -> Fit:
    """The fit that a fitted `GaussianMixture` of scikit-learn holds.

    Its status is RUNNING: scikit-learn stops where a step is small, which is no convergence. `jaxem.fit(data, fit.family,
    fit.num_components, start=fit.params)` goes on from there.

    Args:
        estimator: A fitted `sklearn.mixture.GaussianMixture`, or a subclass.
        data: The rows it was fitted to, for the log-likelihood and the criteria; without them these are NaN. A frame's columns are
            found by name where the estimator knows names, and by position where it does not.
        weights: Row weights (n,), if the rows have some.
    Raises:
        TypeError: if it is no fitted `GaussianMixture`.
        ValueError: for rows of other columns.
    """
    if not hasattr(estimator, "precisions_cholesky_") or getattr(estimator, "covariance_type", None) not in families.SKLEARN:
        raise TypeError(f"from_sklearn takes a fitted GaussianMixture, got {estimator!r}; call its fit first")
    k, d = estimator.means_.shape
    kind, covariances = estimator.covariance_type, np.asarray(estimator.covariances_, np.float64)
    if kind == "tied":
        covariances = np.tile(covariances, (k, 1, 1))
    elif kind != "full":
        covariances = np.eye(d) * np.broadcast_to(covariances.reshape(k, -1), (k, d))[:, :, None]
    names = getattr(estimator, "feature_names_in_", [f"x{j + 1}" for j in range(d)])
    family = families.resolve(kind, d)[0]
    order = np.argsort(-estimator.weights_, kind="stable")
    fit = Fit(
        family=family.name,
        num_components=k,
        params=Params(weights=estimator.weights_, means=estimator.means_, covariances=covariances).take(order),
        columns=tuple(map(str, names)),
        log_likelihood=np.nan,
        num_params=k - 1 + family.num_params(k, d),
        num_rows=np.nan,
        status=Status.RUNNING,
        num_steps=int(estimator.n_iter_),
        history=np.empty(0),
        sizes=np.full(k, np.nan),
        log_assigned=np.nan,
        warnings=("Fitted by scikit-learn, which stops where a step is small; start=fit.params goes on from here.",),
    )
    if data is None:
        return fit
    rows = fit.rows(data if hasattr(estimator, "feature_names_in_") else tabular.read(data).x)
    table = tabular.read(rows, weights)
    return dataclasses.replace(_with_rows(fit, table), history=np.asarray(estimator.lower_bounds_) * table.weight.sum())


def _with_rows(fit: Fit, table: tabular.Table) -> Fit:
    """The fit with all that its rows say of it."""
    resp = fit.predict_proba(table.x)
    weight, own = table.weight, resp.argmax(axis=1)
    logs = np.log(np.maximum(resp, np.finfo(float).tiny))
    return dataclasses.replace(
        fit,
        log_likelihood=float(weight @ fit.log_prob(table.x)),
        num_rows=float(weight.sum()),
        sizes=np.bincount(own, weight, fit.num_components),
        log_assigned=float(weight @ logs.max(axis=1)),
        entropy=float(-weight @ (resp * logs).sum(axis=1)),
    )


def to_numpyro(fit: Fit) -> Any:
    """The mixture as a NumPyro `MixtureSameFamily`: `log_prob` of rows (..., d), `sample`, a likelihood in models.

    Its arrays have JAX's default width: float32, unless 64 bits are enabled.

    Args:
        fit: A Gaussian, t or Poisson fit.
    Raises:
        ValueError: for another family, and for a fit with noise.

    Example:
        >>> import jaxem
        >>> fit = jaxem.fit(jaxem.datasets.load("faithful"), "EEE", 3)
        >>> fit.to_numpyro().event_shape
        (2,)
    """
    import jax.numpy as jnp
    import numpyro.distributions as dist

    _without_noise(fit, "to_numpyro")
    params = fit.params.asdict()
    if "covariances" in params:
        factor = jnp.asarray(np.linalg.cholesky(params["covariances"]))
        components: Any = dist.MultivariateNormal(jnp.asarray(params["means"]), scale_tril=factor)
    elif "scatters" in params:
        factor = jnp.asarray(np.linalg.cholesky(params["scatters"]))
        components = dist.MultivariateStudentT(jnp.asarray(params["dof"]), jnp.asarray(params["means"]), factor)
    elif "rates" in params:
        components = dist.Poisson(jnp.asarray(params["rates"])).to_event(1)
    else:
        raise ValueError(f"to_numpyro knows Gaussian, t and Poisson fits, and this one is {fit.family}")
    return dist.MixtureSameFamily(dist.Categorical(jnp.asarray(params["weights"])), components)


def to_scipy(fit: Fit) -> Any:
    """The mixture as a SciPy distribution, where one exists.

    One column: `scipy.stats.Mixture` of `Normal` (with pdf, cdf, quantiles, moments). One component: `multivariate_normal`,
    `multivariate_t`, or `poisson` for one column of counts.

    Args:
        fit: A fit of one column, or of one component.
    Raises:
        ValueError: where SciPy has no such distribution.

    Example:
        >>> import jaxem
        >>> fit = jaxem.fit(jaxem.datasets.load("faithful")["waiting"], "V", 2)
        >>> round(float(fit.to_scipy().cdf(70.0)), 2)
        0.39
    """
    from scipy import stats

    _without_noise(fit, "to_scipy")
    params, d = fit.params, len(fit.columns)
    gaussian = "covariances" in params.asdict()
    if gaussian and d == 1:
        pairs = zip(params.means[:, 0], np.sqrt(params.covariances[:, 0, 0]), strict=True)
        return stats.Mixture([stats.Normal(mu=mean, sigma=sd) for mean, sd in pairs], weights=params.weights)
    if gaussian and fit.num_components == 1:
        return stats.multivariate_normal(params.means[0], params.covariances[0])
    if "scatters" in params.asdict() and fit.num_components == 1:
        return stats.multivariate_t(params.means[0], params.scatters[0], df=params.dof[0])
    if "rates" in params.asdict() and d == fit.num_components == 1:
        return stats.poisson(params.rates[0, 0])
    raise ValueError(
        f"SciPy has no mixture of {fit.family} with K = {fit.num_components} in {d} columns; use to_numpyro, or the fit's own methods"
    )


def _without_noise(fit: Fit, what: str) -> None:
    if "noise" in fit.terms:
        raise ValueError(
            f"{what} knows mixtures of one family, and this fit has noise, whose density is constant; fit without noise"
        )


def _gaussian(fit: Fit, what: str) -> Params:
    if "covariances" not in fit.params.asdict():
        raise ValueError(f"{what} takes a Gaussian fit, and this one is {fit.family}")
    return fit.params
