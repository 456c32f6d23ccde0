"""One peer, one model, one process: ``python -m benchmarks.peer TOOL RESULT_FOLDER OPTIONS…`` writes model.onnx and peer.json.

The peers get the items decoded. ``nncf`` evaluates as the runner does, with a caller a core on a one-thread session: that
compares how a tool quantizes and searches. ``nncf-plain-loop`` runs one item after the other in a session with
onnxruntime's own settings, the loop that a user is left to write: that compares what its user waits for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.job import Material, load
from runner.engine import available_cores

# Of a model's bytes, feeds and labels: 1 for each right answer, 0 for each other.
Hits = Callable[[bytes, Sequence[dict[str, NDArray[Any]]], Sequence[int | None]], list[float]]


def main(tool: str, folder: str, options: Sequence[str]) -> None:
    """Quantize with one tool and write what it made and what it took."""
    material = load(options)
    start = time.perf_counter()
    model, figures = TOOLS[tool](material, Path(folder))
    seconds = time.perf_counter() - start
    if model is not None:
        onnx.save(model, Path(folder) / "model.onnx")
    (Path(folder) / "peer.json").write_text(json.dumps({"seconds": seconds, **figures}))


def nncf_search(material: Material, folder: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """NNCF with accuracy control: quantize, then give operations back to float until the target is met."""
    return _nncf_search(material, _hits)


def nncf_plain_loop(material: Material, folder: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """NNCF with accuracy control, and the validation that its user would write."""
    return _nncf_search(material, _hits_one_by_one)


def _nncf_search(material: Material, count_hits: Hits) -> tuple[onnx.ModelProto, dict[str, Any]]:
    import nncf

    calls: list[int] = []

    def validate(model: onnx.ModelProto, items: Any) -> tuple[float, list[float]]:  # noqa: ANN401 - NNCF's own
        chosen = list(items)
        calls.append(len(chosen))
        hits = count_hits(
            model.SerializeToString(), [material.feeds[i] for i in chosen], [material.labels[i] for i in chosen]
        )
        return float(np.mean(hits)), hits

    quantized = nncf.quantize_with_accuracy_control(
        onnx.load(material.job.model.path),
        nncf.Dataset(material.calibration),
        nncf.Dataset(list(range(len(material.feeds)))),
        validate,
        # The runner's target is strict and in percentage points; NNCF's is not strict, so it is given half an item less.
        max_drop=material.job.target_loss / 100 - 0.5 / len(material.feeds),
        subset_size=len(material.calibration),
    )
    full = sum(items == len(material.feeds) for items in calls)
    return quantized, {"full": full, "partial": len(calls) - full, "items": sum(calls)}


def nncf_all(material: Material, folder: Path) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """NNCF, every operation that it takes, its defaults (fast bias correction)."""
    import nncf

    model = onnx.load(material.job.model.path)
    return nncf.quantize(model, nncf.Dataset(material.calibration), subset_size=len(material.calibration)), {}


def ort_minmax(material: Material, folder: Path) -> tuple[None, dict[str, Any]]:
    """Onnxruntime's ``quantize_static``: per channel, min-max."""
    return _ort(material, folder, "MinMax")


def ort_percentile(material: Material, folder: Path) -> tuple[None, dict[str, Any]]:
    """Onnxruntime's ``quantize_static``: per channel, percentile."""
    return _ort(material, folder, "Percentile")


def _ort(material: Material, folder: Path, method: str) -> tuple[None, dict[str, Any]]:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the base class has no types
        def __init__(self) -> None:
            self._items: Iterator[dict[str, NDArray[Any]]] = iter(material.calibration)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._items, None)

    prepared = folder / "prepared.onnx"
    quant_pre_process(material.job.model.path, str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(folder / "model.onnx"),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method],
    )
    return None, {}


def _hits(model: bytes, feeds: Sequence[dict[str, NDArray[Any]]], labels: Sequence[int | None]) -> list[float]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    with ThreadPoolExecutor(available_cores()) as pool:
        answers = pool.map(lambda feed: int(np.argmax(session.run(None, feed)[0])), feeds)
        return [float(answer == label) for answer, label in zip(answers, labels, strict=True)]


def _hits_one_by_one(
    model: bytes, feeds: Sequence[dict[str, NDArray[Any]]], labels: Sequence[int | None]
) -> list[float]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    answers = [int(np.argmax(session.run(None, feed)[0])) for feed in feeds]
    return [float(answer == label) for answer, label in zip(answers, labels, strict=True)]


TOOLS: dict[str, Callable[[Material, Path], tuple[onnx.ModelProto | None, dict[str, Any]]]] = {
    "nncf": nncf_search,
    "nncf-plain-loop": nncf_plain_loop,
    "nncf-all": nncf_all,
    "ort-minmax": ort_minmax,
    "ort-percentile": ort_percentile,
}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
