"""Which layers take onnxruntime's integer operators, and that a CPU whose kernels saturate is noticed."""

import numpy as np
import pytest

from runner import integer_kernels
from runner.convert.fake_quant import fake_quant_model
from tests.data import noise
from tests.models import model, random_form

GEMM = "g (float[2,6] x) => (float[2,5] y) {{ [layer] y = Gemm<transB={}>(x, w, b) }}"


def searched_types(built, monkeypatch, *, exact):
    monkeypatch.setattr(integer_kernels, "are_exact", lambda: exact)
    found, form = random_form(built, scale=0.1, zero_point=3)
    return [node.op_type for node in fake_quant_model(found.on(built), form, multiply=True).graph]


def conv(group):
    return model(
        f"g (float[1,4,6,6] x) => (float[] y) {{ [layer] y = Conv<group={group}>(x, w, b) }}",
        w=noise(1, 4, 4 // group, 3, 3),
        b=noise(2, 4),
    )


@pytest.mark.parametrize(("group", "operator"), [(1, "ConvInteger"), (2, "Conv"), (4, "Conv")])
def test_convolution_without_groups_takes_the_integer_operator(group, operator, monkeypatch):
    assert operator in searched_types(conv(group), monkeypatch, exact=True)


@pytest.mark.parametrize("transposed", [0, 1])
def test_matrix_product_takes_the_integer_operator(transposed, monkeypatch):
    built = model(GEMM.format(transposed), w=noise(1, *((5, 6) if transposed else (6, 5))), b=noise(2, 5))
    assert "MatMulInteger" in searched_types(built, monkeypatch, exact=True)


def test_no_layer_takes_it_where_the_kernels_are_not_exact(monkeypatch):
    types = searched_types(conv(1), monkeypatch, exact=False)
    assert "ConvInteger" not in types
    assert "Conv" in types


def test_no_file_holds_an_integer_operator(monkeypatch):
    monkeypatch.setattr(integer_kernels, "are_exact", lambda: True)
    built = conv(1)
    found, form = random_form(built, scale=0.1, zero_point=3)
    assert not any("Integer" in node.op_type for node in fake_quant_model(found.on(built), form).graph)


def saturating(operator, x, weight):
    """Return what vpmaddubsw gives: the products of neighbours added in 16 bits, saturated, then all of them."""
    if operator == "ConvInteger":
        products = np.einsum("oi,nic->nioc", weight[..., 0, 0].astype(int), x.reshape(1, x.shape[1], -1).astype(int))
    else:
        products = np.einsum("ri,ic->irc", x.astype(int), weight.astype(int))[None]
    pairs = np.clip(products[:, ::2] + products[:, 1::2], -(2**15), 2**15 - 1)
    return pairs.sum(axis=1)


def exact(operator, x, weight):
    if operator == "ConvInteger":
        return np.einsum("oiab,nixy->noxy", weight.astype(int), x.astype(int))
    return x.astype(int) @ weight.astype(int)


@pytest.mark.parametrize("broken", ["ConvInteger", "MatMulInteger"])
@pytest.mark.parametrize("rows", [1, 32])
def test_a_saturating_kernel_is_noticed(broken, rows, monkeypatch):
    """Whether it is the kernel for one row or that for many, and that of either operator."""

    def result(operator, x, weight):
        rows_here = weight.shape[0] if operator == "ConvInteger" else x.shape[0]
        faulty = operator == broken and rows_here == rows
        return (saturating if faulty else exact)(operator, x, weight)

    monkeypatch.setattr(integer_kernels, "_result", result)
    assert not integer_kernels.are_exact.__wrapped__()


def test_exact_kernels_are_accepted(monkeypatch):
    monkeypatch.setattr(integer_kernels, "_result", exact)
    assert integer_kernels.are_exact.__wrapped__()
