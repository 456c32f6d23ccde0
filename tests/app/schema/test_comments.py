"""Comments of configuration files, by the key that they stand behind."""

from __future__ import annotations

from runner.app.schema.comments import comments, heading

FILE = """\
# @package _global_
# What it is,
# in two lines.
defaults:
  - /metric: top1               # metric=top1 | kl: what decides
                                # and more of it
  - _self_

budget:                         # limits
  minutes: null                 # until then; null:
                                # no limit
  text: "a # b"                 # no comment before this
  list: [1, 2]# at once
plain: 3
# A line of its own, of nothing.
last: {}                        # an empty mapping
"""


def test_heading_is_what_the_file_begins_with() -> None:
    assert heading(FILE) == "What it is, in two lines."
    assert heading("key: 1\n# later\n") == ""


def test_comments_stand_under_their_keys_with_what_continues_them() -> None:
    assert comments(FILE) == {
        "metric": "metric=top1 | kl: what decides and more of it",
        "budget": "limits",
        "budget.minutes": "until then; null: no limit",
        "budget.text": "no comment before this",
        "budget.list": "at once",
        "last": "an empty mapping",
    }


def test_file_without_keys_has_none() -> None:
    assert comments("# nothing\n") == {}
