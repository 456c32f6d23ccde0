"""Per-layer settings: which layers they mean, in which order they count, and what is refused; then the whole job."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.correction.options import Correction
from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.distance import Kl, Sqnr
from runner.figure import Paragraph
from runner.graph.layers import Layer, LeftAlone
from runner.graph.layout import OutputsFirst
from runner.graph.operators import OPERATORS
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.layer_settings import LayerRule, LayerSelection, LayerSettings, select_layers
from runner.modes.result import AccAutoResult
from runner.record_text import read_record
from runner.report.sections.layer_table import layer_table
from runner.search.linear import Linear
from tests.data import normal_items
from tests.models import chain, layered, proto, save
from tests.told import summary_of

PREFIX = "accuracy_based_auto_calibration"
TYPES = {"block1/conv": "Conv", "block1/conv_1": "Conv", "block2/conv": "Conv", "Head[0].fc": "Gemm", "head": "MatMul"}
FOUND = layered(
    tuple(
        Layer(name, OPERATORS[kind], "x", "w", None, OutputsFirst(), 8, per_channel=kind == "Conv")
        for name, kind in TYPES.items()
    ),
    (LeftAlone("pool", "AveragePool", "AveragePool is not quantized"),),
)
NODES = TYPES | {"pool": "AveragePool", "relu": "Relu"}
SKIP = {"quantize": False}


def rules(*entries: tuple[str, dict[str, Any]]) -> list[LayerRule]:
    return [LayerRule(match, **options) for match, options in entries]


def selected(**settings: Any) -> LayerSelection:
    return select_layers(LayerSettings(**settings), FOUND, NODES)


@pytest.mark.parametrize(
    ("settings", "skipped"),
    [
        ({}, []),
        ({"layers": rules(("block1/*", SKIP))}, ["block1/conv", "block1/conv_1"]),
        ({"layers": rules(("*/conv", SKIP))}, ["block1/conv", "block2/conv"]),
        ({"layers": rules(("block?/conv", SKIP))}, ["block1/conv", "block2/conv"]),
        ({"layers": rules(("h*", SKIP))}, ["head"]),
        ({"layers": rules(("[Hh]ead*", SKIP))}, ["Head[0].fc", "head"]),
        ({"layers": rules(("Head[0].fc", SKIP))}, ["Head[0].fc"]),
        ({"layers": rules(("block*", SKIP), ("block2/*", {"quantize": True}))}, ["block1/conv", "block1/conv_1"]),
        ({"layers": rules(("block2/*", {"quantize": True}), ("block*", SKIP))}, list(TYPES)[:3]),
        ({"layers": rules(("head", SKIP), ("*", {"observer": MinMax()}))}, ["head"]),
        ({"skip_layer_types": ["Conv", "AveragePool"]}, list(TYPES)[:3]),
        ({"skip_layers": ["head", "block1/conv"]}, ["block1/conv", "head"]),
        (
            {"skip_layer_types": ["Conv"], "layers": rules(("block1/*", {"quantize": True})), "skip_layers": ["head"]},
            ["block2/conv", "head"],
        ),
        ({"layers": rules(("*", {"quantize": True})), "skip_layers": ["head"]}, ["head"]),
    ],
)
def test_general_settings_yield_to_particular_ones_and_earlier_to_later(
    settings: dict[str, Any], skipped: list[str]
) -> None:
    selection = selected(**settings)
    assert list(selection.skipped) == skipped
    assert [layer.name for layer in selection.quantized.layers] == [name for name in TYPES if name not in skipped]
    assert selection.quantized.left_alone == FOUND.left_alone


def test_later_observer_wins_and_an_entry_without_one_leaves_it() -> None:
    one, two = MinMax(), Hfmg()
    entries = rules(("block*", {"observer": one}), ("block2/*", {"observer": two}), ("block1/conv", {"quantize": True}))
    assert selected(layers=entries).observers == {"block1/conv": one, "block1/conv_1": one, "block2/conv": two}


def test_later_strength_wins_and_an_entry_without_one_leaves_it() -> None:
    entries = rules(("block*", {"balance": 0.5}), ("block2/*", {"balance": 0}), ("block1/conv", {"quantize": True}))
    assert selected(layers=entries).balance == {"block1/conv": 0.5, "block1/conv_1": 0.5, "block2/conv": 0}


def test_pattern_may_match_layers_that_cannot_be_balanced_beside_those_that_can() -> None:
    pool = Layer("average", OPERATORS["AveragePool"], "x", None, None, OutputsFirst(), 1, per_channel=False)
    found, nodes = layered((*FOUND.layers, pool), ()), NODES | {"average": "AveragePool"}
    rule = LayerSettings(layers=rules(("*", {"balance": 0.5})))
    assert select_layers(rule, found, nodes).balance == dict.fromkeys(TYPES, 0.5)
    with pytest.raises(ConfigError) as caught:
        select_layers(LayerSettings(layers=rules(("average", {"balance": 0.5}))), found, nodes)
    assert str(caught.value) == (
        "layers[0].balance: 'average' matches only layers without a weight, such as average (AveragePool); "
        "expected a Conv, ConvTranspose, Gemm or MatMul."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"layers": rules(("block3/conv", SKIP))},
            "layers[0].match: 'block3/conv' matches none of the 5 layers. "
            "Did you mean block2/conv or block1/conv or block1/conv_1?",
        ),
        (
            {"layers": rules(("*", SKIP), ("zzz*", SKIP))},
            "layers[1].match: 'zzz*' matches none of the 5 layers.",
        ),
        (
            {"layers": rules(("po*", SKIP))},
            "layers[0].match: 'po*' matches no layer that can be quantized, only nodes such as pool (AveragePool): "
            "AveragePool is not quantized.",
        ),
        ({"skip_layers": ["heat"]}, "skip_layers: Layer heat does not exist in the graph. Did you mean head?"),
        (
            {"skip_layers": ["relu"]},
            "skip_layers: Layer relu is not quantized anyway (a Relu is never quantized). Leave it out.",
        ),
        (
            {"skip_layers": ["pool"]},
            "skip_layers: Layer pool is not quantized anyway (AveragePool is not quantized). Leave it out.",
        ),
        (
            {"skip_layer_types": ["conv"]},
            "skip_layer_types: expected types of Conv, ConvTranspose, Gemm, MatMul, AveragePool, got 'conv'. "
            "Did you mean Conv?",
        ),
        (
            {"layers": rules(("block*", {}))},
            "layers[0]: expected quantize, observer or balance beside match, got none of them.",
        ),
        (
            {"layers": rules(("*", SKIP), ("block*", {"balance": 0.9}))},
            "layers[1].balance: expected a migration strength of 0.2 to 0.8, auto, sparing, or 0 for no balancing, got 0.9.",
        ),
        (
            {"skip_layer_types": ["Conv"], "skip_layers": ["head"], "layers": rules(("Head*", SKIP))},
            "Except skip_layers, no layer needs to quantize. All 5 layers are left out by skip_layers, skip_layer_types "
            "or layers; leave at least one.",
        ),
    ],
)
def test_setting_that_means_nothing_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        selected(**settings)
    assert str(caught.value) == message


# The whole job, on six convolutions in a row


def job(folder: Path, settings: LayerSettings, **options: Any) -> AccAutoResult:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "data.npz", x=normal_items(30, 3, 4, 4))
    chosen = AccAutoOptions(
        **({"target_loss": 1000.0, "metric": Kl(), "calibration_count": 8, "output_kind": "logits"} | options),
        settings=settings,
    )
    data = NpzDataset(str(folder / "data.npz"))
    return acc_auto(save(chain(6), folder / "net.onnx"), data, folder / "out", chosen, engine=Engine(2))


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / "out" / name).read_text(encoding="utf-8"))


def test_skipped_layers_stay_float_in_every_file_and_are_never_searched(tmp_path: Path) -> None:
    settings = LayerSettings(skip_layers=["conv1"], layers=[LayerRule("conv[45]", quantize=False)])
    tried = job(tmp_path / "a", settings, target_loss=0.0, strategy=Linear())
    assert tried.status == "not_met"
    searched = {"conv0", "conv2", "conv3"}
    history = read(tmp_path / "a", f"amct_log/{PREFIX}_record.json")
    assert len(history) == 3 and all(set(entry["roll_back_config"]) == searched for entry in history)
    assert {name for name, _ in read(tmp_path / "a", f"results/{PREFIX}_ranking_info.json")} == searched

    result = job(tmp_path / "b", settings)
    assert result.fallback == result.skipped == ("conv1", "conv4", "conv5")
    summary = summary_of(result)
    assert (summary["layers_total"], summary["layers_int8"]) == (6, 3)
    assert summary["fallback"] == ["conv1", "conv4", "conv5"]
    # 3 -> 6 channels in the first layer, 6 -> 6 in the others, all over 16 pixels.
    assert summary["macs_int8_share"] == pytest.approx((18 + 36 + 36) / (18 + 5 * 36))
    assert set(read_record(tmp_path / "b" / "out" / "tmp" / "scale_offset_record.txt")) == searched
    for name in ("tmp/config.json", f"results/{PREFIX}_final_config.json"):
        config = read(tmp_path / "b", name)
        assert {layer: config[layer]["quant_enable"] for layer in (f"conv{i}" for i in range(6))} == {
            f"conv{i}": f"conv{i}" in searched for i in range(6)
        }
    deployed = onnx.load(tmp_path / "b" / "out" / "results" / "net_deploy_model.onnx").graph
    assert {n.name.removesuffix(".dequant") for n in deployed.node if n.op_type == "AscendDequant"} == searched


def test_skipping_does_not_change_the_other_layers(tmp_path: Path) -> None:
    whole = job(tmp_path / "whole", LayerSettings()).form.layers
    some = job(tmp_path / "some", LayerSettings(skip_layers=["conv1"])).form.layers
    assert {name: layer.record for name, layer in some.items()} == {
        name: layer.record for name, layer in whole.items() if name != "conv1"
    }


def test_each_layer_gets_the_range_of_its_own_observer_and_its_options_are_in_the_config(tmp_path: Path) -> None:
    own = {"conv2": MinMax(asymmetric=False), "conv4": Hfmg(num_of_bins=1024)}
    mixed = job(tmp_path / "mixed", LayerSettings(layers=[LayerRule(n, observer=o) for n, o in own.items()]))
    expected = {name: job(tmp_path / name, LayerSettings(), observer=o).form.layers for name, o in own.items()}
    default = job(tmp_path / "default", LayerSettings()).form.layers
    for name, layer in mixed.form.layers.items():
        assert layer.record == expected.get(name, default)[name].record
    assert mixed.form.layers["conv2"].record.activation.zero_point == 0
    config = read(tmp_path / "mixed", "tmp/config.json")
    assert config["activation_offset"] is True
    for name in default:
        assert config[name]["activation_quant_params"] == own.get(name, Ifmr()).amct_params()


# A detector's head: distances to the sides of a box as the expectations of bins


def head(opset: int) -> onnx.ModelProto:
    """Return YOLOv8's decoding of [N, 3, 8, 8] images: 4 sides of 16 bins each, a Softmax, a convolution by 0 to 15."""
    axes = (
        "st = Softmax <axis = 1> (t)"
        if opset >= 13
        else "st2 = Softmax <axis = 3> (t2)\n st = Transpose <perm = [0,3,1,2]> (st2)"
    )
    before = "" if opset >= 13 else "t2 = Transpose <perm = [0,2,3,1]> (t)"
    rng = np.random.default_rng(0)
    return proto(
        f"""g (float[N,3,8,8] x) => (float[N,4,64] sides) {{
            [stem] a = Conv <pads = [1,1,1,1]> (x, w1)
            r = Relu (a)
            [boxes] b = Conv (r, w2)
            v = Reshape (b, split)
            t = Transpose <perm = [0,2,1,3]> (v)
            {before}
            {axes}
            [dfl] d = Conv (st, bins)
            sides = Reshape (d, joined)
        }}""",
        opset=opset,
        w1=rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        w2=rng.normal(size=(64, 8, 1, 1)).astype(np.float32),
        bins=np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1),
        split=np.array([0, 4, 16, 64]),
        joined=np.array([0, 4, 64]),
    )


def decoded(folder: Path, opset: int = 13, **options: Any) -> AccAutoResult:
    folder.mkdir(exist_ok=True)
    settings = options.pop("settings", LayerSettings())
    chosen = AccAutoOptions(target_loss=60.0, metric=Sqnr(), calibration_count=8, settings=settings, **options)
    np.savez(folder / "data.npz", x=normal_items(12, 3, 8, 8))
    data = NpzDataset(str(folder / "data.npz"))
    return acc_auto(save(head(opset), folder / "net.onnx"), data, folder / "out", chosen, engine=Engine(2))


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20])
@pytest.mark.parametrize(
    "correction", [Correction(), Correction("sequential", True, "compensated", "output", equalize=True)]
)
def test_constants_of_a_decoding_stay_float(
    tmp_path: Path, opset: int, correction: Correction, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "runner.modes.steps.select"):
        result = decoded(tmp_path / "net", opset, correction=correction)
    assert [layer.name for layer in result.found.layers] == ["stem", "boxes", "dfl"]
    assert (result.status, result.fallback, list(result.form.layers)) == ("met", ("dfl",), ["stem", "boxes"])
    assert (
        "skipped: dfl stays float: its weights are evenly spaced numbers, 0 to 15: constants that decode the output, not "
        "trained ones; in int8: layers=[{match: 'dfl', quantize: true}]" in caplog.messages
    )
    *_, (told,) = [block.parts for block in layer_table(result).blocks if isinstance(block, Paragraph)]
    assert str(told).startswith("Better float:\ndfl (Conv): its weights are evenly spaced numbers, 0 to 15")


def test_user_may_have_them_in_int8_all_the_same(tmp_path: Path) -> None:
    forced = LayerSettings(layers=[LayerRule("dfl", quantize=True)])
    result = decoded(tmp_path / "net", settings=forced)
    assert (result.fallback, list(result.form.layers)) == ((), ["stem", "boxes", "dfl"])
    left_out = LayerSettings(skip_layer_types=["Conv"])
    with pytest.raises(
        ConfigError, match=r"dfl stays float by itself: its weights .*\{match: 'dfl', quantize: true\}\]\.$"
    ):
        decoded(tmp_path / "none", settings=left_out)


def test_record_that_has_them_in_int8_is_followed(tmp_path: Path) -> None:
    forced = decoded(tmp_path / "forced", settings=LayerSettings(layers=[LayerRule("dfl", quantize=True)]))
    record = tmp_path / "forced" / "out" / "tmp" / "scale_offset_record.txt"
    result = decoded(tmp_path / "again", record=record)
    assert list(result.form.layers) == list(forced.form.layers)
