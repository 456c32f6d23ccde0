"""Cross-layer equalization: make the channels that layers read equally large, so that one scale serves them all.

What makes channel c (a layer, or the gamma and beta of a normalization) is multiplied by ``2 ** k[c]``, and what every layer
that reads it multiplies it by is divided by as much (Nagel et al., Data-free quantization through weight equalization and bias
correction, 2019; for normalizations as in Li et al., RepQ-ViT, 2023). Relu, LeakyRelu and PRelu let a positive factor through.
Clip(0, high) would not: its end is scaled with the channel, as ``Relu -> Min(high * 2 ** k)``. Powers of two make it exact in
float32 too: every product and every sum keeps its bits but for the exponent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.channel_makers import SECOND, ChannelMaker, channel_maker
from runner.graph.channel_readers import channel_readers, divide_inputs
from runner.graph.constants import constant, replace_node

# The version of this stage's meaning: raise it when the same exponents would give another model.
VERSION = 2
_BROADCASTING_MIN = 8

Exponents = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Link:
    """A tensor between layers whose channels may be scaled, by names.

    Attributes:
        maker: node that it is known by: the layer that makes the channels, or the node of a normalization that gives them.
        readers: the layers that read them, all there are.
        tensor: that they read, or what they read is moved from.
        axis: of its channels, 1 or -1.
        channels: number of them.
        interval: the ends that an activation cuts its values off at.
    """

    maker: str
    readers: tuple[str, ...]
    tensor: str
    axis: int
    channels: int
    interval: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A link's nodes."""

    link: Link
    maker: ChannelMaker
    activation: ir.Node | None
    readers: tuple[ir.Node, ...]


def find_links(model: ir.Model) -> tuple[Link, ...]:
    """Return the links in graph order.

    Between the maker and the layers stands nothing, or an activation that lets factors through; what moves whole channels
    may stand behind it. A tensor that something else reads too, or that the model gives as an output, is not scaled: a
    residual connection's other branch would have to be scaled with it.
    """
    return tuple(found.link for found in _find(model))


def equalized(model: ir.Model, exponents: Exponents) -> ir.Model:
    """Return a copy whose channels are scaled; it computes the same.

    Args:
        model: a prepared float model.
        exponents: of the factors of each channel, by the name of its maker; one that is left out stays.

    Raises:
        ValueError: no link has a maker of that name, or it has another number of channels.
    """
    copy = model.clone()
    links = {found.link.maker: found for found in _find(copy)}
    for name, powers in exponents.items():
        found = links.get(name)
        if found is None or len(powers) != found.link.channels:
            raise ValueError(f"'{name}' makes no {len(powers)} channels that only layers read")
        factors = np.exp2(np.asarray(powers, np.float32))
        found.maker.scale(copy.graph, factors)
        for reader in found.readers:
            divide_inputs(copy.graph, reader, factors)
        if found.activation is not None and found.activation.op_type == "Clip":
            _scale_end(copy.graph, found, factors)
    return copy


def _find(model: ir.Model) -> list[_Found]:
    # Before opset 8 Min takes operands of one shape only.
    clips = model.opset_imports.get("", 0) >= _BROADCASTING_MIN
    made = (_link(node, clips=clips) for node in model.graph)
    return [found for found in made if found is not None]


def _link(node: ir.Node, *, clips: bool) -> _Found | None:
    maker = channel_maker(node)
    if maker is None:
        return None
    value, activation = node.outputs[0], _activation(node.outputs[0], clips=clips)
    if activation is not None:
        value = activation.outputs[0]
    readers = channel_readers(value, maker.axis, maker.channels)
    if not readers:
        return None
    names = tuple(reader.name or "" for reader in readers)
    interval = _interval(activation)
    link = Link(maker.node.name or "", names, value.name or "", maker.axis, maker.channels, interval)
    return _Found(link, maker, activation, readers)


def _activation(value: ir.Value, *, clips: bool) -> ir.Node | None:
    """Return the activation that alone reads a value and lets positive factors through; None without one."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    node, index = next(iter(uses))
    if index != 0 or node.domain != "" or node.graph is not value.graph:
        return None
    if node.op_type in ("Relu", "LeakyRelu") or (node.op_type == "PRelu" and constant(node.inputs[1]) is not None):
        return node
    return node if clips and _clips_from_zero(node) else None


def _interval(activation: ir.Node | None) -> tuple[float, float]:
    if activation is None or activation.op_type in ("LeakyRelu", "PRelu"):
        return -np.inf, np.inf
    ends = _clip_ends(activation) if activation.op_type == "Clip" else None
    return 0.0, np.inf if ends is None or ends[1] is None else ends[1]


def _clip_ends(node: ir.Node) -> tuple[float | None, float | None] | None:
    """Return the ends of a Clip, None for one that is absent; None in all where one is computed."""
    ends: list[float | None] = []
    for index, attribute in ((1, "min"), (2, "max")):
        value = node.inputs[index] if len(node.inputs) > index else None
        if value is not None:
            array = constant(value)
            if array is None:
                return None
            ends.append(float(array.reshape(-1)[0]))
        else:
            held = node.attributes.get(attribute)  # before opset 11
            ends.append(None if held is None else held.as_float())
    return ends[0], ends[1]


def _clips_from_zero(node: ir.Node) -> bool:
    ends = _clip_ends(node) if node.op_type == "Clip" else None
    return ends is not None and ends[0] == 0


def _scale_end(graph: ir.Graph, found: _Found, factors: NDArray[np.float32]) -> None:
    """Put ``Relu -> Min`` in the place of ``Clip(0, high)``."""
    clip = found.activation
    assert clip is not None  # the caller saw to it
    ends = _clip_ends(clip)
    assert ends is not None  # of a link
    built = Builder()
    output = built.op("Relu", [clip.inputs[0]], f"{clip.name}.relu", ir.DataType.FLOAT)
    if ends[1] is not None:
        high = np.float32(ends[1]) * factors
        if found.maker.axis == SECOND:
            weight = constant(found.maker.node.inputs[1])
            assert weight is not None  # a convolution's
            high = high.reshape(-1, *[1] * (weight.ndim - 2))
        output = built.op(
            "Min", [output, built.constant(f"{clip.name}.high", high)], clip.name or "", ir.DataType.FLOAT
        )
    built.register(graph, instead=clip)
    replace_node(graph, clip, built.nodes, output)
