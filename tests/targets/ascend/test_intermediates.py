"""What a job keeps of the values that flow through the model: against both files, run by onnxruntime on its own."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from runner.calibration.minmax import MinMax
from runner.correction.options import Correction
from runner.dumps.compare import DumpTolerance, compare_dump
from runner.dumps.index import DumpIndex, IndexedTensor, read_index
from runner.engine import Engine
from runner.errors import ConfigError, OutputError
from runner.evaluation.distance import Mse
from runner.events import Warned
from runner.graph.model_file import load_model, weights_size
from runner.job_folder import JobFolder, read_manifest
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.layer_settings import LayerSettings
from runner.modes.result import AccAutoResult
from runner.targets.ascend import intermediates as module
from tests.command import digests
from tests.data import Items, normal_items
from tests.models import conv_gemm, onnx_text, run_plain, save
from tests.modes.test_balanced_jobs import outliers
from tests.modes.test_convert_qat import qat_model
from tests.modes.test_tensor_settings import NET as RESIDUAL

SHAPES = {"x": (2, 6, 6)}
FAKE_QUANT, DEPLOY = "results/net_fake_quant_model.onnx", "results/net_deploy_model.onnx"


def job(folder: Path, model: onnx.ModelProto, x: Any, **options: Any) -> AccAutoResult:
    """Run a job that keeps the values of two items."""
    folder.mkdir(parents=True, exist_ok=True)
    usual = {
        "target_loss": 1e9,
        "metric": Mse(),
        "observer": MinMax(),
        "calibration_count": len(x),
        "keep_intermediates": True,
        "intermediates_count": 2,
    }
    path = save(model, folder / "net.onnx")
    result = acc_auto(path, Items(x), folder / "out", AccAutoOptions(**(usual | options)), engine=Engine(1))
    result.folder.finish()
    return result


def read(result: Any) -> tuple[Path, DumpIndex]:
    return result.files.intermediates, read_index(result.files.intermediates)


def value(result: Any, layer: str, tensor: str, *, item: int = 0, side: str = "file") -> Any:
    folder, index = read(result)
    entry = entry_of(index, layer, tensor, item)
    return np.load(folder / getattr(entry, side))


def entry_of(index: DumpIndex, layer: str, tensor: str, item: int = 0) -> IndexedTensor:
    (found,) = [e for e in index.tensors if (e.layer, e.tensor, e.item) == (layer, tensor, item)]
    return found


def outputs_of(path: Path, x: Any, layers: list[str]) -> dict[str, Any]:
    """Return layers' outputs in a fake-quant file, run by plain onnxruntime without any rewriting."""
    model = onnx.load(path)
    made = {node.name: node.output[0] for node in model.graph.node}
    names = [made.get(f"{layer}.dequant", made.get(layer)) for layer in layers]
    (arrays,) = run_plain(model, x, names)
    return dict(zip(layers, arrays, strict=True))


def same_as_fake_quant(result: AccAutoResult, x: Any) -> None:
    """Assert that every layer's kept output is the fake-quant file's, bit for bit, for both items."""
    _, index = read(result)
    layers = [layer.name for layer in result.found.layers]
    for number, item in enumerate(index.items):
        expected = outputs_of(result.folder.path(FAKE_QUANT), x[item.index : item.index + 1], layers)
        for layer in layers:
            kept = value(result, layer, "output", item=number)
            assert kept.tobytes() == expected[layer].tobytes(), layer


def test_layers_have_input_codes_sums_and_output_and_the_float_models(tmp_path: Path) -> None:
    model, x = conv_gemm(), normal_items(8, 2, 6, 6)
    result = job(tmp_path, model, x)
    folder, index = read(result)
    assert folder.parent == tmp_path / "out" / "amct_log"
    # AMCT's clock is China's, wherever the job runs.
    named = datetime.strptime(folder.name, "temp%Y%m%d%H%M%S%f").replace(tzinfo=timezone(timedelta(hours=8)))
    assert abs(datetime.now(UTC) - named) < timedelta(minutes=10)
    assert len(folder.name) == 24
    assert (index.model, index.deploy_model, index.final) == ("net", DEPLOY, True)
    assert [(item.index, item.name) for item in index.items] == [(0, "item 0"), (4, "item 4")]
    assert [(e.layer, e.tensor, e.dtype) for e in index.tensors if e.item == 0] == [
        ("x", "model_input", "float32"),
        *(
            (layer, tensor, dtype)
            for layer in ("first", "second", "logits")
            for tensor, dtype in (("input", "float32"), ("codes", "int8"), ("sums", "int32"), ("output", "float32"))
        ),
        ("logits", "model_output", "float32"),
    ]
    same_as_fake_quant(result, x)
    # BatchNormalization is folded: the float layer gives what the source's bn gives.
    floats = run_plain(model, x[4:5], ["bn", "a", "second", "logits"])[0]
    for (layer, tensor), expected in zip(
        [("first", "output"), ("second", "input"), ("second", "output"), ("logits", "output")], floats, strict=True
    ):
        np.testing.assert_allclose(value(result, layer, tensor, item=1, side="float_file"), expected, atol=1e-5)
    for layer in ("first", "second", "logits"):
        held = result.form.layers[layer].record
        codes, sums = entry_of(index, layer, "codes"), entry_of(index, layer, "sums")
        assert codes.scale == (held.activation.scale,) and codes.zero_point == held.activation.zero_point
        deq = np.asarray(sums.scale, np.float32).reshape(-1, *[1] * (len(sums.shape) - 2))
        real = value(result, layer, "sums").astype(np.float32) * deq
        assert real.tobytes() == value(result, layer, "output").tobytes()


def test_figures_of_a_pair_are_those_of_its_two_files(tmp_path: Path) -> None:
    result = job(tmp_path, conv_gemm(), normal_items(8, 2, 6, 6))
    folder, index = read(result)
    seen = set()
    for entry in index.tensors:
        if entry.float_file is None:
            assert (entry.tensor, entry.cosine, entry.sqnr_db) == ("sums", None, None)
            continue
        f, q = (np.load(folder / name).astype(np.float64) for name in (entry.float_file, entry.file))
        if entry.tensor == "codes":
            q = (q - entry.zero_point) * entry.scale[0]
        assert entry.cosine == pytest.approx(np.sum(f * q) / np.linalg.norm(f) / np.linalg.norm(q), abs=1e-6)
        if entry.equal:
            assert np.array_equal(f, q) and entry.sqnr_db is None
        else:
            ratio = 10 * np.log10(np.sum(f * f) / np.sum((f - q) ** 2))
            assert entry.sqnr_db == pytest.approx(ratio, abs=1e-3)
        seen.add(entry.tensor)
    assert seen == {"model_input", "input", "codes", "output", "model_output"}


def test_layer_left_float_has_what_the_deploy_file_makes_of_it(tmp_path: Path) -> None:
    x = normal_items(8, 2, 6, 6)
    result = job(tmp_path, conv_gemm(), x, settings=LayerSettings(skip_layers=["second"]))
    _, index = read(result)
    assert [(e.tensor, e.int8) for e in index.tensors if e.layer == "second" and e.item == 0] == [
        ("input", False),
        ("output", False),
    ]
    same_as_fake_quant(result, x)
    # Behind an int8 layer it is not what the float model has there.
    assert not entry_of(index, "second", "output").equal


def test_layer_that_falls_back_is_float_there_and_int8_in_the_trial(tmp_path: Path) -> None:
    x = normal_items(8, 2, 6, 6)
    alone = job(tmp_path / "all", conv_gemm(), x)
    loss = alone.search.trials[0].loss
    result = job(tmp_path / "some", conv_gemm(), x, target_loss=0.9 * loss)
    folder, index = read(result)
    assert result.status == "met" and result.fallback
    assert {e.int8 for e in index.tensors if e.layer in result.fallback} == {False}
    same_as_fake_quant(result, x)
    trial = folder / "net_all_int8_fake_quant_model.onnx"
    first = alone.folder.path(FAKE_QUANT)
    (got,), (expected,) = (run_plain(onnx.load(path), x, ["logits"])[:1] for path in (trial, first))
    assert got[0].tobytes() == expected[0].tobytes()


def test_where_no_plan_is_accepted_the_values_are_those_of_the_trial(tmp_path: Path) -> None:
    x = normal_items(8, 2, 6, 6)
    result = job(tmp_path, conv_gemm(), x, target_loss=0.0)
    folder, index = read(result)
    assert (result.status, result.checked) == ("not_met", None)
    assert (index.deploy_model, index.final) == ("net_all_int8_deploy_model.onnx", False)
    assert not result.folder.path(DEPLOY).exists()
    assert {e.int8 for e in index.tensors if e.op_type} == {True}
    trial = outputs_of(folder / "net_all_int8_fake_quant_model.onnx", x[:1], ["first", "second", "logits"])
    assert all(value(result, layer, "output").tobytes() == array.tobytes() for layer, array in trial.items())
    found = compare_dump(folder, folder / "item0" / "deploy", tolerance=DumpTolerance(exact=True))
    assert {t.own for t in found.tensors if t.tensor == "sums"} == {1.0}


def test_balanced_layers_and_averages_are_compared_in_their_own_units(tmp_path: Path) -> None:
    x = normal_items(24, 6, 4, 4)
    result = job(tmp_path, outliers(), x, correction=Correction(balance=0.5))
    _, index = read(result)
    balanced = {name for name, layer in result.form.layers.items() if layer.record.balance_factors}
    assert balanced and balanced == {e.layer for e in index.tensors if e.tensor == "balanced"}
    same_as_fake_quant(result, x)
    for layer in result.form.layers:
        codes, output = entry_of(index, layer, "codes"), entry_of(index, layer, "output")
        assert codes.sqnr_db is not None and codes.sqnr_db > 20, layer
        assert entry_of(index, layer, "sums").shape == output.shape
    # An average's sums are not divided yet: 16 pixels of one channel.
    pooled = entry_of(index, "pooled", "codes")
    centred = value(result, "pooled", "codes").astype(np.int64) - pooled.zero_point
    np.testing.assert_array_equal(value(result, "pooled", "sums"), centred.sum(axis=(2, 3), keepdims=True))
    found = compare_dump(result.files.intermediates, result.files.intermediates / "item0" / "deploy")
    assert {t.own for t in found.tensors if t.tensor == "sums"} == {1.0}


def test_rounded_tensors_have_their_input_codes_and_output(tmp_path: Path) -> None:
    x = normal_items(12, 3, 8, 8)
    result = job(tmp_path, RESIDUAL, x, settings=LayerSettings(tensor_quantize="adds"))
    _, index = read(result)
    for key in ("first:0", "first:1", "second:0", "second:1"):
        entries = [e for e in index.tensors if e.layer == key and e.item == 0]
        assert [(e.tensor, e.op_type) for e in entries] == [("input", "Add"), ("codes", "Add"), ("output", "Add")]
        codes = entries[1]
        restored = (value(result, key, "codes").astype(np.float32) - codes.zero_point) * np.float32(codes.scale[0])
        np.testing.assert_array_equal(value(result, key, "output"), restored)
        assert entries[2].sqnr_db == pytest.approx(codes.sqnr_db, abs=1e-6)
    same_as_fake_quant(result, x)


def test_pad_of_codes_and_products_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    model = onnx_text(
        """g (float[N,3,6,6] x) => (float[N,4] y) {
            pool_pad = Pad (x, pads)
            pool = AveragePool <kernel_shape = [3,3], strides = [2,2]> (pool_pad)
            flat = Flatten (pool)
            h = MatMul (flat, w1)
            s = Add (h, b1)
            r = Relu (s)
            y = Gemm <transB = 1> (r, w2, b2)
        }""",
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        w1=rng.normal(size=(27, 8)).astype(np.float32),
        b1=rng.normal(size=8).astype(np.float32),
        w2=rng.normal(size=(4, 8)).astype(np.float32),
        b2=rng.normal(size=4).astype(np.float32),
    )
    x = normal_items(8, 3, 6, 6)
    result = job(tmp_path, model, x)
    _, index = read(result)
    same_as_fake_quant(result, x)
    assert entry_of(index, "pool", "codes").shape == (1, 3, 6, 6)
    assert entry_of(index, "pool", "input").float_file is not None


@pytest.mark.parametrize("opset", [9, 11, 17, 21])
def test_values_are_kept_at_any_opset(opset: int, tmp_path: Path) -> None:
    model = conv_gemm()
    model.opset_import[0].version = opset
    x = normal_items(8, 2, 6, 6)
    same_as_fake_quant(job(tmp_path, model, x), x)


def renamed(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    for node in model.graph.node:
        node.name = names.get(node.name, node.name)
    return model


def test_names_that_no_file_may_have_are_made_safe_and_listed(tmp_path: Path) -> None:
    names = {"first": "/a/conv:0 猫", "second": "/a/conv:0 犬", "logits": "x" * 400}
    model, x = renamed(conv_gemm(), names), normal_items(8, 2, 6, 6)
    result = job(tmp_path, model, x)
    folder, index = read(result)
    assert {e.layer for e in index.tensors if e.int8} == set(names.values())
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.npy")]
    assert len({name.lower() for name in files}) == len(files)
    assert {e.file for e in index.tensors} | {e.float_file for e in index.tensors} - {None} == set(files)
    assert all(name.isascii() and len(Path(name).name) < 255 for name in files)
    same_as_fake_quant(result, x)


def test_values_of_a_large_model_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal_items(8, 2, 6, 6)
    at_once = job(tmp_path / "one", conv_gemm(), x)
    sessions = []
    monkeypatch.setattr(module, "_SIDE_BY_SIDE", 1)
    monkeypatch.setattr(
        module, "only_outputs", lambda *given, real=module.only_outputs: sessions.append(1) or real(*given)
    )
    in_parts = job(tmp_path / "many", conv_gemm(), x)
    assert len(sessions) == len({e.file for e in read(in_parts)[1].tensors if e.item == 0}) + len(
        {e.float_file for e in read(in_parts)[1].tensors if e.item == 0 and e.float_file}
    )
    assert digests(at_once.files.intermediates) == digests(in_parts.files.intermediates)


def test_same_job_writes_the_same_bytes_under_another_time(tmp_path: Path) -> None:
    results = [job(tmp_path / name, conv_gemm(), normal_items(8, 2, 6, 6)) for name in ("one", "two")]
    one, two = (result.files.intermediates for result in results)
    assert one.name != two.name
    assert digests(one) == digests(two)


def test_manifest_lists_every_file_and_the_next_job_removes_them(tmp_path: Path) -> None:
    x = normal_items(8, 2, 6, 6)
    first = job(tmp_path, conv_gemm(), x)
    root, name = first.folder.root, first.files.intermediates.relative_to(first.folder.root).as_posix()
    kept = {path.relative_to(root).as_posix() for path in first.files.intermediates.rglob("*") if path.is_file()}
    listed = read_manifest(root)
    assert kept == {file for file in listed if file.startswith(name)}
    # What a report lists, and a tracker keeps, is the index alone.
    told = {path.relative_to(root).as_posix() for path in first.folder.files}
    assert told & kept == {f"{name}/index.json", f"{name}/index.csv"}
    mine = first.files.intermediates / "mine.txt"
    mine.write_text("notes")
    second = job(tmp_path, conv_gemm(), x)
    assert [path.name for path in first.files.intermediates.rglob("*")] == ["mine.txt"]
    mine.unlink()
    first.files.intermediates.rmdir()
    job(tmp_path, conv_gemm(), x, keep_intermediates=False)
    assert not second.files.intermediates.exists()
    assert not any("temp" in file for file in read_manifest(root))


def test_interrupted_in_the_middle_nothing_of_them_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def stopped(folder: JobFolder, name: str, array: Any) -> Path:
        calls.append(name)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(folder, name, array)

    real = JobFolder.write_array
    monkeypatch.setattr(JobFolder, "write_array", stopped)
    result = job(tmp_path, conv_gemm(), normal_items(8, 2, 6, 6))
    assert (result.status, result.files.intermediates) == ("interrupted", None)
    assert result.checked is not None
    left = [
        path.name for path in result.folder.root.rglob("*") if "temp" in path.name or path.name.startswith(".folder")
    ]
    assert left == []
    assert result.folder.path(DEPLOY).is_file()


def older(body: str, opset: int, outputs: str = "float[A,B,C,D] y", **arrays: Any) -> onnx.ModelProto:
    """Return a convolution ``c`` over [1, 2, 6, 6] and what stands behind it, at an opset; nodes have no names."""
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[1,2,6,6] x) => ({outputs}) {{ c = Conv (x, w) {body} }}'
    model = onnx.parser.parse_model(text)
    arrays["w"] = np.random.default_rng(3).normal(size=(2, 2, 3, 3)).astype(np.float32)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items())
    return model


RENAMED = {
    "Upsample 7": older('r = Relu (c) y = Upsample <mode = "nearest", scales = [1.0,1.0,2.0,2.0]> (r)', 7),
    "Upsample 9": older('r = Relu (c) y = Upsample <mode = "nearest"> (r, z)', 9, z=np.float32([1, 1, 2, 2])),
    "Scatter 10": older(
        "r = Relu (c) y = Scatter <axis = 3> (r, i, u)",
        10,
        i=np.zeros((1, 2, 4, 1), np.int64),
        u=np.ones((1, 2, 4, 1), np.float32),
    ),
    # Its output is what a layer reads, too.
    "Upsample before a layer": older(
        'r = Upsample <mode = "nearest"> (c, z) y = Conv (r, v)',
        9,
        z=np.float32([1, 1, 2, 2]),
        v=np.random.default_rng(4).normal(size=(2, 2, 3, 3)).astype(np.float32),
    ),
}


@pytest.mark.parametrize("name", RENAMED)
def test_what_a_node_makes_that_is_another_one_today_is_written_beside_its_float_twin(
    tmp_path: Path, name: str
) -> None:
    x = normal_items(8, 2, 6, 6)
    result = job(tmp_path, RENAMED[name], x, intermediates_count=1)
    item = x[read(result)[1].items[0].index][np.newaxis]
    deployed = run_plain(onnx.load(tmp_path / "out" / FAKE_QUANT), item, ["y"])[0][0]
    assert np.array_equal(value(result, "y", "model_output"), deployed)
    np.testing.assert_allclose(
        value(result, "y", "model_output", side="float_file"), run_plain(RENAMED[name], item, ["y"])[0][0], atol=1e-5
    )


def test_weight_that_is_an_output_too_is_written(tmp_path: Path) -> None:
    model = older("y = Relu (c)", 13, "float[A,B,C,D] y, float[2,2,3,3] w")
    result = job(tmp_path, model, normal_items(8, 2, 6, 6))
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    for side in ("file", "float_file"):
        assert np.array_equal(value(result, "w", "model_output", side=side), weight)


NO_NUMBERS = {
    "seq(float[1,2,4,4]) s": "y = Relu (c) s = SequenceConstruct (c, c)",
    "string[1,1] s": "y = Relu (c) f = Flatten (c) a = ArgMax <axis = 1> (f) s = Gather (words, a)",
}


@pytest.mark.parametrize("output", NO_NUMBERS)
def test_output_that_is_no_tensor_of_numbers_is_left_out_and_the_log_says_so(
    tmp_path: Path, output: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = np.array([f"word{index}" for index in range(32)], dtype=object)
    model = older(NO_NUMBERS[output], 13, f"float[A,B,C,D] y, {output}", words=words)
    with caplog.at_level("INFO", "runner.targets.ascend.intermediates"):
        _, index = read(job(tmp_path, model, normal_items(8, 2, 6, 6)))
    kind = "seq(tensor(float))" if "seq" in output else "tensor(string)"
    assert (
        f"keep_intermediates: the output 's' ({kind}) is left out: only tensors of numbers are written"
        in caplog.messages
    )
    assert {entry.layer for entry in index.tensors if entry.tensor == "model_output"} == {"y"}


def test_fault_of_ours_takes_the_values_away_and_not_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise KeyError("gone")

    monkeypatch.setattr(module, "deploy_rows", fails)
    events: list[Any] = []
    path = save(conv_gemm(), tmp_path / "net.onnx")
    options = AccAutoOptions(
        target_loss=1e9, metric=Mse(), observer=MinMax(), calibration_count=8, keep_intermediates=True
    )
    result = acc_auto(
        path, Items(normal_items(8, 2, 6, 6)), tmp_path / "out", options, engine=Engine(1), emit=events.append
    )
    result.folder.finish()
    assert (result.status, result.files.intermediates) == ("met", None) and result.checked is not None
    assert (
        Warned(
            "keep_intermediates: the values could not be written, by a fault of this program (KeyError: 'gone'); all else is "
            "as it would be without them. Please report this, with the model."
        )
        in events
    )
    assert not [
        path for path in (tmp_path / "out").rglob("*") if "temp" in path.name or path.name.startswith(".folder")
    ]
    assert (tmp_path / "out" / DEPLOY).is_file()


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    message = (
        r"keep_intermediates: 18 tensors of 2 item\(s\) and a trial model, about 10\.\d kB, do not fit below .*/out, where "
        r"1\.0 kB are free\. Lower intermediates\.count, or set paths\.output to a larger disk\."
    )
    with pytest.raises(OutputError, match=message):
        job(tmp_path, conv_gemm(), normal_items(8, 2, 6, 6))
    assert not list((tmp_path / "out").rglob("temp*"))


def test_more_items_than_there_are_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"intermediates\.count: expected 1 to 8 \(the dataset's items\), got 9\."):
        job(tmp_path, conv_gemm(), normal_items(8, 2, 6, 6), intermediates_count=9)
    assert not (tmp_path / "out").exists()


def test_size_is_said_beforehand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "runner.targets.ascend.intermediates"):
        result = job(tmp_path, conv_gemm(), normal_items(8, 2, 6, 6))
    before, after = (record.getMessage() for record in caplog.records if record.name.endswith("intermediates"))
    folder = result.files.intermediates
    arrays = [np.load(path) for path in folder.rglob("*.npy")]
    weights = weights_size(load_model(folder / "net_all_int8_fake_quant_model.onnx").graph)
    assert before == (
        f"keep_intermediates: {len(arrays) // 2} tensors of 2 item(s) and a trial model, about "
        f"{(sum(array.nbytes for array in arrays) + weights) / 1000:.1f} kB are written below amct_log"
    )
    assert after == f"intermediate values of 2 item(s) are in {folder}"


def test_converted_model_keeps_them_too(tmp_path: Path) -> None:
    x = normal_items(6, 2, 6, 6)
    result = convert_qat(
        save(qat_model(), tmp_path / "net.onnx"),
        Items(x),
        tmp_path / "out",
        ConvertQatOptions(keep_intermediates=True, intermediates_count=2),
        engine=Engine(1),
    )
    result.folder.finish()
    folder, index = read(result)
    assert (index.deploy_model, index.final, len(index.items)) == ("net_deploy_model.onnx", True, 2)
    assert not list(folder.glob("*.onnx"))  # there are no trials
    layers = list(result.form.layers)
    expected = outputs_of(tmp_path / "out" / "net_fake_quant_model.onnx", x[3:4], layers)
    for layer in layers:
        assert value(result, layer, "output", item=1).tobytes() == expected[layer].tobytes()
    assert all(path.is_file() for path in folder.rglob("*.npy"))
    assert json.loads((folder / "index.json").read_text(encoding="utf-8"))["format"] == 1


def test_folder_can_be_moved_with_its_job(tmp_path: Path) -> None:
    result = job(tmp_path, conv_gemm(), normal_items(8, 2, 6, 6))
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "out", moved)
    folder = moved / result.files.intermediates.relative_to(tmp_path / "out")
    found = compare_dump(folder, folder / "item1" / "deploy", item=1, tolerance=DumpTolerance(exact=True))
    assert found.first is None
    assert {t.own for t in found.tensors if t.tensor == "sums"} == {1.0}
