"""What is damaged and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzz.damage import Damage


@dataclass(frozen=True, slots=True)
class Spot:
    """A sound file, the kinds of damage that it suffers, and the program's way of reading it.

    Attributes:
        path: of the file.
        damages: kinds, one of which is picked.
        use: reads the file as a user's command would; raises RunnerError where that refuses it.
    """

    path: Path
    damages: Sequence[Damage]
    use: Callable[[], object]


# Writes sound files into a folder and tells where damage is done.
Subject = Callable[[Path], Sequence[Spot]]
