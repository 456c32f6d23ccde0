"""A quantized model with groups of layers in float, run from the group on, against the models that are made for it."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.subset import Subset
from runner.distributed.portable import SentSession, pack, unpack
from runner.engine import Engine
from runner.evaluation.distance import Sqnr
from runner.evaluation.float_outputs import KeptOutputs
from runner.evaluation.item_scorer import ItemScorer
from runner.evaluation.leaving_out import LeavingOut
from runner.evaluation.loss_without import LOSSES, LossWithout
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers, TensorRecord
from runner.session import SIMULATION, Session
from tests.data import Items, normal_items
from tests.models import conv_gemm, dense, for_all, onnx_text, prepared

RNG = np.random.default_rng(0)
BRANCHES = onnx_text(
    """g (float[N,3,6,6] x) => (float[N,4,6,6] y, float[N,4,6,6] side, float[N,3,6,6] same) {
        a = Conv (x, w1)
        b = Relu (a)
        left = Conv (b, w2)
        right = Conv (b, w3)
        bent = Tanh (left)
        sum = Add (bent, right)
        y = Conv (sum, w4)
        side = Sigmoid (right)
        same = Identity (x)
    }""",
    **{f"w{n}": RNG.normal(0, 0.5, (4, 3 if n == 1 else 4, 1, 1)).astype(np.float32) for n in (1, 2, 3, 4)},
)
CASES = {
    "convolutions": (conv_gemm(), (2, 6, 6)),
    "products with a bias behind": (dense(), (5,)),
    "branches": (BRANCHES, (3, 6, 6)),
}


def quantized(kind: str):
    model, shape = CASES[kind]
    x = 1 + normal_items(12, *shape)
    _, found = prepared(model)
    seen = collect(found, Subset.whole(Items(x)), observers=for_all(found, MinMax()), engine=Engine(1))
    form = quantize_layers(found, seen).form
    if kind == "products with a bias behind":
        # The constants behind the products have a shift each, which a layer in float does without.
        shifts = np.random.default_rng(0).normal(size=8).astype(np.float32)
        layers = {name: replace(q, shift=shifts[: found.layer(name).channels]) for name, q in form.layers.items()}
        form = QuantizedLayers(layers)
    if kind == "branches":
        (add,) = [node.name for node in found.graph.graph if node.op_type == "Add"]
        form = QuantizedLayers(form.layers, {f"{add}:1": TensorRecord(ActivationParams(0.05, 3))})
    return found, form, x


@pytest.mark.parametrize("kind", CASES)
def test_layers_in_float_are_those_of_the_model_without_them(kind: str) -> None:
    found, form, x = quantized(kind)
    names = list(form.layers)
    groups = [*([name] for name in names), names[:1] + names[-1:], names]
    engine = Engine(1)
    model = LeavingOut(found, form, groups, engine=engine, profile=SIMULATION)
    models = {None: form, **{number: form.without(group) for number, group in enumerate(groups)}}
    alone = {key: engine.session(fake_quant_model(found, left, multiply=True)) for key, left in models.items()}
    assert model.inputs == alone[None].inputs and model.number_names == alone[None].number_names
    for item in x:
        feeds = {model.inputs[0].name: item[np.newaxis]}
        seen = dict(model.each(feeds))
        assert seen.keys() == alone.keys()
        for key, got in seen.items():
            for expected, array in zip(alone[key].run(feeds), got, strict=True):
                if key is None:
                    np.testing.assert_array_equal(array, expected)
                np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4)
        for expected, array in zip(alone[None].run(feeds), model.run(feeds), strict=True):
            np.testing.assert_array_equal(array, expected)


def test_what_a_group_does_not_reach_is_not_run_again() -> None:
    found, form, x = quantized("branches")
    runs: list[str] = []

    class Watched(Session):
        def run(self, feeds, outputs=None):
            runs.append(self.output_names[0])
            return super().run(feeds, outputs)

    class Watching(Engine):
        def session(self, model, profile=SIMULATION, *, given=False):
            return Watched(model, profile, given=given)

    model = LeavingOut(found, form, [[name] for name in form.layers], engine=Watching(1), profile=SIMULATION)
    list(model.each({"x": x[:1]}))
    # All blocks, to know the outputs; then as far as the next group each, and what the group changes.
    assert " ".join(runs) == "same b bent sum y  same  b bent sum y  b  bent sum y  bent  sum y  sum  y".replace(
        "  ", " "
    )


def test_work_that_is_sent_gives_the_same_losses() -> None:
    class Sending(Engine):
        def session(self, model, profile=SIMULATION, *, given=False):
            return SentSession(model, profile, given=given)

    found, form, x = quantized("convolutions")
    items, engine = Items(x), Sending(1)
    groups = [[name] for name in form.layers]
    model = LeavingOut(found, form, groups, engine=engine, profile=SIMULATION)
    float_ = engine.session(found.graph)
    known = {n: dict(zip(float_.number_names, float_.run({"x": x[[n]]}), strict=True)) for n in range(4)}
    work = LossWithout(ItemScorer(items, [Sqnr()], None, False), model, len(groups), [0, 1, 2, 3], KeptOutputs(known))
    here = list(engine.each(model, Subset(items, range(2, 4)), work.part(2, 4)))
    content, sessions, foreign = pack(model, work.part(2, 4), items)
    by_digest = {session.digest: session for session in sessions}
    sent_model, sent = unpack(content, items, by_digest.__getitem__)
    assert list(engine.each(sent_model, Subset(items, range(2, 4)), sent)) == here and not foreign
    assert len(here[0][LOSSES]) == 1 + len(groups) and pickle.loads(pickle.dumps(here)) == here
