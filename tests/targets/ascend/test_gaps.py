"""Answers that other executions change, counted on one batch and held against numpy's on the files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.evaluation.outputs import ClassScores
from runner.session import REFERENCE, Session, plain
from runner.targets.ascend.gaps import Gaps, GapWatch, gap_items
from runner.targets.qdq.write import qdq_model
from runner.verify.optimized import Exact
from tests.data import Items, normal_items
from tests.models import conv_gemm, for_all, prepared, run_plain

X = normal_items(40, 2, 6, 6)
# One batch of 32, evenly spaced.
TAKEN = X[[index * 40 // 32 for index in range(32)]]
CLASSES = ClassScores("logits", 5, "logits")


@pytest.fixture(scope="module")
def models() -> tuple[ir.Model, ir.Model]:
    """The fake-quant model, and the plain form of the same layers."""
    graph, found = prepared(conv_gemm())
    seen = collect(found, Subset(Items(X), range(8)), observers=for_all(found, MinMax()), engine=Engine(1))
    form = quantize_layers(found, seen).form
    return fake_quant_model(found.on(graph), form), qdq_model(found.on(graph), form)


class Negated:
    """A session that answers wrongly for items whose first pixel is positive."""

    def __init__(self, model: ir.Model) -> None:
        self._session = Session(model, plain("all"))
        self.inputs, self.number_names = self._session.inputs, self._session.number_names

    def run(self, feeds: dict, outputs: Sequence[str] | None = None) -> list[NDArray]:
        return [-array if feeds["x"].flat[0] > 0 else array for array in self._session.run(feeds, outputs)]

    def stop(self) -> None:
        self._session.stop()


def gaps(model: ir.Model, usual: Session | Negated, int8: ir.Model, *, same: bool = False) -> Gaps:
    """Return the gaps over all items, as a check of both files sees them."""
    engine, items = Engine(2), Subset.whole(Items(X))
    exact = Session(model, REFERENCE)
    watch = GapWatch(exact.output_names, usual, int8, gap_items(items), CLASSES, engine)

    def see(item: BoundItem) -> None:
        watch.see(item, Exact(exact.run(item.feeds), both=True, usual=same))

    assert len(list(engine.each(exact, items, see))) == len(X)
    return watch.gaps()


def answered(model: ir.Model) -> NDArray:
    return np.array([int(np.argmax(logits)) for (logits,) in run_plain(ir.to_proto(model), TAKEN, ["logits"])])


def test_executions_that_answer_alike_have_no_gap(models: tuple[ir.Model, ir.Model]) -> None:
    assert gaps(models[0], Session(models[0], plain("all")), models[1]) == Gaps(level=0.0, int8=0.0)


def test_level_gap_is_the_share_of_answers_that_a_level_changes(models: tuple[ir.Model, ir.Model]) -> None:
    expected = float(np.mean(TAKEN[:, 0, 0, 0] > 0))
    assert gaps(models[0], Negated(models[0]), models[1]).level == pytest.approx(expected) and 0 < expected < 1
    # Not run where it is known to give the same bits.
    assert gaps(models[0], Negated(models[0]), models[1], same=True).level == 0


def test_int8_gap_is_the_share_of_answers_that_int8_kernels_change(models: tuple[ir.Model, ir.Model]) -> None:
    """Stands in for a CPU whose kernels negate the last layer's sums."""
    negated = models[1].clone()
    weight = negated.graph.initializers["logits.weight"]
    assert weight.const_value is not None
    weight.const_value = ir.tensor(-np.maximum(weight.const_value.numpy(), -127), name=weight.name)
    expected = float(np.mean(answered(models[0]) != answered(negated)))
    assert gaps(models[0], Session(models[0]), negated).int8 == pytest.approx(expected) and expected > 0


def test_int8_gap_is_unknown_where_onnxruntime_cannot_run_the_plain_form(models: tuple[ir.Model, ir.Model]) -> None:
    broken = models[1].clone()
    next(node for node in broken.graph if node.op_type == "Conv").op_type = "NoSuchOperator"
    assert gaps(models[0], Session(models[0]), broken) == Gaps(level=0.0, int8=None)
