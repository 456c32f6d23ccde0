"""An evaluator whose results are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from runner.dataset.subset import Subset
from runner.evaluation.evaluator import Evaluation, Evaluator, Progress
from runner.modes.scoring.score_stages import FLOAT_OUTPUTS, SCORES, OutputsInputs, ScoresInputs
from runner.record import QuantizedLayers
from runner.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class RememberedScores:
    """Scores of models over the evaluator's items, run only where they are not known.

    Attributes:
        evaluator: over the items.
        items: what it evaluates on.
        float_graph: digest of the float model.
        graph: digest of the model whose layers are quantized.
        store: None keeps nothing.
    """

    evaluator: Evaluator
    items: Subset
    float_graph: str
    graph: str
    store: Store | None

    def inputs(self, form: QuantizedLayers) -> ScoresInputs:
        """Return what a form's scores depend on, once the evaluator has seen the float model."""
        evaluator = self.evaluator
        return ScoresInputs(
            self.float_graph, self.graph, form, self.items.fingerprint, tuple(evaluator.metrics), evaluator.classes
        )

    def of_float(self, model: ir.Model, progress: Progress) -> Evaluation:
        """Return the float model's scores; the evaluator refers to it from here on."""
        inputs = OutputsInputs(self.float_graph, self.items.content)
        outputs = FLOAT_OUTPUTS.cached(self.store, inputs, lambda: self.evaluator.outputs(model, progress))
        return self.evaluator.refer_to(outputs)

    def of_form(self, form: QuantizedLayers, build: Callable[[], ir.Model], progress: Progress) -> Evaluation:
        """Return the scores of a quantized form, whose model is built where it has to be run."""
        return SCORES.cached(self.store, self.inputs(form), lambda: self.evaluator.evaluate(build(), progress))
