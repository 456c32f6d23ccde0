"""Whole jobs on values and shapes that are out of the ordinary; figures against the written files run in plain onnxruntime."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.calibration.percentile import Percentile
from runner.correction.options import EVERY_CORRECTION, Correction
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, ModelError
from runner.evaluation.accuracy import Agreement
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.layer_settings import LayerRule, LayerSettings
from runner.modes.result import AccAutoResult
from runner.report.flips import flips
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.sensitivity import Cosine, MeanSquaredError, SignalToNoise
from runner.store.store import Store
from tests.data import Items, normal_items
from tests.models import onnx_text, save
from tests.told import page_of, summary_of

F = np.float32
FAST = Correction("isolated", repair=True, pixels=True, equalize=True)
BEST = Correction(
    "sequential", scale=True, rounding="compensated", range="output", pixels=True, equalize=True, balance="auto"
)
PRESETS = {"amct": Correction(), "fast": FAST, "best": BEST}
PRESETS_AND_SENSITIVITIES = [
    *((preset, Cosine()) for preset in PRESETS),
    *(("fast", sensitivity) for sensitivity in (MeanSquaredError(), SignalToNoise(), EndToEnd(4))),
]
PRESETS_AND_METRICS = [
    *((preset, Sqnr()) for preset in PRESETS),
    *(("fast", metric) for metric in (Mse(), Kl(), Agreement())),
]


def job(folder: Path, model: onnx.ModelProto, x: Sequence[NDArray[Any]], **options: Any) -> AccAutoResult:
    """Quantize a model; a target of 60 dB below the ceiling is met by anything that has a signal."""
    path = save(model, folder / "source.onnx")
    chosen = {"target_loss": 60.0, "metric": Sqnr(), "calibration_count": len(x)} | options
    store = chosen.pop("store", None)
    return acc_auto(path, Items(x), folder / "out", AccAutoOptions(**chosen), name="net", engine=Engine(2), store=store)


def told(result: AccAutoResult) -> dict[str, Any]:
    """Return the summary, which has to be plain numbers, as the page has to be made."""
    summary = summary_of(result)
    assert page_of(result, flips=flips(result.comparison))
    return dict(json.loads(json.dumps(summary, allow_nan=False)))


def run(path: Path, x: Sequence[NDArray[Any]]) -> list[list[Any]]:
    """Return every output for each item, in onnxruntime without any rewriting."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: np.asarray(item)[np.newaxis]}) for item in x]


def sqnr_by_hand(folder: Path, x: Sequence[NDArray[Any]], output: int = 0) -> float:
    """Return what ``sqnr`` says of the written pair, by its documented rule, in dB up to 60."""
    signal = noise = 0.0
    pairs = zip(run(folder / "source.onnx", x), run(folder / "out/results/net_fake_quant_model.onnx", x), strict=True)
    for before, after in pairs:
        if np.asarray(before[output]).dtype in (np.bool_, np.int32, np.int64):
            labels, others = (np.asarray(arrays[output]) for arrays in (before, after))
            signal += labels.size
            alike = labels.shape == others.shape
            noise += np.sum(labels != others) if alike else max(labels.size, others.size, 1)
            continue
        f, q = (np.asarray(arrays[output]).astype(np.float64) for arrays in (before, after))
        finite = np.isfinite(f)
        signal += float(np.sum(f[finite] ** 2))
        if (
            f.shape == q.shape
            and np.array_equal(f[~finite], q[~finite], equal_nan=True)
            and np.isfinite(q[finite]).all()
        ):
            noise += float(np.sum((f[finite] - q[finite]) ** 2))
        else:
            larger = max(float(np.sum(a[np.isfinite(a)] ** 2)) for a in (f, q))
            noise += larger or max(f.size, q.size, 1)
    return min(60.0, 10 * math.log10(signal / noise)) if noise else 60.0


# Rows whose first value is above 0 go on: for some items there are none.
PICK = """
    firsts = Gather <axis = 2> (source, zero)
    positive = Greater (firsts, nought)
    places = NonZero (positive)
    rows = Gather <axis = 0> (places, one)
    at = Squeeze (rows, first)
    picked = Gather <axis = 1> (source, at)
    flat = Reshape (picked, shape)
"""
PICK_CONSTANTS: dict[str, Any] = {
    "zero": np.int64(0),
    "nought": F(0),
    "one": np.array([1]),
    "first": np.array([0]),
    "shape": np.array([-1, 3]),
}


def weights(*shape: int, seed: int = 0, size: float = 1.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=shape) * size).astype(F)


def detector(*, before: bool = True) -> onnx.ModelProto:
    """Return layers on rows that are picked: by what a layer gives, so quantization picks others, or by the input itself."""
    source = "source = MatMul (x, w0)" if before else "source = Identity (x)"
    made: dict[str, Any] = {"w0": weights(3, 3)} if before else {}
    return onnx_text(
        f"""g (float[1,L,3] x) => (float[rows,2] y) {{
            {source} {PICK}
            h = MatMul (flat, w1)
            s = Add (h, b1)
            r = Relu (s)
            k = Gemm (r, w2, b2)
            y = MatMul (k, w3)
        }}""",
        w1=weights(3, 4, seed=1),
        b1=weights(4, seed=2),
        w2=weights(4, 4, seed=3),
        b2=weights(4, seed=4),
        w3=weights(4, 2, seed=5),
        **made,
        **PICK_CONSTANTS,
    )


def images_picked() -> onnx.ModelProto:
    """Return convolutions over a batch of rows, of which quantization picks others."""
    return onnx_text(
        f"""g (float[1,64,3] x) => (float[rows,3,3] y) {{
            c = Conv <pads = [1,1]> (x, w0)
            source = Relu (c) {PICK}
            images = Reshape (flat, imaged)
            d = Conv <pads = [1,1]> (images, w1, b1)
            r = Relu (d)
            e = Conv <pads = [1,1]> (r, w2, b2)
            y = Relu (e)
        }}""",
        w0=weights(64, 64, 3),
        w1=weights(4, 1, 3, seed=1),
        b1=weights(4, seed=2),
        w2=weights(3, 4, 3, seed=3),
        b2=weights(3, seed=4),
        imaged=np.array([-1, 1, 3]),
        **PICK_CONSTANTS,
    )


def rows_picked(*counts: int, seed: int = 1) -> NDArray[np.float32]:
    """Return items of eight rows, of which so many begin with a value above 0."""
    x = normal_items(len(counts), 8, 3, seed=seed)
    for item, count in zip(x, counts, strict=True):
        item[:, 0] = np.where(np.arange(8) < count, 1, -1) * np.abs(item[:, 0])
    return x


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", [detector, images_picked], ids=["rows", "images"])
def test_outputs_of_another_size_than_the_float_ones_count_as_wrong(
    tmp_path: Path, preset: str, model: Callable[[], onnx.ModelProto]
) -> None:
    x = normal_items(24, 64, 3)
    result = job(tmp_path, model(), x, correction=PRESETS[preset])
    assert result.status == "met" and result.fallback == ()
    summary = told(result)
    source, written = (run(tmp_path / name, x) for name in ("source.onnx", "out/results/net_fake_quant_model.onnx"))
    sizes = [(len(f[0]), len(q[0])) for f, q in zip(source, written, strict=True)]
    assert any(f != q for f, q in sizes)
    assert summary["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path, x), abs=1e-3)
    assert round(summary["agreement"] * len(x)) <= sum(f == q for f, q in sizes)
    assert summary["verify"]["identical_outputs_share"] == 1.0
    assert all(math.isfinite(value) for _, value in result.ranking.entries)


@pytest.mark.parametrize("metric", [Sqnr(), Mse(), Agreement()], ids=["sqnr", "mse", "agreement"])
def test_search_over_outputs_of_any_size_finds_the_plan_that_keeps_the_float_rows(tmp_path: Path, metric: Any) -> None:
    x = normal_items(150, 64, 3)
    result = job(
        tmp_path,
        detector(),
        x,
        metric=metric,
        target_loss={"sqnr": 35.0, "mse": 0.01, "agreement": 5.0}[metric.name],
        sensitivity=EndToEnd(8),
        strategy=Linear(),
        correction=FAST,
        calibration_count=20,
        confidence=0.99,
    )
    assert result.status == "met" and "source" in result.fallback
    assert not result.search.trials[0].accepted and all(math.isfinite(trial.loss) for trial in result.search.trials)
    assert told(result)["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path, x), abs=1e-3)


@pytest.mark.parametrize(
    ("preset", "sensitivity"), PRESETS_AND_SENSITIVITIES, ids=lambda p: p if isinstance(p, str) else type(p).__name__
)
def test_layer_without_values_for_some_items_is_quantized_as_by_the_others(
    tmp_path: Path, preset: str, sensitivity: Any
) -> None:
    counts = (0, 2, 0, 4, 1, 0, 0, 3, 1, 2, 0, 0)
    x, model = rows_picked(*counts), detector(before=False)
    (tmp_path / "all").mkdir(), (tmp_path / "some").mkdir()
    every = job(tmp_path / "all", model, x, correction=PRESETS[preset], sensitivity=sensitivity)
    some = job(tmp_path / "some", model, x[[i for i, n in enumerate(counts) if n]], correction=PRESETS[preset])
    assert every.status == "met" and every.fallback == ()
    assert told(every)["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path / "all", x), abs=1e-3)
    # What an item without values adds is nothing: the record is that of the others. Which items corrections look at, and which
    # are held back to judge these, depends on all of them.
    if preset != "best":
        assert every.form.record == some.form.record


OBSERVERS = [
    MinMax(),
    *(kind(exact=exact) for kind in (Ifmr, Percentile, Hfmg) for exact in (False, True)),
]


@pytest.mark.parametrize("observer", OBSERVERS, ids=str)
def test_every_observer_passes_over_items_without_values(tmp_path: Path, observer: Any) -> None:
    result = job(tmp_path, detector(before=False), rows_picked(0, 2, 0, 4, 1, 0), observer=observer)
    assert result.status == "met" and result.fallback == ()


def test_layer_that_no_item_gives_a_value_stays_float_and_the_others_do_not(tmp_path: Path) -> None:
    model = onnx_text(
        f"""g (float[1,8,3] x) => (float[rows,2] y, float[1,8,2] z) {{
            source = Identity (x) {PICK}
            y = MatMul (flat, w1)
            z = MatMul (x, w2)
        }}""",
        w1=weights(3, 2),
        w2=weights(3, 2, seed=1),
        **PICK_CONSTANTS,
    )
    result = job(tmp_path, model, rows_picked(0, 0, 0), correction=BEST)
    assert result.status == "met" and result.fallback == ("y",)
    assert (
        "layer 'y' stays float: no calibration item gives its input any value, so nothing is known of its range"
        in result.warnings
    )


RAGGED = onnx_text(
    """g (float[N,2,H,W] x) => (float[N,4,P,Q] y) {
        a = Conv <pads = [1,1,1,1]> (x, w1)
        r = Relu (a)
        p = AveragePool <kernel_shape = [2,2], strides = [2,2]> (r)
        b = Conv <pads = [1,1,1,1]> (p, w2, b2)
        s = Relu (b)
        y = ConvTranspose <strides = [2,2]> (s, w3)
    }""",
    w1=weights(4, 2, 3, 3),
    w2=weights(4, 4, 3, 3, seed=1),
    b2=weights(4, seed=2),
    w3=weights(4, 4, 2, 2, seed=3),
)
RAGGED_ITEMS = [weights(2, 6 + 2 * (i % 4), 8 + 2 * (i % 5), seed=i) for i in range(12)]


@pytest.mark.parametrize(
    ("preset", "sensitivity"), PRESETS_AND_SENSITIVITIES, ids=lambda p: p if isinstance(p, str) else type(p).__name__
)
def test_items_of_several_sizes_go_through_a_job(tmp_path: Path, preset: str, sensitivity: Any) -> None:
    result = job(tmp_path, RAGGED, RAGGED_ITEMS, correction=PRESETS[preset], sensitivity=sensitivity)
    assert result.status == "met" and result.fallback == ()
    summary = told(result)
    assert (
        summary["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path, RAGGED_ITEMS), abs=1e-3) and summary["sqnr_db"] > 30
    )
    assert summary["verify"]["identical_outputs_share"] == 1.0


def test_remembered_outputs_of_several_sizes_give_the_same_figures(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache", 10**9)
    for model, x in ((RAGGED, RAGGED_ITEMS), (detector(before=False), rows_picked(0, 2, 0, 4, 1, 0))):
        first, again = (job(tmp_path, model, x, store=store) for _ in range(2))
        assert first.work.items_scored > 0 and again.work.items_scored == 0
        for name, scores in first.comparison.quantized.scores.items():
            assert np.array_equal(again.comparison.quantized.scores[name], scores)


def mask(*, seed: int = 0) -> onnx.ModelProto:
    """Return logits of which the last is ruled out by an infinite constant behind a MatMul."""
    return onnx_text(
        """g (float[N,5] x) => (float[N,4] y) {
            h = MatMul (x, w1)
            s = Add (h, b1)
            r = Relu (s)
            k = MatMul (r, w2)
            y = Add (k, m)
        }""",
        w1=weights(5, 6, seed=seed),
        b1=weights(6, seed=1),
        w2=weights(6, 4, seed=2),
        m=np.array([0.5, 0, 0, -np.inf], F),
    )


@pytest.mark.parametrize(("preset", "metric"), PRESETS_AND_METRICS, ids=lambda p: p if isinstance(p, str) else p.name)
def test_mask_of_infinities_behind_a_layer_is_equal_in_both_models(tmp_path: Path, preset: str, metric: Any) -> None:
    x = normal_items(24, 5)
    kind = "logits" if metric.name in ("kl", "agreement") else "auto"
    result = job(tmp_path, mask(), x, metric=metric, correction=PRESETS[preset], output_kind=kind)
    assert result.status == "met" and result.fallback == () and result.rewriting_gap < 1e-6
    summary = told(result)
    assert summary["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path, x), abs=1e-3) and summary["sqnr_db"] > 30
    assert all(np.isneginf(y[0, 3]) for (y,) in run(tmp_path / "out/results/net_fake_quant_model.onnx", x))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("skipped", [False, True], ids=["found out", "skipped"])
def test_layer_whose_bias_rules_classes_out_stays_float(tmp_path: Path, preset: str, skipped: bool) -> None:
    model = onnx_text(
        "g (float[N,5] x) => (float[N,4] y) { h = Gemm (x, w1, b1)\n r = Relu (h)\n y = Gemm (r, w2, b2) }",
        w1=weights(5, 6),
        b1=weights(6, seed=1),
        w2=weights(6, 4, seed=2),
        b2=np.array([0, -np.inf, 1, -np.inf], F),
    )
    x = normal_items(12, 5)
    settings = LayerSettings(skip_layers=["y"] if skipped else [])
    result = job(tmp_path, model, x, correction=PRESETS[preset], settings=settings)
    assert result.status == "met" and result.fallback == ("y",)
    reason = "layer 'y' stays float: its bias has 2 infinite value(s), which no int32 bias can say"
    assert (reason in result.warnings) is not skipped
    assert told(result)["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path, x), abs=1e-3)


def broken(value: float) -> onnx.ModelProto:
    """Return three convolutions, the middle one with a weight that is not finite, between functions that bound it."""
    weight = weights(4, 4, 1, 1, seed=1)
    weight[0, 0] = value
    return onnx_text(
        """g (float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv (x, w1)
            r = Sigmoid (a)
            c = Conv (r, w2)
            s = Sigmoid (c)
            y = Conv (s, w3)
        }""",
        w1=weights(4, 3, 1, 1),
        w2=weight,
        w3=weights(2, 4, 1, 1, seed=2),
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "settings",
    [LayerSettings(skip_layers=["c"]), LayerSettings(layers=[LayerRule("c", quantize=False)])],
    ids=["skip_layers", "layers"],
)
def test_layer_that_is_skipped_may_hold_infinite_weights(tmp_path: Path, preset: str, settings: LayerSettings) -> None:
    x = normal_items(8, 3, 4, 4)
    result = job(tmp_path, broken(np.inf), x, correction=PRESETS[preset], settings=settings)
    assert result.status == "met" and result.fallback == ("c",)
    assert told(result)["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path, x), abs=1e-3)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinite_weights_of_a_layer_that_is_not_skipped_are_refused_with_the_way_out(
    tmp_path: Path, value: float
) -> None:
    with pytest.raises(ModelError) as error:
        job(tmp_path, broken(value), normal_items(2, 3, 4, 4))
    assert str(error.value) == (
        "model.path: layer 'c' has 1 value(s) that are NaN or infinite in 'w2'; expected finite weights. Export the model "
        "again, or leave the layer float with skip_layers=[c]."
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_layers_that_read_an_infinite_activation_are_named_for_skipping(tmp_path: Path, preset: str) -> None:
    model = onnx_text(
        """g (float[N,3,4,4] x) => (float[N,2,4,4] y) {
            above = Greater (x, zero)
            masked = Where (above, x, lowest)
            a = Conv (masked, w1)
            r = Relu (a)
            big = Conv (r, w2)
            y = Conv (big, w3)
        }""",
        zero=np.float32(0),
        lowest=np.float32(-np.inf),
        w1=np.abs(weights(4, 3, 1, 1)),
        w2=weights(4, 4, 1, 1, seed=1),
        w3=weights(2, 4, 1, 1, seed=2),
    )
    x = normal_items(8, 3, 4, 4)
    with pytest.raises(ModelError, match=r"the activation 'masked' holds .* what reads it: skip_layers=\[a\]\.$"):
        job(tmp_path, model, x, correction=PRESETS[preset])
    assert job(tmp_path, model, x, correction=PRESETS[preset], settings=LayerSettings(skip_layers=["a"])).fallback == (
        "a",
    )


def test_layer_between_channels_that_hold_infinity_is_named_for_skipping(tmp_path: Path) -> None:
    model = onnx_text(
        "g (float[N,3,4,4] x) => (float[N,2,4,4] y) { a = Conv (x, w1)\n y = Conv (a, w2) }",
        w1=np.full((4, 3, 1, 1), 3e38, F),
        w2=weights(2, 4, 1, 1),
    )
    with pytest.raises(ModelError, match=r"the activation 'a' holds .* what reads it: skip_layers=\[y\]\.$"):
        job(tmp_path, model, 9 * np.abs(normal_items(8, 3, 4, 4)), correction=FAST)


@pytest.mark.parametrize("preset", PRESETS)
def test_layer_without_outputs_stays_float(tmp_path: Path, preset: str) -> None:
    model = onnx_text(
        "g (float[N,3,4,4] x) => (float[N,2,4,4] y, float[N,0,4,4] z) { y = Conv (x, w1)\n z = Conv (y, w2) }",
        w1=weights(2, 3, 1, 1),
        w2=weights(0, 2, 1, 1),
    )
    result = job(tmp_path, model, normal_items(8, 3, 4, 4), correction=PRESETS[preset])
    assert ([layer.name for layer in result.found.layers], result.fallback) == (["y"], ())
    assert [left.reason for left in result.found.left_alone] == ["it has no outputs: its weight has shape [0, 2, 1, 1]"]


def scaled(size: float) -> onnx.ModelProto:
    """Return convolutions whose outputs are of a size."""
    return onnx_text(
        """g (float[N,3,6,6] x) => (float[N,4,6,6] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r = Relu (a)
            y = Conv <pads = [1,1,1,1]> (r, w2, b2)
        }""",
        w1=weights(4, 3, 3, 3),
        b1=weights(4, seed=1),
        w2=weights(4, 4, 3, 3, seed=2, size=size),
        b2=weights(4, seed=3, size=size),
    )


@pytest.mark.parametrize(
    ("preset", "size"), [("amct", 1e30), ("fast", 1e20), ("fast", 1e30), ("fast", 1e36), ("best", 1e30), ("best", 1e36)]
)
def test_outputs_whose_squares_leave_float32_lose_no_more_than_small_ones(
    tmp_path: Path, preset: str, size: float
) -> None:
    x, found = normal_items(8, 3, 6, 6), []
    for times in (1.0, 2.0 ** round(math.log2(size))):
        (tmp_path / f"{times}").mkdir()
        result = job(tmp_path / f"{times}", scaled(times), x, correction=PRESETS[preset])
        assert result.status == "met" and result.fallback == ()
        assert all(0 < value < 1 for _, value in result.ranking.entries)
        found.append((told(result)["sqnr_db"], dict(result.ranking.entries)["y"]))
    # By a power of two: the same but for what float32 rounds.
    assert found[1] == pytest.approx(found[0], rel=0.02)


@pytest.mark.parametrize("size", [1e-25, 1e-30])
@pytest.mark.parametrize("sensitivity", [Cosine(), SignalToNoise(), EndToEnd(4)], ids=lambda s: type(s).__name__)
def test_layer_too_small_for_any_scale_is_ranked_first_and_left_float(
    tmp_path: Path, size: float, sensitivity: Any
) -> None:
    # AMCT gives weights below FLT_EPSILON scale 1, which makes all of them 0.
    x = normal_items(8, 3, 6, 6)
    result = job(tmp_path, scaled(size), x, target_loss=50.0, sensitivity=sensitivity)
    assert result.status == "met" and result.ranking.layers[0] == "y" and result.fallback == ("y",)
    assert told(result)["sqnr_db"] > 30


@pytest.mark.parametrize("correction", [FAST, EVERY_CORRECTION], ids=["fast", "every"])
def test_outlier_that_the_observer_leaves_out_is_no_range_to_try(tmp_path: Path, correction: Correction) -> None:
    x = normal_items(8, 3, 6, 6)
    x[4, 0, 0, 0] = 1e30
    observer = Percentile(0.99, 0.99, exact=True)
    result = job(tmp_path, scaled(1.0), x, observer=observer, correction=correction, target_loss=1e-9)
    assert result.status == "not_met" and all(math.isfinite(loss) for loss in [t.loss for t in result.search.trials])


@pytest.mark.parametrize(("value", "preset"), [(0.0, "amct"), (0.5, "fast"), (-3.0, "best"), (0.0, "best")])
def test_data_of_one_value_is_quantized(tmp_path: Path, value: float, preset: str) -> None:
    x = np.full((6, 3, 6, 6), value, F)
    result = job(tmp_path, scaled(1.0), x, correction=PRESETS[preset])
    assert result.status == "met" and result.fallback == () and told(result)["sqnr_db"] > 30


def with_outputs(*outputs: tuple[helper.onnx.NodeProto | None, onnx.ValueInfoProto]) -> onnx.ModelProto:
    """Return two convolutions, and what nodes make of their result ``b`` as outputs."""
    model = onnx_text(
        "g (float[N,3,4,4] x) => (float[N,4,4,4] b) { a = Conv (x, w1)\n r = Relu (a)\n b = Conv (r, w2) }",
        w1=weights(4, 3, 1, 1),
        w2=weights(4, 4, 1, 1, seed=1),
    )
    del model.graph.output[:]
    for node, value in outputs:
        model.graph.output.append(value)
        if node is not None:
            model.graph.node.append(node)
    return model


NUMBERS = (None, helper.make_tensor_value_info("b", TensorProto.FLOAT, ["N", 4, 4, 4]))
SEQUENCE = (
    helper.make_node("SplitToSequence", ["b"], ["s"], "split", axis=1),
    helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None),
)
STRINGS = (
    helper.make_node("Cast", ["b"], ["s"], "cast", to=TensorProto.STRING),
    helper.make_tensor_value_info("s", TensorProto.STRING, None),
)
BRAIN = (
    helper.make_node("Cast", ["b"], ["s"], "cast", to=TensorProto.BFLOAT16),
    helper.make_tensor_value_info("s", TensorProto.BFLOAT16, None),
)
OTHERS = {"seq(tensor(float))": SEQUENCE, "tensor(string)": STRINGS, "tensor(bfloat16)": BRAIN}
X = normal_items(8, 3, 4, 4)


class Says:
    """An evaluator of a user's that looks at the outputs in its own way."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def evaluate(self, model_file: str) -> float:
        options = ort.SessionOptions()
        session = ort.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
        self.seen.append(len(session.get_outputs()))
        return 1.0

    def metric_eval(self, original_metric: float, new_metric: float) -> tuple[bool, float]:
        return True, original_metric - new_metric


@pytest.mark.parametrize("kind", OTHERS)
def test_output_that_is_no_tensor_of_numbers_is_left_out_of_figures_with_a_warning(tmp_path: Path, kind: str) -> None:
    result = job(tmp_path, with_outputs(NUMBERS, OTHERS[kind]), X, correction=FAST)
    assert result.status == "met" and result.fallback == ()
    assert (
        f"the output 's' is a {kind}: figures are those of the outputs that are tensors of numbers." in result.warnings
    )
    assert told(result)["verify"]["identical_outputs_share"] == 1.0
    only = job(tmp_path, with_outputs(NUMBERS), X, correction=FAST)
    assert result.comparison.headline == only.comparison.headline


@pytest.mark.parametrize("kind", OTHERS)
def test_model_without_any_tensor_of_numbers_is_refused_and_names_its_outputs(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelError) as error:
        job(tmp_path, with_outputs(OTHERS[kind]), X)
    assert str(error.value) == (
        f"model.path: the output 's' is a {kind}; expected at least one output that is a tensor of numbers, for figures are "
        "measured on those. Make the tensor before it an output too, or cut the model off there (onnx.utils.extract_model)."
    )


@pytest.mark.parametrize("kind", OTHERS)
def test_metric_told_to_look_at_such_an_output_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError) as error:
        job(tmp_path, with_outputs(NUMBERS, OTHERS[kind]), X, metric=Sqnr(output="s"))
    assert str(error.value) == f"metric.output: 's' is a {kind}; expected a tensor of numbers: b."


@pytest.mark.parametrize("kind", OTHERS)
def test_evaluator_of_the_users_may_look_at_outputs_that_no_metric_can(tmp_path: Path, kind: str) -> None:
    evaluator = Says()
    result = job(tmp_path, with_outputs(OTHERS[kind]), X, metric=AmctEvaluator(evaluator))
    summary = told(result)
    assert result.status == "met" and evaluator.seen == [1, 1]
    assert not {"sqnr_db", "agreement", "kl", "ort_level_gap", "cpu_int8_gap", "device_metric"} & summary.keys()
    assert list(summary["metrics"]) == ["amct_evaluator"] and summary["verify"]["identical_outputs_share"] == 1.0
    # What reaches such outputs cannot be measured: layers are ranked each on its own then, and halved.
    metric = AmctEvaluator(Says())
    other = job(tmp_path, with_outputs(OTHERS[kind]), X, metric=metric, sensitivity=EndToEnd(4), strategy=Greedy())
    assert (other.status, other.ranking, other.loss_contributions) == ("met", result.ranking, None)


@pytest.mark.parametrize("fault", [np.nan, np.inf], ids=str)
def test_figures_beside_an_evaluator_of_the_users_stop_at_no_item(tmp_path: Path, fault: float) -> None:
    x = normal_items(6, 3, 4, 4)
    x[4, 0, 0, 0] = fault
    with pytest.raises(DatasetError, match=r"dataset: item item 4 holds 1 value\(s\) that are NaN or infinite"):
        job(tmp_path, with_outputs(NUMBERS), x, calibration_count=2)
    result = job(tmp_path, with_outputs(NUMBERS), x, calibration_count=2, metric=AmctEvaluator(Says()))
    assert result.status == "met" and math.isfinite(told(result)["sqnr_db"])
    # Sizes that differ stop it neither.
    other = job(tmp_path, detector(), normal_items(12, 64, 3), metric=AmctEvaluator(Says()))
    assert other.status == "met" and math.isfinite(told(other)["sqnr_db"])


@pytest.mark.parametrize(
    "type_", ["FLOAT16", "DOUBLE", "UINT8", "INT8", "UINT16", "INT32", "INT64", "BOOL"], ids=str.lower
)
def test_outputs_of_every_type_of_number_have_figures(tmp_path: Path, type_: str) -> None:
    number = getattr(TensorProto, type_)
    cast = helper.make_node("Cast", ["scaled"], ["y"], "cast", to=number)
    model = with_outputs((None, helper.make_tensor_value_info("y", number, ["N", 4, 4, 4])))
    model.graph.node.extend([helper.make_node("Abs", ["b"], ["scaled"], "abs"), cast])
    result = job(tmp_path, model, X, metric=Mse(), target_loss=1e9)
    summary = told(result)
    assert result.status == "met" and summary["sqnr_db"] == pytest.approx(sqnr_by_hand(tmp_path, X), abs=1e-3)
    pairs = zip(
        run(tmp_path / "source.onnx", X), run(tmp_path / "out/results/net_fake_quant_model.onnx", X), strict=True
    )
    if type_ in ("INT32", "INT64", "BOOL"):
        assert summary["agreement"] == np.mean([np.mean(f[0] != q[0]) <= 0.01 for f, q in pairs])


def test_sequence_between_layers_is_no_hindrance(tmp_path: Path) -> None:
    model = with_outputs(SEQUENCE)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    for name, array in (("i", 1), ("j", 2), ("w3", weights(2, 1, 1, 1)), ("w4", weights(2, 1, 1, 1, seed=5))):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    model.graph.node.extend(
        [
            helper.make_node("SequenceAt", ["s", "i"], ["s0"], "one"),
            helper.make_node("Conv", ["s0", "w3"], ["z0"], "third"),
            helper.make_node("Relu", ["z0"], ["z1"], "relu"),
            helper.make_node("SequenceAt", ["s", "j"], ["s1"], "other"),
            helper.make_node("Conv", ["s1", "w4"], ["z2"], "fourth"),
            helper.make_node("Add", ["z1", "z2"], ["z"], "add"),
        ]
    )
    result = job(tmp_path, model, X, correction=BEST)
    assert result.status == "met" and result.fallback == () and told(result)["sqnr_db"] > 25


def qat(outputs: str, nodes: str = "", **constants: Any) -> onnx.ModelProto:
    """Return a convolution between QuantizeLinear and DequantizeLinear, and what follows it."""
    codes = np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    return onnx_text(
        f"""g (float[N,3,H,W] x) => ({outputs}) {{
            q = QuantizeLinear (x, sx, z)
            d = DequantizeLinear (q, sx, z)
            w = DequantizeLinear (codes, sw, z)
            c = Conv <pads = [1,1,1,1]> (d, w)
            {nodes}
        }}""",
        sx=F(0.03),
        z=np.int8(0),
        sw=F(0.01),
        codes=codes,
        **constants,
    )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(qat("float[N,4,H,W] c"), id="several sizes"),
        pytest.param(
            qat("int64[4,K] y", "g = Greater (c, half)\n y = NonZero (g)", half=F(0.5)), id="places that are found"
        ),
        pytest.param(qat("float[N,4,H,W] y", "y = Add (c, m)", m=np.array(-np.inf, F)), id="all masked"),
        pytest.param(qat("float[N,4,H,W] y", "y = Mul (c, big)", big=F(1e30)), id="huge"),
        pytest.param(qat("float[N,4,H,W] y", "y = Log (c)"), id="NaN"),
    ],
)
def test_converted_model_is_compared_whatever_its_outputs_hold(tmp_path: Path, model: onnx.ModelProto) -> None:
    x = [weights(3, 6 + i % 3, 8 - i % 2, seed=i) for i in range(6)]
    path = save(model, tmp_path / "net.onnx")
    result = convert_qat(path, Items(x), tmp_path / "out", ConvertQatOptions(), engine=Engine(2))
    summary = summary_of(result)
    json.dumps(summary, allow_nan=False)
    assert summary["sqnr_db"] > 50 and summary["verify"]["identical_outputs_share"] == 1.0
    assert bool(result.warnings) == any("Log" in node.op_type for node in model.graph.node)


def test_converted_model_without_a_tensor_of_numbers_is_refused(tmp_path: Path) -> None:
    model = qat("float[N,4,H,W] c")
    del model.graph.output[:]
    model.graph.node.append(helper.make_node("SplitToSequence", ["c"], ["s"], "split", axis=1))
    model.graph.output.append(SEQUENCE[1])
    with pytest.raises(ModelError, match=r"the output 's' is a seq\(tensor\(float\)\); expected at least one output"):
        convert_qat(save(model, tmp_path / "net.onnx"), Items(X), tmp_path / "out", engine=Engine(1))
