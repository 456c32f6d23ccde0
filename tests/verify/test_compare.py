"""Two files side by side: the same bits with float layers between, and a difference told as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import VerificationError
from runner.ranges import ActivationParams
from runner.record import TensorRecord
from runner.verify.bits import difference_in_words, same_bits
from runner.verify.compare import FilePair
from runner.verify.cross_check import CrossChecked, cross_check
from runner.verify.deploy_file import IntegerModel, read_deploy
from runner.verify.execute import executable
from tests.data import Items, noise, normal_items
from tests.models import conv_gemm, onnx_text, proto
from tests.verify.pairs import compared, write_pair

F = np.float32
IMAGES = normal_items(5, 2, 6, 6)
TOKENS = normal_items(5, 7, 8)


def attention() -> onnx.ModelProto:
    """Normalisation, attention and Gelu between products in int8."""
    weights = {f"w{i}": noise(i, 8, 8) / 3 for i in range(4)} | {"w4": noise(4, 8, 16) / 3, "w5": noise(5, 16, 8) / 4}
    return proto(
        """g (float[N,7,8] x) => (float[N,7,8] y, float[N,7,7] weights) {
            [norm] n = LayerNormalization<axis = -1>(x, gain, shift)
            [query] q = MatMul(n, w0)
            [key] k = MatMul(n, w1)
            [value] v = MatMul(n, w2)
            [turn] kt = Transpose<perm = [0, 2, 1]>(k)
            [scores] s = MatMul(q, kt)
            [softmax] weights = Softmax<axis = -1>(s)
            [mix] m = MatMul(weights, v)
            [project] p = MatMul(m, w3)
            [residual] r = Add(x, p)
            [up] u = MatMul(r, w4)
            [erf] e = Erf(u)
            [gelu] g1 = Mul(u, e)
            [down] y = MatMul(g1, w5)
        }""",
        gain=np.ones(8, F),
        shift=noise(9, 8),
        **weights,
    )


def pooled() -> onnx.ModelProto:
    """Kinds of layers that no other model here has, one behind the other."""
    return onnx_text(
        """g (float[N,2,6,6] x) => (float[N,3,12,12] y, float[N,4,3,2] z) {
            grouped = Conv <group = 2, pads = [2,0,1,1], dilations = [2,1], strides = [1,2]> (x, w1, b1)
            a = LeakyRelu (grouped)
            z = AveragePool <kernel_shape = [3,2], pads = [1,0,1,0], strides = [2,1], ceil_mode = 1> (a)
            bn = InstanceNormalization (x, gain, shift)
            up = ConvTranspose <strides = [2,2], pads = [1,1,1,1], output_padding = [1,1]> (bn, w2, b2)
            y = Sigmoid (up)
        }""",
        w1=noise(1, 4, 1, 3, 2),
        b1=noise(2, 4),
        w2=noise(3, 2, 3, 3, 3),
        b2=noise(4, 3),
        gain=np.ones(2, F),
        shift=noise(5, 2),
    )


MODELS = {"convolutions": (conv_gemm, IMAGES), "attention": (attention, TOKENS), "pooled": (pooled, IMAGES)}
LAYERS = [("convolutions", "second"), ("attention", "up"), ("attention", "key"), ("pooled", "grouped")]


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_in_int8_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    build, x = MODELS[name]
    deploy, fake_quant, form = write_pair(tmp_path, build(), x)
    assert len(read_deploy(deploy).layers) == len(form.layers) > 1
    assert compared(deploy, fake_quant, x).identical == len(x)


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_layer_left_float_between_int8_ones_changes_nothing(tmp_path: Path, name: str, layer: str) -> None:
    build, x = MODELS[name]
    deploy, fake_quant, form = write_pair(tmp_path, build(), x, without=[layer])
    assert layer not in form.layers
    assert compared(deploy, fake_quant, x).identical == len(x)


def test_rounded_tensors_give_the_same_bits(tmp_path: Path) -> None:
    tensors = {f"residual:{index}": TensorRecord(ActivationParams(0.03, 5 * index)) for index in range(2)}
    deploy, fake_quant, _ = write_pair(tmp_path, attention(), TOKENS, tensors=tensors)
    outputs = executable(read_deploy(deploy)).outputs
    assert {"residual.0.anti_quant", "residual.1.anti_quant"} <= set(outputs)
    assert compared(deploy, fake_quant, TOKENS).identical == len(TOKENS)


def test_older_opset_is_raised_alike(tmp_path: Path) -> None:
    source = conv_gemm()
    source.opset_import[0].version, source.ir_version = 9, 4
    deploy, fake_quant, _ = write_pair(tmp_path, source, IMAGES)
    assert onnx.load(deploy).opset_import[0].version == 9
    assert compared(deploy, fake_quant, IMAGES).identical == len(IMAGES)


def altered(path: Path, name: str, step: float) -> None:
    """Add ``step`` to every value of a float initializer."""
    model = onnx.load(path)
    (tensor,) = [t for t in model.graph.initializer if t.name == name]
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) + F(step), name))
    onnx.save(model, path)


def test_difference_tells_how_many_items_which_layer_and_how_much(tmp_path: Path) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, conv_gemm(), IMAGES)
    altered(fake_quant, "logits.weight", 1)
    items, pair = Items(IMAGES), FilePair(executable(read_deploy(deploy)), fake_quant, Engine(2))
    with pytest.raises(VerificationError) as caught:
        pair.check(Subset(items, [3, 1, 4]), lambda a, b: False)
    assert str(caught.value).startswith(
        f"{fake_quant}: 3 of 3 items have other outputs than the deploy file executed as integers, first item 3. "
        "They part at the layer 'logits': 5 of 5 values differ, by at most "
    )


def test_difference_in_a_float_operator_behind_the_layers_is_told_as_one(tmp_path: Path) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, pooled(), IMAGES, without=["z"])
    model = onnx.load(fake_quant)
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Tanh"
    onnx.save(model, fake_quant)
    with pytest.raises(
        VerificationError, match=r"Every int8 layer agrees, the output 'y' behind them does not: \d+ of 432"
    ):
        compared(deploy, fake_quant, IMAGES)


def test_layer_that_the_fake_quant_file_leaves_float_is_named(tmp_path: Path) -> None:
    for folder in ("all", "less"):
        (tmp_path / folder).mkdir()
    deploy, _, _ = write_pair(tmp_path / "all", conv_gemm(), IMAGES)
    _, fake_quant, _ = write_pair(tmp_path / "less", conv_gemm(), IMAGES, without=["second"])
    with pytest.raises(VerificationError, match="They part at the layer 'second': 24 of 24 values differ"):
        compared(deploy, fake_quant, IMAGES)


def test_layer_that_only_one_file_has_is_named(tmp_path: Path) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, conv_gemm(), IMAGES)
    model = onnx.load(deploy)
    next(node for node in model.graph.node if node.name == "second").name = "another"
    onnx.save(model, deploy)
    with pytest.raises(VerificationError, match="The layer 'another' is in the deploy file only"):
        compared(deploy, fake_quant, IMAGES)


def test_files_of_different_models_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    deploy, _, _ = write_pair(tmp_path / "one", conv_gemm(), IMAGES)
    _, fake_quant, _ = write_pair(tmp_path / "two", pooled(), IMAGES)
    with pytest.raises(VerificationError, match=r"the deploy file has the inputs x .* and the outputs logits, .* y, z"):
        compared(deploy, fake_quant, IMAGES)


def test_file_that_is_no_model_is_a_failed_verification(tmp_path: Path) -> None:
    (tmp_path / "deploy.onnx").write_bytes(b"no model")
    with pytest.raises(VerificationError, match=r"deploy\.onnx.* cannot be read as ONNX"):
        read_deploy(tmp_path / "deploy.onnx")


def test_progress_counts_items(tmp_path: Path) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, conv_gemm(), IMAGES)
    done: list[int] = []
    pair = FilePair(executable(read_deploy(deploy)), fake_quant, Engine(2))
    pair.check(Subset(Items(IMAGES), [0, 2]), lambda a, b: True, done.append)
    assert done == [1, 2]


def test_bits_are_compared_not_values() -> None:
    nan = np.array([np.nan, 1], F)
    other = nan.copy()
    other.view(np.uint32)[0] ^= 1  # another NaN
    assert same_bits(nan, nan.copy())
    assert not same_bits(nan, other)
    assert not same_bits(np.array([0.0], F), np.array([-0.0], F))
    assert not same_bits(np.zeros(1, F), np.zeros(1, np.float64))
    assert not same_bits(np.zeros((1, 2), F), np.zeros(2, F))


def test_difference_is_told_in_words() -> None:
    a, b = np.array([1, 2, np.nan, -0.0], F), np.array([1, 2.5, np.nan, 0.0], F)
    assert difference_in_words(a, b) == "2 of 4 values differ, by at most 0.5"
    assert difference_in_words(a, b.astype(np.float64)) == "float32 [4] against float64 [4]"
    assert difference_in_words(np.array([1, 5]), np.array([2, 5])) == "1 of 2 values differ, by at most 1"


def crossed(deploy: IntegerModel, fake_quant: Path, items: Subset) -> CrossChecked:
    engine = Engine(1)
    return cross_check(deploy, FilePair(executable(deploy), fake_quant, engine), items, engine)


def test_cross_check_counts_the_ties_of_every_rounding(tmp_path: Path) -> None:
    half_steps = np.array([[[0.5, 1.5, -2.5, 3.0], [0.25, 127.5, -128.5, 500.5]]], F)
    source = proto("g (float[1,2,4] x) => (float[1,2,4] y) { [pass] y = Identity(x) }")
    tensor = {"pass:0": TensorRecord(ActivationParams(1.0, 0))}
    deploy, fake_quant, _ = write_pair(tmp_path, source, half_steps, tensors=tensor)
    # Beyond the last code nothing is rounded.
    assert crossed(read_deploy(deploy), fake_quant, Subset(Items(half_steps), [0])).ties == 4


def test_layer_that_float_kernels_compute_otherwise_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy, fake_quant, _ = write_pair(tmp_path, conv_gemm(), IMAGES)
    read = read_deploy(deploy)
    monkeypatch.setattr("runner.verify.sums._exact_in_float", lambda layer: True)
    # Two input channels of weights as large as they get: the float sums lose bits, the integer ones do not.
    for layer in read.layers:
        if layer.name == "logits":
            layer.bias[:] = 2**24 + 1
    with pytest.raises(
        VerificationError, match=r"the layer 'logits' gives other values .* for the item item 1: \d of 5"
    ):
        crossed(read, fake_quant, Subset(Items(IMAGES), [1]))
