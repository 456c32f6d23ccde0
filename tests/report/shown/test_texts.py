"""Characters that differ from the truth are marked in what was read."""

from __future__ import annotations

from runner.report.shown.texts import marked


def told(truth: str, read: str, *, ignore_case: bool = False) -> list[tuple[str, str]]:
    return [(part.kind, part.text) for part in marked(truth, read, ignore_case=ignore_case)]


def test_wrong_extra_and_missing_characters_are_told_apart() -> None:
    assert told("harbour", "barbour.") == [("wrong", "b"), ("read", "arbour"), ("extra", ".")]
    assert told("harbour", "harbur") == [("read", "harb"), ("missing", "o"), ("read", "ur")]
    assert told("", "a") == [("extra", "a")] and told("a", "") == [("missing", "a")] and told("", "") == []


def test_a_marked_space_is_seen() -> None:
    assert told("a b", "ab") == [("read", "a"), ("missing", "\u2423"), ("read", "b")]
    assert told("a b", "a b") == [("read", "a b")]


def test_characters_of_any_script_are_marked_and_case_counts_where_it_counts() -> None:
    assert told("\u732b\u72ac", "\u732b\u5927") == [("read", "\u732b"), ("wrong", "\u5927")]
    assert told("Ab", "aB") == [("wrong", "aB")]
    assert told("Ab", "aB", ignore_case=True) == [("read", "aB")]
