"""The options of a job, by mode: what the command line may set, and the objects made of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runner.app.loudness import KEYS
from runner.app.tracking.options import TrackingOptions
from runner.calibration.observer import Observer
from runner.correction.options import Correction
from runner.dataset.item import Dataset
from runner.download.source import DownloadOptions
from runner.errors import ConfigError
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.metric import Metric
from runner.evaluation.outputs import OutputKind
from runner.modes.data import Split
from runner.modes.expectation import Expectation
from runner.modes.layer_settings import LayerRule
from runner.modes.tensor_settings import TensorRule
from runner.printable import shown
from runner.report.language import LanguageName
from runner.report.objective import objectives
from runner.search.budget import Budget
from runner.search.end_to_end import EndToEnd
from runner.search.plan import Strategy
from runner.search.sensitivity import Sensitivity
from runner.targets.ascend.target import Ascend
from runner.targets.target import Target, VerifyOptions
from runner.tasks.detection.postprocess import Postprocess
from runner.tasks.of_task import OfTask


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """``model``: which file, what its results are called, what its output is."""

    path: str
    name: str | None = None
    output: OutputKind = "auto"

    def __post_init__(self) -> None:
        if self.name is not None and (not self.name or "/" in self.name or len(self.name) > 200):
            raise ConfigError(f"model.name: expected a file name without slashes, got '{self.name}'.")
        name = self.name or Path(self.path).stem
        if not _is_utf8(name):
            raise ConfigError(
                f"model.name: '{shown(name)}', after which the results are called, holds bytes that are no UTF-8, and "
                "onnxruntime does not open such files. Set model.name=NAME."
            )


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """``calibration``: how many items, and of which data if not the evaluation's.

    Attributes:
        count: None for batch_num of ``quant_config``, or 100, or all there are where those are fewer.
        dataset: chosen as ``+dataset@calibration.dataset=OPTION``; None for the evaluation's.
    """

    count: int | None = None
    dataset: Dataset | None = None


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """``evaluation``: how many items, None for all."""

    count: int | None = None


@dataclass(frozen=True, slots=True)
class IntermediatesOptions:
    """``intermediates``: of how many evaluation items ``keep_intermediates`` writes what flows through the model."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """``search``: how sure a trial's verdict is before it stops; None for certain. The result is measured in full."""

    confidence: float | None = 0.999


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """``engine``: where and how models are run; without a number of callers as many as are fastest.

    Attributes:
        name: ``ray`` has evaluation items scored by workers of a Ray cluster, ``local`` by this process.
        callers: threads that run models, here or in each worker.
        address: of a cluster; None for one on this machine, for this job.
        workers: how many; None for one a machine.
        shard: items that a worker takes at a time; None for a few times a worker.
    """

    name: Literal["local", "ray"] = "local"
    callers: int | None = None
    address: str | None = None
    workers: int | None = None
    shard: int | None = None

    def __post_init__(self) -> None:
        if self.callers is not None and self.callers < 1:
            raise ConfigError(
                f"engine.callers: expected 1 or more, or null for as many as are fastest, got {self.callers}."
            )
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"engine.workers: expected 1 or more, or null for one a machine, got {self.workers}.")
        if self.shard is not None and self.shard < 1:
            raise ConfigError(f"engine.shard: expected 1 item or more, or null to choose, got {self.shard}.")


@dataclass(frozen=True, slots=True)
class PathOptions:
    """``paths``: the root of everything written, and the job's folder below it where it is not named after the mode."""

    output: str
    job: str | None = None

    def __post_init__(self) -> None:
        root = str(Path(self.output).absolute())
        if not _is_utf8(root):
            raise ConfigError(
                f"paths.output: {shown(root)} holds bytes that are no UTF-8, and onnxruntime does not open files there. Set "
                "paths.output to another folder."
            )


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """``sweep``: what its folder is called, and whether a job begins after one has failed."""

    name: str | None = None
    fail_fast: bool = False


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """``cache``: whether results and decoded images are kept below ``paths.output``, and how much of them.

    Attributes:
        name: ``local`` keeps and uses them, ``refresh`` keeps and uses none that an earlier job kept, ``none`` does neither.
        max_gb: kept at most; what was not used for longest goes first.
    """

    name: Literal["local", "refresh", "none"] = "local"
    max_gb: float = 5.0

    def __post_init__(self) -> None:
        if not self.max_gb > 0:
            raise ConfigError(f"cache.max_gb: expected more than 0, got {self.max_gb}. cache=none keeps nothing.")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """``report``: the language of the page; the terminal, files of figures and logs are English."""

    language: LanguageName = "en"


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """``tune``: what a job returns to a sweeper, and the rest, which ``runner.tune`` alone reads.

    Attributes:
        objective: one of ``OBJECTIVES``, or a list of two.
        study: which study a trial belongs to.
        trial: its number; ``runner.tune`` sets it.
        varied: what it tries, in words; ``runner.tune`` sets it.
        trials: how many different settings are tried in all.
        jobs: how many at once.
        sampler: who proposes; null: tpe, or nsga2 for two objectives.
        population: of nsga2.
        seed: of the sampler.
        space: configuration key -> what may be tried; see ``runner.tune.space``.
    """

    objective: str | list[str] = "loss"
    study: str = "tuning"
    trial: int | None = None
    varied: str = ""
    trials: int = 20
    jobs: int = 1
    sampler: Literal["tpe", "random", "grid", "nsga2"] | None = None
    population: int = 10
    seed: int = 0
    space: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        objectives(self.objective)
        for name, least in (("trials", 1), ("jobs", 1), ("population", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"tune.{name}: expected {least} or more, got {getattr(self, name)}.")
        if not re.fullmatch(r"[\w.+-]{1,80}", self.study) or self.study.startswith("."):
            raise ConfigError(f"tune.study: expected a name of letters, digits, - and _, got '{self.study}'.")

    def tags(self) -> dict[str, str]:
        """Return what a tracker is told of a trial beside its job; nothing of a job that is no trial."""
        if self.trial is None:
            return {}
        return {"tune.study": self.study, "tune.trial": str(self.trial), "varied": self.varied}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What both modes take."""

    model: ModelOptions
    dataset: Dataset
    postprocess: Postprocess | None = None
    paths: PathOptions
    sweep: SweepOptions = field(default_factory=SweepOptions)
    tracking: TrackingOptions
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    target: Target = field(default_factory=Ascend)
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    download: DownloadOptions = field(default_factory=DownloadOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    expect: Expectation = field(default_factory=Expectation)
    keep_intermediates: bool = False
    intermediates: IntermediatesOptions = field(default_factory=IntermediatesOptions)
    report: ReportOptions = field(default_factory=ReportOptions)
    tune: TuneOptions = field(default_factory=TuneOptions)
    doctor: bool = False
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        asked = [f"{key}=true" for key in KEYS if getattr(self, key)]
        if len(asked) > 1:
            raise ConfigError(
                f"{asked[0].partition('=')[0]}: {' and '.join(asked)} contradict each other. Leave all but one out."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccAutoJob(JobOptions):
    """``mode=acc_auto``."""

    mode: Literal["acc_auto"]
    target_loss: float
    metric: Metric | AmctEvaluator | OfTask
    observer: Observer
    sensitivity: Sensitivity | EndToEnd
    strategy: Strategy
    calibration: CalibrationOptions
    correction: Correction = field(default_factory=Correction)
    split: Split = field(default_factory=Split)
    search: SearchOptions = field(default_factory=SearchOptions)
    layers: list[LayerRule] = field(default_factory=list)
    skip_layers: list[str] = field(default_factory=list)
    skip_layer_types: list[str] = field(default_factory=list)
    tensor_quantize: Literal["none", "adds"] | list[TensorRule] = "none"
    quant_config: str | None = None
    record: str | None = None
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertQatJob(JobOptions):
    """``mode=convert_qat``."""

    mode: Literal["convert_qat"]
    metric: Metric | OfTask = field(default_factory=OfTask)
    on_asymmetric_weight: Literal["requantize", "refuse"] = "requantize"
    image: int | str = 0


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


Job = AccAutoJob | ConvertQatJob
JOBS: dict[str, type[Any]] = {"acc_auto": AccAutoJob, "convert_qat": ConvertQatJob}
