"""Keys that no constructor takes: they stand beside a part's or a section's own and are read before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.app.downloads import OURS, SECTIONS
from runner.app.inputs import BESIDE


def beside(path: str) -> Mapping[str, Any]:
    """Return key -> annotation of what may stand beside the own keys of ``model``, ``dataset`` or ``calibration.dataset``."""
    fetched = dict.fromkeys(OURS, str | None) if tuple(path.split(".")) in SECTIONS else {}
    said = {name: hint | None for name, hint in BESIDE.items()} if path.split(".")[-1] == "dataset" else {}
    return {**said, **fetched}
