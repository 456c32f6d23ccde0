"""The folder of one job: files written whole or not at all, and a manifest of what belongs to the result, true at every moment.

What an old manifest knows of and the finished job did not write is removed, and nothing else ever is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.errors import OutputError
from runner.graph.model_file import file_sha256, fits_one_file
from runner.inside import linked_folder
from runner.manifest import MANIFEST, Manifest
from runner.printable import escaped_json
from runner.whole_file import remove_abandoned, stem, write_atomically, written_aside

_MODEL_ENDINGS = (".onnx", ".onnx.data")
# What a folder is called until it is whole.
_ASIDE = ".folder."


class JobFolder:
    """Writes the files of one job below ``root`` and keeps the list of them.

    Args:
        root: the folder.
        aside: whether it is a folder that gets its name when it is whole, and so needs no manifest.

    Raises:
        OutputError: the folder cannot be made or written.
    """

    def __init__(self, root: str | os.PathLike[str], *, aside: bool = False) -> None:
        self.root = Path(root)
        self._aside = aside
        # The digest of each file that this job wrote.
        self._written: dict[Path, str] = {}
        self._untold: set[Path] = set()
        self._prefix = f"{_ASIDE}{os.getpid()}."
        self._held: dict[Path, Path] | None = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
            remove_abandoned(self.root, _ASIDE)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        self._manifest = Manifest.of(self.root)

    @property
    def files(self) -> tuple[Path, ...]:
        """The result files written so far, those apart that ``whole_folder`` is not to tell of."""
        return tuple(path for path in self._written if path not in self._untold)

    def path(self, name: str) -> Path:
        """Return the path of a file of this job."""
        return self.root / name

    def write_text(self, name: str, text: str) -> Path:
        """Write a UTF-8 text file; a byte of a file name that is no UTF-8 becomes an escape."""
        return self.write_bytes(name, text.encode("utf-8", "backslashreplace"))

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file as it is."""
        return self._write(name, lambda path: path.write_bytes(data))

    def write_json(self, name: str, value: Any, *, indent: int = 4, compact_keys: bool = False) -> Path:  # noqa: ANN401
        """Write JSON; ``compact_keys`` leaves out the space after a colon, as AMCT does."""
        separators = (",", ":") if compact_keys else None
        text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
        return self.write_text(name, escaped_json(text))

    def write_array(self, name: str, array: NDArray[Any]) -> Path:
        """Write a ``.npy`` file."""

        def save(path: Path) -> None:
            with path.open("wb") as stream:
                np.save(stream, array, allow_pickle=False)

        return self._write(name, save)

    def write_model(self, name: str, model: ir.Model) -> Path:
        """Write an ONNX model; weights beyond protobuf's limit go to ``<name>.data`` beside it."""
        external = None if fits_one_file(model) else f"{Path(name).name}.data"
        if external is None:
            return self._write(name, lambda path: ir.save(model, path))
        target = self.path(name)
        with self._writing(target):
            self._announce([target.parent / external, target])
            with tempfile.TemporaryDirectory(dir=self.root, prefix=self._prefix, suffix=".part") as folder:
                ir.save(model, Path(folder) / target.name, external_data=external)
                for path in (target.parent / external, target):
                    self._written[path] = file_sha256(Path(folder) / path.name)
                    os.replace(Path(folder) / path.name, path)
        return target

    @contextlib.contextmanager
    def published(self) -> Iterator[None]:
        """Put all that is written inside into place at the end, and list it, in the place of all that was there.

        So a reader finds the earlier files or these, but for the instant of a few renames, at which the list is empty.
        """
        held: dict[Path, Path] = {}
        self._held = held
        try:
            yield
            with self._writing(self.root):
                self._announce(held)
                for target, temporary in held.items():
                    digest = file_sha256(temporary)
                    os.replace(temporary, target)
                    self._written[target] = digest
        finally:
            self._held = None
            for temporary in held.values():
                temporary.unlink(missing_ok=True)
        self.finish()

    @contextlib.contextmanager
    def whole_folder(self, name: str, told: Collection[str] = ()) -> Iterator[JobFolder]:
        """Give a folder to write files into, which appears under its name at the end: whole, or not at all.

        Its files are listed at once.

        Args:
            name: of the new folder, relative to the job's.
            told: its files that ``files`` lists; the others are in the manifest alone.

        Raises:
            OutputError: it cannot be made or written.
        """
        target = self.path(name)
        with self._writing(target):
            aside = Path(tempfile.mkdtemp(dir=self.root, prefix=self._prefix, suffix=".part"))
        try:
            inside = JobFolder(aside, aside=True)
            yield inside
            with self._writing(target):
                digests = {target / path.relative_to(aside): digest for path, digest in inside._written.items()}
                # Not announced, which would take an earlier result back: there was no such folder.
                self._save(self._manifest.without(map(self._name, digests)))
                aside.chmod(0o755)
                os.rename(aside, target)
                self._written |= digests
                self._untold |= {path for path in digests if path.relative_to(target).as_posix() not in told}
                self._save(self._manifest.listing({self._name(path): digest for path, digest in digests.items()}))
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def remove(self, *names: str) -> None:
        """Remove files that this job wrote, after taking them off the list."""
        # Weights beyond protobuf's limit lie beside the model.
        both = [path for name in names for path in (self.path(name), self.path(f"{name}.data"))]
        written = [path for path in both if path in self._written]
        self._save(self._manifest.without(map(self._name, written)))
        for path in written:
            del self._written[path]
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """List what this job wrote as the result, and remove what else the manifest knows of."""
        with self._writing(self.root):
            result = {self._name(path): digest for path, digest in self._written.items() if path.is_file()}
            stale = self._manifest.names - result.keys()
            self._save(Manifest(result, tuple(sorted(stale))))
            _remove(self.root, stale)
            if stale:
                self._save(Manifest(result))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _write(self, name: str, write: Callable[[Path], Any]) -> Path:
        target = self.path(name)
        with self._writing(target):
            if self._held is not None:
                self._save(self._manifest.knowing([self._name(target)]))
                self._held[target] = written_aside(target, write)
                return target
            self._announce([target])
            temporary = written_aside(target, write)
            digest = file_sha256(temporary)
            os.replace(temporary, target)
            self._written[target] = digest
        return target

    def _announce(self, targets: Iterable[Path]) -> None:
        """Take what is going to be replaced off the list, and with the first file all of an earlier job."""
        names = {self._name(target) for target in targets}
        own = {self._name(path) for path in self._written}
        self._save(self._manifest.without(names | (self._manifest.files.keys() - own)))

    def _save(self, manifest: Manifest) -> None:
        if not self._aside and manifest != self._manifest:
            manifest.write(self.root)
        self._manifest = manifest

    @contextlib.contextmanager
    def _writing(self, target: Path) -> Iterator[None]:
        """Tell what goes wrong, and follow no link within the folder to another.

        Raises:
            OutputError: the target cannot be written, or its folder is a link.
        """
        try:
            linked = linked_folder(self.root, target)
            if linked is not None:
                raise OutputError(
                    f"paths.output: {linked} is a link, which what is written below it would follow; expected a folder of the "
                    "job's own. Remove the link."
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise _unwritable(target, error) from error


def withdraw_unfinished(root: Path, last: str) -> None:
    """Take back the manifest of a job that failed before it wrote its ``last`` file, and the models that it wrote.

    The other files do not count any longer, but a model would still look like a result to whoever sees it.
    """
    manifest = Manifest.of(root)
    if last in manifest.files or not manifest.names:
        return
    models = {name for name in manifest.names if name.endswith(_MODEL_ENDINGS)}
    manifest.without(manifest.files).write(root)
    _remove(root, models)
    others = tuple(name for name in manifest.names - models if (root / name).is_file())
    if others:
        Manifest({}, tuple(sorted(others))).write(root)
    else:
        (root / MANIFEST).unlink(missing_ok=True)


def replace_listed(root: Path, name: str, text: str) -> None:
    """Write a result file of a finished job again, and its digest into the manifest."""
    manifest = Manifest.of(root)
    manifest.without([name]).write(root)
    write_atomically(root / name, lambda path: path.write_bytes(text.encode("utf-8", "backslashreplace")))
    manifest.listing({name: file_sha256(root / name)}).write(root)


def read_manifest(root: Path) -> dict[str, str]:
    """Return file name -> sha256 of the last finished job in a folder; empty where there is none or it is unreadable."""
    return dict(Manifest.of(root).files)


def _remove(root: Path, names: Iterable[str]) -> None:
    """Remove files of a job, what a killed process left of them, and the folders that are empty then."""
    left: set[Path] = set()
    for name in names:
        stale = root / name
        if not stale.parent.resolve().is_relative_to(root.resolve()):
            continue
        remove_abandoned(stale.parent, stem(stale))
        if stale.is_symlink() or stale.is_file():
            stale.unlink(missing_ok=True)
        left |= set(Path(name).parents[:-1])
    for folder in sorted(left, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # something is still in it, or it is gone
            (root / folder).rmdir()


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"paths.output: {path} cannot be written: {error.strerror or error}. Set paths.output to a folder that can."
    )
