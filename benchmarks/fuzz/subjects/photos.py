"""Photos, and the files that tell what is on them: labels, classes, boxes, masks, texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.fuzz import seeds
from benchmarks.fuzz.damage import Damage, anywhere, lines
from benchmarks.fuzz.spot import Spot
from benchmarks.fuzz.subjects.job import quick_job
from benchmarks.fuzz.trees import json_tree, yaml_tree
from runner import ClassTree, CocoDataset, ImageFolder, ImagePreprocess, MasksDataset, TextLines, TopK, YoloDataset
from runner.dataset.item import Dataset

_SUFFIXES = ("png", "jpg", "bmp", "webp", "gif", "tif")
_TEXTS: tuple[Damage, ...] = (anywhere, lines, lines)


def photo(folder: Path) -> Sequence[Spot]:
    """Damage images of every format, which a job decodes."""
    model, photos = _model(folder), folder / "photos"
    photos.mkdir()
    rng = np.random.default_rng(7)
    for number, suffix in enumerate(_SUFFIXES):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(
            photos / f"{number}.{suffix}", exif=_exif() if suffix in ("jpg", "png", "webp") else b""
        )
    Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).convert("P").save(photos / "palette.png")
    Image.fromarray(rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)).save(photos / "alpha.png")
    Image.fromarray(rng.integers(0, 65536, (8, 8), dtype=np.uint16)).save(photos / "deep.png")
    jpeg = ImagePreprocess(resize=8, exif="apply")

    def use() -> None:
        quick_job(model, ImageFolder(str(photos), None, jpeg), folder / "job", calibration_count=1)

    sound = [path for path in sorted(photos.iterdir()) if path.name != "deep.png"]
    (photos / "deep.png").unlink()
    return [Spot(path, [anywhere], use) for path in sound]


def labels(folder: Path) -> Sequence[Spot]:
    """Damage what tells of photos: a folder of each kind of data, read whole and asked for every truth."""
    rng = np.random.default_rng(8)
    photos = folder / "images"
    for name in ("a.png", "cat/b.png", "dog/c.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(photos / name)
    for name in ("a", "cat/b", "dog/c"):
        (folder / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 3, (8, 8), dtype=np.uint8)).save(folder / "masks" / f"{name}.png")
    files = {
        "labels.txt": "a.png 0\ncat/b.png 1\ndog/c.png 2\n",
        "classes.txt": "cat\ndog\n",
        "names.txt": "cat\ndog\nbird\n",
        "texts.txt": "a.png\t猫 a\ncat/b.png\tdog\n",
        "alphabet.txt": "a\nb\n猫\nd\no\ng\n \n",
        "labels/a.txt": "0 0.5 0.5 0.5 0.5\n1 0.1 0.2 0.1 0.1\n",
        "data.yaml": "path: .\ntrain: images\nval: images\nnc: 3\nnames:\n  0: cat\n  1: dog\n  2: bird\n",
        "coco.json": json.dumps(_coco()),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    def spot(name: str, damages: Sequence[Damage], data: Callable[[], Dataset]) -> Spot:
        return Spot(folder / name, damages, lambda: _all_of(data()))

    def at(name: str) -> str:
        return str(folder / name)

    preprocess = ImagePreprocess(resize=8)
    images = str(photos)
    return [
        spot("labels.txt", _TEXTS, lambda: ImageFolder(images, at("labels.txt"), preprocess)),
        spot("classes.txt", _TEXTS, lambda: ClassTree(images, at("classes.txt"), preprocess)),
        spot("names.txt", _TEXTS, lambda: YoloDataset(images, at("labels"), at("names.txt"), preprocess)),
        spot(
            "data.yaml", [*_TEXTS, yaml_tree, yaml_tree], lambda: YoloDataset(images, None, at("data.yaml"), preprocess)
        ),
        spot("labels/a.txt", _TEXTS, lambda: YoloDataset(images, at("labels"), at("names.txt"), preprocess)),
        spot(
            "coco.json",
            [anywhere, lines, json_tree, json_tree],
            lambda: CocoDataset(images, at("coco.json"), preprocess),
        ),
        spot("masks/a.png", [anywhere], lambda: MasksDataset(images, at("masks"), preprocess=preprocess)),
        spot("names.txt", _TEXTS, lambda: MasksDataset(images, at("masks"), 255, at("names.txt"), preprocess)),
        spot("texts.txt", _TEXTS, lambda: TextLines(images, at("texts.txt"), at("alphabet.txt"), preprocess)),
        spot("alphabet.txt", _TEXTS, lambda: TextLines(images, at("texts.txt"), at("alphabet.txt"), preprocess)),
    ]


def labelled_job(folder: Path) -> Sequence[Spot]:
    """Damage the label file of a whole job, which classes and figures come from."""
    model, photos = _model(folder), folder / "photos"
    photos.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    path = folder / "labels.txt"
    path.write_text("".join(f"{number}.png {number}\n" for number in range(4)), encoding="utf-8")
    preprocess = ImagePreprocess(resize=8)
    return [
        Spot(
            path,
            _TEXTS,
            lambda: quick_job(model, ImageFolder(str(photos), str(path), preprocess), folder / "job", metric=TopK()),
        )
    ]


def _all_of(data: Dataset) -> None:
    for index in range(len(data)):
        data.item(index)
        data.label(index)
        data.fingerprint(index)
    data.describe()


def _model(folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(seeds.photo_classifier().SerializeToString())
    return path


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _coco() -> dict[str, object]:
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 8, "height": 8},
            {"id": 7, "file_name": "cat/b.png", "width": 8, "height": 8},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 9, "bbox": [0, 0, 8, 8], "area": 64, "iscrowd": 1},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
