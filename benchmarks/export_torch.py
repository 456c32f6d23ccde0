"""A torch module as an ONNX file, by either of PyTorch's exporters."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from benchmarks.architectures import Architecture, write_out_attention

# The older exporter traces a module, the newer one compiles it and writes no opset below 18.
EXPORTERS = {"script": (13, 17, 18, 20, 21), "dynamo": (18, 20, 21, 23)}
_FUSED_ATTENTION = 14


def export(built: Architecture, exporter: str, opset: int, path: Path) -> int:
    """Export a network with an open batch axis to ``path``; return the opset that the exporter wrote.

    Raises:
        RuntimeError: the exporter cannot.
    """
    if opset < _FUSED_ATTENTION:
        write_out_attention(built.network)
    names = list(built.inputs)
    examples = tuple(torch.from_numpy(array) for array in items(built, 2).values())
    options: dict[str, object] = {"input_names": names, "output_names": ["output"], "opset_version": opset}
    if exporter == "dynamo":
        batch = torch.export.Dim("N")
        options |= {"dynamo": True, "external_data": False, "dynamic_shapes": tuple({0: batch} for _ in names)}
    else:
        options |= {"dynamo": False, "dynamic_axes": {name: {0: "N"} for name in [*names, "output"]}}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(built.network, examples, str(path), **options)  # type: ignore[arg-type]
    except Exception as error:  # exporters raise what they like
        raise RuntimeError((str(error).strip().splitlines() or [type(error).__name__])[0][:200]) from error
    finally:
        logging.disable(logging.NOTSET)
    return _without_traces(path)


def items(built: Architecture, count: int, seed: int = 0) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """Return items for a network's inputs, by name, items first."""
    rng = np.random.default_rng(seed)
    if built.words:
        return {name: rng.integers(0, built.words, (count, *shape)) for name, shape in built.inputs.items()}
    return {name: rng.standard_normal((count, *shape)).astype(np.float32) for name, shape in built.inputs.items()}


def _without_traces(path: Path) -> int:
    """Take out what an exporter tells of the machine and the sources; return the opset."""
    model = onnx.load(path)
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        del graph.metadata_props[:]
        for value in [*graph.input, *graph.output, *graph.value_info]:
            del value.metadata_props[:]
            value.doc_string = ""
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
            graphs += [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    for function in model.functions:
        del function.metadata_props[:], function.value_info[:]
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    onnx.save(model, path)
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
