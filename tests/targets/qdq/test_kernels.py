"""What onnxruntime makes of the file: kernels of integers, and nothing of its own making."""

import numpy as np
import pytest

from runner.graph.layers import find_layers
from runner.graph.tensors import typed
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers, TensorRecord
from runner.targets.ascend.limits import ASCEND
from runner.targets.qdq.kernels import kernels_of, rewritten_weights
from runner.targets.qdq.placement import fused_inputs, without_trapped
from runner.targets.qdq.write import qdq_model
from tests.data import noise
from tests.models import model, random_form

RESIDUAL = """g (float[1,4,8,8] x) => (float[] y) {
    [a] h = Conv(x, w) [ra] r = Relu(h) [b] s = Conv(r, v) [add] t = Add(s, r) [rt] u = Relu(t)
    [pool] p = GlobalAveragePool(u) [flat] f = Reshape(p, shape) [last] y = Gemm(f, m, c)
}"""


def residual():
    return model(RESIDUAL, w=noise(0, 4, 4, 1, 1), v=noise(1, 4, 4, 1, 1), m=noise(2, 4, 3), c=noise(3, 3),
                 shape=np.array([1, 4]))  # fmt: skip


def test_layers_alone_leave_a_convolution_float_whose_output_others_read_in_float():
    built = residual()
    found, form = random_form(built, scale=0.05, zero_point=-128)
    kernels = kernels_of(qdq_model(found, form))
    assert kernels.integer == 1 and set(kernels.float_layers) == {"a", "b"}  # the Gemm alone


def test_the_tensors_that_are_asked_for_make_every_layer_an_integer_kernel():
    built = residual()
    found, form = random_form(built, scale=0.05, zero_point=-128)
    asked = fused_inputs(found.on(typed(built)))
    assert [tensor.key for tensor in asked] == ["add:0", "add:1", "pool:0"]
    tensors = {tensor.key: TensorRecord(ActivationParams(float(np.float32(0.05)), -128)) for tensor in asked}
    counts = kernels_of(qdq_model(found, QuantizedLayers(form.layers, tensors))).counts
    assert (counts["QLinearConv"], counts["QLinearAdd"], counts["QLinearGlobalAveragePool"], counts["QGemm"]) == (
        2,
        1,
        1,
        1,
    )
    assert counts.keys().isdisjoint({"Conv", "FusedConv", "Add", "Relu", "GlobalAveragePool", "Gemm"})


@pytest.mark.parametrize(
    ("behind", "why"),
    [
        ("y = Identity(h)", "an output of the model"),
        ("s = Sigmoid(h) y = Mul(h, s)", "float operators"),
        ("y = Add(h, k)", "a constant is added, in float"),
    ],
)
def test_what_leads_to_no_integers_keeps_its_precision(behind, why):
    built = model(f"g (float[1,3,4,4] x) => (float[] y) {{ [a] h = Conv(x, w) {behind} }}",
                  w=noise(0, 4, 3, 1, 1), k=noise(1, 1, 4, 1, 1))  # fmt: skip
    assert fused_inputs(find_layers(built, ASCEND).on(typed(built))) == (), why


def test_a_shortcut_is_rounded_where_the_convolutions_behind_it_are():
    """Else two would read the tensor, one of them in float."""
    built = model(
        """g (float[1,4,8,8] x) => (float[] y) {
            [a] h = Conv(x, w) [cut] s = Slice(h, from, to, axes) [b] t = Conv<kernel_shape=[1,1], strides=[2,2]>(h, v)
            [pool] p = MaxPool<kernel_shape=[1,1], strides=[1,2]>(s)
            [add] z = Add(p, t) [c] y = Conv(z, u)
        }""",
        w=noise(0, 4, 4, 1, 1), v=noise(1, 4, 4, 1, 1), u=noise(2, 4, 4, 1, 1),
        **{"from": np.array([0]), "to": np.array([4]), "axes": np.array([2])},
    )  # fmt: skip
    assert [tensor.key for tensor in fused_inputs(find_layers(built, ASCEND).on(typed(built)))] == [
        "cut:0",
        "add:0",
        "add:1",
    ]


def test_a_pad_that_becomes_the_convolutions_own_is_not_asked_for():
    """It is not in the file, and a check of it would find nothing; the convolution in front is an integer kernel anyway."""
    built = model(
        """g (float[1,3,8,8] x) => (float[] y) {
            [a] h = Conv(x, w) [r] r = Relu(h) [p] s = Pad(r, pads) [b] y = Conv(s, v)
        }""",
        w=noise(0, 4, 3, 1, 1), v=noise(1, 4, 4, 3, 3), pads=np.array([0, 0, 0, 0, 0, 0, 1, 1]),
    )  # fmt: skip
    found, form = random_form(built, scale=0.05, zero_point=-128)
    assert fused_inputs(found.on(typed(built))) == ()
    assert kernels_of(qdq_model(found, form)).counts["QLinearConv"] == 1


FLOAT_BEHIND_A_POOL = """g (float[1,4,8,8] x) => (float[] y, float[] z) {
    [pool] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) [a] h = Conv(p, w, b) [r] y = Relu(h) [c] z = Conv(y, v)
}"""


def test_a_tensor_in_front_of_a_layer_that_is_left_float_is_left_float_too():
    """onnxruntime moves its DequantizeLinear through the MaxPool, and rewrites the weights of the layer that it meets."""
    built = model(FLOAT_BEHIND_A_POOL, w=noise(0, 4, 4, 3, 3), b=noise(1, 4), v=noise(2, 4, 4, 1, 1))
    found, form = random_form(built, scale=0.05, zero_point=-128)
    tensors = {"pool:0": TensorRecord(ActivationParams(0.05, 0))}
    mixed = QuantizedLayers({"c": form.layers["c"]}, tensors)
    assert rewritten_weights(qdq_model(found, mixed))
    safe = without_trapped(found, mixed)
    assert not safe.tensors and safe.layers == mixed.layers
    assert rewritten_weights(qdq_model(found, safe)) == ()
    whole = QuantizedLayers(form.layers, tensors)
    assert without_trapped(found, whole).tensors == tensors
    assert rewritten_weights(qdq_model(found, whole)) == ()


def test_a_quantize_linear_moves_in_front_of_a_pool_by_itself():
    built = model("g (float[1,3,8,8] x) => (float[] y) { [a] h = Conv(x, w) [r] r = Relu(h)"
                  " [p] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r) [b] y = Conv(p, v) }",
                  w=noise(0, 4, 3, 1, 1), v=noise(1, 4, 4, 1, 1))  # fmt: skip
    found, form = random_form(built, scale=0.05, zero_point=-128)
    assert fused_inputs(found.on(typed(built))) == ()
    assert kernels_of(qdq_model(found, form)).counts["QLinearConv"] == 1


def test_a_weight_that_onnxruntime_quantizes_itself_is_found():
    """The trap, set on purpose: a float weight directly behind a DequantizeLinear, in front of a QuantizeLinear."""
    built = model(
        """g (float[1,4,8,8] x) => (float[] y) {
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) h = Conv(d, w, b) [r] r = Relu(h)
            k = QuantizeLinear(r, s, z) y = DequantizeLinear(k, s, z)
        }""",
        w=noise(0, 4, 4, 3, 3), b=noise(1, 4), s=np.float32(0.05), z=np.uint8(0),
    )  # fmt: skip
    assert rewritten_weights(built)
