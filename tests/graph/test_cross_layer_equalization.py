"""Equalized models: the same outputs bit for bit, channels scaled as asked, and what is not scaled."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.graph.channel_readers import channel_weight
from runner.graph.cross_layer_equalization import equalized, find_links
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise, normal_items
from tests.models import model, onnx_text, plain_session, proto, run_plain

ZERO, SIX = np.float32(0), np.float32(6)
BETWEEN = {
    "nothing": ("", "a"),
    "relu": ("r = Relu (a)", "r"),
    "relu6": ("r = Clip (a, zero, six)", "r"),
    "clip from zero": ("r = Clip (a, zero)", "r"),
}
# Of the first and the second convolution: attributes and weight.
FIRST = {
    "conv": ("Conv <pads = [1,1,1,1]>", (4, 2, 3, 3)),
    "transposed": ("ConvTranspose", (2, 4, 2, 2)),
    "grouped": ("Conv <group = 2>", (4, 1, 1, 1)),
    "grouped transposed": ("ConvTranspose <group = 2>", (2, 2, 2, 2)),
}
SECOND = {
    "conv": ("Conv", (3, 4, 3, 3)),
    "depthwise": ("Conv <group = 4>", (4, 1, 2, 2)),
    "twice as many": ("Conv <group = 4>", (8, 1, 2, 2)),
    "grouped": ("Conv <group = 2>", (6, 2, 2, 2)),
}


def net(first: str, between: str, second: str, *, bias: bool = True, seed: int = 0) -> ir.Model:
    """Return x -> first -> between -> second -> z."""
    (one, w1), (two, w2), (line, read) = FIRST[first], SECOND[second], BETWEEN[between]
    return ir.from_proto(
        onnx_text(
            f"""g (float[N,2,5,5] x) => (float[N,C,H,W] z) {{
                a = {one} (x, w1{", b1" if bias else ""})
                {line}
                z = {two} ({read}, w2, b2)
            }}""",
            w1=3 * noise(seed, *w1),
            **({"b1": 3 * noise(seed + 1, 4)} if bias else {}),
            w2=noise(seed + 2, *w2),
            b2=noise(seed + 3, w2[0]),
            zero=ZERO,
            six=SIX,
        )
    )


def outputs(graph: ir.Model, tensors: list[str]) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*run_plain(graph, normal_items(3, 2, 5, 5), tensors), strict=True)]


@given(
    st.sampled_from(sorted(FIRST)),
    st.sampled_from(sorted(BETWEEN)),
    st.sampled_from(sorted(SECOND)),
    st.booleans(),
    st.lists(st.integers(-6, 12), min_size=4, max_size=4),
)
def test_outputs_keep_every_bit_and_the_channels_between_are_scaled(
    first: str, between: str, second: str, bias: bool, exponents: list[int]
) -> None:
    source = prepare(net(first, between, second, bias=bias), ASCEND).graph
    (link,) = find_links(source)
    assert (link.maker, link.readers, link.axis, link.channels) == ("a", ("z",), 1, 4)
    made = equalized(source, {"a": exponents})
    before, after = outputs(source, ["z", link.tensor]), outputs(made, ["z", link.tensor])
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1] * np.exp2(np.float32(exponents)).reshape(1, 4, 1, 1))


def test_relu6_becomes_relu_and_an_end_for_each_channel() -> None:
    source = prepare(net("conv", "relu6", "depthwise"), ASCEND).graph
    made = equalized(source, {"a": (0, 1, 2, -1)})
    assert [node.op_type for node in made.graph] == ["Conv", "Relu", "Min", "Conv"]
    low = next(node for node in made.graph if node.op_type == "Min")
    assert low.name == "r"
    np.testing.assert_array_equal(low.inputs[1].const_value.numpy().reshape(-1), [6, 12, 24, 3])
    assert [node.op_type for node in source.graph] == ["Conv", "Clip", "Conv"]


def test_clip_with_its_ends_as_attributes_is_scaled_too() -> None:
    graph = """g (float[N,2,5,5] x) => (float[N,3,5,5] z) {
        a = Conv (x, w1)
        r = Clip <min = 0.0, max = 6.0> (a)
        z = Conv (r, w2)
    }"""
    source = prepare(model(graph, opset=10, w1=4 * noise(0, 4, 2, 1, 1), w2=noise(1, 3, 4, 1, 1)), ASCEND).graph
    (link,) = find_links(source)
    assert link.interval == (0, 6)
    made = equalized(source, {link.maker: (3, 0, 1, 2)})
    np.testing.assert_array_equal(outputs(made, ["z"])[0], outputs(source, ["z"])[0])


def test_chain_of_links_is_scaled_link_by_link() -> None:
    """An expansion, a depthwise convolution and a projection, as in MobileNetV2."""
    source = prepare(
        ir.from_proto(
            onnx_text(
                """g (float[N,2,5,5] x) => (float[N,3,H,W] z) {
                    a = Conv (x, w1, b1)
                    r = Clip (a, zero, six)
                    d = Conv <group = 4> (r, w2, b1)
                    s = Clip (d, zero, six)
                    z = Conv (s, w3)
                }""",
                w1=4 * noise(0, 4, 2, 1, 1),
                b1=noise(1, 4),  # both convolutions read it
                w2=4 * noise(2, 4, 1, 2, 2),
                w3=noise(3, 3, 4, 1, 1),
                zero=ZERO,
                six=SIX,
            )
        ),
        ASCEND,
    ).graph
    assert [(link.maker, link.readers) for link in find_links(source)] == [("a", ("d",)), ("d", ("z",))]
    made = equalized(source, {"a": (0, 5, 2, 1), "d": (4, 0, 3, 1)})
    np.testing.assert_array_equal(outputs(made, ["z"])[0], outputs(source, ["z"])[0])


def test_tensor_that_something_else_reads_or_that_is_an_output_is_not_scaled() -> None:
    weights = {"w1": noise(0, 4, 2, 1, 1), "w2": noise(1, 4, 4, 1, 1)}
    residual = """g (float[N,2,5,5] x) => (float[N,4,5,5] z) {
        a = Conv (x, w1)
        r = Relu (a)
        b = Conv (r, w2)
        z = Add (r, b)
    }"""
    before_the_relu = residual.replace("Add (r, b)", "Add (a, b)")
    given_out = """g (float[N,2,5,5] x) => (float[N,4,5,5] r, float[N,4,5,5] z) {
        a = Conv (x, w1)
        r = Relu (a)
        z = Conv (r, w2)
    }"""
    for graph in (residual, before_the_relu, given_out):
        assert find_links(prepare(ir.from_proto(onnx_text(graph, **weights)), ASCEND).graph) == ()


@pytest.mark.parametrize(
    ("line", "opset"),
    [
        ("r = Clip (a, minus, six)", 13),
        ("r = Clip (a, floor, six)", 13),
        ("r = Tanh (a)", 13),
        ("r = Clip <min = 0.0, max = 6.0> (a)", 7),
    ],
)
def test_what_would_not_stay_exact_is_no_link(line: str, opset: int) -> None:
    computed = "floor = ReduceMin <keepdims = 0> (x)" if "floor" in line else ""
    graph = f"""g (float[N,2,5,5] x) => (float[N,3,5,5] z) {{
        {computed}
        a = Conv (x, w1)
        {line}
        z = Conv (r, w2)
    }}"""
    arrays = {"minus": np.float32(-1), "six": SIX} if opset == 13 else {}
    source = model(graph, opset=opset, w1=noise(0, 4, 2, 1, 1), w2=noise(1, 3, 4, 1, 1), **arrays)
    assert find_links(prepare(source, ASCEND).graph) == ()


def test_weight_is_told_group_by_group() -> None:
    source = prepare(net("conv", "relu", "grouped"), ASCEND).graph
    reader = next(node for node in source.graph if node.name == "z")
    weight = channel_weight(reader)
    stored = reader.inputs[1].const_value.numpy()
    assert weight.shape == (2, 3, 2, 4)
    np.testing.assert_array_equal(weight[1], stored[3:].reshape(3, 2, 4))


@pytest.mark.parametrize("exponents", [{"z": (1, 1, 1)}, {"a": (1, 1, 1)}, {"nobody": (0,)}])
def test_exponents_of_another_model_are_refused(exponents: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"makes no \d channels that only layers read"):
        equalized(prepare(net("conv", "relu", "conv"), ASCEND).graph, exponents)


# Tensors with their channels last


def rows(text: str, *, opset: int = 17, **arrays: np.ndarray) -> ir.Model:
    """Return a prepared model of [N, 3, 6] tokens."""
    return prepare(model(text, opset=opset, **arrays), ASCEND).graph


GAMMA, BETA = 1 + noise(5, 6), noise(6, 6)
PROJECTIONS = {"wq": noise(7, 6, 4), "wk": noise(8, 6, 4), "wv": noise(9, 6, 5)}
DECOMPOSED = """
    mean = ReduceMean <axes = [-1]> (x)
    d = Sub (x, mean)
    p = Pow (d, two)
    v = ReduceMean <axes = [-1]> (p)
    e = Add (v, eps)
    s = Sqrt (e)
    n = Div (d, s)
    g = Mul (n, gamma)
    y = Add (g, beta)"""
EACH = {
    "node": ("y = LayerNormalization <axis = -1> (x, gamma, beta)", "y", 17),
    "node over its third axis": ("y = LayerNormalization <axis = 2> (x, gamma, beta)", "y", 17),
    "node without beta": ("y = LayerNormalization (x, gamma)", "y", 17),
    "decomposed": (DECOMPOSED, "y", 13),
    "without beta": ("g = Mul (x, gamma)\n y = Identity (g)", "g", 13),
    "constants first": ("g = Mul (gamma, x)\n y = Add (beta, g)", "y", 13),
    "product": ("y = MatMul (x, w6)", "y", 13),
    "product and bias": ("g = MatMul (x, w6)\n y = Add (g, beta)", "g", 13),
}


@pytest.mark.parametrize("kind", EACH)
@given(powers=st.lists(st.integers(-6, 12), min_size=6, max_size=6))
def test_three_projections_of_a_normalization_keep_every_bit(kind: str, powers: list[int]) -> None:
    lines, name, opset = EACH[kind]
    source = rows(
        f"""g (float[N,3,6] x) => (float[N,3,4] q, float[N,3,4] k, float[N,3,5] v3) {{
            {lines}
            q = MatMul (y, wq)
            t = Transpose <perm = [1,0,2]> (y)
            r = Reshape (t, joined)
            k1 = MatMul (r, wk)
            k2 = Reshape (k1, split)
            k = Transpose <perm = [1,0,2]> (k2)
            shape = Shape (y)
            v1 = MatMul (y, wv)
            v3 = Reshape (v1, shape5)
        }}""",
        opset=opset,
        gamma=GAMMA,
        beta=BETA,
        two=np.float32(2),
        eps=np.float32(1e-5),
        w6=noise(10, 6, 6),
        joined=np.array([-1, 6]),
        split=np.array([3, -1, 4]),
        shape5=np.array([0, 0, 5]),
        **PROJECTIONS,
    )
    (link,) = (each for each in find_links(source) if len(each.readers) == 3)
    maker = next(node for node in source.graph if name in {output.name for output in node.outputs})
    assert (link.maker, link.axis, link.channels, link.interval) == (maker.name, -1, 6, (-np.inf, np.inf))
    made = equalized(source, {link.maker: powers})
    x, names = normal_items(3, 3, 6), ["q", "k", "v3", link.tensor]
    before, after = (list(zip(*run_plain(graph, x, names), strict=True)) for graph in (source, made))
    for old, new in zip(before[:3], after[:3], strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(np.stack(after[3]), np.stack(before[3]) * np.exp2(np.float32(powers)))


@pytest.mark.parametrize(
    "line",
    ["r = LeakyRelu <alpha = 0.1> (a)", "r = PRelu (a, slope)", "r = Relu (a)", "r = Clip (a, zero, six)"],
)
@pytest.mark.parametrize("kind", ["Gemm", "Conv"])
def test_activations_that_let_factors_through_keep_every_bit(kind: str, line: str) -> None:
    layers = {
        "Gemm": ("float[N,3] x", "a = Gemm (x, w1, b)", "z = Gemm <transB = 1> (r, w2)", "float[N,5] z"),
        "Conv": ("float[N,3,4,4] x", "a = Conv (x, w1, b)", "z = Conv (r, w2)", "float[N,5,4,4] z"),
    }
    given_, first, second, result = layers[kind]
    more = (1, 1) if kind == "Conv" else ()
    source = prepare(
        ir.from_proto(
            onnx_text(
                f"g ({given_}) => ({result}) {{ {first}\n {line}\n {second} }}",
                w1=4 * noise(0, *((4, 3, 1, 1) if kind == "Conv" else (3, 4))),
                b=noise(1, 4),
                w2=noise(2, 5, 4, *more),
                slope=np.abs(noise(3, 4, *more)),
                zero=ZERO,
                six=SIX,
            )
        ),
        ASCEND,
    ).graph
    (link,) = find_links(source)
    assert link.interval == {"Relu": (0, np.inf), "Clip": (0, 6)}.get(line[4:].split()[0], (-np.inf, np.inf))
    made = equalized(source, {link.maker: (3, -2, 0, 5)})
    x = normal_items(4, *((3, 4, 4) if kind == "Conv" else (3,)))
    for (old,), (new,) in zip(run_plain(source, x, ["z"]), run_plain(made, x, ["z"]), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("q = MatMul (y, wq)\n z = Add (x, y)", id="a residual connection reads it too"),
        pytest.param("q = MatMul (y, wq)\n z = Softmax (y)", id="an activation of other kind reads it too"),
        pytest.param("t = Transpose <perm = [0,2,1]> (y)\n z = MatMul (t, w3)", id="the channels are rows"),
        pytest.param("t = Reshape (y, halves)\n z = MatMul (t, w3)", id="channels are split"),
        pytest.param("z = MatMul (y, batch)", id="a batch of matrices"),
        pytest.param("z = MatMul (left, y)", id="on the right of a product"),
        pytest.param("z = MatMul (y, x2)", id="a computed weight"),
        pytest.param("z = Shape (y)", id="nobody reads values"),
    ],
)
def test_a_normalization_whose_channels_are_read_otherwise_is_left_alone(lines: str) -> None:
    source = rows(
        f"""g (float[2,3,6] x) => (float[?] z) {{
            x2 = Transpose <perm = [0,2,1]> (x)
            y = LayerNormalization (x, gamma, beta)
            {lines}
        }}""",
        gamma=GAMMA,
        beta=BETA,
        w3=noise(1, 3, 4),
        batch=noise(2, 2, 6, 4),
        left=noise(3, 4, 3),
        halves=np.array([2, 6, 3]),
        **PROJECTIONS,
    )
    assert find_links(source) == ()


def test_a_normalization_over_channels_of_an_image_reaches_the_convolution_behind_it() -> None:
    """As ConvNeXt: channels are moved last, normalized, and moved back."""
    source = rows(
        """g (float[1,6,4,4] x) => (float[1,5,2,2] z) {
            t = Transpose <perm = [0,2,3,1]> (x)
            y = LayerNormalization (t, gamma, beta)
            u = Transpose <perm = [0,3,1,2]> (y)
            z = Conv <strides = [2,2]> (u, w)
        }""",
        gamma=GAMMA,
        beta=BETA,
        w=noise(1, 5, 6, 2, 2),
    )
    (link,) = find_links(source)
    made = equalized(source, {link.maker: (1, 2, 3, -4, 5, 0)})
    x = normal_items(1, 6, 4, 4)
    np.testing.assert_array_equal(run_plain(made, x, ["z"])[0][0], run_plain(source, x, ["z"])[0][0])


WINDOWS = """
    y = LayerNormalization (x, gamma, beta)
    s = Slice (y, one, end, one)
    t = Slice (y, zero1, one, one)
    r = Concat <axis = 1> (s, t)
    p = Pad (r, pads)
    w = Reshape (p, windows)
    u = Transpose <perm = [0,1,3,2,4]> (w)
    f = Reshape (u, joined)
    z = MatMul (f, wq)"""


def shifted(lines: str = WINDOWS, **others: np.ndarray) -> ir.Model:
    """Return Swin's way to attention: rows rolled, padded and cut into windows."""
    arrays = {
        "gamma": GAMMA,
        "beta": BETA,
        "one": np.array([1]),
        "zero1": np.array([0]),
        "end": np.array([99]),
        "last": np.array([-1]),
        "pads": np.array([0, 0, 0, 0, 0, 1, 0, 0]),
        "windows": np.array([0, 4, 2, 2, 6]),
        "joined": np.array([-1, 4, 6]),
        "wq": PROJECTIONS["wq"],
        "constant_value": np.float32(1),
    }
    text = f"g (float[2,3,4,6] x) => (float[?,4,4] z) {{ {lines} }}"
    # Exporters of today write the shapes of all values.
    whole = onnx.shape_inference.infer_shapes(proto(text, **(arrays | others)), data_prop=True)
    return prepare(ir.from_proto(whole), ASCEND).graph


def test_windows_of_unknown_shape_are_left_alone() -> None:
    source = shifted()
    for node in source.graph:
        node.outputs[0].shape = None
    assert find_links(source) == ()


def test_rolled_and_padded_windows_are_scaled() -> None:
    source = shifted()
    (link,) = find_links(source)
    made = equalized(source, {link.maker: (1, -2, 3, 4, 0, 6)})
    x = normal_items(1, 2, 3, 4, 6)[0]
    old, new = (plain_session(graph).run(None, {"x": x})[0] for graph in (source, made))
    np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Concat <axis = 1> (s, t)", "Concat <axis = 1> (s, x)"),
        ("Concat <axis = 1> (s, t)", "Concat <axis = 3> (s, s)"),
        ("Slice (y, one, end, one)", "Slice (y, one, end, last)"),
        ("Pad (r, pads)", "Pad (r, pads, constant_value)"),
        ("Pad (r, pads)", 'Pad <mode = "edge"> (r, pads)'),
    ],
)
def test_windows_of_something_else_are_left_alone(old: str, new: str) -> None:
    assert find_links(shifted(WINDOWS.replace(old, new))) == ()


def test_padded_channels_are_left_alone() -> None:
    assert find_links(shifted(pads=np.array([0, 0, 0, 1, 0, 1, 0, -1]))) == ()
