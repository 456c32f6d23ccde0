"""What a job wrote, and what it is to be held against."""

from __future__ import annotations

from dataclasses import dataclass

from runner.modes.files.check_files import Measured
from runner.search.pareto import Point
from runner.targets.ascend.model_files import ModelPair


@dataclass(frozen=True, slots=True, eq=False)
class WrittenResult:
    """What was written.

    Attributes:
        pair: the models; None where no plan was accepted.
        measured: what they shall be; its form is the chosen plan's, the all-int8 one where no plan was accepted.
        curve: of the plans tried, where one was asked for.
    """

    pair: ModelPair | None
    measured: Measured
    curve: tuple[Point, ...] = ()
