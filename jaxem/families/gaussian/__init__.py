"""Gaussian components: every covariance structure of Banfield & Raftery (1993) and Celeux & Govaert (1995)."""

from .family import Gaussian, gaussian
from .fixed import FixedGaussian, fix
from .params import GaussianParams, GaussianStats
from .structure import STRUCTURES, UNIVARIATE


__all__ = ["STRUCTURES", "UNIVARIATE", "FixedGaussian", "Gaussian", "GaussianParams", "GaussianStats", "fix", "gaussian"]
