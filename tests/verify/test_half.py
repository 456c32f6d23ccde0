"""``verify.device=fp16``: float operators on float16 values, against float16 arithmetic written out in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from runner.graph.layers import find_layers
from runner.graph.model_file import model_bytes
from runner.record import QuantizedLayers
from runner.session import REFERENCE, Session
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import executable
from tests import device
from tests.data import noise
from tests.models import model, random_form

F, H = np.float32, np.float16
LARGEST = 65504


def half(values) -> np.ndarray:
    """Return numbers as float16 holds them, those beyond it as its largest."""
    return np.clip(np.asarray(values, np.float64), -LARGEST, LARGEST).astype(H).astype(np.float64)


def executed(folder: Path, built: ir.Model, *layers: str, precision: str = "fp16", **feeds: np.ndarray):
    """Return the outputs of the deploy file in which only the named layers are int8, and the form that it has."""
    _, form = random_form(built, scale=0.037, zero_point=-5)
    form = QuantizedLayers({name: form.layers[name] for name in layers})
    path = folder / "deploy.onnx"
    path.write_bytes(model_bytes(deploy_model(find_layers(built, ASCEND), form)))
    return Session(executable(read_deploy(path), precision=precision).model, REFERENCE).run(feeds), form


def s19(scales) -> np.ndarray:
    """Return scales cut to 10 bits of mantissa."""
    exponent = np.floor(np.log2(np.float64(scales)))
    return np.floor(np.float64(scales) / 2**exponent * 1024) / 1024 * 2**exponent


def int8_product(form: QuantizedLayers, name: str, x: np.ndarray) -> np.ndarray:
    """Return what a quantized matrix product gives of float32 values, with 19 bits of scale, as float16."""
    layer = form.layers[name]
    params = layer.record.activation
    sums = device.centred(F(x), params.scale, params.zero_point) @ layer.weight.astype(np.int64)
    scale = F(np.float64(F(params.scale)) * np.float64(F(layer.record.weight_scales[0])))
    return half((sums * s19(scale)).astype(F))


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(F)


def test_float_layers_have_float16_weights_inputs_and_outputs(tmp_path: Path) -> None:
    built = model(
        "g (float[1,8] x) => (float[] y) { [one] a = Gemm(x, w, b) [act] r = Relu(a) [two] y = MatMul(r, v) }",
        w=noise(0, 8, 6),
        b=noise(1, 6),
        v=noise(2, 6, 4),
    )
    x = normal(0, 1, 8)
    (got,), _ = executed(tmp_path, built, x=x)
    one = half((half(x) @ half(noise(0, 8, 6)) + half(noise(1, 6))).astype(F))
    expected = half((np.maximum(one, 0) @ half(noise(2, 6, 4))).astype(F))
    np.testing.assert_array_equal(got, expected.astype(F))
    (whole,), _ = executed(tmp_path, built, precision="s19", x=x)
    assert np.any(whole != got)


def test_int8_layers_among_float_ones_read_and_give_float16(tmp_path: Path) -> None:
    built = model(
        """g (float[2,8] x) => (float[] y, float[] s) {
            [first] a = MatMul(x, w)
            [shift] b = Add(a, c)
            [second] d = MatMul(b, v)
            [scale] y = Mul(d, f)
            [sum] s = ReduceSum(d)
        }""",
        w=noise(0, 8, 6),
        c=noise(1, 6),
        v=noise(2, 6, 4),
        f=np.array([0.1], F),
    )
    x = normal(3, 2, 8)
    (y, s), form = executed(tmp_path, built, "second", x=x)
    first = half((half(x) @ half(noise(0, 8, 6))).astype(F))
    second = int8_product(form, "second", half((first + half(noise(1, 6))).astype(F)))
    np.testing.assert_array_equal(y, half((second * half(0.1)).astype(F)).astype(F))
    np.testing.assert_allclose(s.reshape(()), half(second.sum()), rtol=2**-11)


def test_int8_layer_reads_the_models_own_input_as_it_is_fed(tmp_path: Path) -> None:
    built = model("g (float[1,8] x) => (float[] y) { [layer] y = MatMul(x, w) }", w=noise(0, 8, 6))
    x = normal(1, 1, 8)
    (got,), form = executed(tmp_path, built, "layer", x=x)
    np.testing.assert_array_equal(got, int8_product(form, "layer", x).astype(F))


def test_values_beyond_float16_saturate_and_small_ones_vanish(tmp_path: Path) -> None:
    built = model(
        "g (float[4] x) => (float[] big, float[] small, float[] masked) {"
        " [b] big = Mul(x, k) [s] small = Mul(x, e) [m] masked = Add(x, i) }",
        k=np.array([1e5], F),
        e=np.array([1e-8], F),
        i=np.array([-np.inf, np.inf, 1e30, 0], F),
    )
    x = np.array([1, -2, 0.5, 0], F)
    (big, small, masked), _ = executed(tmp_path, built, x=x)
    assert big.tolist() == [65504, -65504, 32752, 0]
    assert small.tolist() == [0, 0, 0, 0]
    assert masked.tolist() == [-65504, 65504, 65504, 0]


def test_a_value_halfway_between_two_of_float16_goes_to_the_even_one(tmp_path: Path) -> None:
    built = model("g (float[4] x) => (float[] y) { [a] y = Add(x, z) }", z=np.zeros(1, F))
    x = np.array([2049, 2051, 1 + 2**-11, 1 + 3 * 2**-11], F)
    (got,), _ = executed(tmp_path, built, x=x)
    assert got.tolist() == [2048, 2052, 1, 1 + 2 * 2**-10]


def test_a_nan_stays_one(tmp_path: Path) -> None:
    built = model("g (float[2] x) => (float[] y) { [a] y = Sqrt(x) }")
    (got,), _ = executed(tmp_path, built, x=np.array([-1, 4], F))
    assert np.isnan(got[0]) and got[1] == 2


def test_sizes_computed_from_shapes_are_no_values(tmp_path: Path) -> None:
    # 3001 has no float16: sizes that were rounded would be others.
    built = model(
        """g (float[1,1,1,3001] x) => (float[] y) {
            [shape] s = Shape(x)
            [float] f = Cast<to=1>(s)
            [twice] t = Mul(f, k)
            [whole] n = Cast<to=7>(t)
            [resize] y = Resize<mode="nearest">(x, , , n)
        }""",
        k=np.array([1, 1, 1, 1], F),
    )
    (got,), _ = executed(tmp_path, built, x=normal(0, 1, 1, 1, 3001))
    assert got.shape == (1, 1, 1, 3001)


def test_scales_of_a_resize_are_no_values(tmp_path: Path) -> None:
    built = model(
        'g (float[1,1,1,3000] x) => (float[] y) { [resize] y = Resize<mode="nearest">(x, , s) }',
        s=np.array([1, 1, 1, 1.0003334], F),
    )
    (got,), _ = executed(tmp_path, built, x=normal(0, 1, 1, 1, 3000))
    assert got.shape == (1, 1, 1, 3001)


def test_what_constants_alone_give_is_computed_in_float32_and_rounded_where_it_is_read(tmp_path: Path) -> None:
    # 1 / 3 of float32 is not 1 / 3 of float16, and 1e-9 is none: rounded first, the root would be of 0.
    built = model(
        "g (float[3] x) => (float[] y) { [root] r = Sqrt(e) [mul] y = Mul(x, r) }", e=np.array([1e-9, 1 / 3, 1e9], F)
    )
    x = np.array([1, 1, 1], F)
    (got,), _ = executed(tmp_path, built, x=x)
    np.testing.assert_array_equal(got, half(np.sqrt(np.array([1e-9, 1 / 3, 1e9], F))).astype(F))
    assert got[0] > 0


def test_operators_that_choose_among_values_change_none(tmp_path: Path) -> None:
    built = model(
        """g (float[1,4,2,2] x) => (float[] y) {
            [relu] a = Relu(x) [pool] b = MaxPool<kernel_shape=[2,2]>(a) [turn] c = Transpose<perm=[1,0,2,3]>(b)
            [join] d = Concat<axis=0>(c, k) [neg] y = Neg(d)
        }""",
        k=noise(4, 1, 1, 1, 1),
    )
    x = normal(5, 1, 4, 2, 2)
    (got,), _ = executed(tmp_path, built, x=x)
    expected = [*np.maximum(half(x), 0).max(axis=(2, 3)).reshape(-1), half(noise(4, 1, 1, 1, 1)).item()]
    np.testing.assert_array_equal(got.reshape(-1), -np.array(expected, F))


def test_bodies_compute_in_float16_too(tmp_path: Path) -> None:
    built = model(
        """g (float[4] x, bool c) => (float[] y) {
            [before] a = Mul(x, k)
            [branch] y = If(c) <
                then_branch = t () => (float[] t1) { [inner] i = Mul(a, m) [more] t1 = Add(i, x) },
                else_branch = f () => (float[] f1) { [kept] f1 = Identity(x) }
            >
        }""",
        k=np.array([0.1], F),
        m=np.array([0.3], F),
    )
    x = normal(6, 4)
    a = half((half(x) * half(0.1)).astype(F))
    inner = half((a * half(0.3)).astype(F))
    (yes,), _ = executed(tmp_path, built, x=x, c=np.array(True))
    np.testing.assert_array_equal(yes, half((inner + half(x)).astype(F)).astype(F))
    (no,), _ = executed(tmp_path, built, x=x, c=np.array(False))
    np.testing.assert_array_equal(no, half(x).astype(F))


def test_integers_and_doubles_are_left_alone(tmp_path: Path) -> None:
    built = model(
        """g (float[2] x, int64[2] n, double[2] d) => (int64[] m, double[] e, float[] f) {
            [add] m = Add(n, n) [root] e = Sqrt(d) [cast] f = Cast<to=1>(n)
        }"""
    )
    n, d = np.array([3001, 70000]), np.array([1e-12, 2.0])
    # The float input is not read: it is fed all the same.
    (m, e, f), _ = executed(tmp_path, built, n=n, d=d, x=np.zeros(2, F))
    assert m.tolist() == [6002, 140000] and e.tolist() == np.sqrt(d).tolist()
    assert f.tolist() == [3000, 65504]  # what is cast to a float is a float16


def test_a_sequence_of_tensors_is_no_value(tmp_path: Path) -> None:
    built = model(
        """g (float[2,2] x) => (float[] y) {
            [root] u = Sqrt(x) [split] s = SplitToSequence<axis=0>(u) [join] y = ConcatFromSequence<axis=1>(s)
        }"""
    )
    x = np.abs(normal(0, 2, 2))
    (got,), _ = executed(tmp_path, built, x=x)
    np.testing.assert_array_equal(got, half(np.sqrt(half(x)).astype(F)).reshape(1, 4).astype(F))


def test_convolution_left_float_computes_in_float16(tmp_path: Path) -> None:
    # Whole numbers and their halves: sums are exact in float32, so that only the roundings to float16 are seen.
    draw = np.random.default_rng(0)
    w = (draw.integers(-2000, 2000, (3, 2, 3, 3)) / 2).astype(F)
    b = draw.integers(-2000, 2000, 3).astype(F) + F(0.25)
    x = draw.integers(-3, 4, (1, 2, 5, 5)).astype(F)
    built = model("g (float[1,2,5,5] x) => (float[] y) { [conv] y = Conv<pads=[1,1,1,1]>(x, w, b) }", w=w, b=b)
    (got,), _ = executed(tmp_path, built, x=x)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x[0], [(0, 0), (1, 1), (1, 1)]), (3, 3), axis=(1, 2))
    sums = np.einsum("chwij,ocij->ohw", windows.astype(np.float64), half(w)) + half(b)[:, None, None]
    assert np.any(half(b) != b) and np.any(half(sums) != sums)
    np.testing.assert_array_equal(got[0], half(sums).astype(F))


def test_names_of_inputs_and_outputs_are_the_files(tmp_path: Path) -> None:
    built = model("g (float[2] x) => (float[] y, float[] z) { [a] y = Sqrt(x) [b] z = Add(y, y) }")
    _, form = random_form(built)
    path = tmp_path / "deploy.onnx"
    path.write_bytes(model_bytes(deploy_model(find_layers(built, ASCEND), form)))
    made = executable(read_deploy(path), precision="fp16").model
    assert [value.name for value in made.graph.outputs] == ["y", "z"]
    (y, z) = Session(made, REFERENCE).run({"x": np.array([2, 3], F)})
    np.testing.assert_array_equal(y, half(np.sqrt(np.array([2, 3], F))).astype(F))
    np.testing.assert_array_equal(z, half(2 * y).astype(F))


@pytest.mark.parametrize("op_type", ["Gelu", "FusedMatMul"])
def test_operators_of_other_domains_keep_the_values_whose_type_nobody_knows(tmp_path: Path, op_type: str) -> None:
    inputs = ["x"] if op_type == "Gelu" else ["x", "x"]
    nodes = [
        helper.make_node(op_type, inputs, ["u"], "other", domain="com.microsoft"),
        helper.make_node("Mul", ["x", "u"], ["y"], "mul"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "deploy.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=imports), path)
    (got,) = Session(executable(read_deploy(path), precision="fp16").model, REFERENCE).run({"x": normal(0, 2, 2)})
    assert got.shape == (2, 2) and np.array_equal(got, got.astype(H).astype(F))
