"""What every step of a job has at hand."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.engine import Engine
from runner.events import Emit, Warned, ignore
from runner.modes.clock import StageClock
from runner.search.budget import Budget, Meter
from runner.store.store import Store

logger = logging.getLogger(__name__)


class Warnings:
    """What the user may want to act on: told as soon as it is known, and kept in that order."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._told: list[str] = []

    @property
    def told(self) -> tuple[str, ...]:
        """What was told so far."""
        return tuple(self._told)

    def warn(self, *messages: str) -> None:
        """Tell the messages."""
        for message in messages:
            self._told.append(message)
            self._emit(Warned(message))
            logger.warning(message)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What every step of a job has at hand; made by ``start``.

    Attributes:
        engine: runs models.
        clock: announces and times the stages of the work.
        store: keeps the results of stages; None keeps nothing.
        emit: told of events.
        meter: the budget being spent; knows what cut the work short, if anything.
        warnings: told to the user, and kept for the result.
    """

    engine: Engine
    clock: StageClock
    store: Store | None
    emit: Emit
    meter: Meter
    warnings: Warnings

    @classmethod
    def start(
        cls, engine: Engine | None = None, store: Store | None = None, emit: Emit = ignore, budget: Budget | None = None
    ) -> Context:
        """Return the context of a job that begins now.

        Args:
            engine: runs models; as many callers as are fastest by default.
            store: keeps the results of stages; None keeps nothing.
            emit: told of events.
            budget: limits of a search; none by default.
        """
        engine = engine or Engine()
        return cls(engine, StageClock(engine, emit), store, emit, Meter(budget or Budget()), Warnings(emit))
