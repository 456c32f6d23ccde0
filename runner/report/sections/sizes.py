"""How large the model's files are: as it was given, and as it is written."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from runner.external_data import external_files
from runner.figure import Card, Column, Figure, Row, Section, Table
from runner.modes.result import JobResult
from runner.rounded import rounded
from runner.wording import say

_COLUMNS = (Column(say("file"), "name"), Column(say("bytes"), "number"), Column(say("of the model given"), "number"))


def sizes(result: JobResult) -> Section:
    """Return the section: a row a model file, with what it keeps beside itself; empty where the model is gone."""
    source, root = Path(result.source.model_path), result.files.folder.root
    if not source.is_file():
        return Section(name="sizes")
    given = _size(source)
    written = {name: _size(root / name) for name in result.models if (root / name).is_file()}
    rows = [Row((say("{model}, as given", model=source.name), f"{given:,}", ""))]
    rows += [Row((name, f"{size:,}", f"{size / given:.1%}")) for name, size in written.items()]
    figures = [Figure(key="bytes", value={"source": given, **written})]
    if written:
        deployed = next(iter(written.values()))
        card = Card(
            say("model file"),
            _both(given, deployed),
            say("{share:.0%} of the float file", share=deployed / given),
        )
        figures.append(Figure(card=card))
    return Section(name="sizes", heading=say("Files"), place="again", figures=figures, blocks=(Table(_COLUMNS, rows),))


def _size(path: Path) -> int:
    """Return a model's bytes, with those of the files that it names."""
    try:
        beside = external_files(onnx.load(path, format="protobuf", load_external_data=False))
    except DecodeError:  # a target of the user's own writes what its machine reads
        beside = set()
    return path.stat().st_size + sum((path.parent / name).stat().st_size for name in beside)


def _both(given: float, written: float) -> str:
    """Return two sizes in one unit."""
    for unit in ("B", "kB"):
        if max(given, written) < 1000:
            return f"{given:.3g} → {written:.3g} {unit}"
        given, written = given / 1000, written / 1000
    return f"{rounded(given, 3)} → {rounded(written, 3)} MB"
