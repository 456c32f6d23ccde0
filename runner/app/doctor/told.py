"""Findings as a list of 80 columns, or as JSON."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from runner.credentials import without_credentials
from runner.modes.doctor.examine import Checked
from runner.modes.doctor.finding import Finding, Level
from runner.printable import printable

_COLUMNS, _NAME = 80, 13
_WORDS: Mapping[Level, str] = {"ok": "ok", "warning": "warning", "fault": "fault", "unchecked": "-"}
_SIGNS: Mapping[Level, str] = {"ok": "✓ ok", "warning": "! warning", "fault": "✗ fault", "unchecked": "- "}


def lines(checked: Checked, *, signs: bool) -> Iterator[str]:
    """Yield the lines of one check: a line a finding, with what follows below it.

    Args:
        checked: what it found.
        signs: whether the terminal has more than ASCII.
    """
    marks = _SIGNS if signs else _WORDS
    width = max(map(len, marks.values()))
    indent = " " * (width + 1 + _NAME)
    told = [finding for finding in checked.findings if finding.level != "unchecked"]
    for place, finding in enumerate(told):
        name = checked.name if place == 0 else ""
        yield from _wrapped(f"{marks[finding.level]:<{width}} {name:<{_NAME - 1}} ", _text(finding), indent)


def _text(finding: Finding) -> str:
    text = printable(without_credentials(finding.said))
    named = finding.key and finding.key not in text
    return f"{text.rstrip('.')}. Change {finding.key}." if named and finding.level != "ok" else text


def _wrapped(head: str, text: str, indent: str) -> list[str]:
    # Paths and options are never broken: they are to be copied.
    return textwrap.wrap(
        text, _COLUMNS, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def not_checked(names: Sequence[str], *, signs: bool) -> list[str]:
    """Return the lines that say which checks could not look, for what is at fault before them."""
    if not names:
        return []
    marks = _SIGNS if signs else _WORDS
    width = max(map(len, marks.values()))
    text = f"{', '.join(names)}: they need what is at fault above"
    return _wrapped(f"{marks['unchecked']:<{width}} {'not checked':<{_NAME - 1}} ", text, " " * (width + 1 + _NAME))


def closing(found: Sequence[Finding]) -> str:
    """Return the last line: how much is wrong."""
    faults, warnings = (sum(finding.level == level for finding in found) for level in ("fault", "warning"))
    return f"{faults} fault{'s' * (faults != 1)}, {warnings} warning{'s' * (warnings != 1)}"


def as_json(job: str, checked: Checked) -> list[dict[str, Any]]:
    """Return a check's findings as plain values, one a finding."""
    values = []
    for finding in checked.findings:
        said = {key: without_credentials(value) for key, value in asdict(finding).items()}
        values.append({**({"job": job} if job else {}), "check": checked.name, **said})
    return values


def has_signs() -> bool:
    """Return whether the terminal shows more than ASCII; what is no terminal gets words alone."""
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
