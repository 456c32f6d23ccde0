"""The message of AMCT's record file, declared here because the vendor's is not published with the tool.

``ScaleOffsetRecord { repeated MapFiledEntry record }``, ``MapFiledEntry { key, value }`` (the misspelling is AMCT's). The
text format knows fields by name, so files of any version can be read.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "quant_runner.record"
_TYPES = descriptor_pb2.FieldDescriptorProto
# name, number, type, repeated
_ENTRY_FIELDS = (
    ("scale_d", 1, _TYPES.TYPE_FLOAT, False),
    ("offset_d", 2, _TYPES.TYPE_INT32, False),
    ("scale_w", 3, _TYPES.TYPE_FLOAT, True),
    ("offset_w", 4, _TYPES.TYPE_INT32, True),
    ("shift_bit", 5, _TYPES.TYPE_UINT32, True),
    ("skip_fusion", 6, _TYPES.TYPE_BOOL, False),
    ("is_tensor_quantize", 10, _TYPES.TYPE_BOOL, False),
    ("tensor_balance_factor", 13, _TYPES.TYPE_FLOAT, True),
    ("op_data_type", 15, _TYPES.TYPE_STRING, False),
    ("act_type", 20, _TYPES.TYPE_STRING, False),
    ("wts_type", 21, _TYPES.TYPE_STRING, False),
)


@cache
def scale_offset_record() -> Any:  # noqa: ANN401 - protobuf makes the class at run time
    """Return the message class ScaleOffsetRecord."""
    file = descriptor_pb2.FileDescriptorProto(name="quant_runner/record.proto", package=_PACKAGE, syntax="proto2")
    value = file.message_type.add(name="SingleLayerRecord")
    for name, number, kind, repeated in _ENTRY_FIELDS:
        label = _TYPES.LABEL_REPEATED if repeated else _TYPES.LABEL_OPTIONAL
        value.field.add(name=name, number=number, type=kind, label=label)
    entry = file.message_type.add(name="MapFiledEntry")
    entry.field.add(name="key", number=1, type=_TYPES.TYPE_STRING, label=_TYPES.LABEL_OPTIONAL)
    _message_field(entry, "value", 2, "SingleLayerRecord", _TYPES.LABEL_OPTIONAL)
    _message_field(file.message_type.add(name="ScaleOffsetRecord"), "record", 1, "MapFiledEntry", _TYPES.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ScaleOffsetRecord"))


def _message_field(owner: Any, name: str, number: int, kind: str, label: int) -> None:  # noqa: ANN401
    owner.field.add(name=name, number=number, type=_TYPES.TYPE_MESSAGE, type_name=f".{_PACKAGE}.{kind}", label=label)
