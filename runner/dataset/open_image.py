"""The bytes of an image file to 8 bits a channel: which formats and depths are taken, and what any other file is.

Only the formats listed here are opened, whatever a file is called: a decoder of another format may start a program (PostScript
would be run through Ghostscript). All of these are decoded in this process.

* The first frame of an animation and the first page of a TIFF count.
* Gray of 1 to 8 bits becomes 0..255. Gray of 16 bits is divided by 257, rounded to nearest, so that 65535 is 255; a TIFF of
  12 bits in the same way, so that 4095 is. Colour of 16 bits comes from Pillow as its high byte.
* Alpha is left out: the colours below transparent pixels count. A palette becomes its colours. CMYK becomes RGB without a
  colour profile.
* Whole numbers of 32 bits, signed ones and floats have no range that is known, and are refused.

Masks, whose pixels are numbers of classes, are read by ``open_indices``, which changes no number.
"""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from runner.errors import DatasetError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
_EXPECTED = "expected JPEG, PNG, BMP, WebP, TIFF, GIF or PPM"
_TAKEN = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8", "JPEG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"RIFF", "WebP"),
    (b"BM", "BMP"),
)
_OTHERS = (
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"PK\x03\x04", "a .zip archive"),
    (b"\x1f\x8b", "a .gz archive"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\0\x05\x16\x07", "AppleDouble metadata of macOS, no image"),
    (b"version https://git-lfs", "a pointer of Git LFS in place of the file, which `git lfs pull` fetches"),
    (b"<", "text, such as HTML or SVG"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIF", b"heix": "HEIF", b"mif1": "HEIF", b"msf1": "HEIF"}
# TIFF tags: bits a sample, and whether 0 is white.
_BITS, _PHOTOMETRIC = 258, 262
# Formats that give back the numbers that were stored; the others blur them, or Pillow scales them.
_LOSSLESS = ("PNG", "TIFF", "BMP")
# Gray of fewer bits, which Pillow spreads over 0..255, and by how much.
_SPREAD = {"L;2": 85, "L;4": 17}
_MOST_CLASS = 65535
# Of any image: 4 bytes a pixel, and what it is turned into, take 1 GB. Pillow warns from here on, and refuses twice as many.
_MOST_PIXELS = 89_478_485
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Rows that are scaled at once, which takes 8 bytes a pixel.
_ROWS = 256
# EXIF's tag of the orientation; from the fifth on height and width change places.
_ORIENTATION, _TURNED = 0x0112, 5


def open_image(source: bytes, title: str, *, upright: bool = False) -> Image.Image:
    """Return an image of mode ``L`` or ``RGB``, decoded.

    Args:
        source: the bytes of its file.
        title: what the image is called in messages: the option and the file.
        upright: turn it as its EXIF orientation says. Pillow does so for a TIFF in any case.

    Raises:
        DatasetError: it is of no format or depth that is taken, damaged, or too large.
    """
    try:
        with Image.open(io.BytesIO(source), formats=FORMATS) as image:
            _refuse_bomb(image)
            image.load()
            return _eight_bits(ImageOps.exif_transpose(image) if upright else image, image, title)
    except DatasetError:
        raise
    except Exception as error:  # a decoder meets damaged bytes with any error that its code comes to
        damaged = " Copy it again, or leave it out." if "truncated" in str(error) else ""
        raise DatasetError(f"{title} cannot be read as an image: {_reason(error, source)}.{damaged}") from error


def open_indices(source: bytes, title: str) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Return the numbers that a mask's pixels hold, shape (height, width): of a palette its indices, of gray its values.

    Args:
        source: the bytes of its file.
        title: what the mask is called in messages: the option and the file.

    Raises:
        DatasetError: it holds colours, floats or numbers beyond 65535, is of a format that does not keep numbers, or damaged.
    """
    try:
        with Image.open(io.BytesIO(source), formats=FORMATS) as image:
            _refuse_bomb(image)
            if image.format not in _LOSSLESS:
                raise DatasetError(
                    f"{title} is {image.format}, which does not keep the numbers of classes as they are; expected "
                    "a mask as PNG (or TIFF, BMP)."
                )
            # Only before it is decoded an image tells how its pixels are stored.
            spread = next((_SPREAD.get(str(_raw_mode(tile)), 1) for tile in image.tile), 1)
            image.load()
            return _indices(image, spread, title)
    except DatasetError:
        raise
    except Exception as error:  # as in ``open_image``
        raise DatasetError(f"{title} cannot be read as an image: {_reason(error, source)}.") from error


def _raw_mode(tile: tuple[object, ...]) -> object:
    arguments = tile[3]
    return arguments[0] if isinstance(arguments, tuple) and arguments else arguments


def _indices(image: Image.Image, spread: int, title: str) -> NDArray[np.uint16] | NDArray[np.uint8]:
    mode = image.mode
    if mode in ("P", "L", "1"):
        values = np.asarray(image).astype(np.uint8)
        return values // np.uint8(spread) if spread > 1 else values
    if mode.startswith("I"):
        wide = np.asarray(image)
        if wide.size and not (wide.min() >= 0 and wide.max() <= _MOST_CLASS):
            raise DatasetError(
                f"{title} holds numbers from {wide.min()} to {wide.max()}; expected classes of 0 to {_MOST_CLASS}."
            )
        return wide.astype(np.uint16)
    kind = "floats" if mode == "F" else f"colours ({mode})"
    raise DatasetError(
        f"{title} holds {kind}, where the number of a pixel's class was expected: a mask is gray of 8 or 16 bits, or has a "
        "palette whose indices are the classes. Replace each class's colour by its number and save the mask as gray PNG."
    )


def image_size(source: bytes, title: str, *, upright: bool = False) -> tuple[int, int]:
    """Return an image's (height, width), of which only the head is read.

    Args:
        source: the bytes of its file.
        title: what the image is called in messages: the option and the file.
        upright: as its EXIF orientation turns it.

    Raises:
        DatasetError: it is of no format that is taken, or its head is damaged.
    """
    try:
        with Image.open(io.BytesIO(source), formats=FORMATS) as image:
            _refuse_bomb(image)
            turned = upright and image.getexif().get(_ORIENTATION, 1) >= _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception as error:  # as in ``open_image``
        raise DatasetError(f"{title} cannot be read as an image: {_reason(error, source)}.") from error


def _eight_bits(image: Image.Image, file: Image.Image, title: str) -> Image.Image:
    """Return an image with 8 bits a channel; ``file`` knows what its file says of the pixels."""
    mode = image.mode
    if mode.startswith("I;16"):
        return Image.fromarray(_from_16_bits(np.asarray(image), file))
    if mode == "I" and file.format == "PPM":  # Pillow has scaled them to 65535
        return Image.fromarray(_scaled(np.asarray(image), 65535))
    if mode in ("I", "F"):
        kind = "floats" if mode == "F" else "whole numbers of 32 bits, or signed ones"
        raise DatasetError(
            f"{title} holds {kind}, of which the range is not known; expected 8 or 16 bits a channel. Convert it, or give the "
            "values as arrays with dataset=npy or dataset=npz."
        )
    if mode in ("L", "RGB"):
        return image
    return image.convert("L" if mode in ("1", "LA") else "RGB")


def _from_16_bits(values: NDArray[np.integer], file: Image.Image) -> NDArray[np.uint8]:
    tags = getattr(file, "tag_v2", {})
    bits = tags.get(_BITS, 16)
    most = (1 << int(bits[0] if isinstance(bits, tuple) else bits)) - 1
    return _scaled(values, most, inverted=tags.get(_PHOTOMETRIC) == 0)


def _scaled(values: NDArray[np.integer], most: int, *, inverted: bool = False) -> NDArray[np.uint8]:
    """Return ``values * 255 / most``, rounded to nearest, or of ``most - values``; there are no ties, ``most`` being odd."""
    table = ((np.arange(most + 1, dtype=np.int64) * 510 + most) // (2 * most)).astype(np.uint8)
    table, scaled = table[::-1] if inverted else table, np.empty(values.shape, np.uint8)
    for row in range(0, len(values), _ROWS):
        scaled[row : row + _ROWS] = table.take(values[row : row + _ROWS], mode="clip")
    return scaled


def _refuse_bomb(image: Image.Image) -> None:
    if image.width * image.height > _MOST_PIXELS:
        raise Image.DecompressionBombError(f"{image.width * image.height} pixels")


def _reason(error: Exception, source: bytes) -> str:
    if not source:
        return "it has 0 bytes"
    if isinstance(error, UnidentifiedImageError):
        return _what_it_is(source)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        pixels = re.search(r"\d+", str(error))
        return f"it claims {pixels[0] if pixels else 'too many'} pixels, more than are read of any image; scale it down"
    if isinstance(error, MemoryError):
        return "there is not enough memory for its pixels"
    # Pillow names the stream that it was given, which says nothing.
    return re.sub(r"<_io\.[^>]*>", "the file", str(error)).strip().rstrip(".") or type(error).__name__


def _what_it_is(source: bytes) -> str:
    for start, name in _TAKEN:
        if source.startswith(start):
            return f"it begins like {name}, but is cut off or damaged"
    brand = _BRANDS.get(source[8:12]) if source[4:8] == b"ftyp" else None
    other = brand or next((name for start, name in _OTHERS if source.startswith(start)), None)
    return f"{'it is of another format' if other is None else f'it is {other}'}; {_EXPECTED}"
