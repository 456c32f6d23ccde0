"""What ``acc_auto`` is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from runner.calibration.ifmr import Ifmr
from runner.calibration.observer import Observer
from runner.correction.options import Correction
from runner.errors import ConfigError
from runner.evaluation.accuracy import TopK
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import OutputKind
from runner.modes.data import Split
from runner.modes.expectation import Expectation, check_expectation
from runner.modes.files.kept_values import require_kept
from runner.modes.layer_settings import LayerSettings
from runner.search.binary import Binary
from runner.search.budget import Budget
from runner.search.end_to_end import EndToEnd
from runner.search.plan import Strategy
from runner.search.sensitivity import Cosine, Sensitivity
from runner.targets.ascend.target import Ascend
from runner.targets.target import Target, VerifyOptions


@dataclass(frozen=True, slots=True)
class AccAutoOptions:
    """How to quantize, rank and search.

    Attributes:
        target_loss: the loss must stay below it, strictly, in the metric's unit.
        metric: decides; an AMCT evaluator does so by its own rule, without ``target_loss``.
        observer: chooses activation ranges.
        sensitivity: ranks layers, each on its own or by what reaches the model's outputs.
        strategy: proposes plans.
        correction: what makes the layers better than rounding to nearest, once, before the search.
        calibration_count: items that calibration looks at, evenly spaced over its dataset; None for the batch_num of
            ``quant_config``, or 100.
        evaluation_count: items to evaluate on, evenly spaced; None for all.
        split: whether calibration, search and the reported figure look at different items.
        output_kind: what class scores are, ``auto``, ``logits`` or ``probabilities``.
        settings: what is asked for single layers.
        quant_config: an AMCT configuration file to start from; says which layers are quantized and how.
        record: an AMCT record file to build from; nothing is calibrated, ranked or searched then.
        target: what the models are written for, and measured as.
        verify: how the written files are verified.
        budget: limits of the search.
        keep_intermediates: whether what flows through the model, in float and as deployed, is written for comparing.
        intermediates_count: of how many evaluation items, evenly spaced.
        confidence: of a trial's verdict that is settled before all items are scored, below 1; None where that has to be
            certain. The plan that is returned is scored in full whatever it is.
        expect: what the float model is known to reach; the job is refused where it does not.
        seed: of the order in which trials score items, where that is random.
    """

    target_loss: float
    metric: Metric | AmctEvaluator = field(default_factory=TopK)
    observer: Observer = field(default_factory=Ifmr)
    sensitivity: Sensitivity | EndToEnd = field(default_factory=Cosine)
    strategy: Strategy = field(default_factory=Binary)
    correction: Correction = field(default_factory=Correction)
    calibration_count: int | None = None
    evaluation_count: int | None = None
    split: Split = field(default_factory=Split)
    output_kind: OutputKind = "auto"
    settings: LayerSettings = field(default_factory=LayerSettings)
    quant_config: str | None = None
    record: str | None = None
    target: Target = field(default_factory=Ascend)
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    budget: Budget = field(default_factory=Budget)
    keep_intermediates: bool = False
    intermediates_count: int = 1
    confidence: float | None = 0.999
    expect: Expectation = field(default_factory=Expectation)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.target_loss < math.inf:
            raise ConfigError(
                f"target_loss: expected 0 or more {self.metric.unit} (a finite number, the loss must stay below it), got "
                f"{self.target_loss}."
            )
        check_expectation(self.expect, self.metric)
        require_kept(self.keep_intermediates, self.target)
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ConfigError(
                "search.confidence: expected 0.5 or more and less than 1, or null for verdicts that are certain, "
                f"got {self.confidence}."
            )
        if self.record is not None and self.settings.tensor_quantize != "none":
            raise ConfigError(
                "tensor_quantize: a record says itself which tensors are quantized; expected none beside record, got "
                f"{self.settings.tensor_quantize}."
            )
        if self.split.report and isinstance(self.metric, AmctEvaluator):
            raise ConfigError(
                "split.report: expected 0 with metric=amct_evaluator, which measures on data of its own, "
                f"got {self.split.report}."
            )
