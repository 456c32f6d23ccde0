"""The calibration pass against numpy on activations that onnxruntime gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runner.calibration.collect import Calibration, collect
from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.calibration.percentile import Percentile
from runner.calibration.quantize import quantize_layers
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import DatasetError, ModelError
from runner.graph.tensors import tensor_input, typed
from runner.targets.ascend.limits import ASCEND
from tests.data import Items, normal_items
from tests.models import conv_gemm, for_all, onnx_text, prepared, run_plain

X = normal_items(9, 2, 6, 6)


def calibrated(
    model: object, data: Items, indices: list[int], observer: object = None, callers: int = 2
) -> Calibration:
    _, found = prepared(model)
    return collect(found, Subset(data, indices), observers=for_all(found, observer or MinMax()), engine=Engine(callers))


def test_ranges_are_the_extremes_of_each_layers_input_over_the_chosen_items() -> None:
    model, indices = conv_gemm(), [1, 4, 8]
    graph, found = prepared(model)
    seen = calibrated(model, Items(X), indices)
    activations = run_plain(graph, X[indices], [layer.input for layer in found.layers])
    assert list(seen.ranges) == ["first", "second", "logits"]
    for position, layer in enumerate(found.layers):
        values = np.concatenate([item[position].reshape(-1) for item in activations])
        np.testing.assert_allclose(
            [seen.ranges[layer.name].low, seen.ranges[layer.name].high],
            [values.min(), values.max()],
            rtol=1e-5,
            atol=1e-6,
        )
        assert seen.input_shapes[layer.name] == activations[0][position].shape
        np.testing.assert_allclose(seen.samples[layer.name], activations[0][position].reshape(-1), rtol=1e-5, atol=1e-6)


def test_model_input_keeps_its_bits() -> None:
    seen = calibrated(conv_gemm(), Items(X), list(range(9)))
    assert (seen.ranges["first"].low, seen.ranges["first"].high) == (float(X.min()), float(X.max()))
    # Whatever the observer makes of them.
    narrower = calibrated(conv_gemm(), Items(X), list(range(9)), Percentile(0.9, 0.9))
    assert narrower.extremes["first"] == seen.extremes["first"] == seen.ranges["first"] != narrower.ranges["first"]
    assert np.array_equal(seen.samples["first"], X[0].reshape(-1))


def test_sample_is_spread_evenly_and_at_most_4096_values() -> None:
    model = onnx_text(
        "g (float[N,1,100,100] x) => (float[N,1,100,100] y) { y = Conv (x, w) }", w=np.ones((1, 1, 1, 1), "f")
    )
    x = np.arange(10_000, dtype=np.float32).reshape(1, 1, 100, 100)
    sample = calibrated(model, Items(x), [0]).samples["y"]
    assert sample.size <= 4096 and np.array_equal(sample, np.arange(0, 10_000, 2)[:4096])


@pytest.mark.parametrize(
    "observer",
    [
        MinMax(),
        *(Ifmr(0.9, 0.9, exact=exact) for exact in (False, True)),
        *(Percentile(0.9, 0.9, exact=exact) for exact in (False, True)),
        *(Hfmg(exact=exact) for exact in (False, True)),
    ],
    ids=str,
)
def test_ranges_have_the_same_bits_with_any_number_of_callers(observer: object) -> None:
    one, *others = (calibrated(conv_gemm(), Items(X), list(range(9)), observer, callers) for callers in (1, 2, 4))
    for other in others:
        assert other.ranges == one.ranges
        assert all(np.array_equal(other.samples[name], one.samples[name]) for name in one.samples)


class Counting:
    """An observer that only counts: passes asked for, reductions and merges."""

    asymmetric = True

    def __init__(self, passes: int) -> None:
        self.passes, self.started = passes, 0
        self.order: list[float] = []

    def start(self, items: int) -> Counting:
        self.started += 1
        self.items, self.left = items, self.passes
        return self

    def reduce(self, x: np.ndarray) -> float:
        return float(x.flat[0])

    def merge(self, partial: float) -> None:
        self.order.append(partial)

    def end_pass(self) -> bool:
        self.left -= 1
        return self.left > 0

    def result(self) -> str:
        return f"after {self.passes}"


TWO_READERS = onnx_text(
    "g (float[N,2,4,4] x) => (float[N,3,4,4] y) { a = Conv (x, w1)\n b = Conv (x, w2)\n y = Add (a, b) }",
    w1=np.full((3, 2, 1, 1), 0.5, np.float32),
    w2=np.full((3, 2, 1, 1), -0.25, np.float32),
)


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_tensor_read_by_two_layers_is_observed_once_in_the_items_order(passes: int) -> None:
    data, observer = Items(normal_items(6, 2, 4, 4)), Counting(passes)
    seen = calibrated(TWO_READERS, data, [5, 0, 3], observer, callers=3)
    assert observer.started == 1 and observer.items == 3
    assert observer.order == [float(data.x[i].flat[0]) for i in (5, 0, 3)] * passes
    assert sorted(data.reads) == sorted([5, 0, 3] * passes)
    assert seen.ranges == {"a": f"after {passes}", "b": f"after {passes}"}


def test_progress_counts_items_over_all_passes() -> None:
    _, found = prepared(TWO_READERS)
    told: list[int] = []
    items = Items(normal_items(4, 2, 4, 4))
    collect(
        found,
        Subset(items, range(4)),
        observers=for_all(found, Counting(2)),
        engine=Engine(2),
        progress=told.append,
    )
    assert told == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("observer", [MinMax(), Ifmr()], ids=["minmax", "ifmr"])
@pytest.mark.parametrize("values", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, 1.0], [np.inf, -np.inf]], ids=str)
def test_item_whose_value_is_not_finite_is_named(observer: object, values: list[float]) -> None:
    x = np.ones((3, 2, 4, 4), np.float32)
    x[1].flat[:2] = values
    with pytest.raises(DatasetError) as error:
        calibrated(TWO_READERS, Items(x), [0, 1, 2], observer)
    bad = int(np.sum(~np.isfinite(values)))
    assert str(error.value) == (
        f"dataset: item item 1 holds {bad} value(s) that are NaN or infinite, and so does the activation 'x' made of it; "
        "expected finite numbers. Mend the item or leave it out."
    )


def test_activation_that_the_model_makes_infinite_or_nan_of_finite_items_is_named() -> None:
    model = onnx_text(
        "g (float[N,2,4,4] x) => (float[N,1,4,4] y) { r = Sqrt (x)\n y = Conv (r, w) }",
        w=np.ones((1, 2, 1, 1), np.float32),
    )
    with pytest.raises(ModelError) as error:
        calibrated(model, Items(-np.ones((1, 2, 4, 4), np.float32)), [0])
    assert str(error.value) == (
        "model.path: the activation 'r' holds NaN or infinity for the item item 0, whose own values are finite; expected "
        "finite numbers. Mend the model, or leave float what reads it: skip_layers=[y]."
    )


def test_inputs_of_other_nodes_that_would_be_rounded_are_named_beside_the_layers() -> None:
    model = onnx_text(
        "g (float[N,2,4,4] x) => (float[N,2,4,4] y, float[N,2,4,4] z) { r = Sqrt (x)\n y = Conv (r, w)\n z = Add (r, x) }",
        w=np.ones((2, 2, 1, 1), np.float32),
    )
    graph, found = prepared(model)
    rounded = (tensor_input(typed(graph), "z", 0, ASCEND.rounded),)
    for layers, remedy in (
        ((), "Mend the model, or do not round z:0 (take it out of tensor_quantize)."),
        (
            found.layers,
            "Mend the model, or leave float what reads it: skip_layers=[y], and do not round z:0 (take it out of "
            "tensor_quantize).",
        ),
    ):
        asked = replace(found, layers=layers, tensors=rounded)
        with pytest.raises(ModelError) as error:
            items = Subset(Items(-np.ones((1, 2, 4, 4), np.float32)), [0])
            collect(asked, items, observers=for_all(asked, MinMax()), engine=Engine(1))
        assert str(error.value).endswith(remedy)


PICKED = onnx_text(
    # Of each item the rows whose first value is above 0: for some items there are none.
    """g (float[1,4,3] x) => (float[rows,2] y) {
        firsts = Gather <axis = 2> (x, zero)
        positive = Greater (firsts, nought)
        places = NonZero (positive)
        rows = Gather <axis = 0> (places, one)
        at = Squeeze (rows, first)
        picked = Gather <axis = 1> (x, at)
        flat = Reshape (picked, shape)
        y = MatMul (flat, w)
    }""",
    zero=np.int64(0),
    nought=np.float32(0),
    one=np.array([1]),
    first=np.array([0]),
    shape=np.array([-1, 3]),
    w=np.ones((3, 2), np.float32),
)


def rows_picked(*counts: int) -> np.ndarray:
    """Return items of four rows, of which so many are picked."""
    x = normal_items(len(counts), 4, 3)
    for item, count in zip(x, counts, strict=True):
        item[:, 0] = np.where(np.arange(4) < count, 1, -1) * np.abs(item[:, 0])
    return x


EVERY_OBSERVER = [
    MinMax(),
    *(Ifmr(0.9, 0.9, exact=exact) for exact in (False, True)),
    *(Percentile(0.9, 0.9, exact=exact) for exact in (False, True)),
    *(Hfmg(exact=exact) for exact in (False, True)),
]


@pytest.mark.parametrize("observer", EVERY_OBSERVER, ids=str)
def test_items_without_values_change_nothing_that_is_seen_of_the_others(observer: object) -> None:
    x = rows_picked(0, 2, 0, 4, 1, 0)
    seen = calibrated(PICKED, Items(x), list(range(6)), observer)
    others = calibrated(PICKED, Items(x), [1, 3, 4], observer)
    assert seen.ranges == others.ranges and seen.extremes == others.extremes
    assert np.array_equal(seen.samples["y"], x[1, :2].reshape(-1)) and seen.input_shapes["y"] == (2, 3)


@pytest.mark.parametrize("observer", EVERY_OBSERVER, ids=str)
def test_layer_that_no_item_gives_a_value_stays_float_and_says_why(observer: object) -> None:
    x = rows_picked(0, 0)
    _, found = prepared(PICKED)
    seen = collect(found, Subset(Items(x), [0, 1]), observers=for_all(found, observer), engine=Engine(2))
    assert seen.ranges == {} and seen.input_shapes == {"y": (0, 3)}
    (left,) = quantize_layers(found, seen).impossible
    assert (left.name, left.reason) == (
        "y",
        "no calibration item gives its input any value, so nothing is known of its range",
    )


def test_layers_that_share_an_input_get_the_range_of_their_own_observer() -> None:
    _, found = prepared(TWO_READERS)
    data = Items((normal_items(6, 2, 4, 4) ** 3).astype(np.float32))
    own = Percentile(0.8, 0.8)

    def ranges(observer: object, own: dict | None = None) -> dict:
        return collect(
            found,
            Subset(data, range(6)),
            observers=for_all(found, observer) | (own or {}),
            engine=Engine(2),
        ).ranges

    mixed = ranges(MinMax(), {"b": own})
    assert mixed == {"a": ranges(MinMax())["a"], "b": ranges(own)["b"]}
    assert mixed["a"] != mixed["b"]
    # A short statistic and a long one on one tensor: each is fed until it has had enough.
    short, long = Counting(1), Counting(3)
    assert ranges(short, {"b": long}) == {"a": "after 1", "b": "after 3"}
    assert (len(short.order), len(long.order)) == (6, 18)
