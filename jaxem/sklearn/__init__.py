"""Estimators for scikit-learn: `GaussianMixture`, in the place of its own, and `MixtureSelector`. Needs the extra `sklearn`.

The only place with scikit-learn's names (`n_components`, `n_init`, `max_iter`, …) and its meaning of `tol`.
"""

from __future__ import annotations


try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError:
    raise ModuleNotFoundError("jaxem.sklearn needs scikit-learn: python -m pip install 'jaxem[sklearn]'") from None

from ._gaussian import GaussianMixture
from ._selector import MixtureSelector


__all__ = ["GaussianMixture", "MixtureSelector"]
