"""How many answers of one batch other executions of the quantized model change: onnxruntime's default level, int8 kernels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.dataset.binding import first_rows
from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.errors import InternalError, ModelError
from runner.evaluation.accuracy import Agreement
from runner.evaluation.model_outputs import NamedRunnable, Runs
from runner.evaluation.outputs import ClassScores, Outputs
from runner.session import plain
from runner.verify.optimized import Exact

logger = logging.getLogger(__name__)

# One batch: enough to see onnxruntime's levels and kernels part, cheap beside an evaluation.
_ITEMS = 32


@dataclass(frozen=True, slots=True)
class Gaps:
    """Shares of answers that differ from those of the fake-quant file run without any rewriting.

    Attributes:
        level: at onnxruntime's default level; None where no output is a tensor of numbers.
        int8: of the same layers in plain Q/DQ in a default session, which puts them on the CPU's int8 kernels; None where
            that cannot run either.
    """

    level: float | None
    int8: float | None


def gap_items(items: Subset) -> Subset:
    """Return those of the items that the gaps are measured on."""
    return items.at(evenly_spaced(min(_ITEMS, len(items)), len(items)))


class GapWatch:
    """Sees what the fake-quant file gives for items, and runs the other executions beside it where they count.

    Args:
        names: of the file's outputs, in order.
        usual: the file in a default session.
        int8: the layers in plain Q/DQ.
        items: that count.
        classes: how to read class scores, if it is a classifier.
        engine: makes the session of ``int8``.
    """

    def __init__(
        self,
        names: Sequence[str],
        usual: NamedRunnable,
        int8: ir.Model,
        items: Subset,
        classes: ClassScores | None,
        engine: Engine,
    ) -> None:
        self._names, self._usual, self._classes = names, usual, classes
        self._counts = frozenset(items.indices) if usual.number_names else frozenset[int]()
        # By item, for callers come in any order and sums shall not.
        self._level: dict[int, float] = {}
        self._int8: dict[int, float] | None = {}
        try:
            self._kernels: NamedRunnable | None = engine.session(int8, plain("all"))
        except (InternalError, ModelError) as error:
            self._give_up(error)

    def see(self, item: BoundItem, exact: Exact) -> None:
        """Count an item; called from several threads."""
        if item.index not in self._counts:
            return
        outputs = self._by_name(item, exact.outputs)
        self._level[item.index] = 1.0 if exact.usual else self._agrees(Runs(self._usual).of(item), outputs)
        kernels, counted = self._kernels, self._int8
        if kernels is None or counted is None:
            return
        try:
            counted[item.index] = self._agrees(Runs(kernels).of(item), outputs)
        except (InternalError, ModelError) as error:
            self._give_up(error)

    def gaps(self) -> Gaps:
        """Return the shares, of what was seen."""
        return Gaps(_gap(self._level), None if self._int8 is None else _gap(self._int8))

    def _give_up(self, error: Exception) -> None:
        logger.info("cpu_int8_gap is not known: %s", error)
        self._kernels = self._int8 = None

    def _by_name(self, item: BoundItem, arrays: Sequence[NDArray[Any]]) -> Outputs:
        numbers = frozenset(self._usual.number_names)
        named = [(name, array) for name, array in zip(self._names, arrays, strict=True) if name in numbers]
        rows = first_rows([array for _, array in named], item.repeats)
        return dict(zip([name for name, _ in named], rows, strict=True))

    def _agrees(self, outputs: Outputs, exact: Outputs) -> float:
        return float(Agreement().score(outputs, exact, None, self._classes)[0])


def _gap(agreeing: Mapping[int, float]) -> float | None:
    return 1.0 - float(np.mean([agreeing[index] for index in sorted(agreeing)])) if agreeing else None
