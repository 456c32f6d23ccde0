"""Every layer type against the device's integers, bit for bit, at every onnxruntime level.

The sums are made here by visiting each product once, in int64; onnxruntime's own float kernels, on integers small enough to be
exact, say that this reads the attributes right.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from runner.calibration.collect import Calibration
from runner.calibration.quantize import quantize_layers
from runner.convert.exact_sums import exact_sums
from runner.convert.fake_quant import fake_quant_model
from runner.graph.layers import find_layers
from runner.graph.macs import layer_costs
from runner.lint.check import check_deploy
from runner.ranges import ActivationParams, Range
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers
from runner.session import LEVELS, REFERENCE, SIMULATION, Session, plain
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from runner.targets.ascend.limits import ASCEND
from tests import device
from tests.data import noise
from tests.models import model, node_named

F = np.float32
# id -> operator with attributes, input shape, weight shape, group
LAYERS = {
    "conv1d": ("Conv", "<strides=[2], pads=[1,2], dilations=[2]>", (2, 3, 11), (4, 3, 3), 1),
    "conv1d_grouped": ("Conv", "<group=3>", (1, 6, 9), (6, 2, 2), 3),
    "conv3d": ("Conv", "<pads=[1,0,1,0,1,1], strides=[1,2,1]>", (1, 2, 4, 5, 5), (3, 2, 2, 3, 3), 1),
    "conv3d_dilated": ("Conv", "<dilations=[1,2,2], group=2>", (1, 4, 3, 6, 6), (4, 2, 2, 2, 2), 2),
    "same_upper": ("Conv", '<auto_pad="SAME_UPPER", strides=[2,2]>', (1, 2, 6, 7), (3, 2, 3, 2), 1),
    "same_lower": ("Conv", '<auto_pad="SAME_LOWER", strides=[2,1]>', (1, 2, 6, 7), (3, 2, 2, 4), 1),
    "valid": ("Conv", '<auto_pad="VALID", strides=[2,1]>', (1, 2, 6, 7), (3, 2, 3, 3), 1),
    "transpose": ("ConvTranspose", "<strides=[2,2]>", (2, 3, 4, 5), (3, 4, 3, 3), 1),
    "transpose_padded": (
        "ConvTranspose",
        "<strides=[2,3], pads=[1,0,1,2], output_padding=[1,2]>",
        (1, 3, 4, 4),
        (3, 2, 3, 4),
        1,
    ),
    "transpose_grouped": (
        "ConvTranspose",
        "<group=2, strides=[2,2], output_padding=[1,1]>",
        (1, 4, 3, 3),
        (4, 3, 2, 2),
        2,
    ),
    "transpose_depthwise": ("ConvTranspose", "<group=4, pads=[1,1,1,1]>", (1, 4, 4, 4), (4, 1, 3, 3), 4),
    "transpose_of_one_channel": ("ConvTranspose", "", (1, 3, 4, 4), (3, 1, 2, 2), 1),
    "transpose_same": ("ConvTranspose", '<auto_pad="SAME_UPPER", strides=[2,2]>', (1, 2, 4, 4), (2, 3, 3, 3), 1),
    "transpose_same_lower": ("ConvTranspose", '<auto_pad="SAME_LOWER", strides=[2,2]>', (1, 2, 4, 4), (2, 3, 3, 3), 1),
    "transpose_same_of_a_short_kernel": (
        "ConvTranspose",
        '<auto_pad="SAME_LOWER", strides=[3,4]>',
        (1, 2, 4, 4),
        (2, 3, 1, 2),
        1,
    ),
    "transpose_to_a_shape": ("ConvTranspose", "<output_shape=[7,6], strides=[2,2]>", (1, 2, 4, 4), (2, 3, 3, 4), 1),
    "transpose_to_a_larger_shape": (
        "ConvTranspose",
        "<output_shape=[10,8], strides=[3,2], group=2>",
        (1, 2, 3, 3),
        (2, 3, 3, 3),
        2,
    ),
    "matmul_vector": ("MatMul", "", (6,), (6, 4), 1),
    "matmul_batch_of_one": ("MatMul", "", (2, 5, 6), (1, 6, 4), 1),
    "matmul_batch": ("MatMul", "", (3, 5, 6), (3, 6, 4), 1),
    "matmul_batch_of_one_input": ("MatMul", "", (1, 5, 6), (3, 6, 4), 1),
    "matmul_batch_of_a_matrix": ("MatMul", "", (5, 6), (3, 6, 4), 1),
    "matmul_batch_four_axes": ("MatMul", "", (2, 3, 5, 6), (3, 6, 4), 1),
    "matmul_four_axes": ("MatMul", "", (2, 3, 5, 6), (6, 4), 1),
    "average": ("AveragePool", "<kernel_shape=[2,2], strides=[2,2]>", (2, 3, 6, 6), None, 1),
    "average_of_three": ("AveragePool", "<kernel_shape=[3,3]>", (1, 3, 6, 7), None, 1),
    "average_exclude_pad": ("AveragePool", "<kernel_shape=[3,2], pads=[1,0,2,1]>", (1, 2, 5, 6), None, 1),
    "average_include_pad": (
        "AveragePool",
        "<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2], count_include_pad=1>",
        (1, 2, 6, 6),
        None,
        1,
    ),
    "average_ceil": ("AveragePool", "<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>", (1, 2, 6, 8), None, 1),
    "average_ceil_pad": (
        "AveragePool",
        "<kernel_shape=[3,4], strides=[2,3], pads=[1,2,1,1], ceil_mode=1>",
        (1, 2, 6, 7),
        None,
        1,
    ),
    "average_ceil_include_pad": (
        "AveragePool",
        "<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1, count_include_pad=1>",
        (1, 2, 7, 6),
        None,
        1,
    ),
    "average_same": (
        "AveragePool",
        '<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_LOWER">',
        (1, 2, 6, 7),
        None,
        1,
    ),
}
# id -> scale, zero point; with a power of two as scale every second input below is an exact tie
PARAMS = {"odd": (0.5, 3), "even": (0.5, -2), "lowest": (0.0235294122, -128), "odd_scale": (0.0371, -77)}
SESSIONS = {**{f"level_{level}": plain(level) for level in LEVELS}, "reference": REFERENCE}


def one_layer(name, opset=17):
    """Return a model of one layer, called ``layer``, from ``x`` to ``y``."""
    op, attributes, shape, weight, _ = LAYERS[name]
    header = f"g (float[{','.join(map(str, shape))}] x) => (float[] y)"
    if weight is None:
        return model(f"{header} {{ [layer] y = {op}{attributes}(x) }}", opset=opset)
    reads = "x, w" if op == "MatMul" else "x, w, b"
    return model(
        f"{header} {{ [layer] y = {op}{attributes}({reads}) }}",
        opset=opset,
        w=noise(1, *weight),
        b=noise(2, outputs(name)),
    )


def outputs(name):
    op, _, _, weight, group = LAYERS[name]
    return {"Conv": lambda: weight[0], "ConvTranspose": lambda: weight[1] * group}.get(op, lambda: weight[-1])()


def random_integers(name, scale, zero_point):
    """Return the layers found and random integers for the one there is."""
    op, _, _, weight, _ = LAYERS[name]
    rng = np.random.default_rng(4)
    found = find_layers(one_layer(name), ASCEND)
    params = ActivationParams(float(F(scale)), zero_point)
    if op == "AveragePool":
        kernel = node_named(one_layer(name).graph, "layer").attributes["kernel_shape"].as_ints()
        return found, QuantizedLayers(
            {"layer": QuantizedLayer(LayerRecord(params, (1.0,)), np.ones((1, 1, *kernel), np.int8), None)}
        )
    convolution = op in ("Conv", "ConvTranspose")
    count = outputs(name)
    scales = tuple(float(F(s)) for s in rng.uniform(0.001, 0.02, count if convolution else 1))
    bias = rng.integers(-5000, 5001, count).astype(np.int32) if convolution else None
    codes = rng.integers(-128, 128, weight).astype(np.int8)
    return found, QuantizedLayers({"layer": QuantizedLayer(LayerRecord(params, scales), codes, bias)})


def padding(node, size, kernel, strides):
    """Return (begin, end) of each axis."""
    rank = len(size)
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    if mode.startswith("SAME"):
        totals = [max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(size, strides, kernel, strict=True)]
        return [(t - t // 2, t // 2) if mode == "SAME_LOWER" else (t // 2, t - t // 2) for t in totals]
    pads = ints(node, "pads", [0] * 2 * rank)
    return list(zip(pads[:rank], pads[rank:], strict=True))


def ints(node, name, default):
    return list(node.attributes[name].as_ints()) if name in node.attributes else default


def number(node, name, default):
    return node.attributes[name].as_int() if name in node.attributes else default


def windows(node, size, kernel):
    """Return pads, strides, dilations and output size of a sliding window."""
    rank = len(size)
    strides, dilations = ints(node, "strides", [1] * rank), ints(node, "dilations", [1] * rank)
    pads = padding(node, size, kernel, strides)
    spans = [dilations[i] * (kernel[i] - 1) + 1 for i in range(rank)]
    rooms = [size[i] + sum(pads[i]) - spans[i] for i in range(rank)]
    if number(node, "ceil_mode", 0):
        counts = [-(-r // s) + 1 for r, s in zip(rooms, strides, strict=True)]
        counts = [c - 1 if (c - 1) * strides[i] >= size[i] + pads[i][0] else c for i, c in enumerate(counts)]
    else:
        counts = [r // s + 1 for r, s in zip(rooms, strides, strict=True)]
    return pads, strides, dilations, counts


def conv_sums(node, q, weight, group):
    """Return the sums of a convolution over any number of axes, product by product."""
    pads, strides, dilations, counts = windows(node, q.shape[2:], weight.shape[2:])
    padded = np.pad(q, [(0, 0), (0, 0), *pads])
    sums = np.zeros((q.shape[0], weight.shape[0], *counts), np.int64)
    per_group, inputs = weight.shape[0] // group, weight.shape[1]
    for o, *tap in itertools.product(*map(range, (weight.shape[0], *weight.shape[2:]))):
        first = o // per_group * inputs
        places = tuple(
            slice(t * d, t * d + (c - 1) * s + 1, s) for t, d, c, s in zip(tap, dilations, counts, strides, strict=True)
        )
        seen = padded[(slice(None), slice(first, first + inputs), *places)]
        sums[:, o] += np.tensordot(seen, weight[(o, slice(None), *tap)].astype(np.int64), ([1], [0]))
    return sums


def transposed_sums(node, q, weight, group):
    """Return the sums of a transposed convolution: every input value adds its kernel to the output."""
    kernel, strides = weight.shape[2:], ints(node, "strides", [1, 1])
    more = ints(node, "output_padding", [0, 0])
    full = [s * (n - 1) + k + m for s, n, k, m in zip(strides, q.shape[2:], kernel, more, strict=True)]
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    doubled = [min(f, s * n) for f, s, n in zip(full, strides, q.shape[2:], strict=True)]
    wanted = ints(node, "output_shape", doubled if mode != "NOTSET" else None)
    if wanted is None:
        pads = padding(node, q.shape[2:], kernel, strides)
    else:
        # What is asked for beyond the full output stands behind it; nothing is added before.
        halves = [max(0, f - w) // 2 for f, w in zip(full, wanted, strict=True)]
        begins = (
            halves
            if mode == "SAME_UPPER"
            else [max(0, f - w) - h for f, w, h in zip(full, wanted, halves, strict=True)]
        )
        pads = [(b, f - w - b) for f, w, b in zip(full, wanted, begins, strict=True)]
    outputs, inputs = weight.shape[1], weight.shape[0] // group
    sums = np.zeros((q.shape[0], outputs * group, *full), np.int64)
    for i, y, x in itertools.product(*map(range, q.shape[1:])):
        first = i // inputs * outputs
        places = slice(y * strides[0], y * strides[0] + kernel[0]), slice(x * strides[1], x * strides[1] + kernel[1])
        sums[(slice(None), slice(first, first + outputs), *places)] += q[:, i, y, x].reshape(-1, 1, 1, 1) * weight[
            i
        ].astype(np.int64)
    sums = np.pad(sums, [(0, 0), (0, 0), *((0, max(0, -end)) for _, end in pads)])
    (top, bottom), (left, right) = pads
    return sums[:, :, top : full[0] - bottom, left : full[1] - right]


def pool_sums(node, q):
    """Return the sums of each window, and how many values each counts."""
    kernel, size = ints(node, "kernel_shape", []), q.shape[2:]
    pads, strides, _, counts = windows(node, size, kernel)
    include = number(node, "count_include_pad", 0)
    sums, area = np.zeros((*q.shape[:2], *counts), np.int64), np.zeros(counts, np.int64)
    for i, j in itertools.product(*map(range, counts)):
        for a, b in itertools.product(*map(range, kernel)):
            y, x = i * strides[0] - pads[0][0] + a, j * strides[1] - pads[1][0] + b
            inside = 0 <= y < size[0] and 0 <= x < size[1]
            padded = -pads[0][0] <= y < size[0] + pads[0][1] and -pads[1][0] <= x < size[1] + pads[1][1]
            area[i, j] += padded if include else inside
            if inside:
                sums[:, :, i, j] += q[:, :, y, x]
    return sums, area


def device_output(name, form, x):
    """Return what the device computes, float32."""
    op, _, _, _, group = LAYERS[name]
    node = node_named(one_layer(name).graph, "layer")
    layer = form.layers["layer"]
    params = layer.record.activation
    q = device.centred(x, params.scale, params.zero_point)
    if op == "AveragePool":
        sums, area = pool_sums(node, q)
        return (sums.astype(F) / area.astype(F)) * F(params.scale)
    if op == "MatMul":
        return device.real(q @ layer.weight.astype(np.int64), params.scale, layer.record.weight_scales, -1)
    sums = (conv_sums if op == "Conv" else transposed_sums)(node, q, layer.weight, group)
    sums = sums + layer.bias.astype(np.int64).reshape(-1, *[1] * (x.ndim - 2))
    return device.real(sums, params.scale, layer.record.weight_scales, 1)


def half_steps(shape, scale, seed=0):
    """Return multiples of half a step, from below the smallest code to above the largest: every odd one is a tie."""
    return (np.random.default_rng(seed).integers(-300, 301, shape) * (scale / 2)).astype(F)


def run(built, x, profile=REFERENCE):
    return Session(built, profile).run({"x": x})[0]


@pytest.mark.parametrize("name", LAYERS)
def test_integers_of_the_test_are_those_of_onnxruntimes_own_kernel(name):
    op, _, shape, _, group = LAYERS[name]
    built, node = one_layer(name), node_named(one_layer(name).graph, "layer")
    _, form = random_integers(name, 1.0, 0)
    q = np.random.default_rng(9).integers(-20, 21, shape)
    layer = form.layers["layer"]
    if op == "AveragePool":
        sums, area = pool_sums(node, q)
        np.testing.assert_allclose(run(built, q.astype(F)), sums / area, rtol=1e-6, atol=1e-6)
        return
    built.graph.initializers["w"].const_value = numpy_tensor(layer.weight.astype(F), "w")
    built.graph.initializers["b"].const_value = numpy_tensor(np.zeros(outputs(name), F), "b")
    if op == "MatMul":
        sums = q @ layer.weight.astype(np.int64)
    else:
        sums = (conv_sums if op == "Conv" else transposed_sums)(node, q, layer.weight, group)
    assert np.array_equal(run(built, q.astype(F)), sums)


def numpy_tensor(array, name):

    return ir.tensor(array, name=name)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_gives_the_devices_bits_at_every_level(name, params):
    scale, zero_point = PARAMS[params]
    found, form = random_integers(name, scale, zero_point)
    x = half_steps(LAYERS[name][2], scale)
    written = fake_quant_model(found.on(one_layer(name)), form)
    expected = device_output(name, form, x)
    for session, profile in SESSIONS.items():
        assert np.array_equal(run(written, x, profile), expected), session


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_gives_the_devices_bits_in_the_search(name, params):
    scale, zero_point = PARAMS[params]
    found, form = random_integers(name, scale, zero_point)
    x = half_steps(LAYERS[name][2], scale)
    searched = fake_quant_model(found.on(one_layer(name)), form, multiply=True)
    assert np.array_equal(run(searched, x, SIMULATION), device_output(name, form, x))


@pytest.mark.parametrize("name", LAYERS)
def test_calibrated_layer_stays_close_to_the_float_one(name):
    shape = LAYERS[name][2]
    built = one_layer(name)
    found = find_layers(built, ASCEND)
    x = noise(3, *shape)
    range_ = Range(float(x.min()), float(x.max()))
    seen = Calibration({"layer": range_}, {"layer": x.reshape(-1)}, {"layer": shape}, {"layer": range_})
    form = quantize_layers(found.on(built), seen).form
    expected, got = run(built, x), run(fake_quant_model(found.on(built), form), x)
    assert np.abs(got - expected).max() <= 0.02 * np.abs(expected).max()
    record = form.layers["layer"].record
    count = outputs(name) if found.layer("layer").per_channel else 1
    assert len(record.weight_scales) == count
    if len(shape) == 5:
        assert record.activation.zero_point == 0
    assert layer_costs(found.on(built), {"layer": shape})["layer"].outputs == expected.size


@pytest.mark.parametrize("name", [name for name in LAYERS if LAYERS[name][0] in ("Conv", "ConvTranspose")])
def test_scale_of_a_channel_is_that_of_the_weights_that_make_it(name):
    """Make the weights of one output channel large, found by what onnxruntime gives for it alone."""
    shape, weight, group = LAYERS[name][2:]
    built = one_layer(name)
    scales = scales_of(built, shape)
    w = built.graph.initializers["w"].const_value.numpy().copy()
    channel = outputs(name) - 1
    if LAYERS[name][0] == "Conv":
        w[channel] *= 8
    else:
        w[weight[0] // group * (channel // weight[1]) :, channel % weight[1]] *= 8
    built.graph.initializers["w"].const_value = numpy_tensor(w, "w")
    grown = np.array(scales_of(built, shape)) / np.array(scales)
    assert np.flatnonzero(grown != 1).tolist() == [channel] and grown[channel] == pytest.approx(8)


def scales_of(built, shape):
    ends = {"layer": Range(-1, 1)}
    seen = Calibration(ends, {"layer": np.zeros(2, F)}, {"layer": shape}, ends)
    return (
        quantize_layers(find_layers(built, ASCEND), seen, symmetric={"layer"}).form.layers["layer"].record.weight_scales
    )


@pytest.mark.parametrize("name", LAYERS)
def test_deploy_model_holds_the_layer_between_ascend_operators(name, tmp_path):
    found, form = random_integers(name, 0.5, 0 if find_layers(one_layer(name), ASCEND).layer("layer").symmetric else 3)
    path = tmp_path / "deploy.onnx"
    ir.save(deploy_model(found.on(one_layer(name)), form), path)
    assert [*check_deploy(path), *check_against_form(path, form, one_layer(name))] == []
    written = onnx.load(path)
    assert [node.op_type for node in written.graph.node] == ["AscendQuant", LAYERS[name][0], "AscendDequant"]
    arrays = {t.name: numpy_helper.to_array(t) for t in written.graph.initializer}
    layer = form.layers["layer"]
    count = outputs(name) if found.layer("layer").per_channel else 1
    assert arrays["layer.dequant.param"].shape == (count,)
    if LAYERS[name][0] == "AveragePool":
        assert len(written.graph.node[1].input) == 1
        assert arrays["layer.dequant.param"][0] == np.float32(0.5).view(np.uint32)
    else:
        assert np.array_equal(arrays["w"], layer.weight) and arrays["w"].dtype == np.int8


WEIGHTED = [name for name, (_, _, _, weight, _) in LAYERS.items() if weight is not None]


def balanced_by_hand(name, form, x):
    """Return the form with random factors, and ``x`` as its AscendQuant shall read it: times the float32 nearest to 1 / f."""
    on_axis_1 = LAYERS[name][0] != "MatMul"
    factors = np.random.default_rng(7).uniform(0.1, 9, x.shape[1 if on_axis_1 else -1]).astype(F)
    inverse = (1 / factors.astype(np.float64)).astype(F)
    shape = (1, -1, *[1] * (x.ndim - 2)) if on_axis_1 else (-1,)
    layer = form.layers["layer"]
    record = replace(layer.record, balance_factors=tuple(float(f) for f in factors))
    return QuantizedLayers({"layer": replace(layer, record=record)}), x * inverse.reshape(shape)


@pytest.mark.parametrize("params", ["odd_scale", "lowest"])
@pytest.mark.parametrize("name", WEIGHTED)
def test_balanced_layer_gives_the_devices_bits_at_every_level(name, params):
    scale, zero_point = PARAMS[params]
    found, form = random_integers(name, scale, zero_point)
    x = noise(3, *LAYERS[name][2]) * F(40 * scale)
    form, read = balanced_by_hand(name, form, x)
    expected = device_output(name, form, read)
    written = fake_quant_model(found.on(one_layer(name)), form)
    for session, profile in SESSIONS.items():
        assert np.array_equal(run(written, x, profile), expected), session
    searched = fake_quant_model(found.on(one_layer(name)), form, multiply=True)
    assert np.array_equal(run(searched, x, SIMULATION), expected)


@pytest.mark.parametrize("opset", [8, 17])
@pytest.mark.parametrize("name", WEIGHTED)
def test_deploy_model_multiplies_by_the_reciprocals_before_ascend_quant(name, opset, tmp_path):
    x = noise(3, *LAYERS[name][2])
    found, form = random_integers(name, 0.5, 0)
    form, _ = balanced_by_hand(name, form, x)
    path = tmp_path / "deploy.onnx"
    ir.save(deploy_model(found.on(one_layer(name, opset)), form), path)
    assert [*check_deploy(path), *check_against_form(path, form, one_layer(name, opset))] == []
    written = onnx.load(path)
    assert [node.op_type for node in written.graph.node] == ["Mul", "AscendQuant", LAYERS[name][0], "AscendDequant"]
    mul = written.graph.node[0]
    assert (mul.name, list(mul.input)) == ("layer.mul", ["x", "layer.tensor_balance_factor"])
    (factor,) = [numpy_helper.to_array(t) for t in written.graph.initializer if t.name == mul.input[1]]
    factors = np.array(form.layers["layer"].record.balance_factors)
    assert factor.dtype == F and np.array_equal(factor.reshape(-1), (1 / factors).astype(F))
    # Like the deploy file, the file for onnxruntime holds the Mul.
    assert "layer.mul" in [node.name for node in fake_quant_model(found.on(one_layer(name)), form).graph]


PAD_THEN_POOL = "[pool_pad] p = Pad(x, amounts) [pool] y = AveragePool<kernel_shape=[2,2]>(p)"
OLD_PAD_THEN_POOL = "[pool_pad] p = Pad<pads=[0,0,1,1,0,0,0,0]>(x) [pool] y = AveragePool<kernel_shape=[2,2]>(p)"


@pytest.mark.parametrize(
    ("opset", "nodes", "kinds"),
    [
        pytest.param(13, PAD_THEN_POOL, ["AscendQuant", "Pad", "AveragePool", "AscendDequant"], id="its_own"),
        pytest.param(10, OLD_PAD_THEN_POOL, ["AscendQuant", "Pad", "AveragePool", "AscendDequant"], id="by_attribute"),
        pytest.param(
            13,
            PAD_THEN_POOL.replace("pool_pad", "other"),
            ["Pad", "AscendQuant", "AveragePool", "AscendDequant"],
            id="of_another_name",
        ),
        pytest.param(
            13,
            PAD_THEN_POOL.replace("amounts)", "amounts, one)"),
            ["Pad", "AscendQuant", "AveragePool", "AscendDequant"],
            id="with_ones",
        ),
    ],
)
def test_pad_that_belongs_to_an_average_pads_codes(opset, nodes, kinds, tmp_path):

    built = model(
        f"g (float[1,2,4,4] x) => (float[1,2,4,4] y) {{ {nodes} }}",
        opset=opset,
        amounts=np.array([0, 0, 1, 1, 0, 0, 0, 0], np.int64),
        one=np.float32(1),
    )
    found = find_layers(built, ASCEND)
    ones = np.ones((1, 1, 2, 2), np.int8)
    form = QuantizedLayers({"pool": QuantizedLayer(LayerRecord(ActivationParams(0.5, 3), (1.0,)), ones, None)})
    path = tmp_path / "deploy.onnx"
    ir.save(deploy_model(found.on(built), form), path)
    assert [*check_deploy(path), *check_against_form(path, form, built)] == []
    written = onnx.load(path)
    assert [node.op_type for node in written.graph.node] == kinds
    if kinds[1] == "Pad" and opset > 10:
        value = next(t for t in written.graph.initializer if t.name == written.graph.node[1].input[2])
        assert numpy_helper.to_array(value) == 3 and value.data_type == onnx.TensorProto.INT8
    if opset == 10:
        assert {a.name: a.f for a in written.graph.node[1].attribute}["value"] == 3.0


def heavy(op, weight, group=1):
    """Return a model whose layer has only weights of 127, on an input of the largest codes."""
    spatial = "" if op in ("Gemm", "MatMul") else ",1,1"
    inputs = {"Conv": lambda: weight[1] * group}.get(op, lambda: weight[0])()
    attributes = f"<group={group}>" if group > 1 else ""
    built = model(
        f"g (float[1,{inputs}{spatial}] x) => (float[] y) {{ [layer] y = {op}{attributes}(x, w) }}",
        w=np.ones(weight, F),
    )
    return built, (1, inputs, *[1] * (len(weight) - 2))


@pytest.mark.parametrize(
    ("op", "weight", "group"),
    [
        pytest.param("Conv", (2, 4608, 1, 1), 1, id="conv"),
        pytest.param("Conv", (4, 4608, 1, 1), 2, id="grouped_conv"),
        pytest.param("ConvTranspose", (4608, 2, 1, 1), 1, id="transpose"),
        pytest.param("ConvTranspose", (9216, 2, 1, 1), 2, id="grouped_transpose"),
        pytest.param("MatMul", (4608, 2), 1, id="matmul"),
        pytest.param("MatMul", (1, 4608, 2), 1, id="matmul_batch_of_one"),
        pytest.param("MatMul", (2, 4608, 2), 1, id="matmul_batch"),
        pytest.param("Gemm", (4608, 2), 1, id="gemm"),
    ],
)
@pytest.mark.usefixtures("kernels")
def test_layer_of_4608_inputs_is_split_and_stays_exact(op, weight, group):
    built, shape = heavy(op, weight, group)
    if op == "MatMul" and len(weight) == 3:
        shape = (1, 1, weight[1])
        built = model("g (float[1,1,4608] x) => (float[] y) { [layer] y = MatMul(x, w) }", w=np.ones(weight, F))
    found = find_layers(built, ASCEND)
    layer = found.layer("layer")
    rng = np.random.default_rng(0)
    codes = rng.integers(126, 128, weight).astype(np.int8)
    scales = (0.01,) * (layer.channels if layer.per_channel else 1)
    quantized = QuantizedLayer(LayerRecord(ActivationParams(0.5, -128), scales), codes, None)
    assert len(exact_sums(layer, quantized).slices) == 9
    x = F(0.5) * rng.integers(250, 256, shape).astype(F)
    q = device.centred(x, 0.5, -128)
    if op == "Conv":
        grouped = codes.reshape(group, -1, 4608).astype(np.int64)
        sums = np.einsum("gi,goi->go", q.reshape(group, 4608), grouped).reshape(1, -1, 1, 1)
    elif op == "ConvTranspose":
        grouped = codes.reshape(group, 4608, 2).astype(np.int64)
        sums = np.einsum("gi,gio->go", q.reshape(group, 4608), grouped).reshape(1, -1, 1, 1)
    else:
        sums = q @ codes.astype(np.int64)
    assert sums.max() > 2**27
    expected = device.real(sums, 0.5, scales, layer.output_axis)
    written = fake_quant_model(found.on(built), QuantizedLayers({"layer": quantized}))
    for level in LEVELS:
        assert np.array_equal(run(written, x, plain(level)), expected), level
    searched = fake_quant_model(found.on(built), QuantizedLayers({"layer": quantized}), multiply=True)
    assert np.array_equal(run(searched, x, SIMULATION), expected)


def test_average_over_too_many_values_stays_float():
    built = model(
        "g (float[1,1,100,100] x) => (float[] y) { [layer] y = AveragePool<kernel_shape=[100,100]>(x) }", opset=13
    )
    ends = {"layer": Range(0, 1)}
    seen = Calibration(ends, {"layer": np.zeros(2, F)}, {"layer": (1, 1, 100, 100)}, ends)
    (left,) = quantize_layers(find_layers(built, ASCEND), seen).impossible
    assert left.reason == "its window of 10000 values is too large: sums could reach 2550000"


def test_average_of_an_image_of_open_size_counts_each_sizes_own_borders():
    text = (
        "g (float[N,2,H,W] x) => (float[N,2,A,B] y) { [layer] y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x) }"
    )
    built = model(text)
    found, form = find_layers(built, ASCEND), random_integers("average_of_three", 0.5, 3)[1]
    session = Session(fake_quant_model(found.on(built), form), plain("all"))
    node = node_named(built.graph, "layer")
    for height, width in ((4, 6), (7, 3)):
        x = half_steps((2, 2, height, width), 0.5)
        sums, area = pool_sums(node, device.centred(x, 0.5, 3))
        assert np.array_equal(session.run({"x": x})[0], sums.astype(F) / area.astype(F) * F(0.5))
