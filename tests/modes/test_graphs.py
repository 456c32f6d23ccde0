"""Graphs as exporters write them, through a whole job: what is found, and that every output is still the source's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as pybind

from runner.calibration.minmax import MinMax
from runner.engine import Engine
from runner.errors import ModelError
from runner.evaluation.distance import Sqnr
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from tests.data import Items, noise, normal_items
from tests.models import proto

F = np.float32
LEVELS = ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL")
FAKE_QUANT, DEPLOY = "out/results/net_fake_quant_model.onnx", "out/results/net_deploy_model.onnx"


def job(folder: Path, source: onnx.ModelProto | Path, x: NDArray, **options: object) -> AccAutoResult:
    """Quantize every layer of a model; a target of 60 dB below the ceiling is always met."""
    path = source
    if isinstance(source, onnx.ModelProto):
        path = folder / "source.onnx"
        path.write_bytes(source.SerializeToString())
    chosen = {"target_loss": 59.0, "metric": Sqnr(), "observer": MinMax(), "calibration_count": len(x)} | options
    result = acc_auto(path, Items(x), folder / "out", AccAutoOptions(**chosen), name="net", engine=Engine(1))
    assert result.status == "met"
    return result


def session(path: Path, level: str = "ENABLE_ALL") -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level}")
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def outputs(path: Path, x: NDArray, level: str = "ENABLE_ALL") -> list[NDArray]:
    made = session(path, level)
    return made.run(None, {made.get_inputs()[0].name: x})


def check(folder: Path, result: AccAutoResult, x: NDArray, layers: list[str], close: float = 0.05) -> None:
    """Hold the written pair against the source: the same interface, near outputs, the layers in int8 in both."""
    assert [layer.name for layer in result.found.layers] == layers
    assert result.fallback == ()
    assert result.rewriting_gap < (2e-2 if x.dtype == np.float16 else 1e-4)
    source = session(folder / "source.onnx")
    written = session(folder / FAKE_QUANT)
    for side in ("get_inputs", "get_outputs"):
        before, after = ([(v.name, v.type, v.shape) for v in getattr(s, side)()] for s in (source, written))
        assert after == before
    real = outputs(folder / "source.onnx", x)
    for level in LEVELS:
        for got, expected in zip(outputs(folder / FAKE_QUANT, x, level), real, strict=True):
            assert got.dtype == expected.dtype and got.shape == expected.shape
            largest = np.abs(expected.astype(np.float64)).max()
            assert np.abs(got.astype(np.float64) - expected).max() <= close * largest, level
    deployed = onnx.load(folder / DEPLOY)
    assert sum(node.op_type == "AscendDequant" for node in deployed.graph.node) == len(layers)


X = normal_items(6, 3, 8, 8)


def small(opset: int) -> onnx.ModelProto:
    """Return Conv, BatchNormalization, Clip or Relu, AveragePool, Conv 1x1, flattening by Squeeze, Gemm, Softmax."""
    squeeze = "s = Squeeze<axes=[2]>(p) f = Flatten(s)" if opset < 13 else "s = Squeeze(p, axes) f = Flatten(s)"
    constants = {"axes": np.array([2], np.int64)} if opset >= 13 else {}
    return proto(
        f"""g (float[1,3,8,8] x) => (float[1,5] y) {{
            [first] c = Conv<pads=[1,1,1,1]>(x, w1, b1)
            [bn] n = BatchNormalization(c, gamma, beta, mu, var)
            r = Relu(n)
            [pool] a = AveragePool<kernel_shape=[2,2], strides=[2,2]>(r)
            [second] d = Conv(a, w2)
            p = MaxPool<kernel_shape=[4,1]>(d)
            {squeeze}
            [head] g = Gemm<transB=1>(f, w3, b3)
            y = Softmax<axis=1>(g)
        }}""",
        opset=opset,
        ir_version=3 if opset < 9 else 8 if opset < 19 else 10,
        w1=noise(1, 4, 3, 3, 3),
        b1=noise(2, 4),
        gamma=np.abs(noise(3, 4)) + F(0.5),
        beta=noise(4, 4),
        mu=noise(5, 4),
        var=np.abs(noise(6, 4)) + F(0.5),
        w2=noise(7, 4, 4, 1, 1) / F(4),
        w3=noise(8, 5, 16) / F(8),
        b3=noise(9, 5),
        **constants,
    )


def listed_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """List the initializers as inputs as well, as IR version 3 demands."""
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return model


def newest_opset() -> int:
    """Return the newest opset that onnx can write and onnxruntime runs, quantization included."""
    for opset in range(onnx.defs.onnx_opset_version(), 22, -1):
        text = proto(
            "g (float[1] x, float s) => (int8[1] y) { r = Relu(x) y = QuantizeLinear(r, s, z) }",
            opset=opset,
            z=np.int8(0),
        )
        try:
            ort.InferenceSession(text.SerializeToString(), providers=["CPUExecutionProvider"])
        except (pybind.Fail, pybind.NotImplemented):
            continue
        return opset
    return 22


SMALL_LAYERS = ["first", "pool", "second", "head"]


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 15, 17, 19, 21, 23, newest_opset()])
def test_network_is_quantized_alike_at_every_opset(opset: int, tmp_path: Path) -> None:
    result = job(tmp_path, listed_as_inputs(small(opset)) if opset < 9 else small(opset), X)
    assert [layer.name for layer in result.found.layers] == SMALL_LAYERS
    assert (result.folded, result.found.left_alone) == (("bn",), ())
    source = session(tmp_path / "source.onnx")
    assert [value.name for value in session(tmp_path / FAKE_QUANT).get_inputs()] == ["x"]
    real, got = source.run(None, {"x": X[:1]})[0], outputs(tmp_path / FAKE_QUANT, X[:1])[0]
    assert np.abs(got - real).max() < 0.05
    written = (
        onnx.load(tmp_path / FAKE_QUANT).opset_import[0].version,
        onnx.load(tmp_path / DEPLOY).opset_import[0].version,
    )
    # The simulation needs 13, and ATC takes no newer one than 18.
    assert written == (min(max(opset, 13), 18), min(opset, 18))


BEHIND = {
    "constant": ("w = Constant<value = float[2,3] {1, 2, 3, -4, 5, 6}>()", {}),
    "identity": ("w = Identity(v)", {"v": noise(0, 2, 3)}),
    "transpose": ("w = Transpose<perm=[1,0]>(v)", {"v": noise(0, 3, 2)}),
    "reshape": ("w = Reshape(v, shape)", {"v": noise(0, 6), "shape": np.array([2, 3], np.int64)}),
    "cast_from_half": ("w = Cast<to=1>(v)", {"v": noise(0, 2, 3).astype(np.float16)}),
    "several": (
        "t = Transpose<perm=[1,0]>(v) c = Cast<to=1>(t) w = Identity(c)",
        {"v": noise(0, 3, 2).astype(np.float16)},
    ),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_weight_behind_an_operator_is_a_weight(behind: str, tmp_path: Path) -> None:
    nodes, constants = BEHIND[behind]
    source = proto(f"g (float[N,2] x) => (float[N,3] y) {{ {nodes} [layer] y = MatMul(x, w) }}", **constants)
    x = normal_items(6, 2)
    check(tmp_path, job(tmp_path, source, x), x, ["layer"])
    assert [n.op_type for n in onnx.load(tmp_path / DEPLOY).graph.node] == ["AscendQuant", "MatMul", "AscendDequant"]


def test_convolutions_over_every_number_of_axes_are_ranked_and_written(tmp_path: Path) -> None:
    source = proto(
        """g (float[N,3,8,8] x) => (float[N,4,2,9,9] y, float[N,2,62] z) {
            [up] u = ConvTranspose<strides=[2,2], output_padding=[1,1], pads=[4,4,4,4]>(x, w, b)
            [split] v = Reshape(u, volume) [three] y = Conv<pads=[1,1,1,1,1,1]>(v, w3)
            [flat] l = Reshape(x, line) [one] z = Conv(l, w1)
        }""",
        w=noise(0, 3, 4, 2, 2),
        b=noise(1, 4),
        w3=noise(2, 4, 2, 3, 3, 3),
        w1=noise(3, 2, 3, 3),
        volume=np.array([0, 2, 2, 9, 9], np.int64),
        line=np.array([0, 3, 64], np.int64),
    )
    result = job(tmp_path, source, X)
    check(tmp_path, result, X, ["up", "three", "one"])
    assert {name for name, value in result.ranking.entries if value > 0.99} == {"up", "three", "one"}
    config = json.loads((tmp_path / "out/tmp/config.json").read_text(encoding="utf-8"))
    asymmetric = {name: config[name]["activation_quant_params"]["asymmetric"] for name in ("up", "three", "one")}
    assert asymmetric == {"up": True, "three": False, "one": True}
    assert result.form.layers["three"].record.activation.zero_point == 0


def test_large_weight_behind_operators_is_folded_too(tmp_path: Path) -> None:
    nodes = "t = Transpose<perm=[1,0]>(v) w = Cast<to=1>(t) [layer] y = MatMul(x, w)"
    v = noise(0, 700, 600).astype(np.float16)
    x = normal_items(2, 600)
    source = proto(f"g (float[N,600] x) => (float[N,700] y) {{ {nodes} }}", v=v)
    check(tmp_path, job(tmp_path, source, x), x, ["layer"])


def test_shared_weight_is_quantized_in_each_layer(tmp_path: Path) -> None:
    source = proto(
        """g (float[N,4] x) => (float[N,4] y, float[N,4] z) {
            [a] h = MatMul(x, w) r = Relu(h) [b] y = MatMul(r, w)
            [c] g = Gemm<transB=1>(r, w, bias) s = Add(g, row) z = Mul(s, s)
        }""",
        w=noise(0, 4, 4),
        bias=noise(1, 4),
        row=noise(2, 4),
    )
    x = normal_items(6, 4)
    check(tmp_path, job(tmp_path, source, x), x, ["a", "b", "c"], close=0.08)
    weights = [t for t in onnx.load(tmp_path / DEPLOY).graph.initializer if t.data_type == TensorProto.INT8]
    assert len(weights) == 3


def test_weight_that_a_float_node_reads_too_stays_for_it(tmp_path: Path) -> None:
    source = proto(
        "g (float[N,4] x) => (float[N,4] y, float[4,N] z) { [a] y = MatMul(x, w) i = Abs(x) z = Gemm<transB=1>(w, i) }",
        w=noise(0, 4, 4),
    )
    x = normal_items(6, 4)
    result = job(tmp_path, source, x)
    check(tmp_path, result, x, ["a"])
    assert [left.reason for left in result.found.left_alone] == ["the data input is a constant"]


def test_unnamed_and_like_named_nodes_are_told_apart(tmp_path: Path) -> None:
    source = proto(
        "g (float[N,4] x) => (float[N,4] y) { [m] h = MatMul(x, w) [m] i = MatMul(h, v) y = MatMul(i, w) }",
        w=noise(0, 4, 4),
        v=noise(1, 4, 4),
    )
    result = job(tmp_path, source, normal_items(6, 4))
    assert [layer.name for layer in result.found.layers] == ["m", "m_1", "MatMul_2"]
    # onnxruntime itself refuses nodes of one name.
    for index, node in enumerate(source.graph.node):
        node.name = f"n{index}"
    (tmp_path / "source.onnx").write_bytes(source.SerializeToString())
    x = normal_items(1, 4)
    check(tmp_path, result, x, ["m", "m_1", "MatMul_2"])


def test_initializers_that_are_inputs_too_are_no_inputs_of_the_result(tmp_path: Path) -> None:
    source = listed_as_inputs(proto("g (float[N,4] x) => (float[N,4] y) { [m] y = MatMul(x, w) }", w=noise(0, 4, 4)))
    x = normal_items(6, 4)
    result = job(tmp_path, source, x)
    assert [layer.name for layer in result.found.layers] == ["m"]
    for file in (FAKE_QUANT, DEPLOY):
        assert [value.name for value in onnx.load(tmp_path / file).graph.input] == ["x"]


def test_matmul_with_a_bias_behind_it_keeps_the_add_in_float(tmp_path: Path) -> None:
    source = proto(
        "g (float[N,4] x) => (float[N,3] y) { [m] h = MatMul(x, w) y = Add(h, b) }", w=noise(0, 4, 3), b=noise(1, 3)
    )
    x = normal_items(6, 4)
    check(tmp_path, job(tmp_path, source, x), x, ["m"])
    kinds = [n.op_type for n in onnx.load(tmp_path / DEPLOY).graph.node]
    assert kinds == ["AscendQuant", "MatMul", "AscendDequant", "Add"]


def test_batch_of_matrices_is_one_layer_of_one_scale(tmp_path: Path) -> None:
    source = proto(
        "g (float[N,3,5,6] x) => (float[N,3,5,2] y) { [m] h = MatMul(x, w) r = Relu(h) [n] y = MatMul(r, v) }",
        w=noise(0, 3, 6, 4),
        v=noise(1, 3, 4, 2),
    )
    x = normal_items(6, 3, 5, 6)
    result = job(tmp_path, source, x)
    check(tmp_path, result, x, ["m", "n"])
    assert {name: cost.macs for name, cost in result.layers.costs.items()} == {"m": 3 * 5 * 6 * 4, "n": 3 * 5 * 4 * 2}
    deployed = {tensor.name: tensor for tensor in onnx.load(tmp_path / DEPLOY).graph.initializer}
    assert (deployed["w"].data_type, list(deployed["w"].dims)) == (TensorProto.INT8, [3, 6, 4])
    assert list(deployed["m.dequant.param"].dims) == [1]


def with_if() -> onnx.ModelProto:
    """Return a layer, then an If on the input's sum whose branches read outer values and hold a layer of their own."""

    def branch(name: str, sign: float) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Mul", ["h", f"{name}.sign"], [f"{name}.m"], name="m"),
            helper.make_node("MatMul", [f"{name}.m", "w"], [f"{name}.y"], name="inner"),
        ]
        sign_value = numpy_helper.from_array(F(sign), f"{name}.sign")
        shape = helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, ["N", 4])
        return helper.make_graph(nodes, name, [], [shape], [sign_value])

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="outer"),
        helper.make_node("ReduceSum", ["x"], ["s"], name="sum", keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"], name="greater"),
        helper.make_node("If", ["c"], ["i"], name="if", then_branch=branch("yes", 1.0), else_branch=branch("no", -2.0)),
        helper.make_node("MatMul", ["i", "v"], ["y"], name="last"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    constants = {"w": noise(0, 4, 4), "v": noise(1, 4, 4), "zero": F(0)}
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(a, k) for k, a in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def with_loop(opset: int) -> onnx.ModelProto:
    """Return a layer, then a Loop of three turns that adds the layer's output and multiplies by the same weight."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["turned"], name="outer"),
            helper.make_node("Add", ["turned", "h"], ["next"], name="add"),
            helper.make_node("Identity", ["go"], ["on"], name="on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["N", 4]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["N", 4]),
        ],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="outer"),
        helper.make_node("Loop", ["turns", "", "h"], ["l"], name="loop", body=body),
        helper.make_node("MatMul", ["l", "v"], ["y"], name="last"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    constants = {"w": noise(0, 4, 4) / F(3), "v": noise(1, 4, 4), "turns": np.array(3, np.int64)}
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(a, k) for k, a in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


@pytest.mark.parametrize(
    ("source", "inside"),
    [
        pytest.param(with_if(), ["it stands inside the body of If 'if'"] * 2, id="if"),
        pytest.param(with_loop(13), ["it stands inside the body of Loop 'loop'"], id="loop"),
        pytest.param(with_loop(11), ["it stands inside the body of Loop 'loop'"], id="loop_of_opset_11"),
    ],
)
def test_bodies_are_left_alone_and_still_read_the_outer_values(
    source: onnx.ModelProto, inside: list[str], tmp_path: Path
) -> None:
    x = normal_items(8, 4)
    result = job(tmp_path, source, x)
    # One item at a time, as it was calibrated: the branch depends on the sum.
    for item in x:
        check(tmp_path, result, item[np.newaxis], ["outer", "last"], close=0.1)
    assert [left.reason for left in result.found.left_alone] == inside


def test_half_precision_model_is_calibrated_in_float_and_keeps_its_interface(tmp_path: Path) -> None:
    half = proto(
        """g (float16[N,3,8,8] x) => (float16[N,5] y) {
            [conv] c = Conv<pads=[1,1,1,1]>(x, w, b) r = Relu(c) [pool] p = AveragePool<kernel_shape=[8,8]>(r) f = Flatten(p)
            [head] h = Gemm<transB=1>(f, v) a = Add(h, one)
            d = Cast<to=1>(a) e = Cast<to=10>(d) y = Mul(e, s)
        }""",
        w=noise(0, 4, 3, 3, 3).astype(np.float16),
        b=noise(1, 4).astype(np.float16),
        v=noise(2, 5, 4).astype(np.float16),
        s=np.float16(0.5),
        one=np.float16(1),
    )
    x = X.astype(np.float16)
    result = job(tmp_path, half, x)
    check(tmp_path, result, x, ["conv", "pool", "head"])
    deployed = onnx.load(tmp_path / DEPLOY)
    assert not any(t.data_type == TensorProto.FLOAT16 for t in deployed.graph.initializer)
    assert deployed.graph.node[0].op_type == deployed.graph.node[-1].op_type == "Cast"


@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batch_is_kept(batch: int, tmp_path: Path) -> None:
    source = proto(
        f"""g (float[{batch},3,8,8] x) => (float[{batch},4,6,6] y) {{ [a] h = Conv(x, w) y = Relu(h) }}""",
        w=noise(0, 4, 3, 3, 3),
    )
    result = job(tmp_path, source, X)
    check(tmp_path, result, np.repeat(X[:1], batch, axis=0), ["a"])


def test_images_of_open_size_may_differ(tmp_path: Path) -> None:
    source = proto(
        "g (float[N,3,H,W] x) => (float[N,4,A,B] y, float[N,4,1,1] m) "
        "{ [a] h = Conv<pads=[1,1,1,1]>(x, w) [p] y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(h) "
        "m = GlobalAveragePool(y) }",
        w=noise(0, 4, 3, 3, 3),
    )
    sizes = [(8, 8), (5, 9), (7, 4)]
    path = tmp_path / "source.onnx"
    path.write_bytes(source.SerializeToString())
    items = Items([noise(i, 3, *size) for i, size in enumerate(sizes)])
    options = AccAutoOptions(target_loss=59.0, metric=Sqnr(), observer=MinMax(), calibration_count=3)
    result = acc_auto(path, items, tmp_path / "out", options, name="net", engine=Engine(1))
    for i, size in enumerate(sizes):
        check(tmp_path, result, noise(i, 1, 3, *size), ["a", "p"])


def test_several_outputs_one_of_them_inside_the_network(tmp_path: Path) -> None:
    source = proto(
        "g (float[N,4] x) => (float[N,4] h, float[N,4] r, float[N,2] y) "
        "{ [a] h = MatMul(x, w) r = Relu(h) [b] y = MatMul(r, v) }",
        w=noise(0, 4, 4),
        v=noise(1, 4, 2),
    )
    x = normal_items(6, 4)
    check(tmp_path, job(tmp_path, source, x), x, ["a", "b"])


def test_weights_in_a_file_of_their_own_are_read(tmp_path: Path) -> None:
    source = proto("g (float[N,64] x) => (float[N,32] y) { [a] y = MatMul(x, w) }", w=noise(0, 64, 32))
    onnx.save(source, tmp_path / "source.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    x = normal_items(6, 64)
    check(tmp_path, job(tmp_path, tmp_path / "source.onnx", x), x, ["a"])


def test_missing_file_of_weights_is_named(tmp_path: Path) -> None:
    source = proto("g (float[N,64] x) => (float[N,32] y) { [a] y = MatMul(x, w) }", w=noise(0, 64, 32))
    onnx.save(source, tmp_path / "source.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(
        ModelError, match=r"keeps the weight 'w' in .*weights\.bin, which does not exist\. Copy the external"
    ):
        job(tmp_path, tmp_path / "source.onnx", normal_items(2, 64))


def save_large(path: Path, rows: int, columns: int) -> None:
    weights = {
        "w": np.tile(noise(0, rows, 100), (1, columns // 100)),
        "v": np.tile(noise(1, 100, rows), (columns // 100, 1)),
    }
    nodes = "[a] h = MatMul(x, w) [b] y = MatMul(h, v)"
    large = proto(f"g (float[N,{rows}] x) => (float[N,{rows}] y) {{ {nodes} }}", **weights)
    onnx.save(large, path, save_as_external_data=True, location="weights.bin")


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("RUNNER_SLOW") != "1", reason="needs 16 GiB of memory; set RUNNER_SLOW=1")
def test_model_above_two_gigabytes(tmp_path: Path) -> None:
    rows = 23000
    save_large(tmp_path / "source.onnx", rows, 12000)
    assert (tmp_path / "weights.bin").stat().st_size > 2**31
    x = normal_items(2, rows)
    result = job(tmp_path, tmp_path / "source.onnx", x, calibration_count=1)
    assert [layer.name for layer in result.found.layers] == ["a", "b"]
    assert (tmp_path / f"{FAKE_QUANT}.data").stat().st_size > 2**31
    real, got = (outputs(tmp_path / name, x[:1])[0] for name in ("source.onnx", FAKE_QUANT))
    assert np.abs(got - real).max() <= 0.1 * np.abs(real).max()
