"""Boxes at known pixels, in their colours and kinds of lines."""

from __future__ import annotations

from PIL import Image, ImageColor

from runner.report.shown.box_drawing import LOOKS, DrawnBox, Whose, draw_boxes

BOX = (20.0, 30.0, 80.0, 90.0)


def drawn(*boxes: DrawnBox, tags: tuple[tuple[float, float, int], ...] = ()) -> Image.Image:
    image = Image.new("RGB", (120, 120), "#808080")
    draw_boxes(image, boxes, tags)
    return image


def rgb(whose: Whose) -> tuple[int, ...]:
    return ImageColor.getrgb(LOOKS[whose].colour)


def top(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the pixels of the box's upper side."""
    return [image.getpixel((x, 30)) for x in range(20, 81)]


def test_a_true_box_is_a_whole_line_along_all_four_sides() -> None:
    image = drawn(DrawnBox(BOX, "truth"))
    assert set(top(image)) == {rgb("truth")}
    for place in ((20, 60), (80, 60), (50, 90)):
        assert image.getpixel(place) == rgb("truth")
    for place in ((50, 60), (19, 60), (81, 60), (50, 29), (50, 91)):
        assert image.getpixel(place) == (128, 128, 128)


def test_the_lines_of_both_models_differ_in_more_than_colour() -> None:
    shares = {}
    for whose in ("float", "int8"):
        on, off = LOOKS[whose].dash
        pixels = top(drawn(DrawnBox(BOX, whose)))
        for at, pixel in enumerate(pixels[4:-4], start=4):  # without the corners, where sides meet
            assert (pixel == rgb(whose)) == (at % (on + off) < on)
        shares[whose] = on
    assert shares["float"] > 2 * shares["int8"]
    assert len({look.colour for look in LOOKS.values()}) == len({look.line for look in LOOKS.values()}) == 3


def test_boxes_that_lie_upon_each_other_are_all_seen() -> None:
    image = drawn(DrawnBox(BOX, "truth"), DrawnBox(BOX, "float"), DrawnBox(BOX, "int8"))
    assert {rgb("truth"), rgb("float"), rgb("int8")} <= set(top(image))


def test_boxes_beyond_the_picture_are_cut_at_its_edges() -> None:
    image = drawn(DrawnBox((-50, -50, 500, 500), "truth"), DrawnBox((200, 200, 300, 300), "float"))
    assert image.getpixel((0, 60)) == image.getpixel((119, 60)) == image.getpixel((60, 0)) == rgb("truth")


def test_unmarked_boxes_are_thin_and_numbers_stay_within_the_picture() -> None:
    image = drawn(DrawnBox(BOX, "truth", marked=False), tags=((300, 300, 12),))
    assert image.getpixel((50, 30)) != rgb("truth") and image.getpixel((50, 31)) == (128, 128, 128)
    assert image.getpixel((119, 119)) == (0, 0, 0)
