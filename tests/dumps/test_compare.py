"""Dumps of a chip in numpy against a job's values: nothing parts where nothing is wrong, and the first fault is named."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from runner.dumps.compare import DumpTolerance, compare_dump
from runner.dumps.index import read_index
from runner.errors import ConfigError, DatasetError, RecordError
from tests import device
from tests.dumps.chip import STAMP, Chip
from tests.dumps.test_layout import blocked

EXACT = DumpTolerance(exact=True)
# In graph order; what a layer reads is told with the node that makes it.
TENSORS = [
    ("x", "model_input"), ("first", "codes"), ("first", "sums"), ("first", "output"),
    ("second", "input"), ("second", "codes"), ("second", "sums"), ("second", "output"),
    ("logits", "input"), ("logits", "codes"), ("logits", "sums"), ("logits", "output"),
]  # fmt: skip


def dumped(kept, tmp_path, change=None, *, item=0, convert=lambda array: array, name="dumps"):
    """Return the folder of a dump of an item."""
    index = read_index(kept.folder).items[item].index
    Chip(tmp_path / name, kept.result, change or {}, convert).run(kept.x[index : index + 1])
    return tmp_path / name


def test_right_chip_is_equal_in_every_value_of_every_tensor(kept, tmp_path) -> None:
    found = compare_dump(kept.folder, dumped(kept, tmp_path), tolerance=EXACT)
    assert [(tensor.layer, tensor.tensor) for tensor in found.tensors] == TENSORS
    assert all(tensor.equal == 1.0 and tensor.max_abs == 0.0 and not tensor.reason for tensor in found.tensors)
    assert {tensor.own for tensor in found.tensors if tensor.tensor in ("codes", "sums", "output")} == {1.0}
    assert (found.first, found.first_unequal, found.missing, found.unmatched, found.hint) == (None, None, (), (), "")


def test_second_item_is_compared_with_its_own_values(kept, tmp_path) -> None:
    found = compare_dump(kept.folder, dumped(kept, tmp_path, item=1), item=1, tolerance=EXACT)
    assert (found.item, found.item_name, found.first) == (1, "item 4", None)


def scaled(factor):
    return lambda value: (value * np.float32(factor)).astype(np.float32)


def one_channel(value):
    spoilt = value.copy()
    spoilt[:, 1] += 40
    return spoilt


def shifted(value):
    return np.clip(value.astype(int) + 9, -128, 127).astype(np.int8)


CHANNEL_2 = np.array([1, 1, 1.01, 1], np.float32).reshape(-1, 1, 1)
FAULTS = {
    "a wrong scale": ("second output", scaled(1.02)),
    "one channel's scale": ("first output", lambda value: value * CHANNEL_2),
    "an offset forgotten": ("first codes", shifted),
    "codes a step off": ("second codes", lambda value: np.clip(value.astype(int) + 1, -128, 127).astype(np.int8)),
    "a bias forgotten in one channel": ("first sums", one_channel),
    "one sum of all": ("logits sums", lambda value: value + (np.arange(5) == 3).astype(np.int32)),
}


@pytest.mark.parametrize(("step", "change"), FAULTS.values(), ids=FAULTS.keys())
def test_first_tensor_that_parts_is_the_one_with_the_fault(step, change, kept, tmp_path) -> None:
    layer, tensor = step.split()
    for tolerance in (DumpTolerance(), EXACT):
        found = compare_dump(kept.folder, dumped(kept, tmp_path, {step: change}), tolerance=tolerance)
        assert (found.first.layer, found.first.tensor) == (layer, tensor)
        assert found.first == found.first_unequal
        assert found.first.own < 1.0
        before = found.tensors[: TENSORS.index((layer, tensor))]
        assert all(earlier.equal == 1.0 for earlier in before)


def test_rounding_toward_zero_instead_of_to_even_is_found_at_the_quantizer(kept, tmp_path) -> None:
    scale = kept.result.form.layers["first"].record.activation
    x = kept.x[:1]
    cut = np.clip(np.trunc(x / scale.scale + scale.zero_point), -128, 127).astype(np.int8)
    found = compare_dump(kept.folder, dumped(kept, tmp_path, {"first codes": lambda v: cut}))
    assert (found.first.layer, found.first.tensor) == ("first", "codes")
    # Far above the limit: the operator alone tells it.
    assert found.first.sqnr_db > 25
    assert found.first.own == pytest.approx(
        float(np.mean(cut == device.centred(x, scale.scale, scale.zero_point) + scale.zero_point))
    )


def half(value):
    return value.astype(np.float16).astype(np.float32)


def nineteen_bits(result, layer):
    """Return AscendDequant with the scale's 19 leading bits, of sums."""
    held = result.form.layers[layer].record
    deq = (np.float64(np.float32(held.activation.scale)) * np.asarray(held.weight_scales, np.float32)).astype(
        np.float32
    )
    cut = (deq.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    return lambda right: (right / deq.reshape(-1, 1, 1) * cut.reshape(-1, 1, 1)).astype(np.float32)


@pytest.mark.parametrize("precision", ["float16", "19 bits"])
def test_chips_own_precision_is_told_and_parts_only_where_nothing_may_differ(precision, kept, tmp_path) -> None:
    change = {"first output": half if precision == "float16" else nineteen_bits(kept.result, "first")}
    folder = dumped(kept, tmp_path, change)
    found = compare_dump(kept.folder, folder)
    assert found.first is None
    assert (found.first_unequal.layer, found.first_unequal.tensor) == ("first", "output")
    assert found.first_unequal.own == 1.0
    assert 55 < found.first_unequal.sqnr_db < 90
    exact = compare_dump(kept.folder, folder, tolerance=EXACT)
    assert (exact.first.layer, exact.first.tensor) == ("first", "output")


@pytest.mark.parametrize("precision", ["float16", "19 bits"])
def test_chips_own_precision_at_every_layer_is_no_parting(precision, kept, tmp_path) -> None:
    change = {
        f"{layer} output": half if precision == "float16" else nineteen_bits(kept.result, layer)
        for layer in ("first", "second")
    }
    found = compare_dump(kept.folder, dumped(kept, tmp_path, change))
    assert found.first is None
    assert {tensor.own for tensor in found.tensors if tensor.tensor in ("codes", "sums", "output")} == {1.0}


def test_without_what_operators_read_a_low_ratio_parts(kept, tmp_path) -> None:
    def noisy(value):
        return (value + np.random.default_rng(0).normal(0, 0.2 * np.abs(value).mean(), value.shape)).astype(np.float32)

    folder = dumped(kept, tmp_path, {"second output": noisy})
    for pattern in ("*.input.*", "Ascend*quant.*", "Conv2D.*", "MatMul*"):
        for path in folder.glob(pattern):
            if "logits_dequant" not in path.name or ".input." in path.name:
                path.unlink()
    found = compare_dump(kept.folder, folder)
    assert [(tensor.layer, tensor.tensor, tensor.own) for tensor in found.tensors] == [
        ("second", "input", None),
        ("logits", "output", None),
    ]
    assert found.tensors[1].sqnr_db < 25
    assert found.first == found.tensors[1]
    assert compare_dump(kept.folder, folder, tolerance=DumpTolerance(sqnr_db=5)).first is None


LAYOUTS = {
    "float32 throughout": (lambda a: a.astype(np.float32), {""}),
    "channels last": (lambda a: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a, {"", "NHWC"}),
    "blocks of channels": (lambda a: blocked(a, 16) if a.ndim == 4 else a, {"", "NC1HWC0"}),
    "flat": (lambda a: a.reshape(-1), {"flat"}),
}


@pytest.mark.parametrize(("convert", "layouts"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_types_and_layouts_of_the_converter_are_read_and_said(convert, layouts, kept, tmp_path) -> None:
    found = compare_dump(kept.folder, dumped(kept, tmp_path, convert=convert), tolerance=EXACT)
    assert found.first is None
    assert {tensor.layout for tensor in found.tensors} == layouts
    assert {tensor.own for tensor in found.tensors if tensor.tensor in ("codes", "sums", "output")} == {1.0}


def test_other_shape_is_told_and_not_compared(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path)
    (path,) = folder.glob("Conv2D.second.*.output.0.npy")
    np.save(path, np.zeros((1, 7, 2, 2), np.int32))
    found = compare_dump(kept.folder, folder)
    (told,) = [tensor for tensor in found.tensors if tensor.reason]
    assert (told.layer, told.tensor, told.parts) == ("second", "sums", False)
    assert told.reason == "its shape is [1, 7, 2, 2], expected [1, 6, 2, 2]; convert it with -f NCHW"


def test_operator_made_of_several_has_the_last_ones_output(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path)
    (last,) = folder.glob("Relu.a.*.output.0.npy")
    # Convolved, dequantized and rectified at once: the name is the three nodes', the output the last one's.
    fused = f"Conv2D.firstfirst_dequanta.2.0.{STAMP}.output.0.npy"
    last.rename(folder / fused)
    for pattern in ("*.first.*", "*.first_dequant.*", "Relu.a.*", "AscendQuant.second_quant.*.input.*"):
        for path in folder.glob(pattern):
            path.unlink()
    found = compare_dump(kept.folder, folder, tolerance=EXACT)
    told = {(tensor.layer, tensor.tensor): tensor for tensor in found.tensors}
    assert found.first is None
    assert told["second", "input"].dump == fused
    assert found.missing == ("first: sums", "first: output")
    assert found.unmatched == ()


def test_layer_that_dequantized_in_the_same_operator_has_no_sums_to_compare(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path)
    (sums,) = folder.glob("Conv2D.first.*.output.0.npy")
    (real,) = folder.glob("AscendDequant.first_dequant.*.output.0.npy")
    np.save(sums, np.load(real))
    found = compare_dump(kept.folder, folder)
    told = next(tensor for tensor in found.tensors if (tensor.layer, tensor.tensor) == ("first", "sums"))
    assert told.reason == "it holds real values, not sums: the chip dequantized in the same operator"
    assert found.first is None


def test_what_only_one_side_has_is_listed(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path)
    for path in folder.glob("*second_quant*"):
        path.unlink()
    for path in folder.glob("Conv2D.second.*.input.*"):
        path.unlink()
    np.save(folder / f"TransData.trans_TransData_4.9.0.{STAMP}.output.0.npy", np.zeros(3))
    found = compare_dump(kept.folder, folder)
    assert found.missing == ("second: codes",)
    assert found.unmatched == ("TransData.trans_TransData_4",)


def test_dump_of_another_item_is_recognized(kept, tmp_path) -> None:
    found = compare_dump(kept.folder, dumped(kept, tmp_path, item=1))
    assert found.first.tensor == "model_input"
    assert found.hint == "the dump's input is that of item 1, 'item 4': try --item 1"


def test_dump_of_an_unknown_input_says_so(kept, tmp_path) -> None:
    Chip(tmp_path / "dumps", kept.result).run(-kept.x[:1])
    found = compare_dump(kept.folder, tmp_path / "dumps")
    assert (
        found.hint
        == "the chip seems to have been given another input: feed it the model_input file of this item, without AIPP"
    )


def test_dumps_are_found_below_the_folder_and_under_long_names(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path, name="deep/20260101000000/0/net/1/0")
    (path,) = folder.glob("AscendQuant.first_quant.*.output.0.npy")
    (folder / "mapping.csv").write_text(f"0123abcd.npy,{path.name}\n")
    path.rename(folder / "0123abcd.npy")
    found = compare_dump(kept.folder, tmp_path / "deep", tolerance=EXACT)
    assert (found.first, found.missing, len(found.tensors)) == (None, (), len(TENSORS))


def test_own_written_values_are_equal_to_themselves(kept) -> None:
    found = compare_dump(kept.folder, kept.folder / "item0" / "deploy", tolerance=EXACT)
    assert (found.first, found.missing, found.unmatched) == (None, (), ())


def test_without_the_deploy_file_sums_are_compared_all_the_same(kept, tmp_path) -> None:
    (kept.job / "results" / "net_deploy_model.onnx").unlink()
    found = compare_dump(kept.folder, dumped(kept, tmp_path))
    assert [tensor.own for tensor in found.tensors if tensor.tensor == "sums"] == [None] * 3
    assert found.first is None


def test_several_runs_in_one_folder_are_refused(kept, tmp_path) -> None:
    for name in ("runs/a", "runs/b"):
        dumped(kept, tmp_path, name=name)
    with pytest.raises(
        DatasetError, match=r"holds the same tensor of several runs, .* in a and b; expected the dumps of one\."
    ):
        compare_dump(kept.folder, tmp_path / "runs")


def test_dumps_that_were_not_converted_are_refused_with_the_command(kept, tmp_path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / f"Conv2D.first.1.0.{STAMP}").write_bytes(b"x")
    with pytest.raises(
        DatasetError,
        match=r"holds 1 dumps as the chip wrote them and no \.npy file; convert them first: python3 msaccucmp",
    ):
        compare_dump(kept.folder, folder)


def test_folder_without_dumps_is_refused(kept, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"expected dumps converted by msaccucmp\.py, .* got no \.npy file\."):
        compare_dump(kept.folder, tmp_path / "empty")
    np.save(tmp_path / "empty" / "features.npy", np.zeros(3))
    with pytest.raises(DatasetError, match=r"got 1 \.npy files of other names\."):
        compare_dump(kept.folder, tmp_path / "empty")
    with pytest.raises(
        DatasetError, match=r"nowhere does not exist; expected the folder that msaccucmp\.py convert -out wrote into\."
    ):
        compare_dump(kept.folder, tmp_path / "nowhere")


def test_dumps_of_another_model_are_refused(kept, tmp_path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    np.save(folder / f"Conv2D.other.1.0.{STAMP}.output.0.npy", np.zeros(3))
    with pytest.raises(
        DatasetError,
        match=r"none of its dumps is of a tensor in .*results/net_deploy_model\.onnx; its operators are Conv2D\.other\.",
    ):
        compare_dump(kept.folder, folder)


def test_dumps_none_of_which_can_be_compared_are_refused_with_the_reason(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path, convert=lambda array: np.zeros((3, 3, 3)))
    with pytest.raises(
        DatasetError,
        match=r"none of its 12 dumps of this model can be compared; AscendQuant\.first_quant\..*: its shape is \[3, 3, 3\], "
        r"expected \[1, 2, 6, 6\]; convert it with -f NCHW\.",
    ):
        compare_dump(kept.folder, folder)


def test_folder_that_no_job_wrote_is_refused(kept, tmp_path) -> None:
    with pytest.raises(RecordError, match=r"no index\.json can be read there .* keep_intermediates=true wrote\."):
        compare_dump(tmp_path, tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(RecordError, match=r"index\.json: expected JSON, got: "):
        compare_dump(tmp_path, tmp_path)
    (tmp_path / "index.json").write_text("[" * 100_000)
    with pytest.raises(
        RecordError, match=r"index\.json: expected an index, got lists or objects nested too deeply\. Run"
    ):
        compare_dump(tmp_path, tmp_path)
    (tmp_path / "index.json").write_text('{"format": 99}')
    with pytest.raises(RecordError, match="expected an index of format 1, got 99"):
        compare_dump(tmp_path, tmp_path)
    (tmp_path / "index.json").write_text('{"format": 1, "model": "net"}')
    with pytest.raises(RecordError, match="lacks or misspells 'deploy_model'"):
        compare_dump(tmp_path, tmp_path)


def test_values_that_are_gone_or_spoilt_are_refused(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path)
    path = kept.folder / read_index(kept.folder).tensors[2].file
    np.save(path, np.zeros(3))
    with pytest.raises(RecordError, match=r"expected the shape \[1, 2, 6, 6\] of the index, got \[3\]\."):
        compare_dump(kept.folder, folder)
    path.unlink()
    with pytest.raises(RecordError, match=r"cannot be read: .* Run the job again\."):
        compare_dump(kept.folder, folder)


def test_dump_that_is_no_array_is_refused(kept, tmp_path) -> None:
    folder = dumped(kept, tmp_path)
    next(folder.glob("AscendQuant.first_quant.*.output.0.npy")).write_bytes(b"no array")
    with pytest.raises(DatasetError, match=r"cannot be read as \.npy: .* Convert the dump again\."):
        compare_dump(kept.folder, folder)


def test_item_that_is_not_there_is_refused(kept, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"item: expected 0 to 1 \(the items in .*\), got 2\."):
        compare_dump(kept.folder, tmp_path, item=2)
    with pytest.raises(ConfigError, match=r"own: expected a share from 0 to 1, got 1\.5\."):
        DumpTolerance(own=1.5)
    with pytest.raises(ConfigError, match=r"sqnr: expected a finite number of dB, got nan\."):
        DumpTolerance(sqnr_db=math.nan)


def test_table_has_a_row_for_each_entry_of_the_index(kept) -> None:
    with (kept.folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    entries = json.loads((kept.folder / "index.json").read_text(encoding="utf-8"))["tensors"]
    assert [(row["layer"], row["tensor"], row["file"]) for row in rows] == [
        (entry["layer"], entry["tensor"], entry["file"]) for entry in entries
    ]
    assert {row["sqnr_db"] for row in rows if row["tensor"] == "model_input"} == {"inf"}
