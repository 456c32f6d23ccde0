"""How long a search may go on, and what cut it short; what it has found by then is its result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from runner.errors import ConfigError
from runner.search.plan import Stopped

# The float model and the plan with every layer int8: without them there is no result.
_LEAST_EVALUATIONS = 2

T = TypeVar("T")


class BudgetSpentError(Exception):
    """The search may not go on."""


# What may cut a job's work short, of which there is a result all the same; see ``Meter``.
STOPS = (BudgetSpentError, KeyboardInterrupt)


@dataclass(frozen=True, slots=True)
class Budget:
    """``budget``: limits of a search; None for no limit. The float model and the all-int8 plan are always evaluated.

    Attributes:
        minutes: from the job's start.
        evaluations: models evaluated in full, the float one and remembered ones included, so that the same command ends
            at the same plan however much of it is remembered.
    """

    minutes: float | None = None
    evaluations: int | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"budget.minutes: expected more than 0, or null for no limit, got {self.minutes}.")
        if self.evaluations is not None and self.evaluations < _LEAST_EVALUATIONS:
            raise ConfigError(
                f"budget.evaluations: expected {_LEAST_EVALUATIONS} or more (the float model and the all-int8 plan are "
                f"always evaluated), or null for no limit, got {self.evaluations}."
            )


class Meter:
    """A job's budget being spent, from now on; alone turns a spent budget or an interruption into a value.

    Attributes:
        stopped: what cut the work short, if anything; once interrupted it stays so.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget, self._start = budget, time.monotonic()
        self.stopped: Stopped | None = None

    @contextlib.contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Run work that may be cut short; what did so is kept in ``stopped``, and the caller goes on with what there is."""
        try:
            yield
        except BudgetSpentError:
            self.stopped = self.stopped or "budget"
        except KeyboardInterrupt:
            self.stopped = "interrupted"

    def unless_interrupted(self, step: Callable[[], T]) -> T | None:
        """Return what a step gives; None where the job was interrupted before, or the step is cut short: see ``stopped``."""
        if self.stopped != "interrupted":
            with self.until_stopped():
                return step()
        return None

    def in_full(self, step: Callable[[], T]) -> T:
        """Return what a short step gives that has to come to its end: an interruption is noted, and the step is begun anew."""
        try:
            return step()
        except KeyboardInterrupt:
            self.stopped = "interrupted"
            return step()

    def check(self, evaluations: int = 0) -> None:
        """Return while there is something left.

        Args:
            evaluations: models evaluated so far, where the next one is about to begin.

        Raises:
            BudgetSpentError: nothing is left.
        """
        minutes, most = self._budget.minutes, self._budget.evaluations
        if minutes is not None and time.monotonic() - self._start >= 60 * minutes:
            raise BudgetSpentError
        if most is not None and evaluations >= most:
            raise BudgetSpentError
