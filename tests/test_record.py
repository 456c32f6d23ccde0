"""Records are maps: leaving a layer out is falling back."""

import numpy as np
import pytest

from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, Record, TensorRecord

ACTIVATION = ActivationParams(0.5, 3)
LAYER = LayerRecord(ACTIVATION, (0.25, 0.125))
TENSOR = TensorRecord(ACTIVATION)


def quantized():
    return QuantizedLayer(LAYER, np.ones((2, 1, 1, 1), np.int8), None)


def test_record_keeps_the_order_of_its_entries():
    assert list(Record({"b": LAYER, "a:1": TENSOR, "a": LAYER})) == ["b", "a:1", "a"]


def test_record_tells_layers_from_tensors():
    record = Record({"b": LAYER, "a:1": TENSOR})
    assert record.layers == {"b": LAYER}
    assert record.tensors == {"a:1": TENSOR}


def test_record_without_a_layer_lacks_it_and_keeps_the_rest():
    record = Record({"a": LAYER, "b": LAYER, "add:0": TENSOR})
    assert record.without(["b", "unknown"]) == {"a": LAYER, "add:0": TENSOR}
    assert set(record) == {"a", "b", "add:0"}


def test_record_does_not_change_with_the_map_it_was_made_of():
    entries = {"a": LAYER}
    record = Record(entries)
    entries["b"] = LAYER
    assert len(record) == 1


def test_record_says_how_many_layers_and_tensors_it_holds():
    assert repr(Record({"a": LAYER, "add:0": TENSOR})) == "Record(1 layers, 1 tensors)"


def test_a_missing_entry_is_a_key_error():
    with pytest.raises(KeyError, match="'b'"):
        Record({"a": LAYER})["b"]


@pytest.mark.parametrize("scales", [(), (0.0,), (-1.0,), (1.0, float("nan")), (float("inf"),)])
def test_weight_scale_that_is_not_positive_and_finite_is_refused(scales):
    with pytest.raises(ValueError, match="weight scales must be positive and finite, got"):
        LayerRecord(ACTIVATION, scales)


def test_record_of_a_form_holds_layers_then_tensors():
    form = QuantizedLayers({"conv": quantized()}, {"add:0": TENSOR})
    assert list(form.record.items()) == [("conv", LAYER), ("add:0", TENSOR)]


def test_form_without_a_layer_keeps_the_tensors():
    form = QuantizedLayers({"a": quantized(), "b": quantized()}, {"add:0": TENSOR}).without(["a"])
    assert list(form.layers) == ["b"]
    assert form.tensors == {"add:0": TENSOR}


@pytest.mark.parametrize("factor", [0.0, -1.0, 2**-23, 2.0**23, float("nan"), float("inf")])
def test_balance_factor_beyond_what_amct_takes_is_refused(factor):
    with pytest.raises(ValueError, match="balance factors must lie between FLT_EPSILON and 1/FLT_EPSILON, got"):
        LayerRecord(ACTIVATION, (1.0,), balance_factors=(1.0, factor))
