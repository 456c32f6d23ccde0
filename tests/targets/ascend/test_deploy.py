"""The deploy model, read as raw protobuf and held against AMCT's format node by node."""

import struct

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import AttributeProto, TensorProto, numpy_helper

from runner.graph.layers import find_layers
from runner.graph.model_file import model_bytes
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, random_form

GRAPH = """g (float[1,3,8,8] x) => (float[1,5] y, float[1,4,8,8] a) {
    [stem] a = Conv<pads=[1,1,1,1]>(x, w1, b1)
    [relu] r = Relu(a)
    [project] p = Conv(r, w2)
    [residual] s = Add(r, p)
    [pool] m = GlobalMaxPool(s)
    [flat] f = Flatten(m)
    [head] y = Gemm(f, w3, b3)
}"""
SHAPES = {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (4, 4, 1, 1), "w3": (4, 5), "b3": (5,)}


def source(**options):
    return model(GRAPH, **options, **{name: noise(seed, *shape) for seed, (name, shape) in enumerate(SHAPES.items())})


def written(built, form):
    """Return the deploy model as a reader of its file sees it."""
    return onnx.load_from_string(model_bytes(deploy_model(find_layers(built, ASCEND), form)))


@pytest.fixture
def form():
    return random_form(source(), scale=0.1, zero_point=-3)[1]


@pytest.fixture
def deployed(form):
    return written(source(), form)


def node(deployed, name):
    (found,) = [node for node in deployed.graph.node if node.name == name]
    return found


def initializer(deployed, name):
    (found,) = [tensor for tensor in deployed.graph.initializer if tensor.name == name]
    return found


def attributes(deployed, name):
    return {a.name: (a.type, onnx.helper.get_attribute_value(a)) for a in node(deployed, name).attribute}


def op_types(deployed):
    return [node.op_type for node in deployed.graph.node]


def test_every_layer_stands_between_quant_and_dequant(deployed):
    assert op_types(deployed) == [
        *("AscendQuant", "Conv", "AscendDequant", "Relu"),
        *("AscendQuant", "Conv", "AscendDequant", "Add"),
        *("GlobalMaxPool", "Flatten", "AscendQuant", "Gemm", "AscendDequant"),
    ]


def test_every_node_is_of_the_default_domain_and_the_opset_is_the_sources():
    deployed = written(source(opset=11, ir_version=6), random_form(source())[1])
    assert {node.domain for node in deployed.graph.node} == {""}
    assert [(opset.domain, opset.version) for opset in deployed.opset_import] == [("", 11)]


def test_domains_that_no_node_is_of_are_not_imported(form):
    built = source()
    built.opset_imports["ai.onnx.ml"] = 3
    assert [entry.domain for entry in written(built, form).opset_import] == [""]
    assert "ai.onnx.ml" in built.opset_imports  # the float model is left as it is


def test_quant_has_the_reciprocal_scale_the_offset_and_the_type(deployed):
    reciprocal = struct.unpack("<f", struct.pack("<f", 1 / float(np.float32(0.1))))[0]
    assert attributes(deployed, "project.quant") == {
        "scale": (AttributeProto.FLOAT, reciprocal),
        "offset": (AttributeProto.FLOAT, -3.0),
        "dst_type": (AttributeProto.STRING, b"INT8"),
    }


def test_quant_stands_before_the_first_input(deployed):
    assert (list(node(deployed, "project.quant").input), list(node(deployed, "project.quant").output)) == (
        ["r"],
        ["project.quant.output0"],
    )
    assert node(deployed, "project").input[0] == "project.quant.output0"


def test_dequant_reads_the_layer_and_its_parameter(deployed):
    dequant = node(deployed, "project.dequant")
    assert list(dequant.input) == [node(deployed, "project").output[0], "project.dequant.param"]
    assert list(dequant.output) == ["project.dequant.output0"]
    assert attributes(deployed, "project.dequant") == {"dtype": (AttributeProto.INT, 0)}


@pytest.mark.parametrize(("name", "count"), [("stem", 4), ("project", 4), ("head", 1)])
def test_parameter_is_the_bits_of_the_product_of_the_scales(deployed, form, name, count):
    parameter = initializer(deployed, f"{name}.dequant.param")
    products = [float(np.float32(0.1)) * s for s in form.layers[name].record.weight_scales]
    assert parameter.data_type == TensorProto.UINT64
    assert list(parameter.dims) == [count]
    # The product of two float32 is exact in float64, so packing it rounds once.
    expected = [int.from_bytes(struct.pack("<f", product), "little") for product in products]
    assert numpy_helper.to_array(parameter).tolist() == expected


@pytest.mark.parametrize(("name", "weight"), [("stem", "w1"), ("project", "w2"), ("head", "w3")])
def test_weight_is_raw_int8_under_its_own_name_and_layout(deployed, form, name, weight):
    tensor = initializer(deployed, weight)
    assert node(deployed, name).input[1] == weight
    assert tensor.data_type == TensorProto.INT8
    assert tuple(tensor.dims) == SHAPES[weight]
    assert tensor.raw_data == form.layers[name].weight.tobytes()


@pytest.mark.parametrize(("name", "bias"), [("stem", "b1"), ("head", "b3")])
def test_bias_is_int32_data_without_the_offset_correction(deployed, form, name, bias):
    tensor = initializer(deployed, bias)
    assert node(deployed, name).input[2] == bias
    assert tensor.data_type == TensorProto.INT32
    assert list(tensor.int32_data) == form.layers[name].bias.tolist()


def test_layer_without_a_bias_stays_without(deployed):
    assert len(node(deployed, "project").input) == 2


def test_layer_keeps_its_attributes(deployed):
    assert attributes(deployed, "stem")["pads"] == (AttributeProto.INTS, [1, 1, 1, 1])


@pytest.mark.parametrize(("name", "output"), [("stem", "a"), ("head", "y")])
def test_dequant_takes_over_the_name_of_a_graph_output(deployed, name, output):
    assert list(node(deployed, f"{name}.dequant").output) == [output]
    assert list(node(deployed, name).output) == [f"{name}_output0"]


def test_readers_of_a_graph_output_read_the_dequantized_value(deployed):
    assert list(node(deployed, "relu").input) == ["a"]


def test_inputs_and_outputs_keep_names_types_and_shapes(deployed):
    before = ir.to_proto(source()).graph
    assert list(deployed.graph.input) == list(before.input)
    assert list(deployed.graph.output) == list(before.output)


def test_layer_left_out_of_the_form_stays_float(form):
    deployed = written(source(), form.without(["project"]))
    assert list(node(deployed, "project").input) == ["r", "w2"]
    assert initializer(deployed, "w2").data_type == TensorProto.FLOAT
    assert "project.dequant.param" not in {tensor.name for tensor in deployed.graph.initializer}


def test_empty_form_gives_the_float_model():
    assert op_types(written(source(), QuantizedLayers({}))) == [node.op_type for node in source().graph]


def test_the_float_model_is_left_as_it_is(form):
    built = source()
    deploy_model(find_layers(built, ASCEND), form)
    assert model_bytes(built) == model_bytes(source())


TWO = "g (float[1,4] x) => (float[] y, float[] z) { [a] y = MatMul(x, w) [b] z = MatMul(x, v) }"


def two(params_b):
    built = model(TWO, w=noise(0, 4, 4), v=noise(1, 4, 2))
    _, form = random_form(built, scale=0.1, zero_point=3)
    b = form.layers["b"]
    record = LayerRecord(params_b, b.record.weight_scales)
    return written(built, QuantizedLayers({"a": form.layers["a"], "b": QuantizedLayer(record, b.weight, b.bias)}))


def test_layers_that_read_one_tensor_alike_share_the_first_ones_quant():
    deployed = two(ActivationParams(float(np.float32(0.1)), 3))
    assert op_types(deployed).count("AscendQuant") == 1
    assert node(deployed, "b").input[0] == "a.quant.output0"


def test_layers_that_read_one_tensor_differently_have_their_own_quants():
    deployed = two(ActivationParams(float(np.float32(0.1)), 4))
    assert op_types(deployed).count("AscendQuant") == 2
    assert node(deployed, "b").input[0] == "b.quant.output0"


def with_tensor(form, params, key="residual:1"):
    return written(source(), QuantizedLayers(form.layers, {key: TensorRecord(params)}))


def test_tensor_entry_becomes_quant_and_anti_quant(form):
    deployed = with_tensor(form, ActivationParams(0.25, 7))
    assert node(deployed, "residual").input[1] == node(deployed, "residual.1.anti_quant").output[0]
    assert node(deployed, "residual.1.anti_quant").input[0] == node(deployed, "residual.1.quant").output[0]
    assert list(node(deployed, "residual.1.quant").input) == ["project.dequant.output0"]


def test_anti_quant_has_the_scale_itself(form):
    deployed = with_tensor(form, ActivationParams(0.25, 7))
    assert attributes(deployed, "residual.1.quant")["scale"] == (AttributeProto.FLOAT, 4.0)
    assert attributes(deployed, "residual.1.anti_quant") == {
        "scale": (AttributeProto.FLOAT, 0.25),
        "offset": (AttributeProto.FLOAT, 7.0),
        "dtype": (AttributeProto.INT, 0),
    }


@pytest.mark.parametrize("key", ["residual:0", "relu:0"])
def test_tensor_and_layer_that_read_alike_share_the_quant(key):
    """relu reads what stem makes and what second reads; residual reads what project reads."""
    graph = GRAPH.replace("float[1,4,8,8] a)", "float[1,4,8,8] q)").replace(
        "[pool]", "[second] q = Conv(a, w4)\n [pool]"
    )
    built = model(
        graph, **{n: noise(s, *shape) for s, (n, shape) in enumerate(SHAPES.items())}, w4=noise(9, 4, 4, 1, 1)
    )
    _, form = random_form(built, scale=0.1, zero_point=-3)
    tensor = TensorRecord(form.layers["project"].record.activation)
    deployed = written(built, QuantizedLayers(form.layers, {key: tensor}))
    assert op_types(deployed).count("AscendQuant") == len(form.layers)


def test_bias_shared_with_a_float_layer_stays_float_for_it():
    built = model(
        "g (float[1,4] x) => (float[] y, float[] z) { [a] y = Gemm(x, w, b) [c] z = Gemm(x, v, b) }",
        w=noise(0, 4, 4),
        v=noise(1, 4, 4),
        b=noise(2, 4),
    )
    _, form = random_form(built)
    deployed = written(built, form.without(["c"]))
    assert initializer(deployed, node(deployed, "c").input[2]).data_type == TensorProto.FLOAT
    bias = initializer(deployed, node(deployed, "a").input[2])
    assert list(bias.int32_data) == form.layers["a"].bias.tolist()


def test_gemm_bias_of_one_value_becomes_one_a_channel():
    built = model("g (float[1,4] x) => (float[] y) { [a] y = Gemm(x, w, b) }", w=noise(0, 4, 3), b=noise(1, 1))
    _, form = random_form(built)
    assert list(initializer(written(built, form), "b").dims) == [3]


def test_names_that_the_source_already_has_are_no_obstacle(form):
    built = source()
    names = {"r": "stem_output0", "p": "head.quant.output0", "s": "project.dequant.output0"}
    for value in [output for node in built.graph for output in node.outputs]:
        value.name = names.get(value.name, value.name)
    deployed = written(built, form)
    outputs = [name for node in deployed.graph.node for name in node.output]
    assert len(set(outputs)) == len(outputs)


def kernels(deployed):
    """Return the kernel_shape of every convolution, also of those in bodies."""

    def inside(graph):
        for found in graph.node:
            yield found
            for attribute in found.attribute:
                if attribute.HasField("g"):
                    yield from inside(attribute.g)

    return {
        found.name: next((list(a.ints) for a in found.attribute if a.name == "kernel_shape"), None)
        for found in inside(deployed.graph)
        if found.op_type in ("Conv", "ConvTranspose")
    }


KERNELS = """g (float[1,2,6,5] x, bool c, float[2,3,2,3] z) =>
    (float[] y, float[] u, float[] l, float[] a, float[] d, float[] e) {
    [conv] a = Conv(x, w1)
    [up] y = ConvTranspose(x, w2)
    [float_up] b = ConvTranspose(x, w3)
    [negated] w4 = Neg(z)
    [computed] d = ConvTranspose(x, w4)
    [said] e = Conv<kernel_shape=[1,1]>(x, w5)
    [branch] u = If(c) <
        then_branch = t () => (float[] t1) { [inner] t1 = ConvTranspose(x, w3) },
        else_branch = f () => (float[] f1) { [kept] f1 = Identity(b) }
    >
    [line] l = Conv(k, w6)
}"""
SIZES = {
    "w1": (4, 2, 3, 2),
    "w2": (2, 3, 2, 3),
    "w3": (2, 3, 4, 1),
    "w5": (3, 2, 1, 1),
    "w6": (3, 2, 5),
    "k": (1, 2, 9),
}


@pytest.mark.parametrize("quantized", [(), ("conv", "up", "said")], ids=["float", "int8"])
def test_kernel_shapes_are_written_out_for_every_convolution(quantized):
    built = model(KERNELS, **{name: noise(seed, *shape) for seed, (name, shape) in enumerate(SIZES.items())})
    _, form = random_form(built)
    chosen = QuantizedLayers({name: layer for name, layer in form.layers.items() if name in quantized})
    assert set(chosen.layers) == set(quantized)
    deployed = written(built, chosen)
    assert kernels(deployed) == {
        "conv": [3, 2],
        "up": [2, 3],
        "float_up": [4, 1],
        "computed": [2, 3],
        "inner": [4, 1],
        "said": [1, 1],
        "line": [5],
    }
    assert "kernel_shape" not in next(node for node in built.graph if node.name == "up").attributes


def test_kernel_of_a_weight_of_unknown_size_stays_unsaid():
    built = model("g (float[1,2,6,5] x, float[A,B,C,D] w) => (float[] y) { [up] y = ConvTranspose(x, w) }")
    assert kernels(written(built, QuantizedLayers({}))) == {"up": None}


def test_model_that_says_its_kernels_gives_the_bytes_it_gave():
    graph = "g (float[1,2,4,4] x) => (float[] y) { [c] y = Conv<kernel_shape=[3,3], strides=[2,2]>(x, w) }"
    built = model(graph, w=noise(0, 3, 2, 3, 3))
    conv = node(written(built, random_form(built)[1]), "c")
    assert [a.name for a in conv.attribute] == ["kernel_shape", "strides"]
