"""File names of other systems: left out, shown and found."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.dataset.names import Files, is_system_name, spelling
from runner.printable import shown

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
CHINESE = "数据"
GBK = os.fsdecode(CHINESE.encode("gbk"))


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX",
        "._a.jpg",
        ".DS_Store",
        ".ipynb_checkpoints",
        "@eaDir",
        "Thumbs.db",
        "desktop.ini",
        "$RECYCLE.BIN",
        "lost+found",
    ],
)
def test_names_of_systems_are_known(name: str) -> None:
    assert is_system_name(name)


@pytest.mark.parametrize(
    "name", ["cat", "_cat", "__cat__", "macosx", "@home", "a.jpg", "thumbs", "-", "0", "n01440764"]
)
def test_names_of_classes_are_no_systems(name: str) -> None:
    assert not is_system_name(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a b-ü猫ﬁ.jpg", "a b-ü猫ﬁ.jpg"),
        (GBK + ".jpg", r"\xca\xfd\xbe\xdd.jpg"),
        ("a\nb\t\x1b[31m", r"a\nb\t\x1b[31m"),
        ("a\u2028b\u0085", r"a\u2028b\x85"),
        ("全\u3000角", "全\u3000角"),
        ("\ud800", r"\ud800"),
    ],
)
def test_name_is_shown_in_one_line_of_text(name: str, text: str) -> None:
    assert shown(name) == text


@given(st.binary(min_size=1, max_size=40))
def test_any_name_is_shown_as_text_of_one_line(raw: bytes) -> None:
    text = shown(os.fsdecode(raw))
    assert text.encode("utf-8").decode("utf-8") == text
    assert len(text.splitlines()) <= 1
    assert shown(text) == text


def test_spellings_agree_where_a_person_reads_the_same() -> None:
    assert spelling(COMPOSED) == spelling(DECOMPOSED) == COMPOSED
    assert spelling(GBK) == CHINESE
    assert spelling(unicodedata.normalize("NFD", "がぎ")) == "がぎ"
    undecodable = os.fsdecode(b"\xff\xff")
    assert spelling(undecodable) == undecodable
    assert spelling("cafe") != spelling(COMPOSED)


@pytest.mark.parametrize(
    ("listed", "stored"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), (CHINESE, GBK), ("-a b", "-a b")]
)
def test_file_is_found_in_another_spelling_also_of_its_folder(listed: str, stored: str, tmp_path: Path) -> None:
    (tmp_path / stored).mkdir()
    (tmp_path / stored / f"{stored}.jpg").touch()
    files = Files(tmp_path)
    assert files.find(f"{listed}/{listed}.jpg") == tmp_path / stored / f"{stored}.jpg"
    assert files.find(f"{listed}/absent.jpg") is None
    assert files.find(f"absent/{listed}.jpg") is None
    assert files.find(listed) is None


def test_exact_name_comes_first_and_nothing_is_guessed(tmp_path: Path) -> None:
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / name).touch()
    files = Files(tmp_path)
    assert files.find(COMPOSED) == tmp_path / COMPOSED
    assert files.find(DECOMPOSED) == tmp_path / DECOMPOSED
    (tmp_path / "half").mkdir()
    for name in ("e\u0302\u0301", "\u00ea\u0301"):
        (tmp_path / "half" / name).touch()
    assert Files(tmp_path / "half").find("\u1ebf") is None


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x/" * 3000, "..", ".", "/"])
def test_name_that_no_file_can_have_is_not_found(name: str, tmp_path: Path) -> None:
    assert Files(tmp_path).find(name) is None
