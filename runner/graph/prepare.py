"""From the model as exported to an equal float model that is easier to quantize.

Every step is exact in real numbers; what it does to the float32 outputs is one rounding per folded weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.graph.batch_weight import drop_leading_ones
from runner.graph.batchnorm import Folds, fold_batchnorm, into_all
from runner.graph.batchnorm_before import fold_batchnorm_before
from runner.graph.batchnorm_by_place import write_out_batchnorm_by_place
from runner.graph.branches import take_constant_branches
from runner.graph.channelwise import fold_channelwise
from runner.graph.einsum_products import write_products
from runner.graph.functions import inline_functions
from runner.graph.half import widen_half
from runner.graph.held import held_back
from runner.graph.identities import remove_identities
from runner.graph.limits import Limits
from runner.graph.lower import Lowered, Takes, everything, lower
from runner.graph.naming import name_inner_nodes, name_nodes
from runner.graph.one_axis import spread_over_two_axes
from runner.graph.other_quantizers import refuse_quantized
from runner.graph.own_weights import separate_weights
from runner.graph.plain_gemm import make_gemms_plain
from runner.graph.random_operators import refuse_random

# What may stand between a stored weight and its layer, without making it larger; the products are weight normalization.
_LAYOUT_OPS = ("Transpose", "Reshape", "Cast", "Identity", "Squeeze", "Unsqueeze", "Flatten", "Mul", "Div")


@dataclass(frozen=True, slots=True, eq=False)
class PreparedGraph:
    """The float model that calibration, search and both writers start from.

    Attributes:
        graph: at the source's opset, or the deploy model's where the source is newer.
        named: names given to nodes that had none, or shared one.
        folded: names of the BatchNormalization nodes that were folded, and of operators that stand for one.
        widened: whether the source computes in float16, and this in float32.
        lowered: what was done for the sake of the deploy model's opset.
        by_place: names of the BatchNormalization nodes that were written as Mul and Add.
    """

    graph: ir.Model
    named: tuple[str, ...]
    folded: tuple[str, ...]
    widened: bool
    lowered: Lowered
    by_place: tuple[str, ...] = ()


def tidy(model: ir.Model) -> list[str]:
    """Inline functions, name nodes, make constants initializers and take these off the list of inputs.

    Returns:
        The names made.
    """
    named = [*inline_functions(model), *name_nodes(model)]
    passes.RemoveInitializersFromInputsPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return named


def prepare(source: ir.Model, limits: Limits, folds: Folds = into_all, takes: Takes = everything) -> PreparedGraph:
    """Return the float model to quantize; the source is left as it is.

    Args:
        source: as it was read.
        folds: nothing is folded into a layer whose name it says no to.
        takes: which operators the reader of the deploy model has; others are written in those, where ONNX says how.
        limits: what the target holds in int8; a layer that it holds in another form is written in that.

    Raises:
        ModelError: the model is quantized already, by whatever tool, or draws random numbers.
    """
    model = source.clone()
    named = tidy(model)
    refuse_quantized(list(model.graph.all_nodes()))
    refuse_random(model.graph.all_nodes())
    name_inner_nodes(model)
    widened = widen_half(model)
    if model.opset_imports[""] > limits.newest_opset:
        # Before it is lowered: what is a constant needs no older form.
        _fold_constants(model)
    lowered = lower(model, limits.newest_opset, takes)
    _fold_constants(model)
    by_place = write_out_batchnorm_by_place(model)
    write_products(model)
    separate_weights(model.graph)
    # Chains fold link by link: what one step leaves behind the convolution, the next may take.
    folded: list[str] = []
    while more := [*fold_batchnorm(model, folds=folds), *fold_channelwise(model, folds)]:
        folded += more
    folded += fold_batchnorm_before(model, folds)
    make_gemms_plain(model)
    drop_leading_ones(model, limits)
    spread_over_two_axes(model, limits)
    passes.RemoveUnusedNodesPass()(model)
    return PreparedGraph(model, tuple(named), tuple(folded), widened, lowered, tuple(by_place))


def _fold_constants(model: ir.Model) -> None:
    # Imported here: onnxscript takes a second to load, and only this step needs it.
    from onnxscript.optimizer import fold_constants

    # The size limits are for what grows; a weight behind a Cast or Transpose is folded whatever its size.
    name_inner_nodes(model)
    while True:
        with held_back(model):
            fold_constants(model, should_fold=lambda node: True if node.op_type in _LAYOUT_OPS else None)
        # Folding leaves Identity nodes and Constant nodes behind.
        remove_identities(model)
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        # What a branch gives may decide the next.
        if not take_constant_branches(model):
            break
    name_nodes(model)
