"""The fake-quant model against the device's integers: bit for bit, in every onnxruntime session."""

import numpy as np
import pytest

from runner.convert.fake_quant import fake_quant_model, tensor_place
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.session import LEVELS, REFERENCE, SIMULATION, Session, plain
from tests import device
from tests.data import noise
from tests.models import device_output, model, node_named, random_form

# id -> input shape, layer, weight shape
LAYERS = {
    "plain": ((2, 3, 6, 6), "Conv(x, w, b)", (4, 3, 3, 3)),
    "without_bias": ((1, 3, 6, 6), "Conv(x, w)", (4, 3, 3, 3)),
    "pointwise": ((1, 8, 4, 4), "Conv(x, w, b)", (16, 8, 1, 1)),
    "padded": ((1, 3, 5, 5), "Conv<pads=[1,1,1,1]>(x, w, b)", (4, 3, 3, 3)),
    "padded_unevenly": ((1, 3, 5, 5), "Conv<pads=[0,2,1,0]>(x, w, b)", (4, 3, 3, 3)),
    "strided": ((1, 3, 7, 7), "Conv<strides=[2,2], pads=[1,1,1,1]>(x, w, b)", (4, 3, 3, 3)),
    "dilated": ((1, 3, 8, 8), "Conv<dilations=[2,3], pads=[1,2,1,2]>(x, w, b)", (4, 3, 3, 3)),
    "grouped": ((1, 6, 5, 5), "Conv<group=2, pads=[1,1,1,1]>(x, w, b)", (4, 3, 3, 3)),
    "depthwise": ((1, 16, 6, 6), "Conv<group=16, pads=[1,1,1,1], strides=[2,2]>(x, w, b)", (16, 1, 3, 3)),
    "one_channel": ((1, 3, 5, 5), "Conv<pads=[1,1,1,1]>(x, w, b)", (1, 3, 3, 3)),
    "one_channel_without_bias": ((1, 3, 5, 5), "Conv(x, w)", (1, 3, 3, 3)),
    "gemm": ((3, 20), "Gemm(x, w, b)", (20, 7)),
    "gemm_without_bias": ((3, 20), "Gemm(x, w)", (20, 7)),
    "gemm_of_one_output": ((3, 20), "Gemm(x, w, b)", (20, 1)),
    "matmul": ((3, 20), "MatMul(x, w)", (20, 7)),
    "matmul_of_rows": ((2, 5, 20), "MatMul(x, w)", (20, 7)),
    "matmul_of_one_output": ((2, 5, 20), "MatMul(x, w)", (20, 1)),
}
# id -> scale, zero point; with a power of two as scale every second input below is an exact tie
PARAMS = {
    "ties_odd_zero_point": (0.5, 3),
    "ties_even_zero_point": (0.5, -2),
    "lowest_zero_point": (0.0235294122, -128),
    "highest_zero_point": (0.031, 127),
    "odd_zero_point": (0.0371, -77),
}
SESSIONS = {**{f"level_{level}": plain(level) for level in LEVELS}, "reference": REFERENCE}


def one_layer(name, tail=""):
    """Return a model of one layer called ``layer`` that makes ``y``, or of that layer and a tail from ``h`` to ``y``."""
    shape, layer, weight = LAYERS[name]
    channels = weight[0] if layer.startswith("Conv") else weight[1]
    return model(
        f"g (float[{','.join(map(str, shape))}] x) => (float[] y) {{ [layer] {'h' if tail else 'y'} = {layer} {tail} }}",
        w=noise(1, *weight),
        b=noise(2, channels),
    )


def half_steps(shape, scale, seed=0):
    """Return multiples of half a step, from below the smallest code to above the largest: every odd one is a tie."""
    return (np.random.default_rng(seed).integers(-300, 301, shape) * (scale / 2)).astype(np.float32)


def run(built, x, profile=REFERENCE):
    return Session(built, profile).run({"x": x})[0]


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_gives_the_devices_bits(name, params, session):
    scale, zero_point = PARAMS[params]
    built = one_layer(name)
    found, form = random_form(built, scale=scale, zero_point=zero_point)
    x = half_steps(LAYERS[name][0], scale)
    written = fake_quant_model(found.on(built), form)
    assert np.array_equal(run(written, x, SESSIONS[session]), device_output(built, found, form, "layer", x))


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", LAYERS)
def test_the_searchs_faster_form_gives_the_bits_of_the_file(name):
    built = one_layer(name)
    found, form = random_form(built, scale=0.5, zero_point=3)
    x = half_steps(LAYERS[name][0], 0.5)
    searched = run(fake_quant_model(found.on(built), form, multiply=True), x, SIMULATION)
    assert np.array_equal(searched, run(fake_quant_model(found.on(built), form), x, plain("all")))


@pytest.mark.parametrize("zero_point", [-128, -5, 0, 4, 127])
def test_padding_counts_as_the_zero_point(zero_point):
    """onnxruntime's own ConvInteger pads with the zero point of its input."""
    built = one_layer("padded")
    found, form = random_form(built, scale=0.5, zero_point=zero_point)
    x = half_steps(LAYERS["padded"][0], 0.5)
    codes = (device.centred(x, 0.5, zero_point) + zero_point).astype(np.int8)
    integer = model(
        """g (int8[1,3,5,5] q, int8 zp) => (int32[1,4,5,5] y) {
            unsigned = Cast<to = 6>(q)  zero = Cast<to = 6>(zp)  c128 = Constant<value = int32 {128}>()
            shifted = Add(unsigned, c128)  shifted_zero = Add(zero, c128)
            u = Cast<to = 2>(shifted)  uz = Cast<to = 2>(shifted_zero)
            y = ConvInteger<pads=[1,1,1,1]>(u, w, uz)
        }""",
        w=form.layers["layer"].weight,
    )
    (sums,) = Session(integer).run({"q": codes, "zp": np.asarray(zero_point, np.int8)})
    layer = form.layers["layer"]
    expected = device.real(
        sums.astype(np.int64) + layer.bias.reshape(1, -1, 1, 1).astype(np.int64), 0.5, layer.record.weight_scales, 1
    )
    assert np.array_equal(run(fake_quant_model(found.on(built), form), x), expected)


IMAGE_TAILS = {
    "max_pool": "y = MaxPool<kernel_shape=[2,2]>(h)",
    "reshape": "s = Constant<value = int64[2] {1, -1}>() y = Reshape(h, s)",
    "transpose": "y = Transpose<perm=[0,2,3,1]>(h)",
    "flatten": "y = Flatten(h)",
    "softmax": "y = Softmax<axis=1>(h)",
    "relu": "y = Relu(h)",
    "pool_then_flatten": "p = MaxPool<kernel_shape=[2,2]>(h) y = Flatten(p)",
    "two_readers": "a = Flatten(h) r = Relu(h) c = Flatten(r) y = Add(a, c)",
}
ROW_TAILS = {
    "reshape": "s = Constant<value = int64[2] {1, -1}>() y = Reshape(h, s)",
    "flatten": "y = Flatten<axis=0>(h)",
    "softmax": "y = Softmax<axis=-1>(h)",
    "unsqueeze": "a = Constant<value = int64[1] {0}>() y = Unsqueeze(h, a)",
    "unsqueeze_then_pool": """
        a = Constant<value = int64[2] {0, 1}>() s = Constant<value = int64[4] {1, 1, 3, -1}>()
        u = Reshape(h, s) y = MaxPool<kernel_shape=[2,1]>(u)""",
    "relu_then_reshape": "r = Relu(h) s = Constant<value = int64[1] {-1}>() y = Reshape(r, s)",
}
MATRIX_TAILS = {**ROW_TAILS, "transpose": "y = Transpose<perm=[1,0]>(h)"}
TAILED = {
    **{("plain", tail): text for tail, text in IMAGE_TAILS.items()},
    **{("one_channel", tail): text for tail, text in IMAGE_TAILS.items()},
    **{("gemm", tail): text for tail, text in MATRIX_TAILS.items()},
    **{("gemm_of_one_output", tail): text for tail, text in MATRIX_TAILS.items()},
    **{("matmul", tail): text for tail, text in MATRIX_TAILS.items()},
    **{("matmul_of_rows", tail): text for tail, text in ROW_TAILS.items() if tail != "unsqueeze_then_pool"},
    ("matmul_of_rows", "transpose"): "y = Transpose<perm=[1,2,0]>(h)",
    ("matmul_of_one_output", "transpose"): "y = Transpose<perm=[1,2,0]>(h)",
    ("matmul_of_one_output", "reshape"): ROW_TAILS["reshape"],
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("name", "tail"), TAILED, ids=["-".join(key) for key in TAILED])
def test_what_follows_a_layer_sees_the_devices_bits(name, tail, level):
    """onnxruntime pushes a DequantizeLinear of scalar scale through Reshape, Transpose and MaxPool in 8 bits."""
    built = one_layer(name, TAILED[name, tail])
    found, form = random_form(built, scale=0.5, zero_point=3)
    x = half_steps(LAYERS[name][0], 0.5)
    layer_output = device_output(built, found, form, "layer", x)
    alone = model(f"g (float[{','.join(map(str, layer_output.shape))}] h) => (float[] y) {{ {TAILED[name, tail]} }}")
    (expected,) = Session(alone, REFERENCE).run({"h": layer_output})
    assert np.array_equal(run(fake_quant_model(found.on(built), form), x, plain(level)), expected)


def heavy(op_type):
    """Return a layer of 4608 inputs whose sums exceed 2**24 by far, its form and an input that makes them do so."""
    rng = np.random.default_rng(4)
    weight = rng.integers(90, 128, (3, 4608)).astype(np.int8)
    shape = {"Conv": (1, 4608, 2, 1), "Gemm": (2, 4608), "MatMul": (1, 3, 4608)}[op_type]
    bias = ", b" if op_type != "MatMul" else ""
    weight = weight.reshape(3, 4608, 1, 1) if op_type == "Conv" else weight.T
    built = model(
        f"g (float[{','.join(map(str, shape))}] x) => (float[] y) {{ [layer] y = {op_type}(x, w{bias}) }}",
        w=weight.astype(np.float32),
        b=np.ones(3, np.float32),
    )
    found, _ = random_form(built)
    scales = (0.003, 0.007, 0.0011) if op_type == "Conv" else (0.003,)
    record = LayerRecord(ActivationParams(0.5, -101), scales)
    bias = None if op_type == "MatMul" else np.asarray([20_000_001, -7, 2**24 + 3], np.int32)
    form = QuantizedLayers({"layer": QuantizedLayer(record, np.ascontiguousarray(weight), bias)})
    x = rng.integers(0, 450, shape).astype(np.float32) / 4
    return built, found, form, x


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("op_type", ["Conv", "Gemm", "MatMul"])
def test_layer_beyond_exact_float_sums_gives_the_devices_bits(op_type, session):
    built, found, form, x = heavy(op_type)
    expected = device_output(built, found, form, "layer", x)
    assert np.min(expected) > 2**25 * 0.5 * 0.001  # the sums do leave the range in which float32 holds every integer
    assert np.array_equal(run(fake_quant_model(found.on(built), form), x, SESSIONS[session]), expected)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("op_type", ["Conv", "Gemm", "MatMul"])
def test_layer_beyond_exact_float_sums_gives_the_same_bits_in_the_search(op_type):
    built, found, form, x = heavy(op_type)
    searched = run(fake_quant_model(found.on(built), form, multiply=True), x, SIMULATION)
    assert np.array_equal(searched, device_output(built, found, form, "layer", x))


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("name", ["plain", "depthwise", "grouped", "one_channel", "gemm", "gemm_of_one_output"])
def test_bias_beyond_exact_float_sums_is_added_as_an_integer(name, session):
    built = one_layer(name)
    found, form = random_form(built, scale=0.5, zero_point=3)
    layer = form.layers["layer"]
    bias = np.arange(layer.bias.size, dtype=np.int32) * 3 + 2**27 + 1
    form = QuantizedLayers({"layer": QuantizedLayer(layer.record, layer.weight, bias)})
    x = half_steps(LAYERS[name][0], 0.5)
    expected = device_output(built, found, form, "layer", x)
    assert np.array_equal(run(fake_quant_model(found.on(built), form), x, SESSIONS[session]), expected)


CHAIN = """g (float[1,3,8,8] x) => (float[1,5] y) {
    [stem] a = Conv<pads=[1,1,1,1]>(x, w1, b1)
    [relu] r = Relu(a)
    [depthwise] d = Conv<group=8, pads=[1,1,1,1]>(r, w2, b2)
    [project] p = Conv(d, w3, b3)
    [residual] s = Add(r, p)
    [pool] m = MaxPool<kernel_shape=[8,8]>(s)
    [flat] f = Flatten(m)
    [head] y = Gemm(f, w4, b4)
}"""


def chain():
    return model(
        CHAIN,
        w1=noise(1, 8, 3, 3, 3),
        b1=noise(2, 8),
        w2=noise(3, 8, 1, 3, 3),
        b2=noise(4, 8),
        w3=noise(5, 8, 8, 1, 1),
        b3=noise(6, 8),
        w4=noise(7, 8, 5),
        b4=noise(8, 5),
    )


def chain_form():
    found, form = random_form(chain(), scale=0.25, zero_point=3)
    # Small weight scales keep the values of every layer inside the range of the next one's codes.
    layers = {
        name: QuantizedLayer(
            LayerRecord(layer.record.activation, tuple(s / 64 for s in layer.record.weight_scales)),
            layer.weight,
            layer.bias,
        )
        for name, layer in form.layers.items()
    }
    return found, QuantizedLayers(layers)


def chain_on_the_device(found, form, x):
    def layer(name, data):
        return device_output(chain(), found, form, name, data)

    relu = np.maximum(layer("stem", x), 0)
    total = relu + layer("project", layer("depthwise", relu))
    return layer("head", total.max(axis=(2, 3)))


@pytest.mark.parametrize("session", SESSIONS)
def test_whole_network_gives_the_devices_bits(session):
    found, form = chain_form()
    x = half_steps((1, 3, 8, 8), 0.25)
    written = fake_quant_model(found.on(chain()), form)
    expected = chain_on_the_device(found, form, x)
    assert len(np.unique(expected)) > 3
    assert np.array_equal(run(written, x, SESSIONS[session]), expected)


def test_layers_that_read_one_tensor_alike_share_its_rounding():
    built = model(
        "g (float[1,3,4,4] x) => (float[] y, float[] z) { [a] y = Conv(x, w) [b] z = Conv(x, v) }",
        w=noise(0, 4, 3, 1, 1),
        v=noise(1, 2, 3, 3, 3),
    )
    found, form = random_form(built, zero_point=3)
    assert count(fake_quant_model(found.on(built), form), "QuantizeLinear") == 1


def test_layers_that_read_one_tensor_differently_round_it_apart():
    built = model(
        "g (float[1,4] x) => (float[] y, float[] z) { [a] y = MatMul(x, w) [b] z = MatMul(x, v) }",
        w=noise(0, 4, 4),
        v=noise(1, 4, 2),
    )
    found, form = random_form(built, zero_point=3)
    scale = form.layers["a"].record.activation.scale
    other = LayerRecord(ActivationParams(scale, -7), form.layers["b"].record.weight_scales)
    form = QuantizedLayers(
        {"a": form.layers["a"], "b": QuantizedLayer(other, form.layers["b"].weight, form.layers["b"].bias)}
    )
    x = half_steps((1, 4), 0.5)
    y, z = Session(fake_quant_model(found.on(built), form), plain("all")).run({"x": x})
    assert np.array_equal(y, device_output(built, found, form, "a", x))
    assert np.array_equal(z, device_output(built, found, form, "b", x))


def test_layer_left_out_of_the_form_stays_float():
    found, form = chain_form()
    stem_only = form.without(["depthwise", "project", "head"])
    written = fake_quant_model(found.on(chain()), stem_only)
    assert count(written, "QuantizeLinear") == 1
    for name in ("depthwise", "project", "head"):
        before, after = node_named(chain().graph, name), node_named(written.graph, name)
        assert [value.name for value in after.inputs] == [value.name for value in before.inputs]


def test_form_without_a_layer_gives_the_float_models_bits():
    found, _ = chain_form()
    x = noise(9, 1, 3, 8, 8)
    assert np.array_equal(run(fake_quant_model(found.on(chain()), QuantizedLayers({})), x), run(chain(), x))


def test_order_of_the_form_is_of_no_account():
    found, form = chain_form()
    backwards = QuantizedLayers(dict(reversed(form.layers.items())))
    x = half_steps((1, 3, 8, 8), 0.25)
    assert np.array_equal(
        run(fake_quant_model(found.on(chain()), backwards), x), run(fake_quant_model(found.on(chain()), form), x)
    )


def rounded(x, params):
    return (device.centred(x, params.scale, params.zero_point) * np.float64(np.float32(params.scale))).astype(
        np.float32
    )


@pytest.mark.parametrize("session", SESSIONS)
def test_tensor_entry_rounds_one_input_of_its_node(session):
    built = model("g (float[1,64] a, float[1,64] x) => (float[] y) { [add] y = Add(a, x) }")
    params = ActivationParams(0.1, -3)
    found, _ = random_form(built)
    written = fake_quant_model(found.on(built), QuantizedLayers({}, {"add:1": TensorRecord(params)}))
    a, x = noise(0, 1, 64), half_steps((1, 64), 0.1)
    (y,) = Session(written, SESSIONS[session]).run({"a": a, "x": x})
    assert np.array_equal(y, a + rounded(x, params))


def test_tensor_entry_behind_a_quantized_layer_rounds_its_output():
    found, form = chain_form()
    params = ActivationParams(0.125, 5)
    with_tensor = QuantizedLayers({"stem": form.layers["stem"]}, {"relu:0": TensorRecord(params)})
    x = half_steps((1, 3, 8, 8), 0.25)
    expected = np.maximum(rounded(device_output(chain(), found, form, "stem", x), params), 0)
    written = fake_quant_model(found.on(chain()), with_tensor)
    written.graph.outputs[:] = [node_named(written.graph, "relu").outputs[0]]
    assert np.array_equal(run(written, x), expected)


def test_tensor_and_layer_that_read_alike_share_the_rounding():
    found, form = chain_form()
    params = form.layers["depthwise"].record.activation
    shared = QuantizedLayers(form.layers, {"residual:0": TensorRecord(params)})
    assert count(fake_quant_model(found.on(chain()), shared), "QuantizeLinear") == len(form.layers)


def test_tensor_key_names_a_node_and_its_input():
    nodes = {node.name: node for node in chain().graph}
    nodes["model/add:v2"] = nodes["residual"]
    assert tensor_place(nodes, "model/add:v2:1") == (nodes["residual"], 1)


def test_inputs_and_outputs_keep_names_types_and_shapes():
    found, form = chain_form()
    before, after = chain().graph, fake_quant_model(found.on(chain()), form).graph
    for theirs, ours in zip([*before.inputs, *before.outputs], [*after.inputs, *after.outputs], strict=True):
        assert (ours.name, ours.type, ours.shape) == (theirs.name, theirs.type, theirs.shape)


def test_the_float_model_is_left_as_it_is():
    found, form = chain_form()
    source = chain()
    fake_quant_model(found.on(source), form)
    x = noise(9, 1, 3, 8, 8)
    assert np.array_equal(run(source, x), run(chain(), x))


def test_float_weights_of_quantized_layers_are_gone():
    found, form = chain_form()
    names = set(fake_quant_model(found.on(chain()), form).graph.initializers)
    assert names.isdisjoint({"w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"})


def test_only_standard_operators_are_used():
    found, form = chain_form()
    domains = {node.domain for node in fake_quant_model(found.on(chain()), form).graph}
    assert domains == {""}


def test_names_that_the_source_already_has_are_no_obstacle():
    built = chain()
    node_named(built.graph, "stem").outputs[0].name = "stem.output0"
    node_named(built.graph, "relu").outputs[0].name = "stem.quant.mul.output0"
    found, form = chain_form()
    x = half_steps((1, 3, 8, 8), 0.25)
    assert np.array_equal(run(fake_quant_model(found.on(built), form), x), chain_on_the_device(found, form, x))


@pytest.mark.parametrize("opset", [13, 15, 18, 21, 22])
def test_every_opset_from_13_on_gives_the_devices_bits(opset):
    built = one_layer("plain")
    built.opset_imports[""] = opset
    found, form = random_form(built, scale=0.5, zero_point=3)
    x = half_steps(LAYERS["plain"][0], 0.5)
    expected = device_output(built, found, form, "layer", x)
    assert np.array_equal(run(fake_quant_model(found.on(built), form), x, plain("all")), expected)


def test_an_open_batch_may_have_any_size():
    built = model("g (float[N,4] x) => (float[N,3] y) { [layer] y = Gemm(x, w, b) }", w=noise(0, 4, 3), b=noise(1, 3))
    found, form = random_form(built, scale=0.5, zero_point=3)
    written = fake_quant_model(found.on(built), form)
    for batch in (1, 5):
        x = half_steps((batch, 4), 0.5)
        assert np.array_equal(run(written, x, plain("all")), device_output(built, found, form, "layer", x))


def count(built, op_type):
    return sum(node.op_type == op_type for node in built.graph)
