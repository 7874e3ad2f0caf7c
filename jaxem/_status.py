"""How a run ended: codes for the kernels, sentences for people. Imports the standard library only."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """The state of one run of EM; the first failure is kept. Stored as an integer inside compiled code.

    Example:
        >>> Status.COLLAPSED.message
        'a component shrank onto too few rows; use fewer components, shared covariances or a prior, or noise=True if rows lie far out'
    """

    RUNNING = 0
    CONVERGED = 1
    MAX_STEPS = 2
    NONFINITE = 3
    DECREASED = 4
    COLLAPSED = 5

    @property
    def message(self) -> str:
        """One sentence: what happened, and what to do about it."""
        return _MESSAGES[self]

    @property
    def failed(self) -> bool:
        """Whether the run has no usable answer of its own (its last good point is kept all the same)."""
        return self in (Status.NONFINITE, Status.DECREASED, Status.COLLAPSED)


_MESSAGES = {
    Status.RUNNING: "stopped before it was finished",
    Status.CONVERGED: "converged: less than tol is estimated to be missing from the log-likelihood",
    Status.MAX_STEPS: "still climbing after max_steps; raise max_steps, or tol if the remaining gain does not matter",
    Status.NONFINITE: "the log-likelihood was not finite at the start; check the data and the start, or use float64",
    Status.DECREASED: "the log-likelihood fell by more than rounding; use float64, or report this as a fault of the M-step",
    Status.COLLAPSED: (
        "a component shrank onto too few rows; use fewer components, shared covariances or a prior, or noise=True if rows lie far out"
    ),
}
