"""What an old Upsample, Resize and Hardmax gave is what they give once they are raised, by onnxruntime's reading of both."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.errors import ModelError
from runner.graph.naming import name_nodes
from runner.graph.opset import raise_opset
from tests.data import noise
from tests.models import model, plain_session

IMAGE = "g (float[1,2,6,6] x) => (float[A,B,C,D] y) {"
TWICE, THRICE, LESS = (np.array([1, 1, scale, scale], np.float32) for scale in (2, 3, 0.5))
CASES = [
    pytest.param(
        7, f'{IMAGE} y = Upsample <mode = "{mode}", scales = [1.0, 1.0, 2.0, 3.0]> (x) }}', {}, id=f"Upsample 7 {mode}"
    )
    for mode in ("nearest", "linear")
]
CASES += [
    pytest.param(
        opset, f'{IMAGE} y = {op} <mode = "{mode}"> (x, s) }}', {"s": scale}, id=f"{op} {opset} {mode} {scale[2]}"
    )
    for op, opset in (("Upsample", 9), ("Resize", 10))
    for mode in ("nearest", "linear")
    for scale in (TWICE, THRICE, LESS, np.array([1, 1, 1.7, 2.3], np.float32))
    if op == "Resize" or scale is not LESS
]
CASES += [
    pytest.param(opset, f"{IMAGE} y = Hardmax <axis = {axis}> (x) }}", {}, id=f"Hardmax {opset} over {axis}")
    for opset in (7, 11, 12)
    for axis in (0, 1, 2, 3)
]


@pytest.mark.parametrize(("opset", "graph", "constants"), CASES)
def test_raised_operator_means_what_it_meant(opset: int, graph: str, constants: dict[str, NDArray]) -> None:
    source = model(graph, opset=opset, ir_version=4, **constants)
    name_nodes(source)
    raised = raise_opset(source)
    assert raised.opset_imports[""] == 13
    x = noise(3, 1, 2, 6, 6)
    expected, got = (plain_session(built).run(None, {"x": x})[0] for built in (source, raised))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    if "Hardmax" not in graph:
        assert [node.name for node in raised.graph if node.op_type == "Resize"] == [node.name for node in source.graph]


def test_nearest_resize_to_both_sides_is_refused_by_name() -> None:
    source = model(f"{IMAGE} y = Resize (x, s) }}", opset=10, ir_version=4, s=np.array([1, 1, 2, 0.5], np.float32))
    name_nodes(source)
    with pytest.raises(
        ModelError, match=r"Resize 'Resize_0' makes one axis larger and another smaller, .* opset 11 or later"
    ):
        raise_opset(source)
