"""The folder of a sweep, for one sweep alone: made, or found again where the same sweep is to go on."""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
from pathlib import Path

from filelock import FileLock

from runner.app.held_folder import HOLDER, LOCK, release, take
from runner.app.sweep.fail_fast import FAILED
from runner.app.sweep.plan import NAME, Plan, read_plan
from runner.credentials import without_credentials
from runner.errors import ConfigError
from runner.printable import escaped_json
from runner.whole_file import write_atomically

# Hydra's own copy of the configuration.
_MULTIRUN = "multirun.yaml"


def claim(folder: Path, plan: Plan, *, option: str | None) -> tuple[Path, FileLock | None]:
    """Hold a sweep's folder, write its plan there and return it with its lock.

    Args:
        folder: where it is to write.
        plan: of the sweep.
        option: what named the folder; None where the time did: a second sweep of that second gets a folder beside it.

    Raises:
        ConfigError: the folder holds another sweep.
        OutputError: a sweep is under way there, or it cannot be written.
    """
    if option is None:
        folder = _first_free(folder)
    lock = take(folder, f"Wait for it, or give this sweep another folder with {option or 'sweep.name=NAME'}.")
    try:
        _refuse_other(folder, plan, option)
        (folder / FAILED).unlink(missing_ok=True)
        text = escaped_json(json.dumps(plan.to_json(), indent=2, ensure_ascii=False))
        (folder / NAME).write_bytes(text.encode("utf-8", "backslashreplace"))
    except BaseException:
        release(folder, lock)
        raise
    return folder, lock


def abandon(folder: Path, lock: FileLock | None) -> None:
    """Leave a folder in which no job has begun; what only this sweep put there goes."""
    release(folder, lock)
    if not any(path.is_dir() for path in folder.iterdir()):
        for name in (NAME, LOCK, HOLDER, _MULTIRUN):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something of its user's is in it
            folder.rmdir()


def hide_credentials(folder: Path) -> None:
    """Leave passwords of addresses out of what Hydra keeps of a sweep's configuration."""
    path = folder / _MULTIRUN
    with contextlib.suppress(OSError):
        kept = path.read_text(encoding="utf-8", errors="surrogateescape")
        shown = without_credentials(kept)
        if shown != kept:
            write_atomically(path, lambda part: part.write_text(shown, encoding="utf-8", errors="surrogateescape"))


def _first_free(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        one = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            one.mkdir()
        except FileExistsError:
            continue
        return one
    raise AssertionError("counting does not end")


def _refuse_other(folder: Path, plan: Plan, option: str | None) -> None:
    earlier = read_plan(folder)
    if earlier is None:
        if next(folder.glob("[0-9]*_*/events.jsonl"), None) is None:
            return
        told = "jobs of a sweep that cannot be told"
    elif plan.same_as(earlier):
        return
    else:
        told = f"another sweep: {_written(earlier)}"
    raise ConfigError(
        f"{option}: {folder} holds {told}. This one is: {_written(plan)}. Give it a folder of its own, or remove that one."
    )


def _written(plan: Plan) -> str:
    return " ".join(map(shlex.quote, plan.given))
