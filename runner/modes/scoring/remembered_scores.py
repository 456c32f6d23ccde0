"""An evaluator whose results are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from runner.evaluation.evaluator import EVALUATION, Evaluation, Evaluator, Progress
from runner.modes.codecs import OUTPUTS
from runner.modes.keys import StageKeys
from runner.record import QuantizedLayers
from runner.store.remembered import remembered
from runner.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class RememberedScores:
    """Scores of models over the evaluator's items, run only where they are not known.

    Attributes:
        evaluator: over the items that the keys are for.
        keys: of the job's stages.
        store: None keeps nothing.
    """

    evaluator: Evaluator
    keys: StageKeys
    store: Store | None

    def of_float(self, model: ir.Model, progress: Progress) -> Evaluation:
        """Return the float model's scores; the evaluator refers to it from here on."""
        outputs = remembered(self.store, self.keys.outputs(), lambda: self.evaluator.outputs(model, progress), OUTPUTS)
        return self.evaluator.refer_to(outputs)

    def of_form(self, form: QuantizedLayers, build: Callable[[], ir.Model], progress: Progress) -> Evaluation:
        """Return the scores of a quantized form, whose model is built where it has to be run."""
        return remembered(
            self.store,
            self.keys.scores(form, self.evaluator),
            lambda: self.evaluator.evaluate(build(), progress),
            EVALUATION,
        )
