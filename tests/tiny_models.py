"""Tiny models, written as text, and integers to put into them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir

from runner.graph.constants import integer_attribute
from runner.graph.layers import LayeredModel, find_layers
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers
from tests import device


def proto(graph, *, opset=17, ir_version=8, **constants):
    """Return the ModelProto of ``graph``, ONNX text; ``constants`` become its initializers."""
    text = f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>\n{graph}'
    parsed = onnx.parser.parse_model(text)
    parsed.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in constants.items())
    return parsed


def model(graph, *, opset=17, ir_version=8, **constants) -> ir.Model:
    """Return the model of ``graph``, ONNX text; ``constants`` become its initializers."""
    return ir.from_proto(proto(graph, opset=opset, ir_version=ir_version, **constants))


def noise(seed, *shape):
    """Return standard normal float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer_form(found, name, shape, *, seed=0, scale=0.037, zero_point=0, with_bias=True) -> QuantizedLayer:
    """Return random integers for one layer whose weight has ``shape``."""
    layer = found.layer(name)
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0.001, 0.02, layer.channels if layer.per_channel else 1).astype(np.float32)
    return QuantizedLayer(
        LayerRecord(ActivationParams(float(np.float32(scale)), zero_point), tuple(float(s) for s in scales)),
        rng.integers(-128, 128, shape).astype(np.int8),
        rng.integers(-5000, 5001, layer.channels).astype(np.int32) if with_bias else None,
    )


def random_form(float_model, *, seed=0, scale=0.037, zero_point=0) -> tuple[LayeredModel, QuantizedLayers]:
    """Return the layers of a model and random integers for all of them."""
    found = find_layers(float_model)
    shapes = {name: tuple(value.shape.numpy()) for name, value in float_model.graph.initializers.items()}
    layers = {
        layer.name: layer_form(
            found,
            layer.name,
            shapes[layer.weight],
            seed=seed + index,
            scale=scale,
            zero_point=zero_point,
            with_bias=layer.bias is not None,
        )
        for index, layer in enumerate(found.layers)
    }
    return found, QuantizedLayers(layers)


def node_named(graph, name) -> ir.Node:
    """Return the node of that name."""
    return next(node for node in graph if node.name == name)


def device_output(built, found, form, name, x):
    """Return what the device computes for one layer of ``built`` with its data input ``x``."""
    layer, quantized = found.layer(name), form.layers[name]
    activation = quantized.record.activation
    codes = device.centred(x, activation.scale, activation.zero_point)
    if layer.op_type == "Conv":
        attributes = conv_attributes(node_named(built.graph, name))
        sums = device.conv(codes, quantized.weight, quantized.bias, **attributes)
    else:
        sums = device.matmul(codes, quantized.weight, quantized.bias)
    return device.real(sums, activation.scale, quantized.record.weight_scales, layer.output_axis)


def conv_attributes(node):
    """Return what a Conv's attributes say, as keyword arguments of ``tests.device.conv``."""

    def ints(name, default):
        attribute = node.attributes.get(name)
        return default if attribute is None else tuple(attribute.as_ints())

    return {
        "strides": ints("strides", (1, 1)),
        "pads": ints("pads", (0, 0, 0, 0)),
        "dilations": ints("dilations", (1, 1)),
        "group": integer_attribute(node, "group", 1),
    }


def layered(layers, left_alone=()) -> LayeredModel:
    """Return layers of a model whose graph nobody looks at."""
    return LayeredModel(model("g (float[1] x) => (float[1] y) { y = Relu(x) }"), tuple(layers), tuple(left_alone))
