"""Outputs of the float model and scores of quantized ones: what they depend on, and how they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.convert import fake_quant
from runner.convert.simulation import Simulation
from runner.evaluation import item_scorer
from runner.evaluation.float_outputs import FloatOutputs, KeptOutputs
from runner.evaluation.metric import Metric
from runner.evaluation.output_facts import OutputFacts
from runner.evaluation.outputs import ClassScores
from runner.evaluation.scores import EVALUATION, ITEM_SCORES, Evaluation, ItemScores
from runner.record import QuantizedLayers
from runner.store.stage import Codec, Stage
from runner.store.store import Entry


@dataclass(frozen=True, slots=True)
class OutputsInputs:
    """What the float model's outputs for all evaluation items depend on."""

    graph: str
    evaluation_items: str


@dataclass(frozen=True, slots=True)
class ScoresInputs:
    """What a quantized model's scores depend on.

    Attributes:
        float_graph: digest of the model that it is held against.
        graph: digest of the model that the layers are of.
        quantized_layers: those that are int8.
        labelled_items: digest of contents and labels.
        simulation: how the layers run.
        metrics: the headline metric first.
        class_scores: how they are read.
    """

    float_graph: str
    graph: str
    quantized_layers: QuantizedLayers
    labelled_items: str
    simulation: Simulation
    metrics: tuple[Metric, ...]
    class_scores: ClassScores | None


@dataclass(frozen=True, slots=True)
class ItemScoresInputs:
    """What the scores of a few items depend on: all that those of every item do (by their key), and which items."""

    scores: str
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FloatScoresInputs:
    """What the float model's own scores depend on, where its outputs are too large to be kept."""

    outputs: OutputsInputs
    labelled_items: str
    metrics: tuple[Metric, ...]
    class_scores: ClassScores | None


def _encode_outputs(seen: FloatOutputs) -> Entry:
    """Keep the facts, and the outputs where all of them are at hand; else those of the first item."""
    positions = range(len(seen.facts)) if seen.complete else range(1)
    arrays: dict[str, NDArray[Any]] = {}
    names = list(seen.facts[0])
    for number, name in enumerate(names):
        column = [seen.kept.known[position][name] for position in positions]
        if len({(array.shape, array.dtype.str) for array in column}) == 1:
            arrays[f"{number}"] = np.stack(column)
        else:
            arrays |= {f"{number}/{position}": array for position, array in enumerate(column)}
    facts = [[asdict(item[name]) for name in names] for item in seen.facts]
    return Entry({"names": names, "items": len(positions), "facts": facts}, arrays)


def _decode_outputs(entry: Entry) -> FloatOutputs:
    names, items = entry.values["names"], int(entry.values["items"])

    def column(number: int) -> Sequence[NDArray[Any]]:
        stacked = entry.arrays.get(f"{number}")
        return list(stacked) if stacked is not None else [entry.arrays[f"{number}/{i}"] for i in range(items)]

    columns = [column(number) for number in range(len(names))]
    rows = zip(*columns, strict=True) if columns else [()] * items
    facts = [dict(zip(names, map(_facts, item), strict=True)) for item in entry.values["facts"]]
    return FloatOutputs(facts, KeptOutputs(dict(enumerate(dict(zip(names, row, strict=True)) for row in rows))))


def _facts(values: Mapping[str, Any]) -> OutputFacts:
    return OutputFacts(**{**values, "shape": tuple(values["shape"])})


FLOAT_OUTPUTS: Stage[OutputsInputs, FloatOutputs] = Stage(
    "outputs of the float model",
    OutputsInputs,
    Codec(_encode_outputs, _decode_outputs),
    version=2,
    through=(item_scorer,),
)
FLOAT_SCORES: Stage[FloatScoresInputs, Evaluation] = Stage(
    "scores of a float model whose outputs are large", FloatScoresInputs, EVALUATION, through=(item_scorer,)
)
SCORES: Stage[ScoresInputs, Evaluation] = Stage(
    "scores of a plan", ScoresInputs, EVALUATION, through=(item_scorer, fake_quant)
)
SOME_SCORES: Stage[ItemScoresInputs, Mapping[int, ItemScores]] = Stage(
    "scores of a plan that was settled early, step by step", ItemScoresInputs, ITEM_SCORES, profile=None
)
