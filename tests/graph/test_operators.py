"""The list of operators, and what layers of them are told apart by."""

from __future__ import annotations

import numpy as np
import pytest

from runner.graph.layers import LAYER_TYPES, find_layers
from runner.graph.operators import OPERATORS
from runner.store.key import stage_key
from runner.targets.ascend.limits import ASCEND
from tests.models import model

ONES = np.ones((3, 3), np.float32)


def test_every_operator_stands_in_the_list_under_its_name() -> None:
    assert LAYER_TYPES == ("Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool")
    assert [operator.op_type for operator in OPERATORS.values()] == list(LAYER_TYPES)


@pytest.mark.parametrize("text", ["Gemm (x, w)", "MatMul (x, w)"])
def test_layers_can_be_part_of_a_key_of_stored_results(text: str) -> None:
    layers = find_layers(model(f"g (float[2,3] x) => (float[2,3] y) {{ [a] y = {text} }}", w=ONES), ASCEND).layers
    assert len(layers) == 1
    assert stage_key("stage", [1], layers) is not None


def test_operator_decides_the_key_of_a_layer() -> None:
    keys = {stage_key("stage", [1], OPERATORS[op_type]) for op_type in LAYER_TYPES}
    assert len(keys) == len(LAYER_TYPES) and None not in keys
