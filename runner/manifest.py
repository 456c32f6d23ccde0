"""``manifest.json``: which files of a job's folder are its result, each with its sha256, at every moment.

    {"files": {"summary.json": "<sha256>", ...}, "left": ["results/old_deploy_model.onnx", ...]}

A file is taken off the list before it is replaced or removed, and put on it when it is in place. What is in the folder without
being a result is ``left``: files of an earlier job, or of one under way. Whoever goes on removes those, so that a job that is
killed at any point leaves nothing that nobody knows of. ``left`` is absent where it is empty, as after every job that ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from runner.plain_values import fits
from runner.whole_file import write_atomically

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder's manifest says.

    Attributes:
        files: name, relative to the folder, -> sha256 of what is a result.
        left: names of what the folder holds beside it.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path) -> Manifest:
        """Return the manifest of a folder; an empty one where there is none, or none that a job wrote."""
        try:
            read = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return cls()
        if not isinstance(read, dict) or not fits(read.get("files"), Mapping[str, str]):
            return cls()
        left = read.get("left", [])
        return cls(
            {name: digest for name, digest in read["files"].items() if _is_inside(name)},
            tuple(name for name in left if _is_inside(name)) if fits(left, list[str]) else (),
        )

    @property
    def names(self) -> set[str]:
        """All files that it knows of."""
        return {*self.files, *self.left}

    def without(self, names: Iterable[str]) -> Manifest:
        """Return it with files that are no result any more, or not yet, but may be there."""
        gone = set(names)
        kept = {name: digest for name, digest in self.files.items() if name not in gone}
        return Manifest(kept, tuple(sorted(gone | set(self.left))))

    def knowing(self, names: Iterable[str]) -> Manifest:
        """Return it with more files that may be there; what is a result stays one."""
        return Manifest(self.files, tuple(sorted({*self.left, *names} - self.files.keys())))

    def listing(self, files: Mapping[str, str]) -> Manifest:
        """Return it with more files that are a result now."""
        return Manifest({**self.files, **files}, tuple(name for name in self.left if name not in files))

    def write(self, root: Path) -> None:
        """Put it in place of the folder's."""
        left = {"left": list(self.left)} if self.left else {}
        text = json.dumps({"files": dict(sorted(self.files.items())), **left}, indent=2)
        write_atomically(root / MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))


def _is_inside(name: str) -> bool:
    """Return whether a name is one that a job writes: below its folder, and no other way to say so."""
    path = PurePosixPath(name)
    try:
        os.fsencode(name)
    except UnicodeError:
        return False
    sound = not path.is_absolute() and ".." not in path.parts and "\0" not in name
    return sound and str(path) == name and name not in (".", MANIFEST)
