"""Marked characters: as many edits as the distance, and back to the texts by rule, over every pair of short texts."""

from __future__ import annotations

from itertools import product

from runner.tasks.text.alignment import aligned
from runner.tasks.text.edit_distance import edit_distance

TEXTS = ["".join(letters) for length in range(5) for letters in product("ab", repeat=length)] + ["abcd", "badc", "cab"]


def test_every_pair_of_short_texts_is_aligned_by_as_few_edits_as_there_can_be() -> None:
    for truth, read in product(TEXTS, TEXTS):
        found = aligned(truth, read)
        assert sum(each.edit != "same" for each in found) == edit_distance(truth, read)
        assert "".join(each.character for each in found if each.edit != "missing") == read
        # The truth without what is wrong in it, which is as long as what was read in its place.
        held = [each for each in found if each.edit != "extra"]
        assert len(held) == len(truth)
        assert all(each.edit == "wrong" or each.character == true for each, true in zip(held, truth, strict=True))


def test_characters_that_count_as_one_are_no_edit() -> None:
    found = aligned("aB", "Ab", same=lambda one, other: one.casefold() == other.casefold())
    assert [(each.edit, each.character) for each in found] == [("same", "A"), ("same", "b")]


def test_texts_too_long_to_be_aligned_are_told_as_wrong_as_a_whole() -> None:
    assert {each.edit for each in aligned("a" * 1100, "a" * 1000)} == {"wrong"}
