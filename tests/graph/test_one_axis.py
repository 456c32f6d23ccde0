"""Layers over one axis made layers over two: the same outputs, and what follows them follows still."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.graph.layers import find_layers
from runner.graph.one_axis import spread_over_two_axes
from runner.graph.prepare import prepare
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, proto

# Operator and attributes -> shape of the weight, None where there is none
LAYERS = {
    "ConvTranspose": (4, 3, 5),
    "ConvTranspose<kernel_shape=[5], strides=[2], pads=[1,2], output_padding=[1], dilations=[1]>": (4, 3, 5),
    "ConvTranspose<group=2, strides=[3]>": (4, 2, 4),
    "ConvTranspose<group=4, pads=[1,1]>": (4, 1, 4),
    "ConvTranspose<strides=[2], output_shape=[14]>": (4, 3, 5),
    "ConvTranspose<strides=[2], output_shape=[18]>": (4, 3, 3),
    'ConvTranspose<strides=[2], auto_pad="SAME_UPPER">': (4, 3, 5),
    'ConvTranspose<strides=[2], auto_pad="SAME_LOWER">': (4, 3, 5),
    'ConvTranspose<strides=[2], auto_pad="VALID">': (4, 3, 5),
    "AveragePool<kernel_shape=[3]>": None,
    "AveragePool<kernel_shape=[3], strides=[2], pads=[1,0]>": None,
    "AveragePool<kernel_shape=[3], strides=[2], pads=[2,1], count_include_pad=1>": None,
    'AveragePool<kernel_shape=[3], strides=[2], auto_pad="SAME_LOWER">': None,
}
SHAPE = (2, 4, 8)


def one_layer(layer, *, opset=17, size="a,b,c"):
    """Return a model of one layer called ``up``, with a Tanh before and behind."""
    weight = LAYERS[layer]
    op, _, attributes = layer.partition("<")
    attributes = f"<{attributes}" if attributes else ""
    reads = "t" if weight is None else "t, w, b"
    group = int(attributes.partition("group=")[2][:1] or 1)
    constants = {} if weight is None else {"w": noise(1, *weight), "b": noise(2, weight[1] * group)}
    return model(
        f"g (float[2,4,8] x) => (float[{size}] y) {{ t = Tanh(x) [up] u = {op}{attributes}(t{reads[1:]}) y = Tanh(u) }}",
        opset=opset,
        **constants,
    )


def output(built):
    return Session(built, REFERENCE).run({"x": noise(5, *SHAPE)})[0]


@pytest.mark.parametrize("opset", [7, 12, 13, 18, 22])
@pytest.mark.parametrize("layer", LAYERS)
def test_spread_layer_gives_the_outputs_of_the_one_over_one_axis(layer, opset):
    built = one_layer(layer, opset=opset)
    expected = output(built)
    assert spread_over_two_axes(built, ASCEND) == ["up"]
    assert [node.op_type for node in built.graph] == ["Tanh", "Unsqueeze", layer.partition("<")[0], "Squeeze", "Tanh"]
    onnx.checker.check_model(ir.to_proto(built), full_check=True)
    np.testing.assert_allclose(output(built), expected, rtol=1e-6, atol=1e-7)
    (found,) = find_layers(built, ASCEND).layers
    assert (found.name, found.spatial) == ("up", 2)
    assert spread_over_two_axes(built, ASCEND) == []


def test_layer_keeps_its_name_and_that_of_its_output():
    built = one_layer("ConvTranspose")
    spread_over_two_axes(built, ASCEND)
    assert [node.name for node in built.graph][1:4] == ["up.unsqueeze", "up", "up.squeeze"]
    assert built.graph.node(3).outputs[0].name == "u"


def test_output_of_the_model_stays_its_output():
    built = model("g (float[1,4,8] x) => (float[1,3,12] y) { [up] y = ConvTranspose(x, w) }", w=noise(1, 4, 3, 5))
    expected = Session(built, REFERENCE).run({"x": noise(5, 1, 4, 8)})[0]
    spread_over_two_axes(built, ASCEND)
    (declared,) = built.graph.outputs
    assert (declared.name, list(declared.shape), declared.dtype) == ("y", [1, 3, 12], ir.DataType.FLOAT)
    assert list(built.graph.node(1).outputs[0].shape) == [1, 3, 1, 12]
    np.testing.assert_array_equal(Session(built, REFERENCE).run({"x": noise(5, 1, 4, 8)})[0], expected)


@pytest.mark.parametrize(
    ("behind", "constants"),
    [
        pytest.param("y = BatchNormalization(u, s, o, m, v)", dict.fromkeys("somv", (3,)), id="batchnorm"),
        pytest.param("a = Mul(u, s) y = Add(a, o)", dict.fromkeys("so", (1, 3, 1)), id="mul_and_add"),
        pytest.param("a = Sub(u, o) y = Div(a, s)", dict.fromkeys("so", (3, 1)), id="sub_and_div"),
        pytest.param(
            "a = Add(u, o) y = BatchNormalization(a, s, t, m, v)",
            {"o": (1, 3, 1), **dict.fromkeys("stmv", (3,))},
            id="bias_and_batchnorm",
        ),
    ],
)
@pytest.mark.parametrize("axes", [1, 2])
def test_what_is_done_a_channel_behind_a_transposed_convolution_is_folded(axes, behind, constants):
    arrays = {
        key: np.abs(noise(index, *shape[: len(shape) if axes == 1 else None])) + np.float32(0.1)
        for index, (key, shape) in enumerate(constants.items())
    }
    if axes == 2:
        arrays = {key: array if array.ndim == 1 else array[..., np.newaxis] for key, array in arrays.items()}
    sizes = ",".join(["8"] * axes)
    source = proto(
        f"g (float[1,4,{sizes}] x) => (float y) {{ [up] u = ConvTranspose<strides=[{','.join('2' * axes)}]>(x, w) {behind} }}",
        w=noise(9, 4, 3, *[4] * axes),
        **arrays,
    )
    x = noise(5, 1, 4, *[8] * axes)
    prepared = prepare(ir.from_proto(source), ASCEND).graph
    expected = [] if axes == 2 else ["Unsqueeze", "Squeeze"]
    assert [node.op_type for node in prepared.graph if node.name != "up"] == expected
    got, real = (Session(built, REFERENCE).run({"x": x})[0] for built in (prepared, ir.from_proto(source)))
    np.testing.assert_allclose(got, real, rtol=1e-4, atol=1e-5 * np.abs(real).max())


@pytest.mark.parametrize(
    ("nodes", "weight"),
    [
        pytest.param("y = ConvTranspose<dilations=[2]>(x, w)", (4, 3, 5), id="with_holes"),
        pytest.param("y = ConvTranspose(x, w, fed)", (4, 3, 5), id="computed_bias"),
        pytest.param("y = AveragePool<kernel_shape=[2], strides=[3], ceil_mode=1>(x)", None, id="window_of_padding"),
        pytest.param("y = AveragePool<kernel_shape=[2], dilations=[2]>(x)", None, id="average_with_holes"),
        pytest.param("y = Conv(x, w)", (3, 4, 5), id="convolution"),
    ],
)
def test_what_would_stay_float_is_not_spread(nodes, weight):
    constants = {} if weight is None else {"w": noise(1, *weight)}
    built = model(f"g (float[1,4,8] x, float[3] fed) => (float y) {{ {nodes} }}", opset=22, **constants)
    assert spread_over_two_axes(built, ASCEND) == []
    assert len(list(built.graph)) == 1
