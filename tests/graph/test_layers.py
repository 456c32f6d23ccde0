"""Which nodes are layers, and the reason for each that is not."""

import numpy as np
import pytest

from runner.errors import ModelError
from runner.graph.layers import Layer, LeftAlone, find_layers, require_layers
from runner.graph.layout import InputsFirst, Matrix, OutputsFirst
from runner.graph.operators.average_pool import AVERAGE_POOL
from runner.graph.operators.conv import CONV
from runner.graph.operators.conv_transpose import CONV_TRANSPOSE
from runner.graph.operators.gemm import GEMM
from runner.graph.operators.matmul import MATMUL
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model

IMAGE = "g (float[1,4,8,8] x, float[4,4,3,3] fed, float[4] fedbias) => (float[?] y)"
ROWS = "g (float[1,4] x, float[4,4] fed, float[4] fedbias) => (float[?] y)"


def found(header, nodes, **constants):
    return find_layers(model(f"{header} {{ {nodes} }}", **constants), ASCEND)


def reason(header, nodes, **constants):
    (left,) = found(header, nodes, **constants).left_alone
    return left.reason


@pytest.mark.parametrize(
    ("header", "nodes", "weight", "layer"),
    [
        pytest.param(
            IMAGE,
            "[a] y = Conv(x, w, b)",
            (6, 4, 3, 3),
            Layer("a", CONV, "x", "w", "b", OutputsFirst(), 6, True, 2),
            id="conv",
        ),
        pytest.param(
            IMAGE,
            "[a] y = Conv<group = 4>(x, w)",
            (8, 1, 3, 3),
            Layer("a", CONV, "x", "w", None, OutputsFirst(4), 8, True, 2),
            id="grouped_conv_without_bias",
        ),
        pytest.param(
            ROWS, "[a] y = Gemm(x, w, b)", (4, 6), Layer("a", GEMM, "x", "w", "b", Matrix(), 6, False), id="gemm"
        ),
        pytest.param(
            ROWS, "[a] y = MatMul(x, w)", (4, 6), Layer("a", MATMUL, "x", "w", None, Matrix(), 6, False), id="matmul"
        ),
        pytest.param(
            ROWS,
            "[a] y = MatMul(x, w)",
            (1, 4, 6),
            Layer("a", MATMUL, "x", "w", None, Matrix(3), 6, False),
            id="matmul_of_a_batch_of_one",
        ),
        pytest.param(
            IMAGE,
            "[a] y = Conv(x, w)",
            (6, 4, 3),
            Layer("a", CONV, "x", "w", None, OutputsFirst(), 6, True, spatial=1),
            id="conv_1d",
        ),
        pytest.param(
            IMAGE,
            "[a] y = Conv<dilations=[1,2,2]>(x, w, b)",
            (6, 4, 3, 3, 3),
            Layer("a", CONV, "x", "w", "b", OutputsFirst(), 6, True, spatial=3, symmetric=True),
            id="conv_3d",
        ),
        pytest.param(
            IMAGE,
            "[a] y = ConvTranspose<group=2>(x, w, b)",
            (4, 3, 2, 2),
            Layer("a", CONV_TRANSPOSE, "x", "w", "b", InputsFirst(2), 6, True, spatial=2),
            id="grouped_conv_transpose",
        ),
        pytest.param(
            IMAGE,
            "[a] y = AveragePool<kernel_shape=[2,2]>(x)",
            (1,),
            Layer("a", AVERAGE_POOL, "x", None, None, OutputsFirst(), 1, False, spatial=2),
            id="average_pool",
        ),
    ],
)
def test_quantizable_node_is_found_with_its_names_and_axes(header, nodes, weight, layer):
    result = found(header, nodes, w=noise(0, *weight), b=noise(1, 6))
    assert result.layers == (layer,)
    assert result.left_alone == ()


def test_layers_come_in_graph_order_and_by_name():
    result = found(ROWS, "[b] h = MatMul(x, w) [a] y = MatMul(h, w2)", w=noise(0, 4, 4), w2=noise(1, 4, 4))
    assert [layer.name for layer in result.layers] == ["b", "a"]
    assert result.layer("a").weight == "w2"
    with pytest.raises(KeyError, match="'c'"):
        result.layer("c")


def test_each_graph_gives_its_own_nodes_of_the_same_layers():
    result = found(ROWS, "[b] h = MatMul(x, w) [a] y = MatMul(h, w2)", w=noise(0, 4, 4), w2=noise(1, 4, 4))
    copy = result.graph.clone()
    copied = result.on(copy)
    for layered in (result, copied):
        assert layered.node("a") in list(layered.graph.graph)
    assert copied.layers == result.layers and copied.node("a") is not result.node("a")
    assert [layer.name for layer in result.only(["a"]).layers] == ["a"] and result.only(["a"]).graph is result.graph


def test_other_nodes_are_not_mentioned():
    assert found(ROWS, "h = Relu(x) y = Add(h, fed)").left_alone == ()


W4 = {"w": noise(0, 4, 4, 3, 3)}
CUTS = (
    "its strides are longer than its window, so that its auto_pad would cut the image instead of padding it, and ONNX does "
    "not say where. Export it with pads"
)


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        pytest.param(
            "y = ConvTranspose<dilations=[1,2]>(x, w)",
            W4,
            "a transposed convolution is quantized only with dilations of 1",
            id="transposed_with_holes",
        ),
        pytest.param(
            "y = ConvTranspose(x, w)",
            {"w": noise(0, 4, 4, 3)},
            "it goes over one axis, where the deploy format goes over two",
            id="transposed_1d",
        ),
        pytest.param(
            "y = ConvTranspose(x, w)",
            {"w": noise(0, 4, 4, 3, 3, 3)},
            "a transposed convolution over 3 axes is not quantized; only over 1 or 2",
            id="transposed_3d",
        ),
        pytest.param(
            "y = ConvTranspose<output_shape=[9,7]>(x, w)",
            W4,
            "its output_shape [9, 7] is smaller than its input, and onnxruntime takes no operator behind such an output",
            id="transposed_smaller",
        ),
        pytest.param(
            "y = ConvTranspose(x, fed)", {}, "the weight is computed by the graph, not a constant", id="fed_back"
        ),
        pytest.param("y = ConvTranspose(x, w, fedbias)", W4, "the bias is computed by the graph", id="fed_bias_back"),
        pytest.param(
            "y = AveragePool<kernel_shape=[2]>(x)",
            {},
            "it goes over one axis, where the deploy format goes over two",
            id="average",
        ),
        pytest.param(
            "y = AveragePool<kernel_shape=[2,2,2]>(x)",
            {},
            "an average over 3 axes is not quantized; only over 1 or 2",
            id="average_3d",
        ),
        pytest.param(
            "y = AveragePool<kernel_shape=[2,2], dilations=[1,2]>(x)",
            {},
            "an average with dilations is not quantized: the opsets that targets take have none",
            id="average_with_holes",
        ),
        pytest.param(
            'y = AveragePool<kernel_shape=[1,2], strides=[4,1], auto_pad="SAME_UPPER">(x)',
            {},
            CUTS,
            id="average_that_cuts",
        ),
        pytest.param('y = Conv<strides=[1,8], auto_pad="SAME_LOWER">(x, w)', W4, CUTS, id="convolution_that_cuts"),
        pytest.param(
            "y = AveragePool<kernel_shape=[3,2], strides=[2,3], pads=[1,1,1,1], ceil_mode=1>(x)",
            {},
            "with its ceil_mode a window could lie in the padding alone",
            id="average_of_padding",
        ),
        pytest.param("y = GlobalAveragePool(x)", {}, "GlobalAveragePool is not quantized", id="global_average"),
        pytest.param(
            "y = Conv(x, fed)", {}, "the weight is computed by the graph, not a constant", id="weight_that_is_fed"
        ),
        pytest.param(
            "h = Relu(w) y = Conv(x, h)", W4, "the weight is computed by the graph, not a constant", id="computed"
        ),
        pytest.param(
            "y = Conv(x, w)", {"w": np.ones((4, 4, 3, 3), np.float16)}, "the weight is float16, not float32", id="half"
        ),
        pytest.param("y = Conv(x, w)", {"w": np.ones((4, 4, 3, 3))}, "the weight is float64, not float32", id="double"),
        pytest.param(
            "y = Conv(x, w)",
            {"w": noise(0, 4, 4, 3, 3, 3, 3)},
            "a convolution over 4 axes is not quantized; only over 1, 2 or 3",
            id="4d",
        ),
        pytest.param(
            "y = Conv<dilations=[2,1,1]>(x, w)",
            {"w": noise(0, 4, 4, 3, 3, 3)},
            "a convolution over 3 axes is quantized only with a dilation of 1 along the first",
            id="3d_with_holes",
        ),
        pytest.param("y = Conv(x, w, fedbias)", W4, "the bias is computed by the graph", id="bias_that_is_fed"),
        pytest.param("y = Conv(c, w)", {**W4, "c": noise(1, 1, 4, 8, 8)}, "the data input is a constant", id="data"),
        pytest.param(
            "z = Abs(w) y = Conv(x, w)".replace("z =", "[other] z ="),
            W4,
            "the weight is shared with other nodes: other",
            id="shared",
        ),
    ],
)
def test_convolution_left_alone_says_why(nodes, constants, expected):
    assert reason(IMAGE, nodes, **constants) == expected


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        pytest.param("y = Gemm<transA=1>(x, w)", {}, "transA is 1", id="trans_a"),
        pytest.param("y = Gemm<alpha=0.5>(x, w)", {}, "alpha or beta is not 1", id="alpha"),
        pytest.param("y = Gemm<beta=0.5>(x, w, b)", {}, "alpha or beta is not 1", id="beta"),
        pytest.param("y = Gemm(x, w, fedbias)", {}, "the bias is computed by the graph", id="bias_that_is_fed"),
        pytest.param(
            "y = Gemm(x, w, c)",
            {"c": noise(1, 4, 4)},
            "the bias has shape [4, 4], which is no vector over the 4 outputs",
            id="bias_of_rows_and_columns",
        ),
        pytest.param(
            "y = Gemm(x, w, c)",
            {"c": noise(1, 4, 1)},
            "the bias has shape [4, 1], which is no vector over the 4 outputs",
            id="bias_over_rows",
        ),
        pytest.param(
            "y = MatMul(x, c)",
            {"c": noise(1, 2, 2, 4, 4)},
            "the weight has 4 axes, not 2 or 3",
            id="weight_of_four_axes",
        ),
        pytest.param(
            "y = MatMul(x, c)",
            {"c": noise(1, 4)},
            "the weight is a vector: a product with one output has nothing to gain",
            id="vector_weight",
        ),
        pytest.param(
            "y = MatMul(w, x)",
            {},
            "the first input is a constant; only a constant second one is a weight. W @ x would take a Transpose of the data "
            "before the layer and one behind; export it as x @ W where that is wanted",
            id="constant_on_the_left",
        ),
        pytest.param(
            "y = MatMul(x, fed)",
            {},
            "both inputs are computed: a product of two variables is not quantized",
            id="two_variables",
        ),
    ],
)
def test_matrix_product_left_alone_says_why(nodes, constants, expected):
    assert reason(ROWS, nodes, w=noise(0, 4, 4), b=noise(2, 4), **constants) == expected


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1,), (1, 1), ()], ids=str)
def test_gemm_bias_that_broadcasts_over_the_rows_is_taken(shape):
    result = found(ROWS, "y = Gemm(x, w, c)", w=noise(0, 4, 4), c=np.ones(shape, np.float32))
    assert [layer.bias for layer in result.layers] == ["c"]


def test_vector_times_a_batch_of_matrices_is_left_alone_where_it_is_known_to_be_one():
    vector = "g (float[4] x) => (float[2,4] y)"
    assert (
        reason(vector, "y = MatMul(x, w)", w=noise(0, 2, 4, 4)) == "a vector times a batch of matrices is not quantized"
    )
    assert len(found(vector, "y = MatMul(x, w)", w=noise(0, 4, 4)).layers) == 1


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        pytest.param('strides=[2,2], auto_pad="SAME_UPPER"', 8, id="one_place_over"),
        pytest.param('strides=[4,4], auto_pad="SAME_UPPER"', 9, id="none_over_at_this_size"),
        pytest.param('strides=[4,4], auto_pad="VALID"', 8, id="no_padding"),
    ],
)
def test_strides_longer_than_the_window_do_no_harm_where_same_cuts_nothing_off_the_beginning(attributes, size):
    image = f"g (float[1,4,{size},{size}] x) => (float y)"
    assert len(found(image, f"y = Conv<{attributes}>(x, w)", w=noise(0, 4, 4, 1, 1)).layers) == 1


@pytest.mark.parametrize(
    ("header", "node", "shape", "lacks"),
    [
        pytest.param(IMAGE, "y = Conv(x, w)", (0, 4, 3, 3), "has no outputs", id="conv"),
        pytest.param(IMAGE, "y = Conv(x, w)", (2, 0, 3, 3), "sums nothing", id="conv_of_nothing"),
        pytest.param(IMAGE, "y = ConvTranspose(x, w)", (4, 0, 3, 3), "has no outputs", id="transposed"),
        pytest.param(ROWS, "y = Gemm(x, w)", (4, 0), "has no outputs", id="gemm"),
        pytest.param(ROWS, "y = Gemm<transB=1>(x, w)", (0, 4), "has no outputs", id="gemm_transposed"),
        pytest.param(ROWS, "y = Gemm(x, w)", (0, 4), "sums nothing", id="gemm_of_nothing"),
        pytest.param(ROWS, "y = MatMul(x, w)", (4, 0), "has no outputs", id="matmul"),
        pytest.param(ROWS, "y = MatMul(x, w)", (0, 4), "sums nothing", id="matmul_of_nothing"),
        pytest.param(ROWS, "y = MatMul(x, w)", (0, 4, 4), "has no outputs", id="no_matrix"),
    ],
)
def test_weight_without_values_is_left_alone(header, node, shape, lacks):
    assert reason(header, node, w=noise(0, *shape)) == f"it {lacks}: its weight has shape {list(shape)}"


@pytest.mark.parametrize(
    ("domain", "op_type"),
    [
        *(("com.microsoft", op_type) for op_type in ("FusedMatMul", "FusedGemm", "FusedConv", "TransposeMatMul")),
        *(("com.microsoft.nchwc", op_type) for op_type in ("Conv", "AveragePool", "GlobalAveragePool")),
        ("com.ms.internal.nhwc", "Conv"),
    ],
)
def test_layer_as_onnxruntimes_optimizer_writes_it_is_left_alone_with_the_way_out(domain, op_type):
    inner = f"[i] k = {domain}.{op_type}(x, w)"
    built = model(
        f"{ROWS} {{ [a] h = {domain}.{op_type}(x, w) [c] t = Less(x, fed) "
        f"[b] y = If(t) <then_branch = p () => (float k) {{ {inner} }}, else_branch = q () => (float k) {{ {inner} }}> }}",
        w=noise(0, 4, 4),
    )
    layers = find_layers(built, ASCEND)
    reason = (
        f"{domain}.{op_type} is no operator of ONNX but one that onnxruntime's optimizer writes; give the model as it was "
        "before it"
    )
    assert layers.left_alone[0] == LeftAlone("a", op_type, reason)
    assert [left.reason for left in layers.left_alone[1:]] == ["it stands inside the body of If 'b'"] * 2
    with pytest.raises(ModelError, match=f"no layer can be quantized; .* Left alone: a \\({op_type}\\): {domain}"):
        require_layers(layers)


def test_beta_without_a_bias_says_nothing():
    assert len(found(ROWS, "y = Gemm<beta=0.0>(x, w)", w=noise(0, 4, 4)).layers) == 1


def test_operator_of_another_domain_is_no_layer():
    built = model(f"{ROWS} {{ y = MatMul(x, w) }}", w=noise(0, 4, 4))
    built.graph.node(0).domain = "com.example"
    assert find_layers(built, ASCEND).layers == ()


def test_weight_read_twice_by_one_node_is_told():
    assert reason("g (float[4,4] x) => (float[4,4] y)", "y = Gemm(x, w, w)", w=noise(0, 4, 4)) == (
        "the weight is shared with other nodes: itself"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_layer_whose_weight_is_not_finite_is_found_for_it_may_be_skipped(value):
    weight = noise(0, 4, 4, 3, 3)
    weight[0, 0, 0, :2] = value
    (layer,) = found(IMAGE, "[bad] y = Conv(x, w)", w=weight).layers
    assert layer.name == "bad"


def test_model_with_layers_passes():
    require_layers(found(ROWS, "y = MatMul(x, w)", w=noise(0, 4, 4)))


def test_model_without_a_layer_is_refused_with_the_reasons():
    result = found(ROWS, "[a] h = MatMul(x, fed) [b] y = Gemm<transA=1>(h, w)", w=noise(0, 4, 4))
    with pytest.raises(
        ModelError,
        match=r"no layer can be quantized; expected a Conv, ConvTranspose, Gemm or MatMul with constant float32 weights, or an "
        r"AveragePool\. Left alone: a \(MatMul\): both inputs are computed: a product of two variables is not quantized; "
        r"b \(Gemm\): transA is 1\.",
    ):
        require_layers(result)


def test_model_without_any_candidate_is_refused():
    with pytest.raises(ModelError, match=r"The model has no such node\."):
        require_layers(found(ROWS, "y = Relu(x)"))


def test_what_is_left_alone_is_told_by_name_and_type():
    assert found(IMAGE, "[pool] y = GlobalAveragePool(x)").left_alone == (
        LeftAlone("pool", "GlobalAveragePool", "GlobalAveragePool is not quantized"),
    )
