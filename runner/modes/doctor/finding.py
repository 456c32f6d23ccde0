"""What a check finds: that all is well, what to know, what is wrong, or that it could not look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from runner.errors import RunnerError

Level = Literal["ok", "warning", "fault", "unchecked"]
# How messages begin that are about an option.
_KEY = re.compile(r"([a-z_]+(?:[./@][A-Za-z_][\w.-]*|\[\d+\])*)(?::|=\S+:) ")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        level: ``ok``; ``warning``: the job runs, and its user may want to act; ``fault``: it would end with an error;
            ``unchecked``: what the check needs is at fault itself.
        what: one sentence or phrase, whole in itself.
        got: what there is, where that is apart from the sentence.
        expected: what there should be.
        key: the option to change, as ``KEY`` or ``KEY=VALUE``; empty where nothing has to be changed.
        advice: what to do.
    """

    level: Level
    what: str
    got: str = ""
    expected: str = ""
    key: str = ""
    advice: str = ""

    @property
    def said(self) -> str:
        """All of it in sentences."""
        text = self.what
        if self.expected or self.got:
            both = [f"expected {self.expected}" if self.expected else "", f"got {self.got}" if self.got else ""]
            text = f"{text}: {', '.join(filter(None, both))}"
        return f"{text.rstrip('.')}. {self.advice}" if self.advice else text


def ok(what: str) -> Finding:
    """Return that all is well."""
    return Finding("ok", what)


def warning(what: str, *, key: str = "", advice: str = "") -> Finding:
    """Return what a user should know."""
    return Finding("warning", what, key=key or key_of(what), advice=advice)


def fault(what: str, *, key: str = "", advice: str = "") -> Finding:
    """Return what is wrong."""
    return Finding("fault", what, key=key or key_of(what), advice=advice)


def faults_of(error: RunnerError) -> list[Finding]:
    """Return what an error says, a finding a thing."""
    return [fault(str(one)) for one in error.each]


def key_of(message: str) -> str:
    """Return the option that a message is about, with which it begins; empty where it begins otherwise."""
    found = _KEY.match(message)
    return found[1] if found else ""
