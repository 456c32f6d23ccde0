"""Names below pictures are legible: in a font that has their letters, or by number."""

from __future__ import annotations

import logging

import pytest

from runner.report import caption_font
from runner.report.caption_font import caption, default_font, drawable, font_of


@pytest.fixture(autouse=True)
def _no_fonts_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_font, "_system_fonts", tuple)
    caption_font._tell_missing.cache_clear()


def test_name_whose_letters_no_font_has_is_told_by_number_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        text, font = caption("数据/图像.jpg", 7, 160)
        caption("猫.jpg", 8, 160)
    assert text == "item 7 (see flips.csv)" and drawable(text, font)
    assert len(caplog.messages) == 1 and "fonts-noto-cjk" in caplog.messages[0]


def test_font_of_the_system_that_has_the_letters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    other = object()
    monkeypatch.setattr(caption_font, "_system_fonts", lambda: (other,))
    monkeypatch.setattr(caption_font, "drawable", lambda text, font: text.isascii() or font is other)
    assert font_of("猫") is other and font_of("cat") is default_font()


@pytest.mark.parametrize("name", ["a.png", "W" * 80, "a_very_long_name_of_an_image_in_a_folder_0001.png", "i" * 90])
def test_name_fits_its_room_and_keeps_its_end(name: str) -> None:
    text, font = caption(name, 0, 160)
    assert font.getlength(text) <= 160
    assert name == text or (text.startswith("...") and name.endswith(text[3:]) and len(text) > 8)


def test_name_that_would_break_its_line_is_told() -> None:
    assert caption("a\nb\x1b.png", 0, 300)[0] == "a\\nb\\x1b.png"
