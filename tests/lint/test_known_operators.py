"""Which operators ATC reads, at which opsets, and what a user is told about the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from runner import check_deploy
from runner.lint.atc_operators import atc_operators, said
from runner.lint.finding import Finding, gathered

SLACK = {"ConvTranspose": {"kernel_shape": [1, 1]}}


def model(nodes: Sequence[NodeProto], opset: int = 18, domain: str = "", **more: object) -> ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", nodes[-1].output[0]))
    return helper.make_model(
        helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid(domain, opset)], **more
    )


def told(folder: Path, built: ModelProto) -> list[Finding]:
    """Return what is said of the operators; the models quantize nothing, and are told so."""
    path = folder / "net.onnx"
    path.write_bytes(built.SerializeToString())
    return [finding for finding in check_deploy(path) if not finding.expected.startswith("at least one AscendQuant")]


def lines(folder: Path, built: ModelProto) -> list[str]:
    return [f"{finding.severity}: {finding}" for finding in told(folder, built)]


def read(op_type: str, opset: int) -> bool:
    """Whether the table has an operator at an opset, read off the file by other means."""
    table = json.loads(files("runner.lint").joinpath("atc_operators.json").read_text(encoding="utf-8"))
    windows = table["operators"].get(op_type, "")
    spans = [window.split("-") for window in windows.split(", ") if window]
    return any(int(span[0]) <= opset <= int(span[-1]) for span in spans) or op_type == "Constant"


def test_table_says_where_it_is_from_and_as_of_when() -> None:
    table = atc_operators()
    assert "ops-nn, ops-math and ops-cv" in table.source and table.date == "August 2026"
    assert (table.documented, table.oldest, table.newest) == (range(11, 19), 8, 18)
    assert len(table.versions) == 260


@pytest.mark.parametrize(
    ("op_type", "opsets"),
    [
        ("Conv", "8 to 18"),
        ("AscendQuant", "8 to 22"),
        ("LayerNormalization", "17 to 18"),
        ("HardSwish", "14 to 18"),
        ("Mish", "18"),
        ("ReduceL1", "8 to 17"),
        ("ReduceL2", "8 to 17"),
        ("Upsample", "8 to 9, 11 to 16"),
        ("GridSample", "11, 16 to 18"),
        ("HardSigmoid", "1, 6, 8 to 18"),
    ],
)
def test_windows_of_operators_are_those_of_the_plugins(op_type: str, opsets: str) -> None:
    assert said(atc_operators().versions[op_type]) == opsets


@pytest.mark.parametrize("op_type", ["QuantizeLinear", "QLinearConv", "Loop", "Scan", "Gelu", "GroupNormalization"])
def test_operators_that_no_plugin_names_have_no_versions(op_type: str) -> None:
    assert op_type not in atc_operators().versions


STANDARD = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})


@pytest.mark.parametrize("opset", range(7, 24))
def test_every_standard_operator_is_told_exactly_where_the_table_lacks_it(tmp_path: Path, opset: int) -> None:
    nodes = [helper.make_node(op, ["x"], [f"{op}_y"], op, **SLACK.get(op, {})) for op in STANDARD]
    found = told(tmp_path, model(nodes, opset))
    unread = {f.node for f in found if "ATC has a parser for" in f.expected or "that ATC registers" in f.expected}
    beyond = [f for f in found if f.node == "model" and f.severity == "unsupported"]
    expected = {op for op in STANDARD if not read(op, opset)}
    if 8 <= opset <= 18:
        assert (unread, beyond) == (expected, [])
        return
    # At an opset that ATC does not know, what is wrong with none of them alone is said once.
    (whole,) = beyond
    alone = {op for op in STANDARD if not read(op, 18 if opset > 18 else 8)}
    assert unread == alone
    assert f"opset {opset} for {len(expected - alone)} nodes: " in whole.got


TOLD = {
    "never_registered": (
        "Gelu",
        18,
        "unsupported: n: expected an operator that ATC has a parser for, got Gelu at opset 18, of which ATC registers no "
        "version; write it as x * (Erf(x / sqrt(2)) + 1) / 2, as an export at opset 18 or below does",
    ),
    "never_registered_and_newer": (
        "RMSNormalization",
        23,
        "unsupported: n: expected an operator that ATC has a parser for, got RMSNormalization at opset 23, of which ATC "
        "registers no version; write it with Pow, ReduceMean, Sqrt, Div and Mul, as an export at opset 18 or below does",
    ),
    "control_flow": (
        "Loop",
        13,
        "unsupported: n: expected an operator that ATC has a parser for, got Loop at opset 13, of which ATC registers no "
        "version; export it with a fixed number of steps, written out one after the other, or run that part on the host",
    ),
    "of_no_use_elsewhere": (
        "StringNormalizer",
        13,
        "got StringNormalizer at opset 13, of which ATC registers no version; replace it by operators that ATC reads, or "
        "run that part of the model on the host",
    ),
    "window_that_ends_below_18": (
        "ReduceL2",
        18,
        "unsupported: n: expected ReduceL2 at opset 8 to 17, the versions that ATC registers, got ReduceL2 at opset 18; "
        "export the model at opset 11 to 17, or write it as Sqrt(ReduceSumSquare(x))",
    ),
    "window_that_ends_below_18_of_a_newer_model": (
        "ReduceL1",
        20,
        "unsupported: n: expected ReduceL1 at opset 8 to 17, the versions that ATC registers, got ReduceL1 at opset 20; "
        "export the model at opset 11 to 17, or write it as ReduceSum(Abs(x))",
    ),
    "gone_from_onnx_before_the_window_ends": (
        "Upsample",
        17,
        "unsupported: n: expected Upsample at opset 8 to 9, 11 to 16, the versions that ATC registers, got Upsample at opset "
        "17; write it as Resize",
    ),
    "gap": (
        "GridSample",
        13,
        "unsupported: n: expected GridSample at opset 11, 16 to 18, the versions that ATC registers, got GridSample at opset "
        "13; export the model at opset 16 to 18",
    ),
    "window_that_begins_later": (
        "LayerNormalization",
        16,
        "unsupported: n: expected LayerNormalization at opset 17 to 18, the versions that ATC registers, got "
        "LayerNormalization at opset 16; export the model at opset 17 to 18, or write it with ReduceMean, Sub, Pow, Sqrt",
    ),
    "operator_of_atcs_own": (
        "SwinAttentionScore",
        18,
        "unsupported: n: expected SwinAttentionScore at opset 17, the versions that ATC registers, got SwinAttentionScore at "
        "opset 18; export the model at opset 17",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_unread_operator_is_named_with_its_opset_the_versions_and_what_to_do(tmp_path: Path, name: str) -> None:
    op_type, opset, message = TOLD[name]
    found = lines(tmp_path, model([helper.make_node(op_type, ["x"], ["y"], "n")], opset))
    assert any(message in line for line in found), found


@pytest.mark.parametrize("op_type", [op for op in STANDARD if not read(op, 18)])
def test_every_unread_operator_comes_with_advice(tmp_path: Path, op_type: str) -> None:
    found = told(tmp_path, model([helper.make_node(op_type, ["x"], ["y"], "n")]))
    assert [bool(finding.advice) for finding in found if finding.node == "n"] == [True]


def test_bodies_at_any_depth_are_read_too(tmp_path: Path) -> None:
    def branch(name: str, node: NodeProto) -> NodeProto:
        out = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        body = helper.make_graph([node], name, [], [out])
        return helper.make_node("If", ["yes"], [f"{name}_y"], name, then_branch=body, else_branch=body)

    built = model([branch("outer", branch("inner", helper.make_node("Gelu", ["x"], ["g"], "deep")))], 13)
    built.graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    # Both branches are the same body here: it is told once for each time it stands there.
    assert {finding.node for finding in told(tmp_path, built)} == {"deep"}


def test_local_functions_are_told_with_what_stands_inside(tmp_path: Path) -> None:
    inside = [helper.make_node("Gelu", ["a"], ["b"], "g"), helper.make_node("Relu", ["b"], ["c"], "r")]
    function = helper.make_function("mine", "Block", ["a"], ["c"], inside, [helper.make_opsetid("", 20)])
    built = model([helper.make_node("Block", ["x"], ["y"], "call", domain="mine")], 18, functions=[function])
    built.opset_import.append(helper.make_opsetid("mine", 1))
    assert lines(tmp_path, built) == [
        "unsupported: call: expected an operator of the default domain, got the model's local function mine.Block; write its "
        "nodes in its place: onnx.inliner.inline_local_functions does",
        "unsupported: Block/g: expected an operator that ATC has a parser for, got Gelu at opset 20, of which ATC registers no "
        "version; write it as x * (Erf(x / sqrt(2)) + 1) / 2, as an export at opset 18 or below does",
        "unsupported: model: expected opset 8 to 18, at which ATC registers standard operators, got opset 20 for 1 node: "
        "Relu (1, the first 'Block/r'); export the model at opset 11 to 18",
    ]


def test_default_domain_may_be_spelled_out(tmp_path: Path) -> None:
    spelled = [
        helper.make_node("Relu", ["x"], ["r"], "r", domain="ai.onnx"),
        helper.make_node("Relu", ["r"], ["y"], "s"),
    ]
    assert lines(tmp_path, model(spelled, 13, "ai.onnx")) == []


def test_constant_needs_no_plugin(tmp_path: Path) -> None:
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1])
    nodes = [
        helper.make_node("Constant", [], ["c"], "c", value=value),
        helper.make_node("Add", ["x", "c"], ["y"], "a"),
    ]
    assert lines(tmp_path, model(nodes)) == []


def test_findings_that_say_the_same_of_many_nodes_are_one_line() -> None:
    same = [Finding(f"gelu_{i}", "another operator", "Gelu", "unsupported", "write it out") for i in range(12)]
    other = Finding("model", "opset 18", "20")
    text = "expected another operator, got Gelu; write it out"
    assert gathered([*same, other]) == [
        f"gelu_0, gelu_1, gelu_2 and 9 more: {text}",
        "model: expected opset 18, got 20",
    ]
    assert gathered(same[:2]) == [f"gelu_0, gelu_1: {text}"]
    assert gathered([]) == []
