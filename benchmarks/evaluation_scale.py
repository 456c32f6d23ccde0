"""What it takes to judge a detector by ``metric=map``, by items: ``python -m benchmarks.evaluation_scale [--items 100 400]``.

Photos of 640x640 are made on the fly, the model has the size of YOLOv8s and random weights, and its class scores are shifted
until about 50 boxes a photo pass the threshold. Evaluator and Scorer are the product's own; each number of items is a process
of its own. Seconds are of the processor, in one caller, so that other work on the machine counts little. For AP and the
interval of its loss a photo's true boxes are some of those that were found, moved a little; both are also taken over 1000 and
5000 items, whose rows repeat those that were made.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.one_stage import CLASSES, SIDE, one_stage
from benchmarks.process import python
from benchmarks.table import machine, markdown
from runner.dataset.frame import Frame
from runner.dataset.item import ONLY_INPUT, Item, Truth
from runner.dataset.subset import Subset
from runner.dataset.truth import Boxes
from runner.engine import Engine
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Scores
from runner.evaluation.outputs import ClassScores, Outputs
from runner.evaluation.uncertainty import loss_interval
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.detection.rows import ItemBoxes
from runner.tasks.detection.yolov8 import Yolov8

_BOXES, _TRUE = 50, 7
_REPEATED = (1000, 5000)


@dataclass
class Stopwatch:
    """Seconds of the processor, of the thread that works."""

    seconds: float = 0.0
    entered: float = field(default=0.0, repr=False)

    def __enter__(self) -> None:
        self.entered = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.thread_time() - self.entered


_making, _judging = Stopwatch(), Stopwatch()


class Photos:
    """Coarse noise, enlarged, with true boxes at random places."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> Item:
        """Return a photo, float32 of shape (3, 640, 640)."""
        with _making:
            coarse = np.random.default_rng(index).integers(0, 256, (20, 20, 3), np.uint8)
            pixels = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
            return Item({ONLY_INPUT: np.ascontiguousarray(pixels.transpose(2, 0, 1)) / 255}, None)

    def label(self, index: int) -> Boxes:
        """Return its boxes."""
        rng = np.random.default_rng(index + 1_000_000)
        near, sides = rng.uniform(0, SIDE - 100, (_TRUE, 2)), rng.uniform(10, 100, (_TRUE, 2))
        size = (SIDE, SIDE)
        frame, crowd = Frame(size, size), np.zeros(_TRUE, np.bool_)
        classes = rng.integers(0, CLASSES, _TRUE)
        return Boxes(np.hstack([near, near + sides]), classes, sides.prod(axis=1), crowd, frame)

    def name(self, index: int) -> str:
        """Return its number."""
        return str(index)

    def fingerprint(self, index: int) -> str:
        """Return its number."""
        return str(index)

    def describe(self) -> str:
        """Return what the photos are."""
        return "made photos"


class Timed(MeanAveragePrecision):
    """The product's metric, with the time that an item's row takes."""

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> NDArray[np.float64]:
        """Return an item's row."""
        with _judging:
            return super().score(outputs, reference, label, classes)


def bias_for(boxes: int, postprocess: Yolov8) -> float:
    """Return the bias with which about so many boxes a photo pass the postprocess's threshold."""
    session = Engine(1).session(one_stage(0.0))
    logits = []
    for index in range(2):
        (output,) = session.run({"images": Photos(2).item(index).arrays[ONLY_INPUT][np.newaxis]})
        scores = output[0, 4:].astype(np.float64)
        logits.append(np.log(scores) - np.log1p(-scores))
    border = np.partition(np.stack(logits), -2 * boxes, axis=None)[-2 * boxes]
    return float(np.log(postprocess.score / (1 - postprocess.score)) - border)


def measured(items: int) -> dict[str, float]:
    """Return seconds and bytes of judging two models over so many items in this process."""
    postprocess = Yolov8()
    bias = bias_for(_BOXES, postprocess)
    float_model, other = one_stage(bias), one_stage(bias + 0.1)
    metric = Timed(postprocess)
    evaluator = Evaluator(Engine(1), Subset.whole(Photos(items)), [metric])
    start_of_all = _peak()
    _making.seconds = _judging.seconds = 0.0
    start = time.process_time()
    scorer = evaluator.against(evaluator.outputs(float_model))
    before = scorer.float_scores.scores[metric.name]
    after_float = _peak()
    after = scorer.without_reference.evaluate(other).scores[metric.name]
    evaluated = time.process_time() - start
    found = {
        "peak_loaded": start_of_all,
        "peak_float": after_float,
        "peak": _peak(),
        "photo": _making.seconds / (2 * items),
        "judge": _judging.seconds / (2 * items),
        "model": (evaluated - _making.seconds - _judging.seconds) / (2 * items),
        "rows": float(sum(row.nbytes for row in before)) / items,
        "boxes": float(np.mean([row[1] for row in before])),
    }
    before, after = _with_truth_found(before, after)
    for count in (items, *_REPEATED):
        found |= _of_all(metric, *(_repeated(rows, count) for rows in (before, after)), count=count)
    return found | {"peak_after": _peak()}


def _of_all(metric: Timed, before: Scores, after: Scores, *, count: int) -> dict[str, float]:
    """Return the seconds of an AP, and of the interval of a loss, over so many rows."""
    start = time.process_time()
    value = metric.aggregate(after)
    between = time.process_time()
    loss_interval(metric, before, after, target=0.5)
    taken = {f"ap_{count}": between - start, f"interval_{count}": time.process_time() - between}
    return taken | {"ap": value}


def _with_truth_found(before: Scores, after: Scores) -> tuple[Scores, Scores]:
    """Return both models' rows with true boxes that are near some that the first model found."""
    rng, judged = np.random.default_rng(4), (np.empty(len(before), object), np.empty(len(before), object))
    for index, rows in enumerate(zip(before, after, strict=True)):
        first = ItemBoxes.from_row(rows[0])
        some = np.linspace(0, len(first.found.scores) - 1, min(_TRUE, len(first.found.scores))).astype(int)
        near = first.found.corners[some]
        sides = np.tile(near[:, 2:] - near[:, :2], 2)
        corners = near + rng.uniform(-0.15, 0.15, near.shape) * sides
        areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
        crowd = np.zeros(len(some), np.bool_)
        for rows_of, row in zip(judged, rows, strict=True):
            found = ItemBoxes.from_row(row).found
            rows_of[index] = ItemBoxes(corners, first.found.classes[some], areas, crowd, found).row()
    return judged


def _repeated(rows: Scores, count: int) -> Scores:
    repeated = np.empty(count, object)
    repeated[:] = [rows[index % len(rows)] for index in range(count)]
    return repeated


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def table(counts: Sequence[int]) -> str:
    """Return what each number of items takes, a row each."""
    rows, last = [], dict[str, float]()
    for count in counts:
        ended = python(["-m", "benchmarks.evaluation_scale", "--one", str(count)])
        if ended.status:
            raise SystemExit(ended.output)
        last = json.loads(ended.output.splitlines()[-1])
        parts = (last[part] * 1000 for part in ("photo", "model", "judge"))
        rows.append(
            [
                str(count),
                *(f"{part:.1f}" for part in parts),
                f"{last[f'ap_{count}']:.2f}",
                f"{last[f'interval_{count}']:.1f}",
                f"{last['peak_loaded']:.0f}",
                f"{last['peak_float']:.0f}",
                f"{last['peak']:.0f}",
            ]
        )
    for count in _REPEATED:
        rows.append(
            [f"{count} rows", "", "", "", f"{last[f'ap_{count}']:.2f}", f"{last[f'interval_{count}']:.1f}", "", "", ""]
        )
    headings = ["items", "photo ms", "model ms", "postprocess and row ms", "AP s", "interval s"]
    headings += ["MiB before", "MiB, float model", "MiB, both models"]
    about = f"{last['boxes']:.0f} boxes and {last['rows']:.0f} bytes of results a photo"
    return f"{machine()}\n\n{markdown(headings, rows)}\n\n{about}"


def main() -> None:
    """Print the table, or as ``--one`` the figures of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--one", type=int)
    given = parser.parse_args()
    print(json.dumps(measured(given.one)) if given.one else table(given.items))


if __name__ == "__main__":
    main()
