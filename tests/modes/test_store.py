"""What a job keeps: a second one runs no model, a killed one goes on, and neither writes another byte."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.calibration.minmax import MinMax
from runner.calibration.percentile import Percentile
from runner.correction.options import EVERY_CORRECTION, Correction
from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.evaluation.accuracy import TopK
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.distance import Kl, Sqnr
from runner.job_folder import read_manifest
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.calibrated_layers import CalibratedLayers
from runner.modes.clock import StageClock
from runner.modes.convert_qat import convert_qat
from runner.modes.files import write_acc_auto
from runner.modes.files.record_file import write_record
from runner.modes.layer_settings import LayerSettings
from runner.modes.result import AccAutoResult
from runner.search.budget import Budget
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.pareto import Pareto
from runner.search.plan import Plan, Strategy
from runner.search.sensitivity import MeanSquaredError
from runner.session import Session
from runner.store.store import Store
from runner.targets.target import VerifyOptions
from tests.data import normal_items
from tests.models import answers, chain, save

ITEMS = 40


class Bench:
    """A chain of six layers, its data and one store; counts the runs of sessions."""

    def __init__(self, folder: Path, items: int = ITEMS) -> None:
        self.folder, self.runs, self.stop_at = folder, 0, -1
        self.model = save(chain(6), folder / "source.onnx")
        x = normal_items(items, 3, 4, 4)
        np.savez(folder / "data.npz", x=x, y=answers(chain(6), x))
        np.savez(folder / "other.npz", x=normal_items(12, 3, 4, 4, seed=7))

    def run(self, output: str = "out", store: bool = True, **options: Any) -> AccAutoResult:
        self.runs = 0
        usual = {
            "target_loss": 1e-3,
            "metric": Kl(),
            "observer": MinMax(),
            "strategy": Linear(),
            "calibration_count": 8,
        }
        return acc_auto(
            self.model,
            NpzDataset(str(self.folder / "data.npz")),
            self.folder / output,
            AccAutoOptions(**(usual | options)),
            name="net",
            calibration_dataset=NpzDataset(str(self.folder / "other.npz")),
            engine=Engine(1),
            store=Store(self.folder / "cache", 10_000_000, warn=pytest.fail) if store else None,
        )

    def written(self, output: str = "out") -> dict[str, bytes]:
        root = self.folder / output
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return counting(Bench(tmp_path), monkeypatch)


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench with enough items for trials to stop early."""
    return counting(Bench(tmp_path, items=400), monkeypatch)


def counting(made: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    run = Session.run

    def counted(self: Session, *args: Any, **kwargs: Any) -> Any:
        made.runs += 1
        return run(self, *args, **kwargs)

    monkeypatch.setattr(Session, "run", counted)
    return made


def finished(result: AccAutoResult) -> AccAutoResult:
    result.folder.finish()
    return result


def test_second_job_runs_no_model_and_writes_the_same_bytes(bench: Bench) -> None:
    first = finished(bench.run("one"))
    assert bench.runs > ITEMS * (1 + len(first.search.trials)) and len(first.search.trials) > 2
    second = finished(bench.run("two"))
    assert (bench.runs, second.work.evaluations, second.work.items_scored) == (0, 0, 0)
    without = finished(bench.run("three", store=False))
    assert bench.written("one") == bench.written("two") == bench.written("three")
    for other in (second, without):
        assert np.array_equal(other.comparison.quantized.answers, first.comparison.quantized.answers)
        assert other.search == first.search and other.rewriting_gap == first.rewriting_gap
        for metric in first.comparison.metrics:
            assert other.comparison.value(metric, other.comparison.quantized) == first.comparison.value(
                metric, first.comparison.quantized
            )
        assert (
            asdict(other.checked.written) == asdict(first.checked.written) and other.layers.costs == first.layers.costs
        )


END_TO_END = EndToEnd(items=12, items_if_met=12)


@pytest.mark.parametrize("strategy", [Greedy(None), Pareto()], ids=["greedy", "pareto"])
def test_loss_contributions_are_measured_once_for_a_form(bench: Bench, strategy: Strategy) -> None:
    options: dict[str, Any] = {"strategy": strategy, "sensitivity": END_TO_END}
    first = finished(bench.run("one", **options))
    assert first.work.partial_evaluations == 6 and first.loss_contributions is not None
    second = finished(bench.run("two", **options))
    assert (bench.runs, second.work.evaluations, second.work.partial_evaluations, second.work.items_scored) == (
        0,
        0,
        0,
        0,
    )
    assert (
        second.loss_contributions == first.loss_contributions
        and second.ranking == first.ranking
        and second.curve == first.curve
    )
    finished(bench.run("three", store=False, **options))
    assert bench.written("one") == bench.written("two") == bench.written("three")
    shown = finished(bench.run(target_loss=1e9, **options))
    if isinstance(strategy, Greedy):
        # Nothing falls back: they are measured for the report, on as few items as make one evaluation of all.
        assert (shown.work.partial_evaluations, shown.work.items_scored) == (6, ITEMS // 6 * 6)
        return
    assert shown.work.partial_evaluations == 0
    more = finished(bench.run(target_loss=1e9, strategy=strategy, sensitivity=EndToEnd(13, items_if_met=13)))
    assert more.work.partial_evaluations == 6 and more.work.items_scored == 6 * 13


@dataclass(frozen=True)
class OwnTopK(TopK):
    """A metric of a user's."""


@dataclass(frozen=True)
class OwnObserver(MinMax):
    """An observer of a user's."""


FLOAT = 2 + ITEMS  # the rewriting's check runs two models
# The deploy file, and with a chip's precision; the other file and its Q/DQ twin on a batch; of four items every layer in three
# ways, of which one tells the shapes before, and both files optimised.
PROOF = 2 * ITEMS + 2 * 32 + 1 + 4 * (3 + 2)
# Inside the model, for the report, on one item: each layer alone, shapes, float and three ways, what four layers read.
INSIDE = 1 + 1 + 4 + 4
CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "target": ({"target_loss": 1e9}, set()),
    "metric": ({"metric": Sqnr(), "target_loss": 1e9}, {"trial", "verify"}),
    "observer": ({"observer": Percentile(0.9), "target_loss": 1e9}, {"calibrate", "trial", "rank", "verify", "inside"}),
    "calibration items": (
        {"calibration_count": 7, "target_loss": 1e9},
        {"calibrate", "trial", "rank", "verify", "inside"},
    ),
    "skipped layer": (
        {"settings": LayerSettings(skip_layers=["conv2"]), "target_loss": 1e9},
        {"calibrate", "trial", "rank", "verify", "inside"},
    ),
    "sensitivity": ({"sensitivity": MeanSquaredError(), "target_loss": 1e9}, {"rank", "inside"}),
    "user's metric": ({"metric": OwnTopK(), "target_loss": 1e9}, {"trial", "verify"}),
    "user's observer": ({"observer": OwnObserver(), "target_loss": 1e9}, {"calibrate"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_made_again_is_what_depends_on_the_change(bench: Bench, name: str) -> None:
    options, stages = CHANGES[name]
    finished(bench.run(target_loss=1e9))
    result = finished(bench.run("changed", **options))
    count = options.get("calibration_count", 8)
    shapes = int(name == "skipped layer")
    costs = {"calibrate": count + shapes, "trial": ITEMS, "rank": count, "verify": PROOF, "inside": INSIDE}
    assert bench.runs == sum(costs[stage] for stage in stages)
    assert result.work.evaluations == ("trial" in stages)
    # Whatever was remembered, the bytes are those of a job that remembers nothing.
    finished(bench.run("plain", store=False, **options))
    assert bench.written("changed") == bench.written("plain")


def test_changed_weight_label_or_item_is_never_taken_for_the_old_one(bench: Bench) -> None:
    finished(bench.run(target_loss=1e9))
    data = dict(np.load(bench.folder / "data.npz"))
    np.savez(bench.folder / "data.npz", x=data["x"], y=(data["y"] + 1) % 6)
    # No output of the float model depends on a label, and no range does.
    result = finished(bench.run(target_loss=1e9))
    assert result.work.evaluations == 1 and bench.runs == ITEMS + PROOF
    save(chain(6, seed=1), bench.model)
    result = finished(bench.run(target_loss=1e9))
    assert result.work.evaluations == 2 and bench.runs == FLOAT + 8 + ITEMS + 8 + PROOF + INSIDE


FEW = VerifyOptions(count=4, device="none")


@pytest.mark.parametrize("correction", [Correction(), Correction("isolated")], ids=["rounded", "corrected"])
def test_another_number_of_evaluation_items_looks_at_no_calibration_item_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, correction: Correction
) -> None:
    options: dict[str, Any] = {"target_loss": 1e9, "correction": correction, "verify": FEW}
    looked_at: list[str] = []
    started: list[str] = []
    one = finished(bench.run("one", **options))
    item, stage = NpzDataset.item, StageClock.stage

    def seen(self: NpzDataset, index: int) -> Any:
        looked_at.append(self.path.name)
        return item(self, index)

    def told(self: StageClock, name: str, *args: Any, **kwargs: Any) -> Any:
        started.append(name)
        return stage(self, name, *args, **kwargs)

    monkeypatch.setattr(NpzDataset, "item", seen)
    monkeypatch.setattr(StageClock, "stage", told)
    two = finished(bench.run("two", evaluation_count=10, **options))
    assert two.work.evaluations == 2 and "calibrate" not in started and "rank" not in started
    assert set(looked_at) == {"data.npz"}
    assert two.form.record == one.form.record and two.ranking == one.ranking and two.layers.costs == one.layers.costs
    finished(bench.run("plain", store=False, evaluation_count=10, **options))
    assert bench.written("two") == bench.written("plain")


def test_layers_with_every_correction_are_those_of_a_job_that_asks_for_them_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    details: list[str] = []
    stage = StageClock.stage

    def told(self: StageClock, name: str, total: int = 0, detail: str = "") -> Any:
        details.append(detail)
        return stage(self, name, total, detail)

    monkeypatch.setattr(StageClock, "stage", told)
    for store in (False, True):
        if store:
            finished(bench.run("at once", target_loss=1e9, correction=EVERY_CORRECTION))
        details.clear()
        later = finished(bench.run(f"{store}", store, target_loss=1e-9, correction=Correction(repair=True)))
        assert later.search.trials[1].plan.repaired
        assert ("corrections" in details) == (not store)
    assert bench.written("True") == bench.written("False")


@pytest.mark.parametrize(("metric", "targets"), [(Kl(), (0.006, 0.01)), (TopK(), (1.0, 4.0))], ids=["kl", "top1"])
@pytest.mark.parametrize("order", [1, -1], ids=["strict first", "loose first"])
def test_another_target_scores_only_items_that_no_job_has_scored(
    many: Bench, metric: Any, targets: tuple[float, float], order: int
) -> None:
    jobs = [(f"{t}", {"metric": metric, "target_loss": t, "verify": FEW}) for t in targets[::order]]
    alone = [finished(many.run(f"{name} alone", store=False, **options)) for name, options in jobs]
    shared = [finished(many.run(f"{name} shared", **options)) for name, options in jobs]
    assert [result.search for result in alone] == [result.search for result in shared]
    assert all(many.written(f"{name} alone") == many.written(f"{name} shared") for name, _ in jobs)
    # Of each plan as many items as the job scored that needed most of them; of the float model all.
    most: dict[Plan, int] = {}
    for trial in (trial for result in alone for trial in result.search.trials):
        most[trial.plan] = max(trial.settled_after or 400, most.get(trial.plan, 0))
    assert {64, 400} < set(most.values())
    assert shared[0].work.items_scored == alone[0].work.items_scored
    # Where nothing is found, what each layer does to the loss is measured too, on 32 items.
    contributions = 6 * 32 * any(result.status == "not_met" for result in alone)
    assert shared[0].work.items_scored + shared[1].work.items_scored == 400 + sum(most.values()) + contributions
    second = shared[1]
    if second.status == "met":
        assert second.work.items_scored <= 64
        assert (second.work.evaluations, second.work.partial_evaluations) == (0, int(second.work.items_scored > 0))
    again = finished(many.run("again", **jobs[0][1]))
    assert (many.runs, again.work.evaluations, again.work.partial_evaluations, again.work.items_scored) == (0, 0, 0, 0)


def test_killed_trial_keeps_the_steps_it_has_made(many: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"target_loss": 0.01, "verify": FEW}
    alone = finished(many.run("alone", store=False, **options))
    assert [trial.settled_after for trial in alone.search.trials] == [None, 64, 128, None]
    with monkeypatch.context() as patch:
        # After the first step of the third plan.
        patch.setattr(Session, "run", _stopping(Session.run, 2 + 400 + 8 + 400 + 8 + 64 + 64 + 36))
        assert finished(many.run(**options)).status == "interrupted"
    again = finished(many.run(**options))
    assert again.search == alone.search and many.written() == many.written("alone")
    assert again.work.items_scored == 64 + 400


class Evaluator:
    """An evaluator as AMCT has it, that likes every model."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def evaluate(self, model_file: str) -> float:
        self.seen.append(model_file)
        return 1.0

    def metric_eval(self, original: float, new: float) -> tuple[bool, float]:
        return True, 0.0


def test_evaluator_of_the_users_is_asked_every_time(bench: Bench) -> None:
    evaluator = Evaluator()
    for runs in (1, 2):
        result = finished(bench.run(metric=AmctEvaluator(evaluator)))
        assert len(evaluator.seen) == 2 * runs and result.work.evaluations == 2
    assert bench.runs == 0  # what the runner itself measures is remembered


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_interrupted_search_gives_the_best_plan_so_far_and_the_next_job_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, trials: int
) -> None:
    plain = finished(bench.run("plain", store=False))
    assert len(plain.search.trials) > 3
    monkeypatch.setattr(Session, "run", _stopping(Session.run, FLOAT + 8 + trials * ITEMS + 8 + 3))
    result = finished(bench.run())
    monkeypatch.undo()
    assert (result.status, result.complete, result.checked) == ("interrupted", False, None)
    assert result.search.trials == plain.search.trials[:trials]
    assert read_manifest(bench.folder / "out").keys() == bench.written().keys() - {"manifest.json"}
    again = finished(bench.run())
    assert again.work.evaluations == len(plain.search.trials) - trials
    assert bench.written() == bench.written("plain")


def _stopping(run: Any, left: int) -> Any:
    count = 0

    def stopping(self: Session, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count > left:
            raise KeyboardInterrupt
        return run(self, *args, **kwargs)

    return stopping


def test_interruption_before_the_first_trial_gives_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "run", _stopping(Session.run, FLOAT + 3))
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    monkeypatch.undo()
    assert bench.written() == {}


def test_interruption_while_ranking_or_checking_keeps_the_accepted_plan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FLOAT + 8 + ITEMS
    for stage, left in (("rank", whole + 2), ("verify", 8 - 2 + 5)):
        monkeypatch.setattr(Session, "run", _stopping(Session.run, left))
        result = finished(bench.run(target_loss=1e9))
        monkeypatch.undo()
        assert (result.status, result.checked) == ("interrupted", None), stage
        assert result.search.best is not None
        assert "results/net_deploy_model.onnx" in read_manifest(bench.folder / "out")


def test_interruption_while_writing_ends_with_every_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = finished(bench.run("plain", target_loss=1e9))
    writes = iter([True, False])

    def interrupted(*args: Any, **kwargs: Any) -> None:
        if next(writes):
            raise KeyboardInterrupt
        write_record(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(write_acc_auto, "write_record", interrupted)
        result = finished(bench.run(target_loss=1e9))
    assert (result.status, result.checked, result.search.best) == ("interrupted", None, expected.search.best)
    assert bench.written() == bench.written("plain")
    assert read_manifest(bench.folder / "out").keys() == bench.written().keys() - {"manifest.json"}


def test_budget_of_evaluations_ends_at_the_same_plan_remembered_or_not(bench: Bench) -> None:
    most = 4
    results = [finished(bench.run(name, budget=Budget(evaluations=most))) for name in ("one", "two")]
    assert [result.work.evaluations for result in results] == [most, 0]
    assert all((r.status, r.complete, len(r.search.trials)) == ("budget", False, most - 1) for r in results)
    assert bench.written("one") == bench.written("two")


def test_budget_of_minutes_ends_within_a_trial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr("runner.search.budget.time.monotonic", clock)
    # One tick at the start, one before a trial, one an item.
    result = finished(bench.run(budget=Budget(minutes=(ITEMS + 10) / 60)))
    assert (result.status, len(result.search.trials)) == ("budget", 2)


def test_spent_budget_ends_the_measuring_of_loss_contributions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr("runner.search.budget.time.monotonic", clock)
    # One tick at the start, one an item and layer; by then every layer has been left out for some items.
    result = finished(bench.run(strategy=Greedy(None), sensitivity=END_TO_END, budget=Budget(minutes=30 / 60)))
    assert (result.status, len(result.search.trials), result.loss_contributions, result.work.partial_evaluations) == (
        "budget",
        1,
        None,
        6,
    )
    monkeypatch.undo()
    again = finished(bench.run(strategy=Greedy(None), sensitivity=END_TO_END))
    assert again.loss_contributions is not None and again.work.partial_evaluations == 6
    finished(bench.run("plain", strategy=Greedy(None), sensitivity=END_TO_END, store=False))
    assert bench.written() == bench.written("plain")


def repairs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have calibration offer two repairs that are no better than nothing; return the loss of each first plan."""
    forms = [finished(bench.run(f"c{n}", calibration_count=n, target_loss=0.0)) for n in (12, 6)]
    offered = {f"int8+{number}": result.form for number, result in enumerate(forms)}
    monkeypatch.setattr(CalibratedLayers, "repaired", lambda self, job: offered)
    return [result.search.trials[0].loss for result in forms]


def test_repaired_plans_count_in_a_budget(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = repairs(bench, monkeypatch)
    for most in (2, 3, 4, 5):
        result = finished(bench.run(f"b{most}", budget=Budget(evaluations=most)))
        assert (result.status, len(result.search.trials)) == ("budget", most - 1)
        assert [trial.loss for trial in result.search.trials[1:3]] == losses[: most - 2]


def test_interruption_among_repaired_plans_keeps_those_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = repairs(bench, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", _stopping(Session.run, FLOAT + 8 + ITEMS + ITEMS + 3))
        result = finished(bench.run(store=False))
    assert (result.status, len(result.search.trials), result.search.trials[1].loss) == ("interrupted", 2, losses[0])
    assert result.search.closest.loss == min(trial.loss for trial in result.search.trials)


def test_repaired_plans_are_remembered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    repairs(bench, monkeypatch)
    finished(bench.run("one"))
    second = finished(bench.run("two"))
    assert (bench.runs, second.work.evaluations) == (0, 0)
    finished(bench.run("three", store=False))
    assert bench.written("one") == bench.written("two") == bench.written("three")


def test_conversion_a_second_time_runs_no_model(bench: Bench, root: Path) -> None:
    x = np.random.default_rng(0).normal(0, 1, (20, 3, 32, 32)).astype(np.float32)
    np.savez(bench.folder / "x.npz", x=x)
    results = []
    for name in ("one", "two"):
        bench.runs = 0
        results.append(
            convert_qat(
                root / "model" / "mobilenet_v2_digits_qat.onnx",
                NpzDataset(str(bench.folder / "x.npz")),
                bench.folder / name,
                store=Store(bench.folder / "cache", 10_000_000, warn=pytest.fail),
            )
        )
    assert (bench.runs, results[1].work.evaluations, results[1].work.items_scored) == (0, 0, 0)
    assert bench.written("one") == bench.written("two")
    one, two = results
    assert (one.prediction, one.layers.costs, asdict(one.checked.written)) == (
        two.prediction,
        two.layers.costs,
        asdict(two.checked.written),
    )
    assert one.comparison.headline == two.comparison.headline
