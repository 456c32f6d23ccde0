"""A figure of a new section is told in every place, and nowhere where it has nothing to say."""

from __future__ import annotations

import html

import pytest

from runner.figure import Card, Column, Figure, Marked, Paragraph, Report, Row, Section, Step, Table
from runner.report.page import page
from runner.report.summary import summary
from runner.report.terminal import figures_table, step_lines
from runner.report.tracked import tracked, tracker_name
from tests.told import printed

ENTROPY = Figure(
    key="entropy",
    value=1.25,
    tracked="outputs/entropy",
    title="entropy",
    phrase="1.25 nats",
    sentence="The outputs' entropy is 1.25 nats.",
    card=Card("entropy", "1.25", "nats"),
)


def report(*sections: Section) -> Report:
    return Report("mode", "net", "data", ("fine", "green"), (), sections)


def test_figure_is_told_in_all_four_places() -> None:
    told = report(Section(name="entropy", figures=(ENTROPY,)))
    assert summary(told) == {"entropy": 1.25}
    assert tracked(told) == {"outputs/entropy": 1.25}
    assert any(line.split() == ["entropy", "1.25", "nats"] for line in printed(figures_table(told)))
    text = html.unescape(page(told))
    assert "<li>The outputs' entropy is 1.25 nats.</li>" in text and "<b>1.25</b>" in text


def test_figure_that_says_nothing_is_told_nowhere() -> None:
    told, without = report(Section(name="x", figures=(Figure(value=7),))), report(Section(name="x"))
    assert (summary(told), tracked(told)) == ({}, {})
    assert page(told) == page(without)
    assert printed(figures_table(told)) == printed(figures_table(without))


def test_sections_of_one_heading_stand_together_on_the_page() -> None:
    parts = [Section(name=n, heading=h, blocks=(Paragraph((n,)),)) for n, h in (("a", "H"), ("b", "I"), ("c", "H"))]
    text = page(report(*parts))
    assert text.count(">H</h2>") == 1
    assert [text.index(f"<p>{name}</p>") for name in "acb"] == sorted(text.index(f"<p>{name}</p>") for name in "acb")


def test_marks_and_kinds_reach_the_page_and_texts_are_escaped() -> None:
    table = Table((Column("n", "name"), Column("v", "number")), (Row(("<a>", Marked("1", "lost")), "chosen"),))
    text = page(report(Section(name="x", heading="H", blocks=(table, Paragraph(("set ", Marked("&", "code")))))))
    assert '<tr class="chosen"><td class="name">&lt;a&gt;</td><td class="lost">1</td></tr>' in text
    assert "<p>set <code>&amp;</code></p>" in text


def test_step_without_a_command_for_the_page_is_told_in_the_terminal_alone() -> None:
    steps = (Step("Why:", "do /root/it", ("On page:",), "do it"), Step("More:", "do /root/more"))
    told = report(Section(name="x", heading="Files", steps=steps))
    assert step_lines(told) == ["", "Why:", "  do /root/it", "More:", "  do /root/more"]
    assert "<p>On page:</p>\n<pre>do it</pre>" in page(told) and "/root" not in page(told)


@pytest.mark.parametrize(("text", "name"), [("input:0", "input_0"), ("a/b", "a_b"), ("x.y-z_1", "x.y-z_1")])
def test_tracked_names_hold_what_a_tracker_takes(text: str, name: str) -> None:
    assert tracker_name(text) == name
