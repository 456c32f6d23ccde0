"""Sentences in several languages: what is printed, what is spoken, and what is known again by its words."""

from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest

from runner.wording import Language, as_sentence, language_code, listed, recalled, say, speaking, spoken

GERMAN = Language(
    "de",
    {
        "{count} of {total} layers are int8": "{total} Schichten, davon {count} in int8",
        "loss {loss:.4g}": "Verlust {loss:.4g}",
        "layer {name} stays float: {reason}": "Schicht {name} bleibt Gleitkomma: {reason}",
        "its weight is no constant": "ihr Gewicht ist keine Konstante",
        "{name}": "falsch",
    },
    {" and ": " und ", "; ": "; "},
    "!",
)
LAYERS = say("{count} of {total} layers are int8", count=3, total=4)


def test_sentence_is_english_text_everywhere_but_where_it_is_spoken() -> None:
    assert LAYERS == "3 of 4 layers are int8" and f"{LAYERS}" == str(LAYERS)
    assert json.loads(json.dumps(LAYERS)) == "3 of 4 layers are int8"
    assert spoken(LAYERS) == "3 of 4 layers are int8" and language_code() == "en"
    with speaking(GERMAN):
        assert spoken(LAYERS) == "4 Schichten, davon 3 in int8" and language_code() == "de"
        assert LAYERS == "3 of 4 layers are int8"
        assert spoken("3 of 4 layers are int8") == "3 of 4 layers are int8"
    assert spoken(LAYERS) == "3 of 4 layers are int8"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda said: pickle.loads(pickle.dumps(said))])
def test_copies_can_be_spoken_too(copied: object) -> None:
    with speaking(GERMAN):
        assert spoken(copied(LAYERS)) == "4 Schichten, davon 3 in int8"  # type: ignore[operator]


def test_parts_are_said_in_the_language_of_the_whole() -> None:
    both = as_sentence(listed((say("loss {loss:.4g}", loss=0.123456), LAYERS, "conv_1"), " and "))
    assert both == "Loss 0.1235 and 3 of 4 layers are int8 and conv_1."
    with speaking(GERMAN):
        assert spoken(both) == "Verlust 0.1235 und 4 Schichten, davon 3 in int8 und conv_1!"
    inner = say("layer {name} stays float: {reason}", name="{a}", reason=say("its weight is no constant"))
    with speaking(GERMAN):
        assert spoken(inner) == "Schicht {a} bleibt Gleitkomma: ihr Gewicht ist keine Konstante"
    assert as_sentence("") == ""


def test_what_went_through_a_file_is_known_by_its_words() -> None:
    text = "layer a: b stays float: its weight is no constant; loss 0.5; else"
    with speaking(GERMAN):
        told = spoken(recalled(text))
    assert told == "Schicht a: b bleibt Gleitkomma: ihr Gewicht ist keine Konstante; Verlust 0.5; else"
    assert recalled(text) == text
    with speaking(GERMAN):
        # A template of values alone is every text's.
        assert spoken(recalled("conv_1")) == "conv_1"


def test_what_a_language_does_not_know_is_english_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), speaking(GERMAN):
        assert spoken(say("no {word}", word="word")) == "no word"
    assert "no words in 'de' for: no {word}" in caplog.text
