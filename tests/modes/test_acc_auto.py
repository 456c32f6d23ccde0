"""The whole job on models of a few layers: files, verdicts, and the search against trying every prefix."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner import job_folder
from runner.calibration.minmax import MinMax
from runner.convert.fake_quant import fake_quant_model
from runner.correction.options import EVERY_CORRECTION, Correction
from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, ModelError, RecordError
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.events import DataUsed, StageAdvanced, StageFinished, StageStarted, TrialFinished, Warned
from runner.job_folder import read_manifest
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.calibrated_layers import CalibratedLayers
from runner.modes.data import Split
from runner.modes.files.amct_files import read_history
from runner.modes.layer_settings import LayerSettings
from runner.modes.result import AccAutoResult
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.scoring.reported_metrics import with_companions
from runner.modes.steps import measure
from runner.record_text import read_record
from runner.report.sections.headline import items_phrase
from runner.search.binary import Binary
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.pareto import Pareto
from runner.search.plan import Plan
from runner.search.sensitivity import MeanSquaredError, SignalToNoise
from tests.data import normal_items
from tests.models import answers, chain, conv_gemm, dense, onnx_text, prepared, proto, run_plain, save
from tests.told import summary_of

PREFIX = "accuracy_based_auto_calibration"
FILES = {
    f"amct_log/{PREFIX}_record.json",
    "results/net_deploy_model.onnx",
    "results/net_fake_quant_model.onnx",
    f"results/{PREFIX}_final_config.json",
    f"results/{PREFIX}_ranking_info.json",
    "tmp/config.json",
    "tmp/scale_offset_record.txt",
}
MODELS = {"results/net_deploy_model.onnx", "results/net_fake_quant_model.onnx"}
SMALL = (conv_gemm(), (2, 6, 6))
DEEP = (chain(6), (3, 4, 4))


class Bench:
    """A model and its data on disk; runs jobs on them."""

    def __init__(
        self, folder: Path, model: onnx.ModelProto, shape: tuple[int, ...], items: int = 60, mean: float = 0.0
    ) -> None:
        self.folder, self.model = folder, model
        self.x = mean + normal_items(items, *shape)
        folder.mkdir(exist_ok=True)
        self.path = save(model, folder / "source.onnx")
        np.savez(folder / "data.npz", x=self.x, y=answers(model, self.x))
        np.savez(folder / "other.npz", x=mean + normal_items(12, *shape, seed=7))

    def run(
        self,
        output: str = "out",
        *,
        callers: int = 2,
        data: str = "data",
        emit: object = lambda event: None,
        **options: object,
    ) -> AccAutoResult:
        return acc_auto(
            self.path,
            NpzDataset(str(self.folder / f"{data}.npz")),
            self.folder / output,
            AccAutoOptions(**({"calibration_count": 10} | options)),
            name="net",
            calibration_dataset=NpzDataset(str(self.folder / "other.npz")),
            engine=Engine(callers),
            emit=emit,
        )

    def written(self, output: str = "out") -> dict[str, bytes]:
        root = self.folder / output
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    def json(self, name: str, output: str = "out") -> object:
        return json.loads((self.folder / output / name).read_text(encoding="utf-8"))


@pytest.fixture
def small(tmp_path: Path) -> Bench:
    """Convolution, batch normalization, relu, convolution, relu, gemm."""
    return Bench(tmp_path / "small", *SMALL)


@pytest.fixture
def deep(tmp_path: Path) -> Bench:
    """Six convolutions in a row."""
    return Bench(tmp_path / "deep", *DEEP)


def kl(f: NDArray, q: NDArray) -> float:
    """Return the mean over rows of KL(softmax f, softmax q)."""
    p, r = (np.exp(a - a.max(1, keepdims=True)) for a in (f.astype(np.float64), q.astype(np.float64)))
    p, r = p / p.sum(1, keepdims=True), r / r.sum(1, keepdims=True)
    return float((p * np.log(p / r)).sum(1).mean())


def logits(model: object, x: NDArray) -> NDArray:
    return np.concatenate([y for (y,) in run_plain(model, x, ["logits"])])


def test_target_that_is_met_gives_every_file_and_nothing_else(small: Bench) -> None:
    result = small.run(target_loss=50.0)
    assert result.status == "met" and result.fallback == ()
    assert set(small.written()) == FILES | {"manifest.json"}
    result.folder.finish()
    assert set(read_manifest(small.folder / "out")) == FILES


def test_written_fake_quant_model_has_the_loss_that_is_reported(small: Bench) -> None:
    result = small.run(target_loss=50.0, metric=Kl())
    written = onnx.load(small.folder / "out" / "results" / "net_fake_quant_model.onnx")
    expected = kl(logits(small.model, small.x), logits(written, small.x))
    assert result.comparison.loss(Kl()) == pytest.approx(expected, rel=0.02)
    assert result.search.trials[0].loss == result.comparison.loss(Kl()) > 0
    assert result.comparison.value(TopK(), result.comparison.float_) == 100.0


def test_batch_normalization_is_folded_and_the_record_holds_a_scale_a_channel(small: Bench) -> None:
    result = small.run(target_loss=50.0)
    record = read_record(small.folder / "out" / "tmp" / "scale_offset_record.txt")
    assert result.folded == ("bn",)
    assert [(name, len(entry.weight_scales)) for name, entry in record.layers.items()] == [
        ("first", 4),
        ("second", 6),
        ("logits", 1),
    ]


def test_history_and_ranking_have_amcts_form(deep: Bench) -> None:
    result = deep.run(target_loss=0.0, metric=Kl())
    history = read_history(deep.folder / "out" / f"amct_log/{PREFIX}_record.json")
    assert deep.json(f"amct_log/{PREFIX}_record.json") == history  # one valid list
    assert history[0]["roll_back_config"] == {f"conv{i}": True for i in range(6)}
    assert all(ok is False and isinstance(loss, float) for ok, loss in (entry["metric_eval"] for entry in history))
    ranking = deep.json(f"results/{PREFIX}_ranking_info.json")
    assert ranking == [list(entry) for entry in result.ranking.entries]
    values = [value for _, value in ranking]
    assert values == sorted(values) and all(0 < value <= 1 for value in values)
    order = [name for name, _ in ranking]
    binary = history[1:4]  # at most ceil(log2 6), then what other strategies would try
    for entry in binary:
        rolled_back = {name for name, stays in entry["roll_back_config"].items() if not stays}
        assert rolled_back == set(order[: len(rolled_back)])


@pytest.mark.parametrize(
    ("sensitivity", "descending"), [(MeanSquaredError(), True), (SignalToNoise(), False)], ids=["mse", "sqnr"]
)
def test_other_measures_rank_the_most_sensitive_layer_first(deep: Bench, sensitivity: object, descending: bool) -> None:
    values = [value for _, value in deep.run(target_loss=50.0, sensitivity=sensitivity).ranking.entries]
    assert values == sorted(values, reverse=descending)


def test_target_that_nothing_meets_is_a_result_without_models(deep: Bench) -> None:
    result = deep.run(target_loss=0.0, metric=Kl())
    assert result.status == "not_met" and result.checked is None and result.search.best is None
    # Where the strategy finds nothing others are tried, which measure damage.
    left = FILES - MODELS - {f"results/{PREFIX}_final_config.json"}
    assert set(deep.written()) == left | {"results/damage.json", "manifest.json"}
    assert len(read_record(deep.folder / "out" / "tmp" / "scale_offset_record.txt")) == 6
    closest = min(result.search.trials, key=lambda trial: trial.loss)
    assert result.fallback == closest.plan.fallback != ()
    assert result.comparison.loss(Kl()) == closest.loss


def test_target_that_is_missed_removes_the_previous_pair_and_no_other_file(deep: Bench) -> None:
    deep.run(target_loss=50.0).folder.finish()
    mine = deep.folder / "out" / "results" / "mine_deploy_model.onnx"
    mine.write_text("the user's")
    assert set(deep.written()) > MODELS
    result = deep.run(target_loss=0.0, metric=Kl())
    result.folder.finish()
    left = FILES - MODELS - {f"results/{PREFIX}_final_config.json"} | {"results/damage.json"}
    assert set(deep.written()) == left | {"results/mine_deploy_model.onnx", "manifest.json"}
    assert set(read_manifest(deep.folder / "out")) == left


@pytest.mark.parametrize("seed", range(4))
def test_search_is_amcts_over_the_losses_of_every_prefix(tmp_path: Path, seed: int) -> None:
    bench = Bench(tmp_path / "bench", chain(6, seed), (3, 4, 4), items=30)
    rejected = bench.run("rejected", target_loss=0.0, metric=Kl())
    order, form = rejected.ranking.layers, rejected.form
    _, found = prepared(bench.model)
    f = logits(bench.model, bench.x)
    prefixes = [fake_quant_model(found, form.without(order[:k])) for k in range(6)]
    losses = [kl(f, logits(model, bench.x)) for model in prefixes]
    along = [
        trial for trial in rejected.search.trials if set(trial.plan.fallback) == set(order[: len(trial.plan.fallback)])
    ]
    assert {len(trial.plan.fallback) for trial in along} == set(range(6))
    for trial in along:
        assert trial.loss == pytest.approx(losses[len(trial.plan.fallback)], rel=0.03, abs=1e-9)
    fallbacks = set()
    for low, high in itertools.pairwise(sorted(losses)):
        if high < 1.2 * low:
            continue  # too close for two builds of one sum to fall on the same side
        target = (low * high) ** 0.5
        result = bench.run("searched", target_loss=target, metric=Kl())
        by_amct = amct_trials([v < target for v in losses])
        assert [len(t.plan.fallback) for t in result.search.trials][: len(by_amct)] == by_amct
        accepted = [k for k in by_amct if losses[k] < target]
        fallbacks.add(len(result.fallback))
        # Other strategies are tried where AMCT's finds nothing.
        assert len(result.search.trials) == len(by_amct) or not accepted
        if accepted:
            assert result.status == "met"
            smallest = min(accepted)
            assert set(result.fallback) == set(order[:smallest])
            if losses == sorted(losses, reverse=True):
                assert smallest == next(k for k in range(6) if losses[k] < target)
            assert result.form.layers.keys() == form.layers.keys() - set(order[:smallest])
    assert len(fallbacks) >= 3  # the targets told the prefixes apart


def amct_trials(accepted: list[bool]) -> list[int]:
    """Return how many layers AMCT rolls back in each trial, the first with none, given what each prefix would do."""
    trials = [0]
    left, right = 0, len(accepted) - 1
    while not accepted[0] and left <= right:
        middle = (left + right) // 2
        if middle == len(accepted) - 1:
            break
        trials.append(middle + 1)
        if accepted[middle + 1]:
            right = middle - 1
        else:
            left = middle + 1
    return trials


def searched(bench: Bench, output: str = "out", **options: object) -> AccAutoResult:
    """Run a job in which some layers fall back and some do not."""
    losses = [trial.loss for trial in bench.run("probe", target_loss=0.0, metric=Kl()).search.trials]
    result = bench.run(output, target_loss=(losses[0] * losses[1]) ** 0.5, metric=Kl(), **options)
    assert result.status == "met" and 0 < len(result.fallback) < 6
    return result


def test_files_of_a_search_tell_the_chosen_plan(deep: Bench) -> None:
    result = searched(deep)
    config, final = deep.json("tmp/config.json"), deep.json(f"results/{PREFIX}_final_config.json")
    layers = [f"conv{i}" for i in range(6)]
    assert all(config[name]["quant_enable"] is True for name in layers)
    assert [name for name in layers if not final[name]["quant_enable"]] == list(result.fallback)
    for name in layers:
        config[name]["quant_enable"] = final[name]["quant_enable"]
    assert config == final
    record = read_record(deep.folder / "out" / "tmp" / "scale_offset_record.txt")
    assert [name for name in layers if name not in record] == list(result.fallback)
    deployed = onnx.load(deep.folder / "out" / "results" / "net_deploy_model.onnx").graph
    int8 = {node.name.removesuffix(".dequant") for node in deployed.node if node.op_type == "AscendDequant"}
    assert int8 == set(record)
    history = deep.json(f"amct_log/{PREFIX}_record.json")
    chosen = [entry for entry in history if entry["metric_eval"][0]]
    assert {n: n not in result.fallback for n in layers} in [entry["roll_back_config"] for entry in chosen]


def test_every_file_is_written_once_and_the_pair_for_each_better_plan(
    deep: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: Counter[str] = Counter()
    write = job_folder.written_aside

    def counted(target: Path, how: object) -> Path:
        if "out" in target.parts:
            writes[target.relative_to(deep.folder / "out").as_posix()] += 1
        return write(target, how)

    monkeypatch.setattr(job_folder, "written_aside", counted)
    result = searched(deep)
    result.folder.finish()
    float_layers = [len(trial.plan.fallback) for trial in result.search.trials if trial.accepted]
    better = sum(count < min(float_layers[:i], default=99) for i, count in enumerate(float_layers))
    models = dict.fromkeys((name for name in FILES if name.endswith(".onnx")), better)
    assert better >= 1
    assert writes == dict.fromkeys(FILES, 1) | models


@pytest.mark.parametrize("callers", [1, 2, 5])
def test_second_run_writes_the_same_bytes_with_any_number_of_callers(deep: Bench, callers: int) -> None:
    searched(deep, "one", callers=2).folder.finish()
    searched(deep, "two", callers=callers).folder.finish()
    one, two = deep.written("one"), deep.written("two")
    assert one.keys() == two.keys() == FILES | {"manifest.json"}
    assert [name for name in one if one[name] != two[name]] == []


def test_running_again_in_the_same_folder_gives_the_same_bytes(deep: Bench) -> None:
    searched(deep).folder.finish()
    before = deep.written()
    searched(deep).folder.finish()
    assert deep.written() == before


def test_listener_hears_the_stages_in_order_and_every_trial(deep: Bench) -> None:
    heard: list[object] = []
    result = searched(deep, emit=heard.append)
    stages = [event.stage for event in heard if isinstance(event, StageStarted)]
    assert stages == ["load", "float_eval", "calibrate", "search", "rank", "search", "write", "verify", "look_inside"]
    trials = [event for event in heard if isinstance(event, TrialFinished)]
    assert [event.step for event in trials] == list(range(len(result.search.trials)))
    assert [event.fallback for event in trials] == [trial.plan.fallback for trial in result.search.trials]
    used = {event.context: event.items for event in heard if isinstance(event, DataUsed)}
    assert used == {"evaluation": 60, "calibration": 10}
    assert result.work.items_scored == 60 * (1 + len(trials))


def test_search_stops_after_the_first_trial_when_it_is_accepted_but_layers_are_ranked(small: Bench) -> None:
    heard: list[object] = []
    result = small.run(target_loss=50.0, emit=heard.append)
    stages = [event.stage for event in heard if isinstance(event, StageStarted)]
    assert stages == ["load", "float_eval", "calibrate", "search", "rank", "write", "verify", "look_inside"]
    assert len(result.search.trials) == 1 and len(result.ranking.layers) == 3


def test_evaluation_count_limits_what_is_scored(small: Bench) -> None:
    result = small.run(target_loss=50.0, evaluation_count=7)
    assert result.comparison.items == 7 and result.work.items_scored == 14
    assert (result.source.evaluation_items, result.source.calibration_items, result.source.overlap) == (7, 10, 0)


def test_calibration_items_that_are_evaluated_too_are_a_warning(small: Bench) -> None:
    heard: list[object] = []
    result = acc_auto(
        small.path,
        NpzDataset(str(small.folder / "data.npz")),
        small.folder / "out",
        AccAutoOptions(target_loss=50.0, calibration_count=6),
        engine=Engine(1),
        emit=heard.append,
    )
    (message,) = [event.message for event in heard if isinstance(event, Warned)]
    assert message.startswith(
        "6 of 6 calibration items are evaluation items too; set split.disjoint=true or name other"
    )
    assert result.warnings == (message,) and result.source.overlap == 6
    assert result.source.model == "source"  # the file's name, where none is given


def test_layer_that_cannot_be_int8_stays_float_with_a_warning(tmp_path: Path) -> None:
    model = onnx_text(
        """g (float[N,2,4,4] x) => (float[N,3] logits) {
            big = Conv (x, w1, b1)
            small = Sum (big, shift)
            fine = Conv (small, w2)
            p = GlobalAveragePool (fine)
            logits = Flatten (p)
        }""",
        w1=np.full((2, 2, 1, 1), 1e-4, np.float32),
        b1=np.full(2, 1e5, np.float32),
        shift=np.float32(-1e5),
        w2=np.random.default_rng(0).normal(size=(3, 2, 1, 1)).astype(np.float32),
    )
    bench, heard = Bench(tmp_path / "bench", model, (2, 4, 4)), []
    result = bench.run(target_loss=100.5, emit=heard.append)
    assert [left.name for left in result.impossible] == ["big"] and result.fallback == ("big",)
    (message,) = [event.message for event in heard if isinstance(event, Warned)]
    assert message.startswith("layer 'big' stays float: its bias becomes ")
    assert bench.json("tmp/config.json")["big"]["quant_enable"] is False
    assert list(read_record(bench.folder / "out" / "tmp" / "scale_offset_record.txt")) == ["fine"]
    assert bench.json(f"amct_log/{PREFIX}_record.json")[0]["roll_back_config"] == {"fine": True}


def test_model_of_which_no_layer_can_be_int8_is_refused(tmp_path: Path) -> None:
    model = onnx_text(
        "g (float[N,2] x) => (float[N,2] logits) { logits = Gemm (x, w, b) }",
        w=np.full((2, 2), 1e-4, np.float32),
        b=np.full(2, 1e5, np.float32),
    )
    with pytest.raises(ModelError, match=r"model\.path: no layer can be expressed in int8 \(logits: its bias becomes "):
        Bench(tmp_path / "bench", model, (2,)).run(target_loss=50.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"evaluation_count": 61}, ConfigError, r"evaluation\.count: expected 1 to 60"),
        ({"calibration_count": 13}, ConfigError, r"calibration\.count: expected 1 to 12"),
        ({"metric": TopK(), "data": "other"}, ConfigError, "top1 needs a label"),
        ({"metric": Kl(output="nope")}, ConfigError, r"metric\.output: the model has no output 'nope'; it has logits"),
        ({"data": "wide"}, DatasetError, r"item wide\.npz\[0\] has shape 2x7x7, but the model input 'x' takes 2x6x6"),
        ({"data": "labels"}, DatasetError, r"labels\.npz\[2\] with 9\. Classes are numbered from 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_input_is_refused_before_any_file_is_written(
    small: Bench, change: dict, error: type[Exception], message: str
) -> None:
    np.savez(small.folder / "wide.npz", x=normal_items(3, 2, 7, 7), y=np.zeros(3, int))
    np.savez(small.folder / "labels.npz", x=normal_items(3, 2, 6, 6), y=np.array([0, 1, 9]))
    with pytest.raises(error, match=message):
        small.run(**({"target_loss": 1.0} | change))
    assert not small.folder.joinpath("out").exists() or small.written() == {}


@pytest.mark.parametrize("target", [-0.1, float("nan"), float("inf")])
def test_target_below_zero_is_refused(target: float) -> None:
    with pytest.raises(ConfigError, match=r"target_loss: expected 0 or more percentage points .* got (-0\.1|nan|inf)"):
        AccAutoOptions(target_loss=target)


@pytest.mark.parametrize("confidence", [1.0, 0.3, float("nan")])
def test_confidence_of_one_or_none_at_all_is_refused(confidence: float) -> None:
    with pytest.raises(ConfigError, match=r"search.confidence: expected 0.5 or more and less than 1, or null .* got "):
        AccAutoOptions(target_loss=1, confidence=confidence)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Six convolutions and enough items for a trial to stop early."""
    return Bench(tmp_path_factory.mktemp("many"), *DEEP, items=600)


@pytest.mark.parametrize(("metric", "target"), [(TopK(), 1.0), (Kl(), None)], ids=["top1", "kl"])
def test_early_trials_end_with_the_plan_of_full_ones(many: Bench, metric: object, target: float | None) -> None:
    if target is None:
        losses = [trial.loss for trial in many.run("probe", target_loss=0.0, metric=metric).search.trials]
        target = (losses[0] * losses[-1]) ** 0.5
    heard: list[object] = []
    certain = many.run("certain", target_loss=target, metric=metric, confidence=None)
    early = many.run("early", target_loss=target, metric=metric, emit=heard.append)
    assert early.status == certain.status == "met" and 0 < len(early.fallback) == len(certain.fallback) < 6
    assert early.fallback == certain.fallback and early.search.best == certain.search.best
    assert [t.accepted for t in early.search.trials] == [t.accepted for t in certain.search.trials]
    partial = [trial for trial in early.search.trials if not trial.full]
    assert partial and early.work.items_scored <= certain.work.items_scored
    evaluations = summary_of(early)["evaluations"]
    assert evaluations["partial"] == len(partial) and sum(evaluations.values()) == (
        1 + len(early.search.trials) + early.work.items_scored
    )
    scored = sum(600 if trial.full else trial.settled_after or 0 for trial in early.search.trials)
    assert early.work.items_scored == 600 + scored
    estimates = {e.fallback for e in heard if isinstance(e, TrialFinished) and e.settled_after is not None}
    assert {trial.plan.fallback for trial in partial} <= estimates
    history = read_history(many.folder / "early" / "amct_log" / f"{PREFIX}_record.json")
    assert [entry["metric_eval"] for entry in history] == [[t.accepted, t.loss] for t in early.search.trials]


@pytest.mark.parametrize("strategy", [Greedy(None), Binary(give_back=None)], ids=["greedy", "binary"])
def test_no_step_is_built_upon_an_estimate(many: Bench, strategy: object) -> None:
    options = {"metric": Kl(), "strategy": strategy, "sensitivity": EndToEnd(items=16)}
    probe = many.run("probe", target_loss=0.0, **options)
    losses = [trial.loss for trial in probe.search.trials if trial.full]
    options["target_loss"] = 0.6 * losses[0]
    certain = many.run("certain", confidence=None, **options)
    heard: list[object] = []
    early = many.run("early", emit=heard.append, **options)
    assert early.status == "met" and 0 < len(early.fallback) < 6 and early.fallback == certain.fallback
    assert all(trial.full for trial in early.search.trials if trial.accepted)
    refused = [trial for trial in early.search.trials if not trial.full]
    every_item = 600 * (1 + len(early.search.trials)) + 6 * 16
    assert refused and early.work.items_scored <= certain.work.items_scored and early.work.items_scored < every_item
    told = [event for event in heard if isinstance(event, TrialFinished)]
    confirmed = {event.step for event in told if event.settled_after is not None and event.accepted}
    # Where an accepted plan was settled early it is told of a second time, before the next plan.
    assert confirmed and [event.step for event in told] == sorted(event.step for event in told)
    assert all([event.step for event in told].count(step) == 2 for step in confirmed)
    assert early.work.partial_evaluations == len(refused) + 6
    assert early.work.evaluations == 1 + len(early.search.trials) - len(refused)


def test_curve_holds_no_estimate(many: Bench) -> None:
    options = {"metric": Kl(), "strategy": Pareto(), "sensitivity": EndToEnd(items=16)}
    loss = many.run("probe", target_loss=50.0, metric=Kl()).search.trials[0].loss
    result = many.run("curve", target_loss=0.5 * loss, **options)
    assert all(trial.full for trial in result.search.trials) and len(result.curve) == len(result.search.trials)
    assert result.work.partial_evaluations == 6  # the damages


@pytest.mark.parametrize("metric", [TopK(), Agreement(), Kl(), Sqnr(), Mse()], ids=lambda m: m.name)
def test_every_metric_can_decide_and_the_others_come_along(small: Bench, metric: object) -> None:
    result = small.run(target_loss=1000.0, metric=metric, observer=MinMax())
    assert result.status == "met"
    names = [m.name for m in result.comparison.metrics]
    assert (
        names[0] == metric.name and {"top1", "agreement", "kl", "sqnr"} <= set(names) and len(set(names)) == len(names)
    )
    assert with_companions(metric)[0] is metric


def test_figures_of_held_out_items_are_those_of_the_written_model_on_them(small: Bench) -> None:
    result = small.run(target_loss=50.0, metric=Kl(), split=Split(report=0.25))
    assert (result.source.search_items, result.source.evaluation_items, result.source.held_out) == (45, 15, True)
    report = small.x[[index * 60 // 15 for index in range(15)]]
    written = onnx.load(small.folder / "out" / "results" / "net_fake_quant_model.onnx")
    expected = kl(logits(small.model, report), logits(written, report))
    assert result.comparison.headline.loss == pytest.approx(expected, rel=1e-4)
    assert items_phrase(result.comparison, result.source) == "15 items that the search of 45 never saw"
    assert result.comparison.interval is not None
    assert result.comparison.interval.low < expected < result.comparison.interval.high


def test_interrupted_on_held_out_items_the_figures_are_those_of_the_search(
    small: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(RememberedScores):
        @classmethod
        def against(cls, model: Any, evaluator: Any, **about: Any) -> Any:
            if len(evaluator.items) == 15:
                raise KeyboardInterrupt
            return super().against(model, evaluator, **about)

    monkeypatch.setattr(measure, "RememberedScores", Interrupted)
    result = small.run(target_loss=50.0, metric=Kl(), split=Split(report=0.25))
    assert (result.status, result.comparison.items) == ("interrupted", 45)
    assert result.comparison.headline.loss == pytest.approx(result.search.trials[0].loss)
    assert items_phrase(result.comparison, result.source) == "45 items"
    assert (small.folder / "out" / "results" / "net_deploy_model.onnx").is_file()


def test_search_does_not_look_at_held_out_items(small: Bench) -> None:
    held = [index * 60 // 15 for index in range(15)]
    first = small.run(target_loss=0.01, metric=Kl(), split=Split(report=0.25))
    small.x[held] = normal_items(15, 2, 6, 6, seed=99)
    np.savez(small.folder / "data.npz", x=small.x, y=answers(small.model, small.x))
    second = small.run("again", target_loss=0.01, metric=Kl(), split=Split(report=0.25))
    assert [trial.loss for trial in first.search.trials] == [trial.loss for trial in second.search.trials]
    assert first.comparison.headline.loss != second.comparison.headline.loss


def test_a_plan_that_fails_on_held_out_items_leaves_no_model(small: Bench) -> None:
    held = [index * 60 // 15 for index in range(15)]
    rng = np.random.default_rng(5)
    small.x[held] = 40 * rng.normal(size=(15, 2, 6, 6)).astype(np.float32)  # far outside the calibrated ranges
    np.savez(small.folder / "data.npz", x=small.x, y=answers(small.model, small.x))
    result = small.run(target_loss=0.2, metric=Kl(), split=Split(report=0.25))
    assert result.status == "not_met" and not MODELS & small.written().keys()
    assert any("kept for the report" in message and "no model is written" in message for message in result.warnings)


def test_an_evaluator_of_the_users_takes_no_report_items() -> None:
    with pytest.raises(ConfigError, match=r"split\.report: expected 0 with metric=amct_evaluator"):
        AccAutoOptions(target_loss=1.0, metric=AmctEvaluator("m.E"), split=Split(report=0.5))


def test_too_few_items_for_a_target_are_warned_of_before_the_work(small: Bench) -> None:
    heard: list[object] = []
    small.run(target_loss=0.2, metric=Agreement(), emit=heard.append)
    warned = next(place for place, event in enumerate(heard) if isinstance(event, Warned))
    assert heard[warned] == Warned(
        "60 evaluation items cannot resolve target_loss=0.2: one item is 1.67 percentage points, so the target forgives no "
        "net loss at all; 501 items or more would."
    )
    assert warned < heard.index(StageStarted("float_eval", 60))


def test_a_target_in_other_units_needs_no_number_of_items(small: Bench) -> None:
    heard: list[object] = []
    small.run(target_loss=0.001, metric=Kl(), emit=heard.append)
    assert not [event for event in heard if isinstance(event, Warned)]


def test_record_with_its_integers_gives_the_same_models_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", *SMALL)
    best = Correction("sequential", scale=True, rounding="compensated", range="output")
    first = bench.run("first", target_loss=50.0, observer=MinMax(), correction=best)
    side = "tmp/scale_offset_record.integers.npz"
    assert set(bench.written("first")) - {"manifest.json"} == FILES | {side}
    record = str(first.folder.path("tmp/scale_offset_record.txt"))
    second = bench.run("second", target_loss=50.0, record=record)
    for name in (*MODELS, side):
        assert first.folder.path(name).read_bytes() == second.folder.path(name).read_bytes()
    # Without them the scales alone give other integers.
    first.folder.path(side).unlink()
    third = bench.run("third", target_loss=50.0, record=record)
    assert not third.folder.path(side).exists()
    name = "results/net_deploy_model.onnx"
    assert first.folder.path(name).read_bytes() != third.folder.path(name).read_bytes()


@pytest.mark.parametrize("correction", [Correction("isolated"), EVERY_CORRECTION], ids=["pass", "walk"])
def test_record_with_shifted_biases_gives_the_same_models_again(tmp_path: Path, correction: Correction) -> None:
    # Off zero, so that rounding the weights makes mean errors, and shifts help.
    bench = Bench(tmp_path / "bench", dense(), (5,), mean=2.0)
    first = bench.run("first", target_loss=50.0, observer=MinMax(), correction=correction)
    shifts = {name: layer.shift for name, layer in first.form.layers.items()}
    assert list(shifts) == ["h", "k"] and all(shift is not None for shift in shifts.values())
    second = bench.run("second", target_loss=50.0, record=str(first.folder.path("tmp/scale_offset_record.txt")))
    for name in (*MODELS, "tmp/scale_offset_record.integers.npz"):
        assert first.folder.path(name).read_bytes() == second.folder.path(name).read_bytes()
    # The files hold the constants, each with its shift: proved against each other, item by item.
    assert (
        first.checked is not None and first.checked.proof.sameness.identical == first.checked.proof.sameness.items > 0
    )
    bias = {a.name: onnx.numpy_helper.to_array(a) for a in bench.model.graph.initializer}
    for file in MODELS:
        held = {a.name: onnx.numpy_helper.to_array(a) for a in onnx.load(first.folder.path(file)).graph.initializer}
        for layer, name in (("h", "b1"), ("k", "b2")):
            np.testing.assert_array_equal(held[f"{name}.shifted"], bias[name] + shifts[layer])
            assert name not in held


def test_layer_that_falls_back_has_its_bias_back(tmp_path: Path) -> None:
    # Off zero, so that rounding the weights makes mean errors, and shifts help.
    bench = Bench(tmp_path / "bench", dense(), (5,), mean=2.0)
    options = {"metric": Kl(), "observer": MinMax(), "correction": Correction("isolated")}
    loss = bench.run("whole", target_loss=50.0, **options).search.trials[0].loss
    result = bench.run(target_loss=0.9 * loss, **options)
    ((fallen,), (int8,)) = result.fallback, result.form.layers
    bias = {a.name: onnx.numpy_helper.to_array(a) for a in bench.model.graph.initializer}
    own = {"h": "b1", "k": "b2"}
    for file in MODELS:
        held = {a.name: onnx.numpy_helper.to_array(a) for a in onnx.load(result.folder.path(file)).graph.initializer}
        np.testing.assert_array_equal(held[own[fallen]], bias[own[fallen]])
        np.testing.assert_array_equal(held[f"{own[int8]}.shifted"], bias[own[int8]] + result.form.layers[int8].shift)


END_TO_END = EndToEnd(items=12)


def targets(bench: Bench) -> tuple[dict[tuple[str, ...], float], list[float]]:
    """Return the loss of every plan of a job, by what is float, and targets well apart from all of them."""
    rejected = bench.run("rejected", target_loss=0.0, metric=Kl())
    _, found = prepared(bench.model)
    f, names = logits(bench.model, bench.x), list(rejected.form.layers)
    losses = {
        chosen: kl(f, logits(fake_quant_model(found, rejected.form.without(chosen)), bench.x))
        for count in range(len(names))
        for chosen in itertools.combinations(names, count)
    }
    between = [(low * high) ** 0.5 for low, high in itertools.pairwise(sorted(losses.values())) if high > 1.15 * low]
    return losses, between


def test_greedy_job_against_every_plan(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", chain(5), (3, 4, 4), items=30)
    losses, between = targets(bench)
    assert len(between) >= 4
    for target in between:
        options = {"target_loss": target, "metric": Kl()}
        greedy = bench.run("greedy", strategy=Greedy(None), sensitivity=END_TO_END, **options)
        given = bench.run("given", strategy=Binary(give_back=None), **options)
        macs = {name: cost.macs for name, cost in greedy.layers.costs.items()}
        for result in (greedy, given):
            for trial in result.search.trials:
                assert trial.loss == pytest.approx(losses[trial.plan.fallback], rel=0.03, abs=1e-9)
                assert trial.float_macs == sum(macs[name] for name in trial.plan.fallback)
            if result.status == "not_met":
                continue
            assert losses[result.fallback] < target
            for name in result.fallback:
                fewer = tuple(other for other in result.fallback if other != name)
                # The loss of this network hardly ever falls as layers become int8.
                assert losses[fewer] >= target or losses[fewer] < losses[result.fallback]


@pytest.mark.parametrize("sensitivity", [MeanSquaredError(), END_TO_END], ids=["alone", "end to end"])
def test_ranking_is_work_of_its_own_stage(small: Bench, sensitivity: object) -> None:
    heard: list[object] = []
    small.run(target_loss=50.0, sensitivity=sensitivity, emit=heard.append)
    own = [e for e in heard if isinstance(e, StageStarted | StageAdvanced | StageFinished) and e.stage == "rank"]
    first, *advanced, last = own
    assert isinstance(first, StageStarted) and isinstance(last, StageFinished)
    assert [event.done for event in advanced] == list(range(1, first.total + 1))


def test_loss_contributions_and_ranking_of_a_job_are_those_of_leaving_each_layer_out(deep: Bench) -> None:
    heard: list[object] = []
    result = deep.run(target_loss=0.0, metric=Kl(), sensitivity=EndToEnd(items=60), emit=heard.append)
    losses, _ = targets(deep)
    assert result.loss_contributions is not None and result.loss_contributions.items == tuple(range(60))
    everything = losses[()]
    assert result.loss_contributions.total == pytest.approx(everything, rel=0.03)
    for group, value in result.loss_contributions.groups:
        assert value == pytest.approx(everything - losses[group.layers], abs=0.03 * everything)
    values = [value for _, value in result.ranking.entries]
    assert values == sorted(values, reverse=True)
    assert deep.json(f"results/{PREFIX}_ranking_info.json") == [list(entry) for entry in result.ranking.entries]
    assert [entry["layers"] for entry in deep.json("results/damage.json")["units"]] == [
        [name] for name in result.ranking.layers
    ]
    # Where nothing is found the layers are ranked on their own as well.
    rank, _ = [event for event in heard if isinstance(event, StageStarted) and event.stage == "rank"]
    assert (rank.total, rank.detail) == (6 * 60, "6 layer groups on 60 items")
    assert result.work.partial_evaluations == 6
    assert result.work.items_scored == 60 * (1 + len(result.search.trials)) + 6 * 60


def test_pareto_job_writes_its_curve_even_where_all_int8_is_accepted(deep: Bench) -> None:
    result = deep.run(target_loss=50.0, metric=Kl(), strategy=Pareto(), sensitivity=END_TO_END)
    assert result.status == "met" and result.fallback == ()
    assert set(deep.written()) == FILES | {"results/damage.json", "results/pareto.json", "manifest.json"}
    curve = deep.json("results/pareto.json")
    assert [len(point["fallback"]) for point in curve] == [0, 1, 2, 3, 4, 5]
    assert [point["loss"] for point in curve] == [trial.loss for trial in result.search.trials]
    assert [point["chosen"] for point in curve] == [True] + 5 * [False]


@pytest.mark.parametrize("callers", [1, 3])
def test_curve_and_loss_contributions_are_the_same_bytes_again(deep: Bench, callers: int) -> None:
    options = {"strategy": Pareto(), "sensitivity": END_TO_END}
    searched(deep, "one", **options).folder.finish()
    searched(deep, "two", callers=callers, **options).folder.finish()
    assert deep.written("one") == deep.written("two")
    assert {"results/damage.json", "results/pareto.json"} < deep.written("one").keys()


def repairing(monkeypatch: pytest.MonkeyPatch, **forms: object) -> list[str]:
    """Have calibration offer repaired forms; return a list that grows when it is asked."""
    asked: list[str] = []

    def repaired(self: object, job: object) -> dict[str, object]:
        asked.append("asked")
        return {f"int8+{name}": form for name, form in forms.items()}

    monkeypatch.setattr(CalibratedLayers, "repaired", repaired)
    return asked


def test_repairs_are_not_made_where_all_int8_is_accepted(deep: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = repairing(monkeypatch)
    deep.run(target_loss=50.0)
    assert asked == []


def test_repaired_plan_that_meets_the_target_ends_the_search(deep: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # A form with ranges from other items stands for the stronger one; the better of the two is called the repair.
    plain, other = (deep.run(f"c{n}", target_loss=0.0, metric=Kl(), calibration_count=n) for n in (1, 12))
    losses = [result.search.trials[0].loss for result in (plain, other)]
    assert losses[1] < 0.9 * losses[0]
    asked = repairing(monkeypatch, strong=other.form)
    result = deep.run(target_loss=sum(losses) / 2, metric=Kl(), calibration_count=1)
    assert asked == ["asked"] and result.status == "met" and result.fallback == ()
    assert [trial.plan.treatments[0][1] for trial in result.search.trials] == ["int8", "int8+strong"]
    assert [trial.loss for trial in result.search.trials] == losses
    assert result.repaired == tuple(f"conv{index}" for index in range(6))
    # The record's scales need not say a repair's integers, so these lie beside it.
    assert "tmp/scale_offset_record.integers.npz" in deep.written()
    written = onnx.load(deep.folder / "out" / "results" / "net_fake_quant_model.onnx")
    assert kl(logits(deep.model, deep.x), logits(written, deep.x)) == pytest.approx(losses[1], rel=0.03)


def test_layers_that_stay_int8_stay_repaired_when_others_fall_back(
    deep: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = deep.run("other", target_loss=0.0, metric=Kl(), calibration_count=12)
    repairing(monkeypatch, strong=other.form)
    loss = other.search.trials[0].loss
    result = deep.run(
        target_loss=0.6 * loss, metric=Kl(), calibration_count=1, strategy=Greedy(None), sensitivity=END_TO_END
    )
    assert result.status == "met" and 0 < len(result.fallback) < 6
    assert set(result.repaired) == {f"conv{index}" for index in range(6)} - set(result.fallback)
    assert result.search.trials[1].plan == Plan.all_int8(other.form.layers).with_repair("int8+strong")
    assert all(result.form.layers[name] is other.form.layers[name] for name in result.repaired)


def test_every_correction_is_made_before_a_layer_falls_back(deep: Bench) -> None:
    plain = deep.run("plain", target_loss=0.0, metric=Kl(), observer=MinMax())
    best = deep.run("best", target_loss=0.0, metric=Kl(), observer=MinMax(), correction=EVERY_CORRECTION)
    losses = [result.search.trials[0].loss for result in (plain, best)]
    assert losses[1] < losses[0]
    target = sum(losses) / 2
    result = deep.run("repair", target_loss=target, metric=Kl(), observer=MinMax(), correction=Correction(repair=True))
    assert [trial.loss for trial in result.search.trials] == losses
    assert result.status == "met" and result.fallback == () and len(result.repaired) == 6
    for name in MODELS:
        # What is written is what the same corrections give by themselves.
        wanted = deep.run("again", target_loss=target, metric=Kl(), observer=MinMax(), correction=EVERY_CORRECTION)
        assert result.folder.path(name).read_bytes() == wanted.folder.path(name).read_bytes()


def unbalanced() -> onnx.ModelProto:
    """Return conv + relu6 + depthwise + relu + conv with channels that differ in size, giving 3 logits."""
    rng = np.random.default_rng(3)
    sizes = np.array([6, 1, 0.2, 3, 0.1, 0.5], np.float32).reshape(6, 1, 1, 1)
    return onnx_text(
        """g (float[N,2,6,6] x) => (float[N,3] logits) {
            a = Conv (x, w1, b1)
            b = Clip (a, zero, six)
            c = Conv <group = 6, pads = [1,1,1,1]> (b, w2)
            d = Relu (c)
            e = Conv (d, w3)
            p = GlobalAveragePool (e)
            logits = Flatten (p)
        }""",
        w1=sizes * rng.uniform(-1, 1, (6, 2, 1, 1)).astype(np.float32),
        b1=sizes.reshape(6) / 4,
        w2=rng.normal(size=(6, 1, 3, 3)).astype(np.float32) / sizes,
        w3=rng.normal(size=(3, 6, 1, 1)).astype(np.float32),
        zero=np.float32(0),
        six=np.float32(6),
    )


def test_equalized_job_says_the_same_in_float_and_its_record_gives_the_same_models_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", unbalanced(), (2, 6, 6))
    common = {"target_loss": 1.0, "observer": MinMax(), "metric": Kl()}
    plain = bench.run("plain", **common)
    first = bench.run("first", **common, correction=Correction(equalize=True))
    side = "tmp/scale_offset_record.rewriting.json"
    assert set(bench.written("first")) == FILES | {side, "manifest.json"}
    assert list(bench.json(side, "first")["exponents"]) == ["a"]
    assert first.rewriting_gap == 0
    assert first.checked is not None
    assert first.checked.proof.sameness.identical == first.checked.proof.sameness.items > 0
    # The deploy model holds the float operators of an equalized Clip, and the same layers.
    deploy = onnx.load(first.folder.path("results/net_deploy_model.onnx"))
    assert [node.op_type for node in deploy.graph.node if node.op_type in ("Clip", "Relu", "Min")] == [
        "Relu",
        "Min",
        "Relu",
    ]
    assert first.form.layers.keys() == plain.form.layers.keys()
    losses = [summary_of(result)["kl"] for result in (plain, first)]
    assert losses[1] < losses[0]
    record = str(first.folder.path("tmp/scale_offset_record.txt"))
    second = bench.run("second", target_loss=1.0, metric=Kl(), record=record)
    for name in (*MODELS, side):
        assert first.folder.path(name).read_bytes() == second.folder.path(name).read_bytes()


def test_outlier_behind_a_normalization_is_scaled_away_and_the_record_gives_the_same_models_again(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(3)
    gamma, shrunk = np.ones(16, np.float32), np.ones((16, 1), np.float32)
    gamma[5], shrunk[5] = 64, 1 / 64
    source = proto(
        """g (float[N,7,16] x) => (float[N,7,7] z) {
            [norm] y = LayerNormalization (x, gamma, beta)
            [q] q1 = MatMul (y, wq)
            q2 = Add (q1, bq)
            [k] k1 = MatMul (y, wk)
            t = Transpose <perm = [0,2,1]> (k1)
            z = MatMul (q2, t)
        }""",
        gamma=gamma,
        beta=gamma * rng.normal(0, 0.3, 16).astype(np.float32),
        wq=shrunk * rng.normal(size=(16, 12)).astype(np.float32),
        wk=shrunk * rng.normal(size=(16, 12)).astype(np.float32),
        bq=rng.normal(size=12).astype(np.float32),
    )
    bench = Bench(tmp_path / "bench", source, (7, 16))
    common = {"target_loss": 60.0, "observer": MinMax(), "metric": Sqnr()}
    for fit in (Correction("isolated"), EVERY_CORRECTION):
        plain = bench.run("plain", **common, correction=fit)
        first = bench.run("first", **common, correction=replace(fit, equalize=True))
        assert list(bench.json("tmp/scale_offset_record.rewriting.json", "first")["exponents"]) == ["norm"]
        assert first.rewriting_gap == 0
        # No node more on the device, and every layer in int8.
        kinds = [
            [node.op_type for node in onnx.load(result.folder.path("results/net_deploy_model.onnx")).graph.node]
            for result in (plain, first)
        ]
        assert kinds[0] == kinds[1] and kinds[0].count("AscendDequant") == 2
        assert summary_of(first)["sqnr_db"] > summary_of(plain)["sqnr_db"] + 12
        record = str(first.folder.path("tmp/scale_offset_record.txt"))
        again = bench.run("again", target_loss=60.0, metric=Sqnr(), record=record)
        for name in MODELS:
            assert first.folder.path(name).read_bytes() == again.folder.path(name).read_bytes()


def test_repair_of_an_equalized_job_is_of_the_equalized_model(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", unbalanced(), (2, 6, 6))
    common = {"observer": MinMax(), "metric": Kl()}
    plain, best = Correction(equalize=True), replace(EVERY_CORRECTION, equalize=True)
    losses = [bench.run(target_loss=0.0, correction=way, **common).search.trials[0].loss for way in (plain, best)]
    assert losses[0] != losses[1]
    repaired = bench.run(target_loss=0.0, correction=replace(plain, repair=True), **common)
    assert [trial.loss for trial in repaired.search.trials[:2]] == losses


def test_record_takes_integers_and_equalization_from_beside_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", unbalanced(), (2, 6, 6))
    correction = replace(EVERY_CORRECTION, equalize=True)
    first = bench.run("first", target_loss=1.0, metric=Kl(), observer=MinMax(), correction=correction)
    beside = {f"tmp/scale_offset_record.{kind}" for kind in ("integers.npz", "rewriting.json")}
    assert beside < bench.written("first").keys()
    record = str(first.folder.path("tmp/scale_offset_record.txt"))
    again = bench.run("again", target_loss=1.0, metric=Kl(), record=record)
    for name in MODELS:
        assert first.folder.path(name).read_bytes() == again.folder.path(name).read_bytes()


def test_layer_that_stays_float_is_the_equalized_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", unbalanced(), (2, 6, 6))
    settings = LayerSettings(skip_layers=("a",))
    result = bench.run(target_loss=5.0, metric=Kl(), correction=Correction(equalize=True), settings=settings)
    powers = bench.json("tmp/scale_offset_record.rewriting.json")["exponents"]["a"]
    written = onnx.load(result.folder.path("results/net_deploy_model.onnx"))
    weights = {array.name: onnx.numpy_helper.to_array(array) for array in (*written.graph.initializer,)}
    source = {array.name: onnx.numpy_helper.to_array(array) for array in bench.model.graph.initializer}
    np.testing.assert_array_equal(weights["w1"], source["w1"] * np.exp2(np.float32(powers)).reshape(6, 1, 1, 1))


def test_equalization_of_another_model_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", unbalanced(), (2, 6, 6))
    first = bench.run("first", target_loss=1.0, metric=Kl(), correction=Correction(equalize=True))
    other = Bench(tmp_path / "other", *SMALL)
    with pytest.raises(RecordError, match=r"rewriting beside it does not fit .*net|source.*'a' makes no 6 channels"):
        other.run(target_loss=1.0, record=str(first.folder.path("tmp/scale_offset_record.txt")))


def photos(bench: Bench) -> Bench:
    """Give a bench normalized photos of 256 levels for data."""
    pixels = np.random.default_rng(0).integers(0, 256, bench.x.shape)
    mean, std = np.array([0.485, 0.456]).reshape(2, 1, 1), np.array([0.229, 0.224]).reshape(2, 1, 1)
    bench.x = ((pixels / 255 - mean) / std).astype(np.float32)
    np.savez(bench.folder / "data.npz", x=bench.x, y=answers(bench.model, bench.x))
    np.savez(bench.folder / "other.npz", x=bench.x[:20])
    return bench


def test_job_with_whole_pixels_says_the_same_in_float_and_its_record_gives_the_same_models_again(
    tmp_path: Path,
) -> None:
    bench = photos(Bench(tmp_path / "bench", *SMALL))
    common = {"target_loss": 5.0, "metric": Kl(), "observer": MinMax()}
    first = bench.run("first", **common, correction=Correction(pixels=True))
    side = "tmp/scale_offset_record.rewriting.json"
    assert set(bench.written("first")) == FILES | {side, "manifest.json"}
    assert list(bench.json(side, "first")["pixels"]) == ["first"]
    assert first.rewriting_gap < 1e-5
    assert first.form.layers["first"].record.activation.scale == 1
    assert first.checked is not None
    assert first.checked.proof.sameness.identical == first.checked.proof.sameness.items > 0
    deploy = onnx.load(first.folder.path("results/net_deploy_model.onnx"))
    assert [node.op_type for node in deploy.graph.node[:5]] == ["Pad", "Mul", "Add", "AscendQuant", "Conv"]
    record = str(first.folder.path("tmp/scale_offset_record.txt"))
    second = bench.run("second", target_loss=5.0, metric=Kl(), record=record)
    for name in (*MODELS, side):
        assert first.folder.path(name).read_bytes() == second.folder.path(name).read_bytes()


def test_pixels_of_a_layer_with_zero_point_0_or_in_float_stay_as_they_are(tmp_path: Path) -> None:
    bench = photos(Bench(tmp_path / "bench", *SMALL))
    side = "tmp/scale_offset_record.rewriting.json"
    common = {"target_loss": 5.0, "metric": Kl(), "correction": Correction(pixels=True)}
    bench.run("even", **common, observer=MinMax(asymmetric=False))
    bench.run("float", **common, settings=LayerSettings(skip_layers=("first",)))
    assert side not in bench.written("even")
    assert side not in bench.written("float")


def test_pixels_and_equalization_are_both_of_the_model_that_is_written(tmp_path: Path) -> None:
    bench = photos(Bench(tmp_path / "bench", unbalanced(), (2, 6, 6)))
    both = replace(EVERY_CORRECTION, pixels=True, equalize=True)
    first = bench.run("first", target_loss=5.0, metric=Kl(), observer=MinMax(), correction=both)
    beside = bench.json("tmp/scale_offset_record.rewriting.json", "first")
    assert (list(beside["pixels"]), list(beside["exponents"])) == (["a"], ["a", "c"])
    record = str(first.folder.path("tmp/scale_offset_record.txt"))
    again = bench.run("again", target_loss=5.0, metric=Kl(), record=record)
    for name in MODELS:
        assert first.folder.path(name).read_bytes() == again.folder.path(name).read_bytes()


def test_greedy_goes_by_damage_and_the_ranking_is_by_the_sensitivity_that_was_asked_for(deep: Bench) -> None:
    _, between = targets(deep)
    options = {"target_loss": between[len(between) // 2], "metric": Kl(), "strategy": Greedy()}
    by_loss = deep.run("loss", sensitivity=EndToEnd(), **options)
    by_cosine = deep.run("cosine", **options)
    assert (
        by_cosine.search.trials == by_loss.search.trials and by_cosine.loss_contributions == by_loss.loss_contributions
    )
    alone = deep.run("alone", target_loss=50.0).ranking.entries
    assert by_cosine.ranking.entries == alone != by_loss.ranking.entries
    assert deep.json(f"results/{PREFIX}_ranking_info.json", "cosine") == [list(entry) for entry in alone]
