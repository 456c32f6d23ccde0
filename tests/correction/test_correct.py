"""Corrected forms of small models: their outputs, their mean errors, and what may not change."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.correction import layerwise_pass
from runner.correction.calibrated import Calibrated
from runner.correction.correct import correct
from runner.correction.held_back import HeldBack
from runner.correction.layer_state import LayerState
from runner.correction.layerwise_pass import spread
from runner.correction.options import Correction
from runner.correction.output_adjustment import adjusted_outputs
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError
from runner.graph.model_file import model_bytes
from runner.record import QuantizedLayer, QuantizedLayers
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.deploy_check import check_against_form
from tests.data import Items, normal_items
from tests.models import chain, conv_gemm, dense, for_all, onnx_text, prepared, run_plain

BEST = Correction("sequential", scale=True, rounding="compensated", range="output")
ITEMS = normal_items(64, 2, 6, 6)
RNG = np.random.default_rng(0)
RESIDUAL = onnx_text(
    """g (float[N,2,6,6] x) => (float[N,3] z) {
        a = Conv <pads = [1,1,1,1]> (x, w1, b1)
        s = Clip (a, zero, six)
        d = Conv <group = 4, pads = [1,1,1,1]> (s, w2)
        r = Add (s, d)
        p = AveragePool <kernel_shape = [2,2], strides = [2,2]> (r)
        m = GlobalAveragePool (p)
        f = Flatten (m)
        z = MatMul (f, w3)
    }""",
    w1=RNG.normal(size=(4, 2, 3, 3)).astype(np.float32),
    b1=RNG.normal(size=4).astype(np.float32),
    w2=RNG.normal(size=(4, 1, 3, 3)).astype(np.float32),
    w3=RNG.normal(size=(4, 3)).astype(np.float32),
    zero=np.float32(0),
    six=np.float32(6),
)


def calibrated(model: onnx.ModelProto, x: NDArray) -> Calibrated:
    _, found = prepared(model)
    seen = collect(found, Subset.whole(Items(x)), observers=for_all(found, MinMax()), engine=Engine(1))
    return Calibrated(found, quantize_layers(found, seen).form, seen)


def corrected(start: Calibrated, x: NDArray, options: Correction, callers: int = 2) -> QuantizedLayers:
    return correct(start, Subset.whole(Items(x)), options=options, engine=Engine(callers))


def outputs(start: Calibrated, form: QuantizedLayers, x: NDArray, name: str) -> NDArray[np.float64]:
    model = fake_quant_model(start.model, form)
    return np.concatenate([a.reshape(-1, a.shape[-1]) for (a,) in run_plain(model, x, [name])]).astype(np.float64)


def same(a: QuantizedLayers, b: QuantizedLayers) -> bool:
    return list(a.layers) == list(b.layers) and all(
        one.record == two.record and np.array_equal(one.weight, two.weight) and np.array_equal(one.bias, two.bias)
        for one, two in zip(a.layers.values(), b.layers.values(), strict=True)
    )


@pytest.mark.parametrize(
    "options",
    [
        Correction("isolated", scale=True),
        Correction("sequential"),
        Correction("sequential", scale=True),
        Correction(rounding="compensated"),
        Correction("sequential", rounding="compensated"),
        BEST,
    ],
    ids=str,
)
def test_each_correction_brings_the_outputs_nearer(options: Correction) -> None:
    model = chain(5)
    # Inputs off zero: rounding the weights makes mean errors, where otherwise there is only chance.
    x, fresh = (1 + normal_items(100, 3, 4, 4, seed=seed) for seed in (0, 9))
    start = calibrated(model, x)
    real = outputs(start, QuantizedLayers({}), fresh, "logits")
    before, after = (
        float(np.mean((outputs(start, form, fresh, "logits") - real) ** 2))
        for form in (start.form, corrected(start, x, options))
    )
    assert after < before


def test_sequential_bias_leaves_no_mean_error_but_what_may_be_chance() -> None:
    x, fresh = (1 + normal_items(64, 2, 6, 6, seed=seed) for seed in (0, 9))
    start = calibrated(conv_gemm(), x)
    form = corrected(start, x, Correction("sequential"))
    for items in (x, fresh):
        real = outputs(start, QuantizedLayers({}), items, "logits")
        after, before = (
            np.abs((outputs(start, f, items, "logits") - real).mean(axis=0)).mean() for f in (form, start.form)
        )
        assert after < 0.6 * before


@pytest.mark.parametrize(
    "options", [Correction("isolated"), Correction("isolated", scale=True)], ids=["pass", "layerwise"]
)
def test_layer_by_layer_bias_leaves_no_mean_error_on_float_inputs(options: Correction) -> None:
    x = 1 + normal_items(48, 2, 6, 6)
    start = calibrated(conv_gemm(), x)
    form = corrected(start, x, options)
    alone, before = (QuantizedLayers({"second": f.layers["second"]}) for f in (form, start.form))
    real = outputs(start, QuantizedLayers({}), x, "logits")
    errors = [np.abs((outputs(start, f, x, "logits") - real).mean(axis=0)).mean() for f in (alone, before)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("model", [conv_gemm(), RESIDUAL], ids=["conv and gemm", "clip, depthwise, residual, pool"])
def test_form_stays_legal_and_its_deploy_model_holds_it(model: onnx.ModelProto, tmp_path) -> None:
    start = calibrated(model, ITEMS)
    form = corrected(start, ITEMS, BEST)
    assert list(form.layers) == list(start.form.layers)
    for layer in start.model.layers:
        before, after = start.form.layers[layer.name], form.layers[layer.name]
        assert after.weight.dtype == np.int8
        assert after.weight.shape == before.weight.shape
        assert len(after.record.weight_scales) == len(before.record.weight_scales)
        # What follows RESIDUAL's MatMul is no Add.
        assert layer.op_type not in ("MatMul", "AveragePool") or (after.bias, after.shift) == (None, None)
    path = tmp_path / "deploy.onnx"
    path.write_bytes(model_bytes(deploy_model(start.model, form)))
    assert check_against_form(path, form, start.model.graph) == []


def take_the_last_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each form of a layer be judged better than those before it."""
    errors = itertools.count(0, -1)
    monkeypatch.setattr(HeldBack, "error", lambda self, outputs, *, bias_to_come: float(next(errors)))


# Inputs off zero, so that rounding the weights makes mean errors.
TOKENS, ROWS = 1 + normal_items(48, 7, 5), 1 + normal_items(240, 5)
LAYERWISE = [Correction("isolated", rounding="compensated"), Correction("sequential"), BEST]


@pytest.mark.parametrize("options", LAYERWISE, ids=str)
def test_matmul_is_corrected_like_the_gemm_that_has_its_bias_as_an_input(
    options: Correction, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_the_last_form(monkeypatch)
    one, other = (calibrated(dense(op_type), ROWS) for op_type in ("MatMul", "Gemm"))
    matmul, gemm = (corrected(start, ROWS, options) for start in (one, other))
    for name, twin, bias in (("h", "s", "b1"), ("k", "logits", "b2")):
        a, b = matmul.layers[name], gemm.layers[twin]
        assert (a.record, a.weight.tolist(), a.bias) == (b.record, b.weight.tolist(), None)
        deq = b.record.activation.scale * b.record.weight_scales[0]
        constant = one.model.graph.graph.initializers[bias].const_value.numpy()
        # A Gemm's bias is a multiple of deq, before the fit and behind it; the second reads what the first gives.
        np.testing.assert_allclose(constant + a.shift, b.bias * deq, atol=3 * deq)
        assert np.abs(a.shift).max() > 6 * deq


def test_sequential_shift_leaves_no_mean_error_where_nothing_is_left_to_chance() -> None:
    # Items that are all the same.
    x = np.repeat(TOKENS[:1], 3, axis=0)
    start = calibrated(dense(shape="N,7,5"), x)
    form = corrected(start, x, Correction("sequential"))
    real = outputs(start, QuantizedLayers({}), x, "logits")
    error, was = (np.abs((outputs(start, f, x, "logits") - real).mean(axis=0)).max() for f in (form, start.form))
    assert error < 2e-6 < 1e-3 < was
    # Behind the Relu too, where channels that are cut off everywhere may be as wrong as they like.
    real, now, was = (outputs(start, f, x, "r") for f in (QuantizedLayers({}), form, start.form))
    errors = [np.abs((y - real).mean(axis=0)).max() for y in (now, was)]
    assert errors[0] < 0.2 * errors[1]


@pytest.mark.parametrize("options", [Correction("isolated"), *LAYERWISE], ids=str)
def test_shift_is_there_once_in_the_model(options: Correction) -> None:
    start = calibrated(dense(shape="N,7,5"), TOKENS)
    form = corrected(start, TOKENS, options)
    real = outputs(start, QuantizedLayers({}), TOKENS, "logits")
    bare = {name: dataclasses.replace(layer, shift=None) for name, layer in form.layers.items()}
    twice = {name: dataclasses.replace(layer, shift=2 * layer.shift) for name, layer in form.layers.items()}
    once, *others = (
        float(np.mean((outputs(start, f, TOKENS, "logits") - real) ** 2))
        for f in (form, QuantizedLayers(bare), QuantizedLayers(twice))
    )
    assert once < min(others)


def test_output_under_a_shift_is_that_of_the_corrected_layer() -> None:
    start = calibrated(dense(shape="N,7,5"), TOKENS)
    before, after = start.form.layers["h"], corrected(start, TOKENS, Correction("sequential")).layers["h"]
    y, expected = (
        run_plain(fake_quant_model(start.model, QuantizedLayers({"h": form})), TOKENS, ["s"])
        for form in (before, after)
    )
    again = adjusted_outputs([one for (one,) in y], start.model.layer("h"), before, after)
    for one, (other,) in zip(again, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_items_that_join_behind_a_shifted_bias_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx_text(
        "g (float[N,7,20] x) => (float[N,7,4] y) { h = MatMul (x, w1)\n s = Add (h, b)\n k = MatMul (s, w2)\n y = Add (k, c) }",
        w1=RNG.normal(size=(20, 5)).astype(np.float32),
        w2=RNG.normal(size=(5, 4)).astype(np.float32),
        b=np.zeros(5, np.float32),
        c=np.zeros(4, np.float32),
    )
    # Items that are all the same: nothing is left to chance. Room for two at first, for all at the second layer.
    x = np.repeat(1 + normal_items(1, 7, 20), 8, axis=0)
    start = calibrated(model, x)
    whole = corrected(start, x, Correction("sequential"))
    monkeypatch.setattr(layerwise_pass, "_BUDGET", 2 * 16 * 140)
    late = corrected(start, x, Correction("sequential"))
    for name in ("h", "k"):
        np.testing.assert_allclose(late.layers[name].shift, whole.layers[name].shift, atol=1e-6)
    real = outputs(start, QuantizedLayers({}), x, "y")
    assert np.abs((outputs(start, late, x, "y") - real).mean(axis=0)).max() < 3e-6


def test_layer_without_a_bias_gets_one() -> None:
    start = calibrated(RESIDUAL, ITEMS)
    assert start.form.layers["d"].bias is None
    assert corrected(start, ITEMS, Correction("isolated")).layers["d"].bias is not None


def test_output_under_another_bias_and_scale_is_that_of_the_corrected_layer() -> None:
    start = calibrated(conv_gemm(), ITEMS)
    before = start.form.layers["first"]
    after = corrected(start, ITEMS, Correction("sequential", scale=True)).layers["first"]
    assert before.record.weight_scales != after.record.weight_scales
    (layer,) = (layer for layer in start.model.layers if layer.name == "first")
    node = start.model.node("first")
    y, expected = (
        run_plain(
            fake_quant_model(start.model, QuantizedLayers({"first": form})),
            ITEMS,
            [node.outputs[0].name],
        )
        for form in (before, after)
    )
    again = adjusted_outputs([one for (one,) in y], layer, before, after, callers=2)
    for one, (other,) in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_that_read_one_tensor_keep_sharing_its_parameters() -> None:
    model = onnx_text(
        "g (float[N,2,4,4] x) => (float[N,3,4,4] y) { a = Conv (x, w1)\n b = Conv (x, w2)\n y = Add (a, b) }",
        w1=RNG.normal(size=(3, 2, 1, 1)).astype(np.float32),
        w2=RNG.normal(size=(3, 2, 1, 1)).astype(np.float32),
    )
    x = normal_items(20, 2, 4, 4)
    form = corrected(calibrated(model, x), x, Correction(range="output"))
    assert form.layers["a"].record.activation == form.layers["b"].record.activation


def test_layer_that_is_left_float_stays_so() -> None:
    start = calibrated(conv_gemm(), ITEMS)
    less = dataclasses.replace(start, form=start.form.without(["second"]))
    assert list(corrected(less, ITEMS, BEST).layers) == ["first", "logits"]


@pytest.mark.parametrize("model", [conv_gemm(), RESIDUAL], ids=["chain", "residual"])
def test_number_of_callers_does_not_change_the_form(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    # Work in many pieces.
    monkeypatch.setattr("runner.correction.affine._CHANNELS", 2)
    monkeypatch.setattr("runner.correction.gptq.CHANNELS", 2)
    monkeypatch.setattr("runner.correction.moments._VALUES", 1)
    monkeypatch.setattr("runner.correction.activation_range._VALUES", 1)
    start = calibrated(model, ITEMS)
    one, two = (corrected(start, ITEMS, BEST, callers) for callers in (1, 3))
    assert same(one, two)


@pytest.mark.parametrize("model", [conv_gemm(), RESIDUAL], ids=["chain", "residual"])
def test_items_that_join_late_see_what_the_others_do(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    take_the_last_form(monkeypatch)
    start = calibrated(model, ITEMS)
    whole = corrected(start, ITEMS, Correction("sequential"))
    # Room for 32 items at first; the layers behind the first read less.
    largest = max(int(np.prod(shape)) for shape in start.seen.input_shapes.values())
    monkeypatch.setattr(layerwise_pass, "_BUDGET", 40 * 16 * largest)
    late = corrected(start, ITEMS, Correction("sequential"))
    last = start.model.layers[-1]
    output = start.model.node(last.name).outputs[0].name
    real = outputs(start, QuantizedLayers({}), ITEMS, output)
    # What corrections look at; the others are held back.
    fitted = [place for number, place in enumerate(spread(64, 64)) if number % 4 != 1]
    for form in (whole, late):
        if last.op_type != "MatMul":
            found = outputs(start, form, ITEMS, output)
            np.testing.assert_allclose(found[fitted].mean(axis=0), real[fitted].mean(axis=0), atol=1e-3)


def test_spread_only_adds_places() -> None:
    assert sorted(spread(100, 100)) == list(range(100))
    for count in (1, 2, 13, 50):
        assert spread(100, count) == spread(100, 100)[:count]
    assert max(np.diff(sorted(spread(100, 50)))) <= 4


def test_factor_without_a_bias_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"correction\.scale: .* expected correction\.bias=isolated or sequential"):
        Correction(scale=True)


def test_repair_and_equalization_do_not_change_how_layers_are_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Correction(repair=True, equalize=True).changes_nothing
    start = calibrated(conv_gemm(), ITEMS)
    plain = corrected(start, ITEMS, Correction("isolated"))
    # One pass, which the layerwise pass takes no part in.
    monkeypatch.delattr("runner.correction.correct.LayerwisePass")
    assert same(corrected(start, ITEMS, Correction("isolated", repair=True, equalize=True)), plain)


def test_own_correction_is_given_a_layer_and_gives_its_form_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, start = [], calibrated(conv_gemm(), ITEMS)
    take_the_last_form(monkeypatch)

    def halved(state: LayerState) -> QuantizedLayer:
        seen.append((state.layer.name, len(state.items), len(state.float_outputs), state.float_outputs[0].shape))
        return dataclasses.replace(state.quantized, weight=state.quantized.weight // 2)

    def impossible(state: LayerState) -> QuantizedLayer:
        return dataclasses.replace(state.quantized, bias=np.full(state.layer.channels, 2**31 - 1, np.int32))

    monkeypatch.setattr("runner.correction.correct._corrections", lambda options, ranges: [halved, impossible])
    form = corrected(start, ITEMS, Correction(rounding="compensated"))
    # One item of four is held back.
    assert seen == [("first", 48, 64, (1, 4, 6, 6)), ("second", 48, 64, (1, 6, 2, 2)), ("logits", 48, 64, (1, 5))]
    for name, layer in form.layers.items():
        np.testing.assert_array_equal(layer.weight, start.form.layers[name].weight // 2)
        # Sums beyond int32 are not taken.
        np.testing.assert_array_equal(layer.bias, start.form.layers[name].bias)


def test_outputs_of_a_layer_are_those_of_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    start, found = calibrated(conv_gemm(), ITEMS), []

    def look(state: LayerState) -> QuantizedLayer:
        # The first layer alone: what it reads is what the model does.
        if state.layer.name == "first":
            moved = dataclasses.replace(state.quantized, bias=state.quantized.bias + np.int32(100))
            halved = dataclasses.replace(moved, weight=moved.weight // 2)
            for quantized in (state.quantized, moved, halved):
                candidate = state.candidate(quantized)
                form = state.form(candidate)
                model, name = (
                    fake_quant_model(start.model, QuantizedLayers({"first": quantized})),
                    state.node.outputs[0].name,
                )
                found.append((form.outputs, candidate.error, [y for (y,) in run_plain(model, ITEMS, [name])]))
        return state.quantized

    monkeypatch.setattr("runner.correction.correct._corrections", lambda options, ranges: [look])
    corrected(start, ITEMS, Correction(rounding="compensated"))
    real = [y for (y,) in run_plain(start.model.graph, ITEMS, [start.model.node("first").outputs[0].name])]
    assert len(found) == 3
    held_back = spread(64, 64)[1::4]
    for ours, error, expected in found:
        # The pass takes items in another order, spread over the data.
        for one, place in zip(ours, spread(64, 64), strict=True):
            np.testing.assert_array_equal(one, expected[place])
        # A Relu stands behind the layer.
        f, q = (np.maximum(np.stack([y[place] for place in held_back]).astype(np.float64), 0) for y in (real, expected))
        assert error == pytest.approx(np.sum((f - q) ** 2) / np.sum(f**2), rel=1e-6)


@pytest.mark.parametrize("items", [1, 2, 3])
def test_inputs_that_hardly_vary_are_rounded_without_a_fault(items: int) -> None:
    for x in (ROWS[:items], 300 + ROWS[:items], np.zeros_like(ROWS[:items])):
        start = calibrated(dense("Gemm"), x)
        assert list(corrected(start, x, BEST).layers) == ["s", "logits"]
