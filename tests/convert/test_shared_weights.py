"""What several layers share is stored once, and every layer still computes with its own numbers."""

import numpy as np
import onnx_ir as ir
import pytest

from runner.convert.fake_quant import fake_quant_model
from runner.convert.shared_weights import share_weights
from runner.graph.layers import find_layers
from runner.graph.prepare import prepare
from runner.record import QuantizedLayers
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import layer_form, model, plain_session

STEPS = 4
X = noise(1, 2, 32)


def recurrence():
    lines = [f"[step{t}] g{t} = Gemm (t{t - 1}, w, b) [tanh{t}] t{t} = Tanh (g{t})" for t in range(1, STEPS + 1)]
    text = " ".join(lines).replace("(t0,", "(x,")
    return model(
        f"g (float[2,32] x) => (float[2,32] y) {{ {text} y = Identity (t{STEPS}) }}", w=noise(2, 32, 32), b=noise(3, 32)
    )


def quantized(prepared, *, seeds, without=()):
    """Return layers whose integers are alike where their seeds are; the input's scale is each one's own."""
    found = find_layers(prepared, ASCEND)
    layers = {
        layer.name: layer_form(found, layer.name, (32, 32), seed=seed, scale=0.01 * (index + 1))
        for index, (layer, seed) in enumerate(zip(found.layers, seeds, strict=True))
        if layer.name not in without
    }
    return found, QuantizedLayers(layers)


def weights(built, dtype):
    return [
        value.name
        for value in built.graph.initializers.values()
        if value.const_value.dtype == dtype and tuple(value.const_value.shape) == (32, 32)
    ]


def outputs(built):
    return plain_session(built).run(None, {"x": X})[0]


@pytest.mark.parametrize(("seeds", "distinct"), [((5, 5, 5, 5), 1), ((5, 6, 5, 6), 2), ((5, 6, 7, 8), 4)])
def test_equal_integers_are_stored_once_in_both_files(seeds, distinct):
    prepared = prepare(recurrence(), ASCEND).graph
    found, form = quantized(prepared, seeds=seeds)
    deployed, simulated = deploy_model(found.on(prepared), form), fake_quant_model(found.on(prepared), form)
    before = outputs(simulated)
    for built, dtype in ((deployed, ir.DataType.INT8), (simulated, ir.DataType.FLOAT)):
        assert len(weights(built, dtype)) == STEPS
        assert len(share_weights(built)) == STEPS - distinct
        assert len(weights(built, dtype)) == distinct
        for node in built.graph:
            if node.op_type == "Gemm":
                name = node.name.removesuffix(".part0")
                assert np.array_equal(node.inputs[1].const_value.numpy(), form.layers[name].weight), name
    assert np.array_equal(outputs(simulated), before)


def test_layers_left_float_share_their_float_weight_and_the_others_their_integers():
    prepared = prepare(recurrence(), ASCEND).graph
    found, form = quantized(prepared, seeds=(5, 5, 5, 5), without=("step2", "step3"))
    deployed = deploy_model(found.on(prepared), form)
    share_weights(deployed)
    assert len(weights(deployed, ir.DataType.INT8)) == len(weights(deployed, ir.DataType.FLOAT)) == 1
    for node in deployed.graph:
        if node.op_type == "Gemm" and node.name in ("step2", "step3"):
            assert np.array_equal(node.inputs[1].const_value.numpy(), noise(2, 32, 32))


def test_parameters_biases_and_small_constants_stay_a_layers_own():
    prepared = prepare(recurrence(), ASCEND).graph
    found, form = quantized(prepared, seeds=(5, 5, 5, 5))
    deployed = deploy_model(found.on(prepared), form)
    before = set(deployed.graph.initializers)
    gone = set(share_weights(deployed))
    assert before - gone == set(deployed.graph.initializers)
    assert {f"step{t}.dequant.param" for t in range(1, STEPS + 1)} <= set(deployed.graph.initializers)
    readers = [use.node.name for value in deployed.graph.initializers.values() for use in value.uses() if use.idx == 2]
    assert sorted(readers) == [f"step{t}" for t in range(1, STEPS + 1)]


def test_weight_that_another_operator_reads_too_is_the_one_that_stays():
    built = model(
        """g (int64[2] k) => (float[2,32] y) {
            e = Gather (table, k) [one] a = MatMul (e, copy) [two] y = MatMul (a, other)
        }""",
        copy=noise(5, 32, 32),
        other=noise(5, 32, 32),
        table=noise(5, 32, 32),
    )
    assert share_weights(built) == ["copy", "other"]
    assert list(built.graph.initializers) == ["table"]


def test_zero_and_minus_zero_are_not_the_same_bits():
    zeros = np.zeros((32, 32), np.float32)
    built = model("g (float[2,32] x) => (float[2,32] y) { a = MatMul (x, v) y = MatMul (a, w) }", v=zeros, w=-zeros)
    assert share_weights(built) == []


def test_output_of_the_model_keeps_its_own_name():
    built = model(
        "g (float[2,32] x) => (float[2,32] y, float[32,32] w) { a = MatMul (x, v) y = MatMul (a, w) }",
        v=noise(5, 32, 32),
        w=noise(5, 32, 32),
    )
    assert share_weights(built) == ["v"]
    assert [value.name for value in built.graph.outputs] == ["y", "w"]
