"""Layers that are rounded in blocks of their inputs, held against the whole H and against rounding to nearest."""

from __future__ import annotations

import logging
import tracemalloc

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.correction import weight_rounding, wide_rounding
from runner.correction.calibrated import Calibrated
from runner.correction.correct import correct
from runner.correction.options import Correction
from runner.correction.patches import Rows
from runner.correction.samples import Samples
from runner.correction.wide_rounding import is_wide, rounded_in_blocks
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.record import QuantizedLayers
from tests.data import Items
from tests.models import for_all, onnx_text, prepared, run_plain

COMPENSATED = Correction(rounding="compensated")


def mixed(count: int, *shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return items whose values are correlated, near ones and far ones, and off zero."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mix = rng.normal(size=(size // 4, size))
    causes = np.random.default_rng(seed + 1).normal(size=(count, size // 4))
    return (1 + causes @ mix / np.sqrt(size // 4)).reshape(count, *shape).astype(np.float32)


def model(kind: str) -> tuple[onnx.ModelProto, NDArray[np.float32]]:
    """Return a single layer and items that it reads."""
    rng = np.random.default_rng(3)
    lines, shape, output, weight = {
        "Gemm": ("y = Gemm (x, w)", (48,), "N,300", (48, 300)),
        "Gemm, transposed": ("y = Gemm <transB = 1> (x, w)", (48,), "N,10", (10, 48)),
        "MatMul": ("y = MatMul (x, w)", (6, 48), "N,6,10", (48, 10)),
        "Conv": ("y = Conv <pads = [1,1,1,1]> (x, w)", (7, 6, 6), "N,10,6,6", (10, 7, 3, 3)),
        "grouped Conv": ("y = Conv <group = 2, strides = [2,2]> (x, w)", (14, 7, 7), "N,10,3,3", (10, 7, 3, 3)),
        "depthwise Conv": ("y = Conv <group = 30, pads = [1,1,1,1]> (x, w)", (30, 4, 4), "N,30,4,4", (30, 1, 3, 3)),
    }[kind]
    sizes = ",".join(map(str, shape))
    return onnx_text(
        f"g (float[N,{sizes}] x) => (float[{output}] y) {{ {lines} }}", w=rng.normal(size=weight).astype(np.float32)
    ), mixed(110, *shape)


KINDS = ["Gemm", "Gemm, transposed", "MatMul", "Conv", "grouped Conv", "depthwise Conv"]


def calibrated(source: onnx.ModelProto, x: NDArray) -> Calibrated:
    _, found = prepared(source)
    seen = collect(found, Subset.whole(Items(x)), observers=for_all(found, MinMax()), engine=Engine(1))
    return Calibrated(found, quantize_layers(found, seen).form, seen)


def rounded(start: Calibrated, x: NDArray, callers: int = 2) -> QuantizedLayers:
    return correct(start, Subset.whole(Items(x)), options=COMPENSATED, engine=Engine(callers))


def errors(start: Calibrated, form: QuantizedLayers, x: NDArray) -> NDArray[np.float64]:
    """Return the mean squared error of each output channel against exact weights on the same rounded inputs."""
    layer = start.model.layers[0]
    (quantized,) = form.layers.values()
    exact = quantized.record.activation
    codes = np.clip(np.rint(x / exact.scale) + exact.zero_point, -128, 127)
    inputs = ((codes - exact.zero_point) * exact.scale).astype(np.float32)
    wanted = np.concatenate([y for (y,) in run_plain(start.model.graph, inputs, ["y"])]).astype(np.float64)
    got = np.concatenate([y for (y,) in run_plain(fake_quant_model(start.model, form), inputs, ["y"])])
    axis = layer.output_axis % wanted.ndim
    return np.mean((got - wanted) ** 2, axis=tuple(a for a in range(wanted.ndim) if a != axis))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every layer for too wide, and blocks of 20 inputs."""
    monkeypatch.setattr(wide_rounding, "_MOST", 0)
    monkeypatch.setattr(wide_rounding, "BLOCK", 20)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("narrow")
def test_no_channel_loses_more_than_by_rounding_to_nearest_and_all_lose_much_less(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, x = model(kind)
    start = calibrated(source, x)
    ratios: list[NDArray[np.float64]] = []

    def spied(samples: Samples) -> NDArray[np.int8] | None:
        codes = rounded_in_blocks(samples)
        assert codes is not None
        ratios.append(_against_nearest(samples, codes))
        return codes

    monkeypatch.setattr(weight_rounding, "rounded_in_blocks", spied)
    rounded(start, x)
    # Of what it looked at, whether the layer is taken in the end or not.
    ((plain, made),) = ratios
    assert np.all(made <= plain * (1 + 1e-3))
    assert made.sum() < 0.85 * plain.sum()


def _against_nearest(samples: Samples, codes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return each channel's output error over all positions, with the weight rounded to nearest and with ``codes``."""
    state, group = samples.state, samples.state.layer.group
    x = Rows.joined([samples.rows(item) for item in samples.sizes]).of(slice(None)).astype(np.float64)
    weight = state.weight()
    scales = np.broadcast_to(np.asarray(state.quantized.record.weight_scales, np.float64), (len(weight),))[
        :, np.newaxis
    ]
    wanted = weight / scales
    made = np.stack([np.rint(wanted).clip(-128, 127), codes.reshape(wanted.shape)]) - wanted
    errors = made.reshape(2, group, -1, wanted.shape[1]) @ x
    found = errors.var(axis=-1) if state.fits_bias() else np.mean(errors**2, axis=-1)
    return np.asarray(found.reshape(2, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_as_large_as_a_layer_give_what_its_whole_moments_give(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, x = model(kind)
    start = calibrated(source, x)
    whole = errors(start, rounded(start, x), x).sum()
    monkeypatch.setattr(wide_rounding, "_MOST", 0)
    single = errors(start, rounded(start, x), x).sum()
    # Without the move of the target, which makes up for the rounded input too.
    assert single < 1.1 * whole
    monkeypatch.setattr(wide_rounding, "BLOCK", 20)
    in_blocks, plain = errors(start, rounded(start, x), x).sum(), errors(start, start.form, x).sum()
    assert single <= 1.05 * in_blocks and in_blocks < plain


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("kind", ["Gemm", "grouped Conv"])
def test_codes_do_not_depend_on_the_number_of_callers(kind: str) -> None:
    source, x = model(kind)
    start = calibrated(source, x)
    one, other = (next(iter(rounded(start, x, callers).layers.values())).weight for callers in (1, 3))
    np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("narrow")
def test_the_log_says_which_layer_is_rounded_in_blocks(caplog: pytest.LogCaptureFixture) -> None:
    source, x = model("Conv")
    with caplog.at_level(logging.INFO, "runner.correction.wide_rounding"):
        rounded(calibrated(source, x), x)
    # Two channels of 9 places each lie within 20 inputs; 63 inputs make four blocks.
    assert caplog.messages == ["compensated rounding of 'y': 63 inputs, moments in blocks of 18"]


@pytest.mark.usefixtures("narrow")
def test_a_kernel_of_too_many_places_is_rounded_to_nearest(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, x = model("Conv")
    monkeypatch.setattr(wide_rounding, "_LARGEST", 8)
    start = calibrated(source, x)
    with caplog.at_level(logging.INFO, "runner.correction.wide_rounding"):
        form = rounded(start, x)
    np.testing.assert_array_equal(form.layers["y"].weight, start.form.layers["y"].weight)
    assert caplog.messages == ["rounding of 'y' to nearest: its kernel of 9 places has too many moments"]


def test_layers_of_usual_width_keep_their_whole_moments() -> None:
    _, found = prepared(model("Gemm")[0])
    (layer,) = found.layers
    assert [is_wide(layer, shape) for shape in ((1000, 1280), (256, 256, 3, 3), (768, 768))] == [False] * 3
    assert [is_wide(layer, shape) for shape in ((1000, 6144), (4096, 25088), (512, 512, 3, 3))] == [True] * 3


def test_a_wide_layer_takes_little_memory() -> None:
    inputs, outputs = 4096, 8
    source = onnx_text(
        f"g (float[N,{inputs}] x) => (float[N,{outputs}] y) {{ y = Gemm (x, w) }}",
        w=np.random.default_rng(0).normal(size=(inputs, outputs)).astype(np.float32),
    )
    x = np.random.default_rng(1).normal(size=(24, inputs)).astype(np.float32)
    start = calibrated(source, x)
    tracemalloc.start()
    try:
        rounded(start, x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # H alone would take 134 MB, and what is made of it seven times as much.
    assert peak < 100e6
