"""Models small enough to reason about, written as text, and integers to put into them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from runner.calibration.observer import Observer
from runner.graph.constants import integer_attribute
from runner.graph.layers import LayeredModel, find_layers
from runner.graph.prepare import prepare
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers
from runner.targets.ascend.limits import ASCEND
from tests import device

HEADER = '<ir_version: 8, opset_import: ["" : 13]>'


def onnx_text(text: str, **initializers: NDArray) -> onnx.ModelProto:
    """Return the model of a graph in onnx.parser's syntax, at opset 13, with constants added by name."""
    model = onnx.parser.parse_model(HEADER + text)
    for name, array in initializers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    for index, node in enumerate(model.graph.node):
        # The parser leaves nodes unnamed; a layer is called like what it makes.
        node.name = node.output[0] if not node.name else f"{node.name}_{index}"
    onnx.checker.check_model(model, full_check=True)
    return model


def prepared(model: onnx.ModelProto) -> tuple[ir.Model, LayeredModel]:
    """Return the float model as calibration sees it, and its layers."""
    graph = prepare(ir.from_proto(model), ASCEND).graph
    return graph, find_layers(graph, ASCEND)


def for_all(found: LayeredModel, observer: Observer) -> dict[str, Observer]:
    """Return the same observer for every layer, and for every input of another node that is to be rounded."""
    return dict.fromkeys([*(layer.name for layer in found.layers), *(tensor.key for tensor in found.tensors)], observer)


def plain_session(model: onnx.ModelProto | ir.Model) -> ort.InferenceSession:
    """Return an onnxruntime session without any rewriting, not the runner's."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_plain(model: onnx.ModelProto | ir.Model, x: NDArray, tensors: Sequence[str]) -> list[list[NDArray]]:
    """Return the named tensors for each item of ``x``, run one by one."""
    proto = onnx.ModelProto()
    proto.CopyFrom(ir.to_proto(model) if isinstance(model, ir.Model) else model)
    del proto.graph.output[:]
    inputs = {value.name for value in proto.graph.input}
    wanted = [name for name in dict.fromkeys(tensors) if name not in inputs]
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in wanted)
    session, key = plain_session(proto), proto.graph.input[0].name
    results = []
    for item in x:
        feed = item[np.newaxis].astype(np.float32)
        values = dict(zip(wanted, session.run(wanted, {key: feed}), strict=True)) if wanted else {}
        results.append([feed if name in inputs else values[name] for name in tensors])
    return results


def conv_gemm(seed: int = 0) -> onnx.ModelProto:
    """Return conv + batch normalization + relu + conv + relu + gemm over [N, 2, 6, 6], giving 5 logits."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    return onnx_text(
        """g (float[N,2,6,6] x) => (float[N,5] logits) {
            first = Conv <pads = [1,1,1,1]> (x, w1)
            bn = BatchNormalization (first, gamma, beta, mean, var)
            a = Relu (bn)
            second = Conv <strides = [2,2]> (a, w2, b2)
            b = Relu (second)
            flat = Flatten (b)
            logits = Gemm <transB = 1> (flat, w3, b3)
        }""",
        w1=normal(4, 2, 3, 3),
        gamma=rng.uniform(0.5, 2, 4).astype(np.float32),
        beta=rng.normal(0, 0.2, 4).astype(np.float32),
        mean=rng.normal(0, 0.2, 4).astype(np.float32),
        var=rng.uniform(0.5, 2, 4).astype(np.float32),
        w2=normal(6, 4, 3, 3),
        b2=rng.normal(0, 0.1, 6).astype(np.float32),
        w3=4 * normal(5, 24),
        b3=rng.normal(0, 0.1, 5).astype(np.float32),
    )


def chain(depth: int, seed: int = 0) -> onnx.ModelProto:
    """Return ``depth`` 1x1 convolutions with tanh between over [N, 3, 4, 4], then a mean over pixels to 6 logits."""
    rng = np.random.default_rng(seed)
    lines, arrays, source, channels = [], {}, "x", 3
    for index in range(depth):
        arrays[f"w{index}"] = rng.normal(0, 1.5 / np.sqrt(channels), (6, channels, 1, 1)).astype(np.float32)
        # Weights of uneven size cost a layer precision; every layer another amount.
        arrays[f"w{index}"][:, 0] *= 1 + 3 * ((index * 5) % depth)
        lines += [f"conv{index} = Conv ({source}, w{index})", f"t{index} = Tanh (conv{index})"]
        source, channels = f"t{index}", 6
    body = "\n".join(lines)
    return onnx_text(
        f"""g (float[N,3,4,4] x) => (float[N,6] logits) {{
            {body}
            pooled = GlobalAveragePool ({source})
            wide = Mul (pooled, eight)
            logits = Flatten (wide)
        }}""",
        eight=np.float32(8),
        **arrays,
    )


def dense(op_type: str = "MatMul", shape: str = "N,5", seed: int = 0) -> onnx.ModelProto:
    """Return two products with a bias each and a relu between, giving 4 logits.

    The biases of MatMul ``h`` and ``k`` are added by nodes behind them; those of Gemm ``s`` and ``logits`` are inputs.
    """
    rng = np.random.default_rng(seed)
    products = {
        "MatMul": "h = MatMul (x, w1)\n s = Add (h, b1)\n r = Relu (s)\n k = MatMul (r, w2)\n logits = Add (b2, k)",
        "Gemm": "s = Gemm (x, w1, b1)\n r = Relu (s)\n logits = Gemm (r, w2, b2)",
    }
    return onnx_text(
        f"g (float[{shape}] x) => (float[{shape[:-1]}4] logits) {{ {products[op_type]} }}",
        w1=rng.normal(size=(5, 6)).astype(np.float32),
        b1=rng.normal(size=6).astype(np.float32),
        w2=rng.normal(size=(6, 4)).astype(np.float32),
        b2=rng.normal(size=4).astype(np.float32),
    )


def answers(model: onnx.ModelProto, x: NDArray) -> NDArray[np.int64]:
    """Return the class of the highest score of each item."""
    name = model.graph.output[0].name
    return np.array([int(np.argmax(scores)) for (scores,) in run_plain(model, x, [name])])


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model and return its path."""
    path.write_bytes(model.SerializeToString())
    return path


def proto(graph, *, opset=17, ir_version=8, **constants):
    """Return the ModelProto of ``graph``, ONNX text; ``constants`` become its initializers."""
    text = f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>\n{graph}'
    parsed = onnx.parser.parse_model(text)
    parsed.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in constants.items())
    return parsed


def model(graph, *, opset=17, ir_version=8, **constants) -> ir.Model:
    """Return the model of ``graph``, ONNX text; ``constants`` become its initializers."""
    return ir.from_proto(proto(graph, opset=opset, ir_version=ir_version, **constants))


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
    found = find_layers(float_model, ASCEND)
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
