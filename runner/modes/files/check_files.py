"""The written files checked by their target; what is not what was measured must not look like a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runner.targets.target import Measured, ModelFiles, Target


def check_files(target: Target, files: ModelFiles, measured: Measured, progress: Callable[[int], None]) -> Any:  # noqa: ANN401
    """Return what the target saw when it opened the files again; after any fault they are removed.

    Raises:
        VerificationError: a file is at fault, or is not what was measured.
    """
    try:
        return target.check(files, measured, progress)
    except Exception:
        measured.folder.remove(*files)
        raise
