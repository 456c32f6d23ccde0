"""Class trees: which class a folder is, in which order its images come."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.dataset.class_tree import ClassTree
from runner.dataset.image_folder import ImageFolder
from runner.dataset.item import ONLY_INPUT
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from tests.data import random_pixels, write_image


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three class folders; one has a sub-folder, and there is what no image is."""
    names = ["dog/b.png", "dog/a.png", "cat/far/c.png", "cat/d.PNG", "dog/.hidden/e.png", ".git/f.png", "g.png"]
    names += ["bird/h.png", "dog/._a.png", "__MACOSX/dog/._b.png", "__MACOSX/dog/b.png", "dog/@eaDir/a.png/i.jpg"]
    for seed, name in enumerate(names):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "tree" / name, random_pixels(6, 5, seed))
    (tmp_path / "tree" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "tree" / "cat" / "notes.txt").write_text("no image")
    return tmp_path / "tree"


def entries(data: ClassTree) -> list[tuple[str, int]]:
    return [(data.name(index), data.label(index)) for index in range(len(data))]


CATS_AND_DOGS = [("cat/d.PNG", 1), ("cat/far/c.png", 1), ("dog/a.png", 2), ("dog/b.png", 2)]


def test_folders_are_numbered_as_sorted_by_name(tree: Path) -> None:
    data = ClassTree(str(tree))
    assert entries(data) == [("bird/h.png", 0), *CATS_AND_DOGS]
    assert data.describe() == "tree"


def test_folders_of_systems_are_no_classes_and_are_named_in_the_log(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runner")
    before = entries(ClassTree(str(tree)))
    for name in ("@eaDir", "$RECYCLE.BIN", "System Volume Information"):
        (tree / name).mkdir()
        write_image(tree / name / "a.png", random_pixels(4, 4))
    caplog.clear()
    assert entries(ClassTree(str(tree))) == before
    assert [record.getMessage() for record in caplog.records] == [
        f"{tree}: 6 folders of a system are no classes: $RECYCLE.BIN, .git, .ipynb_checkpoints, @eaDir, "
        "System Volume Information, __MACOSX"
    ]


def test_listed_folder_is_a_class_whatever_it_is_called(tree: Path) -> None:
    assert entries(ClassTree(str(tree), ["__MACOSX", "bird", "cat", "dog"]))[:2] == [
        ("__MACOSX/dog/b.png", 0),
        ("bird/h.png", 1),
    ]


@pytest.mark.parametrize(("names", "listed"), [(["a"], "a"), (["z", "b", "c", "a"], "a, b, c …")])
def test_folder_without_an_image_is_refused_since_every_class_after_it_would_shift(
    names: list[str], listed: str, tree: Path
) -> None:
    for name in names:
        (tree / name).mkdir()
        (tree / name / "._x.png").write_bytes(b"\0\x05\x16\x07")
    with pytest.raises(DatasetError) as caught:
        ClassTree(str(tree))
    assert str(caught.value) == (
        f"dataset.images: {len(names)} of the {3 + len(names)} folders in {tree} hold no image: {listed}. Whether they are "
        "classes decides the number of every class after them: remove what is none, or list all classes in their order with "
        "dataset.classes=[a,b,c] or a file; a listed class may be empty."
    )
    data = ClassTree(str(tree), [*names, "bird", "cat", "dog"])
    assert [label for _, label in entries(data)] == [len(names) + label for label in (0, 1, 1, 2, 2)]


def test_list_of_classes_is_as_good_as_a_file(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dog\nfish\ncat\nbird\n")
    by_file = ClassTree(str(tree), str(tmp_path / "classes.txt"))
    by_list = ClassTree(str(tree), ["dog", "fish", "cat", "bird"])
    assert entries(by_list) == entries(by_file)


@pytest.mark.parametrize(
    ("classes", "got"),
    [
        ([], "an empty list"),
        (["cat", ""], "an empty name"),
        (["cat", "dog", "cat"], "'cat' more than once"),
        (["caf\u00e9", "cafe\u0301"], "'caf\u00e9' more than once"),
    ],
)
def test_wrong_list_of_classes_is_refused(classes: list[str], got: str, tree: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        ClassTree(str(tree), classes)
    assert str(caught.value) == f"dataset.classes: expected the folders' names, each once, got {got}."


def test_list_that_leaves_out_a_folder_is_refused(tree: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"dataset\.classes: the list does not list 2 of the 3 folders in .*: bird, cat\."
    ):
        ClassTree(str(tree), ["dog"])


def test_folder_is_found_by_its_name_in_another_spelling(tmp_path: Path) -> None:
    chinese = "数据"
    for folder in ("cafe\u0301", os.fsdecode(chinese.encode("gbk"))):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", random_pixels(4, 4))
    data = ClassTree(str(tmp_path), [chinese, "caf\u00e9"])
    assert entries(data) == [(r"\xca\xfd\xbe\xdd/a.png", 0), ("cafe\u0301/a.png", 1)]


def test_folders_that_read_the_same_are_refused(tmp_path: Path) -> None:
    for folder in ("cafe\u0301", "caf\u00e9"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.png", random_pixels(4, 4))
    with pytest.raises(
        DatasetError, match=r"2 folders in .* read the same, cafe\u0301, but store their accents differently"
    ):
        ClassTree(str(tmp_path))


def test_class_file_numbers_the_folders(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dog\nfish\ncat\nbird\n\n")
    data = ClassTree(str(tree), str(tmp_path / "classes.txt"))
    assert entries(data) == [
        ("dog/a.png", 0),
        ("dog/b.png", 0),
        ("cat/d.PNG", 2),
        ("cat/far/c.png", 2),
        ("bird/h.png", 3),
    ]


def test_item_is_the_file_read_with_pillow_from_any_thread(tree: Path) -> None:
    data = ClassTree(str(tree), None, ImagePreprocess(scale=0.5))
    with ThreadPoolExecutor(8) as pool:
        items = list(pool.map(data.item, [4, 1] * 20))
    for item, name in zip(items, ["dog/b.png", "cat/d.PNG"] * 20, strict=True):
        wanted = np.asarray(Image.open(tree / name)).astype(np.float32).transpose(2, 0, 1) * np.float32(0.5)
        assert np.array_equal(item.arrays[ONLY_INPUT], wanted)
    assert (items[0].label, items[1].label) == (2, 1)


def test_fingerprint_is_that_of_the_same_image_in_a_folder(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("dog/a.png 2\ndog/b.png 1\n")
    folder, data = ImageFolder(str(tree), str(tmp_path / "labels.txt")), ClassTree(str(tree))
    assert data.fingerprint(3) == folder.fingerprint(0)
    assert data.fingerprint(4) == folder.fingerprint(1)
    assert len({data.fingerprint(index) for index in range(5)}) == 5


def test_broken_image_is_named(tree: Path) -> None:
    (tree / "dog" / "a.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"dataset\.images: .*/dog/a\.png cannot be read as an image: "):
        ClassTree(str(tree)).item(3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dog\n", r"classes\.txt does not list 2 of the 3 folders in .*/tree: bird, cat\."),
        ("dog\n\ncat\n", r"classes\.txt:2: expected a folder's name, got a blank line\."),
        ("dog\ncat\ndog\n", r"classes\.txt:3: 'dog' is listed again; it stands in line 1\."),
        ("\n", r"classes\.txt is empty; expected a folder's name a line\."),
        (b"d\xff", r"classes\.txt is no UTF-8 text: .* at byte 1\."),
        (None, r"classes\.txt does not exist; expected a text file with a folder's name a line\."),
    ],
)
def test_wrong_class_file_is_refused(tree: Path, tmp_path: Path, content: str | bytes | None, message: str) -> None:
    path = tmp_path / "classes.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=rf"dataset\.classes: .*{message}"):
        ClassTree(str(tree), str(path))


def test_tree_without_folders_or_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"dataset\.images: .*/gone is no folder; expected one that holds a folder per"
    ):
        ClassTree(str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match="holds no folder; expected one per class"):
        ClassTree(str(tmp_path))
    (tmp_path / "cat").mkdir()
    with pytest.raises(DatasetError, match=r"the 1 folders in .* hold no image; expected files such as \.png"):
        ClassTree(str(tmp_path))
