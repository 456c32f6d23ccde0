"""What a job says is ahead is never less than what it then looks at, whatever its options and whatever turns out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.app.places import shipped
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.correction.options import Correction
from runner.dataset.image_folder import ImageFolder
from runner.dataset.item import Dataset
from runner.dataset.npz import NpzDataset
from runner.dataset.preprocess import ImagePreprocess
from runner.evaluation.distance import Kl, Sqnr
from runner.events import Event, StageAdvanced, StageFinished, StageStarted, TrialFinished, WorkAhead
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.data import Split
from runner.search.binary import Binary
from runner.search.budget import Budget
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.pareto import Pareto
from runner.search.plan import Strategy
from runner.search.sensitivity import Cosine
from runner.store.store import Store
from runner.targets.ascend.target import Ascend
from runner.targets.qdq.target import Qdq
from runner.targets.target import VerifyOptions
from tests.data import normal_items
from tests.models import chain, save

NONE = Correction()
FAST = Correction("isolated", repair=True, pixels=True, balance="sparing")
BEST = Correction("sequential", True, "compensated", "output", pixels=True, equalize=True, balance="sparing")
STRATEGIES: Mapping[str, Strategy] = {
    "binary": Binary(),
    "greedy": Greedy(),
    "linear": Linear(),
    "pareto": Pareto(points=3),
}
# Shares of the loss with every layer int8: targets that this keeps, that some float layers keep, that nothing keeps.
TARGETS = (10, 0.5, 1e-9)
CASES = [
    *((FAST, strategy, target) for strategy in STRATEGIES for target in TARGETS),
    *((NONE, strategy, target) for strategy in ("binary", "linear") for target in TARGETS[1:]),
    *((BEST, "greedy", target) for target in TARGETS[1:]),
]


def test_the_count_of_what_was_done_is_right() -> None:
    heard = [
        WorkAhead(10),
        StageStarted("search", 8),
        StageAdvanced("search", 3),
        StageStarted("calibrate", 5),
        StageAdvanced("calibrate", 2),
        WorkAhead(9),
        StageAdvanced("calibrate", 4),
        StageFinished("calibrate", 0.0),
        StageAdvanced("search", 8),
        StageFinished("search", 0.0),
    ]
    assert done_after(heard) == [(10, 12), (9, 7)]


@dataclass(frozen=True)
class Bench:
    """A model of four layers and its data on disk."""

    folder: Path
    data: Dataset
    loss: float

    def run(self, options: AccAutoOptions, store: Store | None = None) -> list[Event]:
        """Return what a job says."""
        heard: list[Event] = []
        folder = self.folder / f"out{len(list(self.folder.iterdir()))}"
        acc_auto(self.folder / "net.onnx", self.data, folder, options, store=store, emit=heard.append)
        return heard


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("net")
    save(chain(4), folder / "net.onnx")
    np.savez(folder / "data.npz", x=normal_items(24, 3, 4, 4))
    bench = Bench(folder, NpzDataset(str(folder / "data.npz")), 1.0)
    heard = bench.run(AccAutoOptions(1e6, metric=Kl(), output_kind="logits", observer=MinMax(), calibration_count=7))
    return replace(bench, loss=next(event.loss for event in heard if isinstance(event, TrialFinished)))


@pytest.mark.parametrize(("correction", "strategy", "target"), CASES)
def test_no_job_does_more_than_it_announced(
    bench: Bench, tmp_path: Path, correction: Correction, strategy: str, target: float
) -> None:
    store = Store(tmp_path / "cache", 10_000_000, warn=pytest.fail)
    for sensitivity in (Cosine(), EndToEnd(items=5)):
        options = AccAutoOptions(
            target * bench.loss,
            metric=Kl(),
            output_kind="logits",
            observer=MinMax(),
            sensitivity=sensitivity,
            strategy=STRATEGIES[strategy],
            correction=correction,
            calibration_count=7,
            verify=VerifyOptions(9),
        )
        for _ in range(2):  # the second job finds in the store what the first one worked out
            require_bound(bench.run(options, store))


OTHERS: Mapping[str, Mapping[str, Any]] = {
    "qdq": {"target": Qdq()},
    "items kept for the report": {"split": Split(report=0.5)},
    "values kept": {"keep_intermediates": True, "intermediates_count": 3},
    "no chip": {"verify": VerifyOptions("all", "none")},
    "sums as they come": {"confidence": None},
    "tensors": {"metric": Sqnr()},
    "two passes": {"observer": Ifmr()},
    "budget": {"budget": Budget(evaluations=3)},
}


@pytest.mark.parametrize(("others", "target"), list(itertools.product(OTHERS, TARGETS)))
def test_no_other_option_makes_a_job_do_more(bench: Bench, others: str, target: float) -> None:
    usual: dict[str, Any] = {"metric": Kl(), "output_kind": "logits", "observer": MinMax(), "correction": FAST}
    usual |= {"calibration_count": 7, "strategy": Greedy(), "sensitivity": EndToEnd()}
    require_bound(bench.run(AccAutoOptions(target * bench.loss, **{**usual, **OTHERS[others]})))


def test_a_job_from_a_record_announces_what_it_does(bench: Bench, tmp_path: Path) -> None:
    usual: dict[str, Any] = {"metric": Kl(), "output_kind": "logits", "observer": MinMax(), "calibration_count": 7}
    acc_auto(bench.folder / "net.onnx", bench.data, tmp_path / "first", AccAutoOptions(1e6, **usual))
    record = str(tmp_path / "first" / "tmp" / "scale_offset_record.txt")
    options = AccAutoOptions(1e6, metric=Kl(), output_kind="logits", record=record)
    heard = bench.run(options)
    require_bound(heard)
    # Nothing depends on what turns out: the float model, the plan, the check of the files on items and on a chip's scales.
    announced, done = done_after(heard)[0]
    assert done == 24 + 24 + 24 + 24 and announced == done + 24


@pytest.mark.parametrize("target", [Ascend(), Qdq()])
def test_a_conversion_announces_what_it_does(tmp_path: Path, target: Ascend | Qdq) -> None:
    heard: list[Event] = []
    options = ConvertQatOptions(evaluation_count=30, target=target, verify=VerifyOptions(20))
    model = shipped("model/mobilenet_v2_digits_qat.onnx")
    convert_qat(model, digits(), tmp_path / "out", options, emit=heard.append)
    ((announced, done),) = done_after(heard)
    # Both models on every item, the files on 20, and those of a chip on all 30 with its scales.
    assert announced == done == 30 + 30 + 20 + (30 if target == Ascend() else 0)


@pytest.mark.parametrize(("metric", "target"), [(None, 0.5), (Sqnr(), 20.0)])
def test_the_shipped_job_announces_what_it_does(tmp_path: Path, metric: Sqnr | None, target: float) -> None:
    store, model = Store(tmp_path / "cache", 100_000_000, warn=pytest.fail), shipped("model/mobilenet_v2_digits.onnx")
    given: dict[str, Any] = {} if metric is None else {"metric": metric}
    options = AccAutoOptions(
        target,
        correction=FAST,
        strategy=Greedy(),
        sensitivity=EndToEnd(),
        evaluation_count=40,
        calibration_count=10,
        **given,
    )
    for _ in range(2):
        heard: list[Event] = []
        acc_auto(model, digits(), tmp_path / "out", options, store=store, emit=heard.append)
        require_bound(heard)


def digits() -> ImageFolder:
    """Return the shipped data."""
    folder = shipped("data/digits/eval")
    return ImageFolder(folder, f"{folder}/image_label.txt", ImagePreprocess(scale=1 / 127.5, mean=1.0))


def require_bound(heard: Sequence[Event]) -> None:
    """Require that something was announced, and never less than what was done from there on; nor is the likely part more."""
    told = done_after(heard)
    assert told
    for announced, done in told:
        assert done <= announced
    for event in heard:
        if isinstance(event, WorkAhead) and event.likely is not None:
            assert 0 <= event.likely <= event.items
        if isinstance(event, StageAdvanced | StageStarted) and event.total:
            assert getattr(event, "done", 0) <= event.total


def done_after(heard: Sequence[Event]) -> list[tuple[int, int]]:
    """Return what each announcement says is ahead at most, and how many items are done after it, over all stages."""
    steps: list[int] = []
    stages: list[tuple[str, int]] = []
    for event in heard:
        step = 0
        if isinstance(event, StageStarted):
            stages.append((event.stage, 0))
        elif isinstance(event, StageFinished):
            assert stages.pop()[0] == event.stage
        elif isinstance(event, StageAdvanced) and event.stage != "load":
            place = max(place for place, (name, _) in enumerate(stages) if name == event.stage)
            step = event.done - stages[place][1]
            assert step >= 0
            stages[place] = (event.stage, event.done)
        steps.append(step)
    return [(event.items, sum(steps[place:])) for place, event in enumerate(heard) if isinstance(event, WorkAhead)]
