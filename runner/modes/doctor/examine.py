"""Checks in a row, each told of what those before it found out; one that fails keeps no other from looking."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from runner.errors import RunnerError
from runner.modes.doctor.examined import NotKnown
from runner.modes.doctor.finding import Finding, fault, faults_of

logger = logging.getLogger(__name__)
Case = TypeVar("Case", contravariant=True)


@dataclass(frozen=True, slots=True)
class Check(Generic[Case]):
    """One thing to look at.

    Attributes:
        name: a word or two, for the list.
        look: yields what it finds. An error of its own is a fault, and what is not known ends it.
    """

    name: str
    look: Callable[[Case], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        name: of the check.
        findings: at least one.
    """

    name: str
    findings: Sequence[Finding]


def examine(checks: Sequence[Check[Case]], case: Case) -> Iterator[Checked]:
    """Yield what each check finds, in their order; one that finds nothing to say is left out."""
    for check in checks:
        findings = list(_found(check, case))
        if findings:
            yield Checked(check.name, findings)


def _found(check: Check[Case], case: Case) -> Iterator[Finding]:
    try:
        yield from check.look(case)
    except NotKnown as missing:
        yield Finding("unchecked", f"not checked: needs {missing}")
    except RunnerError as error:
        yield from faults_of(error)
    except Exception as error:  # a class of the user's, or a fault of the program: the other checks go on
        logger.exception("the check of %s", check.name)
        yield fault(f"{type(error).__name__}: {error}")
