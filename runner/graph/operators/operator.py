"""What an operator says of itself so that its nodes can be layers, and the layer that comes of a node.

Whoever quantizes, simulates, corrects or writes a layer asks these values and compares no names of operators; only the checks
of a written file (``runner.lint``, ``runner.verify``) know the operators for themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.builder import Builder
from runner.graph.layout import Layout
from runner.graph.limits import Limits
from runner.wording import say

# An input of the node's own, or a float Add behind it that alone reads its output.
BiasPlace = Literal["input", "add behind", "none"]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Of one layer and one item: multiply-accumulates (for AveragePool additions), and values in the output."""

    macs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Unweighted:
    """How an operator without weights is computed on integers: it sums codes, all with weight 1.

    Attributes:
        ones: a node -> what stands in the place of its weight, int8 ones [1, 1, k...].
        mean: puts nodes into a builder that compute the operator on float tensors that hold integers, exactly:
            ``mean(build, node, codes, prefix)``.
        largest_sum: that ``mean`` is exact below.
    """

    ones: Callable[[ir.Node], NDArray[np.int8]] = field(compare=False)
    mean: Callable[[Builder, ir.Node, ir.Value, str], ir.Value] = field(compare=False)
    largest_sum: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Operator:
    """A type of node that can be a layer. Two are told apart by what is no function, as in the keys of stored results.

    Attributes:
        op_type: its name in ONNX, in the default domain.
        why_not: why a node of it is no layer, beyond what is asked of all; None where it is one. Its weight is a constant,
            of float32, not empty and its own.
        layout: how a node stores its weight.
        spatial: how many axes a node has behind the channels; 0 for a product of matrices.
        cost: of a layer, from its node and the shape of its input with batch axis.
        output_axis: of the channels, in the output.
        bias: where its bias stands.
        has_patches: whether what its weights multiply can be cut out of its input, as columns of a matrix product: rows of
            the input, or with axes behind the channels what a convolution with the node's attributes reads.
        integer_operator: ONNX's operator for its sums.
        is_convolution: whether its weight has a kernel and a factor for each output channel can go into it.
        unweighted: how it is computed, where it has no weight.
        constant_data: why it is no layer where its first input is a constant.
        computed_weight: why it is no layer where its weight is no constant.
    """

    op_type: str
    why_not: Callable[[ir.Node, Limits], str | None] = field(compare=False)
    layout: Callable[[ir.Node], Layout] = field(compare=False)
    spatial: Callable[[ir.Node], int] = field(compare=False)
    cost: Callable[[ir.Node, Layer, tuple[int, ...]], LayerCost] = field(compare=False)
    output_axis: int = 1
    bias: BiasPlace = "input"
    has_patches: bool = False
    integer_operator: Literal["ConvInteger", "MatMulInteger"] | None = None
    is_convolution: bool = False
    unweighted: Unweighted | None = None
    constant_data: str = say("the data input is a constant")
    computed_weight: str = "the weight is computed by the graph, not a constant"

    def __repr__(self) -> str:
        return self.op_type


@dataclass(frozen=True, slots=True)
class Layer:
    """A quantizable node, by names; the graph itself stays where it is.

    Attributes:
        name: of the node.
        operator: what it is.
        input: name of the activation it reads.
        weight: name of its weight initializer; None for an operator without one.
        bias: name of its bias initializer, or None.
        layout: how its weight is stored.
        channels: number of output channels; 1 for an operator without weight, which treats all alike.
        per_channel: whether the target takes one weight scale per channel or one in all.
        spatial: number of axes behind the channels in its input and output; 0 for a product of matrices.
        symmetric: whether the target takes only zero point 0 for its input.
        largest_code: of its weight that the target's kernels take; the smallest is its negative less 1.
    """

    name: str
    operator: Operator
    input: str
    weight: str | None
    bias: str | None
    layout: Layout
    channels: int
    per_channel: bool
    spatial: int = 0
    symmetric: bool = False
    largest_code: int = 127

    @property
    def op_type(self) -> str:
        """The operator's name in ONNX."""
        return self.operator.op_type

    @property
    def group(self) -> int:
        """Number of groups of channels."""
        return self.layout.group

    @property
    def output_axis(self) -> int:
        """Axis of the output channels, in the output."""
        return self.operator.output_axis

    @property
    def bias_behind(self) -> bool:
        """Whether its bias is the constant of a float Add behind it."""
        return self.operator.bias == "add behind"
