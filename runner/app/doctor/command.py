"""``python -m runner doctor …``: each job of the command looked at, all that is wrong told; nothing is run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TextIO

from runner.app.doctor.case import JobCase
from runner.app.doctor.checks import CHECKS
from runner.app.doctor.compose import Composed, compose_all
from runner.app.doctor.presets import presets
from runner.app.doctor.told import as_json, closing, has_signs, lines, not_checked
from runner.app.loudness import asks_for
from runner.dataset.preprocess import ImagePreprocess
from runner.engine import Engine, available_cores
from runner.memory import bound_memory, share_heaps
from runner.modes.doctor.examine import Checked, examine
from runner.modes.doctor.finding import Finding, fault
from runner.printable import escaped_json

SOUND, FAULTY = 0, 2


def look(arguments: Sequence[str], program: str, *, as_values: TextIO | None = None) -> int:
    """Look at what a command line asks for, print what was found, and return the exit status: 0 without a fault, else 2.

    Args:
        arguments: without what asks for this.
        program: what is typed before them, for messages.
        as_values: where to write one line of JSON in place of the list.
    """
    bound_memory()
    share_heaps(available_cores())
    logging.getLogger("runner").addHandler(logging.NullHandler())
    command = compose_all(arguments, program)
    ways = presets()
    told: list[tuple[str, Checked]] = []
    wrong_alone = asks_for("quiet", arguments)
    if command.refused:
        told.append(("", Checked("command line", [fault(message) for message in command.refused])))
        if as_values is None:
            _print(told[0][1], wrong_alone=wrong_alone)
    for job in command.jobs:
        told += _looked_at(
            job,
            ways,
            {finding for _, one in told for finding in one.findings},
            listed=wrong_alone if as_values is None else None,
        )
    found = [finding for _, one in told for finding in one.findings]
    if as_values is None:
        print(closing(found), flush=True)
    else:
        print(escaped_json(json.dumps(_values(told, found), ensure_ascii=False)), file=as_values)
    return FAULTY if any(finding.level == "fault" for finding in found) else SOUND


def _looked_at(
    job: Composed, ways: Mapping[str, ImagePreprocess], before: set[Finding], *, listed: bool | None
) -> list[tuple[str, Checked]]:
    """Return what is found of a job beside what was found of those before it, and print it.

    Args:
        job: to look at.
        ways: to preprocess photos.
        before: what was found of other jobs.
        listed: whether only what is wrong is printed; None to print nothing.
    """
    told: list[tuple[str, Checked]] = []
    unchecked = []
    if job.varied and listed is not None:
        print(f"{job.varied}:")
    for checked in examine(CHECKS, JobCase(job, Engine(_callers(job)), ways)):
        new = [finding for finding in checked.findings if finding not in before]
        if any(finding.level == "unchecked" for finding in new):
            unchecked.append(checked.name)
        if not new:
            continue
        told.append((job.varied, Checked(checked.name, new)))
        if listed is not None:
            _print(told[-1][1], wrong_alone=listed)
    if listed is not None:
        for line in not_checked(unchecked, signs=has_signs()):
            print(line, flush=True)
    return told


def _callers(job: Composed) -> int | None:
    engine = job.config.get("engine")
    callers = engine.get("callers") if isinstance(engine, Mapping) else None
    return callers if isinstance(callers, int) and callers > 0 else None


def _print(checked: Checked, *, wrong_alone: bool) -> None:
    if wrong_alone:
        checked = Checked(checked.name, [one for one in checked.findings if one.level != "ok"])
    for line in lines(checked, signs=has_signs()):
        print(line, flush=True)


def _values(told: Sequence[tuple[str, Checked]], found: Sequence[Finding]) -> dict[str, object]:
    counts = {f"{level}s": sum(finding.level == level for finding in found) for level in ("fault", "warning")}
    return {**counts, "findings": [value for job, one in told for value in as_json(job, one)]}
