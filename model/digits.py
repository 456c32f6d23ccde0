"""The handwritten digits: rendering, splitting, writing and reading the folders, and distorting training batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional

SIDE = 32
"""Height and width of a rendered image in pixels."""
LABEL_FILE = "image_label.txt"


@dataclass(frozen=True)
class Digits:
    """Rendered digits.

    images: uint8 [N, 32, 32, 3], RGB 0..255 (the three channels are equal). labels: int64 [N], the class 0..9.
    indices: int64 [N], the position in scikit-learn's `load_digits`, which names the file.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Digits:
        """The digits at `rows` (int64 [M]), in ascending order of the row."""
        rows = np.sort(rows)
        return Digits(self.images[rows], self.labels[rows], self.indices[rows])

    def divide(self, count: int, seed: int) -> tuple[Digits, Digits]:
        """`count` digits drawn with the class proportions kept, and the others."""
        others, drawn = train_test_split(np.arange(len(self)), test_size=count, random_state=seed, stratify=self.labels)
        return self.take(drawn), self.take(others)


def render(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Enlarge digits with bicubic interpolation: [N, 8, 8] with values 0..16 -> uint8 RGB [N, 32, 32, 3]."""
    small = np.rint(values * (255.0 / 16.0)).astype(np.uint8)
    large = [Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in small]
    return np.stack([np.asarray(image.convert("RGB")) for image in large])


def load_rendered() -> Digits:
    """All digits of `load_digits`, each picture once.

    Two samples with the same pixels could fall on two sides of a split, so only the first of them is kept.
    """
    source = load_digits()
    images = render(source.images)
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    everything = Digits(images, source.target.astype(np.int64), np.arange(len(images), dtype=np.int64))
    return everything.take(first.astype(np.int64))


def write_folder(folder: Path, digits: Digits) -> None:
    """Write one PNG file per digit and the label file; what an earlier run left in `folder` is removed first."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("digit_*.png"):
        stale.unlink()
    lines = []
    for image, label, index in zip(digits.images, digits.labels, digits.indices, strict=True):
        name = f"digit_{index:04d}_{label}.png"
        Image.fromarray(image).save(folder / name, optimize=True)
        lines.append(f"{name} {label}\n")
    (folder / LABEL_FILE).write_text("".join(sorted(lines)), encoding="ascii")


def read_folder(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images (uint8 RGB [N, 32, 32, 3]) and labels (int64 [N]) that `write_folder` left, in the file's order."""
    rows = [line.split() for line in (folder / LABEL_FILE).read_text(encoding="ascii").splitlines()]
    images = np.stack([np.asarray(Image.open(folder / name).convert("RGB")) for name, _ in rows])
    return images, np.array([int(label) for _, label in rows], dtype=np.int64)


def network_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the networks read: uint8 RGB [N, 32, 32, 3] -> float32 [N, 3, 32, 32], y = x / 127.5 - 1."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
    return planes / np.float32(127.5) - np.float32(1.0)


def distort(batch: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Distort a batch of network inputs ([N, 3, 32, 32], -1..1) at random, each image by itself.

    At strength 1: rotation up to 15 degrees, horizontal shear up to 0.25, scaling of each axis by up to 15 %, shifts
    up to 3 pixels, a smooth displacement field of about 1 pixel, contrast down to 0.7, and noise. Everything shrinks
    with `strength`. What comes into view from outside is background, which is -1.
    """
    count = len(batch)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2.0 - 1.0) * (limit * strength)

    angle, shear = uniform(math.radians(15.0)), uniform(0.25)
    scale_x, scale_y = 1.0 + uniform(0.15), 1.0 + uniform(0.15)
    # grid_sample counts the image's width as 2, so a shift of p pixels is p * 2 / 32.
    shift_x, shift_y = uniform(3.0 * 2.0 / SIDE), uniform(3.0 * 2.0 / SIDE)
    cos, sin = torch.cos(angle), torch.sin(angle)
    first_row = torch.stack([cos * scale_x, (shear * cos - sin) * scale_x, shift_x], dim=1)
    second_row = torch.stack([sin * scale_y, (shear * sin + cos) * scale_y, shift_y], dim=1)
    grid = functional.affine_grid(torch.stack([first_row, second_row], dim=1), list(batch.shape), align_corners=False)

    coarse = torch.randn((count, 2, 5, 5), generator=generator) * (strength * 2.0 / SIDE)
    field = functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    grid = grid + field.permute(0, 2, 3, 1)

    # grid_sample pads with 0: sample with the background at 0, then scale the ink and go back to -1..1.
    ink = functional.grid_sample(batch + 1.0, grid, align_corners=False, padding_mode="zeros")
    contrast = 1.0 - torch.rand((count, 1, 1, 1), generator=generator) * (0.3 * strength)
    noise = torch.randn((count, 1, SIDE, SIDE), generator=generator) * (0.05 * strength)
    return (ink * contrast - 1.0 + noise).clamp(-1.0, 1.0)
