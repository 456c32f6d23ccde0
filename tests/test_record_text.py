"""The record file against files made by hand from AMCT's format, and its round trip."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import RecordError
from runner.ranges import ActivationParams
from runner.record import LayerRecord, Record, TensorRecord
from runner.record_text import format_record, parse_record, read_record

GOLDEN = Path(__file__).parent / "golden"

scales = st.floats(2.0**-40, 2.0**20, width=32)
activations = st.builds(ActivationParams, scales, st.integers(-128, 127))
layers = st.builds(
    LayerRecord,
    activations,
    st.lists(scales, min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.lists(st.floats(2.0**-22, 2.0**22, width=32), max_size=3).map(tuple),
)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
records = st.dictionaries(names, layers | st.builds(TensorRecord, activations), min_size=1, max_size=4).map(Record)


def f32(value):
    return float(np.float32(value))


def entry(fields, key='key: "Conv_0"'):
    return f"record {{\n  {key}\n  value {{\n    {fields}\n  }}\n}}\n"


EVERY_FIELD = Record(
    {
        "Conv_0": LayerRecord(ActivationParams(f32(0.0798481479), 1), (f32(0.00297622895), f32(0.00213421136))),
        '/features/1/conv"quoted"\\': LayerRecord(
            ActivationParams(f32(6 / 255), -128), (f32(1e-10),), skip_fusion=True, balance_factors=(0.5, 2.0)
        ),
        "Add_7:1": TensorRecord(ActivationParams(f32(0.1), -3)),
    }
)


def test_amcts_worked_example_is_read():
    assert read_record(GOLDEN / "record_amct.txt") == {
        "Conv_0": LayerRecord(ActivationParams(f32(0.0798481479), 1), (f32(0.00297622895), f32(0.00213421136))),
        "Gemm_104": LayerRecord(ActivationParams(f32(0.0235294122), -128), (f32(0.00153),)),
    }


def test_every_field_is_written_as_in_the_golden_file():
    assert format_record(EVERY_FIELD) == (GOLDEN / "record_every_field.txt").read_text(encoding="utf-8")


def test_every_field_is_read_from_the_golden_file():
    assert read_record(GOLDEN / "record_every_field.txt") == EVERY_FIELD


@given(record=records)
def test_a_record_comes_back_from_its_text(record):
    back = parse_record(format_record(record))
    assert list(back.items()) == list(record.items())


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param("num_bits: 8", id="number"),
        pytest.param('dst_type: "INT8"', id="text"),
        pytest.param("cluster: -3 cluster: 4", id="repeated"),
        pytest.param("nested { inner: 1 other { x: 2 } }", id="message"),
        pytest.param("shift_bit: 0 shift_bit: 0", id="shift_bits_of_zero"),
        pytest.param('op_data_type: "FLOAT32"', id="float32"),
    ],
)
def test_field_that_changes_nothing_is_skipped(unknown):
    record = parse_record(entry(f"scale_d: 0.5 offset_d: 1 scale_w: 0.25 offset_w: 0 {unknown}"))
    assert record == {"Conv_0": LayerRecord(ActivationParams(0.5, 1), (0.25,))}


def test_offset_w_may_be_left_out():
    assert parse_record(entry("scale_d: 0.5 offset_d: 1 scale_w: 0.25")).layers["Conv_0"].weight_scales == (0.25,)


FULL = "scale_d: 0.5 offset_d: 1 scale_w: 0.25 offset_w: 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "scales.txt: the record holds no layer", id="empty"),
        pytest.param("\n# nothing\n", "scales.txt: the record holds no layer", id="comments_only"),
        pytest.param("record {\n  key: \n}", r"scales.txt:3: expected a record in protobuf text", id="no_value"),
        pytest.param('{"Conv_0": 1}', r"scales.txt:1: expected a record in protobuf text", id="json"),
        pytest.param(entry('scale_d: "half"'), r"scales.txt:4: expected a record in protobuf", id="text_as_scale"),
        pytest.param(entry("offset_d: 99999999999"), r"scales.txt:4: expected a record in protobuf", id="beyond_int32"),
        pytest.param(entry("scale_d: 1 scale_d: 2"), r"scales.txt:4: expected a record in protobuf", id="field_twice"),
        pytest.param(entry(FULL)[:-3], r"scales.txt:\d+: expected a record in protobuf text", id="cut_off"),
        pytest.param(entry(FULL, key=""), "scales.txt: an entry has no key; expected the name", id="no_key"),
        pytest.param(entry(FULL) * 2, "layer 'Conv_0' is recorded twice; expected one entry", id="twice"),
        pytest.param(entry("offset_d: 1 scale_w: 1"), "layer 'Conv_0' has no scale_d; was its cal", id="no_scale_d"),
        pytest.param(entry("scale_d: 1 scale_w: 1"), "layer 'Conv_0' has no offset_d; was its cal", id="no_offset_d"),
        pytest.param(entry("scale_d: 1 offset_d: 1"), "layer 'Conv_0' has no scale_w", id="no_scale_w"),
        pytest.param(entry(FULL + " shift_bit: 3"), "has a nonzero shift_bit; joint_quant is not", id="shift_bit"),
        pytest.param(entry("scale_d: 1 offset_d: 1 scale_w: 1 offset_w: 2"), "has a nonzero offset_w", id="offset_w"),
        pytest.param(entry(FULL + " offset_w: 0"), "has 1 scale_w and 2 offset_w; expected as many", id="lengths"),
        pytest.param(entry(FULL.replace("0.5", "0")), "'Conv_0': activation scale must be positive", id="scale_zero"),
        pytest.param(entry(FULL.replace("0.5", "nan")), "'Conv_0': activation scale must be pos", id="scale_nan"),
        pytest.param(entry(FULL.replace("0.5", "1e39")), "'Conv_0': activation scale must be pos", id="scale_infinite"),
        pytest.param(entry(FULL.replace("d: 1", "d: 128")), r"zero point must lie in -128\.\.127, got 128", id="zp"),
        pytest.param(entry(FULL.replace("0.25", "-1")), "weight scales must be positive and fin", id="scale_w"),
        pytest.param(entry(FULL + ' act_type: "INT16"'), "has act_type INT16; only INT8 is supp", id="int16"),
        pytest.param(entry(FULL + ' wts_type: "INT4"'), "has wts_type INT4; only INT8 is supported", id="int4"),
    ],
)
def test_record_that_breaks_the_format_is_refused(tmp_path, text, message):
    path = tmp_path / "scales.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        read_record(path)


def test_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"record: .*none\.txt cannot be read: No such file"):
        read_record(tmp_path / "none.txt")


def test_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08\xff\xfe\x80")
    with pytest.raises(RecordError, match=r"record: .*model\.onnx cannot be read: it is not UTF-8 text"):
        read_record(tmp_path / "model.onnx")


@given(records)
def test_what_was_written_is_read_as_protobuf_reads_it(record: Record) -> None:
    text = format_record(record)
    # With a comment it is no longer the text that is written, and protobuf's own reader has it.
    assert dict(parse_record(text)) == dict(parse_record(f"{text}# read\n")) == dict(record)


@pytest.mark.parametrize(
    ("written", "other"),
    [("offset_d: 1", "offset_d: 01"), ("scale_d: 0.5", "scale_d: 0.50"), ('act_type: "INT8"', "act_type: 'INT8'")],
)
def test_another_spelling_of_what_is_written_is_read_too(written: str, other: str) -> None:
    record = Record({"a": LayerRecord(ActivationParams(0.5, 1), (0.25, 2.0))})
    text = format_record(record)
    assert written in text and dict(parse_record(text.replace(written, other))) == dict(record)
