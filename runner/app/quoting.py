"""Values as Hydra's grammar reads them: what it cannot read and is plainly a path, or letters it lacks, is quoted for the user.

What it can read means what it means: lists, sweeps, interpolations, functions, quoted text.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

# The last part of options that name a file or folder.
_PLACES = frozenset(
    {
        *(
            "path",
            "images",
            "labels",
            "annotations",
            "masks",
            "names",
            "classes",
            "alphabet",
            "data_dir",
            "image",
            "truth",
        ),
        *("record", "quant_config", "searchpath", "dir"),
    }
)
# Beside those, options that take text where a number would be refused.
_TEXT = frozenset({"paths.output", "paths.job", "sweep.name", "model.name", "model.path", "record", "quant_config"})
_TEXT_OF_DATA = frozenset({"path", "images", "labels", "annotations", "masks", "alphabet", "data_dir"})
_FUNCTIONS = re.compile(
    r"(choice|range|interval|glob|sort|shuffle|tag|extend_list|str|int|float|bool|json_str)\(", re.IGNORECASE
)
_SEPARATED, _EXTENSION = re.compile(r"[/\\]|^~"), re.compile(r"\.[A-Za-z]\w{0,7}$")


def quoted(text: str) -> str:
    """Return a text in the quotes in which Hydra reads it as it is."""
    return QuotedString(text, Quote.single).with_quotes()


def to_copy(key: str, value: str) -> str:
    """Return an option whose value is one text, quoted for Hydra and for a shell."""
    return shlex.quote(f"{key}={QuotedString(value, Quote.double).with_quotes()}")


def parsed(argument: str) -> Override | None:
    """Return an override as Hydra has it; None where it cannot be read."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def readable(argument: str, *, sweep: bool = False) -> str:
    """Return an override ``KEY=VALUE`` in a form that Hydra reads, or as it stands where what it means is not plain.

    Args:
        argument: of the command line.
        sweep: whether commas part the values of several jobs.
    """
    key, equal, value = argument.partition("=")
    value = value.strip()
    if not equal or not value or parsed(f"{key}=x") is None:
        return argument
    read = parsed(argument)
    if read is not None:
        number = read.value_type is not None and isinstance(read.value(), (int, float)) and _takes_text(key)
        return f"{key}={quoted(value)}" if number else argument
    if os.path.lexists(os.path.expanduser(value)):
        return f"{key}={quoted(value.replace('${', chr(92) + '${'))}"
    whole = is_path(key, value)
    if whole and not (sweep and "," in value):
        return f"{key}={quoted(value)}"
    # Of a sweep, a list or a choice each part by itself.
    pieces = "".join(_pieces(value, lambda piece: whole or not piece.isascii()))
    return f"{key}={pieces}" if parsed(f"{key}={pieces}") is not None else argument


def _takes_text(key: str) -> bool:
    plain, _, last = key.lstrip("+").rpartition(".")
    return key.lstrip("+") in _TEXT or (plain in ("dataset", "calibration.dataset") and last in _TEXT_OF_DATA)


def is_path(key: str, value: str) -> bool:
    """Return whether a value that Hydra cannot read is one path, however it is spelled."""
    if value[0] in "\"'" or value.endswith(",") or _FUNCTIONS.match(value) or _unbalanced_interpolation(value):
        return False
    if value[0] in "[{" and re.match(r"\[[^\]]*\].|\{[^}]*\}.", value) is None:
        return False
    named = key.lstrip("+").rpartition(".")[2] in _PLACES or key.lstrip("+") == "paths.output"
    return named or bool(_SEPARATED.search(value) or _EXTENSION.search(value))


def _unbalanced_interpolation(value: str) -> bool:
    return value.count("${") > value.count("}")


def _pieces(value: str, ours: Callable[[str], bool]) -> Iterator[str]:
    """Yield a value part by part: what stands between commas, in quotes where it has to be, and what is around it."""
    opened = value[0] if value[0] in "[{" else ""
    body = value[1:-1] if opened else value
    yield opened
    for part in _parts(body):
        key, colon, rest = part.partition(":") if opened == "{" else ("", "", part)
        core = rest.strip()
        needed = core[:1] not in ("", ",", "[", "{", "'", '"') and parsed(f"x={core}") is None
        yield f"{key}{colon}{rest.replace(core, quoted(core)) if needed and ours(core) else rest}"
    yield value[-1] if opened else ""


def _parts(body: str) -> Iterator[str]:
    """Yield the runs between commas, and those; commas within brackets or quotes part nothing."""
    depth, start, quote = 0, 0, ""
    for at, char in enumerate(body):
        if quote:
            quote = "" if char == quote and body[at - 1] != "\\" else quote
        elif char in "\"'" and not body[start:at].strip():
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth <= 0:
            yield from (body[start:at], ",")
            start = at + 1
    yield body[start:]
