"""A label file: ``<file> <class>`` a line, as in AMCT's samples."""

from __future__ import annotations

from pathlib import Path

from runner.errors import DatasetError
from runner.printable import no_file


def read_labels(path: Path) -> list[tuple[str, int]]:
    """Return (file name, class) in the file's order; blank lines are skipped.

    Raises:
        DatasetError: the file is missing, a line is malformed (named by its number), or there is no line.
    """
    if not path.is_file():
        raise DatasetError(f"dataset.labels: {no_file(path)}; expected a text file with '<file> <class>' a line.")
    entries: list[tuple[str, int]] = []
    seen: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"dataset.labels: {path} is no UTF-8 text: {error.reason} at byte {error.start}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().replace("\t", " ").rpartition(" ")
        name = name.strip()
        if not name or not label.isascii() or not label.isdigit():
            raise DatasetError(
                f"dataset.labels: {path}:{number}: expected '<file> <class>' with a class number, got '{line}'. Number the "
                "classes from 0, in the order of the model's scores."
            )
        if name in seen:
            raise DatasetError(
                f"dataset.labels: {path}:{number}: '{name}' is listed again; it stands in line {seen[name]}."
            )
        seen[name] = number
        entries.append((name, int(label)))
    if not entries:
        raise DatasetError(f"dataset.labels: {path} lists no image; expected '<file> <class>' a line.")
    return entries
