"""Names below pictures, in a font that has their letters: Pillow's own, or one of the system's, as for Chinese."""

from __future__ import annotations

import functools
import logging

from PIL import ImageFont

from runner.printable import printable

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
SIZE = 12
# As Linux, Windows and macOS come with them; Pillow looks through the system's folders. DejaVu has Greek, Cyrillic and Arabic.
_SYSTEM = (
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "NotoSansSC-Regular.otf", "SourceHanSansSC-Regular.otf"),
    *(
        "wqy-microhei.ttc",
        "wqy-zenhei.ttc",
        "DroidSansFallbackFull.ttf",
        "DroidSansFallback.ttf",
        "uming.ttc",
        "ukai.ttc",
    ),
    *(
        "msyh.ttc",
        "simsun.ttc",
        "malgun.ttf",
        "meiryo.ttc",
        "PingFang.ttc",
        "Hiragino Sans GB.ttc",
        "STHeiti Light.ttc",
    ),
    *("Arial Unicode.ttf", "DejaVuSans.ttf"),
)
logger = logging.getLogger(__name__)


def caption(name: str, index: int, width: float) -> tuple[str, Font]:
    """Return an item's name as a picture can hold it, and the font to draw it in.

    Args:
        name: of the item.
        index: its number, which stands for a name whose letters no font has.
        width: room, in pixels; a name that is longer loses its beginning.
    """
    name = printable(name)
    font = font_of(name)
    if font is None:
        return f"item {index} (see flips.csv)", default_font()
    if font.getlength(name) <= width:
        return name, font
    start = next((at for at in range(1, len(name)) if font.getlength(f"...{name[at:]}") <= width), len(name))
    return f"...{name[start:]}", font


def font_of(text: str) -> Font | None:
    """Return a font that has all characters of a text; None where neither Pillow nor the system has one, which the log says."""
    for font in (default_font(), *_system_fonts()):
        if drawable(text, font):
            return font
    _tell_missing()
    return None


def drawable(text: str, font: Font) -> bool:
    """Return whether a font has all characters of a text; those that it has not come out as boxes."""
    if isinstance(font, ImageFont.ImageFont):
        return text.isascii()
    unknown = bytes(font.getmask("\uffff"))
    return all(character == " " or bytes(font.getmask(character)) != unknown for character in text)


@functools.cache
def default_font() -> Font:
    """Return Pillow's own font, which has Latin letters."""
    return ImageFont.load_default(SIZE)


@functools.cache
def _system_fonts() -> tuple[Font, ...]:
    found = []
    for name in _SYSTEM:
        try:
            found.append(ImageFont.truetype(name, SIZE))
        except (OSError, ImportError):
            continue
    return tuple(found)


@functools.cache
def _tell_missing() -> None:
    logger.warning(
        "no font of this system has the letters of some items' names: pictures tell those by their number, flips.csv has the "
        "names; a font such as Noto Sans CJK (package fonts-noto-cjk) gives them"
    )
