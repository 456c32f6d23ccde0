"""Zero padding in front of a convolution, taken into its own pads.

Between Pad and convolution stands the layer's QuantizeLinear then, which keeps both a runtime from joining them and the layer
in front of the Pad from being followed by one. Zero is a code of every tensor, so that rounding first changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import onnx_ir as ir

from runner.graph.constants import constant, integer_attributes, string_attribute


def absorb_pads(model: ir.Model, layers: Iterable[str]) -> None:
    """Change the named convolutions of a model so that each pads what a Pad in front of it padded.

    Args:
        model: at opset 13 or later; changed.
        layers: names of nodes; others than convolutions are left alone.
    """
    nodes = {node.name: node for node in model.graph}
    for name in layers:
        _absorb(nodes[name])


def absorbed(model: ir.Model, layers: Collection[str]) -> set[str]:
    """Return names of the Pads that nothing reads any more once the named convolutions have absorbed them."""
    nodes = {node.name: node for node in model.graph}
    pads = {id(pad): pad for name in layers if (pad := _in_front(nodes[name])) is not None}
    return {
        pad.name or ""
        for pad in pads.values()
        if all(reader.name in layers and _in_front(reader) is pad for reader in pad.outputs[0].consumers())
    }


def _absorb(node: ir.Node) -> None:
    pad = _in_front(node)
    amounts = None if pad is None else _spatial_zeros(pad)
    if pad is None or amounts is None:
        return
    own = integer_attributes(node, "pads", [0] * len(amounts))
    node.attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(own, amounts, strict=True)])
    node.replace_input_with(0, pad.inputs[0])


def _in_front(node: ir.Node) -> ir.Node | None:
    """Return the Pad that a convolution can absorb; None without one, and for other nodes."""
    source = node.inputs[0] if node.op_type == "Conv" and node.domain == "" else None
    pad = None if source is None else source.producer()
    if (
        pad is None
        or pad.op_type != "Pad"
        or pad.domain != ""
        or string_attribute(node, "auto_pad", "NOTSET") != "NOTSET"
    ):
        return None
    return None if _spatial_zeros(pad) is None else pad


def _spatial_zeros(pad: ir.Node) -> list[int] | None:
    """Return the pads of a Pad that adds zeros around an image and nothing else; None for any other."""
    mode = string_attribute(pad, "mode", "constant")
    amounts = constant(pad.inputs[1])
    value = constant(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] is not None else np.zeros(())
    axes = pad.inputs[3] if len(pad.inputs) > 3 else None
    if mode != "constant" or amounts is None or value is None or np.any(value) or axes is not None:
        return None
    numbers = [int(n) for n in amounts.ravel()]
    before, after = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    if any(before[:2] + after[:2]) or min(numbers) < 0:
        return None
    return before[2:] + after[2:]
