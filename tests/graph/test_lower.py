"""A lowered model says at the older opset what it said before, by onnxruntime's reading of both."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from runner.graph.lower import lower
from runner.graph.naming import name_nodes
from tests.data import noise
from tests.models import model, plain_session

IMAGE = "g (float[N,4,6,6] x) => (float[N,M,H,W] y)"
ROWS = "g (float[N,3,8] x) => (float[N,3,8] y)"
GRID = np.random.default_rng(1).uniform(-1, 1, (2, 5, 5, 2)).astype(np.float32)
# opset, graph, constants, shape of x
CHANGED = {
    "Conv 22": (22, f"{IMAGE} {{ y = Conv <pads = [1,1,1,1]> (x, w) }}", {"w": noise(1, 5, 4, 3, 3)}, (4, 6, 6)),
    "ConvTranspose 22": (
        22,
        f"{IMAGE} {{ y = ConvTranspose <strides = [2,2]> (x, w) }}",
        {"w": noise(1, 4, 3, 2, 2)},
        (4, 6, 6),
    ),
    "AveragePool 22": (
        22,
        f"{IMAGE} {{ y = AveragePool <kernel_shape = [2,2], dilations = [1,1]> (x) }}",
        {},
        (4, 6, 6),
    ),
    "MaxPool 22": (
        22,
        f"{IMAGE} {{ y = MaxPool <kernel_shape = [3,3], ceil_mode = 1, strides = [2,2]> (x) }}",
        {},
        (4, 6, 6),
    ),
    "GlobalMaxPool 22": (22, f"{IMAGE} {{ y = GlobalMaxPool (x) }}", {}, (4, 6, 6)),
    "Resize 19": (
        19,
        f'{IMAGE} {{ y = Resize <mode = "linear", antialias = 1> (x, , s) }}',
        {"s": np.array([1, 1, 0.5, 0.5], np.float32)},
        (4, 6, 6),
    ),
    "GridSample 20": (20, f'{IMAGE} {{ y = GridSample <mode = "linear"> (x, g) }}', {"g": GRID}, (4, 6, 6)),
    "GridSample 22, cubic": (22, f'{IMAGE} {{ y = GridSample <mode = "cubic"> (x, g) }}', {"g": GRID}, (4, 6, 6)),
    "ConstantOfShape 21": (
        21,
        f"{ROWS} {{ s = Shape (x)\n c = ConstantOfShape <value = float[1] {{0.5}}> (s)\n y = Add (x, c) }}",
        {},
        (3, 8),
    ),
    "Cast 24": (24, f"{ROWS} {{ h = Cast <to = 7> (x)\n y = Cast <to = 1> (h) }}", {}, (3, 8)),
    "Reshape and Transpose 24": (
        24,
        "g (float[N,3,8] x) => (float[N,8,3] y) { r = Reshape <allowzero = 1> (x, s)\n y = Transpose <perm = [0,2,1]> (r) }",
        {"s": np.array([-1, 3, 8])},
        (3, 8),
    ),
    "TopK 24": (24, "g (float[N,3,8] x) => (float[N,3,2] y) { y, i = TopK (x, k) }", {"k": np.array([2])}, (3, 8)),
    "LSTM 22": (
        22,
        "g (float[2,3,8] x) => (float[2,1,3,5] y) { y = LSTM <hidden_size = 5> (x, w, r) }",
        {"w": noise(1, 1, 20, 8), "r": noise(2, 1, 20, 5)},
        (3, 8),
    ),
    "HardSwish and Mish 22": (22, f"{ROWS} {{ h = HardSwish (x)\n y = Mish (h) }}", {}, (3, 8)),
}
WITHOUT_OLDER_VERSION = {
    "Gelu": (20, f"{ROWS} {{ y = Gelu (x) }}", {}, (3, 8)),
    "Gelu, tanh": (20, f'{ROWS} {{ y = Gelu <approximate = "tanh"> (x) }}', {}, (3, 8)),
    "Swish, by default": (24, f"{ROWS} {{ y = Swish (x) }}", {}, (3, 8)),
    "RMSNormalization, by default": (23, f"{ROWS} {{ y = RMSNormalization (x, w) }}", {"w": noise(1, 8)}, (3, 8)),
    "Swish": (24, f"{ROWS} {{ y = Swish <alpha = 1.5> (x) }}", {}, (3, 8)),
    "RMSNormalization": (23, f"{ROWS} {{ y = RMSNormalization <axis = -1> (x, w) }}", {"w": noise(1, 8)}, (3, 8)),
    "GroupNormalization": (
        21,
        f"{IMAGE} {{ y = GroupNormalization <num_groups = 2> (x, w, b) }}",
        {"w": noise(1, 4), "b": noise(2, 4)},
        (4, 6, 6),
    ),
    "Attention": (
        23,
        f"{ROWS} {{ y = Attention <q_num_heads = 2, kv_num_heads = 2, is_causal = 1> (x, x, x) }}",
        {},
        (3, 8),
    ),
    "RotaryEmbedding": (
        23,
        f"{ROWS} {{ y = RotaryEmbedding <num_heads = 2> (x, c, s) }}",
        {"c": noise(1, 2, 3, 2), "s": noise(2, 2, 3, 2)},
        (3, 8),
    ),
}


def lowered(
    graph: str, opset: int, constants: dict[str, NDArray], takes: object = None
) -> tuple[ir.Model, ir.Model, object]:
    source = model(graph, opset=opset, ir_version=10, **constants)
    name_nodes(source)
    result = source.clone()
    told = lower(result, 18) if takes is None else lower(result, 18, takes)
    return source, result, told


def outputs(built: ir.Model, x: NDArray) -> NDArray:
    return plain_session(built).run(["y"], {"x": x})[0]


@pytest.mark.parametrize("case", CHANGED)
def test_operator_that_changed_gets_its_older_form(case: str) -> None:
    opset, graph, constants, shape = CHANGED[case]
    source, result, told = lowered(graph, opset, constants)
    assert (result.opset_imports[""], result.ir_version, told.opset) == (18, 8, opset)
    assert (told.expanded, told.without_form) == ((), ())
    assert [node.name for node in result.graph if node.op_type != "Constant"] == [node.name for node in source.graph]
    onnx.checker.check_model(ir.to_proto(result))
    x = noise(7, 2, *shape)
    # Kernels of two versions may sum in another order.
    np.testing.assert_allclose(outputs(result, x), outputs(source, x), rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("case", WITHOUT_OLDER_VERSION)
def test_operator_without_an_older_version_is_written_as_what_onnx_defines_it_by(case: str) -> None:
    opset, graph, constants, shape = WITHOUT_OLDER_VERSION[case]
    source, result, told = lowered(graph, opset, constants)
    assert (result.opset_imports[""], told.without_form) == (18, ())
    assert told.expanded[0] == next(node.name for node in source.graph)
    onnx.checker.check_model(ir.to_proto(result))
    names = [node.name for node in result.graph.all_nodes()]
    assert all(names) and len(set(names)) == len(names)
    x = noise(7, 2, *shape)
    np.testing.assert_allclose(outputs(result, x), outputs(source, x), rtol=1e-5, atol=1e-6)


def test_operator_that_the_reader_lacks_is_written_in_others_at_any_opset() -> None:
    graph = f"{ROWS} {{ n = ReduceL2 <keepdims = 1> (x, a)\n y = Div (x, n) }}"
    constants = {"a": np.array([-1])}
    for opset in (18, 21):
        source, result, told = lowered(graph, opset, constants, lambda op_type, _: op_type != "ReduceL2")
        assert told.expanded == ("ReduceL2_0",)
        assert "ReduceL2" not in {node.op_type for node in result.graph}
        x = noise(7, 2, 3, 8)
        np.testing.assert_allclose(outputs(result, x), outputs(source, x), rtol=1e-6)
    assert lower(model(graph, opset=18, **constants), 18).opset == 0


def test_operator_stays_where_the_reader_lacks_what_it_would_become() -> None:
    _, result, told = lowered(f"{ROWS} {{ y = Gelu (x) }}", 20, {}, lambda op_type, _: op_type != "Erf")
    assert [node.op_type for node in result.graph] == ["Gelu"]
    assert [(node.name, node.op_type) for node in told.without_form] == [("Gelu_0", "Gelu")]


@pytest.mark.parametrize(
    ("opset", "graph", "constants", "reason", "left_at"),
    [
        pytest.param(
            22,
            f"{IMAGE} {{ c = Conv (x, w)\n y = AveragePool <kernel_shape = [2,2], dilations = [2,2]> (c) }}",
            {"w": noise(1, 4, 4, 1, 1)},
            "dilations",
            19,
            id="dilated average",
        ),
        pytest.param(
            20, f'{IMAGE} {{ y = AveragePool <kernel_shape = [1,1], strides = [3,3], auto_pad = "SAME_UPPER"> (x) }}', {},
            "auto_pad cuts the image", 19, id="average that cuts",
        ),
        pytest.param(
            21, f'{IMAGE} {{ y = Pad <mode = "wrap"> (x, p) }}', {"p": np.array([0, 0, 1, 1] * 2)},
            "mode=wrap came with opset 19", 19, id="wrapping pad",
        ),
        pytest.param(
            20, 'g (string[N] x) => (string[N] y) { y = StringConcat (x, x) }', {}, "No Previous Version", 20, id="no function",
        ),
    ],
)  # fmt: skip
def test_operator_without_a_form_is_named_and_the_opset_stays_as_low_as_it_can(
    opset: int, graph: str, constants: dict[str, NDArray], reason: str, left_at: int
) -> None:
    source, result, told = lowered(graph, opset, constants)
    (left,) = told.without_form
    assert (left.name, left.op_type) == [(node.name, node.op_type) for node in source.graph][-1]
    assert reason in left.reason
    assert result.opset_imports[""] == left_at
    onnx.checker.check_model(ir.to_proto(result))


def test_what_stands_in_the_body_of_an_if_is_lowered_too() -> None:
    graph = """g (float[N,3,8] x) => (float[N,3,8] y) {
        m = ReduceMean <keepdims = 0> (x)
        c = Greater (m, zero)
        y = If (c) <then_branch = t () => (float[N,3,8] a) { a = Gelu (x) },
                    else_branch = e () => (float[N,3,8] b) { f = Flatten (x)\n s = Shape (x)\n b = Reshape (f, s) }>
    }"""
    source, result, told = lowered(graph, 22, {"zero": np.float32(0)})
    assert (result.opset_imports[""], told.without_form) == (18, ())
    assert not {"Gelu"} & {node.op_type for node in result.graph.all_nodes()}
    for x in (np.abs(noise(7, 2, 3, 8)), -np.abs(noise(7, 2, 3, 8))):
        np.testing.assert_allclose(outputs(result, x), outputs(source, x), rtol=1e-5, atol=1e-6)


def test_sequences_stay_sequences() -> None:
    graph = """g (float[N,4,6] x) => (float[N,4,6] y) {
        s = SplitToSequence <axis = 1> (x)
        i = Identity (s)
        k = SequenceInsert (i, one)
        h = ConcatFromSequence <axis = 1> (i)
        y = Gelu (h)
    }"""
    source, result, told = lowered(graph, 21, {"one": noise(1, 2, 1, 6)})
    assert (result.opset_imports[""], told.without_form) == (18, ())
    x = noise(7, 2, 4, 6)
    np.testing.assert_allclose(outputs(result, x), outputs(source, x), rtol=1e-5, atol=1e-6)


def test_model_at_the_wanted_opset_or_below_is_left_as_it_is() -> None:
    for opset in (13, 18):
        source, result, told = lowered(f"{ROWS} {{ y = HardSigmoid (x) }}", opset, {})
        assert (told.opset, told.expanded, told.without_form) == (0, (), ())
        assert ir.to_proto(result).SerializeToString() == ir.to_proto(source).SerializeToString()
