"""A tool's quantized model against the float model: plain onnxruntime without its int8 kernels, the same metrics for all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.job import Material
from runner.engine import available_cores
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Sqnr
from runner.evaluation.output_facts import class_scores, facts_of
from runner.evaluation.outputs import Outputs
from runner.evaluation.position_agreement import at_positions, class_positions
from runner.session import Profile, Session

# Float sums over dequantized values: what a tool's own simulation means by its model.
_FLOAT_QDQ = Profile("all", quant_rewriting=False, disabled_optimizers=("WeightBiasQuantization",))


@dataclass(frozen=True, slots=True)
class Score:
    """What a quantized model is worth; a figure that does not apply is None."""

    float_top1: float | None
    top1: float | None
    agreement: float | None
    kl: float | None
    sqnr_db: float


def score(model: str, material: Material) -> Score:
    """Run both models over all evaluation items and compare."""
    reference = list(outputs_of(Session(material.job.model.path), material))
    return compare(reference, list(outputs_of(Session(model, _FLOAT_QDQ), material)), material)


def compare(reference: list[Outputs], quantized: list[Outputs], material: Material) -> Score:
    """Compare a quantized model's outputs with the float model's, of every evaluation item."""
    kind = material.job.model.output
    named = getattr(material.job.metric, "output", None)
    facts = [facts_of(outputs) for outputs in reference]
    classes = class_scores(facts, material.labels, kind=kind, output=named)
    positions = class_positions(facts, kind=kind, output=named) if classes is None else None
    figures: dict[str, float] = {}
    labelled = all(label is not None for label in material.labels)
    for metric in (TopK(), at_positions(Agreement(), positions), Kl(), Sqnr()):
        if (metric.needs_labels and not labelled) or (metric.needs_classes and classes is None):
            continue
        before, after = (
            np.array(
                [metric.score(o, r, y, classes) for o, r, y in zip(outputs, reference, material.labels, strict=True)]
            )
            for outputs in (reference, quantized)
        )
        figures[f"float_{metric.name}"], figures[metric.name] = metric.aggregate(before), metric.aggregate(after)
    return Score(
        figures.get("float_top1"), figures.get("top1"), figures.get("agreement"), figures.get("kl"), figures["sqnr"]
    )


def int8_operations(model: str) -> int:
    """Return how many Conv, ConvTranspose, Gemm and MatMul nodes of a Q/DQ model have a quantized weight."""
    graph = onnx.load(model, load_external_data=False).graph
    producers = {name: node for node in graph.node for name in node.output}
    count = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            weight = producers.get(node.input[1])
            while weight is not None and weight.op_type in ("Reshape", "Transpose", "Identity"):
                weight = producers.get(weight.input[0])
            count += weight is not None and weight.op_type == "DequantizeLinear"
    return count


def outputs_of(session: Session, material: Material) -> Iterator[Outputs]:
    """Yield a session's outputs for every evaluation item, in order."""

    def run(feed: dict[str, NDArray[Any]]) -> Outputs:
        return dict(zip(session.output_names, session.run(feed), strict=True))

    with ThreadPoolExecutor(available_cores()) as pool:
        pending: deque[Future[Outputs]] = deque()
        for feed in material.feeds:
            pending.append(pool.submit(run, feed))
            if len(pending) >= 2 * available_cores():
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
