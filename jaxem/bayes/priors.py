"""Priors by name, from data or from a fit, and the checks of those a user brings. Imports layers 0 to 3.

Every number that a prior takes from the data is worth about one row, or is spread over their whole range: the prior keeps the posterior
proper, and says next to nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import families, tabular
from ..families.gaussian.prior import settled
from ..prior import Prior
from ..spread import matrices
from .categorical import CategoricalPrior
from .gaussian import DIAGONAL, FULL, SHAPES, SPHERICAL, GaussianPrior, code_of
from .poisson import PoissonPrior
from .student import StudentPrior


if TYPE_CHECKING:
    from ..result import Fit

NAMES = ("weak", "fraley-raftery", "richardson-green")
OTHERS = "poisson", "categorical"  # families with a prior of their own kind
SHRINKAGE = 0.01  # rows that the prior of a mean is worth
KNOWN = GaussianPrior, StudentPrior, PoissonPrior, CategoricalPrior


def weak(fit: Fit, data: Any, *, concentration: float = 1.0) -> Any:
    """A prior worth about one row, placed by the fit: the default of `Fit.posterior`.

    Covariances have, as their mean, the fit's covariance W pooled within components: inverse Wishart(d + 2, W); of diagonal structures
    each entry inverse gamma(3/2, W_jj/2); of spherical ones, where a row tells of the variance d times, inverse gamma((d + 2)/2, tr W/2).
    Given n rows with covariance S about the component's mean, the posterior mean is then (W + n S)/(1 + n). Means are those of the data
    with a hundredth of a row. Scatter matrices of t components have what covariances have, and their degrees of freedom ν, where these
    are not known, ν − 1 ~ Γ(2, 0.1). Poisson rates have an exponential prior with the data's mean. The probabilities of a column's
    categories are uniform, Dirichlet(1, …, 1): worth a row for each category.

    Args:
        fit: The fitted mixture.
        data: The rows it was fitted to.
        concentration: Dirichlet concentration of each mixing weight.
    """
    x = fit.rows(data)
    if fit.family == "poisson":
        return PoissonPrior(np.ones(x.shape[1]), 1.0 / _positive_mean(x), None, None, _concentration(concentration))
    if fit.family == "categorical":
        return _uniform(x, concentration)
    within = np.einsum("k,kij->ij", fit.params.weights, np.asarray(matrices(fit)))
    d = x.shape[1]

    def of(code: str) -> GaussianPrior:
        prior = _natural(x, code, concentration)
        if prior.shape == DIAGONAL:  # each entry stands alone, like the one variance of a single column
            return dataclasses.replace(prior, dof=np.float64(3.0), scale=within)
        return dataclasses.replace(prior, scale=d * within if prior.shape == SPHERICAL else within)

    return _of_components(fit.family, d, of)


def fraley_raftery(data: Any, family: Any, num_components: int, *, concentration: float = 1.0) -> GaussianPrior | StudentPrior:
    """Fraley & Raftery's prior: normal-inverse-Wishart about the data's mean, the data's covariance shared out to the components.

    The prior of `jaxem.fit(prior="fraley-raftery")`: κ = 0.01, dof = d + 2, scale = covariance of the data / K^(2/d); diagonal and
    spherical structures have the mean of its diagonal in every column, so that columns should be of like scale. It pulls components
    that are much narrower than this towards it. Variances of diagonal and spherical structures have the mean scale/d under it, and those
    of diagonal ones the weight of d rows: in many columns that is no weak prior. t components are treated as by `weak`.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame.
        family: A structure with a conjugate prior, Gaussian or of t components, as for `jaxem.fit`: a name or a `Family`.
        num_components: K.
        concentration: Dirichlet concentration of each mixing weight.
    References:
        Fraley & Raftery 2007, Journal of Classification 24, sec. 3.2.
    """
    x = tabular.read(data).x
    d, k = x.shape[1], tabular.count("num_components", num_components)

    def of(code: str) -> GaussianPrior:
        _check_varying(x)
        structure = families.resolve(code, d)[0].structure
        scale = settled(Prior(), structure, k, x.mean(0), np.atleast_2d(np.cov(x.T)))["scale"]
        prior = _natural(x, code, concentration)
        return dataclasses.replace(prior, scale=np.array(scale) if np.ndim(scale) else scale * np.eye(d))

    return _of_components(family, d, of)


def richardson_green(data: Any, family: Any, *, concentration: float = 1.0) -> Any:
    """Richardson & Green's hierarchical prior: it does not depend on K, and learns the size of the covariances from the data.

    Means are spread over the range R of the data, N(midpoint, R²); with β learned, σ⁻² ~ Γ(2, β) and β ~ Γ(0.2, 10/R²). For full
    covariances in d columns Σ⁻¹ ~ Wishart with 4 + (d − 1) degrees of freedom, and its scale has 0.4 + (d − 1). For Poisson rates the
    counterpart is λ ~ Γ(1, β), β ~ Γ(0.5, mean/2). t components and categories are treated as by `weak`.

    Args:
        data: Rows: array-like (n, d) or (n,), or a data frame.
        family: A structure with a conjugate prior, Gaussian or of t components, or "poisson", as for `jaxem.fit`: a name or a `Family`.
        concentration: Dirichlet concentration of each mixing weight.
    References:
        Richardson & Green 1997, JRSS-B 59, sec. 2; in several columns: Stephens 2000, Annals of Statistics 28, sec. 3.
    """
    x = tabular.read(data).x
    d = x.shape[1]

    def of(code: str) -> GaussianPrior | PoissonPrior | CategoricalPrior:
        if code == "categorical":
            return _uniform(x, concentration)
        if code == "poisson":
            half = np.full(d, 0.5)
            return PoissonPrior(np.ones(d), None, half, half * _positive_mean(x), _concentration(concentration))
        _check_varying(x)
        extent = np.ptp(x, axis=0)
        more = d - 1.0 if SHAPES[code][1] == FULL else 0.0
        return GaussianPrior(
            location=(x.max(0) + x.min(0)) / 2,
            shrinkage=None,
            location_precision=np.diag(extent**-2.0),
            dof=np.float64(4.0 + more),
            scale=None,
            hyper_dof=np.float64(0.4 + more),
            hyper_rate=np.diag(10.0 * extent**-2.0),
            concentration=_concentration(concentration),
            family=code,
        )

    return _of_components(family, d, of, *OTHERS)


def resolve(prior: Any, fit: Fit, data: Any) -> Any:
    """The prior that a user means for a fit: a name, a prior, or None for the weak one.

    Raises:
        ValueError: for an unknown name, a family that no prior is known for, and a prior of the wrong shape or with impossible values.
        TypeError: if it is neither a name nor a prior.
    """
    check_family(fit.family, len(fit.columns))
    if prior is None or prior == "weak":
        return weak(fit, data)
    if isinstance(prior, str):
        if prior not in NAMES or (prior == "fraley-raftery" and fit.family in OTHERS):
            raise ValueError(f"prior must be one of {', '.join(map(repr, NAMES))} or a prior object, got {prior!r}")
        x = fit.rows(data)
        return richardson_green(x, fit.family) if prior == NAMES[2] else fraley_raftery(x, fit.family, fit.num_components)
    if not isinstance(prior, KNOWN):
        raise TypeError(f"prior must be a name or a prior made by jaxem.bayes, got {type(prior).__name__}")
    if prior.family != fit.family:
        raise ValueError(f"prior is for family {prior.family!r}, but the fit's is {fit.family!r}")
    return checked(prior, len(fit.columns))


def check_family(family: str, num_features: int) -> None:
    """See that a family has a conjugate prior.

    Raises:
        ValueError: if it has none.
    """
    if not families.known(family) or _structure(family, num_features)[0] not in (*SHAPES, *OTHERS):
        known = ", ".join([*SHAPES, *(f"t{code}" for code in SHAPES), *OTHERS])
        raise ValueError(f"no conjugate prior is known for family {family!r}; the posterior is there for {known}")


def checked(prior: Any, num_features: int) -> Any:
    """The same prior in float64, once every number is known to be possible for d columns.

    Raises:
        ValueError: naming the field, what was expected and what came.
    """
    d = num_features
    if isinstance(prior, StudentPrior):
        gamma = {name: _number(name, getattr(prior, name), 0.0) for name in ("dof_shape", "dof_rate")}
        return dataclasses.replace(prior, normal=checked(prior.normal, d), **gamma)
    prior = dataclasses.replace(prior, concentration=_concentration(prior.concentration))
    if isinstance(prior, CategoricalPrior):
        return _checked_categories(prior, d)
    if isinstance(prior, PoissonPrior):
        one, two = ("rate",), ("hyper_shape", "hyper_rate")
        _alternatives(prior, one, two)
        names = ("shape", *(two if prior.hierarchical else one))
        return dataclasses.replace(prior, **{name: _vector(name, getattr(prior, name), d, positive=True) for name in names})
    _alternatives(prior, ("shrinkage",), ("location_precision",))
    _alternatives(prior, ("scale",), ("hyper_dof", "hyper_rate"))
    values: dict[str, Any] = {"location": _vector("location", prior.location, d, positive=False)}
    least = d - 1.0 if prior.shape == FULL else 0.0
    numbers = {"shrinkage": 0.0, "dof": least, "hyper_dof": least}
    for name, bound in numbers.items():
        if getattr(prior, name) is not None:
            values[name] = _number(name, getattr(prior, name), bound)
    for name in ("location_precision", "scale", "hyper_rate"):
        if getattr(prior, name) is not None:
            values[name] = _matrix(name, getattr(prior, name), d)
    return dataclasses.replace(prior, **values)


def _checked_categories(prior: CategoricalPrior, num_features: int) -> CategoricalPrior:
    strength = np.asarray(prior.strength, float)
    if strength.ndim != 2 or len(strength) != num_features:
        raise ValueError(f"strength must have shape ({num_features}, m), one row a column, got shape {strength.shape}")
    if len(prior.there) != num_features or not all(own and max(own) < strength.shape[1] for own in prior.there):
        raise ValueError(
            f"there must have the numbers of the categories of each of {num_features} columns, got {prior.there!r:.80}"
        )
    if not (np.isfinite(strength).all() and (strength[prior.exists()] > 0).all()):
        raise ValueError("strength must be finite, and positive for every category that is there")
    return dataclasses.replace(prior, strength=strength)


def _uniform(x: np.ndarray, concentration: float) -> CategoricalPrior:
    """All probabilities of the categories that rows (n, d) have alike probable."""
    there = tuple(tuple(np.unique(column).astype(int).tolist()) for column in x.T)
    most = 1 + max(max(own) for own in there)
    return CategoricalPrior(np.ones((x.shape[1], most)), _concentration(concentration), there)


def _of_components(family: Any, num_features: int, of: Callable[[str], Any], *others: str) -> Any:
    """The prior of a family: of Gaussian components, or of one of `others`, what `of` makes for the code; of t components, with it."""
    code, t = _structure(family, num_features)
    if t is None:
        return of(code_of(family, num_features, *others))
    if code not in SHAPES:
        raise ValueError(f"family must be one of {', '.join(SHAPES)}, or a t before one, got {t.name!r}")
    return StudentPrior(of(code), dof="equal" if t.common else 1 / t.known if t.known else None)


def _structure(family: Any, num_features: int) -> tuple[Any, Any]:
    """The code of one family's Gaussian structure, and the family if it is of t components; or its name."""
    found = families.resolve([family], num_features)
    if len(found) == 1 and isinstance(found[0], families.Student):
        return found[0].normal.name, found[0]
    return found[0].name, None


def _natural(x: np.ndarray, family: str, concentration: float) -> GaussianPrior:
    """The normal-inverse-Wishart prior about the data's mean, its scale still to be set."""
    d = x.shape[1]
    return GaussianPrior(
        location=x.mean(0),
        shrinkage=np.float64(SHRINKAGE),
        location_precision=None,
        dof=np.float64(d + 2.0),
        scale=np.eye(d),
        hyper_dof=None,
        hyper_rate=None,
        concentration=_concentration(concentration),
        family=family,
    )


def _check_varying(x: np.ndarray) -> None:
    """See that no column is constant."""
    constant = np.ptp(x, axis=0) == 0
    if constant.any():
        raise ValueError(f"column {int(constant.argmax()) + 1} of the data is constant: leave it out")


def _positive_mean(x: np.ndarray) -> np.ndarray:
    return np.maximum(x.mean(0), 1.0 / len(x))


def _alternatives(prior: Any, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Exactly one of two sets of fields is given."""
    given = [all(getattr(prior, name) is not None for name in names) for names in (one, other)]
    if sum(given) != 1:
        raise ValueError(f"prior: give either {' and '.join(one)} or {' and '.join(other)}, and not both")


def _concentration(value: Any) -> Any:
    return _number("concentration", value, 0.0)


def _number(name: str, value: Any, bound: float) -> Any:
    array = _array(name, value)
    if array.shape != () or not array > bound:
        raise ValueError(f"prior: {name} must be one number above {bound:g}, got {value!r}")
    return np.float64(array)


def _vector(name: str, value: Any, d: int, *, positive: bool) -> np.ndarray:
    array = _array(name, value)
    if array.shape != (d,):
        raise ValueError(f"prior: {name} must have shape ({d},), one entry a column, got shape {array.shape}")
    if positive and not (array > 0).all():
        raise ValueError(f"prior: {name} must be positive, got {array.min():g}")
    return array


def _matrix(name: str, value: Any, d: int) -> np.ndarray:
    array = _array(name, value)
    if array.shape != (d, d):
        raise ValueError(f"prior: {name} must have shape ({d}, {d}), got shape {array.shape}")
    if not np.allclose(array, array.T) or np.linalg.eigvalsh(array)[0] <= 0:
        raise ValueError(f"prior: {name} must be symmetric positive definite, and is not")
    return array


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"prior: {name} must be numbers, got {value!r}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"prior: {name} must be finite, got {value!r}")
    return array
