"""Inputs of Add and MaxPool rounded to int8: what the option means, and whole jobs with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.calibration.hfmg import Hfmg
from runner.calibration.minmax import MinMax
from runner.correction.options import EVERY_CORRECTION, Correction
from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.errors import ConfigError, RecordError
from runner.evaluation.distance import Mse
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.layer_settings import LayerRule, LayerSettings
from runner.modes.result import AccAutoResult
from runner.modes.tensor_settings import TensorRule, TensorSettings, select_tensors
from runner.record import Record, TensorRecord
from runner.record_text import read_record
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.session import Session
from runner.store.store import Store
from runner.targets.ascend.limits import ASCEND
from runner.targets.qdq.target import Qdq
from tests.data import normal_items
from tests.models import onnx_text, prepared, run_plain, save
from tests.told import summary_of

RNG = np.random.default_rng(3)


def normal(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)


# Two Adds of computed values, one of which adds what a convolution reads too; a bias of its own; a MaxPool.
NET = onnx_text(
    """g (float[N,3,8,8] x) => (float[N,5] y) {
        a = Conv <pads = [1,1,1,1]> (x, w1, b1)
        r = Relu (a)
        b = Conv <pads = [1,1,1,1]> (r, w2)
        first = Add (r, b)
        s = Relu (first)
        c = Conv (s, w3)
        second = Add (s, c)
        p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (second)
        moved = Add (p, shift)
        f = Flatten (moved)
        y = Gemm (f, w4, b4)
    }""",
    w1=normal(4, 3, 3, 3),
    b1=normal(4),
    w2=normal(4, 4, 3, 3),
    w3=normal(4, 4, 1, 1),
    shift=normal(1, 4, 1, 1),
    w4=normal(64, 5),
    b4=normal(5),
)
LAYERS = ("a", "b", "c", "y")
ADDS = {"first:0": "r", "first:1": "b", "second:0": "s", "second:1": "c"}
X = normal_items(24, 3, 8, 8)
CONFIG, RECORD = "tmp/config.json", "tmp/scale_offset_record.txt"
FINAL = "results/accuracy_based_auto_calibration_final_config.json"
DEPLOY, FAKE = "results/net_deploy_model.onnx", "results/net_fake_quant_model.onnx"


def job(folder: Path, tensors: TensorSettings = "adds", store: Store | None = None, **options: Any) -> AccAutoResult:
    folder.mkdir(exist_ok=True, parents=True)
    np.savez(folder / "data.npz", x=X)
    usual = {"target_loss": 1e9, "metric": Mse(), "observer": MinMax(), "calibration_count": len(X)}
    settings = options.pop("settings", LayerSettings(tensor_quantize=tensors))
    return acc_auto(
        save(NET, folder / "net.onnx"),
        NpzDataset(str(folder / "data.npz")),
        folder / "out",
        AccAutoOptions(**(usual | options), settings=settings),
        engine=Engine(2),
        store=store,
    )


def record(folder: Path) -> Record:
    return read_record(folder / "out" / RECORD)


def config(folder: Path, name: str = CONFIG) -> Any:
    return json.loads((folder / "out" / name).read_text(encoding="utf-8"))


def written(folder: Path) -> list[bytes]:
    return [(folder / "out" / name).read_bytes() for name in (CONFIG, FINAL, RECORD, DEPLOY, FAKE)]


def mean_square(model: Path | onnx.ModelProto) -> float:
    """Return how far a file's outputs are from the float model's in plain onnxruntime."""
    proto = onnx.load(model) if isinstance(model, Path) else model
    pairs = zip(run_plain(NET, X, ["y"]), run_plain(proto, X, ["y"]), strict=True)
    return float(np.mean([np.mean((f.astype(np.float64) - q) ** 2) for (f,), (q,) in pairs]))


def test_both_inputs_of_residual_adds_get_the_range_of_their_values(tmp_path: Path) -> None:
    result = job(tmp_path)
    entries = record(tmp_path)
    assert list(entries.tensors) == list(ADDS) and list(entries.layers) == list(LAYERS)
    values = run_plain(NET, X, list(ADDS.values()))
    for place, (key, _) in enumerate(ADDS.items()):
        low, high = (end([end(item[place]) for item in values]) for end in (np.min, np.max))
        low, high = np.float32(min(low, 0)), np.float32(max(high, 0))
        scale = (high - low) / np.float32(255)
        assert entries.tensors[key].activation.scale == pytest.approx(scale, rel=1e-6)
        assert entries.tensors[key].activation.zero_point == np.rint(-low / scale) - 128
    # A tensor that a layer reads too has that layer's codes.
    assert entries.tensors["first:0"].activation == entries.layers["b"].activation
    assert result.status == "met" and result.fallback == ()
    assert mean_square(tmp_path / "out" / FAKE) == pytest.approx(result.search.trials[0].loss, rel=1e-5)
    assert result.checked is not None and result.checked.proof.sameness.identical == len(X)
    # Nothing but the batch that is left open, an option of atc.
    assert result.checked is not None and [note.severity for note in result.checked.written.notes] == ["warning"]


def test_deploy_model_has_a_pair_of_operators_for_each_and_shares_codes_with_layers(tmp_path: Path) -> None:
    job(tmp_path)
    nodes = {node.name: node for node in onnx.load(tmp_path / "out" / DEPLOY).graph.node}
    makers = {name: node for node in nodes.values() for name in node.output}
    entries = record(tmp_path)
    for key in ADDS:
        name, _, index = key.partition(":")
        anti_quant = makers[nodes[name].input[int(index)]]
        quant = makers[anti_quant.input[0]]
        assert (anti_quant.op_type, quant.op_type) == ("AscendAntiQuant", "AscendQuant")
        params = entries.tensors[key].activation
        said = {a.name: onnx.helper.get_attribute_value(a) for a in anti_quant.attribute}
        assert (np.float32(said["scale"]), said["offset"]) == (np.float32(params.scale), params.zero_point)
    quants = [node for node in nodes.values() if node.op_type == "AscendQuant"]
    # x, r, b, s, c and what the Gemm reads: r and s are read by an Add and a convolution each.
    assert len(quants) == 6 and nodes["b"].input[0] == makers[nodes["first"].input[0]].input[0]


def test_tensors_are_counted_apart_from_layers(tmp_path: Path) -> None:
    results = [job(tmp_path / tensors, tensors) for tensors in ("none", "adds")]
    figures = [summary_of(result) for result in results]
    assert [summary["tensors_quantized"] for summary in figures] == [0, 4]
    for key in ("layers_total", "layers_int8", "macs_int8_share", "fallback"):
        assert figures[0][key] == figures[1][key]
    # Each layer alone is as good as without them, but for the last bit of what is looked at: onnxruntime fuses less there.
    before, after = (dict(result.ranking.entries) for result in results)
    assert list(before) == list(after) and after == pytest.approx(before, abs=1e-8)


def test_single_inputs_of_add_and_maxpool_are_rounded(tmp_path: Path) -> None:
    job(tmp_path, [TensorRule("p", 0), TensorRule("moved", 0), TensorRule("p", 0)])
    assert list(record(tmp_path).tensors) == ["p:0", "moved:0"]
    # What MaxPool takes the largest of are the codes, so its output has at most 256 values.
    (tensor,) = (t for key, t in record(tmp_path).tensors.items() if key == "p:0")
    for (pooled,) in run_plain(onnx.load(tmp_path / "out" / FAKE), X, ["p"]):
        codes = pooled / np.float32(tensor.activation.scale)
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)


@pytest.mark.parametrize(
    "correction", [Correction(), EVERY_CORRECTION, replace(EVERY_CORRECTION, balance=0.5)], ids=str
)
def test_written_files_give_the_same_bytes_again(tmp_path: Path, correction: Correction) -> None:
    job(tmp_path / "one", correction=correction)
    first = written(tmp_path / "one")
    listed = config(tmp_path / "one")["tensor_quantize"]
    assert [(entry["layer_name"], entry["input_index"]) for entry in listed] == [
        ("first", 0),
        ("first", 1),
        ("second", 0),
        ("second", 1),
    ]
    assert config(tmp_path / "one", FINAL)["tensor_quantize"] == listed
    for name in (CONFIG, FINAL):
        given = str(tmp_path / "one" / "out" / name)
        job(tmp_path / "two", "none", quant_config=given, correction=correction)
        assert written(tmp_path / "two") == first
    job(tmp_path / "three", "none", record=str(tmp_path / "one" / "out" / RECORD))
    for name in (RECORD, DEPLOY, FAKE):
        assert (tmp_path / "three" / "out" / name).read_bytes() == (tmp_path / "one" / "out" / name).read_bytes()


def test_cfg_names_tensors_with_algorithms_of_their_own_and_the_option_adds_to_them(tmp_path: Path) -> None:
    path = tmp_path / "given.cfg"
    path.write_text("""batch_num: 24
        tensor_quantize { layer_name: "second" input_index: 1 hfmg_quantize { num_of_bins: 1024 asymmetric: false } }""")
    job(tmp_path / "given", [TensorRule("p", 0), TensorRule("second", 1)], quant_config=str(path))
    tensors = record(tmp_path / "given").tensors
    assert list(tensors) == ["second:1", "p:0"]
    job(tmp_path / "hfmg", observer=Hfmg(1024, asymmetric=False))
    assert tensors["second:1"] == record(tmp_path / "hfmg").tensors["second:1"]
    assert tensors["second:1"].activation.zero_point == 0
    # What the option adds is observed as the configuration observes by default.
    entries = config(tmp_path / "given")["tensor_quantize"]
    assert [(e["layer_name"], e["activation_quant_params"]["act_algo"]) for e in entries] == [
        ("second", "hfmg"),
        ("p", "ifmr"),
    ]


def test_target_around_zero_says_so_of_tensors_and_refuses_a_configuration_that_says_otherwise(tmp_path: Path) -> None:
    job(tmp_path / "own", target=Qdq(for_="tensorrt"))
    listed = config(tmp_path / "own")
    assert {entry["activation_quant_params"]["asymmetric"] for entry in listed["tensor_quantize"]} == {False}
    assert {tensor.activation.zero_point for tensor in record(tmp_path / "own").tensors.values()} == {0}
    again = tmp_path / "again.json"
    again.write_text(json.dumps(listed))
    job(tmp_path / "again", "none", quant_config=str(again), target=Qdq(for_="tensorrt"))
    assert record(tmp_path / "again").tensors == record(tmp_path / "own").tensors
    listed["tensor_quantize"][1]["activation_quant_params"]["asymmetric"] = True
    again.write_text(json.dumps(listed))
    message = r"tensor_quantize\[1\]: first:1: asymmetric: expected false for every tensor of this target, got true\."
    with pytest.raises(RecordError, match=message):
        job(tmp_path / "refused", "none", quant_config=str(again), target=Qdq(for_="tensorrt"))


def test_tensor_has_the_jobs_observer_though_a_layer_beside_it_has_its_own(tmp_path: Path) -> None:
    own = LayerSettings([LayerRule("b", observer=MinMax(asymmetric=False))], tensor_quantize="adds")
    job(tmp_path, settings=own)
    entries = record(tmp_path)
    assert entries.layers["b"].activation.zero_point == 0
    assert entries.tensors["first:0"].activation.zero_point == -128


@pytest.mark.parametrize("repair", [False, True])
def test_tensors_stay_float_where_the_target_is_missed_before_any_layer_does(tmp_path: Path, repair: bool) -> None:
    # The strongest that the job may try: what rounding a tensor does, no repair of a layer can undo.
    strongest = EVERY_CORRECTION if repair else Correction()
    losses = [job(tmp_path / t, t, correction=strongest).search.trials[0].loss for t in ("adds", "none")]
    assert losses[1] < 0.8 * losses[0]
    options = {"correction": Correction(repair=repair), "strategy": Linear()}
    result = job(tmp_path / "between", target_loss=sum(losses) / 2, **options)
    assert result.status == "met" and result.fallback == () and result.form.tensors == {}
    assert [trial.plan.float_tensors for trial in result.search.trials] == [False] * (1 + repair) + [True]
    assert any(w.startswith("tensor_quantize: the 4 tensors stay float; with them") for w in result.warnings)
    assert record(tmp_path / "between").tensors == {}
    assert len(config(tmp_path / "between")["tensor_quantize"]) == 4
    assert config(tmp_path / "between", FINAL)["tensor_quantize"] == []
    assert summary_of(result)["tensors_quantized"] == 0
    assert bool(result.repaired) == repair


def test_layers_fall_back_from_the_plan_with_float_tensors(tmp_path: Path) -> None:
    without = job(tmp_path / "none", "none").search.trials[0].loss
    options = {"strategy": Greedy(None), "sensitivity": EndToEnd(items=8), "target_loss": without / 2}
    result = job(tmp_path / "search", **options)
    assert result.status == "met" and 0 < len(result.fallback) < len(LAYERS) and result.form.tensors == {}
    assert result.fallback == job(tmp_path / "layers", "none", **options).fallback
    assert mean_square(tmp_path / "search" / "out" / FAKE) < without / 2


def test_a_second_job_runs_no_model_and_another_option_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = 0
    original = Session.run

    def counted(self: Session, *given: Any) -> Any:
        nonlocal runs
        runs += 1
        return original(self, *given)

    monkeypatch.setattr(Session, "run", counted)
    store = Store(tmp_path / "store", 10**9)
    first = job(tmp_path, store=store)
    bytes_ = written(tmp_path)
    assert runs > 0
    runs = 0
    second = job(tmp_path, store=store)
    assert runs == 0 and written(tmp_path) == bytes_
    assert dict(second.form.tensors) == dict(first.form.tensors)
    assert all(isinstance(tensor, TensorRecord) for tensor in second.form.tensors.values())
    job(tmp_path, [TensorRule("p", 0)], store=store)
    assert runs > 0 and list(record(tmp_path).tensors) == ["p:0"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            [TensorRule("p", 0), TensorRule("a", 0)],
            "tensor_quantize[1]: layer a is of type Conv; expected Add or MaxPool.",
        ),
        ([TensorRule("firs", 0)], "tensor_quantize[0]: Layer firs does not exist in the graph, or was folded into ano"),
        ([TensorRule("first", 2)], "tensor_quantize[0]: layer first has no input 2; expected 0 to 1."),
        ([TensorRule("moved", 1)], "tensor_quantize[0]: input 1 of layer moved is a constant; only a computed float32"),
    ],
)
def test_input_that_cannot_be_rounded_is_refused(tmp_path: Path, tensors: list[TensorRule], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        job(tmp_path, tensors)
    assert str(error.value).startswith(message)
    given = tmp_path / "config.json"
    entries = [{"layer_name": tensor.layer, "input_index": tensor.input} for tensor in tensors]
    given.write_text(json.dumps({"a": {}, "tensor_quantize": entries}))
    with pytest.raises(RecordError) as of_file:
        job(tmp_path, "none", quant_config=str(given))
    assert str(of_file.value).startswith(f"{given}: {message}")


def test_adds_of_a_model_without_any_is_refused() -> None:
    plain = onnx_text("g (float[N,2,3,3] x) => (float[N,2,3,3] y) { y = Conv (x, w) }", w=normal(2, 2, 1, 1))
    with pytest.raises(
        ConfigError, match="tensor_quantize: adds: the model has no Add of two computed float32 values;"
    ):
        select_tensors("adds", prepared(plain)[0], ASCEND.rounded)
    assert select_tensors("none", prepared(plain)[0], ASCEND.rounded) == ()


def test_option_beside_a_record_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="tensor_quantize: a record says itself which tensors are quantized; expected"
    ):
        AccAutoOptions(1.0, record="r.txt", settings=LayerSettings(tensor_quantize="adds"))
