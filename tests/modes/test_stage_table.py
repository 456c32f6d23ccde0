"""Every stage's key changes with each of its inputs alone, and its results come back from a store bit for bit."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runner
from runner.calibration.minmax import MinMax
from runner.calibration.percentile import Percentile
from runner.convert.simulation import IntegerSimulation
from runner.correction.options import AUTO, Correction
from runner.dataset import decoded
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl
from runner.evaluation.float_outputs import FloatOutputs, KeptOutputs
from runner.evaluation.item_work import ITEMS_SCORED, ITEMS_SEEN, ItemsInputs, Seen
from runner.evaluation.output_facts import facts_of
from runner.evaluation.outputs import ClassScores, Outputs
from runner.evaluation.score_stages import (
    FLOAT_OUTPUTS,
    FLOAT_SCORES,
    SCORES,
    SOME_SCORES,
    FloatScoresInputs,
    ItemScoresInputs,
    OutputsInputs,
    ScoresInputs,
)
from runner.evaluation.scores import Evaluation
from runner.graph.layers import Layer, LeftAlone
from runner.graph.macs import LayerCost
from runner.graph.pixel_codes import Levels
from runner.graph.tensors import TensorInput
from runner.layer_noise.along import NoiseAlong
from runner.layer_noise.spread import LayerSpread, Spread
from runner.lint.finding import Finding
from runner.modes.calibrated_layers import (
    ALL_INT8_CORRECTION,
    CALIBRATION,
    PLAN_CORRECTION,
    CalibrationInputs,
    PlanInputs,
)
from runner.modes.calibration_result import CalibrationResult
from runner.modes.callers import CALLERS, CallersInputs
from runner.modes.input_values import INPUTS_SEEN, InputsSeen, InputsSeenInputs, InputValues
from runner.modes.layer_costs import COSTS, CostsInputs
from runner.modes.prediction import PREDICTION, PredictionInputs
from runner.modes.result import Prediction
from runner.modes.rewriting import EQUALIZATION, LEVELS, EqualizationInputs, LevelsInputs
from runner.modes.rewriting_gap import GAP, GapInputs
from runner.modes.scoring.noise_stage import NOISE, NoiseInputs
from runner.modes.scoring.ranking_stages import LOSS_CONTRIBUTIONS, RANKING, LossContributionsInputs, RankingInputs
from runner.modes.scoring.shown_answers import SHOWN_ANSWERS, ShownInputs
from runner.modes.stage_table import STAGES, stage_table
from runner.ranges import ActivationParams, Range
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.plan import LayerGroup, Ranking
from runner.search.sensitivity import Cosine, MeanSquaredError
from runner.session import InputSpec
from runner.store.stage import Stage
from runner.store.store import Store
from runner.targets.ascend.check import PROOF, WRITTEN, ProofInputs, WrittenInputs
from runner.targets.ascend.gaps import Gaps
from runner.targets.ascend.model_files import ModelPair, Written
from runner.targets.ascend.proof import DeviceMetric, Proof
from runner.targets.ascend.target import Ascend
from runner.targets.qdq.simulation import QdqSimulation
from runner.targets.qdq.target import Qdq
from runner.targets.qdq.verify import CHECKED, Checked, CheckedInputs
from runner.targets.qdq.write import TENSORRT
from runner.targets.target import VerifyOptions
from runner.tasks.segmentation.miou import MeanIou
from runner.verify.compare import Sameness


@dataclass(frozen=True)
class OwnMetric(TopK):
    """A metric of a user's, whose meaning cannot be seen."""


@dataclass(frozen=True)
class OwnObserver(MinMax):
    """An observer of a user's."""


def seen(outputs: list[Outputs], kept: int | None = None) -> FloatOutputs:
    """Return a look at a float model that kept the outputs of so many items, the first."""
    return FloatOutputs([facts_of(item) for item in outputs], KeptOutputs(dict(enumerate(outputs[:kept]))))


@dataclass(frozen=True)
class Example:
    """Inputs of a stage; for each of them other values that are to be told apart; and results."""

    inputs: Any
    changes: Mapping[str, list[Any]]
    results: list[Any]


PARAMS = ActivationParams(float(np.float32(0.1)), -128)
RECORD = LayerRecord(PARAMS, (0.25, 0.5))
WEIGHT, BIAS = np.arange(6, dtype=np.int8).reshape(2, 3), np.array([2**31 - 1, -7], np.int32)
SHIFT = np.array([0.1, -1e-9], np.float32)
SPREAD = Spread(
    -0.1, 0.1 + 0.2, np.arange(256), 3, 0, np.array([[0.1], [0.3]], np.float32), np.zeros((2, 1), np.float32)
)
LAYERS = QuantizedLayers(
    {
        "b/c:0": QuantizedLayer(RECORD, WEIGHT, None, SHIFT),
        "a": QuantizedLayer(
            replace(RECORD, skip_fusion=True, balance_factors=(2.0, 3.0)), np.ones((1, 1, 2, 2), np.int8), BIAS
        ),
    },
    {"add:0": TensorRecord(PARAMS)},
)


def with_a(**changes: Any) -> QuantizedLayers:
    return QuantizedLayers({**LAYERS.layers, "a": replace(LAYERS.layers["a"], **changes)}, LAYERS.tensors)


OTHER_LAYERS = [
    QuantizedLayers(LAYERS.layers),
    QuantizedLayers(LAYERS.layers, {"add:1": TensorRecord(PARAMS)}),
    QuantizedLayers(LAYERS.layers, {"add:0": TensorRecord(replace(PARAMS, zero_point=0))}),
    LAYERS.without(["a"]),
    with_a(record=RECORD),
    with_a(record=replace(LAYERS.layers["a"].record, balance_factors=(2.0, 4.0))),
    with_a(weight=np.ones((1, 2, 2, 1), np.int8)),
    with_a(weight=2 * np.ones((1, 1, 2, 2), np.int8)),
    with_a(bias=None),
    with_a(bias=BIAS[::-1]),
    with_a(bias=SHIFT.view(np.int32)),
    with_a(shift=SHIFT),
    with_a(bias=None, shift=SHIFT),
    with_a(bias=None, shift=SHIFT[::-1]),
]
CLASSES = ClassScores("logits", 10, "logits")
OTHER_CLASSES = [
    None,
    replace(CLASSES, output="y"),
    replace(CLASSES, classes=9),
    replace(CLASSES, kind="probabilities"),
]
DIGEST = ["another digest"]
OTHER_SIMULATIONS = [QdqSimulation(), QdqSimulation(TENSORRT), QdqSimulation(opset=21), QdqSimulation(version=0)]
METRICS = (Kl(), TopK(1))
OTHER_METRICS = [(), (Kl(),), (TopK(1), Kl()), (Kl(), TopK(5)), (Agreement(), TopK(1))]
SCORED = ScoresInputs("float", "graph", LAYERS, "items", IntegerSimulation(), METRICS, CLASSES)
SCORED_CHANGES = {
    "float_graph": DIGEST,
    "graph": DIGEST,
    "quantized_layers": OTHER_LAYERS,
    "labelled_items": DIGEST,
    "simulation": OTHER_SIMULATIONS,
    "metrics": OTHER_METRICS,
    "class_scores": OTHER_CLASSES,
}
LAYER = Layer("a", "Conv", "x", "w", None, 0, 1, 2, True)
TENSOR = TensorInput("add", "Add", 0, "y")
SPEC = InputSpec("x", (None, 3, 4, 4), np.dtype(np.float32))
LEVEL = Levels((0.1, -0.5), (1 / 3, 0.25), -128)
SOURCE = Correction("isolated", scale=True, rounding="compensated", range="output")
GROUPS = (LayerGroup(("b/c:0", "a"), 40), LayerGroup(("\u732b",), 0))
PROVED = Proof(
    Sameness(**{field.name: index for index, field in enumerate(fields(Sameness))}),
    4,
    2**31 - 1,
    2**30,
    1,
    0,
    True,
    Gaps(0.03125, 0.25),
    DeviceMetric("s19", "kl", 200, 0.1 + 0.2, -1e-300),
)
EVALUATED = {"sqnr": np.random.default_rng(0).normal(size=(5, 2)), "top1": np.ones((5, 1))}

CALIBRATED = CalibrationInputs(
    graph="graph",
    calibration_items="items",
    layers=(LAYER,),
    other_inputs=(TENSOR,),
    observers={"a": MinMax(), "add:0": Percentile(0.9)},
    strengths={"a": 0.5},
    one_scale=frozenset(["a"]),
    unfused=frozenset(["a"]),
    skipped=("c",),
    levels={"a": LEVEL},
    bounds={"y": Range(0.0, float("inf"))},
    symmetric=frozenset(["a"]),
    correction=SOURCE,
)
CALIBRATED_CHANGES: dict[str, list[Any]] = {
    "graph": DIGEST,
    "calibration_items": DIGEST,
    "layers": [(), (LAYER, LAYER), (replace(LAYER, input="y"),)],
    "other_inputs": [(), (replace(TENSOR, index=1),)],
    "observers": [
        {"a": MinMax(), "add:0": Percentile(0.99)},
        {"a": MinMax(), "add:0": MinMax()},
        {"a": MinMax(), "add:1": Percentile(0.9)},
        {"a": MinMax(asymmetric=False), "add:0": Percentile(0.9)},
    ],
    "strengths": [{}, {"a": 0.25}, {"a": AUTO}, {"b": 0.5}],
    "one_scale": [frozenset(), frozenset(["b"])],
    "unfused": [frozenset(), frozenset(["b"])],
    "skipped": [(), ("d",)],
    "levels": [{}, {"a": replace(LEVEL, lowest=0)}],
    "bounds": [{}, {"y": Range(0.0, 6.0)}, {"x": Range(0.0, float("inf"))}],
    "symmetric": [frozenset(), frozenset(["add:0"]), frozenset(["a", "add:0"])],
    "correction": [
        Correction(),
        replace(SOURCE, bias="sequential"),
        replace(SOURCE, scale=False),
        replace(SOURCE, rounding="nearest"),
        replace(SOURCE, range="observer"),
    ],
}
OUTPUTS: Outputs = {"y": np.array([[0.5, -0.0]], np.float32), "z": np.array([3], np.int64)}
EXAMPLES: Mapping[Stage[Any, Any], Example] = {
    GAP: Example(
        GapInputs("source", "graph", "item"),
        {"source_graph": DIGEST, "graph": DIGEST, "first_item": DIGEST},
        [0.1, 0.0, 1e-300, float("inf")],
    ),
    INPUTS_SEEN: Example(
        InputsSeenInputs((SPEC,), "items"),
        {
            "model_inputs": [
                (),
                (SPEC, SPEC),
                (replace(SPEC, name="y"),),
                (replace(SPEC, shape=(1, 3, 4, 4)),),
                (replace(SPEC, dtype=np.dtype(np.uint8)),),
            ],
            "some_items": DIGEST,
        },
        [InputsSeen({"x": InputValues(-3.5, 0.1 + 0.2, 1 / 3), "y": InputValues(0.0, 255.0, 1.0)}, 32, 4)],
    ),
    CALLERS: Example(
        CallersInputs("graph", "cpu", 8), {"graph": DIGEST, "processor": ["another"], "cores": [4]}, [4.0]
    ),
    LEVELS: Example(
        LevelsInputs("graph", "items", ("a",)),
        {"graph": DIGEST, "calibration_items": DIGEST, "left_alone": [(), ("b",), ("a", "b")]},
        [{}, {"b/c:0": LEVEL, "a": Levels((0.0,), (1.0,), 0)}],
    ),
    EQUALIZATION: Example(
        EqualizationInputs("graph", "items", ("a",), ("b",)),
        {
            "graph": DIGEST,
            "calibration_items": DIGEST,
            "float_layers": [(), ("b",), ("a", "b")],
            "one_scale": [(), ("a",)],
        },
        [{}, {"b/c:0": (0, -3, 12), "a": (1,)}],
    ),
    FLOAT_OUTPUTS: Example(
        OutputsInputs("graph", "items"),
        {"graph": DIGEST, "evaluation_items": DIGEST},
        [
            seen([{"boxes": np.full((1, i, 4), 0.1, np.float32), "count": np.array([[i]])} for i in range(4)]),
            seen([{"y": np.array([np.nan, -np.inf, -0.0, i], np.float64)} for i in range(3)]),
            seen([{}, {}]),
            # Too large to be kept: the first item's are.
            seen([{"y": np.full((1, 3), i, np.float32)} for i in range(3)], kept=1),
        ],
    ),
    FLOAT_SCORES: Example(
        FloatScoresInputs(OutputsInputs("graph", "items"), "labels", (TopK(), Kl()), CLASSES),
        {
            "outputs": [OutputsInputs("other", "items"), OutputsInputs("graph", "others")],
            "labelled_items": DIGEST,
            "metrics": [(TopK(),), (Kl(), TopK()), (TopK(5), Kl())],
            "class_scores": OTHER_CLASSES,
        },
        [Evaluation(EVALUATED), Evaluation({})],
    ),
    CALIBRATION: Example(
        CALIBRATED,
        CALIBRATED_CHANGES,
        [
            CalibrationResult(
                LAYERS,
                (LeftAlone("c", "Conv", "its bias exceeds int32"),),
                {"b/c:0": LayerCost(10, 20), "a": LayerCost(2**40, 5)},
                True,
                {"a": 0.1 + 0.2},
            ),
            CalibrationResult(QuantizedLayers({}), (), {}),
        ],
    ),
    ALL_INT8_CORRECTION: Example(CALIBRATED, CALIBRATED_CHANGES, [LAYERS, *OTHER_LAYERS]),
    PLAN_CORRECTION: Example(
        PlanInputs(CALIBRATED, ("b",), False),
        {
            "all_int8": [replace(CALIBRATED, graph=other) for other in DIGEST],
            "fallback": [(), ("a",), ("a", "b")],
            "float_tensors": [True],
        },
        [LAYERS, *OTHER_LAYERS],
    ),
    COSTS: Example(
        CostsInputs("graph", (LAYER,), "item"),
        {"graph": DIGEST, "layers": [(), (LAYER, LAYER), (replace(LAYER, input="y"),)], "first_item": DIGEST},
        [{"b/c:0": LayerCost(10, 20), "a": LayerCost(2**40, 5)}],
    ),
    SCORES: Example(
        SCORED,
        SCORED_CHANGES,
        [
            Evaluation(EVALUATED, np.random.default_rng(1).normal(size=(5, 2)), np.arange(5.0)),
            Evaluation(EVALUATED),
            Evaluation({}),
        ],
    ),
    SOME_SCORES: Example(
        ItemScoresInputs("scores", (0, 3)),
        {"scores": DIGEST, "positions": [(0,), (3, 0), (0, 4)]},
        [{0: {"kl": (0.1 + 0.2,), "sqnr": (1e-300, -0.0)}, 3: {"kl": (1.0,), "sqnr": (2.0, 3.0)}}],
    ),
    ITEMS_SEEN: Example(
        ItemsInputs(b"work", "items"),
        {"work": [b"other"], "items": DIGEST},
        [
            [Seen(facts_of(OUTPUTS), OUTPUTS, {}), Seen(facts_of(OUTPUTS), OUTPUTS, {})],
            [Seen(facts_of(OUTPUTS), {}, {"kl": (0.1 + 0.2,)}), Seen(facts_of(OUTPUTS), {}, {"kl": (1e-300,)})],
        ],
    ),
    ITEMS_SCORED: Example(
        ItemsInputs(b"work", "items"),
        {"work": [b"other"], "items": DIGEST},
        [[{"kl": (0.1 + 0.2,)}, {"kl": (-0.0,)}], [{}, {}]],
    ),
    RANKING: Example(
        RankingInputs("graph", LAYERS, "items", Cosine()),
        {
            "graph": DIGEST,
            "quantized_layers": OTHER_LAYERS,
            "calibration_items": DIGEST,
            "sensitivity": [MeanSquaredError()],
        },
        [Ranking((("b/c:0", 0.1 + 0.2), ("a", 0.5), ("\u732b", 0.5)))],
    ),
    LOSS_CONTRIBUTIONS: Example(
        LossContributionsInputs(SCORED, LAYERS, Qdq(), GROUPS, EndToEnd(items=12)),
        {
            "scores": [replace(SCORED, **{name: other}) for name, others in SCORED_CHANGES.items() for other in others],
            "measured": OTHER_LAYERS,
            "target": [Ascend(), Qdq(for_="tensorrt")],
            "groups": [(), GROUPS[:1], GROUPS[::-1], (replace(GROUPS[0], macs=41), GROUPS[1])],
            "sensitivity": [EndToEnd(items=13)],
        },
        [LossContributions("noise", (3, 7), 0.7, tuple(zip(GROUPS, (0.1 + 0.2, -1e-300), strict=True)))],
    ),
    PREDICTION: Example(
        PredictionInputs("source", "graph", LAYERS, "item", "name", IntegerSimulation(), CLASSES),
        {
            "source_graph": DIGEST,
            "graph": DIGEST,
            "quantized_layers": OTHER_LAYERS,
            "item": DIGEST,
            "item_name": ["another"],
            "simulation": OTHER_SIMULATIONS,
            "class_scores": OTHER_CLASSES,
        },
        [None, Prediction("x/y.png", (3, 0.1), (4, 0.1 + 0.2))],
    ),
    SHOWN_ANSWERS: Example(
        ShownInputs("source", "graph", LAYERS, "items", IntegerSimulation(), MeanIou()),
        {
            "source_graph": DIGEST,
            "graph": DIGEST,
            "quantized_layers": OTHER_LAYERS,
            "shown_items": DIGEST,
            "simulation": OTHER_SIMULATIONS,
            "metric": [MeanIou(layout="nhwc"), MeanIou(output="y"), MeanIou(threshold=0.25)],
        },
        [
            [],
            [
                (np.arange(6, dtype=np.int32).reshape(2, 3), np.full((2, 3), -1, np.int32)),
                (np.zeros((1, 1), np.int32), np.full((1, 1), 65535, np.int32)),
            ],
        ],
    ),
    NOISE: Example(
        NoiseInputs("graph", LAYERS, LAYERS, "items", ("both",), ("a",), 4),
        {
            "graph": DIGEST,
            "quantized_layers": OTHER_LAYERS,
            "all_int8_layers": OTHER_LAYERS,
            "some_items": DIGEST,
            "parts": [("weights", "activations", "both"), ("weights",)],
            "worst": [(), ("b",), ("b", "a")],
            "most": [3],
        },
        [
            NoiseAlong(("a", "b"), {"both": np.array([0.1, np.nan])}, np.array([np.inf, 1e-300]), 4),
            NoiseAlong(("a",), {}, np.zeros(1), 1, (LayerSpread("a", SPREAD, None), LayerSpread("b", None, SPREAD))),
        ],
    ),
    WRITTEN: Example(
        WrittenInputs(ModelPair("a_deploy.onnx", "a_fake.onnx"), "deploy", "fake", "graph", LAYERS, "items"),
        {
            "pair": [ModelPair("b_deploy.onnx", "a_fake.onnx"), ModelPair("a_deploy.onnx", "b_fake.onnx")],
            "deploy": DIGEST,
            "fake_quant": DIGEST,
            "graph": DIGEST,
            "quantized_layers": OTHER_LAYERS,
            "items": DIGEST,
        },
        [
            Written(
                ModelPair("a_deploy.onnx", "a_fake.onnx"),
                (Finding("model", "a fixed batch", "N", "warning"), Finding("c:0", "int8", "uint8")),
                {"x": (1, 3, 4, 4), "ids": (1,)},
            )
        ],
    ),
    PROOF: Example(
        ProofInputs(
            "deploy", "fake", "record", "float", "graph", LAYERS, "items", "device", (Kl(),), CLASSES, VerifyOptions()
        ),
        {
            "deploy": DIGEST,
            "fake_quant": DIGEST,
            "record": DIGEST,
            "float_graph": DIGEST,
            "graph": DIGEST,
            "quantized_layers": OTHER_LAYERS,
            "verified_items": DIGEST,
            "device_items": ["", *DIGEST],
            "metrics": [(), (TopK(1),), (TopK(5),)],
            "class_scores": OTHER_CLASSES,
            "verify": [VerifyOptions(count=4), VerifyOptions(device="none"), VerifyOptions(device="fp16")],
        },
        [PROVED, replace(PROVED, device=None, gaps=Gaps(0.0, None)), replace(PROVED, gaps=Gaps(None, None))],
    ),
    CHECKED: Example(
        CheckedInputs("a.onnx", "file", "record", "float", LAYERS, "items", "some", METRICS, CLASSES, VerifyOptions()),
        {
            "name": ["b.onnx"],
            "file": DIGEST,
            "record": DIGEST,
            "float_graph": DIGEST,
            "quantized_layers": OTHER_LAYERS,
            "verified_items": DIGEST,
            "level_items": DIGEST,
            "metrics": OTHER_METRICS,
            "class_scores": OTHER_CLASSES,
            "verify": [VerifyOptions(count=4), VerifyOptions(device="none")],
        },
        [
            Checked("a.onnx", 8, 2, ("\u732b", "a"), {"QLinearConv": 2, "Conv": 1}, ("w",), ("Gemm",), gap, True)
            for gap in (None, 0.1 + 0.2)
        ]
        + [Checked("a.onnx", 0, 0, (), {}, (), (), None, None)],
    ),
}
EVERY_STAGE = pytest.mark.parametrize("stage", STAGES, ids=[stage.name for stage in STAGES])


@EVERY_STAGE
def test_key_changes_with_each_input_alone_and_with_nothing_else(stage: Stage[Any, Any]) -> None:
    example = EXAMPLES[stage]
    assert type(example.inputs) is stage.inputs
    assert example.changes.keys() == {field.name for field in fields(stage.inputs)}
    changed = [replace(example.inputs, **{name: other}) for name, others in example.changes.items() for other in others]
    key, keys = stage.key(example.inputs), [stage.key(inputs) for inputs in changed]
    assert None not in (key, *keys) and len({key, *keys}) == 1 + len(keys)
    assert stage.key(replace(example.inputs)) == key
    assert stage.key(_copied(example.inputs)) == key


def _copied(value: Any) -> Any:
    """Return an equal value in which no array and no container is the same object."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {name: _copied(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_copied, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _copied(getattr(value, field.name)) for field in fields(value)})
    return value


@EVERY_STAGE
def test_key_changes_with_each_version(stage: Stage[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = EXAMPLES[stage].inputs
    keys = [stage.key(inputs), replace(stage, version=stage.version + 1).key(inputs)]
    for module in stage.through:
        with monkeypatch.context() as patch:
            patch.setattr(module, "VERSION", module.VERSION + 1)
            keys.append(stage.key(inputs))
    assert len(set(keys)) == 2 + len(stage.through)


@EVERY_STAGE
def test_results_come_back_bit_for_bit(stage: Stage[Any, Any], tmp_path: Path) -> None:
    inputs = EXAMPLES[stage].inputs
    for number, result in enumerate(EXAMPLES[stage].results):
        folder = tmp_path / f"{number}"
        assert stage.cached(Store(folder, 10_000_000), inputs, lambda result=result: result) is result
        again = Store(folder, 10_000_000, warn=pytest.fail)
        assert _bits(stage.cached(again, inputs, pytest.fail)) == _bits(result)


def _bits(value: Any) -> Any:
    """Return a value as something that is equal only where every bit, name and order is."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, float):
        return np.float64(value).tobytes()
    if isinstance(value, Mapping):
        return [(name, _bits(one)) for name, one in value.items()]
    if isinstance(value, list | tuple):
        return [_bits(one) for one in value]
    if isinstance(value, KeptOutputs):
        return type(value), _bits(value.known)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), [(field.name, _bits(getattr(value, field.name))) for field in fields(value)]
    return type(value), value


def test_every_stage_has_a_name_of_its_own_and_no_two_share_a_key() -> None:
    assert len({stage.name for stage in STAGES}) == len(STAGES) == len(EXAMPLES)
    assert len({stage.key(EXAMPLES[stage].inputs) for stage in STAGES}) == len(STAGES)


@pytest.mark.parametrize(
    ("stage", "own"),
    [
        (SCORES, replace(SCORED, metrics=(Kl(), OwnMetric()))),
        (
            LOSS_CONTRIBUTIONS,
            replace(EXAMPLES[LOSS_CONTRIBUTIONS].inputs, scores=replace(SCORED, metrics=(OwnMetric(),))),
        ),
        (PROOF, replace(EXAMPLES[PROOF].inputs, metrics=(OwnMetric(),))),
        (CHECKED, replace(EXAMPLES[CHECKED].inputs, metrics=(OwnMetric(),))),
        (CALIBRATION, replace(EXAMPLES[CALIBRATION].inputs, observers={"a": OwnObserver()})),
    ],
    ids=["scores", "loss contributions", "proof", "check", "calibration"],
)
def test_what_a_class_of_a_users_takes_part_in_is_made_each_time(
    stage: Stage[Any, Any], own: Any, tmp_path: Path
) -> None:
    store, made = Store(tmp_path, 10_000_000), list[int]()
    assert stage.key(own) is None and stage.kept(store, own) is None
    for _ in range(2):
        stage.cached(store, own, lambda: made.append(1))
    assert made == [1, 1] and list(tmp_path.iterdir()) == []


def test_every_version_takes_part_in_a_key() -> None:
    names = [module.name for module in pkgutil.walk_packages(runner.__path__, "runner.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    versioned = {module.__name__ for module in modules if "VERSION" in vars(module)}
    through = {module.__name__ for stage in STAGES for module in stage.through}
    # Pixels of images are kept by the datasets, under keys of their own; parquet files' items name the same version.
    assert versioned == through | {decoded.__name__, "runner.dataset.parquet"}


def test_documentation_lists_the_stages(root: Path) -> None:
    page = (root / "docs" / "reference" / "cache.md").read_text(encoding="utf-8")
    assert stage_table() in page
