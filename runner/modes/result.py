"""What a job found, in full; reports, files and trackers read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from runner.dataset.subset import Subset
from runner.evaluation.changes import Change, changes
from runner.evaluation.distance import OutputSums, Sqnr, SqnrOfEvery
from runner.evaluation.metric import Metric, TellsChanges
from runner.evaluation.outputs import ClassScores
from runner.evaluation.scores import Evaluation
from runner.evaluation.uncertainty import Interval
from runner.graph.layers import LayeredModel, LeftAlone
from runner.graph.macs import LayerCost
from runner.graph.rewriting import Rewriting
from runner.job_folder import JobFolder
from runner.layer_noise.along import NoiseAlong
from runner.modes.input_values import InputsSeen
from runner.record import QuantizedLayers
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.pareto import Point
from runner.search.plan import Ranking, SearchResult
from runner.search.sensitivity import Sensitivity
from runner.targets.ascend.target import Ascend
from runner.targets.target import ModelFiles, Target

# What the float model and the quantized one answered.
AnswerPair = tuple[NDArray[np.int32], NDArray[np.int32]]
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
        outputs: each output's name, and whether its values count by equality.
        answers: of a few of the items that changed, by position, where their rows do not hold them.
    """

    metrics: Sequence[Metric]
    float_: Evaluation
    quantized: Evaluation
    classes: ClassScores | None
    part: Subset
    judged: Headline | None = None
    interval: Interval | None = None
    held_out: bool = False
    outputs: Mapping[str, bool] = field(default_factory=dict)
    answers: Mapping[int, AnswerPair] = field(default_factory=dict)

    @property
    def deciding(self) -> Metric | None:
        """The metric whose figure decides; None where something else judged, or nothing more is known of it."""
        first = next(iter(self.metrics), None)
        return None if first is None or (self.judged is not None and self.judged.name != first.name) else first

    @property
    def changes(self) -> list[Change] | None:
        """The items whose result changed, the worst first; None where the deciding metric does not say."""
        metric = self.deciding
        if not isinstance(metric, TellsChanges):
            return None
        return changes(metric, self.float_.scores[metric.name], self.quantized.scores[metric.name])

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
    def output_sums(self) -> Mapping[str, OutputSums]:
        """What the SQNR of each output is made of; nothing where none is known."""
        metric = self._of_outputs
        if metric is None:
            return {}
        names = list(self.outputs) if metric.output is None else [metric.output]
        return dict(zip(names, metric.of_outputs(self.quantized.scores[metric.name]), strict=True))

    @property
    def ceiling_db(self) -> float:
        """What is better counts as identical."""
        metric = self._of_outputs or Sqnr()
        return metric.ceiling_db

    @property
    def _of_outputs(self) -> Sqnr | None:
        metric = self.named(SqnrOfEvery.name) or self.named(Sqnr.name)
        return metric if isinstance(metric, Sqnr) and self.outputs else None

    @property
    def items(self) -> int:
        """How many items both were measured on."""
        return len(self.part.indices)

    @property
    def answers_changed(self) -> int | None:
        """How many answers differ; None where the models are no classifiers."""
        before, after = self.float_.answers, self.quantized.answers
        return None if before is None or after is None else int((before[:, 0] != after[:, 0]).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """The layers that could be int8, their quantized form, and what each costs.

    Attributes:
        form: of the result; of a search that accepted no plan the all-int8 one.
    """

    found: LayeredModel
    form: QuantizedLayers
    costs: Mapping[str, LayerCost]

    def int8_share(self, fallback: Sequence[str]) -> float:
        """Return the share of multiply-accumulates, 0..1, that are int8 where some layers stay float."""
        total = sum(cost.macs for cost in self.costs.values())
        int8 = sum(cost.macs for name, cost in self.costs.items() if name not in set(fallback))
        return int8 / total if total else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ModelInputs:
    """What reaches the model.

    Attributes:
        seen: the values of its inputs; None where nothing looked.
        chosen: options of the preprocessing that the model's inputs settled.
        constants: inputs of the source that are fixed, and their values.
    """

    seen: InputsSeen | None = None
    chosen: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class JobFiles:
    """What was written, and what looking at it showed.

    Attributes:
        folder: where the files are; its manifest is not written yet.
        target: what they were written for.
        models: their names; none where no plan was accepted, or an interruption left them unchecked.
        checked: what the target saw when it opened them again; None where there are none.
        intermediates: the folder of what flows through the model, where it was asked for.
        record: name of the record file of the models.
    """

    folder: JobFolder
    target: Target = field(default_factory=Ascend)
    models: ModelFiles = ()
    checked: Any | None = None
    intermediates: Path | None = None
    record: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What this run took; remembered results cost nothing.

    Attributes:
        evaluations: models evaluated in full.
        items_scored: items that any model was scored on.
        seconds: wall time of each stage, and in all.
        partial_evaluations: models run over some items only, to settle a verdict or to measure damage.
    """

    evaluations: int
    items_scored: int
    seconds: Mapping[str, float]
    partial_evaluations: int = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JobResult:
    """What the outcome of every mode has.

    Attributes:
        comparison: of the float (or source) model and the quantized one.
        curve: of the plans tried, where one was asked for.
        target_loss: what the loss had to stay below; None where nothing, or an evaluator of the user's, decided.
        noise: from layer to layer; None where nobody looked.
    """

    mode: ClassVar[str]
    status: Status
    source: Source
    comparison: Comparison
    layers: Layers
    inputs: ModelInputs
    files: JobFiles
    work: Work
    warnings: tuple[str, ...] = ()
    curve: tuple[Point, ...] = ()
    target_loss: float | None = None
    noise: NoiseAlong | None = None

    @property
    def complete(self) -> bool:
        """Whether the job came to its end."""
        return True

    @property
    def fallback(self) -> tuple[str, ...]:
        """Layers left float in the result, in graph order."""
        return tuple(layer.name for layer in self.found.layers if layer.name not in self.form.layers)

    @property
    def found(self) -> LayeredModel:
        """The layers that could be int8."""
        return self.layers.found

    @property
    def form(self) -> QuantizedLayers:
        """Their quantized form."""
        return self.layers.form

    @property
    def folder(self) -> JobFolder:
        """Where the files are."""
        return self.files.folder

    @property
    def models(self) -> ModelFiles:
        """Names of the written models, the one to deploy first; none where no plan was accepted."""
        return self.files.models

    @property
    def checked(self) -> Any | None:  # noqa: ANN401 - a value of the target's own
        """What the target saw when it opened the models again."""
        return self.files.checked


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AccAutoResult(JobResult):
    """The outcome of ``acc_auto``; its comparison is of the chosen plan, or of the closest one where none was accepted.

    Attributes:
        impossible: layers that cannot be expressed in int8.
        skipped: names of the layers that were not to be quantized.
        folded: names of the BatchNormalization nodes folded into their convolutions.
        rewriting: what was done to the float model for the sake of its quantized form.
        rewriting_gap: how far it, folding and the raised opset moved the float outputs, relative to the largest.
        from_record: the scales were read from a record; nothing was calibrated, ranked or searched.
        sensitivity: that the ranking is by.
        loss_contributions: of each layer group, where they were measured.
    """

    mode: ClassVar[str] = "acc_auto"
    search: SearchResult
    ranking: Ranking
    sensitivity: Sensitivity | EndToEnd
    loss_contributions: LossContributions | None = None
    impossible: tuple[LeftAlone, ...] = ()
    skipped: tuple[str, ...] = ()
    folded: tuple[str, ...]
    rewriting: Rewriting
    rewriting_gap: float
    from_record: bool = False

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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ConvertResult(JobResult):
    """The outcome of ``convert_qat``; its comparison has the Q/DQ source as "float".

    Attributes:
        report: what became of every layer and Q/DQ node, as ``conversion_report.json`` holds it.
        prediction: for one image; None where the model is no classifier.
        coarse_outputs: names of the outputs whose values the source rounds to 8 bits.
        tied_answers: answers that differ where the source gives both classes its highest score; None without classes.
    """

    mode: ClassVar[str] = "convert_qat"
    report: Mapping[str, Any]
    prediction: Prediction | None
    coarse_outputs: tuple[str, ...] = ()
    tied_answers: int | None = None
