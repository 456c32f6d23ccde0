"""Image files: which are opened, what their pixels become, and what is said of all others."""

from __future__ import annotations

import ast
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import EpsImagePlugin, Image

import runner
from runner.dataset.class_tree import ClassTree
from runner.dataset.decoded import decode
from runner.dataset.image_folder import ImageFolder
from runner.dataset.open_image import FORMATS, SUFFIXES, image_size, open_image, open_indices
from runner.dataset.parquet import ParquetDataset
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import ConfigError, DatasetError
from tests.command import environment
from tests.data import random_pixels

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(source: bytes, **options: object) -> NDArray[np.uint8]:
    """Return an image as [height, width, 3] bytes."""
    return decode(source, ImagePreprocess(**options), "photo").transpose(1, 2, 0)


def of_gray(gray: NDArray) -> NDArray[np.uint8]:
    return np.repeat(gray.astype(np.uint8)[..., np.newaxis], 3, axis=2)


def sixteen_bits(seed: int = 0) -> NDArray[np.uint16]:
    """Return 12x11 values with the extremes, and those beside each boundary of rounding to a byte."""
    values = np.random.default_rng(seed).integers(0, 1 << 16, (12, 11)).astype(np.uint16)
    values.flat[:10] = [0, 1, 128, 129, 256, 257, 385, 386, 65535, 65406]
    return values


def tiff(samples: bytes, width: int, height: int, **tags: int) -> bytes:
    """Return an uncompressed TIFF of one channel; ``tags`` are bits, photometric, sample_format."""
    entries = {256: width, 257: height, 258: tags["bits"], 259: 1, 262: tags.get("photometric", 1)}
    entries |= {273: 8, 277: 1, 278: height, 279: len(samples), 339: tags.get("sample_format", 1)}
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    offset = 8 + len(samples) + len(samples) % 2
    return b"II*\0" + struct.pack("<I", offset) + samples + b"\0" * (len(samples) % 2) + directory + bytes(4)


# --- depths


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_gray_of_16_bits_is_divided_by_257_and_rounded(kind: str) -> None:
    values = sixteen_bits()
    assert np.array_equal(pixels(encoded(Image.fromarray(values), kind)), of_gray(np.rint(values / 257.0)))


def test_every_value_of_16_bits_becomes_the_nearest_byte() -> None:
    values = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    read = open_image(encoded(Image.fromarray(values), "PNG"), "photo")
    assert read.mode == "L"
    assert np.array_equal(np.asarray(read), np.rint(values / 257.0))


def test_tiff_of_16_bits_may_be_big_endian_or_have_white_as_zero() -> None:
    values = sixteen_bits()
    big = tiff(values.tobytes(), 11, 12, bits=16, photometric=0)
    assert np.array_equal(pixels(big), of_gray(np.rint((65535 - values.astype(float)) / 257)))
    image = Image.frombytes("I;16B", (11, 12), values.astype(">u2").tobytes())
    assert np.array_equal(pixels(encoded(image, "TIFF")), of_gray(np.rint(values / 257.0)))


def test_tiff_of_12_bits_spans_the_bytes() -> None:
    values = np.arange(4096).reshape(64, 64)
    pairs = values.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    read = pixels(tiff(packed.astype(np.uint8).tobytes(), 64, 64, bits=12))
    assert np.array_equal(read, of_gray(np.rint(values * 255 / 4095)))


@pytest.mark.parametrize("most", [1, 15, 100, 255, 256, 1023, 4095, 65535])
def test_netpbm_of_any_maximum_spans_the_bytes(most: int) -> None:
    values = np.linspace(0, most, 50).astype(int).reshape(5, 10)
    samples = values.astype(">u2" if most > 255 else np.uint8).tobytes()
    read = pixels(b"P5 10 5 %d\n" % most + samples)
    assert np.abs(read.astype(float) - of_gray(np.rint(values * 255 / most))).max() <= (
        0 if most in (255, 65535) else 1
    )
    assert (read.min(), read.max()) == (0, 255)


def test_colour_of_16_bits_is_its_high_byte() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (6, 5, 3)).astype(">u2")
    header = struct.pack(">IIBBBBB", 5, 6, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    assert np.array_equal(pixels(png), (values >> 8).astype(np.uint8))


FLOATS = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
RANGELESS = {
    "floats": encoded(Image.fromarray(FLOATS), "TIFF"),
    "portable floats": b"Pf\n5 4\n-1.0\n" + FLOATS.tobytes(),
    "32 bits": encoded(Image.fromarray(np.arange(20, dtype=np.int32).reshape(4, 5)), "TIFF"),
    "signed 16 bits": tiff(np.arange(20, dtype=np.int16).tobytes(), 5, 4, bits=16, sample_format=2),
    "unsigned 32 bits": tiff(np.arange(20, dtype=np.uint32).tobytes(), 5, 4, bits=32),
}


@pytest.mark.parametrize("name", RANGELESS)
def test_values_of_no_known_range_are_refused(name: str) -> None:
    kind = "floats" if "float" in name else "whole numbers of 32 bits, or signed ones"
    with pytest.raises(DatasetError) as caught:
        pixels(RANGELESS[name])
    assert str(caught.value) == (
        f"photo holds {kind}, of which the range is not known; expected 8 or 16 bits a channel. Convert it, or give the values "
        "as arrays with dataset=npy or dataset=npz."
    )


# --- kinds of pixels


def with_alpha(colours: NDArray) -> Image.Image:
    alpha = np.random.default_rng(5).integers(0, 256, (*colours.shape[:2], 1)).astype(np.uint8)
    return Image.fromarray(np.concatenate([colours, alpha], axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_left_out_and_the_colours_below_it_count(kind: str) -> None:
    colours = random_pixels(9, 7)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert np.array_equal(pixels(encoded(with_alpha(colours), kind, **options)), colours)
    gray = colours[:, :, :1]
    if kind != "WEBP":
        assert np.array_equal(pixels(encoded(with_alpha(gray), kind)), of_gray(gray[..., 0]))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette_becomes_its_colours_and_a_transparent_entry_its_own(kind: str) -> None:
    table = np.random.default_rng(0).integers(0, 256, (16, 3)).astype(np.uint8)
    index = np.random.default_rng(1).integers(0, 16, (6, 8)).astype(np.uint8)
    image = Image.fromarray(index)
    image.putpalette(table.tobytes())
    options = {"transparency": 3} if kind in ("PNG", "GIF") else {}
    assert np.array_equal(pixels(encoded(image, kind, **options)), table[index])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_one_bit_becomes_black_and_white(kind: str) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (9, 13)).astype(bool)
    assert np.array_equal(pixels(encoded(Image.fromarray(bits), kind)), of_gray(255 * bits))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_as_pillow_says_without_a_profile(kind: str) -> None:
    inks = np.random.default_rng(0).integers(0, 256, (16, 16, 4)).astype(np.uint8)
    source = encoded(Image.fromarray(inks, "CMYK"), kind)
    stored = np.asarray(Image.open(io.BytesIO(source))).astype(int)
    wanted = (255 - stored[..., :3]) * (255 - stored[..., 3:]) / 255
    assert np.abs(pixels(source) - wanted).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_or_page_counts(kind: str) -> None:
    frames = [Image.fromarray(np.full((8, 6, 3), value, np.uint8)) for value in (255, 0, 80)]
    options = {"lossless": True} if kind == "WEBP" else {}
    source = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(source)).n_frames == 3
    assert np.array_equal(pixels(source), np.full((8, 6, 3), 255))


def test_first_picture_of_a_camera_s_multi_picture_file_counts() -> None:
    frames = [Image.fromarray(random_pixels(16, 16, seed)) for seed in range(2)]
    source = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(source)).format == "MPO"
    assert np.array_equal(pixels(source), np.asarray(Image.open(io.BytesIO(source)).convert("RGB")))


def test_every_opened_image_is_gray_or_rgb_with_pillows_own_colours() -> None:
    colours = Image.fromarray(random_pixels(24, 20))
    for mode, kinds in {"L": "PNG JPEG", "RGB": "PNG JPEG", "YCbCr": "TIFF", "P": "PNG", "1": "PNG"}.items():
        for kind in kinds.split():
            if kind == "TIFF" and int(PIL.__version__.partition(".")[0]) < 13:
                continue  # what it writes there it does not read itself
            source = encoded(colours.convert(mode), kind)
            read = open_image(source, "photo")
            assert read.mode in ("L", "RGB")
            assert np.array_equal(
                np.asarray(read.convert("RGB")), np.asarray(Image.open(io.BytesIO(source)).convert("RGB"))
            )


# --- EXIF

# Orientation -> what brings the stored pixels upright: the standard's table, on arrays.
UPRIGHT: dict[int, Callable[[NDArray], NDArray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_orientation_is_applied_where_asked_for_and_ignored_by_default(kind: str, orientation: int) -> None:
    stored = random_pixels(7, 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = encoded(Image.fromarray(stored), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.array_equal(pixels(source), stored)
    assert np.array_equal(pixels(source, exif="ignore"), stored)
    assert np.array_equal(pixels(source, exif="apply"), UPRIGHT[orientation](stored))


def test_orientation_comes_before_resize_and_crop_and_holds_for_jpeg_and_gray() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source = encoded(Image.fromarray(random_pixels(20, 40)[..., 0]), "JPEG", exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(source)).convert("RGB"))
    turned = encoded(Image.fromarray(np.ascontiguousarray(np.rot90(stored, -1))), "PNG")
    for options in ({}, {"resize": [8, 10]}, {"resize": 10, "crop": 9}):
        assert np.array_equal(pixels(source, exif="apply", **options), pixels(turned, **options))


@pytest.mark.parametrize("word", ["ignore", "apply"])
def test_orientation_of_a_tiff_is_followed_once_in_any_case(word: str) -> None:
    stored = random_pixels(7, 9)
    source = encoded(Image.fromarray(stored), "TIFF", tiffinfo={0x0112: 6})
    assert np.array_equal(pixels(source, exif=word), UPRIGHT[6](stored))


def test_exif_is_part_of_the_fingerprint_and_no_other_word_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(random_pixels(4, 4)), "PNG"))
    plain, turned = (ImageFolder(str(tmp_path), None, ImagePreprocess(exif=word)) for word in ("ignore", "apply"))
    assert plain.fingerprint(0) == ImageFolder(str(tmp_path)).fingerprint(0) != turned.fingerprint(0)
    with pytest.raises(ConfigError, match=r"dataset\.preprocess\.exif: expected ignore or apply, got turn"):
        ImagePreprocess(exif="turn")


# --- what is no image


REFUSED = {
    "nothing": (b"", "it has 0 bytes"),
    "PostScript": (POSTSCRIPT, "it is PostScript; expected JPEG, PNG, BMP, WebP, TIFF, GIF or PPM"),
    "PDF": (b"%PDF-1.7\n", "it is PDF; expected JPEG,"),
    "page": (b"<!DOCTYPE html><html>404</html>", "it is text, such as HTML or SVG; expected"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS in place of the file"),
    "AppleDouble": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "it is AppleDouble metadata of macOS, no image; expected"),
    "HEIF": (b"\0\0\0\x18ftypheic\0\0\0\0", "it is HEIF; expected"),
    "archive": (b"PK\x03\x04", "it is a .zip archive; expected"),
    "text": (b"hello", "it is of another format; expected"),
    "cut header": (b"\x89PNG\r\n", "it begins like PNG, but is cut off or damaged"),
    "cut pixels": (encoded(Image.fromarray(random_pixels(40, 40)), "PNG")[:2000], "image file is truncated"),
    "other format": (encoded(Image.fromarray(random_pixels(9, 9)), "TGA"), "it is of another format; expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    source, reason = REFUSED[name]
    (tmp_path / "tree" / "class").mkdir(parents=True)
    path = tmp_path / "tree" / "class" / "photo.jpg"
    path.write_bytes(source)
    pq.write_table(pa.table({"image": [source]}), tmp_path / "table.parquet")
    for data, where in (
        (ImageFolder(str(path.parent)), f"dataset.images: {path}"),
        (ClassTree(str(tmp_path / "tree")), f"dataset.images: {path}"),
        (ParquetDataset(str(tmp_path / "table.parquet"), label=None), "dataset.path: table.parquet[0], column 'image'"),
    ):
        with pytest.raises(DatasetError) as caught:
            data.item(0)
        assert str(caught.value).startswith(f"{where} cannot be read as an image: {reason}")
        assert "_io." not in str(caught.value) and str(caught.value).endswith(".")


def headed(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + parts + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as in a job
@pytest.mark.parametrize("size", [(60000, 60000), (13000, 13000), (9460, 9460)])
@pytest.mark.parametrize(
    "read", [pixels, lambda source: open_indices(source, "photo"), lambda source: image_size(source, "photo")]
)
def test_image_that_claims_more_pixels_than_are_read_of_any_is_refused(
    size: tuple[int, int], read: Callable[[bytes], object]
) -> None:
    with pytest.raises(DatasetError) as caught:
        read(headed(*size))
    assert str(caught.value) == (
        f"photo cannot be read as an image: it claims {size[0] * size[1]} pixels, more than are read of any image; scale "
        "it down."
    )


def test_image_below_the_bound_is_read() -> None:
    assert image_size(headed(9459, 9459), "photo") == (9459, 9459)


def test_bomb_is_no_noise_before_its_message() -> None:
    code = "import sys; from runner.dataset.open_image import image_size; image_size(sys.stdin.buffer.read(), 'photo')"
    done = subprocess.run(
        [sys.executable, "-c", code], input=headed(9460, 9460), env=environment(), capture_output=True
    )
    assert b"Warning" not in done.stderr and b"it claims 89491600 pixels" in done.stderr


def test_damaged_files_are_refused_in_words_and_with_nothing_else() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(random_pixels(24, 20))
    whole = [encoded(image, kind) for kind in FORMATS] + [encoded(image.convert("P"), "PNG")]
    refused = 0
    for _ in range(600):
        damaged = bytearray(whole[rng.integers(len(whole))])
        for _ in range(rng.choice([1, 3, 12])):
            damaged[rng.integers(min(len(damaged), rng.choice([40, 4000])))] = rng.integers(256)
        try:
            assert open_image(bytes(damaged), "photo", upright=True).mode in ("L", "RGB")
        except DatasetError as error:
            refused += 1
            assert str(error).startswith(("photo cannot be read as an image: ", "photo holds ")) and "_io." not in str(
                error
            )
    assert refused > 100


def test_image_that_cannot_be_read_or_resized_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(random_pixels(4, 4)), "PNG"))
    data = ImageFolder(str(tmp_path))
    (tmp_path / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"a\.png cannot be read as an image: No such file or directory\."):
        data.item(0)
    with pytest.raises(
        DatasetError, match=r"photo has 4x4 pixels and cannot be resized: .*Set dataset\.preprocess\.resize"
    ):
        pixels(encoded(Image.fromarray(random_pixels(4, 4)), "PNG"), resize=1 << 30)


# --- no other program


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program called gs on the path, and return the file that it makes when it is started."""
    programs, trace = tmp_path / "programs", tmp_path / "started"
    programs.mkdir()
    program = programs / "gs"
    program.write_text(f"#!/bin/sh\ntouch {trace}\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # where Pillow keeps what it once found
    return trace


def test_postscript_called_jpg_starts_no_program(
    tmp_path: Path, ghostscript: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "photo.jpg").write_bytes(POSTSCRIPT)
    started = subprocess.Popen

    def counted(*arguments: object, **options: object) -> object:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", counted)
    with pytest.raises(DatasetError, match=r"photo\.jpg cannot be read as an image: it is PostScript; expected JPEG"):
        ImageFolder(str(tmp_path / "photos")).item(0)
    assert not ghostscript.exists()
    # Pillow itself, told no formats, does start it: the test could see it.
    monkeypatch.setattr(subprocess, "Popen", started)
    with (
        pytest.raises((OSError, subprocess.CalledProcessError)),
        Image.open(tmp_path / "photos" / "photo.jpg") as image,
    ):
        image.load()
    assert ghostscript.exists()


def test_images_are_opened_in_one_place_with_a_list_of_formats() -> None:
    calls = []
    for path in Path(runner.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            opens = isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("open", "imread")
            if opens and ast.unparse(node.func) in ("Image.open", "PIL.Image.open", "mpimg.imread", "plt.imread"):
                calls.append((path.name, tuple(keyword.arg for keyword in node.keywords)))
    assert set(calls) == {("open_image.py", ("formats",))}


def test_suffixes_are_those_of_the_formats() -> None:
    Image.init()
    kinds = {suffix: Image.registered_extensions()[suffix] for suffix in SUFFIXES}
    assert set(kinds.values()) == set(FORMATS)
