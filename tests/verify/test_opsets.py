"""Operators whose form changes from opset to opset, between two layers: attributes here, inputs there, other names elsewhere.

Each model goes through both files at every opset at which the form is another, and at those beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.data import noise
from tests.verify.one_node import F, put_through

OPSETS = (7, 9, 10, 11, 12, 13, 18, 24)


def floats(*values):
    return np.array(values, F)


def integers(*values):
    return np.array(values, np.int64)


@dataclass
class Between:
    """Nodes from ``a``, [1, 4, 6, 6], to ``m``, which has four channels too."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, op_type, *inputs, to="m", **attributes):
        """Append a node; an array among its inputs becomes a constant, and several names in ``to`` are several outputs."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                name = f"k{len(self.constants)}"
                self.constants[name] = value
                value = name
            names.append(value)
        self.nodes.append(helper.make_node(op_type, names, to.split(), name=f"{op_type}_{to}", **attributes))
        return self


def over(opset, since, key, values):
    """Return what says ``values``: an input from ``since`` on, before it an attribute."""
    return ([integers(*values)], {}) if opset >= since else ([], {key: list(values)})


def squeezed(opset):
    inputs, attributes = over(opset, 13, "axes", [0])
    return Between().add("Unsqueeze", "a", *inputs, to="q", **attributes).add("Squeeze", "q", *inputs, **attributes)


def reduced(op_type, since):
    def nodes(opset):
        inputs, attributes = over(opset, since, "axes", [2, 3])
        return Between().add(op_type, "a", *inputs, keepdims=1, **attributes)

    return nodes


def split(opset):
    if opset >= 18:
        halves = Between().add("Split", "a", to="s t", axis=1, num_outputs=2)
    else:
        inputs, attributes = over(opset, 13, "split", [2, 2])
        halves = Between().add("Split", "a", *inputs, to="s t", axis=1, **attributes)
    return halves.add("Concat", "t", "s", axis=1)


def clip(opset):
    bounds = (["", F(0.5)], {}) if opset >= 11 else ([], {"max": 0.5})
    return Between().add("Clip", "a", *bounds[0], **bounds[1])


def dropout(opset):
    ratio = ([F(0.3)], {}) if opset >= 12 else ([], {"ratio": 0.3})
    return Between().add("Dropout", "a", *ratio[0], **ratio[1])


def pad(opset):
    inputs, attributes = over(opset, 11, "pads", [0, 0, 1, 2, 0, 0, 2, 1])
    return Between().add("Pad", "a", *inputs, **attributes)


def pad_of_axes(opset):
    return Between().add("Pad", "a", integers(1, 2, 2, 1), "", integers(2, 3)) if opset >= 18 else pad(opset)


def resize(opset):
    scales = floats(1, 1, 2, 2)
    if opset >= 13:
        return Between().add("Resize", "a", "", scales, mode="nearest")
    if opset >= 11:
        return Between().add("Resize", "a", floats(), scales, mode="nearest")
    if opset >= 9:
        return Between().add("Resize" if opset >= 10 else "Upsample", "a", scales, mode="nearest")
    return Between().add("Upsample", "a", mode="nearest", scales=[1.0, 1.0, 2.0, 2.0])


def sliced(opset):
    if opset >= 10:
        return Between().add("Slice", "a", integers(1), integers(5), integers(2))
    return Between().add("Slice", "a", starts=[1], ends=[5], axes=[2])


def largest(opset):
    inputs, attributes = ([integers(4)], {}) if opset >= 10 else ([], {"k": 4})
    return Between().add("TopK", "a", *inputs, to="m places", axis=1, **attributes)


def normalized(opset):
    parameters = (floats(1, 2, -1, 0.5), floats(0, 1, 2, 3), floats(1, 0, 1, 0), floats(1, 2, 3, 4))
    return Between().add("Relu", "a", to="r").add("BatchNormalization", "r", *parameters)


def softmax(opset):
    return Between().add("Softmax", "a", axis=1)


def softmax_by_default(opset):
    return Between().add("Softmax", "a")


def pooled(opset):
    return Between().add("AveragePool", "a", kernel_shape=[2, 2], pads=[1, 0, 0, 1])


FORMS = {
    "Squeeze": squeezed,
    "ReduceMean": reduced("ReduceMean", 18),
    "ReduceSum": reduced("ReduceSum", 13),
    "ReduceL2": reduced("ReduceL2", 18),
    "Split": split,
    "Clip": clip,
    "Dropout": dropout,
    "Pad": pad,
    "Pad of some axes": pad_of_axes,
    "Resize": resize,
    "Slice": sliced,
    "TopK": largest,
    "BatchNormalization": normalized,
    "Softmax": softmax,
    "Softmax of all": softmax_by_default,
    "AveragePool": pooled,
}


def between_layers(form, opset):
    """Return a model of a convolution, some nodes, and a convolution that reads them."""
    between = FORMS[form](opset)
    constants = {"v": noise(1, 4, 2, 3, 3) / F(3), "w": noise(2, 3, 4, 1, 1), "b": noise(3, 3), **between.constants}
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], name="first", pads=[1, 1, 1, 1]),
        *between.nodes,
        helper.make_node("Conv", ["m", "w", "b"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, 6, 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    ir_version = 8 if opset < 19 else 10 if opset < 23 else 11
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


@pytest.mark.parametrize("form", FORMS)
def test_layers_around_an_operator_are_quantized_whatever_form_it_has(form, tmp_path):
    x = noise(5, 1, 2, 6, 6)
    for opset in OPSETS:
        outcome = put_through(tmp_path, between_layers(form, opset), x)
        # The one of a BatchNormalization that is not folded stays float, and is told; no layer does.
        assert not [reason for reason in outcome.left if not reason.startswith("it is not folded")], opset
        assert outcome.sqnr_db >= 25, opset
