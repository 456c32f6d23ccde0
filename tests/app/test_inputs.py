"""Inputs from the command line: states, fixed inputs, images of every layout, and signs that data reaches a model wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.app.conftest import Command, Tiny
from tests.command import Ended, command
from tests.data import noise, random_pixels
from tests.models import onnx_text, proto, save

QUICK = ["observer=minmax", "quant=amct", "tracking=none", "target_loss=59.9", "metric=sqnr"]


def summary(folder: Path, mode: str = "acc_auto") -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "outputs" / mode / "summary.json").read_text(encoding="utf-8"))
    return read


def row(out: str, name: str) -> list[str]:
    """Return a row of the terminal's table, with what stands below it."""
    lines = out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"{name}  "))
    end = next(place for place in range(start + 1, len(lines)) if not lines[place].startswith("  "))
    return [line.removeprefix(name).strip() for line in lines[start:end]]


# ---------------------------------------------------------------- states, scalars, fixed inputs

STATEFUL = onnx_text(
    """g (float[N,8] x, float[2,N,4] h, int64 rate) => (float[N,4] y) {
        a = MatMul (x, w)
        m = ReduceMean <axes = [0], keepdims = 0> (h)
        b = Add (a, m)
        r = Cast <to = 1> (rate)
        y = Mul (b, r)
    }""",
    w=noise(0, 8, 4),
)
X, H, RATE = noise(1, 20, 8), noise(2, 20, 2, 1, 4), np.arange(1, 21)


@pytest.fixture
def stateful(tmp_path: Path) -> Path:
    save(STATEFUL, tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=X, h=H, cut=H[:, :, 0], rate=RATE)
    return tmp_path


def npz(inputs: str) -> list[str]:
    return [
        "model=file",
        "model.path=net.onnx",
        "dataset=npz",
        "dataset.path=data.npz",
        f"dataset.inputs={inputs}",
        *QUICK,
    ]


def test_whole_states_and_scalars_are_fed_as_they_are(stateful: Path, run: Command) -> None:
    ended = run(*npz("{x: x, h: h, rate: rate}"))
    assert ended.status == 0, ended.err
    assert '--input_shape="x:1,8;h:2,1,4" ' in ended.out  # ATC wants no size of a scalar
    assert summary(stateful)["inputs"]["rate"] == {"min": 1.0, "max": 20.0, "mean": 10.5, "items": 20}


def test_batch_axis_makes_the_same_of_states_without_it(stateful: Path, run: Command) -> None:
    figures = []
    for inputs, axis in (("{x: x, h: h, rate: rate}", "null"), ("{x: x, h: cut, rate: rate}", "{h: 1}")):
        ended = run(*npz(inputs), f"dataset.batch_axis={axis}")
        assert ended.status == 0, ended.err
        figures.append(summary(stateful))
    assert figures[0]["metrics"] == figures[1]["metrics"]
    assert figures[0]["dataset_fingerprint"] != figures[1]["dataset_fingerprint"]


def test_state_without_its_axis_is_refused_with_the_option(stateful: Path, run: Command) -> None:
    ended = run(*npz("{x: x, h: cut, rate: rate}"))
    assert ended.status == 2
    assert (
        "error: dataset: item data.npz[0] has shape 2x4, but the model input 'h' takes 2x?x4. If its batch is axis 1, say so: "
        "dataset.batch_axis={h: 1}; items of the whole shape 2x?x4 are taken too."
    ) in ended.err


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (
            "dataset.batch_axis={hh: 1}",
            "dataset.batch_axis: the model has no input 'hh'. Did you mean 'h'? It has x, h, rate.",
        ),
        ("dataset.batch_axis={h: one}", "dataset.batch_axis.h: expected a whole number or null, got 'one'."),
        ("dataset.batch_axis=1", "dataset.batch_axis: expected names with values, got 1."),
        (
            "dataset.constants={rte: 1}",
            "dataset.constants: the model has no input 'rte'. Did you mean 'rate'? It has x,",
        ),
        (
            "dataset.constants={rate: 1.5}",
            "dataset.constants.rate: expected values of the input's type, int64, got 1.5.",
        ),
        ("dataset.constants=[1]", "dataset.constants: expected names with values, got [1]."),
    ],
)
def test_what_is_said_of_no_input_is_refused(stateful: Path, run: Command, option: str, says: str) -> None:
    ended = run(*npz("{x: x, h: h, rate: rate}"), option)
    assert ended.status == 2 and says in ended.err, ended.err


def test_fixed_input_is_told_and_takes_part_in_what_is_remembered(stateful: Path, run: Command) -> None:
    figures = []
    for value in (3, 5, 3):
        ended = run(*npz("{x: x, h: h}"), f"dataset.constants={{rate: {value}}}", "verbose=true")
        assert ended.status == 0, ended.err
        assert f"rate fixed at {value}" in row(ended.out, "input values")
        page = (stateful / "outputs/acc_auto/report.html").read_text(encoding="utf-8")
        assert f"Input values: rate fixed at {value}." in page
        figures.append(summary(stateful))
    assert [figure["constants"] for figure in figures] == [{"rate": 3}, {"rate": 5}, {"rate": 3}]
    assert "rate" not in figures[0]["inputs"]
    assert figures[1]["evaluations"]["items"] > 0 and figures[2]["evaluations"]["items"] == 0
    fixed = onnx.load(stateful / "outputs/acc_auto/results/net_fake_quant_model.onnx")
    assert [value.name for value in fixed.graph.input] == ["x", "h"]


def test_calibration_data_shares_batch_axes_and_fixes_nothing(stateful: Path, run: Command) -> None:
    line = [*npz("{x: x, h: cut}"), "dataset.constants={rate: 3}", "dataset.batch_axis={h: 1}"]
    other = ["+dataset@calibration.dataset=npz", "calibration.dataset.path=data.npz"]
    other.append("calibration.dataset.inputs={x: x, h: cut}")
    assert run(*line, *other).status == 0
    whole = [*other[:2], "calibration.dataset.inputs={x: x, h: h}", "+calibration.dataset.batch_axis={h: null}"]
    assert run(*line, *whole).status == 0
    ended = run(*line, *other, "+calibration.dataset.constants={rate: 4}")
    assert ended.status == 2
    assert (
        "calibration.dataset.constants: inputs are fixed for the whole job; give it as dataset.constants." in ended.err
    )


@pytest.mark.parametrize("kind", ["npy", "bin", "parquet"])
def test_every_kind_of_arrays_brings_states_and_scalars(kind: str, stateful: Path, run: Command) -> None:
    arrays: dict[str, NDArray[Any]] = {"x": X, "h": H, "rate": RATE}
    assert run(*npz("{x: x, h: h, rate: rate}")).status == 0
    expected = summary(stateful)["metrics"]
    if kind == "npy":
        for name, array in arrays.items():
            np.save(f"{name}.npy", array)
        data = ["dataset=npy", "dataset.inputs={x: x.npy, h: h.npy, rate: rate.npy}"]
    elif kind == "parquet":
        pq.write_table(pa.table({name: array.tolist() for name, array in arrays.items()}), "data.parquet")
        data = ["dataset=parquet", "dataset.path=data.parquet", "dataset.label=null"]
        data.append("dataset.inputs={x: x, h: h, rate: rate}")
    else:
        for name, array in arrays.items():
            Path(name).mkdir()
            for index, item in enumerate(array):
                np.asarray(item).tofile(f"{name}/{index:03d}.bin")
        data = ["dataset=bin", "dataset.data_dir='x;h;rate'", "dataset.input_shape='x:1,8;h:2,1,4;rate:'"]
        data.append("dataset.data_types='float32;float32;int64'")
    ended = run("model=file", "model.path=net.onnx", *data, *QUICK)
    assert ended.status == 0, ended.err
    assert summary(stateful)["metrics"]["sqnr"]["quantized"] == pytest.approx(expected["sqnr"]["quantized"], abs=1e-6)


def test_raw_batches_calibrate_with_axes_of_their_own(stateful: Path, run: Command) -> None:
    for name, array in {"x": X, "h": H}.items():
        Path(name).mkdir()
        for index, item in enumerate(array):
            np.asarray(item).tofile(f"{name}/{index:03d}.bin")
    ended = run(
        *[*npz("{x: x, h: cut}"), "dataset.constants={rate: 3}", "dataset.batch_axis={h: 1}"],
        *["+dataset@calibration.dataset=bin", "calibration.dataset.data_dir='x;h'"],
        "calibration.dataset.input_shape='x:1,8;h:2,1,4'",
    )
    # The same states: whole in one, without the batch in the other.
    assert ended.status == 0, ended.err
    assert summary(stateful)["split"]["calibration"] == 20


OWN = """
import numpy as np

from runner.dataset.item import Item


class Talk:
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> Item:
        x = np.cos(np.arange(8, dtype=np.float32) * (index + 1))
        state = np.sin(np.arange(8, dtype=np.float32) * (index + 1)).reshape(2, 4)
        return Item({"x": x, "h": state, "rate": np.int64(2)}, None, {"h": 1})

    def label(self, index: int) -> None:
        return None

    def name(self, index: int) -> str:
        return f"talk {index}"

    def fingerprint(self, index: int) -> str:
        return str(index)

    def describe(self) -> str:
        return "talk"
"""


def test_own_class_says_where_the_batch_is_and_takes_the_options_too(stateful: Path) -> None:
    (stateful / "conf" / "dataset").mkdir(parents=True)
    (stateful / "conf" / "dataset" / "talk.yaml").write_text("_target_: my_talk.Talk\ncount: 10\n", encoding="utf-8")
    (stateful / "my_talk.py").write_text(OWN, encoding="utf-8")
    line = ["--config-dir", "conf", "model=file", "model.path=net.onnx", "dataset=talk", *QUICK]
    ended = command(*line, cwd=stateful)
    assert ended.status == 0, ended.err
    assert '--input_shape="x:1,8;h:2,1,4"' in ended.out
    # An option of the command line wins over what the items say.
    ended = command(*line, "dataset.batch_axis={h: null}", "dataset.constants={rate: 2}", cwd=stateful)
    assert ended.status == 2 and "takes 2x?x4, every axis of it (dataset.batch_axis.h=null)" in ended.err


# ---------------------------------------------------------------- images of every layout


def classifier(shape: str, before: str = "", channels: int = 3) -> onnx.ModelProto:
    """A classifier of 5 classes on images, with ``t`` [N, channels, ...] made of its input ``x``."""
    return proto(
        f"""g (float[N,{shape}] x) => (float[N,5] y) {{
            {before or "t = Identity(x)"} [c] a = Conv(t, w) p = GlobalAveragePool(a) y = Flatten(p)
        }}""",
        w=noise(3, 5, channels, 3, 3) / 50,
    )


def photos(folder: Path, count: int = 12) -> list[NDArray[np.uint8]]:
    """Images of a class each, as a folder with labels, a tree and a table."""
    pixels = [random_pixels(10, 12, seed=number) for number in range(count)]
    (folder / "flat").mkdir()
    for number, image in enumerate(pixels):
        (folder / "tree" / f"class{number % 5}").mkdir(parents=True, exist_ok=True)
        for path in (
            folder / "flat" / f"{number:02d}.png",
            folder / "tree" / f"class{number % 5}" / f"{number:02d}.png",
        ):
            Image.fromarray(image).save(path)
    (folder / "labels.txt").write_text("".join(f"{n:02d}.png {n % 5}\n" for n in range(count)), encoding="utf-8")
    encoded = [(folder / "flat" / f"{number:02d}.png").read_bytes() for number in range(count)]
    pq.write_table(pa.table({"image": encoded, "label": [n % 5 for n in range(count)]}), folder / "photos.parquet")
    return pixels


SOURCES = {
    "image_folder": ["dataset=image_folder", "dataset.images=flat", "dataset.labels=labels.txt"],
    "class_tree": ["dataset=class_tree", "dataset.images=tree"],
    "parquet": ["dataset=parquet", "dataset.path=photos.parquet"],
}
TRANSPOSED = "t = Transpose<perm = [0, 3, 1, 2]>(x)"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("layout", ["gray", "last", "gray last"])
def test_images_reach_a_model_of_any_layout_and_it_is_said(
    source: str, layout: str, tmp_path: Path, run: Command
) -> None:
    gray, last = "gray" in layout, "last" in layout
    channels = 1 if gray else 3
    shape = f"8,8,{channels}" if last else f"{channels},8,8"
    save(classifier(shape, TRANSPOSED if last else "", channels), tmp_path / "net.onnx")
    pixels = photos(tmp_path)
    preprocess = ["dataset.preprocess.resize=[8,8]", "dataset.preprocess.scale=0.00392156862745098"]
    line = ["model=file", "model.path=net.onnx", *SOURCES[source], *preprocess, "metric=top1", "target_loss=100"]
    ended = run(*line, *QUICK[:3], "verbose=true")
    assert ended.status == 0, ended.err
    session = ort.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    hits = 0
    for number, image in enumerate(pixels):
        made = Image.fromarray(image).convert("L" if gray else "RGB").resize((8, 8), Image.Resampling.BICUBIC)
        x = np.asarray(made, np.float32).reshape(8, 8, channels) / 255
        hits += int(np.argmax(session.run(None, {"x": (x if last else x.transpose(2, 0, 1))[None]})[0])) == number % 5
    figures = summary(tmp_path)
    assert figures["float_metric"] == pytest.approx(100 * hits / len(pixels))
    shown = shape.replace(",", "x")
    expected = [f"dataset.preprocess.channels=gray, as the model input 'x' takes {shown}"] if gray else []
    expected += [f"dataset.preprocess.layout=nhwc, as the model input 'x' takes {shown}"] if last else []
    assert figures["chosen"] == expected
    assert [phrase for phrase in row(ended.out, "input values") if "chosen" in phrase] == [
        f"chosen: {e}" for e in expected
    ]


def test_image_options_that_do_not_fit_the_model_name_the_right_one(tmp_path: Path, run: Command) -> None:
    photos(tmp_path)
    line = ["model=file", "model.path=net.onnx", *SOURCES["class_tree"], "metric=top1", *QUICK[:3]]
    save(classifier("1,10,12", "", 1), tmp_path / "net.onnx")
    ended = run(*line, "dataset/preprocess=caffe")
    assert ended.status == 2 and "Set dataset.preprocess.channels=gray, with one number as mean and std." in ended.err
    save(classifier("10,12,3", TRANSPOSED), tmp_path / "net.onnx")
    ended = run(*line, "dataset.preprocess.layout=nchw")
    assert ended.status == 2 and "takes 10x12x3. Set dataset.preprocess.layout=nhwc." in ended.err


def test_two_images_an_item_come_from_a_table(tmp_path: Path, run: Command) -> None:
    photos(tmp_path)
    encoded = pq.read_table("photos.parquet").column("image").to_pylist()
    pq.write_table(pa.table({"left": encoded, "right": encoded[1:] + encoded[:1]}), "pairs.parquet")
    twins = proto(
        """g (float[N,10,12,3] a, float[N,10,12,3] b) => (float[N,5] y) {
            at = Transpose<perm = [0, 3, 1, 2]>(a) bt = Transpose<perm = [0, 3, 1, 2]>(b)
            [left] c = Conv(at, w) [right] d = Conv(bt, w) e = GlobalAveragePool(c) f = GlobalAveragePool(d)
            g = Sub(e, f) y = Flatten(g)
        }""",
        w=noise(3, 5, 3, 3, 3) / 50,
    )
    save(twins, tmp_path / "net.onnx")
    data = ["dataset=parquet", "dataset.path=pairs.parquet", "dataset.label=null", "dataset.inputs={a: left, b: right}"]
    ended = run("model=file", "model.path=net.onnx", *data, *QUICK)
    assert ended.status == 0, ended.err
    assert '--input_shape="a:1,10,12,3;b:1,10,12,3"' in ended.out
    assert summary(tmp_path)["layers_total"] == 2


# ---------------------------------------------------------------- does the data reach the model as it should?


def test_values_of_the_inputs_stand_beside_the_result(tiny: Tiny, tmp_path: Path, run: Command) -> None:
    ended = run(*tiny.options(), "verbose=true")
    seen = summary(tmp_path)["inputs"]["x"]
    looked_at = tiny.x[[at * 40 // 32 for at in range(32)]]
    assert seen["items"] == 32
    assert (seen["min"], seen["max"]) == (float(looked_at.min()), float(looked_at.max()))
    assert seen["mean"] == pytest.approx(float(looked_at.mean(dtype=np.float64)), abs=1e-9)
    text = f"x {seen['min']:.4g} to {seen['max']:.4g}, mean {seen['mean']:.4g} (32 items)"
    assert row(ended.out, "input values") == [text]
    assert f"Input values: {text}." in (tmp_path / "outputs/acc_auto/report.html").read_text(encoding="utf-8")
    events = [json.loads(line) for line in (tmp_path / "outputs/acc_auto/events.jsonl").read_text().splitlines()]
    (finished,) = [event for event in events if event["event"] == "JobFinished"]
    assert {key: finished["metrics"][f"input/x/{key}"] for key in ("min", "max", "mean")} == {
        key: seen[key] for key in ("min", "max", "mean")
    }
    assert run(*tiny.options()).status == 0
    assert summary(tmp_path)["inputs"]["x"] == seen  # remembered


@pytest.mark.parametrize("order", [("expect=100", "expect.within=2"), ("expect.within=2", "expect=100")])
def test_expected_figure_lets_the_job_go_on(order: tuple[str, str], tiny: Tiny, run: Command) -> None:
    assert run(*tiny.options(), *order).status == 0


def test_unexpected_figure_is_refused_before_the_work(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run(*tiny.options(), "expect=87.6")
    assert ended.status == 2
    assert "error: expect: the float model's top1 is 100, expected 87.6 within 1 (expect.within). Look at" in ended.err
    for thing in (
        "mean, std and scale (the input 'x' holds -",
        "channels (rgb or bgr)",
        "layout",
        "resize, crop",
        "labels",
    ):
        assert thing in ended.err
    assert "calibrate" not in ended.err and not (tmp_path / "outputs/acc_auto/summary.json").exists()


@pytest.mark.parametrize(("within", "status"), [(12.4, 0), (12.3, 2), (0, 2)])
def test_difference_of_exactly_what_is_allowed_is_allowed(tiny: Tiny, run: Command, within: float, status: int) -> None:
    assert run(*tiny.options(), "expect=87.6", f"expect.within={within}").status == status


def test_labels_that_are_offset_by_one_are_found(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "shifted.npz", x=tiny.x, y=tiny.y + 1)
    keep = tiny.y < 4
    np.savez(tmp_path / "shifted.npz", x=tiny.x[keep], y=tiny.y[keep] + 1)
    ended = run(*tiny.options(dataset__path="shifted.npz"), "expect=99")
    assert ended.status == 2
    assert "top1 is 0, expected 99" in ended.err
    assert "at the labels: with each one smaller by one, 100 % of the answers are right." in ended.err


def test_figure_near_chance_is_a_warning_in_both_modes(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    keep = tiny.y < 4
    np.savez(tmp_path / "shifted.npz", x=tiny.x[keep], y=tiny.y[keep] + 1)
    ended = run(*tiny.options(dataset__path="shifted.npz", target_loss=100))
    assert ended.status == 0
    said = f"the float model's top1 of 0 over {keep.sum()} items is no better than chance (20 with 5 classes)"
    assert f"warning: {said}" in ended.err
    assert said.replace("'", "&#39;") in (tmp_path / "outputs/acc_auto/report.html").read_text(encoding="utf-8")
    assert "no better than chance" not in run(*tiny.options()).err
    line = ["mode=convert_qat", "tracking=none", "evaluation.count=50"]
    digits = run(*line)
    assert digits.status == 0 and "no better than chance" not in digits.err
    ended = run(*line, "dataset.preprocess.mean=300")
    assert ended.status == 0 and "no better than chance (10 with 10 classes)" in ended.err
    assert "(the input 'input' holds -300 to -298, mean" in ended.err


def test_conversion_is_held_against_what_is_expected_too(run: Command, tmp_path: Path) -> None:
    line = ["mode=convert_qat", "tracking=none", "evaluation.count=50"]
    assert run(*line, "expect=98", "expect.within=2.5").status == 0
    ended = run(*line, "expect=50")
    assert ended.status == 2 and "the float model's top1 is" in ended.err


@pytest.mark.parametrize("metric", ["agreement", "kl", "sqnr", "mse"])
def test_figure_against_the_float_model_itself_cannot_be_expected(metric: str, tiny: Tiny, run: Command) -> None:
    ended = run(*tiny.options(metric=metric), "expect=90")
    assert ended.status == 2
    assert f"expect: {metric} holds a model against the float model, so it says nothing of the float model" in ended.err


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("expect=much", "expect.value: expected a number or null, got 'much'."),
        ("expect.within=-1", "expect.within: expected 0 or more, got -1.0."),
        ("expect.withn=1", "expect.withn: no such option"),
        ("expect={value: 90, wthin: 2}", "expect.wthin: no such option. Did you mean expect.within?"),
        ("expect={value: much}", "expect.value: expected a number or null, got 'much'."),
    ],
)
def test_malformed_expectation_is_refused(option: str, says: str, tiny: Tiny, run: Command) -> None:
    ended = run(*tiny.options(), option)
    assert ended.status == 2 and says in ended.err, ended.err


def test_number_alone_is_expected_in_a_file_too(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nexpect: 87.6\n", encoding="utf-8")
    ended: Ended = command("--config-dir", "conf", *tiny.options(), "+experiment=mine", cwd=tmp_path)
    assert ended.status == 2 and "expected 87.6 within 1" in ended.err


# ---------------------------------------------------------------- how many items calibrate


def test_without_a_count_all_of_little_data_calibrates(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run(*tiny.options(calibration__count=None))
    assert ended.status == 0, ended.err
    assert summary(tmp_path)["split"]["calibration"] == 40
    config = json.loads((tmp_path / "outputs/acc_auto/tmp/config.json").read_text(encoding="utf-8"))
    assert config["batch_num"] == 40


def test_count_of_a_configuration_that_is_too_large_is_refused_by_its_name(
    tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    (tmp_path / "given.cfg").write_text("batch_num: 41\n", encoding="utf-8")
    ended = run(*tiny.options(calibration__count=None), "quant_config=given.cfg")
    assert ended.status == 2 and "given.cfg: batch_num: expected 1 to 40 (the dataset's items), got 41." in ended.err
