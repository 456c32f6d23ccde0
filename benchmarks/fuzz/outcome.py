"""How reading a damaged input ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Read as something that makes sense, or refused in a sentence: both are right.
FINE, REFUSED = "fine", "refused"
# What a user must never see.
TRACEBACK, UNCLEAR, NOISE, HANG, MEMORY, CRASH = "traceback", "unclear", "noise", "hang", "memory", "crash"
FAULTS = (TRACEBACK, UNCLEAR, NOISE, HANG, MEMORY, CRASH)

# A message is one line that a terminal shows as it is.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 3000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one input ended.

    Attributes:
        number: of the input.
        kind: one of the words above.
        message: what was said; of a fault, what would help to mend it.
    """

    number: int
    kind: str
    message: str = ""

    def to_json(self) -> Mapping[str, Any]:
        """Return plain values."""
        return asdict(self)
