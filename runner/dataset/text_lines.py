"""Images of text with what each says, as text recognisers are trained on."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Protocol, runtime_checkable

from runner.dataset.alphabet import read_alphabet
from runner.dataset.names import Files
from runner.dataset.photos import Photos, folder_title
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.printable import shown

KEY = "dataset.labels"


@runtime_checkable
class HasAlphabet(Protocol):
    """A dataset that knows which characters its model tells, in the order of the model's classes."""

    @property
    def alphabet(self) -> tuple[str, ...]:
        """Return the characters, without the blank; none where they are not known."""
        ...


class TextLines(Photos):
    """Images named by a label file, with the text that each shows.

    Texts are in Unicode's composed form (NFC), however the file has them; nothing else of them is changed, spaces at either end
    included. A text may be empty.

    Args:
        images: folder that the listed file names are below.
        labels: UTF-8 text with ``<file><tab><text>`` a line, in the items' order; blank lines are skipped.
        alphabet: UTF-8 text with a character a line, as the model's classes are numbered; None where it is not known.
        preprocess: from an image to an array.

    Raises:
        DatasetError: the folder, a file or a listed image is missing, a line has no tab, or an image is listed twice.
        ConfigError: the alphabet cannot be read, see ``read_alphabet``.
    """

    def __init__(
        self, images: str, labels: str, alphabet: str | None = None, preprocess: ImagePreprocess | None = None
    ) -> None:
        self.folder = Path(images)
        if not os.path.isdir(self.folder):
            raise DatasetError(
                f"dataset.images: {shown(self.folder)} is no folder; expected the folder that holds the images."
            )
        self.alphabet = () if alphabet is None else read_alphabet(alphabet, key="dataset.alphabet")
        self._entries = read_texts(Path(labels))
        files = Files(self.folder)
        found = [(name, files.find(name)) for name, _ in self._entries]
        missing = [name for name, path in found if path is None]
        if missing:
            raise DatasetError(
                f"dataset.images: {len(missing)} of {len(found)} images listed in {shown(labels)} do not exist in "
                f"{shown(self.folder)}: {', '.join(map(shown, missing[:3]))}{' …' if len(missing) > 3 else ''}."
            )
        super().__init__([path for _, path in found if path is not None], preprocess)

    def label(self, index: int) -> str:
        """Return what an image says."""
        return self._entries[index][1]

    def name(self, index: int) -> str:
        """Return an image's file name, as the label file has it; see ``shown``."""
        return shown(self._entries[index][0])

    def describe(self) -> str:
        """Return the folder's name, and its parent's where the folder is called ``images``."""
        return folder_title(self.folder)


def read_texts(path: Path) -> list[tuple[str, str]]:
    """Return (file name, text) in a label file's order.

    Raises:
        DatasetError: the file is missing or no UTF-8, a line is malformed (named by its number), or there is no line.
    """
    try:
        # Bytes: read as text a lone carriage return would end a line, and splitlines() has eight more ends of a line.
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise DatasetError(f"{KEY}: {shown(path)} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{KEY}: {shown(path)} is no UTF-8 text: {error.reason} at byte {error.start}.") from error
    entries: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, tab, text = line.removesuffix("\r").partition("\t")
        if not line.strip():
            continue
        if not name.strip() or not tab:
            raise DatasetError(
                f"{KEY}: {shown(path)}:{number}: expected '<file><tab><text>', got '{shown(line.strip())[:80]}'."
            )
        if name in seen:
            raise DatasetError(
                f"{KEY}: {shown(path)}:{number}: '{shown(name)}' is listed again; it stands in line {seen[name]}."
            )
        seen[name] = number
        entries.append((name, unicodedata.normalize("NFC", text)))
    if not entries:
        raise DatasetError(f"{KEY}: {shown(path)} lists no image; expected '<file><tab><text>' a line.")
    return entries
