"""Damage to a protobuf message by its fields: it stays readable, what it says does not fit."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from benchmarks.fuzz.damage import Damage

_INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    13,
    16,
    127,
    128,
    255,
    1 << 16,
    1 << 20,
    2**31 - 1,
    2**31,
    2**40,
    2**63 - 1,
    -(2**31),
    -(2**63),
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 1e30, 3.4e38, float("nan"), float("inf"), float("-inf"))
_STRINGS = (
    "",
    "x",
    "a\x00b",
    "x" * 3000,
    "../../x",
    "/dev/zero",
    "\x1b[2J",
    "a\nb",
    "名字",
    "ai.onnx.ml",
    "Conv",
    "Loop",
    "If",
)
_SCALARS = {
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_UINT32: "int",
    FieldDescriptor.CPPTYPE_UINT64: "int",
    FieldDescriptor.CPPTYPE_ENUM: "int",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_STRING: "string",
}


def message_fields(kind: Callable[[], Message]) -> Damage:
    """Return the damage to messages of a class: change, clear, double, move and swap fields."""

    def damage(rng: random.Random, data: bytes) -> bytes:
        message = kind()
        message.ParseFromString(data)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            messages = list(_messages(message))
            holder = rng.choice(messages)
            same = [other for other in messages if other is not holder and type(other) is type(holder)]
            if same and rng.random() < 0.1:
                other = type(holder)()
                other.CopyFrom(rng.choice(same))
                holder.CopyFrom(other)
                continue
            set_fields = [field for field, _ in holder.ListFields()]
            field = rng.choice(set_fields if set_fields and rng.random() < 0.8 else holder.DESCRIPTOR.fields)
            assert isinstance(field, FieldDescriptor)
            _change(rng, holder, field, [text for inner in messages for text in _texts(inner)])
        return message.SerializePartialToString()

    return damage


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from _messages(inner)


def _texts(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            yield from (text for text in (value if field.is_repeated else [value]) if isinstance(text, str))


def _change(rng: random.Random, holder: Message, field: FieldDescriptor, texts: list[str]) -> None:
    name = field.name
    if rng.random() < 0.15:
        holder.ClearField(name)
    elif field.is_repeated:
        _change_list(rng, getattr(holder, name), field, texts)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        getattr(holder, name).SetInParent()
    else:
        _set(rng, lambda value: setattr(holder, name, value), field, getattr(holder, name), texts)


def _change_list(rng: random.Random, held: Any, field: FieldDescriptor, texts: list[str]) -> None:  # noqa: ANN401
    kind = rng.randrange(4)
    at = rng.randrange(len(held)) if len(held) else 0
    of_messages = field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
    if kind == 0 and len(held):
        del held[at]
    elif kind == 1 and len(held):
        held.extend([held[at]] * rng.choice([1, 1, 20]))
    elif kind == 2 and len(held) > 1:
        values = list(held)
        rng.shuffle(values)
        copies = [_copy(value) for value in values] if of_messages else values
        del held[:]
        held.extend(copies)
    elif of_messages:
        held.add()
    elif len(held):
        _set(rng, lambda value: held.__setitem__(at, value), field, held[at], texts)
    else:
        _set(rng, held.append, field, None, texts)


def _copy(message: Message) -> Message:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _set(rng: random.Random, put: Callable[[Any], Any], field: FieldDescriptor, old: Any, texts: list[str]) -> None:  # noqa: ANN401
    kind = _SCALARS[field.cpp_type]
    if kind == "int":
        near = [] if old is None else [old + 1, old - 1, old * 2]
        value: Any = rng.choice([*_INTEGERS, *near, rng.randrange(32)])
    elif kind == "float":
        value = rng.choice(_FLOATS)
    elif kind == "bool":
        value = rng.random() < 0.5
    elif field.type == FieldDescriptor.TYPE_BYTES:
        value = _bytes(rng, old or b"")
    else:
        value = rng.choice([*_STRINGS, *texts, *texts])
    try:
        put(value)
    except (ValueError, TypeError):  # beyond what the field can hold
        put(1)


def _bytes(rng: random.Random, old: bytes) -> bytes:
    filled = struct.pack("<f", rng.choice(_FLOATS)) * (len(old) // 4)
    return rng.choice(
        [b"", old[:-1], old + b"\0", old[: len(old) // 2], filled, rng.randbytes(len(old)), b"\xff\xfe", b"location"]
    )
