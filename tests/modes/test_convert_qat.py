"""A QAT model from source to files: what is shown, written, accounted for and refused."""

from __future__ import annotations

import html
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest
from numpy.typing import NDArray

from runner.convert.qdq.read import read_qdq
from runner.dataset.image_folder import ImageFolder
from runner.dataset.npz import NpzDataset
from runner.dataset.preprocess import ImagePreprocess
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, ModelError
from runner.events import DataUsed, Event, ModelUsed, StageAdvanced, StageFinished, StageStarted
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.result import ConvertResult
from runner.record_text import read_record
from runner.targets.ascend.limits import ASCEND
from tests.data import Items, normal_items
from tests.models import answers, conv_gemm, onnx_text, plain_session, run_plain, save
from tests.told import page_of, rows_of, summary_of

X = normal_items(30, 2, 6, 6)
rng = np.random.default_rng
WEIGHT = rng(0).integers(-127, 128, (4, 2, 3, 3)).astype(np.int8)
FC = rng(1).integers(-127, 128, (64, 5)).astype(np.int8)
STEPS = np.asarray([0.002, 0.004, 0.003, 0.001], np.float32)


def qat_model(tail: str = "logits = Identity (fc)", **changed: NDArray[Any]) -> onnx.ModelProto:
    """Return conv + relu + gemm over [N, 2, 6, 6], every weight and activation with its own Q/DQ."""
    arrays: dict[str, Any] = {
        "s0": np.float32(0.03),
        "z0": np.uint8(120),
        "wq": WEIGHT,
        "sw": STEPS,
        "zw": np.zeros(4, np.int8),
        "s1": np.float32(0.011),
        "z1": np.uint8(0),
        "fq": FC,
        "sf": np.float32(0.005),
        "zf": np.int8(0),
        "b": np.asarray([0.1, -0.2, 0.3, 0.0, 0.05], np.float32),
    }
    return onnx_text(
        f"""g (float[N,2,6,6] x) => (float[N,5] logits) {{
            xc = QuantizeLinear (x, s0, z0)
            xf = DequantizeLinear (xc, s0, z0)
            w = DequantizeLinear <axis = 0> (wq, sw, zw)
            conv = Conv (xf, w)
            relu = Relu (conv)
            rc = QuantizeLinear (relu, s1, z1)
            rf = DequantizeLinear (rc, s1, z1)
            flat = Flatten (rf)
            f = DequantizeLinear (fq, sf, zf)
            fc = Gemm (flat, f, b)
            {tail}
        }}""",
        **(arrays | changed),
    )


def convert(
    folder: Path, model: onnx.ModelProto, data: Items | None = None, emit: Any = lambda event: None, **options: Any
) -> ConvertResult:
    """Convert a model on thirty labelled items."""
    data = data or Items(X, [int(label) for label in answers(model, X)])
    return convert_qat(
        save(model, folder / "source.onnx"),
        data,
        folder / "out",
        ConvertQatOptions(**options),
        name="net",
        engine=Engine(2),
        emit=emit,
    )


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> ConvertResult:
    """The tiny model, converted."""
    return convert(tmp_path_factory.mktemp("qat"), qat_model())


def test_files_are_those_of_the_mode(converted: ConvertResult) -> None:
    written = sorted(path.relative_to(converted.folder.root).as_posix() for path in converted.folder.files)
    assert written == ["conversion_report.json", "net_deploy_model.onnx", "net_fake_quant_model.onnx", "record.txt"]


def test_integers_and_scales_are_the_sources(converted: ConvertResult) -> None:
    conv, fc = converted.form.layers["conv"], converted.form.layers["fc"]
    np.testing.assert_array_equal(conv.weight, WEIGHT)
    np.testing.assert_array_equal(fc.weight, FC)
    record = read_record(converted.folder.path("record.txt"))
    assert record["conv"].weight_scales == tuple(float(step) for step in STEPS)
    assert (record["conv"].activation.scale, record["conv"].activation.zero_point) == (float(np.float32(0.03)), -8)
    assert (record["fc"].activation.scale, record["fc"].activation.zero_point) == (float(np.float32(0.011)), -128)


def test_written_model_answers_as_the_source_does(converted: ConvertResult) -> None:
    before = np.array([row[0] for row in run_plain(qat_model(), X, ["logits"])])
    fake = onnx.load(converted.folder.path("net_fake_quant_model.onnx"))
    (name,) = (value.name for value in fake.graph.output)
    after = np.array([row[0] for row in run_plain(fake, X, [name])])
    assert (
        np.mean(before.argmax(-1) == after.argmax(-1))
        == converted.comparison.value(converted.comparison.named("agreement"), converted.comparison.quantized) / 100
    )
    # One code may flip at a tie: a step of the activation times a weight.
    np.testing.assert_allclose(after, before, atol=0.2)


def test_every_quantize_and_dequantize_is_accounted_for(converted: ConvertResult) -> None:
    report = json.loads(converted.folder.path("conversion_report.json").read_text(encoding="utf-8"))
    source = Counter(n.name for n in qat_model().graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear"))
    assert Counter(node["name"] for node in report["nodes"]) == source
    assert report == json.loads(json.dumps(converted.report))
    assert report["counts"]["nodes"] == report["counts"]["nodes_layer"] == 6
    assert [layer["status"] for layer in report["layers"]] == ["exact", "exact"]


def test_costs_are_counted_by_hand(converted: ConvertResult) -> None:
    costs = {name: (cost.macs, cost.outputs) for name, cost in converted.layers.costs.items()}
    assert costs == {"conv": (4 * 16 * 2 * 9, 4 * 16), "fc": (5 * 64, 5)}


def test_accuracy_leads_where_every_item_has_a_label(converted: ConvertResult) -> None:
    assert [metric.name for metric in converted.comparison.metrics] == ["top1", "agreement", "kl", "sqnr"]
    assert converted.comparison.headline.before == 100.0
    assert (converted.status, converted.comparison.items, converted.work.items_scored) == ("converted", 30, 60)


def test_agreement_leads_without_labels_and_a_model_that_is_no_classifier_has_no_prediction(tmp_path: Path) -> None:
    result = convert(tmp_path, qat_model(), Items(X))
    assert result.comparison.headline.name == "agreement"
    assert result.prediction is None


def test_shown_prediction_is_that_of_the_item(tmp_path: Path) -> None:
    result = convert(tmp_path, qat_model(), image=7)
    (logits,) = run_plain(qat_model(), X[7:8], ["logits"])[0]
    shares = np.exp(logits[0].astype(np.float64))
    assert result.prediction is not None
    assert result.prediction.image == "item 7"
    assert result.prediction.before[0] == int(logits.argmax())
    assert result.prediction.before[1] == pytest.approx(shares.max() / shares.sum(), abs=1e-5)
    assert result.prediction.after[1] == pytest.approx(result.prediction.before[1], abs=0.05)


def test_image_can_be_given_by_its_name(tmp_path: Path) -> None:
    result = convert(tmp_path, qat_model(), image="item 4")
    assert result.prediction is not None
    assert result.prediction.image == "item 4"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (30, "image: expected an item number from 0 to 29, or a name, got 30."),
        (-1, "image: expected an item number from 0 to 29, or a name, got -1."),
        ("item 99", "image: the dataset has no item 'item 99'; its first is 'item 0'."),
    ],
)
def test_image_that_is_not_in_the_data_is_refused(image: int | str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(tmp_path, qat_model(), image=image)
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_part_of_the_data_is_enough(tmp_path: Path) -> None:
    events: list[Event] = []
    result = convert(tmp_path, qat_model(), emit=events.append, evaluation_count=8)
    assert (result.comparison.items, result.work.items_scored) == (8, 16)
    (data,) = [event for event in events if isinstance(event, DataUsed)]
    assert (data.context, data.items) == ("evaluation", 8)


def test_stages_come_in_order_and_the_model_is_named(tmp_path: Path) -> None:
    events: list[Event] = []
    result = convert(tmp_path, qat_model(), emit=events.append)
    stages = ["load", "float_eval", "final_eval", "write", "verify", "look_inside"]
    assert [event.stage for event in events if isinstance(event, StageStarted)] == stages
    assert [event.stage for event in events if isinstance(event, StageFinished)] == stages
    assert [event for event in events if isinstance(event, ModelUsed)] == [ModelUsed("net", result.source.model_sha256)]
    assert result.work.seconds["calibrate"] == result.work.seconds["search"] == 0.0


def test_reading_the_model_is_told_step_by_step(tmp_path: Path) -> None:
    events: list[Event] = []
    convert(tmp_path, qat_model(), emit=events.append)
    told = [(event.done, event.total) for event in events if isinstance(event, StageAdvanced) and event.stage == "load"]
    # Two layers and two pairs.
    assert told == [(0, 4), (1, 4), (3, 4), (4, 4)]


# Scores in steps of 2: many are equal.
COARSE = {"s9": np.float32(2), "z9": np.uint8(128)}
ROUNDED = "q9 = QuantizeLinear (fc, s9, z9) logits = DequantizeLinear (q9, s9, z9)"


def test_answers_that_differ_by_a_tie_of_the_source_alone_are_counted(tmp_path: Path) -> None:
    source = qat_model(ROUNDED, **COARSE)
    result = convert(tmp_path, source)
    written = onnx.load(result.folder.path("net_fake_quant_model.onnx"))
    rows = [np.array([row[0] for row in run_plain(model, X, ["logits"])]).reshape(30, 5) for model in (source, written)]
    before, after = (row.argmax(-1) for row in rows)
    changed, items = before != after, np.arange(30)
    ties = changed & (rows[0][items, before] == rows[0][items, after])
    assert (result.coarse_outputs, result.tied_answers) == (("logits",), int(ties.sum()))


def test_outputs_of_eight_bits_and_ties_are_told_everywhere(tmp_path: Path) -> None:
    # The last layer's integers are of the source, but a wrong bias makes it give other answers.
    result = replace(convert(tmp_path, qat_model(ROUNDED, **COARSE)), tied_answers=2)
    answers_after = np.array(result.comparison.quantized.answers)
    answers_after[:3, 0] = (answers_after[:3, 0] + 1) % 5
    quantized = replace(result.comparison.quantized, answers=answers_after)
    result = replace(result, comparison=replace(result.comparison, quantized=quantized))
    summary = summary_of(result)
    changed = summary["answers_changed"]
    assert (summary["outputs_8bit"], summary["tied_answers"]) == (["logits"], 2)
    assert changed == int((result.comparison.float_.answers[:, 0] != answers_after[:, 0]).sum()) >= 3
    for text in ("\n".join(rows_of(result)), html.unescape(page_of(result))):
        assert "he source rounds logits to 8 bits, so KL and SQNR compare values of 8 bits" in text
        assert f"2 of {changed} changed answers are ties: the source gives both classes its highest score" in text


@pytest.mark.parametrize(
    ("tail", "coarse"),
    [
        ("logits = Identity (fc)", ()),
        ("logits = Softmax (fc)", ()),
        (ROUNDED, ("logits",)),
        ("q9 = QuantizeLinear (fc, s9, z9) d9 = DequantizeLinear (q9, s9, z9) logits = Softmax (d9)", ("logits",)),
        (
            "p = Softmax (fc) q9 = QuantizeLinear (p, s9, z9) d9 = DequantizeLinear (q9, s9, z9) logits = Identity (d9)",
            ("logits",),
        ),
    ],
    ids=["float logits", "float Softmax", "8-bit logits", "Softmax of 8 bits", "8-bit Softmax"],
)
def test_outputs_of_eight_bits_are_recognised(tail: str, coarse: tuple[str, ...]) -> None:
    model = qat_model(tail, s9=np.float32(1 / 256), z9=np.uint8(0))
    assert read_qdq(onnx_ir.from_proto(model), ASCEND).coarse_outputs == coarse


ASYMMETRIC = {"fq": rng(2).integers(0, 256, (64, 5)).astype(np.uint8), "zf": np.uint8(100)}


def test_weight_without_a_symmetric_form_is_requantized_and_told(tmp_path: Path) -> None:
    result = convert(tmp_path, qat_model(**ASYMMETRIC))
    assert result.fallback == ()
    status = {layer["name"]: layer["status"] for layer in result.report["layers"]}
    assert status == {"conv": "exact", "fc": "requantized"}


def test_weight_without_a_symmetric_form_stays_float_where_that_is_wanted(tmp_path: Path) -> None:
    result = convert(tmp_path, qat_model(**ASYMMETRIC), on_asymmetric_weight="refuse")
    assert result.fallback == ("fc",)
    assert set(read_record(result.folder.path("record.txt"))) == {"conv"}
    assert result.report["counts"]["layers_float"] == 1


def test_probabilities_of_a_softmax_are_read_as_they_are(tmp_path: Path) -> None:
    result = convert(tmp_path, qat_model("logits = Softmax (fc)"))
    assert result.comparison.classes is not None
    assert result.comparison.classes.kind == "probabilities"


def test_model_without_quantization_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^model\.path: .*QuantizeLinear.*mode=acc_auto"):
        convert(tmp_path, conv_gemm())
    assert not (tmp_path / "out").exists()


def test_label_outside_the_classes_is_refused_and_no_model_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"class beyond the model's 5 scores: expected 0 to 4, got 0 to 5, such as item 3 with 5"
    ):
        convert(tmp_path, qat_model(), Items(X, [0, 0, 0, 5] + [0] * 26))
    assert list((tmp_path / "out").iterdir()) == []


def test_name_is_the_files_by_default(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X)
    path = save(qat_model(), tmp_path / "my.net.onnx")
    result = convert_qat(path, NpzDataset(str(tmp_path / "data.npz")), tmp_path / "out")
    assert (result.source.model, result.folder.path("my.net_deploy_model.onnx").is_file()) == ("my.net", True)


def test_shipped_model_is_exact_and_agrees_with_its_source(root: Path, tmp_path: Path) -> None:
    digits = root / "data" / "digits" / "eval"
    preprocess = ImagePreprocess(scale=1 / 127.5, mean=1.0)
    data = ImageFolder(str(digits), str(digits / "image_label.txt"), preprocess)
    model = root / "model" / "mobilenet_v2_digits_qat.onnx"
    result = convert_qat(model, data, tmp_path, ConvertQatOptions(evaluation_count=100, image="digit_0002_2.png"))
    assert result.report["counts"]["layers_exact"] == len(result.found.layers) == 26
    agreement = result.comparison.named("agreement")
    assert agreement is not None
    assert result.comparison.value(agreement, result.comparison.quantized) >= 99
    assert result.prediction is not None
    item = data.item(1)
    assert (result.prediction.image, item.label) == ("digit_0002_2.png", 2)
    session = plain_session(onnx.load(model))
    (scores,) = session.run(None, {session.get_inputs()[0].name: item.arrays[""][np.newaxis]})
    assert result.prediction.before[0] == int(scores.argmax()) == 2
