"""Pictures of selections and fits. Each function takes an `Axes`, or makes one, draws on it and returns it; none shows it.

Clusters are numbered from 1, the largest first, as in reports and by the command; in `Fit.predict`, `Fit.params` and all other
arrays they are numbered from 0, and cluster 1 is component 0.

Colours are those of Okabe & Ito (2008), which the colour-blind can tell apart, and markers differ as well. Without `ax` a
figure of its own is made, outside pyplot: nothing global changes, no display is needed, and a notebook shows it. Imports spread
and NumPy; matplotlib in functions.
"""

from .._picture import COLOURS, MARKERS, figure
from ..spread import moments, separation
from ._clusters import clusters, density, pairs
from ._profile import merging_tree, profile
from ._rows import responsibilities, uncertainty
from ._selection import criteria, restarts, traces


__all__ = [
    "COLOURS",
    "MARKERS",
    "clusters",
    "criteria",
    "density",
    "figure",
    "merging_tree",
    "moments",
    "pairs",
    "profile",
    "responsibilities",
    "restarts",
    "separation",
    "traces",
    "uncertainty",
]
