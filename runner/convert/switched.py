"""One model of which any layers can be run in float: what leaving each layer out does is measured in a single session.

Every quantized layer is an ``If``: its float node, or the nodes that simulate it. Which of them runs is said by an input with a
value of its own, so that nobody has to say it. A session for each layer left out would take longer to make than to run.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.convert.fake_quant import with_layers
from runner.convert.simulate import Simulator
from runner.graph.builder import Builder
from runner.graph.layers import Layer, LayeredModel
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers


def switched_model(model: LayeredModel, form: QuantizedLayers) -> ir.Model:
    """Return a model with the layers of a form in int8, each of which can be run in float instead: ``evaluation/leaving_out``.

    Args:
        model: the prepared float model at opset 13 or later.
        form: its layers, which do not depend on each other, and tensors.
    """
    builder = _Switched()
    switched = with_layers(model, form, builder)
    switched.graph.inputs.extend(builder.switches)
    return switched


def switch(layer: str) -> str:
    """Return the name of the input that says whether a layer is run in float."""
    return f"{layer}.in_float"


class _Switched:
    """Builds a layer's If; a ``LayerBuilder``."""

    def __init__(self) -> None:
        self.switches: list[ir.Value] = []

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        return Simulator(multiply=True).tensor(build, x, params, prefix)

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        # What is rounded in one body cannot be read in another, so nothing is shared between layers.
        whole, part = Builder(), Builder()
        in_float = whole.like(node, list(node.inputs), f"{prefix}.float", ir.DataType.FLOAT)
        if quantized.shift is not None:
            # The Add behind the layer adds the shift to both.
            shift = whole.constant(f"{prefix}.float.shift", quantized.shift)
            in_float = whole.op("Sub", [in_float, shift], f"{prefix}.float.unshifted", ir.DataType.FLOAT)
        in_int8 = Simulator(multiply=True).layer(part, node, layer, quantized, prefix, x)
        build.constants += [*whole.constants, *part.constants]
        condition = build.constant(switch(prefix), np.array(False))
        self.switches.append(condition)
        bodies = [
            ir.Attr(name, ir.AttributeType.GRAPH, ir.Graph([], [result], nodes=inner.nodes, name=f"{prefix}.{name}"))
            for name, inner, result in (("then_branch", whole, in_float), ("else_branch", part, in_int8))
        ]
        output = ir.Value(name=f"{prefix}.output0", type=ir.TensorType(ir.DataType.FLOAT))
        build.nodes.append(ir.Node("", "If", [condition], attributes=bodies, outputs=[output], name=prefix))
        return output
