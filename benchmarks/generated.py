"""Models and data of any size, made by rule: what growth is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper


def network(path: Path, *, layers: int, channels: int, size: int = 16, classes: int = 10) -> Path:
    """Write a chain of 3x3 convolutions with Relu, then a mean over pixels and a Gemm.

    Args:
        path: of the file; weights beyond 1 GiB go beside it.
        layers: convolutions.
        channels: of each; a layer holds 36 * channels^2 bytes.
        size: of the image, pixels.
        classes: scores.
    """
    rng = np.random.default_rng(layers * 1000 + channels)
    nodes, weights, source, width = [], [], "x", 3
    for index in range(layers):
        weight = rng.standard_normal((channels, width, 3, 3), np.float32) * np.float32(np.sqrt(2 / (9 * width)))
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(helper.make_node("Conv", [source, f"w{index}"], [f"c{index}"], f"conv{index}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"relu{index}"))
        source, width = f"r{index}", channels
    head = rng.standard_normal((width, classes), np.float32) * np.float32(1 / np.sqrt(width))
    weights.append(numpy_helper.from_array(head, "head_w"))
    nodes.append(helper.make_node("GlobalAveragePool", [source], ["pooled"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"))
    nodes.append(helper.make_node("Gemm", ["flat", "head_w"], ["scores"], "head"))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if model.ByteSize() < 2**30:
        onnx.save(model, path)
    else:
        ir.save(ir.from_proto(model), path, external_data=f"{path.name}.data")
    return path


def pixelwise(path: Path, *, classes: int, size: int) -> Path:
    """Write two convolutions that give as many scores a pixel as there are classes: 4 * classes * size^2 bytes an item."""
    rng = np.random.default_rng(classes)
    shapes = {"w0": (16, 3, 3, 3), "w1": (classes, 16, 1, 1)}
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape, np.float32) * np.float32(0.2), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"], "conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1"], ["scores"], "conv1"),
    ]
    graph = helper.make_graph(
        nodes,
        "pixelwise",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes, size, size])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def images(folder: Path, items: int, size: int = 16) -> tuple[Path, Path]:
    """Write ``items`` images and as many classes as npy files; an item is noise over a few waves."""
    rng = np.random.default_rng(items)
    x = np.lib.format.open_memmap(folder / f"x{items}.npy", "w+", np.float32, (items, 3, size, size))
    wave = np.sin(np.arange(size) / 3)[:, None] * np.cos(np.arange(size) / 5)
    for index in range(items):
        x[index] = rng.standard_normal((3, size, size)) + wave * (index % 7)
    x.flush()
    np.save(folder / f"y{items}.npy", np.arange(items) % 10)
    return folder / f"x{items}.npy", folder / f"y{items}.npy"


def product(path: Path, *, inputs: int, outputs: int) -> Path:
    """Write a single Gemm [N, inputs] -> [N, outputs], which holds 4 * inputs * outputs bytes."""
    weight = np.random.default_rng(inputs).standard_normal((inputs, outputs), np.float32) / np.float32(np.sqrt(inputs))
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["scores"], "fc")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", inputs])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def vectors(folder: Path, items: int, size: int) -> tuple[Path, Path]:
    """Write ``items`` vectors of correlated values, as behind a Relu, and as many classes as npy files."""
    rng = np.random.default_rng(size)
    causes = rng.standard_normal((items, 32), np.float32) @ rng.standard_normal((32, size), np.float32)
    x = np.maximum(causes / np.float32(np.sqrt(32)) + rng.standard_normal((items, size), np.float32), 0)
    np.save(folder / f"v{size}.npy", x)
    np.save(folder / f"c{size}.npy", np.arange(items) % 10)
    return folder / f"v{size}.npy", folder / f"c{size}.npy"
