"""Class trees: which class a folder is, in which order its images come."""

from __future__ import annotations

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
from tests.small_data import random_pixels, write_image


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three class folders; one has a sub-folder, one is empty, and there is what no image is."""
    names = ["dog/b.png", "dog/a.png", "cat/far/c.png", "cat/d.PNG", "dog/.hidden/e.png", ".git/f.png", "g.png"]
    for seed, name in enumerate(names):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "tree" / name, random_pixels(6, 5, seed))
    (tmp_path / "tree" / "bird").mkdir()
    (tmp_path / "tree" / "cat" / "notes.txt").write_text("no image")
    return tmp_path / "tree"


def entries(data: ClassTree) -> list[tuple[str, int]]:
    return [(data.name(index), data.label(index)) for index in range(len(data))]


def test_folders_are_numbered_as_sorted_by_name(tree: Path) -> None:
    data = ClassTree(str(tree))
    assert entries(data) == [("cat/d.PNG", 1), ("cat/far/c.png", 1), ("dog/a.png", 2), ("dog/b.png", 2)]
    assert data.describe() == "tree"


def test_class_file_numbers_the_folders(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dog\nfish\ncat\nbird\n\n")
    data = ClassTree(str(tree), str(tmp_path / "classes.txt"))
    assert entries(data) == [("dog/a.png", 0), ("dog/b.png", 0), ("cat/d.PNG", 2), ("cat/far/c.png", 2)]


def test_item_is_the_file_read_with_pillow_from_any_thread(tree: Path) -> None:
    data = ClassTree(str(tree), None, ImagePreprocess(scale=0.5))
    with ThreadPoolExecutor(8) as pool:
        items = list(pool.map(data.item, [3, 0] * 20))
    for item, name in zip(items, ["dog/b.png", "cat/d.PNG"] * 20, strict=True):
        wanted = np.asarray(Image.open(tree / name)).astype(np.float32).transpose(2, 0, 1) * np.float32(0.5)
        assert np.array_equal(item.arrays[ONLY_INPUT], wanted)
    assert (items[0].label, items[1].label) == (2, 1)


def test_fingerprint_is_that_of_the_same_image_in_a_folder(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("dog/a.png 2\ndog/b.png 1\n")
    folder, data = ImageFolder(str(tree), str(tmp_path / "labels.txt")), ClassTree(str(tree))
    assert data.fingerprint(2) == folder.fingerprint(0)
    assert data.fingerprint(3) == folder.fingerprint(1)
    assert len({data.fingerprint(index) for index in range(4)}) == 4


def test_broken_image_is_named(tree: Path) -> None:
    (tree / "dog" / "a.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"dataset\.images: .*/dog/a\.png cannot be read as an image: "):
        ClassTree(str(tree)).item(2)


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
