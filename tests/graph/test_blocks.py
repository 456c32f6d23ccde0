"""A model in blocks: run one after the other in plain onnxruntime they give what the whole model gives."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from runner.graph.blocks import Block, blocks
from tests.models import conv_gemm, onnx_text, plain_session, prepared

RNG = np.random.default_rng(0)
W = {name: RNG.normal(size=(3, 3)).astype(np.float32) for name in ("w1", "w2", "w3", "w4")}
BRANCHES = """g (float[N,3] x) => (float[N,3] y, float[N,3] z) {
    before = Tanh (x)
    a = MatMul (before, w1)
    c = Relu (a)
    left = MatMul (c, w2)
    right = MatMul (c, w3)
    bent = Sin (left)
    sum = Add (bent, right)
    y = MatMul (sum, w4)
    z = Mul (c, bent)
}"""
BODY = """g (float[N,3] x, bool flag) => (float[N,3] y) {
    a = MatMul (x, w1)
    c = Relu (a)
    picked = If (flag) <
        then_branch = yes () => (float[N,3] p) { t = Mul (c, c)  p = Add (t, x) },
        else_branch = no () => (float[N,3] q) { q = Identity (c) }
    >
    y = MatMul (picked, w2)
}"""
LIST = """g (float[4,3] x) => (float[8,3] y) {
    a = MatMul (x, w1)
    rows = SplitToSequence <axis = 0> (a)
    b = MatMul (a, w2)
    more = SequenceInsert (rows, b)
    joined = ConcatFromSequence <axis = 0> (more)
    c = MatMul (joined, w3)
    y = Relu (c)
}"""
X = RNG.normal(size=(4, 3)).astype(np.float32)


def cut(text: str, weights: dict[str, NDArray]) -> tuple[ir.Model, tuple[Block, ...], list[str]]:
    model = ir.from_proto(onnx_text(text, **weights))
    for index, node in enumerate(model.graph):
        node.name = node.name or f"n{index}"
    layers = [node.name for node in model.graph if node.op_type == "MatMul"]
    return model, blocks(model, layers), layers


def run(parts: tuple[Block, ...], feeds: dict[str, NDArray]) -> dict[str, NDArray]:
    tensors = dict(feeds)
    for part in parts:
        given = plain_session(part.model).run(list(part.gives), {name: tensors[name] for name in part.reads})
        tensors.update(zip(part.gives, given, strict=True))
    return tensors


@pytest.mark.parametrize(
    ("text", "weights", "feeds"),
    [
        pytest.param(BRANCHES, 4, {"x": X}, id="branches"),
        pytest.param(BODY, 2, {"x": X, "flag": np.array(True)}, id="body that reads from outside"),
        pytest.param(LIST, 3, {"x": X}, id="list of tensors"),
    ],
)
def test_blocks_one_after_the_other_are_the_model(text: str, weights: int, feeds: dict[str, NDArray]) -> None:
    model, parts, layers = cut(text, dict(list(W.items())[:weights]))
    assert sorted(name for part in parts for name in part.layers) == sorted(layers)
    names = [value.name for value in model.graph.outputs]
    found = run(parts, feeds)
    for name, expected in zip(names, plain_session(model).run(names, feeds), strict=True):
        np.testing.assert_array_equal(found[name], expected)


def test_block_holds_a_layer_and_what_is_made_of_it_before_the_next() -> None:
    _, parts, layers = cut(BRANCHES, W)
    assert [part.layers for part in parts] == [(), *((name,) for name in layers)]
    assert [part.reads for part in parts] == [("x",), ("before",), ("c",), ("c", "bent"), ("sum",)]
    assert [set(part.gives) for part in parts] == [{"before"}, {"c"}, {"bent", "z"}, {"sum"}, {"y"}]


def test_layers_between_which_a_list_of_tensors_stands_are_one_block() -> None:
    _, parts, layers = cut(LIST, dict(list(W.items())[:3]))
    assert [part.layers for part in parts] == [tuple(layers[:2]), (layers[2],)]


def test_model_itself_stays_as_it_is() -> None:
    graph, found = prepared(conv_gemm())
    before = ir.to_proto(graph).SerializeToString()
    assert len(blocks(graph, [layer.name for layer in found.layers])) == 3
    assert ir.to_proto(graph).SerializeToString() == before
