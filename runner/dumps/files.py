"""The converted dumps below a folder, and which of them hold a tensor of the deploy file."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.dumps.index import Place
from runner.dumps.names import DumpName, dump_name, is_raw_dump, parse_name
from runner.errors import DatasetError

_MAPPING = "mapping.csv"


@dataclass(frozen=True, slots=True)
class DumpFile:
    """A converted dump: what its name says, and where it lies."""

    name: DumpName
    path: Path


class DumpFiles:
    """The converted dumps below a folder.

    Args:
        folder: is searched with all folders below it.
        nodes: every node of the deploy file with its type, in graph order.

    Raises:
        DatasetError: there is no such folder, it holds none, or those of several runs.
    """

    def __init__(self, folder: Path, nodes: Sequence[tuple[str, str]]) -> None:
        self.folder = folder
        self._files = _found(folder)
        self._by_name: dict[tuple[str, str, int], list[DumpFile]] = defaultdict(list)
        self._types = dict(nodes)
        self._same_name: dict[str, list[str]] = defaultdict(list)
        for node, _ in nodes:
            self._same_name[dump_name(node)].append(node)
        self._fused: dict[str, str] = {}
        for file in self._files:
            self._add(file)
        self._refuse_several_runs()

    def of(self, places: Iterable[Place]) -> list[tuple[Place, DumpFile]]:
        """Return the dumps of a tensor, in the order of its places."""
        found = []
        for place in places:
            for file in self._by_name.get((dump_name(place.node), place.side, place.index), ()):
                if self._is_of(place.node, file):
                    found.append((place, file))
                    break
        return found

    @property
    def unmatched(self) -> tuple[str, ...]:
        """The operators, as ``type.name``, that the deploy file has no node for: those that ATC put in, and others' dumps."""
        known = self._same_name.keys() | self._fused.keys()
        names = {f"{f.name.op_type}.{f.name.op_name}".strip(".") for f in self._files if f.name.op_name not in known}
        return tuple(sorted(names))

    @property
    def matched(self) -> bool:
        """Whether any dump is of an operator that the deploy file has."""
        return bool(self._by_name)

    def _add(self, file: DumpFile) -> None:
        name = file.name
        if name.op_name not in self._same_name:
            parts = self._parts(name.op_name)
            if parts is None:
                return
            # One operator made of several: it reads what the first reads, and gives what the last gives.
            own = parts[0] if name.side == "input" else parts[1]
            self._fused[name.op_name] = own
            self._by_name[own, name.side, name.index].append(file)
            return
        self._by_name[name.op_name, name.side, name.index].append(file)

    def _parts(self, op_name: str) -> tuple[str, str] | None:
        """Return the first and last node of those that a name is made of; None where it is not, or in several ways."""
        ways: dict[int, list[tuple[str, str]]] = {0: [("", "")]}
        for end in range(1, len(op_name) + 1):
            for start, found in list(ways.items()):
                part = op_name[start:end]
                if part in self._same_name:
                    ways[end] = [*ways.get(end, []), *((first or part, part) for first, _ in found)][:2]
        whole = ways.get(len(op_name), [])
        return whole[0] if len(whole) == 1 else None

    def _is_of(self, node: str, file: DumpFile) -> bool:
        """Return whether a dump is the node's, of nodes whose names the tools write alike: known by their type."""
        alike = self._same_name[dump_name(node)]
        if len(alike) == 1 or not file.name.op_type:
            return alike[0] == node
        own = self._types[node]
        of_type = [other for other in alike if self._types[other] == own]
        return len(of_type) == 1 and file.name.op_type.startswith(own)

    def _refuse_several_runs(self) -> None:
        for files in self._by_name.values():
            folders = sorted({file.path.parent for file in files})
            if len(folders) > 1:
                raise DatasetError(
                    f"{self.folder}: holds the same tensor of several runs, as {files[0].path.name} in "
                    f"{' and '.join(str(path.relative_to(self.folder)) for path in folders[:2])}; expected the dumps of one. "
                    "Name the folder of one run."
                )


def _found(folder: Path) -> list[DumpFile]:
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise DatasetError(f"{folder} {kind}; expected the folder that msaccucmp.py convert -out wrote into.")
    files, raw, others = [], 0, 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        long_names = _mapping(Path(root))
        for name in sorted(names):
            parsed = parse_name(long_names.get(name, name))
            if parsed is not None and Path(root, name).is_file():  # a pipe would be waited for
                files.append(DumpFile(parsed, Path(root, name)))
            raw += is_raw_dump(name)
            others += name.endswith(".npy") and parsed is None
    if files:
        return files
    if raw:
        raise DatasetError(
            f"{folder}: holds {raw} dumps as the chip wrote them and no .npy file; convert them first: "
            f"python3 msaccucmp.py convert -d {folder} -out FOLDER"
        )
    got = f"{others} .npy files of other names" if others else "no .npy file"
    raise DatasetError(
        f"{folder}: expected dumps converted by msaccucmp.py, <op_type>.<op_name>.<task_id>.<stream_id>.<timestamp>."
        f"<input|output>.<index>.npy, got {got}. Name the folder that convert -out wrote into."
    )


def _mapping(folder: Path) -> Mapping[str, str]:
    """Return file -> real name, of the files whose name was too long."""
    if not (folder / _MAPPING).is_file():
        return {}
    try:
        with (folder / _MAPPING).open(encoding="utf-8", newline="") as stream:
            return {row[0]: row[1] for row in csv.reader(stream) if len(row) == 2}
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
