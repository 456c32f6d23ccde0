"""Which Add holds the bias of a MatMul, and what becomes of its constant."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from runner.graph.added_bias import bias_add, biased, float_bias, shift_biases, takes_bias
from runner.graph.constants import constant
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer
from tests.data import noise
from tests.models import model, node_named

BIAS = noise(2, 3)
W = noise(1, 4, 3)


def built(nodes, bias=BIAS, outputs="float[] y", **more):
    return model(f"g (float[N,5,4] x) => ({outputs}) {{ {nodes} }}", **({"w": W, "b": bias} | more))


@pytest.mark.parametrize(
    ("nodes", "bias"),
    [
        pytest.param("[m] h = MatMul(x, w) [a] y = Add(h, b)", BIAS, id="constant second"),
        pytest.param("[m] h = MatMul(x, w) [a] y = Add(b, h)", BIAS, id="constant first"),
        pytest.param("[m] h = MatMul(x, w) [a] y = Add(h, b)", BIAS.reshape(1, 1, 3), id="as many axes"),
        pytest.param("[m] h = MatMul(x, w) [a] y = Add(h, b)", BIAS.reshape(1, 1, 1, 1, 3), id="more axes"),
        pytest.param("[m] h = MatMul(x, w) [a] s = Add(h, b) [t] y = Mul(s, s)", BIAS, id="sum read twice"),
    ],
)
def test_vector_over_the_channels_is_the_bias(nodes, bias):
    graph = built(nodes, bias).graph
    matmul = node_named(graph, "m")
    assert bias_add(matmul) is biased(matmul) is node_named(graph, "a")
    assert takes_bias(matmul)
    np.testing.assert_array_equal(float_bias(matmul), BIAS)


def test_batch_of_matrices_and_a_single_channel_have_one_too():
    graph = built("[m] h = MatMul(x, w) [a] y = Add(h, b)", noise(0, 1), w=noise(1, 2, 4, 1)).graph
    assert bias_add(node_named(graph, "m")) is node_named(graph, "a")


PLAIN = "[m] h = MatMul(x, w) [a] y = Add(h, b)"


@pytest.mark.parametrize(
    ("nodes", "bias", "outputs"),
    [
        pytest.param(PLAIN, np.float32(1), "float[] y", id="a scalar"),
        pytest.param(PLAIN, noise(0, 1), "float[] y", id="one number for all"),
        pytest.param(PLAIN, noise(0, 5, 1), "float[] y", id="a vector over rows"),
        pytest.param(PLAIN, noise(0, 5, 3), "float[] y", id="a matrix"),
        pytest.param(PLAIN, noise(0, 3, 1, 1, 3), "float[] y", id="more than a vector"),
        pytest.param(
            "[m] h = MatMul(x, w) [a] y = Add(h, b) [r] z = Relu(h)", BIAS, "float[] y, float[] z", id="two readers"
        ),
        pytest.param("[m] h = MatMul(x, w) [a] y = Add(h, b)", BIAS, "float[] y, float[] h", id="output of the graph"),
        pytest.param("[m] h = MatMul(x, w) [a] y = Add(h, h)", BIAS, "float[] y", id="added to itself"),
        pytest.param("[m] h = MatMul(x, w) [a] y = Sub(h, b)", BIAS, "float[] y", id="another operator"),
        pytest.param("[m] h = MatMul(x, w) [c] d = Relu(b) [a] y = Add(h, d)", BIAS, "float[] y", id="computed"),
        pytest.param("[m] y = MatMul(x, w)", BIAS, "float[] y", id="nothing behind"),
    ],
)
def test_anything_else_is_none(nodes, bias, outputs):
    matmul = node_named(built(nodes, bias, outputs).graph, "m")
    assert bias_add(matmul) is None and float_bias(matmul) is None
    assert biased(matmul) is matmul and not takes_bias(matmul)


def test_constant_of_another_type_is_none():
    nodes = "[m] h = MatMul(x, w) [a] y = Add(h, b)"
    graph = model(f"g (double[N,5,4] x) => (double[] y) {{ {nodes} }}", w=W.astype(float), b=BIAS.astype(float)).graph
    assert bias_add(node_named(graph, "m")) is None


def test_reader_inside_a_body_is_none():
    body = "then_branch = t () => (float[N,5,3] u) { u = Add(h, b) }, else_branch = e () => (float[N,5,3] v) { v = Relu(x3) }"
    graph = model(
        f"g (float[N,5,4] x, float[N,5,3] x3, bool c) => (float[N,5,3] y) {{ [m] h = MatMul(x, w) y = If<{body}>(c) }}",
        w=W,
        b=BIAS,
    ).graph
    assert bias_add(node_named(graph, "m")) is None


def test_layers_with_an_input_for_it_take_a_bias_and_a_pool_takes_none():
    graph = model(
        "g (float[1,2,4,4] x) => (float[] y) { [c] h = Conv(x, w) [p] q = AveragePool<kernel_shape=[2,2]>(h) "
        "[f] r = Flatten(q) [g] y = Gemm(r, v, b) }",
        w=noise(0, 3, 2, 1, 1),
        v=noise(1, 27, 3),
        b=BIAS,
    ).graph
    assert [takes_bias(node_named(graph, name)) for name in "cpg"] == [True, False, True]
    assert float_bias(node_named(graph, "c")) is None
    np.testing.assert_array_equal(float_bias(node_named(graph, "g")), BIAS)


def test_shift_is_added_in_float32_for_this_add_alone():
    two = "[m] h = MatMul(x, w) [a] y = Add(h, b) [n] k = MatMul(x, v) [o] z = Add(k, b)"
    graph = built(two, BIAS.reshape(1, 3), "float[] y, float[] z", v=W).graph
    shift = np.array([0.3, 1e-9, 1e9], np.float32)
    record = LayerRecord(ActivationParams(0.5, 3), (0.25,))
    quantized = QuantizedLayer(record, np.ones((4, 3), np.int8), None)
    shift_biases(graph, {"m": replace(quantized, shift=shift), "n": quantized})
    held = [constant(node_named(graph, name).inputs[1]) for name in "ao"]
    np.testing.assert_array_equal(held[0], (BIAS + shift).reshape(1, 3))
    assert held[0].dtype == np.float32
    np.testing.assert_array_equal(held[1], BIAS.reshape(1, 3))
    assert isinstance(graph.initializers["b.shifted"], ir.Value)
