"""What each of the four passes leaves behind, and how the account is read off the annotations."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.convert.qdq.annotated_graph import AnnotatedGraph, Annotation, Pairs
from runner.convert.qdq.bypass import bypass
from runner.convert.qdq.convert import convert
from runner.convert.qdq.materialize import materialize
from runner.convert.qdq.survey import survey
from runner.graph.layers import LayeredModel
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND

NODES = """
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) w = DequantizeLinear(wq, sw)
    c = Conv(d, w) n = BatchNormalization(c, gamma, beta, mean, var)
    q2 = QuantizeLinear(n, s, z) d2 = DequantizeLinear(q2, s, z) r = Relu(d2) y = Conv(r, w)
"""


def source() -> ir.Model:
    """Two convolutions that share a weight; a BatchNormalization stands behind the first."""
    rng = np.random.default_rng(3)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 13]> g (float[1,3,4,4] x) => (float[1,3,4,4] y) {{ {NODES} }}'
    )
    given = {
        "s": np.float32(0.02),
        "z": np.uint8(120),
        "sw": np.float32(0.01),
        "wq": rng.integers(-127, 128, (3, 3, 1, 1)).astype(np.int8),
        **{name: rng.uniform(0.5, 2, 3).astype(np.float32) for name in ("gamma", "beta", "mean", "var")},
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in given.items())
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def kinds(graph: AnnotatedGraph) -> list[str]:
    return [node.op_type for node in graph.model.graph]


def answer(model: ir.Model) -> np.ndarray:
    """Return what onnxruntime makes of a model as it stands."""
    x = np.random.default_rng(1).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)
    return Session(model.clone(), REFERENCE).run({"x": x})[0]


def converted(graph: AnnotatedGraph) -> AnnotatedGraph:
    return convert(graph, refuse_asymmetric=False, progress=lambda done, total: None)


def test_the_survey_changes_nothing_and_knows_every_node() -> None:
    model = source()
    graph = survey(model)
    assert kinds(graph) == [node.op_type for node in model.graph]
    assert [node.name for node in graph.nodes] == [n.name for n in graph.model.graph if n.op_type.endswith("Linear")]
    assert len(graph.pairs.of) == 2 and len(graph.constants) == 1 and len(graph.sources) == 2
    assert [use.role for use in graph.constant_uses] == ["weight", "weight"]
    np.testing.assert_array_equal(answer(graph.model), answer(model))


def test_materializing_gives_each_layer_a_float_weight_of_its_own_and_keeps_the_answer() -> None:
    model = source()
    graph = materialize(survey(model), ASCEND)
    weights = [node.inputs[1] for node in graph.model.graph if node.op_type == "Conv"]
    assert all(weight is not None and weight.is_initializer() for weight in weights) and weights[0] is not weights[1]
    assert "BatchNormalization" not in kinds(graph)
    assert [layer.op_type for layer in graph.found.layers] == ["Conv", "Conv"]
    # One code at most where folding rounds otherwise, through weights of at most 1.27.
    np.testing.assert_allclose(answer(graph.model), answer(model), atol=3 * 0.02 * 1.27)


def test_converting_annotates_the_constants_and_leaves_the_graph_as_it_is() -> None:
    before = materialize(survey(source()), ASCEND)
    operators = kinds(before)
    graph = converted(before)
    assert kinds(graph) == operators
    assert set(graph.form.layers) == {layer.name for layer in graph.found.layers} == set(graph.users)
    assert [(a.use, a.role, a.user) for a in graph.annotations] == [("layer", "weight", n) for n in graph.form.layers]
    assert before.annotations == ()


def test_bypassing_leaves_no_quantizer_and_annotates_the_rest() -> None:
    graph = bypass(converted(materialize(survey(source()), ASCEND)), progress=lambda done, total: None)
    assert not any(kind.endswith("Linear") for kind in kinds(graph))
    annotated = {node for annotation in graph.annotations for node in annotation.nodes}
    assert annotated == set(graph.nodes)
    assert {account.use for account in graph.report().nodes} == {"layer"}


def test_progress_counts_layers_then_pairs_up_to_the_steps_there_are() -> None:
    told: list[tuple[int, int]] = []
    graph = materialize(survey(source()), ASCEND)
    graph = convert(graph, refuse_asymmetric=False, progress=lambda done, total: told.append((done, total)))
    bypass(graph, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (3, 4), (4, 4)]


A, B, C = (ir.Node("", kind, [], name=name) for name, kind in (("a", "QuantizeLinear"), ("b", "X"), ("c", "X")))


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ([], ("dropped", None, (), "nothing reads it")),
        ([Annotation([A], "why"), Annotation([A, B], "why")], ("dropped", None, (), "why")),
        ([Annotation([A], "first"), Annotation([B, A], "then")], ("dropped", None, (), "first; then")),
        ([Annotation([A], None, "output", None, "y")], ("output", None, ("y",), None)),
        (
            [
                Annotation([A], None, "tensor", "activation", "add:0"),
                Annotation([A], "also", "layer", "weight", "conv"),
            ],
            ("layer", "weight", ("add:0", "conv"), "also"),
        ),
        (
            [Annotation([A], None, "layer", "bias", "conv"), Annotation([A], None, "output", None, "y")],
            ("layer", "bias", ("conv", "y"), None),
        ),
        ([Annotation([B, C], "of others")], ("dropped", None, (), "nothing reads it")),
    ],
    ids=["none", "said once", "in order", "an output", "a layer counts most", "a layer keeps its role", "of others"],
)
def test_an_account_is_read_off_the_annotations_of_its_node(annotations: list[Annotation], told: tuple) -> None:
    model = ir.Model(ir.Graph([], [], nodes=[], name="empty"), ir_version=8)
    graph = AnnotatedGraph(
        model, [A], Pairs({}, {}, {}), {}, [], {}, (), LayeredModel(model, ()), annotations=tuple(annotations)
    )
    (account,) = graph.report().nodes
    assert (account.use, account.role, account.users, account.reason) == told
    assert (account.name, account.op_type) == ("a", "QuantizeLinear")
