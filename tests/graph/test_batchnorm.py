"""Folding BatchNormalization is held against onnxruntime running it unfolded."""

import numpy as np
import pytest

from runner.graph.batchnorm import batchnorm_affine, fold_batchnorm
from runner.session import REFERENCE, Session
from tests.data import noise
from tests.models import model, node_named


def statistics(channels, *, gamma=None, var=None):
    """Return scale, bias, mean and variance as a trained model has them."""
    rng = np.random.default_rng(7)
    return {
        "gamma": rng.normal(size=channels).astype(np.float32) if gamma is None else np.float32(gamma),
        "beta": rng.normal(size=channels).astype(np.float32),
        "mu": rng.normal(size=channels).astype(np.float32),
        "var": rng.uniform(0.1, 4, channels).astype(np.float32) if var is None else np.float32(var),
    }


def conv_bn(conv="<pads=[1,1,1,1]>(x, w)", bn="", tail="", weight=(4, 3, 3, 3), **constants):
    """Return Conv then BatchNormalization; ``tail`` is more text, of nodes after them."""
    return model(
        f"""g (float[1,{weight[1] * (weight[0] if "group" in conv else 1)},8,8] x) => (float[1,{weight[0]},H,W] y) {{
            [conv] c = Conv{conv}
            [bn] y = BatchNormalization{bn}(c, gamma, beta, mu, var)
            {tail}
        }}""",
        **{"w": noise(1, *weight), **statistics(weight[0]), **constants},
    )


def op_types(built):
    return [node.op_type for node in built.graph]


def outputs(built, shape=(1, 3, 8, 8)):
    return Session(built, REFERENCE).run({"x": noise(5, *shape)})


@pytest.mark.parametrize(
    ("built", "shape"),
    [
        pytest.param(conv_bn(), (1, 3, 8, 8), id="without_bias"),
        pytest.param(conv_bn("(x, w, b)", b=noise(2, 4)), (1, 3, 8, 8), id="with_bias"),
        pytest.param(conv_bn('(x, w, "")'.replace('""', "")), (1, 3, 8, 8), id="with_an_empty_bias"),
        pytest.param(conv_bn(bn="<epsilon=0.25>"), (1, 3, 8, 8), id="with_its_own_epsilon"),
        pytest.param(conv_bn("<group=4>(x, w)", weight=(4, 1, 3, 3)), (1, 4, 8, 8), id="depthwise"),
        pytest.param(conv_bn(gamma=np.float32([1, -2, 0, 3])), (1, 3, 8, 8), id="negative_and_zero_gamma"),
        pytest.param(conv_bn(var=np.float32([0, 1, 2, 3])), (1, 3, 8, 8), id="zero_variance"),
    ],
)
def test_folded_model_gives_the_outputs_of_the_unfolded_one(built, shape):
    (expected,) = outputs(built, shape)
    assert fold_batchnorm(built) == ["bn"]
    assert op_types(built) == ["Conv"]
    (folded,) = outputs(built, shape)
    assert np.max(np.abs(folded - expected)) <= 1e-5 * np.max(np.abs(expected))


def test_one_dimensional_convolution_is_folded():
    built = model(
        """g (float[1,2,9] x) => (float[1,3,7] y) {
            c = Conv(x, w)
            [bn] y = BatchNormalization(c, gamma, beta, mu, var)
        }""",
        w=noise(0, 3, 2, 3),
        **statistics(3),
    )
    (expected,) = outputs(built, (1, 2, 9))
    assert fold_batchnorm(built) == ["bn"]
    np.testing.assert_allclose(outputs(built, (1, 2, 9))[0], expected, rtol=1e-5, atol=1e-5)


def test_folding_keeps_the_name_of_the_output():
    built = conv_bn()
    fold_batchnorm(built)
    assert [output.name for output in built.graph.outputs] == ["y"]


def test_folding_keeps_the_weights_name_and_names_a_new_bias_after_the_convolution():
    built = conv_bn()
    fold_batchnorm(built)
    assert [value.name for value in node_named(built.graph, "conv").inputs] == ["x", "w", "conv.bias"]


def test_new_bias_takes_no_name_of_another_value():
    built = conv_bn(tail="z = Relu(y)")
    node_named(built.graph, "bn").outputs[0].name = "conv.bias"
    (expected,) = outputs(built)
    fold_batchnorm(built)
    np.testing.assert_allclose(outputs(built)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "built",
    [
        pytest.param(conv_bn(tail="z = Relu(c)"), id="another_node_reads_the_convolution"),
        pytest.param(conv_bn(gamma=np.float32([1, 2, np.inf, 1])), id="infinite_gamma"),
        pytest.param(conv_bn(gamma=np.float32([1e30, 1, 1, 1]), w=noise(1, 4, 3, 3, 3) * 1e20), id="overflow"),
        pytest.param(conv_bn(var=np.float32([1, 1, 1, -1])), id="negative_variance"),
        pytest.param(conv_bn(bn="<epsilon=0.0>", var=np.float32([1, 0, 1, 1])), id="division_by_zero"),
    ],
)
def test_batchnorm_that_cannot_be_folded_stays(built):
    before = op_types(built)
    assert fold_batchnorm(built) == []
    assert op_types(built) == before


def test_batchnorm_stays_when_the_convolution_is_a_graph_output():
    built = model(
        """g (float[1,3,8,8] x) => (float[1,4,H,W] y, float[1,4,H,W] c) {
            c = Conv(x, w)
            y = BatchNormalization(c, gamma, beta, mu, var)
        }""",
        w=noise(1, 4, 3, 3, 3),
        **statistics(4),
    )
    assert fold_batchnorm(built) == []


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param("c = Relu(x)\n y = BatchNormalization(c, gamma, beta, mu, var)", id="after_a_relu"),
        pytest.param("y = BatchNormalization(x, gamma, beta, mu, var)", id="on_the_input"),
        pytest.param("c = Conv(x, fed)\n y = BatchNormalization(c, gamma, beta, mu, var)", id="weight_is_fed"),
        pytest.param("g = Abs(gamma)\n c = Conv(x, w)\n y = BatchNormalization(c, g, beta, mu, var)", id="computed"),
        pytest.param(
            "c = Conv(x, w)\n y, m, v = BatchNormalization<training_mode = 1>(c, gamma, beta, mu, var)", id="training"
        ),
    ],
)
def test_batchnorm_without_a_plain_convolution_before_it_stays(graph):
    built = model(
        f"g (float[1,4,8,8] x, float[4,4,1,1] fed) => (float[1,4,H,W] y) {{ {graph} }}",
        w=noise(1, 4, 4, 1, 1),
        **statistics(4),
    )
    assert fold_batchnorm(built) == []


def test_weight_shared_by_two_convolutions_changes_only_for_the_folded_one():
    built = model(
        """g (float[1,3,8,8] x) => (float[1,4,H,W] y, float[1,4,H,W] plain) {
            c = Conv(x, w)
            y = BatchNormalization(c, gamma, beta, mu, var)
            plain = Conv(x, w)
        }""",
        w=noise(1, 4, 3, 3, 3),
        **statistics(4),
    )
    expected = outputs(built)
    fold_batchnorm(built)
    assert op_types(built) == ["Conv", "Conv"]
    for folded, unfolded in zip(outputs(built), expected, strict=True):
        np.testing.assert_allclose(folded, unfolded, rtol=1e-5, atol=1e-5)


def test_bias_shared_by_two_convolutions_changes_only_for_the_folded_one():
    built = model(
        """g (float[1,3,8,8] x) => (float[1,4,H,W] y, float[1,4,H,W] plain) {
            c = Conv(x, w, b)
            y = BatchNormalization(c, gamma, beta, mu, var)
            plain = Conv(x, w2, b)
        }""",
        w=noise(1, 4, 3, 3, 3),
        w2=noise(2, 4, 3, 3, 3),
        b=noise(3, 4),
        **statistics(4),
    )
    expected = outputs(built)
    fold_batchnorm(built)
    for folded, unfolded in zip(outputs(built), expected, strict=True):
        np.testing.assert_allclose(folded, unfolded, rtol=1e-5, atol=1e-5)


def test_every_block_of_a_chain_is_folded():
    built = model(
        """g (float[1,3,8,8] x) => (float[1,3,8,8] y) {
            a = Conv(x, w)  [first] b = BatchNormalization(a, gamma, beta, mu, var)  c = Relu(b)
            d = Conv(c, w2) [second] y = BatchNormalization(d, gamma, beta, mu, var)
        }""",
        w=noise(1, 3, 3, 1, 1),
        w2=noise(2, 3, 3, 1, 1),
        **statistics(3),
    )
    (expected,) = outputs(built)
    assert fold_batchnorm(built) == ["first", "second"]
    assert op_types(built) == ["Conv", "Relu", "Conv"]
    np.testing.assert_allclose(outputs(built)[0], expected, rtol=1e-5, atol=1e-5)


def test_affine_is_what_the_operator_does_to_each_channel():
    affine = batchnorm_affine(node_named(conv_bn(bn="<epsilon=0.5>").graph, "bn"))
    built = model(
        "g (float[1,4,2,2] x) => (float[1,4,2,2] y) { y = BatchNormalization<epsilon=0.5>(x, gamma, beta, mu, var) }",
        **statistics(4),
    )
    x = noise(5, 1, 4, 2, 2)
    expected = x * affine.factor.reshape(1, 4, 1, 1) + affine.shift.reshape(1, 4, 1, 1)
    np.testing.assert_allclose(Session(built).run({"x": x})[0], expected, rtol=1e-5, atol=1e-5)
