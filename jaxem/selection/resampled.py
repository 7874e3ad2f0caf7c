"""A selection's cells, refitted to resamples of its data. Imports layers 0 to 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import again, init, tabular
from .. import families as family_names
from ..models.mixture import MixtureParams
from ..options import Options
from ..problem import Problem
from ..replicates import Outcome, Replicates, Task
from ..units import points
from .lrt import FIRST_RANDOM


if TYPE_CHECKING:
    from ..result import Fit
    from .outcome import Selection

Key = tuple[str, int]


class Room:
    """Cells of one kind of families, and their data in the same internal units.

    Args:
        fits: The cells' fits.
        data: The data of the selection, its columns only.
        weights: Row weights.
        prior: The prior of the selection, as plain numbers.
        label: Known components of the rows, −1 where they are not known; None where nothing is known.
    """

    def __init__(
        self,
        fits: list[Fit],
        data: np.ndarray,
        weights: np.ndarray,
        prior: dict[str, Any] | None = None,
        label: np.ndarray | None = None,
    ):
        self.fits = fits
        self.names = list(dict.fromkeys(fit.family for fit in fits))
        sources = {fit.family: fit.source for fit in fits}
        families = family_names.resolve([sources[name] or name for name in self.names], data.shape[1])
        options = Options.as_of(fits[0], prior)
        table = tabular.Table(data, weights, fits[0].columns, label=label).without_empty_rows()
        sizes = sorted({fit.num_components for fit in fits})
        self.problem = problem = Problem(table, families, sizes, options)
        self.models = [cell.model for cell in problem.cells]
        self.place = {(cell.family.name, cell.num_components): number for number, cell in enumerate(problem.cells)}
        self.weight = problem.table.weight
        half = -(-max(sizes) // 2)
        self.parts = [part for part in ([f for f in fits if (f.num_components > half) == big] for big in (False, True)) if part]

    def refit(
        self, own: Callable[[int], np.ndarray], count: int, num_restarts: int, seed: tuple[int, ...]
    ) -> dict[Key, list[Outcome]]:
        """Every cell on every resample, from the fit to all rows and from random starts on the resample."""
        problem, out = self.problem, {}
        unit = points(problem.bound[0], problem.units.guesses, self.weight)
        noisy = problem.terms.region is not None
        # The starts of all resamples live side by side, and with noise are of two kinds.
        space = init.KEPT_BYTES // (count * (1 + noisy))
        told: dict[str, Any] = {"noisy": noisy, "label": problem.table.label, "room": space}
        draws = [init.draws(unit, own(number), (*seed, number), **told) for number in range(count)]
        for part in self.parts:
            replicates = self._replicates(own, part)
            tasks = []
            for fit in part:
                k = fit.num_components
                random = range(FIRST_RANDOM, FIRST_RANDOM + num_restarts * (not fit.closed))
                known = self.params(fit)
                tasks += [
                    Task(
                        number,
                        self.place[fit.family, k],
                        k,
                        [known, *(draws[number].draw("portfolio", k, r)[1] for r in random)],
                    )
                    for number in range(count)
                ]
            outcomes = iter(replicates.fit(tasks))
            out |= {(fit.family, fit.num_components): [next(outcomes) for _ in range(count)] for fit in part}
        return out

    def params(self, fit: Fit) -> MixtureParams:
        """A fit's params in internal units."""
        components = self.models[self.place[fit.family, fit.num_components]].family.adopt(
            fit.params.asdict(), self.problem.units.centre, self.problem.units.scale
        )
        return MixtureParams(np.log(fit.params.weights), components)

    def log_joint(self, name: str, params: Sequence[MixtureParams]) -> Iterator[np.ndarray]:
        """log p(component, row) in the data's units, (k, n) for each of some fits of one family, on all rows; with noise, one row more."""
        widest = [fit for fit in self.parts[-1] if fit.num_components >= max(len(point.log_weights) for point in params)]
        reader = self._replicates(self.weight, widest or self.parts[-1])
        family = np.full(len(params), next(number for (own, _), number in self.place.items() if own == name))
        for joint in reader.log_joint(params, family, np.zeros(len(params), int)):
            yield joint + self.problem.units.row_offset

    def _replicates(self, weight: Any, part: list[Fit]) -> Replicates:
        width, label = max(fit.num_components for fit in part), self.problem.table.label
        return Replicates(self.problem.units.rows, weight, self.models, width, label=label)


def rooms(selection: Selection, data: Any, weights: Any, labels: Any = None) -> list[Room]:
    """The selection's fits by kind of family, each kind with the data in its own units.

    Raises:
        ValueError: if these are not the data that the selection was made from.
        RuntimeError: if no cell has a fit.
    """
    fits = [fit for fit in selection.fits.values() if not fit.status.failed]
    if not fits:
        raise RuntimeError("no cell of the selection has a fit: there is nothing to begin with on parts of the rows")
    some = next(iter(selection.ranking()), fits[0])
    again.read(some, data, weights, labels)
    rows = some.rows(data, missing=True)
    given = tabular.read(rows, weights, labels, missing=True)
    groups: dict[Any, list[Fit]] = {}
    for fit in fits:
        family = fit._family()
        groups.setdefault((family_names.kind(family), fit.columns), []).append(fit)
    prior = selection.settings.get("prior")
    return [Room(group, group[0].rows(data, missing=True), given.weight, prior, given.label) for group in groups.values()]
