r"""Names that are no UTF-8, as exporters under a Chinese code page write them: onnxruntime takes them, no text file does.

Protobuf gives such a name as bytes. Each byte that is none of UTF-8's becomes an escape, ``\xff``, everywhere alike, so that
what was one name stays one.
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto


def make_utf8(proto: ModelProto) -> None:
    """Spell out the bytes of names and other texts that are no UTF-8; changes the model it is given."""
    if not _sound(proto):
        _spell(proto)


def _sound(proto: ModelProto) -> bool:
    """Return whether the texts that most of a model's consist of are UTF-8; a look at every field would take far longer."""
    graph = proto.graph
    try:
        "".join([proto.producer_name, proto.producer_version, proto.domain, proto.doc_string, graph.name])
        "".join(name for node in graph.node for name in (node.name, node.op_type, node.domain, node.doc_string))
        "".join(name for node in graph.node for names in (node.input, node.output) for name in names)
        "".join(tensor.name for tensor in graph.initializer)
        "".join(value.name for values in (graph.input, graph.output, graph.value_info) for value in values)
        "".join(text for entry in proto.metadata_props for text in (entry.key, entry.value))
    except TypeError:  # bytes among them
        return False
    # Bodies and functions are few.
    return not proto.functions and not any(node.op_type in ("If", "Loop", "Scan") for node in graph.node)


def _spell(message: Message) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            if not field.is_repeated:
                setattr(message, field.name, _text(value))
            elif any(isinstance(text, bytes) for text in value):
                value[:] = [_text(text) for text in value]
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                _spell(inner)


def _text(text: str | bytes) -> str:
    return text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
