"""Inputs fixed at a value: the same outputs as if it were fed, and no such input any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from runner.errors import ConfigError
from runner.graph.digest import graph_digest
from runner.graph.fixed_inputs import fix_inputs
from runner.graph.model_file import SourceModel, load_model
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import proto

HEAD = "g (float[N,8] x, int64 rate, float[2] gain, bool loud, float16[1,M] half) => (float[N,4] y, int64 r)"
BODY = """{
    [a] h = MatMul(x, w) f = Cast<to=1>(rate) m = Mul(h, f)
    two = ReduceSum<keepdims=0>(gain) s = Mul(m, two)
    l = Cast<to=1>(loud) n = Add(s, l) k = Cast<to=1>(half) c = ReduceSum<keepdims=0>(k) y = Add(n, c)
    r = Identity(rate)
}"""
CONSTANTS: dict[str, Any] = {"rate": 16, "gain": [0.5, 2], "loud": True, "half": [[1, 2, 3]]}


@pytest.fixture
def source(tmp_path: Path) -> SourceModel:
    path = tmp_path / "net.onnx"
    path.write_bytes(proto(HEAD + BODY, w=noise(0, 8, 4)).SerializeToString())
    return load_model(path)


def run(model: ir.Model, feeds: dict[str, Any]) -> list[np.ndarray]:
    data = ir.to_proto(model).SerializeToString()
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feeds)


def test_outputs_are_those_of_the_value_fed(source: SourceModel) -> None:
    x = noise(1, 3, 8)
    fed = {
        "x": x,
        "rate": np.array(16),
        "gain": np.float32([0.5, 2]),
        "loud": np.array(True),
        "half": np.float16([[1, 2, 3]]),
    }
    fixed = fix_inputs(source, CONSTANTS)
    assert [value.name for value in fixed.graph.graph.inputs] == ["x"]
    onnx.checker.check_model(ir.to_proto(fixed.graph), full_check=True)
    expected = run(source.graph, fed)
    for model in (fixed.graph, prepare(fixed.graph, ASCEND).graph):
        got = run(model, {"x": x})
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-6, atol=1e-6)
        assert got[1] == 16
    assert len(source.graph.graph.inputs) == 5


def test_what_depends_on_fixed_inputs_alone_is_folded(source: SourceModel) -> None:
    kinds = [node.op_type for node in prepare(fix_inputs(source, CONSTANTS).graph, ASCEND).graph.graph]
    assert "Cast" not in kinds and "ReduceSum" not in kinds


def test_other_values_are_another_graph_and_none_are_the_same(source: SourceModel) -> None:
    digests = {graph_digest(fix_inputs(source, {**CONSTANTS, "rate": rate}).graph) for rate in (16, 8)}
    assert len(digests | {graph_digest(source.graph)}) == 3
    assert fix_inputs(source, {}) is source


def test_input_with_a_value_of_its_own_gets_another(source: SourceModel) -> None:
    value = source.graph.graph.inputs[1]
    value.const_value = ir.tensor(np.int64(1), name="rate")
    source.graph.graph.initializers["rate"] = value
    fixed = fix_inputs(source, CONSTANTS)
    assert [v.name for v in fixed.graph.graph.inputs] == ["x"]
    assert fixed.graph.graph.initializers["rate"].const_value.numpy() == 16
    # One that is given a value already needs none of the dataset.
    with pytest.raises(ConfigError, match="fixes every input of the model"):
        fix_inputs(fixed, {"x": np.ones((1, 8)).tolist()})


@pytest.mark.parametrize(
    ("constants", "expected"),
    [
        (
            {"rat": 1},
            "dataset.constants: the model has no input 'rat'. Did you mean 'rate'? It has x, rate, gain, loud, half.",
        ),
        ({"rate": [16]}, "dataset.constants.rate: expected the input's shape [], got [16], of shape [1]."),
        ({"gain": 2}, "dataset.constants.gain: expected the input's shape [2], got 2, of shape []."),
        ({"half": [1]}, "dataset.constants.half: expected the input's shape [1, ?], got [1], of shape [1]."),
        ({"rate": 1.5}, "dataset.constants.rate: expected values of the input's type, int64, got 1.5."),
        ({"rate": True}, "dataset.constants.rate: expected values of the input's type, int64, got True."),
        ({"loud": 1}, "dataset.constants.loud: expected values of the input's type, bool, got 1."),
        (
            {"half": [[1e9]]},
            "dataset.constants.half: expected values of the input's type, float16, got [[1000000000.0]].",
        ),
        ({"rate": "16k"}, "dataset.constants.rate: expected a number, or lists of numbers of one length, got '16k'."),
        (
            {"gain": [1, [2]]},
            "dataset.constants.gain: expected a number, or lists of numbers of one length, got [1, [2]].",
        ),
        ({"gain": []}, "dataset.constants.gain: expected a number, or lists of numbers of one length, got []."),
        ({"rate": None}, "dataset.constants.rate: expected a number, or lists of numbers of one length, got None."),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_value_that_does_not_fit_the_input_is_refused(
    source: SourceModel, constants: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as error:
        fix_inputs(source, constants)
    assert str(error.value) == expected


def test_one_input_has_to_be_left(source: SourceModel) -> None:
    with pytest.raises(
        ConfigError, match="fixes every input of the model; expected at least one for the dataset's items"
    ):
        fix_inputs(source, {**CONSTANTS, "x": np.ones((1, 8)).tolist()})
