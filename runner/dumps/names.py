"""How the nodes of a deploy file are called in a chip's dump, and in the files that are written to be held against it.

What a chip dumps is one file an operator, and its converter makes one ``.npy`` of each tensor:

    <op_type>.<op_name>.<task_id>.<stream_id>.<timestamp>                                  the dump
    <the same>.<input|output>.<index>.npy                                                  msaccucmp.py convert -d
    <the same>.<input|output>.<index>.<shape as 1x3x224x224>.npy                           with -f NCHW
    <op_name>.<output_index>.<timestamp>.npy                                               what is held against it

* In an op_name the chip writes ``_`` for a blank, a dot, a slash and a backslash; the tools take A-Z a-z 0-9 _ - only.
* Where ATC makes one operator of several, its name is theirs, one behind the other: ``conv1`` + ``conv1_relu``.
* A file name of 255 characters or more is replaced by a digest; ``mapping.csv`` beside it has lines ``<file>,<name>``.

Source: hiascend.com, CANN 8.x and 9.x, "Converting Dump File Formats", "Dump File Naming Conventions", "Preparing Offline
Model Dump Data" (atlasaccuracy_16_0028, _0054); the tools' own patterns in msaccucmp (reg_manager.py, file_utils.py) and
``ReplaceStringElem`` of CANN's open runtime.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

Side = Literal["input", "output"]

_CONVERTED = re.compile(
    r"(?P<op_type>[^.]+)\.(?P<op_name>[^.]+)(\.[0-9]+){2,8}\.(?P<side>input|output)\.(?P<index>[0-9]+)(\.[A-Za-z0-9_]+)?\.npy"
)
_EXPECTED = re.compile(r"(?P<op_name>[^.]+)\.(?P<index>[0-9]+)\.[0-9]+\.npy")
_RAW = re.compile(r"[^.]+\.[^.]+(\.[0-9]+){2,8}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
# The tools want digits; a time would be another for every run of the same job.
_NO_TIME = "0" * 16
_LONGEST = 180


@dataclass(frozen=True, slots=True)
class DumpName:
    """What the name of a converted dump says.

    Attributes:
        op_type: the chip's own, as Conv2D; empty where the name does not tell.
        op_name: with the replaced characters.
        side: whether the tensor is read or made by the operator.
        index: of the input or output.
    """

    op_type: str
    op_name: str
    side: Side
    index: int


def dump_name(node: str) -> str:
    """Return what the tools call a node of the deploy file."""
    return _OTHER.sub("_", node)


def parse_name(file_name: str) -> DumpName | None:
    """Return what the name of a converted dump says, None for another file."""
    if found := _CONVERTED.fullmatch(file_name):
        side: Side = "input" if found["side"] == "input" else "output"
        return DumpName(found["op_type"], dump_name(found["op_name"]), side, int(found["index"]))
    if found := _EXPECTED.fullmatch(file_name):
        return DumpName("", dump_name(found["op_name"]), "output", int(found["index"]))
    return None


def is_raw_dump(file_name: str) -> bool:
    """Return whether a file is a dump that was not converted yet."""
    return _RAW.fullmatch(file_name) is not None


def file_name(node: str, index: int, taken: set[str]) -> str:
    """Return the name of the file for one output of a node: the tools' form, short enough, and none of ``taken``.

    Args:
        node: of the deploy file; any characters, any length.
        index: of the output.
        taken: names in use, in lower case as some file systems see them; the new one is added.
    """
    stem = dump_name(node)
    if len(stem) > _LONGEST:
        stem = f"{stem[:_LONGEST]}_{hashlib.sha256(node.encode()).hexdigest()[:12]}"
    name, number = f"{stem}.{index}.{_NO_TIME}.npy", 0
    while name.lower() in taken:
        number += 1
        name = f"{stem}_{number}.{index}.{_NO_TIME}.npy"
    taken.add(name.lower())
    return name
