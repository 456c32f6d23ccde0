"""What a job found, in full; reports, files and trackers read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runner.dataset.subset import Subset
from runner.evaluation.evaluator import Evaluation
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import ClassScores
from runner.evaluation.uncertainty import Interval
from runner.graph.layers import LayeredModel, LeftAlone
from runner.graph.macs import LayerCost
from runner.graph.rewriting import Rewriting
from runner.job_folder import JobFolder
from runner.modes.files.write_models import Written
from runner.modes.input_values import InputsSeen
from runner.modes.proof import Proof
from runner.record import QuantizedLayers
from runner.search.end_to_end import Damage
from runner.search.pareto import Point
from runner.search.plan import Ranking, SearchResult

Status = Literal["met", "not_met", "undecided", "converted", "interrupted", "budget"]

INTERRUPTED = 130
_EXIT_STATUS: Mapping[Status, int] = {
    "met": 0,
    "undecided": 0,
    "converted": 0,
    "not_met": 3,
    "budget": 6,
    "interrupted": INTERRUPTED,
}


def exit_status(status: Status) -> int:
    """Return the process's exit status for a job that has a result."""
    return _EXIT_STATUS[status]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What was run on what.

    Attributes:
        dataset_fingerprint: of the items that the final figures are measured on.
        evaluation_items: how many those are.
        search_items: how many items plans were judged on; the same ones unless some were kept for the report.
        overlap: calibration items that are search or report items too.
        held_out: whether the search never saw the items of the final figures.
        left_out: items that no part has, so that the parts are disjoint.
    """

    model: str
    model_path: str
    model_sha256: str
    opset: int
    dataset: str
    dataset_fingerprint: str
    evaluation_items: int
    calibration_items: int
    overlap: int
    search_items: int
    held_out: bool
    left_out: int


@dataclass(frozen=True, slots=True)
class Headline:
    """The deciding figure of the float (or source) model and of the quantized one, and the loss between them."""

    name: str
    unit: str
    before: float
    after: float
    loss: float


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The float (or source) model against the quantized one, over the same items, under every metric that applies.

    Attributes:
        metrics: none where only ``judged`` is known.
        part: the items.
        judged: the deciding figure, where it is none of the metrics.
        interval: of the loss under the first metric; None where that does not decide.
        held_out: whether the search never saw the items.
    """

    metrics: Sequence[Metric]
    float_: Evaluation
    quantized: Evaluation
    classes: ClassScores | None
    part: Subset
    judged: Headline | None = None
    interval: Interval | None = None
    held_out: bool = False

    @property
    def headline(self) -> Headline:
        """The figure that decides: the first metric's, unless something else judged."""
        if self.judged is not None:
            return self.judged
        metric = self.metrics[0]
        before, after = self.value(metric, self.float_), self.value(metric, self.quantized)
        return Headline(metric.name, metric.unit, before, after, self.loss(metric))

    def value(self, metric: Metric, evaluation: Evaluation) -> float:
        """Return a metric of one of the two models."""
        return metric.aggregate(evaluation.scores[metric.name])

    def loss(self, metric: Metric) -> float:
        """Return the loss under a metric, in its unit."""
        return metric.loss(self.float_.scores[metric.name], self.quantized.scores[metric.name])

    def named(self, name: str) -> Metric | None:
        """Return the metric of a name, if it applies."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    @property
    def items(self) -> int:
        """How many items both were measured on."""
        return len(self.part.indices)


@dataclass(frozen=True, slots=True, eq=False)
class AccAutoResult:
    """The outcome of ``acc_auto``.

    Attributes:
        target_loss: what the loss had to stay below; None where an evaluator of the user's decided.
        folder: where the files are; its manifest is not written yet.
        comparison: of the chosen plan, or of the closest one where none was accepted.
        evaluations: models that this run evaluated in full; remembered results cost none.
        partial_evaluations: models that it ran over some items only, to settle a verdict or to measure damage.
        items_scored: items that any model was scored on in this run.
        written: the model pair; None where no plan was accepted, or an interruption left it unchecked.
        form: the quantized form of the chosen plan, or of the all-int8 plan where none was accepted.
        folded: names of the BatchNormalization nodes folded into their convolutions.
        rewriting: what was done to the float model for the sake of its quantized form.
        rewriting_gap: how far it, folding and the raised opset moved the float outputs, relative to the largest.
        impossible: layers that cannot be said in int8.
        skipped: names of the layers that were not to be quantized.
        proof: what holding the written files against each other showed; None where none were written.
        from_record: the scales were read from a record; nothing was calibrated, ranked or searched.
        damage: of each unit, where it was measured.
        curve: of the plans tried, where one was asked for.
        inputs: what reached the model; None where nothing looked.
        chosen: options of the preprocessing that the model's inputs settled.
        constants: inputs of the source that are fixed, and their values.
        intermediates: the folder of what flows through the model, where it was asked for.
    """

    status: Status
    source: Source
    target_loss: float | None
    comparison: Comparison
    found: LayeredModel
    impossible: tuple[LeftAlone, ...]
    folded: tuple[str, ...]
    rewriting: Rewriting
    rewriting_gap: float
    form: QuantizedLayers
    ranking: Ranking
    search: SearchResult
    costs: Mapping[str, LayerCost]
    evaluations: int
    partial_evaluations: int
    items_scored: int
    folder: JobFolder
    written: Written | None
    seconds: Mapping[str, float]
    proof: Proof | None = None
    warnings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    from_record: bool = False
    damage: Damage | None = None
    curve: tuple[Point, ...] = ()
    inputs: InputsSeen | None = None
    chosen: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    intermediates: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether the search came to its end."""
        return self.search.stopped is None

    @property
    def fallback(self) -> tuple[str, ...]:
        """Layers left float in the result, in graph order."""
        chosen = self.search.best or self.search.closest
        float_layers = {item.name for item in self.impossible} | set(chosen.plan.fallback) | set(self.skipped)
        return tuple(layer.name for layer in self.found.layers if layer.name in float_layers)

    @property
    def repaired(self) -> tuple[str, ...]:
        """Layers that the result has in a repaired int8 form, in graph order."""
        return (self.search.best or self.search.closest).plan.repaired


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one image, before and after: class and probability."""

    image: str
    before: tuple[int, float]
    after: tuple[int, float]


@dataclass(frozen=True, slots=True, eq=False)
class ConvertResult:
    """The outcome of ``convert_qat``; ``comparison`` has the Q/DQ source as "float".

    Attributes:
        coarse_outputs: names of the outputs whose values the source rounds to 8 bits.
        tied_answers: answers that differ where the source gives both classes its highest score; None without classes.
    """

    status: Status
    source: Source
    comparison: Comparison
    found: LayeredModel
    form: QuantizedLayers
    report: Mapping[str, Any]
    prediction: Prediction | None
    costs: Mapping[str, LayerCost]
    evaluations: int
    items_scored: int
    folder: JobFolder
    written: Written | None
    seconds: Mapping[str, float]
    proof: Proof | None = None
    warnings: tuple[str, ...] = field(default=())
    inputs: InputsSeen | None = None
    chosen: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    intermediates: Path | None = None
    coarse_outputs: tuple[str, ...] = ()
    tied_answers: int | None = None

    @property
    def complete(self) -> bool:
        """Whether the conversion came to its end."""
        return True

    @property
    def fallback(self) -> tuple[str, ...]:
        """Layers left float, in graph order."""
        return tuple(layer.name for layer in self.found.layers if layer.name not in self.form.layers)
