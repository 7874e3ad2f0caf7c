"""Information criteria: pure functions of a fit's log-likelihood, its parameters and its rows. Imports the standard library only.

ℓ is the log-likelihood at the maximum in nats, p the number of free parameters, n the number of rows or their total weight.

Lower is better, everywhere. (mclust reports 2ℓ − p log n, where higher is better: its BIC is minus ours.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable


NAMES = ("aic", "aicc", "bic", "caic", "sabic", "hqic", "icl", "clc", "nec", "slope", "sbic")
UNKNOWN = float("nan")


def aic(log_likelihood: float, num_params: int) -> float:
    """Akaike's criterion, −2ℓ + 2p. Lower is better.

    Args:
        log_likelihood: ℓ at the maximum, in nats.
        num_params: p, free parameters.
    References:
        Akaike 1974, IEEE Trans. Automat. Contr. 19.

    Example:
        >>> aic(-100.0, 5)
        210.0
    """
    return -2 * log_likelihood + 2 * num_params


def bic(log_likelihood: float, num_params: int, num_rows: float) -> float:
    """The Bayesian information criterion, −2ℓ + p log n. Lower is better; minus mclust's.

    Args:
        log_likelihood: ℓ at the maximum, in nats.
        num_params: p, free parameters.
        num_rows: n, the total weight of the rows.
    References:
        Schwarz 1978, Annals of Statistics 6.

    Example:
        >>> round(bic(-100.0, 5, 100), 3)
        223.026
    """
    return -2 * log_likelihood + num_params * math.log(num_rows)


def icl(log_likelihood: float, num_params: int, num_rows: float, log_assigned: float) -> float:
    """The integrated completed likelihood by BIC, bic − 2 Σ w log max_k z: BIC that also charges for overlap. Lower is better.

    Args:
        log_likelihood: ℓ at the maximum, in nats.
        num_params: p, free parameters.
        num_rows: n, the total weight of the rows.
        log_assigned: Σ w log max_k z, the log-responsibility of each row's own component; at most 0.
    References:
        Biernacki, Celeux & Govaert 2000, IEEE PAMI 22, eq. 10 with hard assignments, as mclust has it.

    Example:
        >>> icl(-100.0, 5, 100, -10.0) - bic(-100.0, 5, 100)
        20.0
    """
    return bic(log_likelihood, num_params, num_rows) - 2 * log_assigned


def aicc(log_likelihood: float, num_params: int, num_rows: float) -> float:
    """AIC corrected for small samples, aic + 2p(p + 1)/(n − p − 1); infinite where n ≤ p + 1. Lower is better.

    Args:
        log_likelihood: ℓ.
        num_params: p.
        num_rows: n.
    References:
        Hurvich & Tsai 1989, Biometrika 76.

    Example:
        >>> aicc(-100.0, 5, 16)
        216.0
    """
    left = num_rows - num_params - 1
    correction = 2 * num_params * (num_params + 1) / left if left > 0 else math.inf
    return aic(log_likelihood, num_params) + correction


def caic(log_likelihood: float, num_params: int, num_rows: float) -> float:
    """The consistent AIC, −2ℓ + p (log n + 1). Lower is better.

    Args:
        log_likelihood: ℓ.
        num_params: p.
        num_rows: n.
    References:
        Bozdogan 1987, Psychometrika 52, eq. 44.

    Example:
        >>> round(caic(-100.0, 5, 100), 3)
        228.026
    """
    return bic(log_likelihood, num_params, num_rows) + num_params


def sabic(log_likelihood: float, num_params: int, num_rows: float) -> float:
    """BIC with n adjusted, −2ℓ + p log((n + 2)/24). Lower is better.

    Args:
        log_likelihood: ℓ.
        num_params: p.
        num_rows: n.
    References:
        Sclove 1987, Psychometrika 52.

    Example:
        >>> round(sabic(-100.0, 5, 100), 3)
        207.235
    """
    return -2 * log_likelihood + num_params * math.log((num_rows + 2) / 24)


def hqic(log_likelihood: float, num_params: int, num_rows: float) -> float:
    """Hannan and Quinn's criterion, −2ℓ + 2p log log n. Lower is better; not a number where n ≤ 1.

    Args:
        log_likelihood: ℓ.
        num_params: p.
        num_rows: n.
    References:
        Hannan & Quinn 1979, JRSS-B 41.

    Example:
        >>> round(hqic(-100.0, 5, 100), 3)
        215.272
    """
    return -2 * log_likelihood + 2 * num_params * math.log(math.log(num_rows)) if num_rows > 1 else UNKNOWN


def clc(log_likelihood: float, entropy: float) -> float:
    """The classification likelihood criterion, −2ℓ + 2E. Lower is better.

    Args:
        log_likelihood: ℓ.
        entropy: E = −Σ w Σ z log z, the entropy of the responsibilities; at least 0.
    References:
        Biernacki & Govaert 1997, Computing Science and Statistics 29.

    Example:
        >>> clc(-100.0, 10.0)
        220.0
    """
    return -2 * log_likelihood + 2 * entropy


def nec(log_likelihood: float, entropy: float, num_components: int, log_likelihood_of_one: float) -> float:
    """The normalised entropy criterion, E / (ℓ − ℓ₁), and 1 for one component. Lower is better.

    Args:
        log_likelihood: ℓ.
        entropy: E = −Σ w Σ z log z, the entropy of the responsibilities; at least 0.
        num_components: K, and one more where noise is a class.
        log_likelihood_of_one: ℓ₁, that of a single component of the same family.
    References:
        Celeux & Soromenho 1996, J. Classification 13; K = 1: Biernacki, Celeux & Govaert 1999, Pattern Recognition Letters 20.

    Example:
        >>> nec(-100.0, 10.0, 2, -150.0)
        0.2
    """
    gain = log_likelihood - log_likelihood_of_one
    return 1.0 if num_components == 1 else entropy / gain if gain > 0 else math.inf


def relative_entropy(entropy: float, num_components: int, num_rows: float) -> float:
    """How well components are told apart, 1 − E / (n log K): 1 if every row is certain, 0 if none is. Higher is better; no criterion.

    Args:
        entropy: E = −Σ w Σ z log z, the entropy of the responsibilities; at least 0.
        num_components: K, and one more where noise is a class.
        num_rows: n.
    References:
        Ramaswamy, DeSarbo, Reibstein & Robinson 1993, Marketing Science 12.

    Example:
        >>> round(relative_entropy(10.0, 2, 100), 4)
        0.8557
    """
    return 1.0 if num_components == 1 else 1 - entropy / (num_rows * math.log(num_components))


def weights(values: Iterable[float]) -> list[float]:
    """Akaike weights of AIC, Schwarz weights of BIC: exp(−Δ/2) normalised, with Δ the distance from the lowest value.

    With BIC these approximate posterior probabilities of the models, each equally probable before; what is not finite gets 0.

    Args:
        values: A criterion on the scale of −2ℓ, one value a model.
    References:
        Burnham & Anderson 2002, Model Selection and Multimodel Inference, sec. 2.9 and 6.4.

    Example:
        >>> [round(weight, 3) for weight in weights([100.0, 102.0, 110.0])]
        [0.727, 0.268, 0.005]
    """
    values = list(values)
    lowest = min((value for value in values if math.isfinite(value)), default=0.0)
    raw = [math.exp((lowest - value) / 2) if math.isfinite(value) else 0.0 for value in values]
    total = sum(raw)
    return [value / total if total else 0.0 for value in raw]


class Scored:
    """Every criterion of a record that has what they are made of. Lower is better in all of them.

    Three need more than the fit itself and are not a number where that is lacking: `nec` the log-likelihood of one component,
    `slope` and `sbic` the other fits of a selection.
    """

    log_likelihood: float
    num_params: int
    num_rows: float
    num_components: int
    log_assigned: float
    entropy: float | None
    log_likelihood_of_one: float | None
    steepness: float | None
    singular_bic: float | None

    @property
    def num_classes(self) -> int:
        """What a row may come from."""
        return self.num_components

    @property
    def aic(self) -> float:
        """Akaike's criterion; lower is better."""
        return aic(self.log_likelihood, self.num_params)

    @property
    def aicc(self) -> float:
        """Akaike's criterion corrected for small samples; lower is better."""
        return aicc(self.log_likelihood, self.num_params, self.num_rows)

    @property
    def bic(self) -> float:
        """The Bayesian information criterion; lower is better (minus mclust's)."""
        return bic(self.log_likelihood, self.num_params, self.num_rows)

    @property
    def caic(self) -> float:
        """The consistent AIC; lower is better."""
        return caic(self.log_likelihood, self.num_params, self.num_rows)

    @property
    def sabic(self) -> float:
        """BIC with n adjusted; lower is better."""
        return sabic(self.log_likelihood, self.num_params, self.num_rows)

    @property
    def hqic(self) -> float:
        """Hannan and Quinn's criterion; lower is better."""
        return hqic(self.log_likelihood, self.num_params, self.num_rows)

    @property
    def icl(self) -> float:
        """The integrated completed likelihood; lower is better."""
        return icl(self.log_likelihood, self.num_params, self.num_rows, self.log_assigned)

    @property
    def clc(self) -> float:
        """The classification likelihood criterion; lower is better."""
        return UNKNOWN if self.entropy is None else clc(self.log_likelihood, self.entropy)

    @property
    def nec(self) -> float:
        """The normalised entropy criterion; lower is better."""
        if self.entropy is None or self.log_likelihood_of_one is None:
            return UNKNOWN
        return nec(self.log_likelihood, self.entropy, self.num_classes, self.log_likelihood_of_one)

    @property
    def slope(self) -> float:
        """−2ℓ + 4κp with the steepness κ that a selection has measured (`jaxem.selection.slope_heuristic`); lower is better."""
        return UNKNOWN if self.steepness is None else -2 * self.log_likelihood + 4 * self.steepness * self.num_params

    @property
    def sbic(self) -> float:
        """The singular BIC of a selection (`jaxem.selection.singular_bic`); lower is better.

        NaN with equal weights, and where some smaller number of components, down to 1, has no sound fit.
        """
        return UNKNOWN if self.singular_bic is None else self.singular_bic

    @property
    def relative_entropy(self) -> float:
        """How well components are told apart, between 0 and 1; higher is better."""
        return UNKNOWN if self.entropy is None else relative_entropy(self.entropy, self.num_classes, self.num_rows)
