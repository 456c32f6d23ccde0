"""Whole jobs with the DMQ balancer: what they write, that it comes back from their own files, and who decides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from runner.calibration.minmax import MinMax
from runner.correction.options import AUTO, EVERY_CORRECTION, Correction
from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.errors import ConfigError, RecordError
from runner.evaluation.distance import Kl
from runner.events import CALIBRATE, StageStarted, WorkAhead
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.layer_settings import LayerRule, LayerSettings
from runner.modes.result import AccAutoResult
from runner.record_text import format_record, read_record
from runner.session import Session
from runner.store.store import Store
from tests.data import normal_items
from tests.models import onnx_text, save

PREFIX = "accuracy_based_auto_calibration"
CONFIG, FINAL, RECORD = "tmp/config.json", f"results/{PREFIX}_final_config.json", "tmp/scale_offset_record.txt"
DEPLOY, FAKE_QUANT = "results/net_deploy_model.onnx", "results/net_fake_quant_model.onnx"
MODELS = (DEPLOY, FAKE_QUANT)
HALF = Correction(balance=0.5)
SIZES = np.array([1, 40, 0.5, 2, 25, 1], np.float32)


def outliers() -> onnx.ModelProto:
    """Return a convolution and two heads on one tensor, with channels of very different width before each."""
    rng = np.random.default_rng(3)
    return onnx_text(
        """g (float[N,6,4,4] x) => (float[N,4] logits) {
            wide = Mul (x, sizes)
            conv = Conv <pads = [1,1,1,1]> (wide, w1)
            r = Relu (conv)
            pooled = AveragePool <kernel_shape = [4,4]> (r)
            flat = Flatten (pooled)
            left = Gemm (flat, w2, b2)
            right = MatMul (flat, w3)
            logits = Add (left, right)
        }""",
        sizes=SIZES.reshape(1, 6, 1, 1),
        # Each output channel has a size of its own too.
        w1=rng.normal(size=(6, 6, 3, 3)).astype(np.float32) / SIZES.reshape(6, 1, 1) * SIZES.reshape(6, 1, 1, 1),
        w2=rng.normal(size=(6, 4)).astype(np.float32) / SIZES.reshape(6, 1),
        b2=rng.normal(size=4).astype(np.float32),
        w3=rng.normal(size=(6, 4)).astype(np.float32) / SIZES.reshape(6, 1),
    )


class Bench:
    """The model and its data on disk; runs jobs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = save(outliers(), folder / "net.onnx")
        np.savez(folder / "data.npz", x=normal_items(48, 6, 4, 4))

    def run(self, output: str = "out", *, store: Store | None = None, **options: Any) -> AccAutoResult:
        usual = {"target_loss": 1000.0, "metric": Kl(), "output_kind": "logits", "observer": MinMax()}
        self.heard: list[object] = []
        return acc_auto(
            self.path,
            NpzDataset(str(self.folder / "data.npz")),
            self.folder / output,
            AccAutoOptions(**(usual | {"calibration_count": 16} | options)),
            name="net",
            engine=Engine(2),
            store=store,
            emit=self.heard.append,
        )

    def place(self, name: str, output: str = "out") -> Path:
        return self.folder / output / name

    def same(self, names: tuple[str, ...], one: str, two: str) -> bool:
        return all(self.place(name, one).read_bytes() == self.place(name, two).read_bytes() for name in names)

    def strengths(self, name: str = CONFIG, output: str = "out") -> Mapping[str, float]:
        """Return what a config.json says of each layer's balancer."""
        config = json.loads(self.place(name, output).read_text(encoding="utf-8"))
        layers = ("conv", "pooled", "left", "right")
        return {layer: config[layer]["dmq_balancer_param"] for layer in layers if "dmq_balancer_param" in config[layer]}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def balanced(result: AccAutoResult) -> set[str]:
    return {name for name, layer in result.form.layers.items() if layer.record.balance_factors}


def loss(result: AccAutoResult) -> float:
    return result.search.trials[0].loss


def test_option_balances_every_layer_with_a_weight_and_the_record_says_it_all(bench: Bench) -> None:
    plain, first = bench.run("plain"), bench.run("first", correction=HALF)
    assert balanced(plain) == set() and balanced(first) == {"conv", "left", "right"}
    assert loss(first) < loss(plain) / 5
    assert first.checked is not None and first.checked.proof.record_matches
    assert first.checked.proof.sameness.identical == first.checked.proof.sameness.items == 48
    assert not bench.place("tmp/scale_offset_record.integers.npz", "first").exists()
    assert bench.strengths(output="plain") == {}
    assert bench.strengths(CONFIG, "first") == bench.strengths(FINAL, "first") == dict.fromkeys(balanced(first), 0.5)
    record = read_record(bench.place(RECORD, "first"))
    assert record == first.form.record and "tensor_balance_factor" not in bench.place(RECORD, "plain").read_text()
    # The layers that read one tensor have an AscendQuant each.
    nodes = onnx.load(bench.place(DEPLOY, "first")).graph.node
    assert sum(node.op_type == "AscendQuant" for node in nodes) == 4
    assert sum(node.op_type == "AscendQuant" for node in onnx.load(bench.place(DEPLOY, "plain")).graph.node) == 3
    bench.run("again", record=str(bench.place(RECORD, "first")))
    assert bench.same((*MODELS, RECORD), "first", "again")


def test_auto_says_what_it_chose_and_its_configuration_gives_the_same_bytes_again(bench: Bench, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", max_bytes=10**8)
    correction = Correction(balance=AUTO)
    first = bench.run("first", correction=correction, store=store)
    chosen = bench.strengths(output="first")
    assert chosen.keys() == balanced(first)
    assert chosen and set(chosen.values()) <= {0.25, 0.5, 0.75}
    plain = bench.run("plain")
    assert loss(first) < loss(plain) / 5
    for name in (CONFIG, FINAL):
        bench.run("again", quant_config=str(bench.place(name, "first")), calibration_count=None)
        assert bench.same((CONFIG, FINAL, RECORD, *MODELS), "first", "again")
    # From the store too.
    bench.run("stored", correction=correction, store=store)
    assert not any(isinstance(event, StageStarted) and event.stage == CALIBRATE for event in bench.heard)
    assert bench.same((CONFIG, FINAL, RECORD, *MODELS), "first", "stored")


def test_what_is_said_of_single_layers_wins_over_auto(bench: Bench) -> None:
    rules = (LayerRule("conv", balance=0.8), LayerRule("left", balance=0))
    bench.run(correction=Correction(balance=AUTO), settings=LayerSettings(layers=rules))
    said = bench.strengths()
    assert said["conv"] == 0.8
    assert "left" not in said
    bench.run("one", settings=LayerSettings(layers=(LayerRule("right", balance=AUTO),)))
    assert bench.strengths(output="one").keys() == {"right"}


def test_configuration_written_by_a_balanced_job_gives_the_same_bytes_again(bench: Bench) -> None:
    bench.run("first", correction=HALF)
    for name in (CONFIG, FINAL):
        bench.run("again", quant_config=str(bench.place(name, "first")), calibration_count=None)
        assert bench.same((CONFIG, FINAL, RECORD, *MODELS), "first", "again")


@pytest.mark.parametrize(
    "correction",
    [Correction("isolated", balance=0.5), replace(EVERY_CORRECTION, equalize=True, balance=0.5)],
    ids=["isolated", "every"],
)
def test_record_and_integers_of_a_corrected_job_give_the_same_models_again(
    bench: Bench, correction: Correction
) -> None:
    first = bench.run("first", correction=correction)
    assert balanced(first) == {"conv", "left", "right"}
    bench.run("again", record=str(bench.place(RECORD, "first")))
    assert bench.same((*MODELS, RECORD), "first", "again")


def test_repair_is_of_the_balanced_layers(bench: Bench) -> None:
    ways = (HALF, replace(EVERY_CORRECTION, balance=0.5))
    losses = [loss(bench.run(target_loss=0.0, correction=way)) for way in ways]
    repaired = bench.run(target_loss=0.0, correction=replace(HALF, repair=True))
    assert [trial.loss for trial in repaired.search.trials[:2]] == losses and losses[0] != losses[1]


@pytest.mark.parametrize("float_layers", [{"conv"}, {"left", "pooled"}], ids=["one", "two"])
def test_layer_that_is_left_float_has_its_own_weight_and_no_mul(bench: Bench, float_layers: set[str]) -> None:
    first = bench.run("first", correction=HALF)
    record = bench.folder / "some.txt"
    record.write_text(format_record(first.form.record.without(float_layers)), encoding="utf-8")
    result = bench.run(record=str(record))
    assert set(result.fallback) == float_layers
    source = {tensor.name: numpy_helper.to_array(tensor) for tensor in outliers().graph.initializer}
    weights = {"conv": "w1", "left": "w2", "right": "w3"}
    for name in MODELS:
        graph = onnx.load(bench.place(name)).graph
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        muls = {node.name for node in graph.node if any("tensor_balance_factor" in read for read in node.input)}
        assert muls == {f"{layer}.mul" for layer in weights.keys() - float_layers}
        for layer in float_layers & weights.keys():
            node = next(node for node in graph.node if node.name == layer)
            assert np.array_equal(arrays[node.input[1]], source[weights[layer]])


def test_what_is_said_nearest_to_a_layer_decides_its_strength(bench: Bench) -> None:
    rules = LayerSettings([LayerRule("*", balance=0.3), LayerRule("left", balance=0)])
    assert balanced(bench.run(settings=rules)) == {"conv", "right"}
    assert bench.strengths() == {"conv": 0.3, "right": 0.3}
    text = json.dumps({"conv": {"dmq_balancer_param": 0.6}, "left": {}, "right": {"dmq_balancer_param": 0.7}})
    given = bench.folder / "given.json"
    given.write_text(text, encoding="utf-8")
    only_right = LayerSettings([LayerRule("right", balance=0)])
    assert balanced(bench.run(quant_config=str(given), settings=only_right)) == {"conv"}
    everywhere = replace(HALF, balance=0.4)
    assert balanced(bench.run(quant_config=str(given), correction=everywhere)) == {"conv", "left", "right"}
    config = json.loads(bench.place(CONFIG).read_text(encoding="utf-8"))
    assert [config[name]["dmq_balancer_param"] for name in ("conv", "left", "right")] == [0.6, 0.4, 0.7]


def test_skipped_layers_are_not_balanced(bench: Bench) -> None:
    result = bench.run(correction=HALF, settings=LayerSettings(skip_layers=["left"]))
    assert balanced(result) == {"conv", "right"} and result.skipped == ("left",)


def test_balancing_is_one_more_pass_and_has_a_line_of_its_own(bench: Bench) -> None:
    announced = []
    for correction in (Correction(), HALF):
        bench.run(correction=correction)
        announced.append(next(event.likely for event in bench.heard if isinstance(event, WorkAhead)))
    assert announced[1] == announced[0] + 16
    stages = [event for event in bench.heard if isinstance(event, StageStarted) and event.stage == CALIBRATE]
    assert [(stage.total, stage.detail) for stage in stages] == [(16, "balancing"), (16, "")]


def test_second_job_calibrates_nothing_and_another_strength_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(bench.folder / "cache", 10_000_000, warn=pytest.fail)
    first = bench.run("first", correction=HALF, store=store)
    run, runs = Session.run, []
    monkeypatch.setattr(Session, "run", lambda *args, **rest: runs.append(1) or run(*args, **rest))
    second = bench.run("second", correction=HALF, store=store)
    assert runs == [] and second.form.record == first.form.record
    assert bench.same((CONFIG, FINAL, RECORD, *MODELS), "first", "second")
    other = bench.run("third", correction=Correction(balance=0.3), store=store)
    assert runs and other.form.record != first.form.record


def test_model_too_old_for_a_mul_by_channels_is_refused(bench: Bench) -> None:
    old = onnx_text(
        "g (float[1,6,4,4] x) => (float[1,2,4,4] y) { y = Conv (x, w) }", w=np.ones((2, 6, 1, 1), np.float32)
    )
    old.opset_import[0].version = 6
    save(old, bench.folder / "net.onnx")
    why = "a Mul by one factor a channel needs opset 7 or later, and the model has 6"
    with pytest.raises(ConfigError, match=rf"correction\.balance: {why}\. Export it again, or balance no layer\."):
        bench.run(correction=HALF)
    factors = "tensor_balance_factor: 2 " * 6
    record = f'record {{ key: "y" value {{ scale_d: 1 offset_d: 0 scale_w: 1 {factors} }} }}'
    (bench.folder / "record.txt").write_text(record, encoding="utf-8")
    with pytest.raises(RecordError, match=rf"tensor_balance_factor of layer 'y': {why}\. Export the model again\."):
        bench.run(record=str(bench.folder / "record.txt"))
