"""Lines of text: label files and alphabets as other programs leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.dataset.text_lines import HasAlphabet, TextLines
from runner.errors import ConfigError, DatasetError
from tests.data import random_pixels, write_image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "lines" / "images"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.png", "c 1.png")):
        write_image(folder / name, random_pixels(4, 9, seed))
    return folder


def lines(images: Path, content: bytes, **options) -> TextLines:
    (images.parent / "labels.txt").write_bytes(content)
    return TextLines(str(images), str(images.parent / "labels.txt"), **options)


def test_an_item_is_a_line_of_the_file_in_its_order(images: Path) -> None:
    data = lines(images, "\ufeffb.png\tLetters 445\r\n\r\nc 1.png\t tab\there \r\na.png\t\r\n".encode())
    assert [data.label(index) for index in range(3)] == ["Letters 445", " tab\there ", ""]
    assert [data.name(index) for index in range(3)] == ["b.png", "c 1.png", "a.png"]
    assert (len(data), data.describe(), data.alphabet) == (3, "lines", ())
    item = data.item(0)
    assert item.label == "Letters 445"
    assert next(iter(item.arrays.values())).tolist() == random_pixels(4, 9, 1).transpose(2, 0, 1).tolist()


def test_texts_are_composed_and_keep_what_python_ends_a_line_at(images: Path) -> None:
    assert lines(images, "a.png\te\u0301\u2028\x0bx".encode()).label(0) == "\u00e9\u2028\x0bx"


def test_alphabet_is_told(images: Path) -> None:
    (images.parent / "alphabet.txt").write_text("'\n疗\n ", encoding="utf-8")
    data = lines(images, b"a.png\tx", alphabet=str(images.parent / "alphabet.txt"))
    assert isinstance(data, HasAlphabet) and data.alphabet == ("'", "疗", " ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.png\tx\nb.png y", r"labels\.txt:2: expected '<file><tab><text>', got 'b\.png y'"),
        (b"\tx", r"labels\.txt:1: expected '<file><tab><text>'"),
        (b"a.png\tx\na.png\ty", r"labels\.txt:2: 'a\.png' is listed again; it stands in line 1"),
        (b"\n", "lists no image"),
        (b"a.png\t\xff", "is no UTF-8 text: invalid start byte at byte 6"),
        (b"a.png\tx\nd.png\ty", r"dataset.images: 1 of 2 images listed in .*labels\.txt do not exist in .*: d\.png"),
    ],
)
def test_files_that_are_wrong_are_refused(images: Path, content, message) -> None:
    with pytest.raises(DatasetError, match=message):
        lines(images, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\nb", r"dataset.alphabet: .*alphabet\.txt:2 is blank; expected a character"),
        (b"\n\n", "is empty; expected a character a line"),
        (b"\xff", "is no UTF-8 text"),
        (None, r"cannot be read: No such file or directory; expected a text file with a character a line"),
    ],
)
def test_alphabets_that_are_wrong_are_refused(images: Path, content, message) -> None:
    file = images.parent / "alphabet.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        lines(images, b"a.png\tx", alphabet=str(file))


def test_missing_places_are_refused(images: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset.images: .*none is no folder"):
        TextLines(str(images / "none"), "labels.txt")
    with pytest.raises(DatasetError, match=r"dataset.labels: none\.txt cannot be read: No such file"):
        TextLines(str(images), "none.txt")
