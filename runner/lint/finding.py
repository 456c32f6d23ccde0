"""One thing in a deploy model that ATC would refuse or misread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "unsupported", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a deploy model that ATC would refuse or misread.

    Attributes:
        node: where: a node, an initializer, an input, or ``model``.
        severity: ``fault``: the quantization in the file is wrong. ``unsupported``: ATC does not take a part of the model
            that was there before quantization. ``warning``: an option of the ``atc`` command mends it, or ATC may take it.
    """

    node: str
    expected: str
    got: str
    severity: Severity = "fault"

    def __str__(self) -> str:
        return f"{self.node}: expected {self.expected}, got {self.got}"
