"""The graph that the passes hand on, and what is known of it: activations, constants, layers, and what becomes of each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.convert.qdq.report import ConversionReport, LayerConversion, NodeAccount, NodeUse, Role
from runner.graph.batchnorm import Affine
from runner.graph.constants import Array
from runner.graph.layers import LayeredModel
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers
from runner.wording import say

_STRONGEST_FIRST: Sequence[NodeUse] = ("layer", "tensor", "output")


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An activation that is rounded: QuantizeLinear, then DequantizeLinear.

    Attributes:
        quantize: None where the DequantizeLinear reads integers that no node of the graph quantized (an int8 input).
        dequantize: its output is what the float operators read.
        params: as a record holds them, zero point in int8; None where the pair is not accepted.
        refusal: why it is not accepted.
        dtype, scale, zero_point: as the source states them; zeros where they cannot be read.
        codes: lowest and highest code that can occur; narrower than the type where a Clip stands between the two nodes.
        narrowed: whether one does.
    """

    quantize: ir.Node | None
    dequantize: ir.Node
    params: ActivationParams | None
    refusal: str | None
    dtype: str
    scale: float
    zero_point: int
    codes: tuple[int, int]
    narrowed: bool

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The nodes that it has."""
        return (self.dequantize,) if self.quantize is None else (self.quantize, self.dequantize)

    @property
    def limits(self) -> tuple[float, float]:
        """The real values that the lowest and the highest code stand for."""
        low, high = (float(np.float32(code - self.zero_point) * np.float32(self.scale)) for code in self.codes)
        return low, high

    @property
    def unreadable(self) -> bool:
        """Whether its limits cannot be said: the graph computes them, there are several, or codes are no integers."""
        return not self.codes[0] < self.codes[1]

    def covers(self, limits: tuple[float, float]) -> bool:
        """Return whether values within ``limits`` are never saturated."""
        return self.limits[0] <= limits[0] and limits[1] <= self.limits[1]

    def on_grid_of(self, other: Pair) -> bool:
        """Return whether two pairs round to the same values."""
        return (self.scale, self.zero_point, self.dtype) == (other.scale, other.zero_point, other.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The activation pairs of a graph, and how far each reaches.

    Attributes:
        of: pairs by their DequantizeLinear, in graph order.
        rounding: for each value the pair that rounded it, also where operators stand between that rounding commutes with;
            of several that are equal, the first.
        made: the pairs that read the codes of a QuantizeLinear.
    """

    of: Mapping[ir.Node, Pair]
    rounding: Mapping[ir.Value, Pair]
    made: Mapping[ir.Node, Sequence[Pair]]


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedConstant:
    """A constant that the source stores as integers, or rounds.

    Attributes:
        integers: ``q - zero_point``, int64.
        scales: same shape as ``integers`` (a view), never negative, so that both can be moved alike.
        dtype: of the codes in the source.
        axis: that the scales lie along, in the shape the source stores; None where there is one in all.
        granularity: ``per tensor``, ``per channel`` or ``blocks``.
        zero_points: lowest and highest of the source's zero points.
        nodes: the DequantizeLinear, and the QuantizeLinear where the source has one.
        computed: what the source makes of the dequantized values before they are read, where that is more than to move
            them; None for nothing.
        off_grid: the elements of ``computed`` that are no integer times their scale; None where all are.
    """

    integers: NDArray[np.int64]
    scales: NDArray[Any]
    dtype: str
    axis: int | None
    granularity: str
    zero_points: tuple[int, int]
    nodes: tuple[ir.Node, ...]
    computed: Array | None = None
    off_grid: NDArray[np.bool_] | None = None

    @property
    def real(self) -> Array:
        """The values as the source has them: ``fl32((q - zero_point) * scale)``, and what is computed of them."""
        if self.computed is not None:
            return self.computed
        return np.asarray(self.integers.astype(self.scales.dtype) * self.scales)

    def moved(self, move: Callable[[Array], Array]) -> QuantizedConstant:
        """Return the constant with its elements moved (transposed, reshaped, broadcast)."""
        integers = np.asarray(move(self.integers), np.int64)
        # One scale for all needs no moving, which would make as many copies of it as there are weights.
        one = self.scales.size > 0 and not any(self.scales.strides)
        scales = np.broadcast_to(self.scales.flat[0], integers.shape) if one else move(self.scales)
        return replace(
            self,
            integers=integers,
            scales=scales,
            computed=None if self.computed is None else move(self.computed),
            off_grid=None if self.off_grid is None else np.asarray(move(self.off_grid), np.bool_),
        )


Constants = Mapping[ir.Value, QuantizedConstant]


@dataclass(frozen=True, slots=True, eq=False)
class ConstantUse:
    """A dequantized constant, the node that reads it, and its role there; None where that node is no layer."""

    constant: QuantizedConstant
    user: str
    role: Role | None


@dataclass(frozen=True, slots=True, eq=False)
class BiasSource:
    """A bias as the source has it: ``real``, shape (channels,), and its integers where it is stored in int32."""

    real: NDArray[np.float64]
    stored: QuantizedConstant | None


@dataclass(frozen=True, slots=True, eq=False)
class FoldedBatchNorm:
    """A BatchNormalization that stood behind a convolution: its name and what it computes."""

    name: str
    affine: Affine


@dataclass(frozen=True, slots=True, eq=False)
class LayerSource:
    """What the source says about one layer.

    Attributes:
        pair: what rounds its input.
        weight: its integers, in the layout of the float weight of the model that is read.
        bias: None where it has none.
        window: int8 ones [1, 1, kh, kw] for an AveragePool, which has no weight; None for the others.
        batchnorm: folded into it.
        looked_through: the Identity and Cast that stood beside the QuantizeLinear and DequantizeLinear of its input, weight
            and bias, and where.
    """

    pair: Pair | None
    weight: QuantizedConstant | None
    bias: BiasSource | None
    window: NDArray[np.int8] | None = None
    batchnorm: FoldedBatchNorm | None = None
    looked_through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """One thing that is known of nodes which belong together: whom they serve, or why they are dropped.

    Attributes:
        nodes: of the source.
        reason: why they serve nobody, or what else there is to know.
        use: what ``user`` is; ``dropped`` where there is none.
        role: what the nodes quantize there.
        user: the layer (by name), tensor (``<node>:<input>``) or model output that they serve.
    """

    nodes: Sequence[ir.Node]
    reason: str | None = None
    use: NodeUse = "dropped"
    role: Role | None = None
    user: str | None = None


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
    found: LayeredModel
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

    def report(self) -> ConversionReport:
        """Return what became of each layer and node; a node that serves several has one account with several users."""
        known: dict[ir.Node, list[Annotation]] = {}
        for annotation in self.annotations:
            for node in annotation.nodes:
                known.setdefault(node, []).append(annotation)
        return ConversionReport(self.conversions, tuple(_account(node, known.get(node, ())) for node in self.nodes))


def _account(node: ir.Node, known: Sequence[Annotation]) -> NodeAccount:
    use: NodeUse = next((use for use in _STRONGEST_FIRST if any(a.use == use for a in known)), "dropped")
    in_layers = [a.role for a in known if a.use == "layer"]
    role = in_layers[-1] if in_layers else next((a.role for a in known if a.role is not None), None)
    users = dict.fromkeys(a.user for a in known if a.user is not None)
    reasons = dict.fromkeys(a.reason for a in known if a.reason is not None)
    reason = "; ".join(reasons) or (say("nothing reads it") if use == "dropped" else None)
    return NodeAccount(node.name or "", node.op_type, use, role, tuple(users), reason)
