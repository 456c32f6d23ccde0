"""Wrong input: exit status 2, one message that says what, where, expected and got, and an earlier result left as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from runner.job_folder import read_manifest
from tests.app.conftest import Command, Tiny
from tests.command import command, digests
from tests.data import random_pixels, write_image
from tests.models import conv_gemm, onnx_text, save

Arguments = Callable[[Path, Tiny], list[str]]


@dataclass(frozen=True)
class Case:
    """A wrong command: what makes it, and what its message has to say; ``{tmp}`` is the test's folder."""

    arguments: Arguments
    says: tuple[str, ...]
    mode: str = "acc_auto"


def options(**changed: object) -> Arguments:
    """Return the tiny job with changes."""
    return lambda tmp, tiny: tiny.options(**changed)


def added(*more: str, **changed: object) -> Arguments:
    """Return the tiny job with further arguments."""
    return lambda tmp, tiny: [*tiny.options(**changed), *more]


def model(make: Callable[[Path], Path]) -> Arguments:
    """Return the tiny job on a model made by the test."""
    return lambda tmp, tiny: tiny.options(model__path=make(tmp))


def images(make: Callable[[Path], str]) -> Arguments:
    """Return a job on three images of 32x32 pixels; ``make`` spoils the folder and returns the label file's text."""

    def arguments(tmp: Path, tiny: Tiny) -> list[str]:
        folder = tmp / "photos"
        folder.mkdir()
        for index in range(3):
            write_image(folder / f"{index}.png", random_pixels(32, 32, index))
        (tmp / "labels.txt").write_text(make(folder), encoding="utf-8")
        own = ["dataset=image_folder", f"dataset.images={folder}", f"dataset.labels={tmp / 'labels.txt'}"]
        return [*own, "calibration.count=2", "observer=minmax", "tracking=none"]

    return arguments


def text_file(tmp: Path) -> Path:
    path = tmp / "notes.onnx"
    path.write_text("this is no model\n", encoding="utf-8")
    return path


def cut_off(tmp: Path) -> Path:
    path = tmp / "cut.onnx"
    whole = conv_gemm().SerializeToString()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def without_layer(tmp: Path) -> Path:
    return save(onnx_text("g (float[N,2,6,6] x) => (float[N,2,6,6] y) { y = Relu (x) }"), tmp / "relu.onnx")


def with_nan(tmp: Path) -> Path:
    proto = conv_gemm()
    stored = next(tensor for tensor in proto.graph.initializer if tensor.name == "w2")
    array = numpy_helper.to_array(stored).copy()
    array[0, 0, 0, :2] = np.nan
    stored.CopyFrom(numpy_helper.from_array(array, "w2"))
    return save(proto, tmp / "nan.onnx")


def folder_for_a_model(tmp: Path) -> Path:
    (tmp / "folder.onnx").mkdir()
    return tmp / "folder.onnx"


def unreadable_image(folder: Path) -> str:
    (folder / "1.png").write_bytes(b"no image")
    return "0.png 0\n1.png 1\n2.png 2\n"


def empty_arrays(tmp: Path, tiny: Tiny) -> list[str]:
    np.savez(tmp / "none.npz", x=np.zeros((0, 2, 6, 6), np.float32))
    return tiny.options(dataset__path=tmp / "none.npz")


def empty_folder(tmp: Path, tiny: Tiny) -> list[str]:
    (tmp / "photos").mkdir()
    return ["dataset=image_folder", f"dataset.images={tmp / 'photos'}", "tracking=none"]


def label_too_large(tmp: Path, tiny: Tiny) -> list[str]:
    np.savez(tmp / "labels.npz", x=tiny.x, y=np.where(np.arange(40) == 7, 5, tiny.y))
    return tiny.options(dataset__path=tmp / "labels.npz")


def other_shape(tmp: Path, tiny: Tiny) -> list[str]:
    np.savez(tmp / "wide.npz", x=np.zeros((8, 2, 6, 7), np.float32))
    return tiny.options(dataset__path=tmp / "wide.npz", metric="agreement")


def broken_yaml(tmp: Path, tiny: Tiny) -> list[str]:
    (tmp / "own" / "metric").mkdir(parents=True)
    (tmp / "own" / "metric" / "broken.yaml").write_text("a: [1,\n", encoding="utf-8")
    return ["--config-dir", str(tmp / "own"), *tiny.options(metric="broken")]


KNOWN = (
    "There are budget, cache, calibration, correction, dataset, doctor, download, engine, evaluation, expect, intermediates, "
    "json, keep_intermediates, layers, metric, mode,"
)
CASES = {
    "model missing": Case(
        model(lambda tmp: tmp / "absent.onnx"),
        ("model.path: {tmp}/absent.onnx does not exist", "expected an ONNX file", "Set model.path=FILE.onnx"),
    ),
    "model is a folder": Case(
        model(folder_for_a_model), ("model.path: {tmp}/folder.onnx is a folder", "expected an ONNX file")
    ),
    "model is not ONNX": Case(
        model(text_file), ("model.path: {tmp}/notes.onnx (17 bytes) cannot be read as ONNX", "of another kind", "again")
    ),
    "model is cut off": Case(
        model(cut_off), ("model.path: {tmp}/cut.onnx (", " bytes) cannot be read as ONNX", "truncated", "copy it again")
    ),
    "model without a layer": Case(
        model(without_layer),
        ("model.path: no layer can be quantized", "expected a Conv, ConvTranspose, Gemm or MatMul with constant"),
    ),
    "weights that are NaN": Case(
        model(with_nan),
        ("model.path: layer 'second' has 2 value(s) that are NaN", "in 'w2'", "expected finite", "Export"),
    ),
    "shape does not fit": Case(
        other_shape,
        ("dataset: item wide.npz[", "has shape 2x6x7", "model input 'x' takes 2x6x6", "Set dataset.preprocess"),
    ),
    "label line malformed": Case(
        images(lambda folder: "0.png 0\n\n1.png one\n2.png 2\n"),
        ("dataset.labels: {tmp}/labels.txt:3: expected '<file> <class>'", "got '1.png one'"),
    ),
    "label line without class": Case(
        images(lambda folder: "0.png 0\n1.png\n"), ("labels.txt:2: expected '<file> <class>'", "got '1.png'")
    ),
    "label outside the classes": Case(
        label_too_large,
        (
            "dataset.labels: 1 of 40 items has a class beyond the model's 5 scores: expected 0 to 4, got 0 to 5, such as "
            "labels.npz[7] with 5.",
        ),
    ),
    "listed image missing": Case(
        images(lambda folder: "0.png 0\nabsent.png 1\n"),
        ("dataset.images: 1 of 2 images listed in {tmp}/labels.txt do not exist in {tmp}/photos: absent.png",),
    ),
    "image unreadable": Case(
        images(unreadable_image),
        ("dataset.images: {tmp}/photos/1.png cannot be read as an image: it is of another format",),
    ),
    "no label in the file": Case(
        images(lambda folder: "\n"), ("dataset.labels: {tmp}/labels.txt lists no image", "expected '<file> <class>'")
    ),
    "no array": Case(empty_arrays, ("dataset.path: {tmp}/none.npz: x has shape [0, 2, 6, 6]", "at least one item")),
    "no image": Case(empty_folder, ("dataset.images: {tmp}/photos holds no image", "expected files such as .png")),
    "calibration.count too large": Case(
        options(calibration__count=41),
        ("calibration.count: expected 1 to 40 (the dataset's items), got 41", "Lower it"),
    ),
    "calibration.count zero": Case(options(calibration__count=0), ("calibration.count: expected 1 to 40", "got 0")),
    "evaluation.count too large": Case(
        options(evaluation__count=41), ("evaluation.count: expected 1 to 40 (the dataset's items), got 41",)
    ),
    "target_loss negative": Case(
        options(target_loss=-0.5), ("target_loss: expected 0 or more percentage points", "got -0.5")
    ),
    "target_loss not a number": Case(options(target_loss="nan"), ("target_loss: expected a finite number, got nan.",)),
    "search.confidence of one": Case(
        options(search__confidence=1), ("search.confidence: expected 0.5 or more and less than 1, or null", "got 1.0")
    ),
    "model.path missing": Case(
        options(model__path=None), ("model.path: a value is required", "on the command line: model.path=VALUE")
    ),
    "dataset.path missing": Case(
        options(dataset__path=None), ("dataset.path: a value is required", "dataset.path=VALUE")
    ),
    "dataset.images missing": Case(
        options(dataset="image_folder", dataset__path=None), ("dataset.images: a value is required",)
    ),
    "unknown key": Case(added("target_los=1"), ("target_los: no such option. Did you mean target_loss?", "--cfg job")),
    "unknown key of a section": Case(
        added("calibration.cout=1"), ("calibration.cout: no such option. Did you mean calibration.count?",)
    ),
    "unknown key of a part": Case(added("dataset.pat=1"), ("dataset.pat: no such option. Did you mean dataset.path?",)),
    "unknown key added with +": Case(
        added("+target_lss=1"), ("target_lss: no such option. Did you mean target_loss?", KNOWN)
    ),
    "unknown key forced with ++": Case(added("++shards=1"), (f"shards: no such option. {KNOWN}",)),
    "unknown key of a part with +": Case(
        added("+observer.asymetric=true"),
        ("observer.asymetric: no such option. Did you mean observer.asymmetric?", "observer has asymmetric."),
    ),
    "unknown key of a part without options": Case(
        added("+sensitivity.depth=1"), ("sensitivity.depth: no such option. sensitivity has no options.",)
    ),
    "negative bound of giving back": Case(
        options(strategy__give_back=-1), ("strategy.give_back: expected 0 or more units, or null for all, got -1.",)
    ),
    "known key added with +": Case(added("+seed=1"), ("+seed: the option exists; leave out the +",)),
    "unknown choice": Case(
        added("metric=top9"),
        (
            "metric=top9: no such option. Did you mean metric=top5? "
            "Available: agreement, amct_evaluator, auto, cosine, kl, mae, map, miou, mse, retrieval, sqnr, text, top1, top5.",
        ),
    ),
    "unknown mode": Case(
        lambda tmp, tiny: ["mode=accauto"],
        ("mode=accauto: no such option. Did you mean mode=acc_auto? Available: acc_auto, convert_qat.",),
    ),
    "unknown flag": Case(added("--fast"), ("--fast: no such flag.", "--help")),
    "text for a number": Case(added("seed=many"), ("seed: expected a whole number, got 'many'",)),
    "boolean for a number": Case(added("seed=true"), ("seed: expected a whole number, got True",)),
    "text for a number of a part": Case(
        added("dataset.preprocess.scale=big"), ("dataset.preprocess.scale: expected a number, got 'big'",)
    ),
    "word that is none of the choices": Case(
        added("model.output=scores"), ("model.output: expected auto or logits or probabilities, got 'scores'",)
    ),
    "count of classes that is zero": Case(added("metric=top1", "metric.k=0"), ("metric.k: expected 1 or more, got 0",)),
    "group without a choice": Case(
        added("metric=null"), ("metric: expected the name of an option, got null. Available: agreement,",)
    ),
    "configuration file that is no YAML": Case(
        broken_yaml, ("while parsing a flow node", "{tmp}/own/metric/broken.yaml", "line 2, column 1")
    ),
    "interpolation of nothing": Case(added("seed=${nothing}"), ("seed: ${{nothing}} names no option that is there.",)),
    "pattern that matches no layer": Case(
        added("layers=[{match:secund,quantize:false}]"),
        ("layers[0].match: 'secund' matches none of the 3 layers. Did you mean second?",),
    ),
    "per-layer observer with a wrong option": Case(
        added("layers=[{match:first,observer:{_target_:runner.Hfmg,num_of_bins:7}}]"),
        ("observer.num_of_bins: expected 1024, 2048, 4096 or 8192, got 7.",),
    ),
    "per-layer setting without a match": Case(
        added("layers=[{quantize:false}]"), ("layers[0].match: a value is required",)
    ),
    "per-layer setting with an unknown key": Case(
        added("layers=[{match:first,quantise:false}]"),
        ("layers[0].quantise: no such option. Did you mean layers[0].quantize?",),
    ),
    "skipped layer that does not exist": Case(
        added("skip_layers=[frist]"), ("skip_layers: Layer frist does not exist in the graph. Did you mean first?",)
    ),
    "every layer skipped": Case(
        added("skip_layer_types=[Conv,Gemm]"), ("Except skip_layers, no layer needs to quantize. All 3 layers",)
    ),
    "no input of that kind": Case(
        added("tensor_quantize=[{layer:first,input:0}]"),
        ("tensor_quantize[0]: layer first is of type Conv; expected Add or MaxPool.",),
    ),
    "input of no layer": Case(
        added("tensor_quantize=[{layer:first}]"), ("tensor_quantize[0].input: a value is required",)
    ),
    "no residual add": Case(
        added("tensor_quantize=adds"), ("tensor_quantize: adds: the model has no Add of two computed float32 values",)
    ),
    "tensors neither none nor adds": Case(
        added("tensor_quantize=all"), ("tensor_quantize: expected none or adds or a list, got 'all'.",)
    ),
    "name with a slash": Case(
        options(model__name="a/b"), ("model.name: expected a file name without slashes, got 'a/b'",)
    ),
    "class that cannot be imported": Case(
        added("observer._target_=runner.nowhere.Observer"),
        ("observer._target_: cannot import 'runner.nowhere.Observer'", "expected the import path of a class"),
    ),
    "QAT model in acc_auto": Case(
        lambda tmp, tiny: ["model=digits_qat", "tracking=none"],
        ("is a QuantizeLinear: this is a quantization-aware-trained model", "Run it with mode=convert_qat"),
    ),
    "float model in convert_qat": Case(
        lambda tmp, tiny: ["mode=convert_qat", "model=digits", "tracking=none"],
        ("model.path: ", "QuantizeLinear", "mode=acc_auto"),
        mode="convert_qat",
    ),
    "target_loss in convert_qat": Case(
        lambda tmp, tiny: ["mode=convert_qat", "target_loss=0.2", "tracking=none"],
        ("target_loss: no such option of mode=convert_qat. It belongs to mode=acc_auto; leave it out",),
        mode="convert_qat",
    ),
    "target_loss in convert_qat with +": Case(
        lambda tmp, tiny: ["mode=convert_qat", "+target_loss=0.2", "tracking=none"],
        ("target_loss: no such option of mode=convert_qat. It belongs to mode=acc_auto; leave it out",),
        mode="convert_qat",
    ),
    "image number outside the data": Case(
        lambda tmp, tiny: ["mode=convert_qat", "image=700", "tracking=none"],
        ("image: expected an item number from 0 to 699, or a name, got 700",),
        mode="convert_qat",
    ),
}


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Path:
    """A root of outputs with a finished job of either mode."""
    root = tmp_path_factory.mktemp("earlier")
    first = command(*tiny.options(), cwd=root)
    second = command("mode=convert_qat", "tracking=none", "evaluation.count=4", cwd=root)
    assert (first.status, second.status) == (0, 0), first.err + second.err
    return root / "outputs"


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_refused_with_a_message_and_leaves_the_earlier_result(
    name: str, tmp_path: Path, tiny: Tiny, run: Command, earlier: Path
) -> None:
    case = CASES[name]
    outputs = tmp_path / "outputs"
    shutil.copytree(earlier, outputs)
    before = digests(outputs)
    ended = run(*case.arguments(tmp_path, tiny))
    for part in case.says:
        assert part.format(tmp=tmp_path) in ended.err, ended.err
    assert ended.status == 2
    assert ended.out == ""
    assert len([line for line in ended.err.splitlines() if "error:" in line]) == 1, ended.err
    assert "Traceback" not in ended.err
    assert digests(outputs) == before
    manifest = read_manifest(outputs / case.mode)
    assert manifest
    assert {key: before[f"{case.mode}/{key}"] for key in manifest} == manifest


def test_wrong_input_writes_nothing_where_there_was_nothing(tmp_path: Path, tiny: Tiny, run: Command) -> None:
    assert run(*tiny.options(model__path=with_nan(tmp_path))).status == 2
    assert digests(tmp_path / "outputs") == {}


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_output_folder_that_cannot_be_made_is_named(below: str, tmp_path: Path, tiny: Tiny, run: Command) -> None:
    (tmp_path / "taken").write_text("a file\n", encoding="utf-8")
    ended = run(*tiny.options(paths__output=f"taken{below}"))
    assert ended.status == 2
    assert f"error: paths.output: {tmp_path}/taken{below}/acc_auto cannot be written: Not a directory." in ended.err
    assert "Set paths.output to a folder that can." in ended.err
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "a file\n"


@pytest.mark.parametrize("taken", ["acc_auto", "acc_auto/amct_log", "acc_auto/tmp"])
def test_file_that_stands_where_a_folder_of_the_job_belongs_is_named(
    taken: str, tmp_path: Path, tiny: Tiny, run: Command
) -> None:
    path = tmp_path / "outputs" / taken
    path.parent.mkdir(parents=True)
    path.write_text("a file\n", encoding="utf-8")
    ended = run(*tiny.options())
    assert ended.status == 2
    assert f"error: paths.output: {path}" in ended.err
    assert "cannot be written: " in ended.err
    assert path.read_text(encoding="utf-8") == "a file\n"
    assert not (tmp_path / "outputs" / "acc_auto" / "manifest.json").exists()


def test_images_that_do_not_fit_the_model_are_named_with_both_shapes(tmp_path: Path, tiny: Tiny, run: Command) -> None:
    arguments = images(lambda folder: "0.png 0\n1.png 1\n2.png 2\n")(tmp_path, tiny)
    ended = run(*arguments, "dataset.preprocess.crop=28")
    assert ended.status == 2
    assert "dataset: item 0.png has shape 3x28x28, but the model input 'input' takes 3x32x32 an item." in ended.err


def test_external_weights_that_are_missing_are_named(tmp_path: Path, tiny: Tiny, run: Command) -> None:
    onnx.save_model(
        conv_gemm(), tmp_path / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    (tmp_path / "weights.bin").unlink()
    ended = run(*tiny.options(model__path=tmp_path / "net.onnx"))
    assert ended.status == 2
    assert f"model.path: {tmp_path}/net.onnx keeps the weight" in ended.err
    assert f"{tmp_path}/weights.bin, which does not exist. Copy the external data file beside the model." in ended.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["model=file", "model.path=absent.onnx"], "error: model.path: absent.onnx does not exist"),
        (["target_los=1"], "error: target_los: no such option. Did you mean target_loss?"),
        (["mode=convert_qat", "target_loss=1"], "error: target_loss: no such option of mode=convert_qat."),
        (["--fast"], "error: --fast: no such flag. `python -m runner --help` lists flags and options."),
    ],
)
def test_process_leaves_with_2_and_one_message(arguments: list[str], says: str, tmp_path: Path) -> None:
    ended = command(*arguments, "tracking=none" if "--fast" not in arguments else "seed=1", cwd=tmp_path)
    assert ended.status == 2
    assert says in ended.err
    assert ended.out == ""
