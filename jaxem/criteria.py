"""Information criteria: pure functions of a fit's log-likelihood, its parameters and its rows. Imports the standard library only.

Lower is better, everywhere. (mclust reports 2ℓ − p log n, where higher is better: its BIC is minus ours.)
"""

from __future__ import annotations

import math


NAMES = ("aic", "bic", "icl")


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
