"""What every step of a job has at hand."""

from __future__ import annotations

from dataclasses import dataclass

from runner.engine import Engine
from runner.modes.stages import Stages
from runner.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What every step of a job has at hand.

    Attributes:
        engine: runs models.
        stages: announces and times the work.
        store: keeps the results of stages; None keeps nothing.
    """

    engine: Engine
    stages: Stages
    store: Store | None = None
