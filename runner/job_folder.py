"""The folder of one job: files written whole or not at all, and a manifest of what belongs to the result.

``manifest.json`` lists every result file with its sha256 and is renamed into place last. A file that does not match its
manifest counts as absent; what an old manifest lists and a new one does not is removed, and nothing else ever is.
"""

from __future__ import annotations

import contextlib
import glob
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

MANIFEST = "manifest.json"
_MODEL_ENDINGS = (".onnx", ".onnx.data")
# What a folder is called until it is whole.
_ASIDE = ".folder."


class JobFolder:
    """Writes the files of one job below ``root`` and keeps the list of them.

    Raises:
        OutputError: the folder cannot be made or written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._written: list[Path] = []
        self._untold: set[Path] = set()
        self._digests: dict[Path, str] = {}
        self._held: list[tuple[Path, Path]] | None = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
            _remove_abandoned(self.root, _ASIDE)
        except OSError as error:
            raise _unwritable(self.root, error) from error

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
        return self.write_text(name, text)

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
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                ir.save(model, Path(folder) / target.name, external_data=external)
                os.replace(Path(folder) / external, target.parent / external)
                os.replace(Path(folder) / target.name, target)
        except OSError as error:
            raise _unwritable(target, error) from error
        self._list(target.parent / external)
        self._list(target)
        return target

    @contextlib.contextmanager
    def published(self) -> Iterator[None]:
        """Put all that is written inside into place at the end, in one go with a manifest that lists it.

        So a reader, or a job that is killed, finds the earlier files or these, but for the instant of a few renames.
        """
        self._held = []
        held = self._held
        try:
            yield
            digests = {path: self._digest(path) for path in self._written if path.is_file()}
            digests |= {target: file_sha256(temporary) for temporary, target in held}
            manifest = _manifest_text({self._name(path): digest for path, digest in digests.items()})
            self._write(MANIFEST, lambda path: path.write_text(manifest, encoding="utf-8"), listed=False)
            previous = read_manifest(self.root)
            for temporary, target in held:
                os.replace(temporary, target)
        except OSError as error:
            raise _unwritable(self.root, error) from error
        finally:
            self._held = None
            for temporary, _ in held:
                temporary.unlink(missing_ok=True)
        self._remove(previous)

    @contextlib.contextmanager
    def whole_folder(self, name: str, told: Collection[str] = ()) -> Iterator[JobFolder]:
        """Give a folder to write files into, which appears under its name at the end: whole, or not at all.

        The manifest that is there lists its files from then on, so that whatever ends this job, the next one removes them.

        Args:
            name: of the new folder, relative to the job's.
            told: its files that ``files`` lists; the others are in the manifest alone.

        Raises:
            OutputError: it cannot be made or written.
        """
        target = self.path(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=self.root, prefix=f"{_ASIDE}{os.getpid()}.", suffix=".part"))
        except OSError as error:
            raise _unwritable(target, error) from error
        try:
            inside = JobFolder(aside)
            yield inside
            names = [path.relative_to(aside) for path in inside._written]
            digests = {target / path: file_sha256(aside / path) for path in names}
            manifest = _manifest_text(read_manifest(self.root) | {self._name(path): d for path, d in digests.items()})
            aside.chmod(0o755)
            self._write(MANIFEST, lambda path: path.write_text(manifest, encoding="utf-8"), listed=False)
            os.rename(aside, target)
        except OSError as error:
            raise _unwritable(target, error) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._digests |= digests
        for path in digests:
            self._list(path)
            if path.relative_to(target).as_posix() not in told:
                self._untold.add(path)

    def remove(self, *names: str) -> None:
        """Remove files that this job wrote, after taking back the manifest that lists them."""
        self.path(MANIFEST).unlink(missing_ok=True)
        for path in map(self.path, names):
            # Weights beyond protobuf's limit lie beside the model.
            for written in (path, path.with_name(f"{path.name}.data")):
                if written in self._written:
                    self._written.remove(written)
                    written.unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove what the previous manifest lists and this job did not write, then write the manifest."""
        self._remove(read_manifest(self.root))
        manifest = _manifest_text({self._name(path): self._digest(path) for path in self._written})
        self._write(MANIFEST, lambda path: path.write_text(manifest, encoding="utf-8"), listed=False)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _digest(self, path: Path) -> str:
        return self._digests.get(path) or file_sha256(path)

    def _remove(self, previous: Iterable[str]) -> None:
        written = {self._name(path) for path in self._written}
        left: set[Path] = set()
        for name in previous:
            stale = self.root / name
            inside = stale.resolve().is_relative_to(self.root.resolve())
            if name not in written and inside and stale.is_file():
                stale.unlink(missing_ok=True)
                left |= set(stale.relative_to(self.root).parents[:-1])
        for folder in sorted(left, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # something is still in it
                (self.root / folder).rmdir()

    def _write(self, name: str, write: Callable[[Path], Any], *, listed: bool = True) -> Path:
        target = self.path(name)
        try:
            if self._held is None:
                write_atomically(target, write)
            else:
                self._held.append((_written_aside(target, write), target))
        except OSError as error:
            raise _unwritable(target, error) from error
        if listed:
            self._list(target)
        return target

    def _list(self, target: Path) -> None:
        if target not in self._written:
            self._written.append(target)


def write_atomically(target: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` on a temporary file in the target's folder, flush it to disk and rename it into place."""
    path = _written_aside(target, write)
    try:
        os.replace(path, target)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _written_aside(target: Path, write: Callable[[Path], Any]) -> Path:
    """Write and flush a temporary file in the target's folder, and return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stem = f".{target.name[:40]}."
    _remove_abandoned(target.parent, stem)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f"{stem}{os.getpid()}.", suffix=".part")
    os.close(handle)
    path = Path(temporary)
    try:
        write(path)
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
        path.chmod(0o644)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return path


def _remove_abandoned(folder: Path, stem: str) -> None:
    """Remove a file's, or folder's, temporary forms whose process was killed."""
    for path in folder.glob(f"{glob.escape(stem)}*.part"):
        process = path.name.removeprefix(stem).partition(".")[0]
        if not process.isdecimal() or _alive(int(process)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def withdraw_unfinished(root: Path, last: str) -> None:
    """Take back the manifest of a job that failed before it wrote its ``last`` file, and the models that it lists.

    The other files do not count any longer, but a model would still look like a result to whoever sees it.
    """
    listed = read_manifest(root)
    if not listed or last in listed:
        return
    (root / MANIFEST).unlink(missing_ok=True)
    for path in (root / name for name in listed if name.endswith(_MODEL_ENDINGS)):
        if path.resolve().is_relative_to(root.resolve()):
            path.unlink(missing_ok=True)


def replace_listed(root: Path, name: str, text: str) -> None:
    """Write a result file of a finished job again, and its digest into the manifest."""
    write_atomically(root / name, lambda path: path.write_bytes(text.encode("utf-8", "backslashreplace")))
    manifest = _manifest_text(read_manifest(root) | {name: file_sha256(root / name)})
    write_atomically(root / MANIFEST, lambda path: path.write_text(manifest, encoding="utf-8"))


def read_manifest(root: Path) -> dict[str, str]:
    """Return file name -> sha256 of the last finished job in a folder; empty where there is none or it is unreadable."""
    try:
        files = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}


def _manifest_text(digests: dict[str, str]) -> str:
    return json.dumps({"files": dict(sorted(digests.items()))}, indent=2)


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"paths.output: {path} cannot be written: {error.strerror or error}. Set paths.output to a folder that can."
    )
