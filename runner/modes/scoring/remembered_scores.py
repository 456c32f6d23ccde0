"""Scores that are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from runner.evaluation.evaluator import Evaluator
from runner.evaluation.scorer import Progress, Scorer
from runner.evaluation.scores import EVALUATION, Evaluation
from runner.modes.codecs import OUTPUTS
from runner.modes.keys import StageKeys
from runner.record import QuantizedLayers
from runner.store.remembered import remembered
from runner.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class RememberedScores:
    """Scores of models over a scorer's items, run only where they are not known; made by ``against``.

    Attributes:
        scorer: over the items that the keys are for.
        keys: of the job's stages.
        store: None keeps nothing.
    """

    scorer: Scorer
    keys: StageKeys
    store: Store | None

    @classmethod
    def against(
        cls, model: ir.Model, evaluator: Evaluator, keys: StageKeys, store: Store | None, progress: Progress
    ) -> RememberedScores:
        """Return the scores against a float model, which is run where its outputs are not known."""
        outputs = remembered(store, keys.outputs(), lambda: evaluator.outputs(model, progress), OUTPUTS)
        return cls(evaluator.against(outputs), keys, store)

    def key(self, form: QuantizedLayers) -> str | None:
        """Return the key of a form's scores."""
        return self.keys.scores(form, self.scorer)

    def of_form(self, form: QuantizedLayers, build: Callable[[], ir.Model], progress: Progress) -> Evaluation:
        """Return the scores of a quantized form, whose model is built where it has to be run."""
        return remembered(self.store, self.key(form), lambda: self.scorer.evaluate(build(), progress), EVALUATION)
