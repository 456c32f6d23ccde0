"""One thing in a deploy model that ATC would refuse or misread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from runner.printable import printable
from runner.wording import listed, recalled, say

Severity = Literal["fault", "unsupported", "warning"]
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a deploy model that ATC would refuse or misread.

    Attributes:
        node: where: a node, an initializer, an input, or ``model``.
        severity: ``fault``: the quantization in the file is wrong. ``unsupported``: ATC does not take a part of the model
            that was there before quantization. ``warning``: an option of the ``atc`` command mends it, or ATC may take it.
        advice: what to do about it; empty where the expectation says so.
    """

    node: str
    expected: str
    got: str
    severity: Severity = "fault"
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.node}: {self.said}"

    @property
    def said(self) -> str:
        """What is wrong, wherever it is."""
        expected, got = recalled(printable(self.expected)), recalled(printable(self.got))
        if not self.advice:
            return say("expected {expected}, got {got}", expected=expected, got=got)
        return say("expected {expected}, got {got}; {advice}", expected=expected, got=got, advice=recalled(self.advice))


def gathered(findings: Iterable[Finding]) -> list[str]:
    """Return findings in words, those that say the same of several nodes in one line."""
    places: dict[str, list[str]] = {}
    for finding in findings:
        places.setdefault(finding.said, []).append(finding.node)
    lines: list[str] = []
    for text, nodes in places.items():
        named, more = listed([printable(node) for node in nodes[:_MOST_NAMED]]), len(nodes) - _MOST_NAMED
        if more > 0:
            lines.append(say("{nodes} and {count} more: {said}", nodes=named, count=more, said=text))
        else:
            lines.append(say("{nodes}: {said}", nodes=named, said=text))
    return lines
