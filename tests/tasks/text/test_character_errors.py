"""The text metric: rates, lines, rows, draws, alphabets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.text_lines import TextLines
from runner.errors import ConfigError
from runner.evaluation.metric import ChecksOutputs, KnowsTruth, MoreFigures, Resampled, TellsChanges, needs_reference
from runner.evaluation.scores import column
from runner.tasks.text.character_errors import CharacterErrors
from tests.tasks.text.test_ctc import scores

ALPHABET = [*"abcdefgé"]
METRIC = CharacterErrors(alphabet=ALPHABET)
LINES = CharacterErrors(by="lines", alphabet=ALPHABET)


def output(text):
    """Return what a model gives that reads a text, a blank between its characters."""
    classes = [number for character in text for number in (ALPHABET.index(character) + 1, 0)]
    return {"o": scores(classes or [0], len(ALPHABET) + 1)}


def rows(pairs, metric=METRIC):
    return column([metric.score(output(read), {}, true, None) for true, read in pairs])


PAIRS = [("abc", "abc"), ("abcd", "abd"), ("", "a"), ("éa", "ea"), ("gg", "gg")]


def test_figures_are_edits_over_characters_and_exact_lines() -> None:
    found = rows(PAIRS)
    assert METRIC.aggregate(found) == pytest.approx(100 * 3 / 11)
    assert LINES.aggregate(found) == pytest.approx(40.0)
    assert METRIC.figures(found) == {
        "character_error_rate": pytest.approx(100 * 3 / 11),
        "exact_lines": 2.0,
        "exact_lines_share": pytest.approx(40.0),
    }


def test_row_holds_errors_and_the_text_that_was_read() -> None:
    assert METRIC.score(output("abd"), {}, "abcd", None) == (1.0, 4.0, 0.0, 97.0, 98.0, 100.0)
    row = np.array(METRIC.score(output("éa"), {}, "éa", None))
    assert row.tolist() == [0, 2, 1, 233, 97]
    assert METRIC.words(row) == {"text": "éa", "edits": "0"}


def test_accents_count_alike_however_they_are_written() -> None:
    apart = CharacterErrors(alphabet=["e\u0301", "a"])
    assert apart.score({"o": scores([1, 2], 3)}, {}, "e\u0301a", None) == (0.0, 2.0, 1.0, 233.0, 97.0)


def test_case_is_ignored_where_asked() -> None:
    assert METRIC.score(output("abc"), {}, "ABd", None)[:3] == (3.0, 3.0, 0.0)
    assert CharacterErrors(alphabet=ALPHABET, ignore_case=True).score(output("abc"), {}, "ABd", None)[:3] == (
        1.0,
        3.0,
        0.0,
    )


def test_losses_are_points_and_may_be_negative() -> None:
    before, after = rows(PAIRS), rows([(true, read.replace("b", "")) for true, read in PAIRS])
    assert METRIC.loss(before, after) == pytest.approx(100 * 2 / 11) == -METRIC.loss(after, before)
    assert LINES.loss(before, after) == pytest.approx(20.0) == -LINES.loss(after, before)
    assert METRIC.loss(before, before) == 0.0 == LINES.loss(before, before)


def test_verdicts_are_strict_and_made_on_whole_numbers() -> None:
    before = rows([("abcdefg" * 10, "abcdefg" * 10)] * 10)
    after = rows([("abcdefg" * 10, "abcdefg" * 10)] * 9 + [("abcdefg" * 10, "bcdefg" + "abcdefg" * 9)])
    assert METRIC.accepts(before, after, 0.143) and not METRIC.accepts(before, after, 0.1428)
    assert not LINES.accepts(before, after, 10) and LINES.accepts(before, after, 10.001)
    assert METRIC.accepts(after, before, 0.0)


@pytest.mark.parametrize("metric", [METRIC, LINES])
def test_losses_over_draws_are_the_losses_of_their_items(metric) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(ALPHABET, rng.integers(0, 9))) for _ in range(12)]
    before, after = (
        rows([(text, "".join(c for c in text if rng.random() < share)) for text in texts]) for share in (0.9, 0.8)
    )
    draws = rng.integers(0, 12, (8, 12))
    expected = [metric.loss(before[draw], after[draw]) for draw in draws]
    assert metric.resampled_losses(before, after, draws) == pytest.approx(expected, abs=1e-9)


def test_change_costs_the_edits_that_it_adds() -> None:
    exact, off, other = (np.array(METRIC.score(output(read), {}, "abc", None)) for read in ("abc", "ab", "ac"))
    assert (METRIC.cost(exact, off), METRIC.cost(off, exact), METRIC.cost(off, other)) == (1.0, -1.0, 0.0)
    assert METRIC.cost(off, off) is None


def test_alphabet_comes_from_the_option_else_from_the_dataset(tmp_path: Path) -> None:
    file = tmp_path / "alphabet.txt"
    file.write_bytes("\ufeffa\r\nb\r\n \r\n\u2028\r\n".encode())
    own = CharacterErrors(alphabet=str(file))
    assert own.characters == ("a", "b", " ", "\u2028")
    assert own.with_alphabet(["x"]) is own
    given = CharacterErrors(by="lines").with_alphabet(("a", "b"))
    assert given.characters == ("a", "b") and given.by == "lines" and given != CharacterErrors(by="lines")
    with pytest.raises(
        ConfigError, match=r"metric.alphabet: metric=text needs the characters.*Set dataset.alphabet=FILE"
    ):
        CharacterErrors().with_alphabet(()).check_outputs(output("a"), "a")


def test_rules_for_truth_outputs_and_options() -> None:
    assert all(isinstance(METRIC, each) for each in (ChecksOutputs, KnowsTruth, MoreFigures, Resampled, TellsChanges))
    assert not needs_reference(METRIC) and METRIC.name == "text" and METRIC.unit == "percentage points"
    assert METRIC.why_not("") is None and METRIC.why_not(3) == "texts (dataset=text_lines)"
    METRIC.check_outputs(output("ab"), "ab")
    with pytest.raises(ConfigError, match="alphabet of 8 characters"):
        METRIC.check_outputs({"o": np.zeros((1, 4, 4), np.float32)}, "ab")
    for options, message in (
        ({"by": "words"}, "metric.by: expected characters or lines, got words"),
        ({"blank": "middle"}, "metric.blank: expected first, last or 0"),
        ({"blank": 10, "alphabet": ALPHABET}, "metric.blank: expected first, last or 0 to 9, got 10"),
        ({"blank": -1}, "metric.blank"),
        (
            {"alphabet": "no.txt"},
            r"metric.alphabet: no\.txt cannot be read: .*expected a text file with a character a line",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            CharacterErrors(**options)


@pytest.mark.zoo
@pytest.mark.slow
def test_recogniser_reads_as_many_lines_as_is_known(zoo: Path) -> None:
    folder = zoo / "text_lines_300"
    preprocess = ImagePreprocess(channels="bgr", scale=1 / 127.5, mean=1.0)
    data = TextLines(str(folder / "images"), str(folder / "labels.txt"), str(folder / "alphabet.txt"), preprocess)
    session = ort.InferenceSession(zoo / "models" / "ppocrv4_rec_48.onnx")
    metric = CharacterErrors().with_alphabet(data.alphabet)
    found = []
    for index in range(len(data)):
        item = data.item(index)
        read = session.run(None, {"x": next(iter(item.arrays.values()))[np.newaxis]})[0]
        found.append(metric.score({"read": read}, {}, item.label, None))
    figures = metric.figures(column(found))
    assert figures["exact_lines"] == 209 and figures["character_error_rate"] == pytest.approx(4.08, abs=0.01)
