"""The answer for one item, before and after: what the conversion shows of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import onnx_ir as ir

from runner.convert import fake_quant
from runner.convert.simulation import Simulation
from runner.dataset.binding import bind, first_rows, repeats
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.evaluation import item_scorer
from runner.evaluation.model_outputs import named_outputs
from runner.evaluation.outputs import ClassScores
from runner.modes.result import Prediction
from runner.record import QuantizedLayers
from runner.session import Profile
from runner.store.stage import Codec, Stage
from runner.store.store import Entry


@dataclass(frozen=True, slots=True)
class PredictionInputs:
    """What the answers for one item depend on.

    Attributes:
        source_graph: digest of the model before.
        graph: digest of the model that the layers are of.
        quantized_layers: those that are int8 after.
        item: digest of its content.
        item_name: part of what is kept.
        simulation: how the layers run.
        class_scores: how they are read.
    """

    source_graph: str
    graph: str
    quantized_layers: QuantizedLayers
    item: str
    item_name: str
    simulation: Simulation
    class_scores: ClassScores | None


def _decode_prediction(entry: Entry) -> Prediction | None:
    if entry.values is None:
        return None
    pairs = {key: tuple(value) for key, value in entry.values.items() if isinstance(value, list)}
    return Prediction(**{**entry.values, **pairs})


PREDICTION: Stage[PredictionInputs, Prediction | None] = Stage(
    "answers for one item",
    PredictionInputs,
    Codec(lambda prediction: Entry(None if prediction is None else asdict(prediction)), _decode_prediction),
    through=(item_scorer, fake_quant),
)


def predict(
    models: Sequence[tuple[ir.Model, Profile]],
    dataset: Dataset,
    index: int,
    classes: ClassScores | None,
    engine: Engine,
) -> Prediction | None:
    """Return the answers of two models to one item, each in its own kind of session; None where they give no class scores."""
    if classes is None:
        return None
    answers = []
    for session in itertools.starmap(engine.session, models):
        item = dataset.item(index)
        arrays = session.run(bind(item, session.inputs, name=dataset.name(index)), session.number_names)
        outputs = named_outputs(session, first_rows(arrays, repeats(item, session.inputs)))
        if not classes.has_answer(outputs):
            return None
        answer = classes.answer(outputs)
        answers.append((answer, float(classes.probabilities(outputs)[answer])))
    return Prediction(dataset.name(index), answers[0], answers[1])
