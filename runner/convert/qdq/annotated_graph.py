"""The graph that the passes hand on, with what is known of every QuantizeLinear and DequantizeLinear in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from runner.convert.qdq.activations.pairs import Pairs
from runner.convert.qdq.annotation import Annotation
from runner.convert.qdq.constants.constant import Constants
from runner.convert.qdq.constants.uses import ConstantUse
from runner.convert.qdq.layers.source import LayerSource
from runner.convert.qdq.report import LayerConversion, NodeUse
from runner.graph.layers import FoundLayers
from runner.record import QuantizedLayers


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedGraph:
    """A copy of a source on its way to a float model.

    Each pass takes it over from the one before, changes ``model`` in place and returns it with what was found out.

    Attributes:
        model: the copy.
        nodes: every QuantizeLinear and DequantizeLinear of the source, in graph order.
        pairs: those of activations, and how far their rounding reaches.
        constants: those of constants: the integers of each value that is one.
        constant_uses: who reads these.
        sources: what the source says of each layer, by name.
        coarse_outputs: names of the outputs that come rounded, or follow from such values one by one.
        found: the layers of the float model; known once its constants are.
        form: integers and scales of the layers and tensors that are quantized; known once they are converted.
        conversions: what became of each layer.
        users: the names in ``form``, each with what it is.
        annotations: whom each of the nodes serves, or why it is dropped.
    """

    model: ir.Model
    nodes: Sequence[ir.Node]
    pairs: Pairs
    constants: Constants
    constant_uses: Sequence[ConstantUse]
    sources: Mapping[str, LayerSource]
    coarse_outputs: tuple[str, ...]
    found: FoundLayers = field(default_factory=lambda: FoundLayers((), ()))
    form: QuantizedLayers = field(default_factory=lambda: QuantizedLayers({}, {}))
    conversions: tuple[LayerConversion, ...] = ()
    users: Mapping[str, NodeUse] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()

    @property
    def steps(self) -> int:
        """How many layers are to be converted and pairs to be bypassed."""
        return len(self.found.layers) + len(self.pairs.of)

    @property
    def floats(self) -> dict[str, str]:
        """Why layers stay float, by name."""
        return {layer.name: layer.reason or "" for layer in self.conversions if layer.status == "float"}
