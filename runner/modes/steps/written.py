"""What a job wrote, and what it is to be held against."""

from __future__ import annotations

from dataclasses import dataclass

from runner.search.pareto import Point
from runner.targets.target import Measured, ModelFiles


@dataclass(frozen=True, slots=True, eq=False)
class WrittenResult:
    """What was written.

    Attributes:
        models: their names; none where no plan was accepted.
        measured: what they shall be; its form is the chosen plan's, the all-int8 one where no plan was accepted.
        curve: of the plans tried, where one was asked for.
    """

    models: ModelFiles
    measured: Measured
    curve: tuple[Point, ...] = ()
