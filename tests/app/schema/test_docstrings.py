"""What is read off docstrings."""

from __future__ import annotations

from dataclasses import dataclass

from runner.app.schema.docstrings import parameters, summary


@dataclass
class Section:
    """``section``: what it is; None for nothing.

    More of it.

    Attributes:
        count: how many,
            all told.
        name: ``a`` or None.
    """

    count: int
    name: str | None = None


@dataclass
class Bare:
    count: int


class Made(Section):
    """A part."""

    def __init__(self, other: int, count: int) -> None:
        """Make one.

        Args:
            other: another.
            count: of its own.

        Raises:
            ValueError: never.
        """


def test_summary_is_the_first_paragraph_without_the_name() -> None:
    assert summary(Section) == "what it is; null for nothing."
    assert summary(Bare) == ""


def test_parameters_are_those_of_class_and_constructor() -> None:
    assert parameters(Section) == {"count": "how many, all told.", "name": "`a` or null."}
    assert parameters(Made) == {"other": "another.", "count": "of its own.", "name": "`a` or null."}
    assert parameters(Bare) == {}
