"""What ``convert_qat`` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from runner.evaluation.metric import Metric
from runner.evaluation.outputs import OutputKind
from runner.modes.expectation import Expectation
from runner.modes.files.kept_values import require_kept
from runner.targets.ascend.target import Ascend
from runner.targets.target import Target, VerifyOptions


@dataclass(frozen=True, slots=True)
class ConvertQatOptions:
    """How to convert and compare.

    Attributes:
        metric: the figure that comes first; None for top1, or agreement where an item has no label.
        on_asymmetric_weight: ``requantize`` the channels that have no symmetric int8 form, or ``refuse`` their layers.
        image: the item whose prediction is shown, by number or by name.
        evaluation_count: items to compare on, evenly spaced; None for all.
        output_kind: what class scores are, ``auto``, ``logits`` or ``probabilities``.
        target: what the models are written for, and measured as.
        verify: how the written files are verified.
        expect: what the source is known to reach; the job is refused where it does not.
        keep_intermediates: whether what flows through the model, in float and as deployed, is written for comparing.
        intermediates_count: of how many evaluation items, evenly spaced.
    """

    metric: Metric | None = None
    on_asymmetric_weight: Literal["requantize", "refuse"] = "requantize"
    image: int | str = 0
    evaluation_count: int | None = None
    output_kind: OutputKind = "auto"
    target: Target = field(default_factory=Ascend)
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    expect: Expectation = field(default_factory=Expectation)
    keep_intermediates: bool = False
    intermediates_count: int = 1

    def __post_init__(self) -> None:
        require_kept(self.keep_intermediates, self.target)
