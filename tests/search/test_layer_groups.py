"""Layers that share one AscendQuant in the deploy model are one group, and no others."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import LayeredModel
from runner.graph.macs import LayerCost
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers
from runner.search.layer_groups import layer_groups
from runner.search.plan import LayerGroup
from runner.targets.ascend.deploy import deploy_model
from tests.data import Items, normal_items
from tests.models import for_all, onnx_text, prepared

PRICES = {"stem": 5, "left": 7, "right": 11, "next": 13, "logits": 17}


@pytest.fixture(scope="module")
def branches():
    """A stem, two convolutions that read it, one that reads the first of them."""
    rng = np.random.default_rng(0)
    weight = lambda: rng.normal(0, 0.5, (3, 3, 1, 1)).astype(np.float32)  # noqa: E731
    model = onnx_text(
        """g (float[N,3,4,4] x) => (float[N,3,4,4] logits) {
            stem = Conv (x, w0)
            a = Relu (stem)
            left = Conv (a, w1)
            right = Conv (a, w2)
            next = Conv (left, w3)
            sum = Add (next, right)
            logits = Conv (sum, w4)
        }""",
        **{f"w{index}": weight() for index in range(5)},
    )
    graph, found = prepared(model)
    seen = collect(
        found,
        Subset(Items(normal_items(4, 3, 4, 4)), range(4)),
        observers=for_all(found, MinMax()),
        engine=Engine(1),
    )
    return graph, found, quantize_layers(found, seen).form


def costs() -> dict[str, LayerCost]:
    return {name: LayerCost(macs, 1) for name, macs in PRICES.items()}


def sharing_a_quant(found: LayeredModel, form: QuantizedLayers) -> set[frozenset[str]]:
    """Return the layers by the AscendQuant that they read, from the deploy model itself."""
    deploy = deploy_model(found, form)
    readers = defaultdict(set)
    for node in deploy.graph:
        if node.op_type == "Conv":
            readers[node.inputs[0].producer().name].add(node.name)
    return {frozenset(names) for names in readers.values()}


def test_groups_are_the_layers_that_share_an_ascend_quant_of_the_deploy_model(branches) -> None:
    _, found, form = branches
    groups = layer_groups(found, form, costs())
    assert groups == (
        LayerGroup(("stem",), 5),
        LayerGroup(("left", "right"), 18),
        LayerGroup(("next",), 13),
        LayerGroup(("logits",), 17),
    )
    assert {frozenset(group.layers) for group in groups} == sharing_a_quant(found, form)


def test_one_tensor_under_two_scales_makes_two_groups(branches) -> None:
    _, found, form = branches
    right = form.layers["right"]
    other = ActivationParams(2 * right.record.activation.scale, right.record.activation.zero_point)
    changed = replace(right, record=replace(right.record, activation=other))
    form = QuantizedLayers({**form.layers, "right": changed})
    groups = layer_groups(found, form, costs())
    assert [group.layers for group in groups] == [("stem",), ("left",), ("right",), ("next",), ("logits",)]
    assert {frozenset(group.layers) for group in groups} == sharing_a_quant(found, form)


def test_layer_that_is_not_quantized_belongs_to_no_group(branches) -> None:
    _, found, form = branches
    groups = layer_groups(found, form.without(["left"]), costs())
    assert [group.layers for group in groups] == [("stem",), ("right",), ("next",), ("logits",)]


def test_balanced_layers_that_read_one_tensor_are_groups_of_their_own(branches) -> None:
    _, found, form = branches
    factors = (0.5, 2.0, 1.0)
    both = {
        name: replace(form.layers[name], record=replace(form.layers[name].record, balance_factors=factors))
        for name in ("left", "right")
    }
    for names in (("left",), ("left", "right")):
        balanced = QuantizedLayers({**form.layers, **{name: both[name] for name in names}})
        groups = layer_groups(found, balanced, costs())
        assert [group.layers for group in groups] == [("stem",), ("left",), ("right",), ("next",), ("logits",)]
        assert {frozenset(group.layers) for group in groups} == sharing_a_quant(found, balanced)
