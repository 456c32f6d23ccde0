"""Models whose inputs are more than a batch of rows, through whole jobs of both modes, held against onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image

from runner.calibration.minmax import MinMax
from runner.correction.options import Correction
from runner.dataset.image_folder import ImageFolder
from runner.dataset.input_settings import InputSettings
from runner.dataset.item import Dataset, Item, digest
from runner.dataset.preprocess import ImagePreprocess
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError
from runner.evaluation.accuracy import TopK
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.distance import Sqnr
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.result import AccAutoResult, ConvertResult
from runner.session import InputSpec
from tests.data import noise
from tests.models import proto

COUNT = 12


@dataclass
class Fed:
    """Items of several arrays; item i feeds the model with ``feeds(i)``."""

    items: Sequence[Mapping[str, NDArray]]
    labels: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def item(self, index: int) -> Item:
        return Item(self.items[index], self.label(index))

    def label(self, index: int) -> int | None:
        return None if self.labels is None else self.labels[index]

    def name(self, index: int) -> str:
        return f"item {index}"

    def fingerprint(self, index: int) -> str:
        return digest(*(part for name, array in self.items[index].items() for part in (name, array.tobytes())))

    def describe(self) -> str:
        return "fed"


def auto(folder: Path, model: onnx.ModelProto, data: Dataset, **options: Any) -> AccAutoResult:
    path = folder / "source.onnx"
    path.write_bytes(model.SerializeToString())
    chosen = {"target_loss": 59.0, "metric": Sqnr(), "observer": MinMax()} | options
    return acc_auto(path, data, folder / "out", AccAutoOptions(**chosen), name="net", engine=Engine(1))


def convert(folder: Path, model: onnx.ModelProto, data: Dataset) -> ConvertResult:
    path = folder / "source.onnx"
    path.write_bytes(model.SerializeToString())
    return convert_qat(path, data, folder / "out", name="net", engine=Engine(1))


def written(folder: Path) -> Path:
    (path,) = folder.glob("out/**/net_fake_quant_model.onnx")
    return path


def run(model: Path, feeds: Mapping[str, NDArray]) -> list[NDArray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))


def held_against_the_source(
    folder: Path, result: AccAutoResult | ConvertResult, data: Fed, fixed: Mapping[str, NDArray] | None = None
) -> None:
    """The written model is near the source on what the items say, and its deploy twin is bit-identical."""
    assert result.checked is not None and result.checked.proof.sameness.identical == len(data)
    assert result.fallback == ()
    for item in data.items:
        for a, b in zip(
            run(folder / "source.onnx", {**item, **(fixed or {})}), run(written(folder), item), strict=True
        ):
            assert a.shape == b.shape
            assert np.max(np.abs(a - b)) <= 0.06 * np.max(np.abs(a)) + 1e-6


TWO_LAYERS = proto(
    """g (float[1,8] x, float[2,1,4] h, int64 rate) => (float[1,4] y, float[2,1,4] hn) {
        [a] a = MatMul(x, w) one = Constant<value = int64[2] {1, 1}>() h0, h1 = Split<axis = 0>(h, one)
        d = Sub(h0, h1) zero = Constant<value = int64[1] {0}>() s = Squeeze(d, zero) t = Add(a, s)
        r = Cast<to = 1>(rate) y = Mul(t, r) hn = Concat<axis = 0>(h1, h0)
    }""",
    w=noise(0, 8, 4),
)


def states(**fixed: NDArray) -> Fed:
    return Fed(
        [
            {"x": noise(i, 1, 8), "h": noise(100 + i, 2, 1, 4), **({} if fixed else {"rate": np.array(1 + i % 3)})}
            for i in range(COUNT)
        ]
    )


def test_states_and_scalars_reach_the_model_as_they_are(tmp_path: Path) -> None:
    data = states()
    result = auto(tmp_path, TWO_LAYERS, data)
    held_against_the_source(tmp_path, result, data)
    assert result.checked is not None
    assert result.checked.written.input_shapes == {"x": (1, 8), "h": (2, 1, 4), "rate": ()}


def test_input_that_is_fixed_is_no_input_of_the_written_models(tmp_path: Path) -> None:
    data = states(rate=np.array(3))
    result = auto(tmp_path, TWO_LAYERS, InputSettings(data, constants={"rate": 3}))
    held_against_the_source(tmp_path, result, data, {"rate": np.array(3)})
    for name in ("deploy", "fake_quant"):
        model = onnx.load(tmp_path / f"out/results/net_{name}_model.onnx")
        assert [value.name for value in model.graph.input] == ["x", "h"]
        assert "rate" not in {name for node in model.graph.node for name in node.input}
    assert result.checked is not None and list(result.checked.written.input_shapes) == ["x", "h"]


def test_missing_array_tells_of_constants(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"no array for the model input 'rate'; the dataset has x, h\. .*constants=\{rate"
    ):
        auto(tmp_path, TWO_LAYERS, states(rate=np.array(3)))


def test_unknown_constant_is_refused_with_the_nearest_input(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"the model has no input 'rates'\. Did you mean 'rate'\? It has x, h, rate\."
    ):
        auto(tmp_path, TWO_LAYERS, InputSettings(states(), constants={"rates": 3}))


def test_amct_evaluator_is_given_the_float_model_with_its_inputs_fixed(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    class Evaluates:
        def evaluate(self, model_file: str) -> float:
            asked.append([value.name for value in onnx.load(model_file).graph.input])
            return 1.0

        def metric_eval(self, original: float, new: float) -> tuple[bool, float]:
            return True, 0.0

    data = InputSettings(states(rate=np.array(3)), constants={"rate": 3})
    assert auto(tmp_path, TWO_LAYERS, data, metric=AmctEvaluator(Evaluates())).status == "met"
    assert asked and all(names == ["x", "h"] for names in asked)


def test_batch_along_another_axis_is_said(tmp_path: Path) -> None:
    data = states()
    cut = [{**item, "h": item["h"][:, 0], "x": item["x"][0]} for item in data.items]
    result = auto(tmp_path, TWO_LAYERS, InputSettings(Fed(cut), {"h": 1}))
    assert result.checked is not None and result.checked.written.input_shapes["h"] == (2, 1, 4)
    held_against_the_source(tmp_path, auto(tmp_path, TWO_LAYERS, data), data)


def test_other_batch_axes_are_other_items() -> None:
    data = states()
    prints = [InputSettings(data, axes).fingerprint(0) for axes in ({}, {"h": 1}, {"h": 0}, {"h": None})]
    assert prints[0] == data.fingerprint(0) and len(set(prints)) == 4


GRAPH = proto(
    """g (float[nodes,8] x, int64[2,edges] e) => (float[1,4] y) {
        [a] a = MatMul(x, w) one = Constant<value = int64[2] {1, 1}>() s, t = Split<axis = 0>(e, one)
        zero = Constant<value = int64[1] {0}>() si = Squeeze(s, zero) ti = Squeeze(t, zero)
        m = Gather(a, si) n = Gather(a, ti) d = Sub(m, n) y = ReduceMean<axes = [0], keepdims = 1>(d)
    }""",
    w=noise(0, 8, 4),
)


@pytest.mark.parametrize("quant", ["minmax", "corrected"])
def test_graph_without_a_batch_axis_whose_items_differ_in_size(tmp_path: Path, quant: str) -> None:
    rng = np.random.default_rng(0)
    sizes = [(6, 9), (5, 3), (11, 20)] * 4
    data = Fed([{"x": noise(i, n, 8), "e": rng.integers(0, n, (2, m))} for i, (n, m) in enumerate(sizes)])
    best = Correction("sequential", scale=True, rounding="compensated", range="output", pixels=True, equalize=True)
    options = {"correction": best} if quant == "corrected" else {}
    held_against_the_source(tmp_path, auto(tmp_path, GRAPH, data, **options), data)


RECURRENT = proto(
    """g (float[5,1,3] x, float[2,1,4] h0, float[2,1,4] c0) => (float[5,1,6] y, float[2,1,4] hn, float[2,1,4] cn) {
        o, hn, cn = LSTM<direction = "bidirectional", hidden_size = 4>(x, w, r, "", "", h0, c0)
        t = Transpose<perm = [0, 2, 1, 3]>(o) shape = Constant<value = int64[3] {5, 1, 8}>() f = Reshape(t, shape)
        [head] y = MatMul(f, v)
    }""",
    w=noise(0, 2, 16, 3),
    r=noise(1, 2, 16, 4),
    v=noise(2, 8, 6),
)


def test_recurrent_network_takes_its_states(tmp_path: Path) -> None:
    data = Fed(
        [{"x": noise(i, 5, 1, 3), "h0": noise(40 + i, 2, 1, 4), "c0": noise(80 + i, 2, 1, 4)} for i in range(COUNT)]
    )
    held_against_the_source(tmp_path, auto(tmp_path, RECURRENT, data), data)


def speech(rate: str = "int64 sr") -> onnx.ModelProto:
    """A small voice detector: audio, a state, and a sampling rate that chooses the branch."""
    return proto(
        f"""g (float[N,512] input, float[2,N,4] state, {rate}) => (float[N,4] output, float[2,N,4] stateN) {{
            k = Constant<value = int64 {{16000}}>() c = Equal(sr, k)
            [branch] h = If(c) <
                then_branch = high () => (float[N,4] t) {{ t = MatMul(input, w) }},
                else_branch = low () => (float[N,4] f) {{ f = MatMul(input, v) }}
            >
            one = Constant<value = int64[2] {{1, 1}}>() s0, s1 = Split<axis = 0>(state, one)
            zero = Constant<value = int64[1] {{0}}>() q = Squeeze(s0, zero) g = Add(h, q)
            [out] output = MatMul(g, u) stateN = Concat<axis = 0>(s1, s0)
        }}""",
        w=noise(0, 512, 4) / F512,
        v=noise(1, 512, 4) / F512,
        u=noise(2, 4, 4),
    )


F512 = np.float32(np.sqrt(512))


def test_branch_that_a_fixed_input_chooses_is_the_one_that_is_quantized(tmp_path: Path) -> None:
    data = Fed([{"input": noise(i, 1, 512), "state": noise(50 + i, 2, 1, 4)} for i in range(COUNT)])
    result = auto(tmp_path, speech(), InputSettings(data, constants={"sr": 16000}))
    held_against_the_source(tmp_path, result, data, {"sr": np.array(16000)})
    assert len(result.found.layers) == 2


def qat(head: str, body: str) -> onnx.ModelProto:
    """A quantization-aware-trained MatMul of x [1, 8], with more inputs."""
    return proto(
        f"""g (float[1,8] x{head}) => (float[1,4] y) {{
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) wd = DequantizeLinear(w, sw, zw)
            [a] a = MatMul(d, wd) {body}
        }}""",
        s=np.float32(0.03),
        z=np.int8(3),
        w=np.random.default_rng(0).integers(-127, 128, (8, 4)).astype(np.int8),
        sw=np.float32(0.01),
        zw=np.int8(0),
    )


def test_conversion_takes_states_and_scalars_too(tmp_path: Path) -> None:
    data = Fed([{"x": noise(i, 1, 8), "h": noise(50 + i, 2, 1, 4), "rate": np.array(2)} for i in range(COUNT)])
    model = qat(
        ", float[2,1,4] h, int64 rate",
        "m = ReduceMean<axes = [0], keepdims = 0>(h) b = Add(a, m) r = Cast<to = 1>(rate) y = Mul(b, r)",
    )
    result = convert(tmp_path, model, data)
    held_against_the_source(tmp_path, result, data)
    assert result.checked is not None and result.checked.written.input_shapes == {
        "x": (1, 8),
        "h": (2, 1, 4),
        "rate": (),
    }


def test_conversion_fixes_inputs_too(tmp_path: Path) -> None:
    data = Fed([{"x": noise(i, 1, 8)} for i in range(COUNT)])
    model = qat(", float[4] gain", "y = Mul(a, gain)")
    gain = [1.0, 2.0, 0.5, 3.0]
    result = convert(tmp_path, model, InputSettings(data, constants={"gain": gain}))
    held_against_the_source(tmp_path, result, data, {"gain": np.float32(gain)})
    for name in ("deploy", "fake_quant"):
        assert [v.name for v in onnx.load(tmp_path / f"out/net_{name}_model.onnx").graph.input] == ["x"]
    with pytest.raises(ConfigError, match=r"the model has no input 'gian'\. Did you mean 'gain'"):
        convert(tmp_path, model, InputSettings(data, constants={"gian": gain}))


FIXED = proto(
    "g (float[4,3,6,6] x) => (float[4,5] y) { [c] a = Conv(x, w) g = GlobalAveragePool(a) f = Flatten(g) y = Identity(f) }",
    w=noise(0, 5, 3, 3, 3),
)


def test_item_is_repeated_in_a_batch_that_the_model_fixes_and_it_is_said(tmp_path: Path) -> None:
    data = Fed([{"x": noise(i, 3, 6, 6)} for i in range(COUNT)], [i % 5 for i in range(COUNT)])
    result = auto(tmp_path, FIXED, data, metric=TopK(), target_loss=90)
    hits = [
        int(np.argmax(run(tmp_path / "source.onnx", {"x": np.repeat(item["x"][None], 4, 0)})[0][0]) == i % 5)
        for i, item in enumerate(data.items)
    ]
    assert result.comparison.headline.before == pytest.approx(100 * sum(hits) / COUNT)
    (said,) = [w for w in result.warnings if "batch" in w]
    assert said == (
        "the model fixes a batch of 4: each item is repeated to fill it, and the first row of the outputs counts. "
        "Export the model with a batch of 1 or an open one to save the work."
    )


def test_batch_that_items_bring_whole_is_fed_as_it_is(tmp_path: Path) -> None:
    data = Fed([{"x": noise(i, 4, 3, 6, 6)} for i in range(COUNT)])
    result = auto(tmp_path, FIXED, data)
    held_against_the_source(tmp_path, result, data)
    assert not [w for w in result.warnings if "batch" in w]


def test_two_images_meet_one_network(tmp_path: Path) -> None:
    twins = proto(
        """g (float[N,3,6,6] left, float[N,3,6,6] right) => (float[N,5] y) {
            [l] a = Conv(left, w) [r] b = Conv(right, w) p = GlobalAveragePool(a) q = GlobalAveragePool(b)
            d = Sub(p, q) y = Flatten(d)
        }""",
        w=noise(0, 5, 3, 3, 3),
    )
    pairs = [{"left": noise(i, 3, 6, 6), "right": noise(50 + i, 3, 6, 6)} for i in range(COUNT)]
    result = auto(tmp_path, twins, Fed(pairs))
    assert result.checked is not None
    assert result.checked.written.input_shapes == {"left": (1, 3, 6, 6), "right": (1, 3, 6, 6)}
    whole = Fed([{name: array[None] for name, array in pair.items()} for pair in pairs])
    held_against_the_source(tmp_path, result, whole)
    assert json.dumps([layer.name for layer in result.found.layers]) == '["l", "r"]'


def test_conversion_meets_a_gray_model_of_channels_last(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pixels = [np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(COUNT)]
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "images" / f"{number:02d}.png")
    model = proto(
        """g (float[N,8,8,1] x) => (float[N,4,6,6] y) {
            q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) t = Transpose<perm = [0, 3, 1, 2]>(d)
            wd = DequantizeLinear(w, sw, zw) [c] y = Conv(t, wd)
        }""",
        s=np.float32(1 / 255),
        z=np.int8(-128),
        w=np.random.default_rng(0).integers(-127, 128, (4, 1, 3, 3)).astype(np.int8),
        sw=np.float32(0.01),
        zw=np.int8(0),
    )
    path = tmp_path / "source.onnx"
    path.write_bytes(model.SerializeToString())
    data = ImageFolder(str(tmp_path / "images"), None, ImagePreprocess(scale=1 / 255))
    result = convert_qat(path, data, tmp_path / "out", name="net", engine=Engine(1))
    assert result.inputs.chosen == (
        "dataset.preprocess.channels=gray, as the model input 'x' takes 8x8x1",
        "dataset.preprocess.layout=nhwc, as the model input 'x' takes 8x8x1",
    )
    gray = [np.asarray(Image.fromarray(image).convert("L"), np.float32) for image in pixels]
    (first,) = data.item(0).arrays.values()
    assert np.allclose(first, gray[0][:, :, None] / 255, atol=1e-7)
    assert result.inputs.seen is not None
    assert result.inputs.seen.values["x"].high == pytest.approx(max(image.max() for image in gray) / 255)


def test_data_set_meets_one_model_after_another(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(
        tmp_path / "images" / "a.png"
    )
    data = ImageFolder(str(tmp_path / "images"))
    f32 = np.dtype(np.float32)
    shapes, prints = [], []
    for shape in ((None, 1, 9, 8), (None, 9, 8, 3), (None, 3, 9, 8), (None, 1, 9, 8)):
        data.fit_to([InputSpec("x", shape, f32)])
        shapes.append(data.item(0).arrays[""].shape)
        prints.append(data.fingerprint(0))
    assert shapes == [(1, 9, 8), (9, 8, 3), (3, 9, 8), (1, 9, 8)]
    assert len(set(prints)) == 3 and prints[0] == prints[3]
