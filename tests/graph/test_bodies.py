"""Bodies of If, Loop and Scan and local functions, as exporters write them: what preparing makes of them computes the same."""

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from runner.convert.qdq.normalise import normalise
from runner.errors import ModelError
from runner.graph.layers import find_layers
from runner.graph.opset import raise_opset
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import plain_session

X = noise(3, 1, 3, 6, 6)
CONDITION = "m = ReduceMean <keepdims = 0> (x) d = Greater (m, zero)"
SAME = "pads = [1,1,1,1]"
ARRAYS = {
    "w": noise(1, 4, 3, 3, 3),
    "v": noise(2, 4, 4, 3, 3),
    "zero": np.float32(0),
    "one": np.float32(1),
    "two": np.int64(2),
    "yes": np.array(True),
    "no": np.array(False),
}


def branches(then, other, *, condition="d", outputs="i"):
    """Return an If with two bodies: of each its outputs and its nodes."""
    (a, first), (b, second) = then, other
    return (
        f"{outputs} = If ({condition}) <then_branch = t () => ({a}) {{ {first} }}, "
        f"else_branch = e () => ({b}) {{ {second} }}>"
    )


def source(nodes, *, outputs="y", functions="", opset=16):
    """Return the model of ``nodes`` behind a Conv ``c`` of ``x``; constants it reads are initializers."""
    listed = ", ".join(f"float[] {name}" for name in outputs.split())
    imports = f'"" : {opset}' + (', "f" : 1' if functions else "")
    text = f"<ir_version: 8, opset_import: [{imports}]> g (float[1,3,6,6] x) => ({listed}) {{"
    model = onnx.parser.parse_model(f"{text} [conv] c = Conv <{SAME}> (x, w) {CONDITION} {nodes} }} {functions}")
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in ARRAYS.items())
    return model


def run(model):
    return plain_session(model).run(None, {"x": X})


def check(made, expected, names):
    """Hold a model against outputs: as it is, at the simulation's opset, and copied."""
    assert [value.name for value in made.graph.outputs] == names
    for model in (made, raise_opset(made), made.clone()):
        for got, real in zip(run(model), expected, strict=True):
            assert got.shape == real.shape
            np.testing.assert_allclose(got, real, rtol=1e-5, atol=1e-5)


IDENTITY = {name: f"{name} = Identity (c)" for name in ("a", "b")}
CASES = {
    "one branch hands an outer value on": (
        branches(("float[] a", IDENTITY["a"]), ("float[] b", "b = Relu (c)")) + "y = Neg (i)",
        "y",
    ),
    "both branches hand the same outer value on": (
        branches(("float[] a", IDENTITY["a"]), ("float[] b", IDENTITY["b"])) + "y = Neg (i)",
        "y",
    ),
    "the outer value is an output too": (
        branches(("float[] a", IDENTITY["a"]), ("float[] b", IDENTITY["b"]), outputs="y"),
        "y c",
    ),
    "an outer initializer": (
        branches(("float[] a", "a = Identity (zero)"), ("float[] b", "b = Identity (one)")) + "y = Add (c, i)",
        "y",
    ),
    "a chain of identities": (
        branches(("float[] a", "q = Identity (c) a = Identity (q)"), ("float[] b", IDENTITY["b"])) + "y = Neg (i)",
        "y",
    ),
    "one value under two names": (
        branches(
            ("float[] a, float[] a2", "a = Relu (c) a2 = Identity (a)"),
            ("float[] b, float[] b2", "b = Identity (c) b2 = Identity (b)"),
            outputs="i, j",
        )
        + "y = Add (i, j)",
        "y",
    ),
    "a cast that casts nothing": (
        branches(("float[] a", "a = Cast <to = 1> (c)"), ("float[] b", "b = Cast <to = 1> (c)")) + "y = Relu (i)",
        "y c",
    ),
    "a constant of the body": (
        branches(
            ("float[] a", "q = Constant <value = float {2}> () a = Mul (q, q)"),
            ("float[] b", "b = Constant <value = float {3}> ()"),
        )
        + "y = Add (c, i)",
        "y",
    ),
    "an outer value inside two bodies": (
        branches(
            (
                "float[] a",
                branches(("float[] p", "p = Identity (c)"), ("float[] q", "q = Neg (c)"), outputs="n")
                + "a = Identity (n)",
            ),
            ("float[] b", IDENTITY["b"]),
        )
        + "y = Relu (i)",
        "y",
    ),
    "an output under two names": ("y = Relu (c) z = Identity (y)", "y z"),
    "an input as an output": ("y = Identity (x)", "y c"),
    "an initializer as an output": ("y = Identity (w)", "y c w"),
    "a loop that hands its state and an outer value on": (
        "y, s = Loop (two, yes, x) <body = l (int64 n, bool p, float[] q) => (bool p2, float[] q2, float[] r) "
        "{ p2 = Identity (p) q2 = Identity (q) r = Identity (c) }>",
        "y s",
    ),
    "a loop whose condition is an outer value": (
        "y = Loop (two, yes, c) <body = l (int64 n, bool p, float[] q) => (bool p2, float[] q2) "
        f"{{ p2 = Identity (yes) k = Conv <{SAME}> (q, v) q2 = Relu (k) }}>",
        "y",
    ),
    "a scan that gives its state twice": (
        "k = Constant <value = int64[1] {1}> () first = ReduceSum <keepdims = 0> (c, k) "
        "y, s = Scan <num_scan_inputs = 1, scan_input_axes = [1], body = l (float[] p, float[] q) => (float[] p2, float[] r) "
        "{ p2 = Add (p, q) r = Identity (p2) }> (first, c)",
        "y s",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_body_that_hands_values_on_still_does(case):
    nodes, outputs = CASES[case]
    expected = run(source(nodes, outputs=outputs))
    names = outputs.split()
    check(prepare(ir.from_proto(source(nodes, outputs=outputs)), ASCEND).graph, expected, names)
    check(normalise(ir.from_proto(source(nodes, outputs=outputs)))[0], expected, names)


# --- branches whose condition is a constant

LAYER = f"[inner] k = Conv <{SAME}> (c, v)"
TAKEN = {
    "an initializer": ("yes", ""),
    "computed from constants": ("f", "f = Not (no)"),
    "computed by another branch": (
        "f",
        branches(("bool a0", "a0 = Identity (yes)"), ("bool b0", "b0 = Not (yes)"), condition="yes", outputs="f"),
    ),
    "a shape": (
        "f",
        "h = Shape (w) k0 = Constant <value = int64[4] {4,3,3,3}> () e0 = Equal (h, k0) "
        "e1 = Cast <to = 6> (e0) e2 = ReduceMin <keepdims = 0> (e1) f = Cast <to = 9> (e2)",
    ),
}


@pytest.mark.parametrize("how", TAKEN)
def test_layers_of_a_branch_that_is_always_taken_are_found(how):
    condition, before = TAKEN[how]
    nodes = before + branches(("float[] a", f"{LAYER} a = Relu (k)"), ("float[] b", IDENTITY["b"]), condition=condition)
    model = source(f"{nodes} y = Neg (i)")
    (node,) = [node for node in model.graph.node if node.output[0] == "i"]
    node.name = "choice"
    expected = run(model)
    made = prepare(ir.from_proto(model), ASCEND).graph
    assert "If" not in {node.op_type for node in made.graph}
    assert [layer.name for layer in find_layers(made, ASCEND).layers] == ["conv", "choice_inner"]
    check(made, expected, ["y"])


def test_weight_that_only_a_branch_never_taken_reads_besides_is_a_layers_own():
    nodes = branches(
        ("float[] a", "a = Relu (c)"),
        ("float[] b", f"k = Conv <{SAME}> (x, w) q = Mul (k, gamma) b = Identity (q)"),
        condition="yes",
        outputs="y",
    )
    model = source(nodes.replace("q = Mul (k, gamma) ", "q = Neg (k) "))
    made = prepare(ir.from_proto(model), ASCEND).graph
    (layer,) = find_layers(made, ASCEND).layers
    assert layer.weight == "w"
    check(made, run(model), ["y"])


@pytest.mark.parametrize(
    ("outputs", "nodes"),
    [
        ("y c", branches(("float[] a", IDENTITY["a"]), ("float[] b", "b = Neg (c)"), condition="yes", outputs="y")),
        (
            "y",
            branches(("float[] a", "a = Identity (zero)"), ("float[] b", "b = Neg (c)"), condition="yes", outputs="y"),
        ),
        (
            "y z",
            branches(
                ("float[] a, float[] a2", "a = Neg (c) a2 = Identity (a)"),
                ("float[] b, float[] b2", "b = Neg (c) b2 = Relu (c)"),
                condition="yes",
                outputs="y, z",
            ),
        ),
        (
            "y",
            branches(("float[] a", "q = Neg (c) a = Relu (q)"), ("float[] b", "b = Neg (c)"), condition="yes")
            + branches(
                ("float[] a", "q = Abs (c) a = Relu (q)"), ("float[] b", "b = Neg (c)"), condition="no", outputs="j"
            )
            + "q = Add (i, j) y = Sigmoid (q)",
        ),
        (
            "y",
            branches(
                (
                    "float[] a",
                    branches(("float[] p", "p = Neg (c)"), ("float[] q", "q = Abs (c)"), condition="yes", outputs="a"),
                ),
                ("float[] b", IDENTITY["b"]),
            )
            + "y = Sigmoid (i)",
        ),
        (
            "y",
            branches(
                ("float[] a", branches(("float[] p", "p = Neg (c)"), ("float[] q", "q = Abs (c)"), outputs="a")),
                ("float[] b", IDENTITY["b"]),
                condition="yes",
            )
            + "y = Sigmoid (i)",
        ),
    ],
    ids=["outer value", "initializer", "two names", "like names", "inside a body", "around a body"],
)
def test_branch_in_the_place_of_its_if_gives_the_same_outputs(outputs, nodes):
    model = source(nodes, outputs=outputs)
    expected = run(source(nodes, outputs=outputs))
    made = prepare(ir.from_proto(model), ASCEND).graph
    assert not any(node.op_type == "If" and node.inputs[0].name in ("yes", "no") for node in made.graph.all_nodes())
    check(made, expected, outputs.split())


# --- functions


def function(name, inputs, outputs, nodes, *, opset=16):
    imports = f'"" : {opset}, "f" : 1'
    return f'<domain: "f", opset_import: [{imports}]> {name} ({inputs}) => ({outputs}) {{ {nodes} }}'


BLOCK = function("Block", "X, W", "Y", f"[inner] k = Conv <{SAME}> (X, W) Y = Relu (k)")
LOOPED = function(
    "Twice",
    "X, N, P",
    "Y",
    "Y = Loop (N, P, X) <body = l (int64 c, bool p, float[] s) => (bool p2, float[] s2) { p2 = Identity (p) s2 = Add (s, X) }>",
)
FUNCTIONS = {
    "called twice": ("a = f.Block (c, v) y = f.Block (a, v)", BLOCK, ["conv", "inner", "inner_2"]),
    "in another": (
        "y = f.Outer (c, v)",
        function("Outer", "X, W", "Y", "t = f.Block (X, W) Y = Neg (t)") + BLOCK,
        ["conv", "inner"],
    ),
    "an input as output": ("y = f.Same (c)", function("Same", "X", "Y", "Y = Identity (X)"), ["conv"]),
    "a loop, whose counter is called like what it reads": (
        "a = f.Twice (c, two, yes) y = f.Twice (a, two, yes)",
        LOOPED,
        ["conv"],
    ),
    "in a branch, with names of the graph around": (
        branches(("float[] a", "a = f.Neg2 (c)"), ("float[] b", IDENTITY["b"]), outputs="y"),
        function("Neg2", "X", "Y", "c = Relu (X) Y = Neg (c)"),
        ["conv"],
    ),
    "a branch that is always taken": (
        "y = f.Choice (c, v)",
        function(
            "Choice",
            "X, W",
            "Y",
            "p = Constant <value_int = 1> () q = Cast <to = 9> (p) "
            + branches(
                ("float[] a", f"[inner] k = Conv <{SAME}> (X, W) a = Relu (k)"),
                ("float[] b", "b = Identity (X)"),
                condition="q",
                outputs="Y",
            ),
        ),
        ["conv", "If_5_inner"],
    ),
    "of an older opset that means the same": (
        "y = f.Old (c)",
        function("Old", "X", "Y", "Y = Relu (X)", opset=15),
        ["conv"],
    ),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_function_is_inlined_and_its_layers_found(case):
    nodes, functions, layers = FUNCTIONS[case]
    expected = run(source(nodes, functions=functions))
    for made in (
        prepare(ir.from_proto(source(nodes, functions=functions)), ASCEND).graph,
        normalise(ir.from_proto(source(nodes, functions=functions)))[0],
    ):
        assert not made.functions
        check(made, expected, ["y"])
    found = find_layers(prepare(ir.from_proto(source(nodes, functions=functions)), ASCEND).graph, ASCEND)
    assert [layer.name for layer in found.layers] == layers


def test_unnamed_nodes_of_a_function_are_named_by_their_place_in_the_graph():
    nameless = BLOCK.replace("[inner] ", "")
    made = prepare(ir.from_proto(source("a = f.Block (c, v) y = f.Block (a, v)", functions=nameless)), ASCEND)
    assert [layer.name for layer in find_layers(made.graph, ASCEND).layers] == ["conv", "Conv_3", "Conv_5"]


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (
            function("Block", "X, W", "Y", "Y = f.Block (X, W)"),
            r"functions cannot be inlined: Cyclic dependency .*f::Block.*\. Export the model again with its functions inlined",
        ),
        (
            function("Block", "X, W", "Y", "Y = ReduceSum <axes = [1]> (X)", opset=11),
            r"function 'Block' is written for version 11 of the domain '', the model for 16, and ReduceSum '.*' means",
        ),
    ],
    ids=["recursive", "of an opset that means something else"],
)
def test_function_that_cannot_be_inlined_is_refused(functions, message):
    with pytest.raises(ModelError, match=message):
        prepare(ir.from_proto(source("y = f.Block (c, v)", functions=functions)), ASCEND)


def test_half_precision_inside_a_function_is_widened_too():
    half = TensorProto.FLOAT16
    body = [helper.make_node("Conv", ["X", "W"], ["k"], "inner"), helper.make_node("Cast", ["k"], ["Y"], to=half)]
    block = helper.make_function("f", "Block", ["X", "W"], ["Y"], body, [helper.make_opsetid("", 16)])
    nodes = [
        helper.make_node("Block", ["x", "w"], ["a"], "call", domain="f"),
        helper.make_node("Conv", ["a", "v"], ["y"], "conv"),
    ]
    values = [helper.make_tensor_value_info(name, half, None) for name in "xy"]
    weights = [numpy_helper.from_array(noise(s, 3, 3, 1, 1).astype(np.float16), n) for s, n in enumerate("wv")]
    imports = [helper.make_opsetid("", 16), helper.make_opsetid("f", 1)]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=imports, functions=[block], ir_version=8)
    x = X.astype(np.float16)
    made = prepare(ir.from_proto(model), ASCEND).graph
    assert [layer.name for layer in find_layers(made, ASCEND).layers] == ["inner", "conv"]
    (got,) = plain_session(made).run(None, {"x": x})
    first = np.einsum("nchw,oc->nohw", X, noise(0, 3, 3, 1, 1)[:, :, 0, 0])
    expected = np.einsum("nchw,oc->nohw", first, noise(1, 3, 3, 1, 1)[:, :, 0, 0])
    np.testing.assert_allclose(got, expected, atol=2e-2 * np.abs(expected).max())


def test_no_two_values_of_nested_graphs_share_a_name_where_branches_were_put_in_place():
    nodes = "".join(
        branches(
            ("float[] a", "q = Neg (c) a = Relu (q)"), ("float[] b", "q = Abs (c) b = Neg (q)"), condition=k, outputs=o
        )
        for k, o in (("yes", "i"), ("d", "j"), ("no", "k"))
    )
    made = prepare(ir.from_proto(source(f"{nodes} s = Add (i, j) y = Add (s, k)")), ASCEND).graph
    outer = {value.name for node in made.graph for value in node.outputs}
    inner = [value.name for body in made.graph.subgraphs() for node in body for value in node.outputs]
    assert outer.isdisjoint(inner)
    assert all(
        a != b for a, b in itertools.pairwise(sorted(value.name for node in made.graph for value in node.outputs))
    )
