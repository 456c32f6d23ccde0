"""Scores that are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx_ir as ir

from runner.convert.simulation import Simulation
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.model_outputs import Runs
from runner.evaluation.score_stages import (
    FLOAT_OUTPUTS,
    FLOAT_SCORES,
    SCORES,
    FloatScoresInputs,
    OutputsInputs,
    ScoresInputs,
)
from runner.evaluation.scorer import Progress, Scorer
from runner.evaluation.scores import Evaluation
from runner.record import QuantizedLayers
from runner.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class RememberedScores:
    """Scores of models over a scorer's items, run only where they are not known; made by ``against``.

    Attributes:
        scorer: over the items.
        float_graph: digest of the float model.
        graph: digest of the model whose layers are quantized.
        simulation: how layers run.
        store: None keeps nothing.
    """

    scorer: Scorer
    float_graph: str
    graph: str
    simulation: Simulation
    store: Store | None

    @classmethod
    def against(
        cls,
        model: ir.Model,
        evaluator: Evaluator,
        *,
        float_graph: str,
        graph: str,
        simulation: Simulation,
        store: Store | None,
        progress: Progress,
    ) -> RememberedScores:
        """Return the scores against a float model, which is run where its outputs are not known."""
        inputs = OutputsInputs(float_graph, evaluator.items.content)
        seen = FLOAT_OUTPUTS.cached(store, inputs, lambda: evaluator.outputs(model, progress))
        seen = seen.made_by(lambda: Runs(evaluator.engine.session(model)))

        def own(scorer: Scorer) -> Evaluation:
            if seen.complete:
                return scorer.float_scores
            of = FloatScoresInputs(inputs, evaluator.items.fingerprint, scorer.metrics, scorer.classes)
            return FLOAT_SCORES.cached(store, of, lambda: scorer.float_scores)

        scorer = evaluator.against(seen, own)
        if not seen.complete:
            # Calibration comes next, and trials look at them in an order of their own, or not at all.
            seen.kept.forget()
        return cls(scorer, float_graph, graph, simulation, store)

    @property
    def in_trials(self) -> RememberedScores:
        """The scores that trials are judged by: without figures for which the float model would run beside each."""
        return replace(self, scorer=self.scorer.without_reference)

    def inputs(self, form: QuantizedLayers) -> ScoresInputs:
        """Return what a form's scores depend on."""
        scorer = self.scorer
        return ScoresInputs(
            self.float_graph,
            self.graph,
            form,
            scorer.items.fingerprint,
            self.simulation,
            tuple(scorer.metrics),
            scorer.classes,
        )

    def key(self, form: QuantizedLayers) -> str | None:
        """Return the key of a form's scores; None where nothing is kept."""
        return None if self.store is None else SCORES.key(self.inputs(form))

    def of_form(self, form: QuantizedLayers, build: Callable[[], ir.Model], progress: Progress) -> Evaluation:
        """Return the scores of a quantized form, whose model is built where it has to be run."""
        return SCORES.cached(self.store, self.inputs(form), lambda: self.scorer.evaluate(build(), progress))
