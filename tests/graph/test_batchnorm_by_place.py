"""BatchNormalization in forms that no factor and shift of a channel say: it stays float, and computes what onnxruntime does."""

import numpy as np
import onnx_ir as ir
import pytest

from runner.graph.batchnorm import why_no_affine
from runner.graph.layers import find_layers
from runner.graph.opset import raise_opset
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, node_named, plain_session, proto

X = noise(9, 1, 3, 5, 4)


def normalised(shape, *, attributes="", opset=8, outputs="n", ir_version=8):
    rng = np.random.default_rng(1)
    made = proto(
        f"""g (float[1,3,5,4] x) => (float[1,4,5,4] y) {{
            [conv] c = Conv <pads = [1,1,1,1], kernel_shape = [3,3]> (x, w)
            [bn] {outputs} = BatchNormalization {attributes} (c, gamma, beta, mean, var)
            y = Relu (n)
        }}""",
        opset=opset,
        ir_version=ir_version,
        w=noise(1, 4, 3, 3, 3),
        gamma=rng.normal(1, 0.5, shape).astype(np.float32),
        beta=rng.normal(0, 1, shape).astype(np.float32),
        mean=rng.normal(0, 1, shape).astype(np.float32),
        var=rng.uniform(0.5, 2, shape).astype(np.float32),
    )
    return made


def run(made):
    return plain_session(made).run(None, {"x": X})[0]


@pytest.mark.parametrize("opset", [7, 8])
def test_parameters_of_each_place_become_mul_and_add_at_every_opset(opset):
    source = normalised((4, 5, 4), attributes="<spatial = 0>", opset=opset)
    made = prepare(ir.from_proto(source), ASCEND)
    assert made.by_place == ("bn",)
    assert [node.op_type for node in made.graph.graph] == ["Conv", "Mul", "Add", "Relu"]
    assert [layer.name for layer in find_layers(made.graph, ASCEND).layers] == ["conv"]
    for graph in (made.graph, raise_opset(made.graph)):
        np.testing.assert_allclose(run(graph), run(source), rtol=1e-5, atol=1e-5)


def test_vectors_over_the_channels_are_folded_whatever_spatial_says():
    made = prepare(ir.from_proto(normalised((4,), attributes="<spatial = 0>")), ASCEND)
    assert made.folded == ("bn",) and made.by_place == ()
    np.testing.assert_allclose(run(made.graph), run(normalised((4,))), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "opset", "outputs"),
    [("", 9, "n, m2, v2, m3, v3"), ("", 8, "n, m2, v2, m3, v3"), ("<training_mode = 1>", 15, "n, m2, v2")],
)
def test_training_form_is_not_folded_and_says_so(attributes, opset, outputs):
    source = normalised((4,), attributes=attributes, opset=opset, outputs=outputs)
    made = prepare(ir.from_proto(source), ASCEND).graph
    np.testing.assert_allclose(run(made), run(source), rtol=1e-5, atol=1e-5)
    (left,) = [left for left in find_layers(made, ASCEND).left_alone if left.op_type == "BatchNormalization"]
    assert (
        left.reason == "it is not folded: it is in training form: its mean and variance are made anew from every batch"
    )


def test_training_form_would_be_something_else_folded():
    trained = run(normalised((4,), opset=9, outputs="n, m2, v2, m3, v3"))
    assert np.abs(trained - run(normalised((4,), opset=9))).max() > 0.5


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("[bn] y = BatchNormalization <spatial = 0> (x, g, g, g, g)", "its parameters differ from place to place"),
        ("[bn] y = BatchNormalization (x, x, g, g, g)", "its parameters are computed by the graph"),
    ],
)
def test_reason_names_what_stands_in_the_way(nodes, reason):
    made = model(f"h (float[1,3] x) => (float[1,3] y) {{ {nodes} }}", opset=8, g=np.ones((3, 2), np.float32))
    assert reason in why_no_affine(node_named(made.graph, "bn"))
