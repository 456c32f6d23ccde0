"""Label files: what is read, and which line is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.dataset.label_file import read_labels
from runner.errors import DatasetError


def labels(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "labels.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("b.png 1\na.png 0\n", [("b.png", 1), ("a.png", 0)], id="order of the file"),
        pytest.param("a.png 7", [("a.png", 7)], id="no newline at the end"),
        pytest.param("a.png 1\r\nb.png 2\r\n", [("a.png", 1), ("b.png", 2)], id="Windows line ends"),
        pytest.param("\n  \na.png 1\n\n", [("a.png", 1)], id="blank lines"),
        pytest.param(
            "my cat.png 3\nmy cat 2.png 4\n", [("my cat.png", 3), ("my cat 2.png", 4)], id="names with spaces"
        ),
        pytest.param("a.png\t12\n", [("a.png", 12)], id="tab"),
        pytest.param("  a.png    12  \n", [("a.png", 12)], id="wide gaps"),
        pytest.param("猫.png 5\n", [("猫.png", 5)], id="UTF-8 name"),
        pytest.param(b"\xef\xbb\xbfa.png 5\n", [("a.png", 5)], id="byte order mark"),
        pytest.param("n01/a.png 5\n", [("n01/a.png", 5)], id="sub-folder"),
    ],
)
def test_lines_are_read_as_name_and_class(
    tmp_path: Path, content: bytes | str, expected: list[tuple[str, int]]
) -> None:
    assert read_labels(labels(tmp_path, content)) == expected


@pytest.mark.parametrize(
    ("content", "line", "shown"),
    [
        pytest.param("a.png 1\nb.png\n", 2, "b.png", id="no class"),
        pytest.param("a.png 1\n\nb.png cat\n", 3, "b.png cat", id="class is a word, blank line counted"),
        pytest.param("a.png -1\n", 1, "a.png -1", id="negative"),
        pytest.param("a.png 1.5\n", 1, "a.png 1.5", id="fraction"),
        pytest.param("a.png ²\n", 1, "a.png ²", id="digit outside ASCII"),
        pytest.param("  7\n", 1, "  7", id="no name"),
        pytest.param("a.png,1\n", 1, "a.png,1", id="comma"),
    ],
)
def test_malformed_line_is_named_by_its_number(tmp_path: Path, content: str, line: int, shown: str) -> None:
    path = labels(tmp_path, content)
    with pytest.raises(DatasetError) as error:
        read_labels(path)
    assert str(error.value) == (
        f"dataset.labels: {path}:{line}: expected '<file> <class>' with a class number, got '{shown}'. Number the classes "
        "from 0, in the order of the model's scores."
    )


@pytest.mark.parametrize("second", ["a.png 2", "a.png  1", "  a.png\t1"], ids=["another class", "two spaces", "tab"])
def test_name_listed_twice_is_refused_with_both_lines(tmp_path: Path, second: str) -> None:
    path = labels(tmp_path, f"a.png 1\nb.png 1\n{second}\n")
    with pytest.raises(DatasetError) as error:
        read_labels(path)
    assert str(error.value) == f"dataset.labels: {path}:3: 'a.png' is listed again; it stands in line 1."


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.labels: .*no\.txt does not exist; expected a text file"):
        read_labels(tmp_path / "no.txt")


@pytest.mark.parametrize("content", ["", "\n\n"], ids=["empty", "blank"])
def test_file_without_a_line_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DatasetError, match=r"labels\.txt lists no image; expected '<file> <class>' a line"):
        read_labels(labels(tmp_path, content))


def test_text_in_another_encoding_is_refused_with_the_byte(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"labels\.txt is no UTF-8 text: .* at byte 2"):
        read_labels(labels(tmp_path, b"a.\xff 1\n"))
