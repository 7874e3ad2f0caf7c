"""Gaussian components: every covariance structure of Banfield & Raftery (1993) and Celeux & Govaert (1995)."""

from .family import Gaussian, GaussianParams, GaussianStats, gaussian
from .structure import STRUCTURES, UNIVARIATE


__all__ = ["STRUCTURES", "UNIVARIATE", "Gaussian", "GaussianParams", "GaussianStats", "gaussian"]
