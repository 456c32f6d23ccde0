"""One node written in other operators: the nodes of an ONNX function put in its place."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

# Functions live under it for as long as it takes to put their nodes in place.
_DOMAIN = "runner.bodies"


class Bodies:
    """Collects a body for each node that gets one, and puts them all in place at once.

    Args:
        model: changed in place by ``put``; nodes have names of their own, those inside If and Loop bodies included.
    """

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._functions: list[ir.Function] = []

    def replace(self, node: ir.Node, inputs: Iterable[str], outputs: Iterable[str], body: onnx.GraphProto) -> None:
        """Have ``node`` replaced by the nodes and constants of ``body``.

        Args:
            node: its first inputs and outputs are those of the body, in order; it may have fewer.
            inputs: names in the body, as many as the operator may have.
            outputs: names in the body, of the node's outputs.
            body: nodes, which may read initializers.
        """
        constants = [onnx.helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in body.initializer]
        self._replace(node, list(inputs), list(outputs), [*constants, *body.node], {})

    def replace_by_function(self, node: ir.Node, function: onnx.FunctionProto) -> None:
        """Have ``node`` replaced by the body that ONNX's own schema gives for it."""
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        nodes = list(function.node)
        # A function may leave out an output that nobody asks for, in the middle of its list.
        made = {name for inner in nodes for name in inner.output}
        for name in sorted(set(function.output[: len(node.outputs)]) - made):
            nodes.append(onnx.helper.make_node("Identity", [function.input[0]], [name]))
        self._replace(node, list(function.input), list(function.output), nodes, defaults)

    def put(self) -> None:
        """Put the collected bodies in place; outputs keep their names."""
        for function in self._functions:
            self._model.functions[function.identifier()] = function
        if self._functions:
            passes.InlinePass(criteria=lambda function: function.domain == _DOMAIN)(self._model)
        self._functions.clear()

    def _replace(
        self,
        node: ir.Node,
        inputs: list[str],
        outputs: list[str],
        nodes: list[onnx.NodeProto],
        defaults: dict[str, onnx.AttributeProto],
    ) -> None:
        for place, output in enumerate(node.outputs):
            # Outputs that are left out have no name, which no other node's may take over.
            output.name = output.name or f"{node.name}.unused{place}"
        name = f"body{len(self._functions)}"
        opset = self._model.opset_imports[""]
        given = [attribute for attribute in node.attributes if attribute not in defaults]
        proto = onnx.helper.make_function(
            _DOMAIN,
            name,
            inputs,
            outputs[: len(node.outputs)],
            nodes,
            [onnx.helper.make_opsetid("", opset)],
            attributes=given,
            attribute_protos=list(defaults.values()),
        )
        function = ir.serde.deserialize_function(proto)
        for index, inner in enumerate(function):
            inner.name = f"{node.name}.{inner.op_type}_{index}"
            for output in inner.outputs:
                output.name = f"{node.name}.{output.name}"
        self._functions.append(function)
        node.domain, node.op_type = _DOMAIN, name
