"""Every slip that can be made by hand in a deploy file is listed, with its node, what was expected and what is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from runner import check_deploy
from runner.errors import ModelError
from runner.lint.finding import Finding
from runner.targets.ascend.deploy import deploy_model
from tests.amct_style import amct_model
from tests.data import noise
from tests.models import model, random_form

Mutation = Callable[[ModelProto], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net_deploy_model.onnx"


def checked(path: Path, *mutations: Mutation) -> list[Finding]:
    deployed = amct_model()
    for mutate in mutations:
        mutate(deployed)
    path.write_bytes(deployed.SerializeToString())
    return check_deploy(path)


def told(finding: Finding) -> str:
    return f"{finding.severity}: {finding}"


def node(deployed: ModelProto, name: str) -> NodeProto:
    return next(node for node in deployed.graph.node if node.name == name)


def tensor(deployed: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in deployed.graph.initializer if tensor.name == name)


def attribute(name: str, key: str, value: object) -> Mutation:
    """Give a node's attribute another value, and its type with it; None takes it away."""

    def mutate(deployed: ModelProto) -> None:
        changed = node(deployed, name)
        kept = [a for a in changed.attribute if a.name != key]
        del changed.attribute[:]
        changed.attribute.extend(kept if value is None else [*kept, helper.make_attribute(key, value)])

    return mutate


def reads(name: str, index: int, source: str) -> Mutation:
    return lambda deployed: node(deployed, name).input.__setitem__(index, source)


def array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Mutation:
    def mutate(deployed: ModelProto) -> None:
        stored = tensor(deployed, name)
        stored.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(stored).copy()), name))

    return mutate


def added(*nodes: NodeProto) -> Mutation:
    return lambda deployed: deployed.graph.node.extend(nodes)


def opset(version: int, domain: str = "") -> Mutation:
    def mutate(deployed: ModelProto) -> None:
        if domain:
            deployed.opset_import.append(helper.make_opsetid(domain, version))
        else:
            deployed.opset_import[0].version = version

    return mutate


def domain(name: str, value: str) -> Mutation:
    return lambda deployed: setattr(node(deployed, name), "domain", value)


def input_size(index: int, size: int | str) -> Mutation:
    def mutate(deployed: ModelProto) -> None:
        dim = deployed.graph.input[0].type.tensor_type.shape.dim[index]
        dim.CopyFrom(TensorShape(dim_value=size) if isinstance(size, int) else TensorShape(dim_param=size))

    return mutate


TensorShape = onnx.TensorShapeProto.Dimension


def set_bits(value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(bits: np.ndarray) -> np.ndarray:
        bits[0] = value
        return bits

    return change


def float_bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


def inside_an_if(deployed: ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("AscendQuant", ["y"], ["b"], "inner", scale=1.0, offset=0.0, dst_type="INT8")],
        "body",
        [],
        [helper.make_tensor_value_info("b", TensorProto.INT8, None)],
    )
    condition = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    deployed.graph.initializer.append(condition)
    deployed.graph.node.append(helper.make_node("If", ["yes"], ["z"], "branch", then_branch=body, else_branch=body))


def cut_raw_data(deployed: ModelProto) -> None:
    stored = tensor(deployed, "conv.weight")
    stored.raw_data = stored.raw_data[:-8]


def typed_gemm(deployed: ModelProto, **numbers: float) -> None:
    for key, value in numbers.items():
        attribute("head", key, value)(deployed)


def no_shape(deployed: ModelProto) -> None:
    deployed.graph.input[0].type.tensor_type.ClearField("shape")


def output_of_sums(deployed: ModelProto) -> None:
    deployed.graph.output.append(helper.make_tensor_value_info("conv.sums", TensorProto.INT32, None))


def last_node_first(deployed: ModelProto) -> None:
    nodes = list(deployed.graph.node)
    del deployed.graph.node[:]
    deployed.graph.node.extend([nodes[-1], *nodes[:-1]])


def three_axes(deployed: ModelProto) -> None:
    array("depthwise.weight", lambda w: w.reshape(4, 1, 1, 1, 1))(deployed)
    attribute("depthwise", "dilations", [2, 1, 1])(deployed)


PARAMETER = "a UINT64 initializer of one axis as second input"
SCALE = "a scale that is positive and finite, as is its reciprocal"
OFFSET = "an offset that is a whole number from -128 to 127"


def test_file_as_amct_writes_it_has_no_findings(path: Path) -> None:
    assert checked(path) == []


@pytest.mark.parametrize("opset_version", [8, 13, 18])
def test_file_of_ours_has_no_findings(path: Path, opset_version: int) -> None:
    built = model(
        "g (float[1,3,4,4] x) => (float[] y) { [a] c = Conv(x, w, b) [f] f = Flatten(c) [h] y = Gemm(f, v, d) }",
        opset=opset_version,
        w=noise(0, 4, 3, 3, 3),
        b=noise(1, 4),
        v=noise(2, 16, 5),
        d=noise(3, 5),
    )
    found, form = random_form(built)
    ir.save(deploy_model(found.on(built), form), path)
    assert check_deploy(path) == []


FINDINGS = {
    # Attributes: by name and type
    "scale_double": (
        attribute("conv.quant", "scale", numpy_helper.from_array(np.float64([12.5]))),
        "fault: conv.quant: expected attribute scale of type FLOAT, got TENSOR",
    ),
    "scale_int": (
        attribute("conv.quant", "scale", 12),
        "fault: conv.quant: expected attribute scale of type FLOAT, got INT",
    ),
    "scale_floats": (
        attribute("conv.quant", "scale", [12.5]),
        "fault: conv.quant: expected attribute scale of type FLOAT, got FLOATS",
    ),
    "scale_missing": (
        attribute("conv.quant", "scale", None),
        "fault: conv.quant: expected attribute scale of type FLOAT, got none",
    ),
    "offset_int": (
        attribute("conv.quant", "offset", -3),
        "fault: conv.quant: expected attribute offset of type FLOAT, got INT",
    ),
    "offset_missing": (
        attribute("conv.quant", "offset", None),
        "fault: conv.quant: expected attribute offset of type FLOAT, got none",
    ),
    "dst_type_missing": (
        attribute("conv.quant", "dst_type", None),
        "fault: conv.quant: expected attribute dst_type of type STRING, got none",
    ),
    "dst_type_int": (
        attribute("conv.quant", "dst_type", 2),
        "fault: conv.quant: expected attribute dst_type of type STRING, got INT",
    ),
    "dst_type_unknown": (
        attribute("conv.quant", "dst_type", "UINT8"),
        "fault: conv.quant: expected dst_type INT4, INT8, INT16, got UINT8",
    ),
    "dtype_float": (
        attribute("conv.dequant", "dtype", 0.0),
        "fault: conv.dequant: expected attribute dtype of type INT, got FLOAT",
    ),
    "dtype_unknown": (attribute("conv.dequant", "dtype", 3), "fault: conv.dequant: expected dtype 0 or 1, got 3"),
    "relu_flag_float": (
        attribute("conv.dequant", "relu_flag", 0.0),
        "fault: conv.dequant: expected attribute relu_flag of type INT, got FLOAT",
    ),
    "attribute_misspelt": (
        attribute("conv.quant", "zero_point", -3.0),
        "warning: conv.quant: expected no attributes but scale, offset, dst_type, round_mode, sqrt_mode, "
        "got zero_point, which ATC does not read",
    ),
    "anti_quant_offset_missing": (
        attribute("add.anti_quant", "offset", None),
        "fault: add.anti_quant: expected attribute offset of type FLOAT, got none",
    ),
    # Numbers
    "scale_zero": (attribute("conv.quant", "scale", 0.0), f"fault: conv.quant: expected {SCALE}, got 0"),
    "scale_negative": (attribute("conv.quant", "scale", -2.5), f"fault: conv.quant: expected {SCALE}, got -2.5"),
    "scale_infinite": (attribute("conv.quant", "scale", np.inf), f"fault: conv.quant: expected {SCALE}, got inf"),
    "scale_nan": (attribute("conv.quant", "scale", np.nan), f"fault: conv.quant: expected {SCALE}, got nan"),
    "scale_without_reciprocal": (
        attribute("conv.quant", "scale", 1e-39),
        f"fault: conv.quant: expected {SCALE}, got 1e-39",
    ),
    "offset_beyond": (attribute("conv.quant", "offset", 128.0), f"fault: conv.quant: expected {OFFSET}, got 128"),
    "offset_of_uint8": (attribute("conv.quant", "offset", 200.0), f"fault: conv.quant: expected {OFFSET}, got 200"),
    "offset_between": (attribute("conv.quant", "offset", 2.5), f"fault: conv.quant: expected {OFFSET}, got 2.5"),
    "offset_nan": (attribute("conv.quant", "offset", np.nan), f"fault: conv.quant: expected {OFFSET}, got nan"),
    # AscendAntiQuant undoes its AscendQuant
    "anti_quant_reciprocal": (
        attribute("add.anti_quant", "scale", 4.0),
        "fault: add.anti_quant: expected scale 0.25, whose reciprocal 'add:0.quant' has, got 4",
    ),
    "anti_quant_offset": (
        attribute("add.anti_quant", "offset", -7.0),
        "fault: add.anti_quant: expected offset 7 as in 'add:0.quant', got -7",
    ),
    "anti_quant_of_float": (
        reads("add.anti_quant", 0, "u"),
        "fault: add.anti_quant: expected its input from AscendQuant, got AscendDequant 'up.dequant'",
    ),
    # The parameter
    "parameter_high_bits": (
        array("conv.dequant.param", set_bits(float_bits(0.5) | 3 << 32)),
        "fault: conv.dequant: expected a parameter whose high 32 bits are 0, "
        "got 0x00000003 at 0 (bits 39:32 are a shift, 47:40 a weight offset)",
    ),
    "parameter_zero": (
        array("conv.dequant.param", set_bits(0)),
        "fault: conv.dequant: expected float32 bits of positive finite scales in the low 32 bits, got 0 at 0",
    ),
    "parameter_nan": (
        array("conv.dequant.param", set_bits(float_bits(np.nan))),
        "fault: conv.dequant: expected float32 bits of positive finite scales in the low 32 bits, got nan at 0",
    ),
    "parameter_negative": (
        array("conv.dequant.param", set_bits(float_bits(-0.5))),
        "fault: conv.dequant: expected float32 bits of positive finite scales in the low 32 bits, got -0.5 at 0",
    ),
    "parameter_int64": (
        array("conv.dequant.param", lambda p: p.astype(np.int64)),
        f"fault: conv.dequant: expected {PARAMETER}, got INT64 of shape [4]",
    ),
    "parameter_float": (
        array("conv.dequant.param", lambda p: p.astype(np.float32)),
        f"fault: conv.dequant: expected {PARAMETER}, got FLOAT of shape [4]",
    ),
    "parameter_of_two_axes": (
        array("conv.dequant.param", lambda p: p.reshape(1, 4)),
        f"fault: conv.dequant: expected {PARAMETER}, got UINT64 of shape [1, 4]",
    ),
    "parameter_computed": (
        reads("conv.dequant", 1, "x"),
        f"fault: conv.dequant: expected {PARAMETER}, got a computed value",
    ),
    "parameter_length": (
        array("conv.dequant.param", lambda p: p[:3]),
        "fault: conv.dequant: expected a parameter of 1 or 4 scales, one an output channel, got 3",
    ),
    "parameter_length_of_groups": (
        array("up.dequant.param", lambda p: p[:2]),
        "fault: up.dequant: expected a parameter of 1 or 4 scales, one an output channel, got 2",
    ),
    "gemm_scale_a_channel": (
        array("head.dequant.param", lambda p: np.repeat(p, 6)),
        "fault: head.dequant: expected a parameter of 1 scale, as Gemm has one, got 6 scales",
    ),
    "matmul_scale_a_channel": (
        array("last.dequant.param", lambda p: np.repeat(p, 2)),
        "fault: last.dequant: expected a parameter of 1 scale, as MatMul has one, got 2 scales",
    ),
    # Weights and biases
    "weight_float": (
        array("conv.weight", lambda w: w.astype(np.float32)),
        "fault: conv: expected a weight initializer of type INT8, got FLOAT",
    ),
    "weight_uint8": (
        array("conv.weight", lambda w: w.astype(np.uint8)),
        "fault: conv: expected a weight initializer of type INT8, got UINT8",
    ),
    "weight_computed": (
        reads("head", 1, "f"),
        "fault: head: expected a weight initializer of type INT8, got a computed value",
    ),
    "weight_axes": (
        array("up.weight", lambda w: w[..., 0]),
        "fault: up: expected a weight of 4 axes, got [4, 2, 1]",
    ),
    "bias_float": (
        array("conv.bias", lambda b: b.astype(np.float32)),
        "fault: conv: expected a bias initializer of type INT32 and shape [4], got FLOAT [4]",
    ),
    "bias_of_another_length": (
        array("head.bias", lambda b: b[:1]),
        "fault: head: expected a bias initializer of type INT32 and shape [6], got INT32 [1]",
    ),
    "bias_computed": (
        reads("head", 2, "h0"),
        "fault: head: expected a bias initializer of type INT32 and shape [6], got a computed value",
    ),
    "weight_cut_off": (cut_raw_data, "fault: conv.weight: expected 108 numbers for shape [4, 3, 3, 3], got 100"),
    "bias_cut_off": (
        lambda d: tensor(d, "conv.bias").int32_data.pop(),
        "fault: conv.bias: expected 4 numbers for shape [4], got 3",
    ),
    # What stands around a layer
    "layer_of_float": (reads("conv", 0, "x"), "fault: conv: expected its input from AscendQuant, got 'x'"),
    "no_dequant": (
        reads("flat", 0, "pool.sums"),
        "fault: pool: expected one AscendDequant on its output, got AscendDequant 'pool.dequant', Flatten 'flat'",
    ),
    "sums_as_graph_output": (
        output_of_sums,
        "fault: conv: expected one AscendDequant on its output, got the graph's output 'conv.sums'",
    ),
    "dequant_of_no_layer": (
        reads("last.dequant", 0, "f"),
        "fault: last.dequant: expected its first input from a quantized layer, got Flatten 'flat'",
    ),
    "weight_without_dequant": (
        added(helper.make_node("Conv", ["x", "conv.weight"], ["extra"], "extra")),
        "fault: extra: expected one AscendDequant on its output, got no reader",
    ),
    "codes_read_by_another": (
        added(helper.make_node("Relu", ["head.quant.output0"], ["r"], "relu")),
        "fault: relu: expected a quantized layer or AscendAntiQuant to read the codes of 'head.quant', got Relu",
    ),
    "codes_as_a_weight": (
        added(helper.make_node("Conv", ["x", "conv.quant.output0"], ["r"], "swapped")),
        "fault: swapped: expected a quantized layer or AscendAntiQuant to read the codes of 'conv.quant', got Conv",
    ),
    "quant_of_integers": (
        lambda d: setattr(d.graph.input[0].type.tensor_type, "elem_type", TensorProto.UINT8),
        "fault: conv.quant: expected a float input, got UINT8",
    ),
    "quant_of_two": (
        lambda d: node(d, "conv.quant").input.append("x"),
        "fault: conv.quant: expected 1 input(s), got 2",
    ),
    "dequant_of_one": (
        lambda d: node(d, "conv.dequant").input.pop(),
        "fault: conv.dequant: expected 2 input(s), got 1",
    ),
    "padding_with_another_code": (
        array("five", lambda value: np.zeros_like(value)),
        "warning: pool_pad: expected padding with the offset 5, the code of zero, got 0",
    ),
    # Limits of a layer's int8 form
    "gemm_alpha": (attribute("head", "alpha", 0.5), "fault: head: expected alpha 1, got 0.5"),
    "gemm_beta": (attribute("head", "beta", 2.0), "fault: head: expected beta 1, got 2"),
    "gemm_transposed_input": (attribute("head", "transA", 1), "fault: head: expected transA 0, got 1"),
    "gemm_transposed_weight": (
        attribute("head", "transB", 1),
        "warning: head: expected transB 0, the weight stored as [K, N], got transB 1",
    ),
    "transposed_dilation": (
        attribute("up", "dilations", [2, 2]),
        "fault: up: expected dilations of 1, got [2, 2]",
    ),
    "three_axes_dilation": (three_axes, "fault: depthwise: expected dilations of 1, got [2, 1, 1]"),
    "three_axes_offset": (three_axes, "fault: depthwise: expected offset 0 before a convolution over 3 axes, got -3"),
    "pool_axes": (
        attribute("pool", "kernel_shape", [2, 2, 2]),
        "fault: pool: expected a window over 2 axes, got [2, 2, 2]",
    ),
    "two_variables_offset": (
        reads("last", 1, "head.quant.output0"),
        "fault: last: expected offset 0 before a product of two computed values, got -3",
    ),
    # The model around
    "quant_domain": (
        domain("conv.quant", "amct.customop"),
        "fault: conv.quant: expected the default domain, got amct.customop",
    ),
    "float_domain": (
        domain("flat", "com.microsoft"),
        "unsupported: flat: expected the default domain, got com.microsoft",
    ),
    "domain_imported": (
        opset(1, "com.microsoft"),
        "unsupported: model: expected one opset import, as 24 nodes name no domain, the first 'conv.quant' (ATC's error "
        "E16005), got 2: '' 13, 'com.microsoft' 1; take out the import of com.microsoft, of which no node is",
    ),
    "domain_imported_and_in_use": (
        lambda d: [opset(1, "com.microsoft")(d), domain("flat", "com.microsoft")(d)],
        "unsupported: model: expected one opset import, as 23 nodes name no domain, the first 'conv.quant' (ATC's error "
        "E16005), got 2: '' 13, 'com.microsoft' 1; write every node in the default domain, imported once",
    ),
    "default_domain_imported_under_both_names": (
        opset(13, "ai.onnx"),
        "unsupported: model: expected one opset import, as 24 nodes name no domain, the first 'conv.quant' (ATC's error "
        "E16005), got 2: '' 13, 'ai.onnx' 13; write every node in the default domain, imported once",
    ),
    "default_domain_spelled_out_but_not_imported": (
        domain("flat", "ai.onnx"),
        "unsupported: flat: expected no domain, or an opset import of 'ai.onnx' by that name, got the domain 'ai.onnx' "
        "without one; leave the node's domain empty, which means the same to ONNX",
    ),
    "opset_above": (
        opset(19),
        "unsupported: model: expected opset 8 to 18, at which ATC registers standard operators, got opset 19 for 10 nodes: "
        "Conv (2, the first 'conv'), ConvTranspose (1, the first 'up'), Add (2, the first 'add'), Pad (1, the first "
        "'pool_pad'), AveragePool (1, the first 'pool') and 3 more operators; export the model at opset 11 to 18",
    ),
    "opset_below": (
        opset(7),
        "unsupported: model: expected opset 8 to 18, at which ATC registers standard operators, got opset 7 for 24 nodes: "
        "AscendQuant (7, the first 'conv.quant'), Conv (2, the first 'conv'), AscendDequant (",
    ),
    "no_opset": (
        lambda d: d.opset_import.pop(),
        "fault: model: expected an opset import of the default domain, got none",
    ),
    "dynamic_batch": (
        input_size(0, "N"),
        "warning: x: expected fixed sizes, or atc --input_shape to fix them, got [N, 3, 4, 4]",
    ),
    "size_left_open": (
        input_size(2, 0),
        "warning: x: expected fixed sizes, or atc --input_shape to fix them, got [1, 3, ?, 4]",
    ),
    "no_shape": (no_shape, "warning: x: expected fixed sizes, or atc --input_shape to fix them, got no shape"),
    "operator_that_nobody_knows": (
        lambda d: setattr(node(d, "flat"), "op_type", "Flatten2"),
        "unsupported: flat: expected an operator that ATC has a parser for, got Flatten2 at opset 13, of which ATC registers "
        "no version; replace it by operators that ATC reads, or run that part of the model on the host",
    ),
    "operator_without_its_input": (
        lambda d: node(d, "add").input.pop(),
        "unsupported: add: expected 2 to 2 inputs, as Add has, got 1",
    ),
    "quantizelinear_left": (
        added(helper.make_node("QuantizeLinear", ["x", "x"], ["q"], "left")),
        "unsupported: left: expected an operator that ATC has a parser for, got QuantizeLinear at opset 13, of which ATC "
        "registers no version; quantize the float model, or convert a quantization-aware-trained one with mode=convert_qat",
    ),
    "dequantizelinear_left": (
        added(helper.make_node("DequantizeLinear", ["x", "x"], ["q"], "left")),
        "unsupported: left: expected an operator that ATC has a parser for, got DequantizeLinear at opset 13, of which ATC "
        "registers no version; quantize the float model",
    ),
    "weight_quantized_by_an_operator": (
        added(helper.make_node("AscendWeightQuant", ["conv.weight", "conv.weight"], ["q"], "left", dst_type="INT8")),
        "warning: left: expected an int8 weight initializer in the place of AscendWeightQuant, got one, for which the "
        "published plugins have no parser",
    ),
    "transposed_convolution_without_its_kernel": (
        attribute("up", "kernel_shape", None),
        "unsupported: up: expected the attribute kernel_shape, which ATC's plugin demands of a ConvTranspose, got none; "
        "write [1, 1]",
    ),
    "normalization_in_training_mode": (
        added(helper.make_node("BatchNormalization", list("xxxxx"), ["q"], "norm", training_mode=1)),
        "unsupported: norm: expected a BatchNormalization for inference, which ATC makes of every one, got training_mode 1; "
        "export the model in evaluation mode",
    ),
    "inside_an_if": (
        inside_an_if,
        "fault: inner: expected AscendQuant in the main graph, got inside the body of another",
    ),
    "input_of_nowhere": (
        reads("flat", 0, "nothing"),
        "fault: flat: expected its input 'nothing' from a node before it, got made by no node",
    ),
    "out_of_order": (
        last_node_first,
        "fault: last.dequant: expected its input 'last.biased' from a node before it, got made later",
    ),
    "one_name_twice": (
        added(helper.make_node("Relu", ["x"], ["f"], "again")),
        "fault: again: expected a name of its own for its output 'f', got one that another value has",
    ),
    "output_of_nowhere": (
        lambda d: setattr(d.graph.output[0], "name", "z"),
        "fault: model: expected a node that makes the output 'z', got none",
    ),
    "reference": (
        lambda d: [setattr(a, "ref_attr_name", "k") for a in node(d, "conv.quant").attribute if a.name == "scale"],
        "fault: conv.quant: expected a value of its attribute scale, got a reference to the attribute 'k' of a function, and "
        "it is in none",
    ),
    "nothing_quantized": (
        lambda d: [setattr(n, "op_type", "Relu") for n in d.graph.node if n.op_type == "AscendQuant"],
        "warning: model: expected at least one AscendQuant, got none: a float model, or another tool's",
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_slip_is_listed_with_node_expected_and_got(name: str, path: Path) -> None:
    mutate, message = FINDINGS[name]
    lines = [told(finding) for finding in checked(path, mutate)]
    assert any(line.startswith(message) for line in lines), lines


def test_unnamed_node_is_called_by_what_it_makes(path: Path) -> None:
    (finding,) = checked(path, attribute("conv.quant", "offset", 2.5), lambda d: setattr(d.graph.node[0], "name", ""))
    assert finding.node == "AscendQuant that makes 'conv.quant.output0'"


def test_wider_codes_have_wider_offsets(path: Path) -> None:
    wide = [attribute("conv.quant", "dst_type", "INT16"), attribute("conv.quant", "offset", 300.0)]
    assert checked(path, *wide) == []
    narrow = [attribute("conv.quant", "dst_type", "INT4"), attribute("conv.quant", "offset", 8.0)]
    (finding,) = checked(path, *narrow)
    assert finding.expected == "an offset that is a whole number from -8 to 7"


def test_weight_may_stand_behind_ascendweightquant_of_older_files(path: Path) -> None:
    def older(deployed: ModelProto) -> None:
        quantizer = helper.make_node(
            "AscendWeightQuant", ["conv.weight", "offsets"], ["w8"], "conv.wq", dst_type="INT8"
        )
        deployed.graph.initializer.append(helper.make_tensor("offsets", TensorProto.INT8, [4], [0] * 4))
        deployed.graph.node.insert(0, quantizer)
        reads("conv", 1, "w8")(deployed)

    (finding,) = checked(path, older)
    assert (finding.node, finding.severity) == ("conv.wq", "warning")


# External data


def external(path: Path) -> None:
    """Write the hand-made model with every tensor in a file beside it."""
    deployed = amct_model()
    for stored in deployed.graph.initializer:
        # onnx moves raw data only.
        array(stored.name, lambda values: values)(deployed)
    onnx.save(deployed, path, save_as_external_data=True, location="net.data", size_threshold=0)


def test_external_data_is_found_beside_the_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    external(path)
    monkeypatch.chdir("/")
    assert check_deploy(path) == []
    stored = onnx.load(path, load_external_data=False).graph.initializer
    assert all(tensor.data_location == TensorProto.EXTERNAL for tensor in stored)


def test_parameter_in_external_data_is_read(path: Path) -> None:
    deployed = amct_model()
    array("conv.dequant.param", set_bits(float_bits(0.5) | 1 << 40))(deployed)
    onnx.save(deployed, path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert tensor(onnx.load(path, load_external_data=False), "conv.dequant.param").external_data
    (finding,) = check_deploy(path)
    assert finding.got.startswith("0x00000100 at 0")


def test_missing_external_data_is_named_with_each_tensor(path: Path) -> None:
    external(path)
    (path.parent / "net.data").unlink()
    lines = [told(finding) for finding in check_deploy(path)]
    assert "fault: conv.weight: expected its external data in 'net.data' beside the model, got no such file" in lines
    assert (
        "fault: conv.dequant: expected [4] numbers in 'conv.dequant.param', got data that is missing or too short"
    ) in lines


def test_external_data_that_is_cut_off_is_named(path: Path) -> None:
    external(path)
    data = path.parent / "net.data"
    data.write_bytes(data.read_bytes()[:-1])
    assert any(finding.got.endswith("it is cut off") for finding in check_deploy(path))


@pytest.mark.parametrize("location", ["../net.data", "/tmp/net.data"])
def test_external_data_elsewhere_does_not_travel_with_the_model(path: Path, location: str) -> None:
    external(path)
    moved = onnx.load(path, load_external_data=False)
    for entry in tensor(moved, "conv.weight").external_data:
        entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(moved.SerializeToString())
    (finding,) = check_deploy(path)
    assert str(finding) == f"conv.weight: expected its external data in a file beside the model, got {location}"


# Files that are no model


def test_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx does not exist; expected a deploy model, an ONNX file\."):
        check_deploy(tmp_path / "gone.onnx")
    with pytest.raises(ModelError, match=r"is a folder; expected a deploy model"):
        check_deploy(tmp_path)


def test_file_of_another_kind_or_cut_off_is_refused(path: Path) -> None:
    path.write_bytes(amct_model().SerializeToString()[:-20])
    with pytest.raises(ModelError, match=r"deploy_model\.onnx \(\d+ bytes\) cannot be read as ONNX: .*truncated"):
        check_deploy(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"holds no ONNX graph \(no nodes\)"):
        check_deploy(path)


def damage(deployed: ModelProto) -> dict[str, Mutation]:
    """Return ways to damage each node and each tensor."""
    kinds = sorted({node.op_type for node in deployed.graph.node})
    ways: dict[str, Mutation] = {}
    for index, changed in enumerate(deployed.graph.node):
        for field in ("input", "output", "attribute", "op_type", "name"):
            ways[f"{changed.name} without {field}"] = lambda d, i=index, f=field: d.graph.node[i].ClearField(f)
        for kind in kinds:
            ways[f"{changed.name} as {kind}"] = lambda d, i=index, k=kind: setattr(d.graph.node[i], "op_type", k)
        ways[f"{changed.name} of itself"] = lambda d, i=index: d.graph.node[i].input.__setitem__(
            0, d.graph.node[i].output[0]
        )
        for key in [attribute.name for attribute in changed.attribute]:
            for value in (3, 0.5, "text", [3, 4], [0.5]):
                ways[f"{changed.name} with {key} {value!r}"] = attribute(changed.name, key, value)
            ways[f"{changed.name} with {key} of a function"] = lambda d, i=index, k=key: [
                setattr(a, "ref_attr_name", "k") for a in d.graph.node[i].attribute if a.name == k
            ]
    for index, stored in enumerate(deployed.graph.initializer):
        for field in ("dims", "data_type", "raw_data", "int32_data", "uint64_data", "name"):
            ways[f"{stored.name} without {field}"] = lambda d, i=index, f=field: d.graph.initializer[i].ClearField(f)
        ways[f"{stored.name} outside"] = lambda d, i=index: setattr(
            d.graph.initializer[i], "data_location", TensorProto.EXTERNAL
        )
    return ways


def test_damage_of_any_part_is_a_finding_and_never_a_crash(path: Path) -> None:
    intact, silent = amct_model(), set()
    for way, mutate in damage(intact).items():
        damaged = amct_model()
        mutate(damaged)
        try:
            found = checked(path, mutate)
        except Exception as error:
            raise AssertionError(way) from error
        if not found and damaged != intact:
            silent.add(way)
    # Names say nothing, but for the Pad that belongs to a pool; some attributes have defaults; some layers have like shapes.
    legal = {f"{node.name} without name" for node in intact.graph.node}
    legal |= {
        f"{node.name} without attribute" for node in intact.graph.node if node.op_type in ("Conv", "AscendDequant")
    }
    legal |= {"depthwise as ConvTranspose", "up as Conv", "head as MatMul"}
    # Float nodes whose place another float node can take.
    legal |= {way for way in damage(intact) if way.startswith(("add as ", "flat as "))}
    # What a float attribute says, or is taken for, is not looked at.
    legal |= {way for way in damage(intact) if " with " in way and not way.endswith(" of a function")}
    assert silent <= legal


def test_check_leaves_the_file_as_it_is(path: Path) -> None:
    external(path)
    copies = [shutil.copy(file, f"{file}.copy") for file in (path, path.parent / "net.data")]
    check_deploy(path)
    for copy in map(Path, copies):
        assert copy.read_bytes() == copy.with_suffix("").read_bytes()


def balances(factors: np.ndarray, layer: str = "head", *, as_node: bool = False) -> Mutation:
    """Put AMCT's Mul before a layer's AscendQuant; its constant is an initializer, or a node as AMCT writes it."""

    def mutate(deployed: ModelProto) -> None:
        name = f"{layer}.tensor_balance_factor"
        stored = numpy_helper.from_array(factors.astype(np.float32), name)
        read = f"{name}.output0" if as_node else name
        quant = node(deployed, f"{layer}.quant")
        place = list(deployed.graph.node).index(quant)
        mul = helper.make_node("Mul", [quant.input[0], read], [f"{layer}.mul.output0"], f"{layer}.mul")
        quant.input[0] = mul.output[0]
        deployed.graph.node.insert(place, mul)
        if as_node:
            deployed.graph.node.insert(place, helper.make_node("Constant", [], [read], name, value=stored))
        else:
            deployed.graph.initializer.append(stored)

    return mutate


@pytest.mark.parametrize("as_node", [False, True])
@pytest.mark.parametrize(
    ("layer", "channels"), [("conv", 3), ("depthwise", 4), ("up", 4), ("head", 4), ("last", 6)], ids=str
)
def test_balanced_layer_has_no_findings(path: Path, layer: str, channels: int, as_node: bool) -> None:
    shape = (1, channels, 1, 1) if layer in ("conv", "depthwise", "up") else (1, channels)
    assert checked(path, balances(np.linspace(0.1, 3, channels).reshape(shape), layer, as_node=as_node)) == []


@pytest.mark.parametrize(
    ("layer", "factors", "expected"),
    [
        ("depthwise", np.ones((1, 1, 1, 1)), "fault: depthwise.mul: expected 4 factors, one an input channel, got 1"),
        ("conv", np.ones((1, 4, 1, 1)), "fault: conv.mul: expected 3 factors, one an input channel, got 4"),
        ("conv", np.array([1, 0, 1]).reshape(1, 3, 1, 1), "fault: conv.mul: expected positive finite factors, got 0"),
        ("conv", np.array([1, 1, np.inf]).reshape(1, 3, 1, 1), "expected positive finite factors, got inf"),
        ("conv", np.array([-1, 1, 1]).reshape(1, 3, 1, 1), "fault: conv.mul: expected positive finite factors, got -1"),
    ],
)
def test_illegal_factors_of_a_balanced_layer_are_found(
    path: Path, layer: str, factors: np.ndarray, expected: str
) -> None:
    (finding,) = checked(path, balances(factors, layer))
    assert expected in told(finding)
