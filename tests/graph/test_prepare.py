"""The prepared model is easier to quantize and gives what the source gives."""

import numpy as np
import pytest

from runner.errors import ModelError
from runner.graph.prepare import prepare, tidy
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, node_named


def run(built, **feeds):
    return Session(built, REFERENCE).run(feeds)


def op_types(built):
    return [node.op_type for node in built.graph]


def messy():
    """Return a model with unnamed and like-named nodes, a foldable BatchNormalization, constants and a transB Gemm."""
    rng = np.random.default_rng(3)
    return model(
        """g (float[1,3,4,4] x) => (float[1,5] y) {
            c = Conv(x, w)
            [same] b = BatchNormalization(c, gamma, beta, mu, var)
            [same] r = Relu(b)
            shape = Constant<value = int64[2] {1, -1}>()
            f = Reshape(r, shape)
            y = Gemm<transB = 1>(f, head, bias)
        }""",
        w=noise(1, 4, 3, 1, 1),
        gamma=noise(2, 4),
        beta=noise(3, 4),
        mu=noise(4, 4),
        var=rng.uniform(0.5, 2, 4).astype(np.float32),
        head=noise(5, 5, 64),
        bias=noise(6, 5),
    )


def test_prepared_model_gives_the_outputs_of_the_source():
    source = messy()
    prepared = prepare(source, ASCEND).graph
    for node in source.graph:
        node.name = None  # onnxruntime refuses nodes of the same name
    x = noise(9, 1, 3, 4, 4)
    np.testing.assert_allclose(run(prepared, x=x)[0], run(source, x=x)[0], rtol=1e-5, atol=1e-5)


def test_the_source_is_left_as_it_is():
    source = messy()
    prepare(source, ASCEND)
    assert op_types(source) == op_types(messy())
    assert np.array_equal(source.graph.initializers["w"].const_value.numpy(), noise(1, 4, 3, 1, 1))


def test_nodes_are_named_by_their_place_in_the_source():
    prepared = prepare(messy(), ASCEND)
    assert prepared.named == ("Conv_0", "same_1", "Constant_3", "Reshape_4", "Gemm_5")
    assert [node.name for node in prepared.graph.graph] == ["Conv_0", "same_1", "Reshape_4", "Gemm_5"]


def test_folded_batchnorms_are_told():
    assert prepare(messy(), ASCEND).folded == ("same",)


def test_gemm_weight_is_stored_so_that_transb_is_zero():
    gemm = node_named(prepare(messy(), ASCEND).graph.graph, "Gemm_5")
    assert gemm.attributes["transB"].as_int() == 0
    assert gemm.inputs[1].name == "head"
    assert tuple(gemm.inputs[1].shape.numpy()) == (64, 5)
    assert np.array_equal(gemm.inputs[1].const_value.numpy(), noise(5, 5, 64).T)


def test_gemm_weight_that_another_node_reads_is_not_changed_for_it():
    source = model(
        """g (float[1,4] x, float[4,4] m) => (float[1,4] y, float[4,4] z) {
            [gemm] y = Gemm<transB = 1>(x, w)
            [add] z = Add(m, w)
        }""",
        w=noise(0, 4, 4),
    )
    feeds = {"x": noise(1, 1, 4), "m": noise(2, 4, 4)}
    for ours, expected in zip(run(prepare(source, ASCEND).graph, **feeds), run(source, **feeds), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_gemm_weight_that_two_gemms_share_serves_both():
    source = model(
        """g (float[1,4] x) => (float[1,4] y) {
            h = Gemm<transB = 1>(x, w)
            y = Gemm<transB = 1>(h, w)
        }""",
        w=noise(0, 4, 4),
    )
    x = noise(1, 1, 4)
    np.testing.assert_allclose(run(prepare(source, ASCEND).graph, x=x)[0], run(source, x=x)[0], rtol=1e-5, atol=1e-5)


def test_gemm_whose_weight_is_fed_keeps_transb():
    source = model("g (float[1,4] x, float[3,4] w) => (float[1,3] y) { [gemm] y = Gemm<transB = 1>(x, w) }")
    assert node_named(prepare(source, ASCEND).graph.graph, "gemm").attributes["transB"].as_int() == 1


def test_what_depends_on_constants_alone_is_computed():
    source = model(
        """g (float[1,2] x) => (float[1,3] y) {
            [transpose] wt = Transpose<perm = [1,0]>(w)
            half = Constant<value = float {0.5}>()
            [scale] ws = Mul(wt, half)
            [head] y = MatMul(x, ws)
        }""",
        w=noise(0, 3, 2),
    )
    prepared = prepare(source, ASCEND).graph
    assert op_types(prepared) == ["MatMul"]
    assert np.array_equal(node_named(prepared.graph, "head").inputs[1].const_value.numpy(), noise(0, 3, 2).T / 2)


def test_initializers_listed_as_inputs_are_taken_off_the_list():
    source = model("g (float[1,2] x, float[2,3] w) => (float[1,3] y) { y = MatMul(x, w) }", w=noise(0, 2, 3))
    assert [value.name for value in prepare(source, ASCEND).graph.graph.inputs] == ["x"]


def test_inputs_and_outputs_keep_their_names():
    prepared = prepare(messy(), ASCEND).graph
    assert [value.name for value in prepared.graph.inputs] == ["x"]
    assert [value.name for value in prepared.graph.outputs] == ["y"]


def test_opset_is_kept():
    source = model("g (float[1,2] x) => (float[1,3] y) { y = MatMul(x, w) }", opset=11, w=noise(0, 2, 3))
    assert prepare(source, ASCEND).graph.opset_imports[""] == 11


def test_preparing_twice_changes_nothing_more():
    once = prepare(messy(), ASCEND).graph
    twice = prepare(once, ASCEND)
    assert twice.named == ()
    assert twice.folded == ()
    x = noise(9, 1, 3, 4, 4)
    assert np.array_equal(run(once, x=x)[0], run(twice.graph, x=x)[0])


def test_tidying_names_nodes_and_lifts_constants():
    built = model("g (float[2] x) => (float[2] y) { c = Constant<value = float[2] {1, 2}>() y = Add(x, c) }")
    assert tidy(built) == ["Constant_0", "Add_1"]
    assert op_types(built) == ["Add"]
    assert built.graph.initializers["c"].const_value.numpy().tolist() == [1, 2]


QDQ = """g (float[1,2] x) => (float[1,2] y) {
    scale = Constant<value = float {0.5}>()
    [quantize] q = QuantizeLinear(x, scale)
    [dequantize] y = DequantizeLinear(q, scale)
}"""


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        pytest.param(
            QDQ,
            r"model\.path: node 'quantize' is a QuantizeLinear: this is a quantization-aware-trained model\. "
            r"Run it with mode=convert_qat\.",
            id="quantize",
        ),
        pytest.param(
            "g (int8[1,2] x, float s) => (float[1,2] y) { [dq] y = DequantizeLinear(x, s) }",
            r"node 'dq' is a DequantizeLinear: .*mode=convert_qat",
            id="dequantize_alone",
        ),
        pytest.param(
            "g (float[1,2] x) => (int8[1,2] y) { [quant] y = AscendQuant(x) }",
            r"node 'quant' is an AscendQuant: the model was already converted by AMCT",
            id="deploy_model",
        ),
    ],
)
def test_model_that_is_quantized_already_is_refused(graph, message):
    with pytest.raises(ModelError, match=message):
        prepare(model(graph), ASCEND)


def test_amcts_own_fake_quant_model_is_refused():
    source = model("g (float[1,2] x) => (float[1,2] y) { [q] y = Quant(x) }")
    node_named(source.graph, "q").domain = "amct.customop"
    with pytest.raises(ModelError, match="node 'q' is an Quant: the model was already converted by AMCT"):
        prepare(source, ASCEND)
