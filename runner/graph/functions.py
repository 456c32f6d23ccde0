"""Model-local functions, put in the place of the nodes that call them, so that what they hold becomes layers."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.errors import ModelError
from runner.graph.naming import name_nodes

_UNNAMED = "\0"
_MEND = "Export the model again with its functions inlined (onnx.inliner.inline_local_functions)."


def inline_functions(model: ir.Model) -> list[str]:
    """Inline every function, in bodies too, and return the names made; duplicates of a name get a numeric suffix.

    Changes the model it is given.

    Raises:
        ModelError: a function calls itself, takes a graph as attribute, or means another version of an operator.
    """
    drop_unused: ir.passes.PassBase = passes.RemoveUnusedFunctionsPass()  # type: ignore[no-untyped-call]
    drop_unused(model)  # what nobody calls says nothing
    if not model.functions:
        return []
    for function in model.functions.values():
        _give_own_outputs(function)
        _adopt_opsets(function, model)
        for node in function:
            node.name = node.name or _UNNAMED
    try:
        passes.InlinePass()(model)
    except (ir.passes.PassError, ir.passes.InvariantError, ValueError) as error:
        raise ModelError(
            f"model.path: the model's functions cannot be inlined: {_innermost(error)}. {_MEND}"
        ) from error
    model.functions.clear()
    for node in model.graph.all_nodes():
        # Named by its place in the graph later, like any other.
        node.name = None if (node.name or "").startswith(_UNNAMED) else node.name
    named = name_nodes(model)
    # What a function calls its values may be what a body around the call, or behind it, calls others.
    passes.NameFixPass()(model)
    return named


def _give_own_outputs(function: ir.Function) -> None:
    """Put an Identity behind an output that no node of the function makes, or that it gives twice."""
    for index, value in enumerate(function.outputs):
        if value.producer() is not None and value not in function.outputs[:index]:
            continue
        output = ir.Value(name=f"{value.name}.output{index}", type=value.type, shape=value.shape)
        function.append(ir.node("Identity", [value], name=f"{function.name}_output{index}", outputs=[output]))
        function.outputs[index] = output


def _adopt_opsets(function: ir.Function, model: ir.Model) -> None:
    """Let a function import what the model imports where its operators mean the same in both versions."""
    for domain, version in list(function.opset_imports.items()):
        wanted = model.opset_imports.get(domain, version)
        if wanted == version:
            continue
        for node in function.all_nodes():
            if node.domain == domain and _since(node, version) != _since(node, wanted):
                raise ModelError(
                    f"model.path: function '{function.name}' is written for version {version} of the domain '{domain}', the "
                    f"model for {wanted}, and {node.op_type} '{node.name}' means something else in it; expected one version. "
                    f"{_MEND}"
                )
        function.opset_imports[domain] = wanted


def _since(node: ir.Node, version: int) -> int | None:
    try:
        return int(onnx.defs.get_schema(node.op_type, version, node.domain).since_version)
    except onnx.defs.SchemaError:
        return None


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0][:200].rstrip(".")
