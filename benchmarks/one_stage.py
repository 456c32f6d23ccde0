"""A detector of the size of YOLOv8s with random weights: 28 GFLOPs at 640x640, 10 million weights, outputs [1, 84, 8400]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE, CLASSES, STRIDES = 640, 80, (8, 16, 32)
PLACES = sum((SIDE // stride) ** 2 for stride in STRIDES)
# Convolutions of 3x3 at each stride, beside the one that halves the resolution; YOLOv8s has as many weights and products.
_DEEP = {4: (64, 1), 8: (128, 4), 16: (256, 4), 32: (512, 2)}


@dataclass
class _Graph:
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(8))

    def conv(self, source: str, sizes: tuple[int, int, int], *, stride: int = 1, gain: float = 2.0) -> str:
        """Add a convolution, sizes in, out and kernel, and return what it makes."""
        wide, made, kernel = sizes
        name = f"c{len(self.nodes)}"
        shape = (made, wide, kernel, kernel)
        weight = self.rng.standard_normal(shape, np.float32)
        self.constants[f"{name}.w"] = weight * np.float32(np.sqrt(gain / (wide * kernel * kernel)))
        pads = [kernel // 2] * 4
        self.add("Conv", [source, f"{name}.w"], name, strides=[stride] * 2, pads=pads)
        return name

    def add(self, kind: str, inputs: list[str], made: str, **attributes: Any) -> str:  # noqa: ANN401 - a node's
        self.nodes.append(helper.make_node(kind, inputs, [made], made, **attributes))
        return made

    def block(self, source: str, sizes: tuple[int, int, int], *, stride: int = 1) -> str:
        made = self.conv(source, sizes, stride=stride)
        return self.add("Relu", [made], f"{made}.relu")


def one_stage(bias: float) -> ir.Model:
    """Return the model; ``bias`` is added to every class's score before its sigmoid, and says how many boxes there are."""
    graph = _Graph()
    made = graph.block("images", (3, 32, 3), stride=2)
    wide, heads = 32, list[str]()
    for stride, (channels, depth) in _DEEP.items():
        made = graph.block(made, (wide, channels, 3), stride=2)
        for _ in range(depth):
            made = graph.block(made, (channels, channels, 3))
        if stride in STRIDES:
            heads.append(_head(graph, made, channels, stride))
        wide = channels
    graph.add("Concat", heads, "all", axis=2)
    graph.constants["parts"] = np.array([4, CLASSES])
    graph.constants["bias"] = np.array(bias, np.float32)
    graph.nodes.append(helper.make_node("Split", ["all", "parts"], ["boxes", "raw"], "split", axis=1))
    graph.add("Add", ["raw", "bias"], "logits")
    graph.add("Sigmoid", ["logits"], "scores")
    graph.add("Concat", ["boxes", "scores"], "output0", axis=1)
    return ir.from_proto(_model(graph))


def _head(graph: _Graph, source: str, channels: int, stride: int) -> str:
    """Add what turns a grid into [1, 4 + classes, places]: middles of cells, moved, with sides of some strides."""
    side = SIDE // stride
    boxes = graph.conv(graph.block(source, (channels, 64, 3)), (64, 4, 1), gain=0.1)
    classes = graph.conv(graph.block(source, (channels, 128, 3)), (128, CLASSES, 1))
    name = graph.add("Concat", [boxes, classes], f"grid{stride}", axis=1)
    scale, shift = np.ones((1, 4 + CLASSES, 1), np.float32), np.zeros((1, 4 + CLASSES, side * side), np.float32)
    middles = (np.arange(side) + 0.5) * stride
    scale[0, :4] = stride
    shift[0, 0], shift[0, 1], shift[0, 2:4] = np.tile(middles, side), np.repeat(middles, side), 4 * stride
    shape = np.array([1, 4 + CLASSES, side * side])
    graph.constants |= {f"shape{stride}": shape, f"scale{stride}": scale, f"shift{stride}": shift}
    graph.add("Reshape", [name, f"shape{stride}"], f"flat{stride}")
    graph.add("Mul", [f"flat{stride}", f"scale{stride}"], f"scaled{stride}")
    return graph.add("Add", [f"scaled{stride}", f"shift{stride}"], f"placed{stride}")


def _model(graph: _Graph) -> onnx.ModelProto:
    made = helper.make_graph(
        graph.nodes,
        "one_stage",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + CLASSES, PLACES])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in graph.constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
