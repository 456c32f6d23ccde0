"""Corrections made again for the layers that a plan leaves int8, against those made from nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from runner.correction import correct as corrections
from runner.correction.correct import correct
from runner.correction.options import EVERY_CORRECTION
from runner.correction.plan_corrections import PlanCorrections
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.record import QuantizedLayers
from tests.correction.test_correct import ITEMS, RESIDUAL, calibrated, same
from tests.data import Items, normal_items
from tests.models import conv_gemm

ROOT = Path(__file__).parents[2]
MODELS = {"chain": conv_gemm(), "residual": RESIDUAL}


@pytest.mark.parametrize("kind", MODELS)
def test_layers_of_a_plan_are_those_corrected_with_the_others_float_whatever_was_made_before(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.correction.plan_corrections.least_harmful_of", lambda start, forms, *rest: forms[0])
    start, items = calibrated(MODELS[kind], 1 + ITEMS), Subset.whole(Items(1 + ITEMS))
    plans = PlanCorrections(start, items, EVERY_CORRECTION, Engine(1), None)
    begun: list[int] = []
    layers = corrections.LayerState

    def counted(*args: object, **options: object) -> object:
        begun.append(1)
        return layers(*args, **options)  # type: ignore[arg-type]

    names = list(start.form.layers)
    for count in range(len(names)):
        for fallback in itertools.combinations(names, count):
            begun.clear()
            with monkeypatch.context() as patch:
                patch.setattr(corrections, "LayerState", counted)
                made = plans.form(fallback)
            alone = replace(start, form=QuantizedLayers(start.form.without(fallback).layers, start.form.tensors))
            assert same(made, correct(alone, items, options=EVERY_CORRECTION, engine=Engine(1)))
            # The layers before the first that differs are not corrected again.
            if fallback == (names[-1],):
                assert not begun


def test_whole_chain_is_dropped_where_it_harms_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    start, items = calibrated(conv_gemm(), ITEMS), Subset.whole(Items(ITEMS))

    def broken(calibrated, *args, **options):
        layers = {
            name: replace(layer, weight=np.zeros_like(layer.weight)) for name, layer in calibrated.form.layers.items()
        }
        return QuantizedLayers(layers, {})

    monkeypatch.setattr("runner.correction.plan_corrections.correct", broken)
    plans = PlanCorrections(start, items, EVERY_CORRECTION, Engine(1), None)
    assert same(plans.form(), start.form)
    assert list(plans.form(["first"]).layers) == ["second", "logits"]


def test_layers_of_a_plan_do_not_depend_on_the_plans_before() -> None:
    # A real network: bits of its float part depend on how much of it one session holds.
    x = normal_items(12, 3, 32, 32)
    start, items = calibrated(onnx.load(ROOT / "model" / "mobilenet_v2_digits.onnx"), x), Subset.whole(Items(x))
    names = list(start.form.layers)
    first, second = [names[8], names[15]], [names[15]]
    straight = PlanCorrections(start, items, EVERY_CORRECTION, Engine(1), None).form(second)
    plans = PlanCorrections(start, items, EVERY_CORRECTION, Engine(1), None)
    plans.form(first)
    assert same(plans.form(second), straight)
    kept: list[QuantizedLayers] = []

    def remembered(make: Callable[[], QuantizedLayers]) -> QuantizedLayers:
        kept.append(make())
        return kept[-1]

    PlanCorrections(start, items, EVERY_CORRECTION, Engine(1), None, remembered).form()
    later = PlanCorrections(start, items, EVERY_CORRECTION, Engine(1), None, lambda make: kept[0])
    assert same(later.form(second), straight)
