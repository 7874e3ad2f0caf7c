"""What `verbose` prints of runs, while they are under way. Imports layer 0."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .._status import Status


ENDS = {Status.CONVERGED: "converged", Status.COLLAPSED: "collapsed"}


class Course:
    """Prints iterations in scikit-learn's words; runs side by side take turns, each under its number.

    Args:
        verbose: 1 for the iterations, 2 for times and changes of the lower bound as well.
        interval: Iterations between lines.
        several: Whether there is more than one run.
    """

    def __init__(self, verbose: int, interval: int, several: bool):
        self.detailed, self.interval, self.several = verbose > 1, interval, several
        self.begun = self.last = time.perf_counter()
        self.speaking = -1

    def heard(self, number: int, bounds: Sequence[float], new: int) -> None:
        """Tell of a run's latest iterations.

        Args:
            number: Of the run.
            bounds: Its lower bounds up to now.
            new: How many of them have just come.
        """
        for step in range(len(bounds) - new + 1, len(bounds) + 1):
            if step == 1 or (step % self.interval == 0 and number != self.speaking):
                print(f"Initialization {number}")  # noqa: T201
                self.speaking = number
            if step % self.interval:
                continue
            now, change = time.perf_counter(), bounds[step - 1] - (bounds[step - 2] if step > 1 else -float("inf"))
            more = f"\t time lapse {now - self.last:.5f}s\t ll change {change:.5f}" if self.detailed else ""
            print(f"  Iteration {step}{more}", flush=True)  # noqa: T201
            self.last = now

    def ended(self, number: int, status: Status, bound: float) -> None:
        """Tell how a run ended.

        Args:
            number: Of the run.
            status: How.
            bound: Its last lower bound.
        """
        name = f"Initialization {number}" if self.several else "Initialization"
        more = f" time lapse {time.perf_counter() - self.begun:.5f}s\t lower bound {bound:.5f}." if self.detailed else ""
        print(f"{name} {ENDS.get(status, 'did not converge')}.{more}", flush=True)  # noqa: T201
