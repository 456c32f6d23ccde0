"""Text that came from somewhere else, as any terminal and any UTF-8 file takes it."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import unicodedata
from pathlib import Path

# Characters that would break a line, steer a terminal or have no UTF-8 form: controls, surrogates, line separators.
_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Signs that make what follows them read from the other side; those of letters themselves are left alone.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LONGEST = 2500
# Longer than any path; a name of 100 000 letters is told by its beginning and end.
_LONG = re.compile(r"\S{4097,}")
_KEPT = 100
# Of a folder, to look among for a name that is near.
_MOST_NAMES = 2000
_LINE = re.compile(r"[^\n]+")


def shown(name: str | os.PathLike[str]) -> str:
    r"""Return a name, or a path, as text that any terminal and any UTF-8 file takes.

    A byte that is no UTF-8 (a name from a GBK system) becomes ``\xNN``, a line break ``\n``; all else stays as it is.
    """
    text = os.fspath(name)
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _is_unshown(char) else char for char in text)


def no_file(path: Path) -> str:
    """Return what is said of a path where a file was expected and is none: ``FILE does not exist (did you mean FILES?)``."""
    if path.is_dir() or path.exists():
        return f"{path} {'is a folder' if path.is_dir() else 'is no regular file'}"
    return f"{path} does not exist{_meant_file(path)}"


def _meant_file(path: Path) -> str:
    """Return what may have been meant by a path that does not exist; empty where nothing is near."""
    if "\\" in str(path) and os.sep == "/":
        return " (folders are parted by / here)"
    try:
        names = [entry.name for entry in itertools.islice(os.scandir(path.parent), _MOST_NAMES)]
    except OSError:
        missing = path.parent
        while not missing.parent.exists():
            missing = missing.parent
        return f", nor does the folder {missing}"
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f" (did you mean {path.parent / near[0]}?)" if near else ""


def message(text: str) -> str:
    """Return a message as one line of bounded length; what is beyond it is left out of its middle."""
    line = shown(" ".join(text.split("\n")) if "\n" in text else text)
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]} … {line[-half:]}"


def printable(text: str) -> str:
    """Return a text of any length in one line; what has more than 4096 characters without a space is cut in its middle."""
    line = shown(text)
    return _LONG.sub(_shortened, line) if len(line) > _KEPT else line


def printable_lines(text: str) -> str:
    """Return a text of several lines, such as a traceback, each of which any terminal takes."""
    return _LINE.sub(lambda line: printable(line[0]), text)


def escaped_json(text: str) -> str:
    r"""Return JSON that means the same, with ``\uNNNN`` in the place of what would steer whoever looks at it."""
    if text.isascii() and "\x7f" not in text:
        return text
    # Line breaks stand between values only.
    return "".join(f"\\u{ord(char):04x}" if _is_unshown(char) and char != "\n" else char for char in text)


def escaped_text_format(text: str) -> str:
    r"""Return a text as protobuf's text format has it between quotes: bytes that would steer a terminal as ``\NNN``."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return plain if plain.isprintable() else "".join(_octal(char) if _is_unshown(char) else char for char in plain)


def _octal(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogatepass"))


def _shortened(found: re.Match[str]) -> str:
    word = found[0]
    return f"{word[:_KEPT]}...({len(word)} characters)...{word[-_KEPT:]}"


def _is_unshown(char: str) -> bool:
    return char in _TURNING or unicodedata.category(char) in _UNSHOWN


def _escaped(char: str) -> str:
    code = ord(char)
    # Python keeps a byte of a file name that is no UTF-8 as a surrogate of this range.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else char.encode("unicode_escape").decode("ascii")
