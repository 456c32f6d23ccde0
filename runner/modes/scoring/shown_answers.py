"""What both models answer for the items that a report shows, where a metric's rows do not hold it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert import fake_quant
from runner.convert.simulation import Simulation
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.evaluation import item_scorer
from runner.evaluation.metric import ShowsAnswers
from runner.evaluation.model_outputs import Runs
from runner.modes.result import AnswerPair
from runner.record import QuantizedLayers
from runner.session import SIMULATION, Profile
from runner.store.stage import Codec, Stage
from runner.store.store import Entry

# Items that are shown, of them those that got better, and pixels a side of what is shown of each.
MOST, GAINED, SIDE = 12, 3, 320


@dataclass(frozen=True, slots=True)
class ShownInputs:
    """What the answers depend on.

    Attributes:
        source_graph: digest of the float (or source) model.
        graph: digest of the model that the layers are of.
        quantized_layers: those that are int8.
        shown_items: digest of contents and labels.
        simulation: how the layers run.
        metric: reads the answers.
    """

    source_graph: str
    graph: str
    quantized_layers: QuantizedLayers
    shown_items: str
    simulation: Simulation
    metric: ShowsAnswers


def _encode(pairs: Sequence[AnswerPair]) -> Entry:
    named = {f"{number}/{which}": array for number, pair in enumerate(pairs) for which, array in enumerate(pair)}
    return Entry(len(pairs), named)


def _decode(entry: Entry) -> list[AnswerPair]:
    return [(entry.arrays[f"{number}/0"], entry.arrays[f"{number}/1"]) for number in range(int(entry.values))]


SHOWN_ANSWERS: Stage[ShownInputs, Sequence[AnswerPair]] = Stage(
    "answers of items that a report shows", ShownInputs, Codec(_encode, _decode), through=(item_scorer, fake_quant)
)


def answer_pairs(
    source: ir.Model,
    quantized: Callable[[], ir.Model],
    items: Subset,
    metric: ShowsAnswers,
    engine: Engine,
    *,
    runs: Profile,
) -> list[AnswerPair]:
    """Return what two models answer for items, one model after the other.

    Args:
        source: the float (or source) model.
        quantized: makes the other.
        items: to be shown.
        metric: reads the answers.
        engine: runs models.
        runs: the profile of the quantized model's session.
    """
    before = _answers(source, items, metric, engine, SIMULATION)
    return list(zip(before, _answers(quantized(), items, metric, engine, runs), strict=True))


def _answers(
    model: ir.Model, items: Subset, metric: ShowsAnswers, engine: Engine, profile: Profile
) -> list[NDArray[np.int32]]:
    session = engine.session(model, profile)
    runs = Runs(session)

    def answer(item: BoundItem) -> NDArray[np.int32]:
        return metric.answer(runs.of(item), items.dataset.label(item.index), SIDE)

    with contextlib.closing(engine.each(session, items, answer)) as each:
        return list(each)
