"""Gemm made plain, held against onnxruntime running it as it was."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.graph.layers import find_layers
from runner.graph.plain_gemm import make_gemms_plain
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, node_named

ROWS, DEPTH, COLUMNS = 3, 5, 4


def gemm(attributes="", bias=None, *, opset=17, computed=False, shape=None):
    """Return a model of one Gemm called ``g``; with ``computed`` its bias is Tanh of ``bias``."""
    turned = "transA=1" in attributes
    data = [DEPTH, ROWS] if turned else [ROWS, DEPTH]
    weight = (COLUMNS, DEPTH) if "transB=1" in attributes else (DEPTH, COLUMNS)
    constants = {"w": noise(1, *weight)}
    if bias is not None:
        constants["c"] = np.asarray(noise(2, *bias))
    nodes = f"[g] y = Gemm{f'<{attributes}>' if attributes else ''}(x, w{'' if bias is None else ', a' if computed else ', c'})"
    before = "a = Tanh(c) " if computed else ""
    return model(
        f"g (float[{','.join(map(str, data))}] x) => (float[{ROWS},{COLUMNS}] y) {{ {before}{nodes} }}",
        opset=opset,
        **constants,
    )


def output(built):
    (source,) = built.graph.inputs
    return Session(built, REFERENCE).run({"x": noise(5, *source.shape.numpy())})[0]


def op_types(built):
    return [node.op_type for node in built.graph]


BIASES = [None, (COLUMNS,), (1, COLUMNS), (1,), (), (1, 1), (ROWS, COLUMNS), (ROWS, 1)]


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 19])
@pytest.mark.parametrize("bias", BIASES, ids=str)
@pytest.mark.parametrize(
    "attributes",
    ["", "alpha=0.5", "beta=0.3", "alpha=-2.0, beta=0.0", "transA=1", "transA=1, transB=1, alpha=0.7, beta=1.5"],
)
def test_plain_gemm_gives_the_outputs_of_the_other(attributes, bias, opset):
    if bias is None and opset < 11:
        return  # a Gemm without a bias is one of opset 11
    built = gemm(attributes, bias, opset=opset)
    expected = output(built)
    make_gemms_plain(built)
    onnx.checker.check_model(ir.to_proto(built), full_check=True)
    np.testing.assert_allclose(output(built), expected, rtol=1e-5, atol=1e-6)
    (layer,) = find_layers(built, ASCEND).layers
    assert layer.name == "g"
    # Without a bias beta says nothing.
    gone = {"alpha", "transA"} if bias is None else {"alpha", "beta", "transA"}
    assert not node_named(built.graph, "g").attributes.keys() & gone
    assert make_gemms_plain(built) == []


def test_data_is_transposed_before_it_and_the_weight_as_it_is_stored():
    built = gemm("transA=1, transB=1")
    stored = built.graph.initializers["w"].const_value.numpy().copy()
    assert make_gemms_plain(built) == ["g"]
    assert op_types(built) == ["Transpose", "Gemm"]
    np.testing.assert_array_equal(built.graph.initializers["w"].const_value.numpy(), stored.T)


def test_factors_that_are_powers_of_two_round_nothing():
    built = gemm("alpha=0.25, beta=-2.0", (COLUMNS,))
    weight, bias = (built.graph.initializers[name].const_value.numpy().copy() for name in "wc")
    make_gemms_plain(built)
    np.testing.assert_array_equal(built.graph.initializers["w"].const_value.numpy(), weight / 4)
    np.testing.assert_array_equal(built.graph.initializers["c"].const_value.numpy(), -2 * bias)


def test_constant_that_another_node_reads_is_not_changed_for_it():
    built = model(
        "g (float[3,5] x) => (float[3,4] y, float[5,4] z) { [g] y = Gemm<alpha=2.0>(x, w) z = Relu(w) }",
        w=noise(1, 5, 4),
    )
    make_gemms_plain(built)
    np.testing.assert_array_equal(
        node_named(built.graph, "g").inputs[1].const_value.numpy(),
        2 * built.graph.initializers["w"].const_value.numpy(),
    )
    np.testing.assert_array_equal(built.graph.initializers["w"].const_value.numpy(), noise(1, 5, 4))


@pytest.mark.parametrize("bias", [(ROWS, COLUMNS), (ROWS, 1)], ids=str)
def test_bias_of_a_matrix_is_added_behind_in_float(bias):
    built = gemm("", bias)
    assert make_gemms_plain(built) == ["g"]
    assert op_types(built) == ["Gemm", "Add"]
    add = built.graph.node(1)
    assert (add.inputs[1].name, add.outputs[0].name) == ("c", "y")


@pytest.mark.parametrize("beta", [1.0, 0.5])
@pytest.mark.parametrize("opset", [9, 17])
def test_computed_bias_is_added_behind_in_float(beta, opset):
    built = gemm(f"beta={beta}", (1, COLUMNS), opset=opset, computed=True)
    expected = output(built)
    make_gemms_plain(built)
    assert op_types(built) == ["Tanh", *(["Mul"] if beta != 1 else []), "Gemm", "Add"]
    np.testing.assert_allclose(output(built), expected, rtol=1e-5, atol=1e-6)
    assert len(find_layers(built, ASCEND).layers) == 1


def test_beta_of_zero_leaves_the_bias_out():
    built = gemm("beta=0.0", (COLUMNS,))
    make_gemms_plain(built)
    assert len(node_named(built.graph, "g").inputs) == 2


def test_gemm_of_an_old_opset_keeps_a_bias_of_nothing():
    built = gemm("beta=0.0", (ROWS, COLUMNS), opset=9)
    make_gemms_plain(built)
    assert op_types(built) == ["Gemm"]
    np.testing.assert_array_equal(node_named(built.graph, "g").inputs[2].const_value.numpy(), np.zeros(COLUMNS))


def test_weight_that_would_not_stay_finite_keeps_its_factor():
    built = gemm("alpha=1e30")
    built.graph.initializers["w"].const_value = ir.tensor(np.full((DEPTH, COLUMNS), 1e20, np.float32), name="w")
    assert make_gemms_plain(built) == []
    (left,) = find_layers(built, ASCEND).left_alone
    assert left.reason == "alpha or beta is not 1"


def test_plain_gemm_stays_as_it_is():
    built = gemm("alpha=1.0, beta=1.0", (COLUMNS,))
    assert make_gemms_plain(built) == []
