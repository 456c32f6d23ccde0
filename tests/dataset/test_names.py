"""File names of other systems: left out, shown and found."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.dataset.coco import CocoDataset
from runner.dataset.image_folder import ImageFolder
from runner.dataset.names import Files, is_system_name, spelling
from runner.dataset.text_lines import TextLines
from runner.errors import DatasetError
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


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder of images with a link in it, and a file beside the folder."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        (tmp_path / "images" / name).write_bytes(b"own")
    (tmp_path / "images" / "linked.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "again").symlink_to("images")
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "other" / "c.png").write_bytes(b"secret")
    (tmp_path / "images" / "away").symlink_to("../other/deep")
    return tmp_path / "images"


@pytest.mark.parametrize("name", ["../secret.png", "deep/../../secret.png", "{outside}/secret.png", "away/../c.png"])
def test_list_that_names_a_file_outside_the_folder_is_refused(beside: Path, name: str) -> None:
    name = name.format(outside=beside.parent)
    with pytest.raises(DatasetError) as caught:
        Files(beside).find(name)
    assert str(caught.value) == (
        f"dataset.images: {beside} does not hold the listed file {name}, which lies outside it; expected names below the "
        "folder. Set dataset.images to the folder that holds all of them."
    )


@pytest.mark.parametrize(
    "name", ["a.png", "deep/../a.png", "./deep/b.png", "linked.png", "{inside}/a.png", "{again}/a.png"]
)
def test_list_may_name_files_of_the_folder_in_any_way(beside: Path, name: str) -> None:
    name = name.format(inside=beside, again=beside.parent / "again")
    found = Files(beside).find(name)
    assert found is not None and found.samefile(beside / name)


@pytest.mark.parametrize("kind", ["labels", "lines", "coco"])
def test_every_dataset_with_a_list_refuses_files_outside(beside: Path, kind: str) -> None:
    listing = beside.parent / "list"
    coco = {
        "images": [{"id": 1, "file_name": "../secret.png"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "a"}],
    }
    text = {"labels": "../secret.png 1", "lines": "../secret.png\tword", "coco": json.dumps(coco)}[kind]
    listing.write_text(text, encoding="utf-8")
    make = {"labels": ImageFolder, "lines": TextLines, "coco": CocoDataset}[kind]
    with pytest.raises(DatasetError, match=r"does not hold the listed file \.\./secret\.png, which lies outside it"):
        make(str(beside), str(listing))
