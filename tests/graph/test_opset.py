"""Raising the opset keeps names and answers."""

import numpy as np
import pytest

from runner.errors import ModelError
from runner.graph.opset import raise_opset
from runner.graph.prepare import prepare
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model

# What changed between opset 8 and 13: Softmax and its axis, Squeeze's axes, Reshape, Pad's attributes, Dropout.
OLD = """g (float[1,2,6,6] x) => (float[1,3] y) {
    [conv] c = Conv(x, w, b)
    [pool] p = MaxPool<kernel_shape=[6,6], pads=[1,1,1,1]>(c)
    [squeeze] s = Squeeze<axes=[2,3]>(p)
    [soft] y = Softmax(s)
}"""


def old(opset, ir_version):
    return model(OLD, opset=opset, ir_version=ir_version, w=noise(0, 3, 2, 3, 3), b=noise(1, 3))


def answer(built):
    return Session(built, REFERENCE).run({"x": noise(2, 1, 2, 6, 6)})[0]


@pytest.mark.parametrize(("opset", "ir_version"), [(8, 3), (9, 4), (11, 6), (12, 7)])
def test_raised_model_gives_the_same_outputs(opset, ir_version):
    source = old(opset, ir_version)
    raised = raise_opset(source)
    assert raised.opset_imports[""] == 13
    assert np.array_equal(answer(raised), answer(source))


@pytest.mark.parametrize(("opset", "ir_version"), [(8, 3), (11, 6)])
def test_raising_keeps_the_names_of_nodes_inputs_and_outputs(opset, ir_version):
    raised = raise_opset(old(opset, ir_version)).graph
    assert {"conv", "pool", "squeeze", "soft"} <= {node.name for node in raised}
    assert [value.name for value in raised.inputs] == ["x"]
    assert [value.name for value in raised.outputs] == ["y"]


@pytest.mark.parametrize(
    ("opset", "upsample"),
    [
        pytest.param(8, "Upsample<scales=[1.0,1.0,2.0,2.0]>(c)", id="attribute"),
        pytest.param(9, "Upsample(c, scales)", id="input"),
    ],
)
def test_what_a_layer_reads_keeps_its_name_behind_an_operator_that_became_another(opset, upsample):
    constants = {"scales": np.float32([1, 1, 2, 2])} if "scales)" in upsample else {}
    source = model(
        f"g (float[1,2,6,6] x) => (float y) {{ [a] c = Conv(x, w) [up] u = {upsample} [b] y = Conv(u, v) }}",
        opset=opset,
        w=noise(0, 3, 2, 3, 3),
        v=noise(1, 4, 3, 1, 1),
        **constants,
    )
    raised = raise_opset(source)
    (reader,) = [node for node in raised.graph if node.name == "b"]
    assert (reader.inputs[0].name, reader.inputs[0].producer().op_type) == ("u", "Resize")
    assert np.array_equal(answer(raised), answer(source))


def test_softmax_over_several_axes_keeps_its_old_meaning():
    source = model("g (float[2,3,4] x) => (float[2,3,4] y) { [soft] y = Softmax<axis=1>(x) }", opset=11, ir_version=6)
    x = noise(0, 2, 3, 4)
    (raised,) = Session(raise_opset(source), REFERENCE).run({"x": x})
    np.testing.assert_allclose(raised.sum(axis=(1, 2)), 1, rtol=1e-6)
    np.testing.assert_allclose(raised, Session(source, REFERENCE).run({"x": x})[0], rtol=1e-6)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_opset_is_never_lowered(opset):
    source = model("g (float[2] x) => (float[2] y) { y = Relu(x) }", opset=opset)
    assert raise_opset(source).opset_imports[""] == opset


def test_the_source_is_left_as_it_is():
    source = old(11, 6)
    raise_opset(source)
    assert source.opset_imports[""] == 11
    copy = raise_opset(model("g (float[2] x) => (float[2] y) { [n] y = Relu(x) }"))
    assert copy is not source


def test_a_copy_of_a_new_model_can_be_changed_without_changing_it():
    source = model("g (float[2] x) => (float[2] y) { [n] y = Relu(x) }")
    raise_opset(source).graph.node(0).name = "changed"
    assert source.graph.node(0).name == "n"


def test_operator_that_cannot_be_raised_is_an_error():
    source = model("g (float[2] x) => (float[2] y) { y = Scan<num_scan_inputs=1>(x) }", opset=8, ir_version=4)
    with pytest.raises(
        ModelError, match=r"model\.path: opset 8 cannot be raised to 13, which int8 needs: .*scan_8_9.*opset 13 to 18"
    ):
        raise_opset(source)


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param("mnist_cntk_opset8", (1, 1, 28, 28), id="opset_8"),
        pytest.param("ultraface_version-slim-320_simplified", (1, 3, 240, 320), id="opset_9"),
    ],
)
def test_old_model_of_the_zoo_gives_the_same_outputs(zoo, name, shape):
    from runner.graph.model_file import load_model

    prepared = prepare(load_model(zoo / "models" / f"{name}.onnx").graph, ASCEND).graph
    raised = raise_opset(prepared)
    feeds = {prepared.graph.inputs[0].name: noise(0, *shape)}
    assert {node.name for node in prepared.graph} <= {node.name for node in raised.graph}
    for after, before in zip(
        Session(raised, REFERENCE).run(feeds), Session(prepared, REFERENCE).run(feeds), strict=True
    ):
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)
