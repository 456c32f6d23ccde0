"""Writing the two networks as ONNX graphs, node by node, so that every name in the files is a readable one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
from network import (
    CLASSES,
    ActivationQuantizer,
    BlockPlan,
    ConvBn,
    ConvPlan,
    MobileNetV2,
    QuantConv,
    QuantMobileNetV2,
    weight_scale,
)
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

OPSET = 17
IR_VERSION = 8
INPUT, OUTPUT = "input", "logits"
CLASSIFIER = "classifier"


def array(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor as a float32 array of the same shape."""
    return tensor.detach().numpy().astype(np.float32)


class GraphWriter:
    """Collects the nodes and initializers of one graph, in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        """Store `value` under `name`, once, and give the name back."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def node(
        self,
        op_type: str,
        layer: str,
        inputs: list[str],
        attributes: Mapping[str, int | float | list[int]] | None = None,
        output: str = "",
    ) -> str:
        """Append the node `<layer>/<op_type>` and return the name of its output, made from the node's if not given."""
        name = f"{layer}/{op_type}"
        output = output or f"{name}:0"
        node = helper.make_node(op_type, inputs, [output], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in (attributes or {}).items())
        self.nodes.append(node)
        return output

    def relu6(self, layer: str, x: str) -> str:
        """A Clip to 0..6; all of them share the two bounds."""
        low, high = self.constant("relu6/min", np.float32(0.0)), self.constant("relu6/max", np.float32(6.0))
        return self.node("Clip", layer, [x, low, high])

    def quantized(self, layer: str, x: str, scale: NDArray[np.float32], zero_point: NDArray[np.generic]) -> str:
        """`x` through QuantizeLinear and DequantizeLinear; a scale and zero point of shape [C] run along axis 0."""
        parameters = [self.constant(f"{layer}/scale", scale), self.constant(f"{layer}/zero_point", zero_point)]
        axis = {"axis": 0} if scale.ndim else {}
        level = self.node("QuantizeLinear", layer, [x, *parameters], axis)
        return self.node("DequantizeLinear", layer, [level, *parameters], axis)

    def quantized_activation(self, layer: str, x: str, quantizer: ActivationQuantizer) -> str:
        """The activation input of `layer` through uint8, one asymmetric scale for the tensor."""
        scale, zero_point = quantizer.parameters_of_range()
        return self.quantized(f"{layer}/input", x, array(scale), array(zero_point).astype(np.uint8))

    def quantized_weight(self, layer: str, weight: Tensor, per_channel: bool) -> str:
        """The float weight of `layer` through int8, symmetric."""
        scale = array(weight_scale(weight, per_channel))
        stored = self.constant(f"{layer}/weight", array(weight))
        return self.quantized(f"{layer}/weight", stored, scale, np.zeros(scale.shape, dtype=np.int8))

    def convolution(self, plan: ConvPlan, inputs: list[str]) -> str:
        """The Conv of a plan; `inputs` are the activation, the weight and, where there is one, the bias."""
        return self.node(
            "Conv",
            plan.name,
            inputs,
            {
                "dilations": [1, 1],
                "group": plan.groups,
                "kernel_shape": [plan.kernel] * 2,
                "pads": [plan.padding] * 4,
                "strides": [plan.stride] * 2,
            },
        )

    def body(self, blocks: tuple[BlockPlan, ...], conv: Callable[[str, str], str]) -> str:
        """Everything up to the pooled features [N, 192]; `conv` writes one named convolution onto a tensor."""
        x = INPUT
        for block in blocks:
            y = x
            for plan in block.convs:
                y = conv(plan.name, y)
            x = self.node("Add", block.name, [x, y]) if block.residual else y
        return self.node("Flatten", CLASSIFIER, [self.node("GlobalAveragePool", CLASSIFIER, [x])], {"axis": 1})

    def save(self, path: Path, graph_name: str, side: int) -> None:
        """Check the graph and write it; `side` is the height and width of the input in pixels."""
        graph = helper.make_graph(
            self.nodes,
            graph_name,
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, side, side])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", CLASSES])],
            list(self.initializers.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, producer_name="train_digits", ir_version=IR_VERSION, opset_imports=[opset])
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


def export_float(network: MobileNetV2, path: Path, side: int) -> None:
    """Write the float network, with its BatchNormalization nodes left as they are."""
    writer = GraphWriter()

    def conv(name: str, x: str) -> str:
        unit = network.units[name]
        assert isinstance(unit, ConvBn) and unit.norm.running_mean is not None and unit.norm.running_var is not None
        y = writer.convolution(unit.plan, [x, writer.constant(f"{name}/weight", array(unit.conv.weight))])
        statistics = {
            "gamma": unit.norm.weight,
            "beta": unit.norm.bias,
            "mean": unit.norm.running_mean,
            "variance": unit.norm.running_var,
        }
        inputs = [writer.constant(f"{name}/{key}", array(value)) for key, value in statistics.items()]
        y = writer.node("BatchNormalization", name, [y, *inputs], {"epsilon": unit.norm.eps})
        return writer.relu6(name, y) if unit.plan.relu6 else y

    features = writer.body(network.blocks, conv)
    weight = writer.constant(f"{CLASSIFIER}/weight", array(network.classifier.weight))
    bias = writer.constant(f"{CLASSIFIER}/bias", array(network.classifier.bias))
    writer.node("Gemm", CLASSIFIER, [features, weight, bias], {"transB": 1}, OUTPUT)
    writer.save(path, "mobilenet_v2_digits", side)


def export_quantized(network: QuantMobileNetV2, path: Path, side: int) -> None:
    """Write the network after quantization-aware training, its roundings as QuantizeLinear/DequantizeLinear pairs."""
    writer = GraphWriter()

    def conv(name: str, x: str) -> str:
        unit = network.units[name]
        assert isinstance(unit, QuantConv)
        inputs = [
            writer.quantized_activation(name, x, unit.quantizer),
            writer.quantized_weight(name, unit.weight, per_channel=True),
            writer.constant(f"{name}/bias", array(unit.bias)),
        ]
        y = writer.convolution(unit.plan, inputs)
        return writer.relu6(name, y) if unit.plan.relu6 else y

    features = writer.body(network.blocks, conv)
    inputs = [
        writer.quantized_activation(CLASSIFIER, features, network.quantizer),
        writer.quantized_weight(CLASSIFIER, network.weight, per_channel=False),
        writer.constant(f"{CLASSIFIER}/bias", array(network.bias)),
    ]
    writer.node("Gemm", CLASSIFIER, inputs, {"transB": 1}, OUTPUT)
    writer.save(path, "mobilenet_v2_digits_qat", side)
