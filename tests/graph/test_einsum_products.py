"""An Einsum with a constant matrix becomes a MatMul that gives what numpy's einsum gives."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.graph.einsum_products import product, write_products
from runner.graph.layers import find_layers
from runner.graph.naming import name_nodes
from runner.graph.prepare import prepare
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, plain_session

SIZES = {"n": 2, "c": 3, "h": 4, "w": 5, "k": 6}


def einsum(equation: str) -> tuple[ir.Model, np.ndarray, np.ndarray]:
    """Return a model of one Einsum over data and a constant, the data and what numpy makes of both."""
    data, matrix = (
        noise(place, *(SIZES[label] for label in term)) for place, term in enumerate(equation.split("->")[0].split(","))
    )
    shape, out = (
        ",".join(str(number) for number in numbers) for numbers in (data.shape, np.einsum(equation, data, matrix).shape)
    )
    graph = f'g (float[{shape}] x) => (float[{out}] y) {{ y = Einsum <equation = "{equation}"> (x, m) }}'
    built = model(graph, m=matrix)
    name_nodes(built)
    return built, data, np.einsum(equation, data, matrix)


EQUATIONS = [
    f"{data},{matrix}->{''.join(output)}"
    for data, summed in (("nc", "c"), ("nch", "h"), ("nchw", "c"), ("hcnw", "n"))
    for matrix in (f"{summed}k", f"k{summed}")
    for output in itertools.islice(itertools.permutations([*data.replace(summed, ""), "k"]), 0, None, 5)
]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_of_data_and_a_matrix_is_a_layer(equation: str) -> None:
    built, data, expected = einsum(equation)
    before = built.clone()
    assert write_products(built) == ["Einsum_0"]
    onnx.checker.check_model(ir.to_proto(built), full_check=True)
    assert [(layer.name, layer.op_type) for layer in find_layers(built, ASCEND).layers] == [("Einsum_0", "MatMul")]
    result = plain_session(built).run(None, {"x": data})[0]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result, plain_session(before).run(None, {"x": data})[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "equation",
    [
        "nc,ck->n",
        "nc,nk->nck",
        "nc,ck->kc",
        "nch,ch->n",
        "nc,kc->nkc",
        "c,ck->k",
        "ncc,ck->nk",
        "nc,ck",
        "...c,ck->...k",
        "nc->cn",
    ],
)
def test_other_einsums_are_no_products_with_a_matrix(equation: str) -> None:
    assert product(equation) is None


def test_einsum_of_two_variables_stays_and_is_listed_with_the_reason() -> None:
    built = model('g (float[2,3] x, float[3,4] m) => (float[2,4] y) { y = Einsum <equation = "nc,ck->nk"> (x, m) }')
    found = find_layers(prepare(built, ASCEND).graph, ASCEND)
    assert [(left.op_type, left.reason) for left in found.left_alone] == [("Einsum", "Einsum is not quantized")]
