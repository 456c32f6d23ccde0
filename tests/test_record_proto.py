"""The message of the record file, by AMCT's field names and numbers."""

import pytest

from runner.record_proto import scale_offset_record

# name, number, repeated: as AMCT's scale_offset_record_onnx.proto is documented
FIELDS = [
    ("scale_d", 1, False),
    ("offset_d", 2, False),
    ("scale_w", 3, True),
    ("offset_w", 4, True),
    ("shift_bit", 5, True),
    ("skip_fusion", 6, False),
    ("is_tensor_quantize", 10, False),
    ("tensor_balance_factor", 13, True),
    ("op_data_type", 15, False),
    ("act_type", 20, False),
    ("wts_type", 21, False),
]


def value_fields():
    entry = scale_offset_record().DESCRIPTOR.fields_by_name["record"].message_type
    return entry.fields_by_name["value"].message_type.fields_by_name


@pytest.mark.parametrize(("name", "number", "repeated"), FIELDS, ids=[name for name, _, _ in FIELDS])
def test_field_has_its_documented_number_and_label(name, number, repeated):
    field = value_fields()[name]
    assert (field.number, field.is_repeated) == (number, repeated)


def test_there_are_no_other_fields():
    assert set(value_fields()) == {name for name, _, _ in FIELDS}


def test_binary_form_of_an_entry_is_the_wire_format():
    message = scale_offset_record()()
    entry = message.record.add(key="a")
    entry.value.offset_d = 1
    # record = field 1, key = field 1, value = field 2, offset_d = field 2
    assert message.SerializeToString() == b"\x0a\x07\x0a\x01a\x12\x02\x10\x01"
