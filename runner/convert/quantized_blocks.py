"""A quantized model in blocks: each with its layers in int8, or with some of them in float."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.graph.blocks import Block, blocks
from runner.graph.layers import LayeredModel
from runner.record import QuantizedLayers


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedBlock:
    """A block, and how it is quantized.

    Attributes:
        block: of the float model.
        layered: the float model's layers on it.
        form: of its layers, and of what is rounded in it.
    """

    block: Block
    layered: LayeredModel
    form: QuantizedLayers

    def model(self, in_float: Collection[str] = ()) -> ir.Model:
        """Return what simulates the block in the runner's own sessions, with some of its layers in float."""
        return fake_quant_model(self.layered, self.form.without(in_float), multiply=True)


def quantized_blocks(model: LayeredModel, form: QuantizedLayers) -> tuple[QuantizedBlock, ...]:
    """Return the blocks of a model under a quantized form.

    Args:
        model: the prepared float model at opset 13 or later.
        form: its layers, which do not depend on each other, and tensors.
    """
    found = []
    for block in blocks(model.graph, form.layers):
        inside = {node.name for node in block.model.graph}
        layers = {name: form.layers[name] for name in block.layers}
        tensors = {key: tensor for key, tensor in form.tensors.items() if key.rpartition(":")[0] in inside}
        found.append(QuantizedBlock(block, model.on(block.model), QuantizedLayers(layers, tensors)))
    return tuple(found)
