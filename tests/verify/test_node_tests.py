"""The ONNX project's own node tests of every layer type, their weights baked in, through both files.

The two files have to give the same bits, and near what the project expects. What stays float is listed here with its reason.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case import node as node_cases

from runner.graph.layers import LAYER_TYPES
from tests.verify.one_node import put_through

# A node test's name -> why it stays float.
THREE_AXES = "an average over 3 axes is not quantized; only over 1 or 2"
LEFT = {
    "test_convtranspose_3d": "a transposed convolution over 3 axes is not quantized; only over 1 or 2",
    "test_convtranspose_dilations": "a transposed convolution is quantized only with dilations of 1",
    "test_matmul_1d_1d": "the weight is a vector: a product with one output has nothing to gain",
    "test_matmul_4d_1d": "the weight is a vector: a product with one output has nothing to gain",
    "test_matmul_1d_3d": "a vector times a batch of matrices is not quantized",
    "test_averagepool_2d_ceil_last_window_starts_on_pad": (
        "with its ceil_mode a window could lie in the padding alone"
    ),
    "test_averagepool_2d_dilations": (
        "an average with dilations is not quantized: the opsets that targets take have none"
    ),
    **dict.fromkeys(
        (
            "test_averagepool_3d_default",
            "test_averagepool_3d_dilations_small",
            *(
                f"test_averagepool_3d_dilations_large_count_include_pad_is_{pad}_ceil_mode_is_{ceil}"
                for pad in (0, 1)
                for ceil in (True, False)
            ),
        ),
        THREE_AXES,
    ),
}


def layer_cases(monkeypatch):
    """Return the node tests of layer types by name, from the modules that hold them: all others take ten seconds more."""

    def import_those_of_layers(_package):
        for op_type in LAYER_TYPES:
            importlib.import_module(f"{node_cases.__name__}.{op_type.lower()}")

    monkeypatch.setattr(sys.modules[node_cases.__name__], "import_recursive", import_those_of_layers)
    cases = node_cases.collect_testcases(None)
    return {case.name: case for case in cases if {node.op_type for node in case.model.graph.node} <= set(LAYER_TYPES)}


def with_weights(case) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """Return the model of a case with all inputs but the data as initializers, the data, and the output expected."""
    inputs, outputs = case.data_sets[0]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    names = [value.name for value in model.graph.input]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in zip(names[1:], inputs[1:], strict=True)
    )
    del model.graph.input[1:]
    return model, np.asarray(inputs[0]), np.asarray(outputs[0])


def test_both_files_give_the_same_bits_for_every_node_test_of_a_layer(monkeypatch, tmp_path):
    cases = layer_cases(monkeypatch)
    # Those of onnx 1.17; later ones have more.
    assert len(cases) >= 50
    left = {}
    for name, case in cases.items():
        model, x, expected = with_weights(case)
        outcome = put_through(tmp_path, model, x)
        np.testing.assert_allclose(outcome.expected, expected, rtol=case.rtol, atol=1e-5)
        assert outcome.output.shape == expected.shape, name
        if outcome.left:
            left[name] = outcome.left[0]
        else:
            assert outcome.sqnr_db >= 35, name
    assert left == {name: reason for name, reason in LEFT.items() if name in cases}
