"""Maps in the colours of their classes."""

from __future__ import annotations

import numpy as np

from runner.evaluation.outputs import NO_ANSWER
from runner.report.shown.masks import colour, map_picture
from runner.tasks.segmentation.resolution import shown_pixels


def test_a_map_is_shown_pixel_for_pixel_ignored_ones_gray_and_no_answer_white() -> None:
    classes = np.array([[0, 1, 2], [NO_ANSWER, 255, 21]])
    image = map_picture(classes, np.array([[False] * 3, [False, True, False]]))
    assert image.size[0] // 3 == image.size[1] // 2
    step = image.size[0] // 3
    pixels = [[image.getpixel((x * step + 1, y * step + 1)) for x in range(3)] for y in range(2)]
    assert pixels == [[colour(0), colour(1), colour(2)], [(255, 255, 255), (150, 150, 150), colour(21)]]


def test_the_classes_of_usual_data_have_colours_of_their_own() -> None:
    colours = [np.array(colour(number)) for number in range(21)]
    nearest = min(np.abs(one - other).sum() for n, one in enumerate(colours) for other in colours[:n])
    assert nearest >= 30


def test_larger_masks_are_shown_by_evenly_spaced_pixels() -> None:
    rows, columns = shown_pixels((4, 8), 4)
    assert rows.tolist() == [1, 3] and columns.tolist() == [1, 3, 5, 7]
    rows, columns = shown_pixels((3, 2), 100)
    assert rows.tolist() == [0, 1, 2] and columns.tolist() == [0, 1]
    rows, columns = shown_pixels((1, 5000), 320)
    assert rows.tolist() == [0] and len(columns) == 320 and columns.max() < 5000
