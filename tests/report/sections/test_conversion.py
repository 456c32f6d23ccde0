"""The table of a conversion: every layer, what it had, what was done to it, and what was not used."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.convert.qdq.read import read_qdq
from runner.report.sections.conversion import conversion
from runner.report.terminal import grid_table
from runner.targets.ascend.limits import ASCEND
from tests import told

F, U8, I8 = np.float32, np.uint8, np.int8
COLUMNS = ["layer", "operator", "input", "weight", "bias", "legalised", "error added"]


def printed(report: dict[str, Any], width: int = 240) -> list[str]:
    grid = conversion(report).grid
    assert grid is not None
    return told.printed(grid_table(grid), width)


def rows(lines: list[str]) -> dict[str, list[str]]:
    """Return the cells by the layer's name, of a terminal on which each row takes one line."""
    found: list[list[str]] = []
    for line in lines:
        if line.startswith("│"):
            found.append([cell.strip() for cell in line.split("│")[1:-1]])
    return {cells[0]: cells[1:] for cells in found}


def report_of(nodes: str, outputs: str = "float y", **arrays: Any) -> dict[str, Any]:
    text = f"""<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,4,4] x) => ({outputs}) {{
        [q] c = QuantizeLinear(x, s, z) [d] xq = DequantizeLinear(c, s, z) {nodes} }}"""
    model = onnx.parser.parse_model(text)
    wq = (np.arange(36).reshape(4, 3, 3, 1) - 18).astype(I8)
    arrays = {"s": F(0.0173), "z": U8(131), "wq": wq, "sw": F(0.01), **arrays}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    return json.loads(json.dumps(read_qdq(ir.from_proto(model), ASCEND).report.to_json()))


def test_exact_layer_says_what_it_had_and_adds_no_error() -> None:
    lines = printed(report_of("[dw] w = DequantizeLinear(wq, sw) [conv] y = Conv(xq, w)"))
    (heading,) = [line for line in lines if line.startswith("┃")]
    assert [cell.strip() for cell in heading.split("┃")[1:-1]] == COLUMNS
    assert rows(lines) == {
        "conv": [
            "Conv",
            "uint8 0.0173 zp 131",
            "int8 per tensor, 4 of 4 exact",
            "none",
            "input uint8 -> int8, zp 3",
            "0",
        ]
    }
    assert lines[-1].startswith("└")  # nothing below: everything was used


def test_int8_layer_is_taken_as_it_is() -> None:
    shown = rows(printed(report_of("w = DequantizeLinear(wq, sw) [conv] y = Conv(xq, w)", z=I8(3))))
    assert shown["conv"][-2:] == ["as it is", "0"]


def test_int32_bias_is_taken_and_a_float_one_rounded_with_its_error() -> None:
    nodes = (
        "w = DequantizeLinear(wq, sw) b = DequantizeLinear(bq, sb) [one] a = Conv(xq, w, b) [two] y = Conv(xq, w, f)"
    )
    bias = np.asarray([1, 2, 3, 4], np.int32)
    float_bias = np.asarray([0.00005, 0, 0, 0], F)
    report = report_of(nodes, "float y, float a", bq=bias, sb=F(F(0.0173) * F(0.01)), f=float_bias)
    shown = rows(printed(report))
    assert (shown["one"][3], shown["one"][5]) == ("taken", "0")
    # The step is 1.73e-4, so that 5e-5 becomes 0.
    assert (shown["two"][3], shown["two"][5]) == ("rounded", "bias 5e-05")
    assert shown["one"][4] == "input uint8 -> int8, zp 3; DequantizeLinear shared: input with two, weight with two"


def test_what_stood_beside_the_rounding_is_named_with_its_place() -> None:
    nodes = """k = Cast<to=3>(wide) t = DequantizeLinear<axis=3>(k, channels) w = Transpose<perm=[3,2,0,1]>(t)
        i = Identity(bq) b = DequantizeLinear<axis=0>(i, sb) j = Identity(b) [conv] y = Conv(xq, w, j)"""
    wide = (np.arange(36).reshape(3, 1, 3, 4) - 18).astype(np.int32)
    scales = np.asarray([0.01, 0.02, 0.03, 0.04], F)
    bias = {"bq": np.asarray([1, 2, 3, 4], np.int32), "sb": (F(0.0173) * scales).astype(F)}
    (layer,) = report_of(nodes, wide=wide, channels=scales, **bias)["layers"]
    assert layer["looked_through"] == ["Cast at its weight", "Identity at its bias"]
    shown = rows(printed({"layers": [layer], "nodes": []}))["conv"]
    assert shown[2] == "int8 per channel, axis 3, 4 of 4 exact"
    assert shown[4] == (
        "input uint8 -> int8, zp 3; channel axis 3 -> 0; looked through Cast at its weight, Identity at its bias"
    )


def test_identity_and_cast_between_the_two_nodes_of_a_pair_are_named() -> None:
    text = """<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,4,4] x) => (float y) {
        e = Identity(x) c = QuantizeLinear(e, s, z) k = Cast<to=2>(c) i = Identity(k) xq = DequantizeLinear(i, s, z)
        w = DequantizeLinear(wq, s) f = Conv(xq, w) [after] y = Cast<to=1>(f) }"""
    model = onnx.parser.parse_model(text)
    arrays = {"s": F(0.02), "z": U8(131), "wq": np.ones((4, 3, 1, 1), I8)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    (layer,) = read_qdq(ir.from_proto(model), ASCEND).report.layers
    assert layer.looked_through == ("Identity at its input", "Cast at its input")


def test_asymmetric_weight_shows_channels_and_error() -> None:
    wq = (np.arange(36).reshape(4, 3, 3, 1) * 7).astype(U8)
    report = report_of("w = DequantizeLinear(wq, sw, wz) [conv] y = Conv(xq, w)", wq=wq, wz=U8(50))
    shown, weight = rows(printed(report))["conv"], report["layers"][0]["weight"]
    # Values up to 245 - 50: the last two channels (7 * 18 - 50 = 76 ... 195) hold some above 127 from 7 * 26 on.
    assert shown[2] == "uint8 per tensor, 2 of 4 exact"
    assert "weight uint8 zp 50 -> int8 zp 0; 2 of 4 channels rounded again" in shown[4]
    assert shown[5] == f"weight {weight['max_error']:.3g}"
    assert weight["max_error"] > 0


def test_folded_batchnorm_is_named() -> None:
    nodes = "w = DequantizeLinear(wq, sw) [conv] a = Conv(xq, w) [bn] y = BatchNormalization(a, g, o, o, v)"
    g, o, v = np.asarray([1, -1, 0, 2], F), np.zeros(4, F), np.ones(4, F)
    shown = rows(printed(report_of(nodes, g=g, o=o, v=v)))["conv"]
    assert "BatchNormalization bn folded (1 negative, 1 zero)" in shown[4]


def test_what_stays_float_and_what_was_not_used_is_listed_with_the_reason() -> None:
    nodes = "[dw] w = DequantizeLinear(wq, sw) [conv] a = Conv(xq, w) [dv] v = DequantizeLinear(vq, sw) [bare] y = Conv(a, v)"
    vq = np.ones((2, 4, 1, 1), I8)
    lines = printed(report_of(nodes, vq=vq))
    reason = "its input does not go through QuantizeLinear and DequantizeLinear"
    assert rows(lines)["bare"] == ["Conv", "-", "-", "-", "stays float", "-"]
    assert lines[lines.index("Layers that stay float:") + 1] == f"  bare: {reason}"
    last = lines.index("QuantizeLinear and DequantizeLinear that were not used:")
    assert lines[last + 1 :] == [
        f"  dv (DequantizeLinear): weight of 'bare', which stays float: {reason}; its real value is kept"
    ]


@pytest.mark.parametrize(("count", "more"), [(20, None), (23, "  and 3 more; conversion_report.json lists all")])
def test_long_lists_end_in_a_count(count: int, more: str | None) -> None:
    node = {"op_type": "QuantizeLinear", "use": "dropped", "users": [], "reason": "nothing reads it"}
    lines = printed({"layers": [], "nodes": [{**node, "name": f"n{index}"} for index in range(count)]})
    listed = lines[lines.index("QuantizeLinear and DequantizeLinear that were not used:") + 1 :]
    assert listed[:20] == [f"  n{index} (QuantizeLinear): nothing reads it" for index in range(20)]
    assert listed[20:] == ([] if more is None else [more])


def test_narrow_terminal_loses_no_letter_and_reads_no_markup() -> None:
    report = report_of("w = DequantizeLinear(wq, sw, wz) [conv] y = Conv(xq, w)", wz=I8(1))
    name = "features/[red]block[/0]/:cat:/depthwise_convolution_with_a_long_name"
    report["layers"][0]["name"] = name
    node = {"name": name, "op_type": "QuantizeLinear", "use": "dropped", "users": [], "reason": "[bold]because"}
    report["nodes"].append(node)
    lines = printed(report, width=80)
    assert max(map(len, lines)) <= 80
    # No room for its longest words: a paragraph in the place of the row.
    assert lines[:2] == ["conversion", name]
    wide = rows(printed(report, width=400))[name]
    told = "; ".join(f"{heading} {cell}" for heading, cell in zip(COLUMNS[1:], wide, strict=True))
    below = lines[2 : lines.index("QuantizeLinear and DequantizeLinear that were not used:")]
    assert " ".join(line.removeprefix("  ") for line in below) == told
    assert f"{name}(QuantizeLinear):[bold]because" in "".join(lines).replace(" ", "")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_no_name_is_broken_whatever_the_width(width: int) -> None:
    report = report_of("w = DequantizeLinear(wq, sw, wz) [conv] y = Conv(xq, w)", wz=I8(1))
    report["layers"][0]["name"] = "stage4/block12/depthwise_convolution/Conv"
    lines = printed(report, width=width)
    assert max(map(len, lines)) <= width
    assert any("stage4/block12/depthwise_convolution/Conv" in line for line in lines)
