"""Text that came from somewhere else, as any terminal and any UTF-8 file takes it."""

from __future__ import annotations

import os
import unicodedata

# Characters that would break a line, steer a terminal or have no UTF-8 form: controls, surrogates, line separators.
_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Signs that make what follows them read from the other side; those of letters themselves are left alone.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LONGEST = 2500


def shown(name: str | os.PathLike[str]) -> str:
    r"""Return a name, or a path, as text that any terminal and any UTF-8 file takes.

    A byte that is no UTF-8 (a name from a GBK system) becomes ``\xNN``, a line break ``\n``; all else stays as it is.
    """
    text = os.fspath(name)
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _is_unshown(char) else char for char in text)


def message(text: str) -> str:
    """Return a message as one line of bounded length; what is beyond it is left out of its middle."""
    line = shown(" ".join(text.split("\n")) if "\n" in text else text)
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]} … {line[-half:]}"


def _is_unshown(char: str) -> bool:
    return char in _TURNING or unicodedata.category(char) in _UNSHOWN


def _escaped(char: str) -> str:
    code = ord(char)
    # Python keeps a byte of a file name that is no UTF-8 as a surrogate of this range.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else char.encode("unicode_escape").decode("ascii")
