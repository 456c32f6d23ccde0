"""A tiny model, photos and truth for each task, with the options of a command line that runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image

from runner.dataset.frame import Frame
from runner.tasks.detection.yolov8 import Yolov8
from tests.data import write_image
from tests.models import run_plain

SIDE, PHOTOS, CLASSES, OPSET = 32, 24, 3, 18
ALPHABET = "abcdef"
RNG = np.random.default_rng(11)
_START = RNG.bit_generator.state


@dataclass(frozen=True)
class TaskCase:
    """What a task needs on a command line.

    Attributes:
        metric: the name of the measure that the data's task has.
        graph: makes the model.
        truth: writes images and truth below a folder, given the model; returns the options that name them.
    """

    metric: str
    graph: Callable[[], onnx.ModelProto]
    truth: Callable[[Path, onnx.ModelProto], list[str]]


def photos(folder: Path, count: int = PHOTOS) -> NDArray[np.uint8]:
    """Write random photos of smooth patches below ``images`` and return them, [photos, height, width, 3]."""
    (folder / "images").mkdir(parents=True)
    made = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for index in range(count):
        coarse = Image.fromarray(np.random.default_rng(index).integers(0, 256, (6, 6, 3), np.uint8))
        made[index] = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        write_image(folder / "images" / f"{index:02}.png", made[index])
    return made


def fed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return photos as the models take them."""
    return (pixels.transpose(0, 3, 1, 2) / 255).astype(np.float32)


def model(nodes: list[onnx.NodeProto], constants: dict[str, NDArray], rank: int) -> onnx.ModelProto:
    """Return the model of nodes from ``x`` [N, 3, side, side] to ``y`` of a rank."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", *[None] * (rank - 1)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(made)
    return onnx.shape_inference.infer_shapes(made)


def trunk(channels: int = 8) -> tuple[list[onnx.NodeProto], dict[str, NDArray]]:
    """Return two convolutions of full resolution, ``x`` to ``f``; from here on every model gets the same numbers."""
    RNG.bit_generator.state = _START
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["f"], "relu2"),
    ]
    constants = {
        "w1": normal(channels, 3, 3, 3),
        "b1": normal(channels),
        "w2": normal(channels, channels, 3, 3) / 3,
        "b2": normal(channels),
    }
    return nodes, constants


def pooled(source: str, made: str, height: int, width: int) -> onnx.NodeProto:
    """Return the means of tiles."""
    tile = [height, width]
    return helper.make_node("AveragePool", [source], [made], f"{made}.pool", kernel_shape=tile, strides=tile)


def normal(*shape: int) -> NDArray[np.float32]:
    """Return random weights; the same ones in every process."""
    return RNG.normal(0, 0.6, shape).astype(np.float32)


def detector() -> onnx.ModelProto:
    """Return a model of ultralytics' raw head, [1, 4 + classes, 21]: grids of strides 8, 16 and 32."""
    nodes, constants = trunk()
    parts = []
    centres = []
    for stride in (8, 16, 32):
        side = SIDE // stride
        scale, shift = np.empty((1, 4 + CLASSES, 1), np.float32), np.zeros((1, 4 + CLASSES, side * side), np.float32)
        scale[0, :, 0] = [stride * 0.3] * 4 + [1.0] * CLASSES
        places = (np.arange(side) + 0.5) * stride
        shift[0, 0], shift[0, 1] = np.tile(places, side), np.repeat(places, side)
        shift[0, 2:4] = stride
        shift[0, 4:] = -1.5
        constants |= {f"h{stride}": normal(4 + CLASSES, 8, 1, 1), f"scale{stride}": scale, f"shift{stride}": shift}
        constants[f"shape{stride}"] = np.array([0, 4 + CLASSES, side * side], np.int64)
        nodes += [
            helper.make_node(
                "AveragePool", ["f"], [f"p{stride}"], f"pool{stride}", kernel_shape=[stride] * 2, strides=[stride] * 2
            ),
            helper.make_node("Conv", [f"p{stride}", f"h{stride}"], [f"g{stride}"], f"head{stride}"),
            helper.make_node("Reshape", [f"g{stride}", f"shape{stride}"], [f"v{stride}"], f"flat{stride}"),
            helper.make_node("Mul", [f"v{stride}", f"scale{stride}"], [f"m{stride}"], f"mul{stride}"),
            helper.make_node("Add", [f"m{stride}", f"shift{stride}"], [f"a{stride}"], f"add{stride}"),
        ]
        parts.append(f"a{stride}")
        centres.append(places)
    constants["split"] = np.array([4, CLASSES], np.int64)
    nodes += [
        helper.make_node("Concat", parts, ["all"], "concat", axis=2),
        helper.make_node("Split", ["all", "split"], ["boxes", "logits"], "parts", axis=1),
        helper.make_node("Sigmoid", ["logits"], ["scores"], "sigmoid"),
        helper.make_node("Concat", ["boxes", "scores"], ["y"], "joined", axis=1),
    ]
    return model(nodes, constants, 3)


def detector_truth(folder: Path, made: onnx.ModelProto) -> list[str]:
    """Write YOLO labels: the float model's own surest boxes of each class, a little moved."""
    x = fed(photos(folder))
    (folder / "labels").mkdir()
    frame = Frame((SIDE, SIDE), (SIDE, SIDE))
    for index, (y,) in enumerate(run_plain(made, x, ["y"])):
        found = Yolov8().detections({"y": y}, frame.taken)
        # The surest two of each class.
        some = np.concatenate([np.flatnonzero(found.classes == number)[:2] for number in range(CLASSES)])
        kept = np.clip(found.corners[some] + RNG.uniform(-1, 1, (len(some), 4)), 0, SIDE)
        lines = []
        for (x1, y1, x2, y2), number in zip(kept, found.classes[some], strict=True):
            if x2 - x1 >= 1 and y2 - y1 >= 1:
                shares = (x1 + x2) / 2 / SIDE, (y1 + y2) / 2 / SIDE, (x2 - x1) / SIDE, (y2 - y1) / SIDE
                lines.append(" ".join([str(number), *(f"{share:.6f}" for share in shares)]))
        (folder / "labels" / f"{index:02}.txt").write_text("\n".join(lines) + "\n")
    return [
        *[
            "dataset=yolo",
            "dataset/preprocess=raw",
            f"dataset.images={folder}/images",
            f"dataset.labels={folder}/labels",
        ],
        *["dataset.preprocess.scale=0.00392156862745098", "postprocess=yolov8"],
    ]


def segmenter() -> onnx.ModelProto:
    """Return a model of logits [N, classes, side / 2, side / 2]."""
    nodes, constants = trunk()
    nodes.append(helper.make_node("Conv", ["f", "h"], ["y"], "head", strides=[2, 2]))
    return model(nodes, {**constants, "h": normal(CLASSES, 8, 1, 1)}, 4)


def segmenter_truth(folder: Path, made: onnx.ModelProto) -> list[str]:
    """Write masks: the float model's classes at twice its resolution, a tenth of the pixels another one, some ignored."""
    x = fed(photos(folder))
    (folder / "masks").mkdir()
    for index, (y,) in enumerate(run_plain(made, x, ["y"])):
        mask = np.repeat(np.repeat(y[0].argmax(axis=0), 2, axis=0), 2, axis=1).astype(np.uint8)
        other = RNG.random(mask.shape)
        mask[other < 0.1] = RNG.integers(0, CLASSES, int((other < 0.1).sum()))
        mask[other > 0.95] = 255
        write_image(folder / "masks" / f"{index:02}.png", mask)
    return [
        *["dataset=masks", f"dataset.images={folder}/images", f"dataset.masks={folder}/masks"],
        "dataset.preprocess.scale=0.00392156862745098",
    ]


def reader() -> onnx.ModelProto:
    """Return a model of [N, 16 places, blank and alphabet] probabilities."""
    nodes, constants = trunk()
    nodes += [
        pooled("f", "p", SIDE, 2),
        helper.make_node("Conv", ["p", "h"], ["g"], "head"),
        helper.make_node("Squeeze", ["g", "axis"], ["s"], "squeeze"),
        helper.make_node("Transpose", ["s"], ["t"], "transpose", perm=[0, 2, 1]),
        helper.make_node("Softmax", ["t"], ["y"], "softmax", axis=-1),
    ]
    constants |= {"h": 4 * normal(1 + len(ALPHABET), 8, 1, 1), "axis": np.array([2], np.int64)}
    return model(nodes, constants, 3)


def reader_truth(folder: Path, made: onnx.ModelProto) -> list[str]:
    """Write lines: what the float model reads, one character of each another one."""
    x = fed(photos(folder))
    lines = []
    for index, (y,) in enumerate(run_plain(made, x, ["y"])):
        best = y[0].argmax(axis=1)
        read = [
            ALPHABET[c - 1] for c, before in zip(best, np.append(-1, best[:-1]), strict=True) if c not in (0, before)
        ]
        text = "".join(read)
        place = index % max(len(text), 1)
        lines.append(f"{index:02}.png\t{text[:place]}f{text[place + 1 :]}")
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    (folder / "alphabet.txt").write_text("\n".join(ALPHABET) + "\n")
    return [
        *["dataset=text_lines", f"dataset.images={folder}/images", f"dataset.labels={folder}/labels.txt"],
        *[f"dataset.alphabet={folder}/alphabet.txt", "dataset.preprocess.scale=0.00392156862745098"],
    ]


def embedder() -> onnx.ModelProto:
    """Return a model of [N, 8] numbers."""
    nodes, constants = trunk()
    nodes += [
        pooled("f", "p", SIDE // 2, SIDE // 2),
        helper.make_node("Flatten", ["p"], ["q"], "flatten"),
        helper.make_node("Gemm", ["q", "h"], ["y"], "head", transB=1),
    ]
    return model(nodes, {**constants, "h": normal(8, 32)}, 2)


def retrieval_truth(folder: Path, made: onnx.ModelProto) -> list[str]:
    """Write classes: the side of a cut through the embeddings, so that neighbours are mostly alike."""
    x = fed(photos(folder))
    first = [float(y[0, 0]) for (y,) in run_plain(made, x, ["y"])]
    lines = [f"{index:02}.png {int(value > np.median(first))}" for index, value in enumerate(first)]
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    return [
        *["dataset=image_folder", f"dataset.images={folder}/images", f"dataset.labels={folder}/labels.txt"],
        *["metric=retrieval", "dataset.preprocess.scale=0.00392156862745098"],
    ]


def regression_truth(folder: Path, made: onnx.ModelProto) -> list[str]:
    """Write an npz file of the inputs and of the float model's numbers, moved; some are not annotated."""
    x = fed(photos(folder))
    truth = np.concatenate([y for (y,) in run_plain(made, x, ["y"])]) + RNG.normal(0, 0.1, (PHOTOS, 8))
    truth[3, 2] = np.nan
    np.savez(folder / "data.npz", x=x, points=truth.astype(np.float32))
    return ["dataset=npz", f"dataset.path={folder}/data.npz", "dataset.truth={y:points}"]


CASES = {
    "detection": TaskCase("map", detector, detector_truth),
    "segmentation": TaskCase("miou", segmenter, segmenter_truth),
    "text": TaskCase("text", reader, reader_truth),
    "retrieval": TaskCase("retrieval", embedder, retrieval_truth),
    "regression": TaskCase("mae", embedder, regression_truth),
}


def quantization_aware(made: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the model with QuantizeLinear and DequantizeLinear, as training with them exports it."""

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.items = iter(np.random.default_rng(2).random((8, 1, 3, SIDE, SIDE)).astype(np.float32))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            item = next(self.items, None)
            return None if item is None else {"x": item}

    onnx.save(made, folder / "float.onnx")
    quantize_static(
        folder / "float.onnx",
        folder / "qat.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv", "Gemm"],
        extra_options={"WeightSymmetric": True},
    )
    return onnx.load(folder / "qat.onnx")
