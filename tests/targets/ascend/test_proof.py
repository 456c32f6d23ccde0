"""What a job proves of its files, in both modes; and what it says where they do not agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from runner.calibration.minmax import MinMax
from runner.correction.options import Correction
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ConfigError, InternalError, VerificationError
from runner.evaluation.distance import Sqnr
from runner.events import VERIFY, Event, StageAdvanced, StageStarted
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.result import AccAutoResult
from runner.targets.ascend import proof
from runner.targets.ascend.proof import Files, prove
from runner.targets.target import VerifyOptions
from tests.data import Items, normal_items
from tests.models import answers, conv_gemm, save
from tests.modes.test_convert_qat import qat_model

X = normal_items(12, 2, 6, 6)
MODEL = conv_gemm()
F = np.float32


def job(folder: Path, *, emit=lambda event: None, **verify) -> AccAutoResult:
    options = AccAutoOptions(90, observer=MinMax(), calibration_count=6, verify=VerifyOptions(**verify))
    data = Items(X, answers(MODEL, X))
    return acc_auto(save(MODEL, folder / "net.onnx"), data, folder / "out", options, engine=Engine(2), emit=emit)


def initializers(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> AccAutoResult:
    return job(tmp_path_factory.mktemp("proof"))


def test_every_item_is_the_same_and_the_figures_are_those_of_the_deploy_file(done: AccAutoResult) -> None:
    assert done.checked is not None and done.checked is not None
    same = done.checked.proof.sameness
    assert (same.items, same.identical, same.agreeing, same.max_abs_diff, same.first) == (12, 12, 12, 0.0, None)
    assert done.checked.proof.record_matches
    path = done.folder.path(done.checked.written.pair.deploy)
    arrays, model = initializers(path), onnx.load(path)
    bounds, biases = [], []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        weight, bias = (arrays[name].astype(np.int64) for name in node.input[1:])
        quant = next(n for n in model.graph.node if n.output[0] == node.input[0])
        offset = next(a.f for a in quant.attribute if a.name == "offset")
        rows = (
            np.abs(weight).sum(axis=0)
            if node.op_type == "Gemm"
            else np.abs(weight).reshape(len(weight), -1).sum(axis=1)
        )
        bounds.append((rows * max(127 - offset, 128 + offset) + np.abs(bias)).max())
        biases.append(np.abs(bias).max())
    assert (done.checked.proof.accumulator_max, done.checked.proof.bias_max) == (max(bounds), max(biases))
    assert (done.checked.proof.layers_split, done.checked.proof.cross_checked) == (0, 4)


def test_count_takes_the_first_items_and_the_stage_has_a_total(tmp_path: Path) -> None:
    events: list[Event] = []
    result = job(tmp_path, emit=events.append, count=5)
    assert result.checked is not None and result.checked.proof.sameness.items == 5
    (started,) = [e for e in events if isinstance(e, StageStarted) and e.stage == VERIFY]
    advanced = [e.done for e in events if isinstance(e, StageAdvanced) and e.stage == VERIFY]
    assert started.total == 5 + 12
    assert advanced == list(range(1, 18))


@pytest.mark.parametrize("mode", ["acc_auto", "convert_qat"])
def test_of_many_items_the_deploy_file_gives_what_was_measured(tmp_path: Path, mode: str) -> None:
    many = normal_items(40, 2, 6, 6)
    verify = VerifyOptions(count="all", device="none")
    if mode == "acc_auto":
        options = AccAutoOptions(90, observer=MinMax(), calibration_count=6, verify=verify)
        data = Items(many, answers(MODEL, many))
        result = acc_auto(save(MODEL, tmp_path / "net.onnx"), data, tmp_path / "out", options)
    else:
        path = save(qat_model(), tmp_path / "qat.onnx")
        result = convert_qat(path, Items(many), tmp_path / "out", ConvertQatOptions(verify=verify))
    assert result.checked is not None
    same = result.checked.proof.sameness
    assert (same.items, same.both, same.identical) == (40, 32, 40)


def test_count_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"verify\.count: expected 1 or more, or all, got 0\."):
        VerifyOptions(count=0)


@pytest.mark.parametrize(
    ("count", "items", "expected"),
    [
        (3, 12, [0, 4, 8]),
        (13, 12, list(range(12))),
        ("all", 5, list(range(5))),
        (None, 300, list(range(300))),
        (VerifyOptions().count, 200, list(range(0, 200, 2))),
    ],
    ids=["some", "more than there are", "all", "null", "default"],
)
def test_items_are_evenly_spaced_or_all(count: object, items: int, expected: list[int]) -> None:
    options = VerifyOptions(count=count)  # type: ignore[arg-type]
    assert options.positions(items) == expected
    assert options.items([7 * i for i in range(items)]) == [7 * at for at in expected]


def test_missed_target_has_nothing_to_prove(tmp_path: Path) -> None:
    options = AccAutoOptions(0, metric=Sqnr(), observer=MinMax(), calibration_count=6)
    result = acc_auto(save(MODEL, tmp_path / "net.onnx"), Items(X), tmp_path / "out", options)
    assert (result.status, result.checked) == ("not_met", None)


def test_qat_model_is_proved_too(tmp_path: Path) -> None:
    options = ConvertQatOptions(verify=VerifyOptions(count=7))
    result = convert_qat(save(qat_model(), tmp_path / "qat.onnx"), Items(X), tmp_path / "out", options)
    assert result.checked is not None and result.checked.proof.sameness.identical == 7
    assert result.checked.proof.record_matches and result.checked.proof.device is not None


def test_device_metric_is_that_of_the_changed_scales(tmp_path: Path) -> None:
    result = job(tmp_path, device="s19")
    assert result.checked is not None and result.checked.proof.device is not None and result.checked is not None
    device = result.checked.proof.device
    # The same file with its scales cut is what the chip computes: prove it by writing one.
    path = result.folder.path(result.checked.written.pair.deploy)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name.endswith(".dequant.param"):
            cut = numpy_helper.to_array(tensor) & np.uint64(0xFFFFE000)
            tensor.CopyFrom(numpy_helper.from_array(cut, tensor.name))
    cut_path = tmp_path / "cut.onnx"
    onnx.save(model, cut_path)
    session = proof.reference_session(proof.executable(proof.read_deploy(cut_path)).model, Engine(1))
    labels = answers(MODEL, X)
    hits = [int(np.argmax(session.run({"x": x[np.newaxis]})[0])) == label for x, label in zip(X, labels, strict=True)]
    assert (device.precision, device.metric, device.items) == ("s19", "top1", 12)
    assert device.device == pytest.approx(100 * np.mean(hits))
    assert device.quantized == result.comparison.headline.after


def test_float32_device_is_the_model_that_was_measured(tmp_path: Path) -> None:
    result = job(tmp_path, device="fp32")
    assert result.checked is not None and result.checked.proof.device is not None
    assert result.checked.proof.device.device == result.checked.proof.device.quantized


def test_no_device_is_measured_on_request(tmp_path: Path) -> None:
    result = job(tmp_path, device="none")
    assert result.checked is not None and result.checked.proof.device is None


def test_device_whose_values_are_no_numbers_costs_a_warning_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    executable = proof.executable

    def broken(deploy, precision="fp32", **options):
        made = executable(deploy, precision=precision, **options)
        if precision == "fp16":
            made.model.graph.initializers["logits.dequant.scale"].const_value = proof_nan(made)
        return made

    def proof_nan(made):
        shape = made.model.graph.initializers["logits.dequant.scale"].shape.numpy()
        return ir.tensor(np.full(shape, np.nan, F), name="logits.dequant.scale")

    monkeypatch.setattr(proof, "executable", broken)
    result = job(tmp_path, device="fp16")
    assert result.status == "met" and result.checked is not None and result.checked.proof.device is None
    assert "verify.device=fp16: nothing to report: model: the output 'logits' holds NaN" in caplog.text


def test_float16_device_has_float16_around_the_int8_layers(tmp_path: Path) -> None:
    result = job(tmp_path, device="fp16")
    assert result.checked is not None and result.checked.proof.device is not None and result.checked is not None
    path = result.folder.path(result.checked.written.pair.deploy)
    made = proof.executable(proof.read_deploy(path), precision="fp16").model
    session = proof.reference_session(made, Engine(1))
    halves = {value.name for node in made.graph if node.op_type == "Cast" for value in node.outputs}
    assert any("first" in (name or "") for name in halves)
    labels = answers(MODEL, X)
    outputs = [session.run({"x": x[np.newaxis]})[0] for x in X]
    assert all(np.array_equal(y, y.astype(np.float16).astype(F)) for y in outputs)
    hits = [int(np.argmax(y)) == label for y, label in zip(outputs, labels, strict=True)]
    assert result.checked.proof.device.precision == "fp16"
    assert result.checked.proof.device.device == pytest.approx(100 * np.mean(hits))


def test_device_whose_graph_is_refused_costs_a_warning_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    executable = proof.executable

    def refused(deploy, precision="fp32", **options):
        if precision == "fp16":
            raise InternalError("onnxruntime refuses a graph that was built from the model")
        return executable(deploy, precision=precision, **options)

    monkeypatch.setattr(proof, "executable", refused)
    result = job(tmp_path, device="fp16")
    assert result.status == "met" and result.checked is not None and result.checked.proof.device is None
    assert "verify.device=fp16: nothing to report: onnxruntime refuses a graph" in caplog.text


RECORDS = {
    "next_scale_of_an_input": ("scale_d", 1e-6, r"'first': its AscendQuant has .* but 1 / scale_d and offset_d are "),
    "next_scale_of_a_weight": ("scale_w", 1e-6, r"layer 'first': scale_d \* scale_w is not the parameter of its"),
    "another_offset": ("offset_d", 1, r"'first': its AscendQuant has Rounding"),
}


@pytest.mark.parametrize("fault", RECORDS)
def test_record_that_says_other_scales_is_found(done: AccAutoResult, tmp_path: Path, fault: str) -> None:
    key, step, message = RECORDS[fault]
    assert done.checked is not None
    record = (done.folder.root / "tmp" / "scale_offset_record.txt").read_text(encoding="utf-8").splitlines()
    line = next(i for i, text in enumerate(record) if text.strip().startswith(f"{key}:"))
    name, _, value = record[line].partition(": ")
    changed = int(value) + 1 if step == 1 else np.nextafter(F(value), F(9))
    record[line] = f"{name}: {changed}"
    (tmp_path / "record.txt").write_text("\n".join(record) + "\n", encoding="utf-8")
    with pytest.raises(VerificationError, match=rf"record\.txt: .*{message}.*Please report this\."):
        proved(done, tmp_path / "record.txt")


@pytest.mark.parametrize("change", ["another", "none"])
def test_record_that_says_other_balance_factors_is_found(tmp_path: Path, change: str) -> None:
    options = AccAutoOptions(90, observer=MinMax(), calibration_count=6, correction=Correction(balance=0.5))
    path = save(MODEL, tmp_path / "net.onnx")
    done = acc_auto(path, Items(X, answers(MODEL, X)), tmp_path / "out", options, engine=Engine(2))
    assert proved(done, tmp_path / "out" / "tmp" / "scale_offset_record.txt").record_matches
    lines = (tmp_path / "out" / "tmp" / "scale_offset_record.txt").read_text(encoding="utf-8").splitlines()
    own = [number for number, text in enumerate(lines) if "tensor_balance_factor" in text and number < 40]
    if change == "another":
        name, _, value = lines[own[0]].partition(": ")
        lines[own[0]] = f"{name}: {float(value) * 1.0001:.9g}"
    else:
        lines = [text for number, text in enumerate(lines) if number not in own]
    (tmp_path / "record.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(
        VerificationError, match=r"layer 'first': 1 / tensor_balance_factor is not what its input is mult"
    ):
        proved(done, tmp_path / "record.txt")


def test_record_without_a_layer_of_the_deploy_file_is_found(done: AccAutoResult, tmp_path: Path) -> None:
    text = (done.folder.root / "tmp" / "scale_offset_record.txt").read_text(encoding="utf-8")
    (tmp_path / "record.txt").write_text("record {" + text.split("record {", 2)[2], encoding="utf-8")
    with pytest.raises(VerificationError, match="layer 'first' is in one of record and deploy file"):
        proved(done, tmp_path / "record.txt")


def proved(done: AccAutoResult, record: Path) -> proof.Proof:
    pair = done.checked.written.pair
    files = Files(done.folder.path(pair.deploy), done.folder.path(pair.fake_quant), record)

    class Measured:
        items = Subset(Items(X), (0, 1))
        classes = None
        metrics = ()

    return prove(
        files,
        Items(X),
        Engine(1),
        VerifyOptions(device="none"),
        int8=lambda: ir.from_proto(MODEL),
        scorer=Measured(),  # type: ignore[arg-type]
        quantized=done.comparison.quantized,
        progress=lambda done: None,
    )
