"""Every sentence of the code has its Chinese, with the same names and figures in it."""

from __future__ import annotations

import ast
import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from string import Formatter

import pytest

import runner
from runner.graph.layers import LeftAlone
from runner.modes.result import AccAutoResult
from runner.report.flips import Answer, Flip
from runner.report.language import language_of, templates
from runner.wording import listed, say, speaking, spoken
from tests.told import page_of

CODE = Path(runner.__file__).parent
CATALOGUE = CODE / "report" / "language" / "zh.json"


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of ``say``, and where it stands."""
    for path in sorted(CODE.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        if not any(isinstance(node, ast.ImportFrom) and node.module == "runner.wording" for node in nodes):
            continue
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                yield f"{path.relative_to(CODE)}:{node.lineno}", node


def literals() -> dict[str, str]:
    """Return each template of the code with a place where it stands."""
    found = {}
    for place, call in calls():
        (template,) = call.args
        assert isinstance(template, ast.Constant) and isinstance(template.value, str), f"{place}: say takes a literal"
        found[template.value] = place
    return found


def fields(template: str) -> Counter[tuple[str, str | None, str | None]]:
    return Counter((name, spec, how) for _, name, spec, how in Formatter().parse(template) if name is not None)


def test_every_sentence_has_its_chinese() -> None:
    """A new sentence: add its Chinese to runner/report/language/zh.json, in the order of the English."""
    missing = {template: place for template, place in literals().items() if template not in templates("zh")}
    assert missing == {}


def test_no_chinese_is_left_of_a_sentence_that_is_gone() -> None:
    assert sorted(set(templates("zh")) - set(literals())) == []


def test_chinese_holds_the_same_names_and_figures() -> None:
    wrong = {english: own for english, own in templates("zh").items() if fields(english) != fields(own)}
    assert wrong == {}


def test_sentences_are_given_the_values_that_they_name() -> None:
    for place, call in calls():
        template = call.args[0]
        assert isinstance(template, ast.Constant) and isinstance(template.value, str)
        given = {keyword.arg for keyword in call.keywords}
        if None not in given:
            assert given == {name for name, _, _ in fields(template.value)}, place


def test_catalogue_is_in_order_a_line_a_sentence() -> None:
    read = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    ordered = dict(sorted(read.items()))
    assert CATALOGUE.read_text(encoding="utf-8") == json.dumps(ordered, ensure_ascii=False, indent=1) + "\n"


@pytest.mark.parametrize("english", sorted(templates("zh")))
def test_chinese_is_chinese(english: str) -> None:
    """What has letters in English has signs of Chinese in Chinese, but for names and units."""
    own = "".join(literal for literal, *_ in Formatter().parse(templates("zh")[english]))
    letters = "".join(literal for literal, *_ in Formatter().parse(english))
    if any(word.isalpha() and word.islower() and len(word) > 2 for word in letters.split()):
        assert any("\u4e00" <= sign <= "\u9fff" for sign in own), own


def english_left(page: str) -> set[str]:
    """Return texts with three English words in a row that people see or hear: no names, files, commands and code."""
    shown = re.sub(r"<(style|script|pre|code)\b.*?</\1>", "", page, flags=re.DOTALL)
    shown = re.sub(r'(?:aria-label|alt|title|placeholder)="([^"]*)"', r">\1<", shown)
    texts = html.unescape(re.sub(r"<[^>]*>", "\n", shown)).splitlines()
    return {text for text in texts if re.search(r"[A-Za-z]{2,}[,:]? [a-z]{2,}[,:]? [a-z]{2,}", text)}


@pytest.mark.parametrize("which", ["met", "missed"])
def test_chinese_page_has_no_english_sentence(job: dict[str, AccAutoResult], which: str) -> None:
    result = job[which]
    left = (LeftAlone("pool", "MaxPool", "MaxPool is not quantized"),)
    result = replace(result, layers=replace(result.layers, found=replace(result.found, left_alone=left)))
    flips = [Flip(3, "a.png", 1, Answer(1, 0.5), Answer(2, 0.25))]
    with speaking(language_of("zh")):
        text = page_of(result, flips=flips)
    assert english_left(text) == set()
    assert '<html lang="zh-CN">' in text and "pool（MaxPool）：MaxPool 不量化。" in text
    assert len(english_left(page_of(result, flips=flips))) > 10


def test_chinese_sentences_stand_without_a_space_between_them() -> None:
    row = listed((say("The scale is logarithmic."), say("Nothing is changed.")), " ")
    assert row == "The scale is logarithmic. Nothing is changed."
    with speaking(language_of("zh")):
        assert spoken(row).count("。") == 2 and " " not in spoken(row)


def test_english_needs_no_words_of_its_own() -> None:
    assert language_of("en") is None
    with speaking(language_of("zh")):
        assert spoken(say("target met")) == "达到目标"
