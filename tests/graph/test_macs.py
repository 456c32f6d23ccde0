"""Multiply-accumulates against numbers worked out by hand."""

import numpy as np
import pytest

from runner.graph.layers import find_layers
from runner.graph.macs import LayerCost, layer_costs
from runner.session import Session
from runner.targets.ascend.limits import ASCEND
from tests.models import model


def cost(attributes, weight, shape, op="Conv"):
    dims = ",".join(map(str, shape))
    built = model(
        f"g (float[{dims}] x) => (float y) {{ [layer] y = {op}{attributes}(x, w) }}", w=np.ones(weight, np.float32)
    )
    return layer_costs(find_layers(built, ASCEND), {"layer": shape})["layer"]


@pytest.mark.parametrize(
    ("attributes", "weight", "shape", "outputs", "macs"),
    [
        pytest.param("", (4, 3, 3, 3), (1, 3, 8, 8), 4 * 6 * 6, 4 * 36 * 27, id="plain"),
        pytest.param("<pads=[1,1,1,1]>", (4, 3, 3, 3), (1, 3, 8, 8), 4 * 64, 4 * 64 * 27, id="padded"),
        pytest.param("<strides=[2,2], pads=[0,0,1,1]>", (4, 3, 3, 3), (1, 3, 8, 8), 4 * 16, 4 * 16 * 27, id="strided"),
        pytest.param("<dilations=[2,1]>", (4, 3, 3, 3), (1, 3, 8, 8), 4 * 4 * 6, 4 * 24 * 27, id="dilated"),
        pytest.param("<group=8, pads=[1,1,1,1]>", (8, 1, 3, 3), (1, 8, 5, 5), 200, 200 * 9, id="depthwise"),
        pytest.param("<group=2>", (4, 3, 1, 1), (1, 6, 2, 2), 16, 16 * 3, id="grouped"),
        pytest.param('<auto_pad="SAME_UPPER", strides=[2,2]>', (4, 3, 3, 3), (1, 3, 7, 7), 64, 64 * 27, id="same"),
        pytest.param('<auto_pad="VALID", strides=[2,1]>', (4, 3, 3, 2), (1, 3, 7, 7), 4 * 18, 4 * 18 * 18, id="valid"),
    ],
)
def test_convolution_costs_what_the_table_says(attributes, weight, shape, outputs, macs):
    assert cost(attributes, weight, shape) == LayerCost(macs=macs, outputs=outputs)


@pytest.mark.parametrize(
    ("op", "attributes", "weight", "shape", "outputs", "macs"),
    [
        pytest.param("Conv", "<strides=[2]>", (4, 3, 3), (1, 3, 9), 4 * 4, 4 * 4 * 9, id="one_axis"),
        pytest.param("Conv", "", (4, 3, 2, 2, 2), (1, 3, 3, 3, 3), 4 * 8, 4 * 8 * 24, id="three_axes"),
        pytest.param(
            "ConvTranspose", "<strides=[2,2]>", (3, 4, 2, 2), (1, 3, 5, 5), 4 * 100, 3 * 25 * 16, id="transposed"
        ),
        pytest.param(
            "ConvTranspose", "<group=3>", (3, 2, 2, 2), (1, 3, 5, 5), 6 * 36, 3 * 25 * 8, id="grouped_transposed"
        ),
        pytest.param(
            "ConvTranspose", "<output_shape=[9,8]>", (3, 4, 2, 2), (1, 3, 5, 5), 4 * 72, 3 * 25 * 16, id="fixed"
        ),
    ],
)
def test_other_convolutions_cost_what_the_table_says(op, attributes, weight, shape, outputs, macs):
    assert cost(attributes, weight, shape, op) == LayerCost(macs=macs, outputs=outputs)


def test_average_costs_an_addition_for_each_place_of_a_window():
    built = model("g (float[N] x) => (float[N] y) { [layer] y = AveragePool<kernel_shape=[3,2], strides=[2,2]>(x) }")
    costs = layer_costs(find_layers(built, ASCEND), {"layer": (1, 5, 7, 6)})
    assert costs["layer"] == LayerCost(macs=5 * 9 * 6, outputs=5 * 9)


def test_gemm_costs_inputs_times_outputs():
    assert cost("", (640, 128), (1, 640), "Gemm") == LayerCost(macs=640 * 128, outputs=128)


def test_matmul_costs_inputs_times_outputs_for_every_row():
    assert cost("", (64, 32), (1, 49, 64), "MatMul") == LayerCost(macs=49 * 64 * 32, outputs=49 * 32)


@pytest.mark.parametrize(("shape", "batch"), [((3, 49, 64), 3), ((1, 49, 64), 3), ((49, 64), 3), ((2, 3, 49, 64), 6)])
def test_batch_of_matrices_costs_what_onnxruntime_gives(shape, batch):
    weight = np.ones((3, 64, 32), np.float32)
    dims = ",".join(map(str, shape))
    built = model(f"g (float[{dims}] x) => (float[] y) {{ [layer] y = MatMul(x, w) }}", w=weight)
    (y,) = Session(built).run({"x": np.zeros(shape, np.float32)})
    assert y.size == batch * 49 * 32
    assert cost("", weight.shape, shape, "MatMul") == LayerCost(macs=y.size * 64, outputs=y.size)


@pytest.mark.parametrize(
    "attributes",
    [
        "<strides=[2,3], pads=[1,0,2,1], dilations=[2,1]>",
        '<auto_pad="SAME_LOWER", strides=[2,3]>',
        '<auto_pad="VALID">',
    ],
)
def test_output_size_is_what_onnxruntime_gives(attributes):
    built = model(
        f"g (float[1,2,11,9] x) => (float[1,3,H,W] y) {{ [layer] y = Conv{attributes}(x, w) }}",
        w=np.ones((3, 2, 3, 2), np.float32),
    )
    (y,) = Session(built).run({"x": np.zeros((1, 2, 11, 9), np.float32)})
    assert layer_costs(find_layers(built, ASCEND), {"layer": (1, 2, 11, 9)})["layer"].outputs == y.size
