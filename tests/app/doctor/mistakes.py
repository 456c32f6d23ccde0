"""Mistakes that newcomers make, each as the command that makes it; files are made in the directory of the command."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import helper
from PIL import Image

from runner.app.places import shipped
from tests.app.conftest import Tiny

Make = Callable[[Path, Tiny], list[str]]


@dataclass(frozen=True)
class Mistake:
    """A mistake and what is answered.

    Attributes:
        make: makes files, and the command line.
        says: what both the look at the job and the job itself say.
        doctor: what the former says in its place.
        plain: what the latter does; "" where it runs without a word.
        level: of the finding.
    """

    make: Make
    says: str = ""
    doctor: str | None = None
    plain: str | None = None
    level: Literal["fault", "warning"] = "fault"


EVAL = Path(shipped("data/digits/eval"))


def option(**changes: object) -> Make:
    """Return the tiny job with other options."""
    return lambda tmp, tiny: tiny.options(**changes)


def added(*arguments: str) -> Make:
    """Return the tiny job with more arguments."""
    return lambda tmp, tiny: [*tiny.options(), *arguments]


def model_of(name: str, content: bytes) -> Make:
    """Return the tiny job on a file that is no ONNX model."""

    def made(tmp: Path, tiny: Tiny) -> list[str]:
        (tmp / name).write_bytes(content)
        return tiny.options(model__path=name)

    return made


def torch_file(tmp: Path, tiny: Tiny) -> list[str]:
    with zipfile.ZipFile(tmp / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02.")
        archive.writestr("net/version", "3\n")
    return tiny.options(model__path="net.pt")


def truncated(tmp: Path, tiny: Tiny) -> list[str]:
    (tmp / "cut.onnx").write_bytes(tiny.model.read_bytes()[:-500])
    return tiny.options(model__path="cut.onnx")


def without_external_data(tmp: Path, tiny: Tiny) -> list[str]:
    model = onnx.load(tiny.model)
    onnx.save(model, tmp / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    (tmp / "net.data").unlink()
    return tiny.options(model__path="net.onnx")


def quantized_to_acc_auto(tmp: Path, tiny: Tiny) -> list[str]:
    return ["tracking=none", "model=file", f"model.path={shipped('model/mobilenet_v2_digits_qat.onnx')}"]


def float_to_convert_qat(tmp: Path, tiny: Tiny) -> list[str]:
    return [
        "tracking=none",
        "mode=convert_qat",
        "model=file",
        f"model.path={shipped('model/mobilenet_v2_digits.onnx')}",
    ]


def at_opset(opset: int) -> Make:
    """Return the tiny job on a Conv that says another opset."""

    def made(tmp: Path, tiny: Tiny) -> list[str]:
        model = onnx.load(tiny.model)
        model.opset_import[0].version = opset
        (tmp / "net.onnx").write_bytes(model.SerializeToString())
        return tiny.options(model__path="net.onnx")

    return made


def unread_by_atc(tmp: Path, tiny: Tiny) -> list[str]:
    model = onnx.load(tiny.model)
    last = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before" if name == last else name for name in node.output]
    model.graph.node.append(helper.make_node("QuickGelu", ["before"], [last], name="gelu", domain="com.microsoft"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp / "net.onnx")
    return tiny.options(model__path="net.onnx")


def of_any_size(tmp: Path, tiny: Tiny) -> list[str]:
    model = onnx.load(tiny.model)
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "side"
    onnx.save(model, tmp / "net.onnx")
    np.savez(tmp / "data.npz", x=np.zeros((8, 2, 1, 1), np.float32), y=np.zeros(8, int))
    return tiny.options(model__path="net.onnx", dataset__path="data.npz")


def arrays(**changes: object) -> Make:
    """Return the tiny job on other arrays; a value is an array, or makes one of the job's."""

    def made(tmp: Path, tiny: Tiny) -> list[str]:
        values: dict[str, np.ndarray] = {"x": tiny.x, "y": tiny.y}
        for key, change in changes.items():
            if change is None:
                del values[key]
            else:
                values[key] = change(tiny) if callable(change) else np.asarray(change)
        np.savez(tmp / "data.npz", **values)
        return tiny.options(dataset__path="data.npz")

    return made


def photos(tmp: Path, labels: str | None, *arguments: str, count: int = 20) -> list[str]:
    """Return a job of the shipped network on some of its photos."""
    folder = tmp / "photos"
    folder.mkdir()
    listed = (EVAL / "image_label.txt").read_text(encoding="utf-8").splitlines()
    chosen = [line.split() for line in listed[:: len(listed) // count][:count]]
    for name, _ in chosen:
        (folder / name).write_bytes((EVAL / name).read_bytes())
    text = "".join(f"{name} {label}\n" for name, label in chosen) if labels is None else labels
    (tmp / "labels.txt").write_text(text, encoding="utf-8")
    return [
        *("tracking=none", "dataset=image_folder", "dataset.images=photos", "dataset.labels=labels.txt"),
        *("calibration.count=8", "target_loss=20", *arguments),
    ]


def wrong_preset(tmp: Path, tiny: Tiny) -> list[str]:
    return photos(tmp, None, "dataset/preprocess=raw", count=40)


def photos_of_another_size(tmp: Path, tiny: Tiny) -> list[str]:
    made = photos(tmp, None, "dataset/preprocess=tf")
    for path in (tmp / "photos").iterdir():
        Image.open(path).resize((48, 40)).save(path)
    return made


def without_label_file(tmp: Path, tiny: Tiny) -> list[str]:
    return [*photos(tmp, None, "dataset/preprocess=tf"), "dataset.labels=lables.txt"]


def labels_of_other_files(tmp: Path, tiny: Tiny) -> list[str]:
    return photos(tmp, "one.jpg 0\ntwo.jpg 1\n", "dataset/preprocess=tf")


def labels_by_name(tmp: Path, tiny: Tiny) -> list[str]:
    return photos(tmp, "digit_0000_0.png zero\n", "dataset/preprocess=tf")


def without_labels(tmp: Path, tiny: Tiny) -> list[str]:
    return [*photos(tmp, None, "dataset/preprocess=tf", "metric=top1"), "dataset.labels=null"]


def labels_from_one(tmp: Path, tiny: Tiny) -> list[str]:
    made = photos(tmp, None, "dataset/preprocess=tf")
    lines = [line.split() for line in (tmp / "labels.txt").read_text(encoding="utf-8").splitlines()]
    (tmp / "labels.txt").write_text("".join(f"{name} {int(label) + 1}\n" for name, label in lines), encoding="utf-8")
    return made


def empty_folder(tmp: Path, tiny: Tiny) -> list[str]:
    (tmp / "empty").mkdir()
    return ["tracking=none", "dataset=image_folder", "dataset.images=empty"]


def folder_of_classes(tmp: Path, tiny: Tiny) -> list[str]:
    (tmp / "tree" / "cat").mkdir(parents=True)
    (tmp / "tree" / "cat" / "a.png").write_bytes((EVAL / "digit_0000_0.png").read_bytes())
    return ["tracking=none", "dataset=image_folder", "dataset.images=tree"]


def broken_photo(tmp: Path, tiny: Tiny) -> list[str]:
    made = photos(tmp, None, "dataset/preprocess=tf")
    path = sorted((tmp / "photos").iterdir())[3]
    path.write_bytes(path.read_bytes()[:60])
    return made


def a_file_for_output(tmp: Path, tiny: Tiny) -> list[str]:
    (tmp / "taken").write_text("a file", encoding="utf-8")
    return tiny.options(paths__output="taken")


def not_what_it_reaches(tmp: Path, tiny: Tiny) -> list[str]:
    return photos(tmp, None, "dataset/preprocess=tf", "expect=71.9")


def labels_text(text: str) -> Make:
    """Return the photos with other labels."""
    return lambda tmp, tiny: photos(tmp, text, "dataset/preprocess=tf")


def one_gray_level(tmp: Path, tiny: Tiny) -> list[str]:
    return photos(tmp, None, "dataset/preprocess=raw", "dataset.preprocess.scale=0.0000001", count=100)


def spaced(tmp: Path, tiny: Tiny) -> list[str]:
    return [*tiny.options(), "target_loss", "=", "0.5"]


_ONNX = "expected an ONNX file"
_TOO_SMALL = (
    "40 evaluation items cannot resolve target_loss=0.1: one item is 2.5 percentage points, so the target forgives no net loss "
    "at all; 1001 items or more would."
)
_OF_THE_LABELS = (
    "dataset.labels: {} items have a class beyond the model's {} scores: expected 0 to {}, got 1 to {}, such as"
)
_FROM_ONE = "No item has class 0: do the labels count from 1? Then subtract 1 from each."

MISTAKES: dict[str, Mistake] = {
    "model that is not there": Mistake(
        option(model__path="modle.onnx"), f"model.path: modle.onnx does not exist; {_ONNX}. Set model.path=FILE.onnx."
    ),
    "model of nearly that name": Mistake(
        lambda tmp, tiny: tiny.options(model__path=tiny.folder / "nett.onnx"),
        "nett.onnx does not exist (did you mean {tiny}/net.onnx?); expected an ONNX file.",
    ),
    "folder for a model": Mistake(
        lambda tmp, tiny: tiny.options(model__path=tiny.folder), f"is a folder; {_ONNX}. Set model.path=FILE.onnx."
    ),
    "PyTorch's file for a model": Mistake(
        torch_file,
        f"model.path: net.pt is a file of PyTorch's; {_ONNX}. To have one, load it in PyTorch and export it: "
        f"torch.onnx.export(",
    ),
    "TensorFlow's file for a model": Mistake(
        model_of("frozen.pb", b"\n\x10\n\x05input\x12\x0bPlaceholder"),
        f"model.path: frozen.pb is a file of TensorFlow's; {_ONNX}. To have one, convert it with tf2onnx: python -m "
        "tf2onnx.convert --graphdef frozen.pb",
    ),
    "TFLite's file for a model": Mistake(
        model_of("net.onnx", b"\x1c\0\0\0TFL3" + bytes(60)),
        f"model.path: net.onnx is a file of TensorFlow Lite's; {_ONNX}.",
    ),
    "model that is cut off": Mistake(truncated, "The file is truncated or of another kind; export or copy it again."),
    "model without its external data": Mistake(
        without_external_data,
        "model.path: net.onnx keeps the weight 'w1' in ./net.data, which does not exist. Copy the external data file "
        "beside the model.",
    ),
    "quantized model to acc_auto": Mistake(
        quantized_to_acc_auto, "this is a quantization-aware-trained model. Run it with mode=convert_qat."
    ),
    "float model to convert_qat": Mistake(
        float_to_convert_qat, "it is no quantization-aware-trained model; use mode=acc_auto."
    ),
    "opset too old": Mistake(at_opset(3), "model.path: opset 3 cannot be raised to 13, which int8 needs:"),
    "opset too new": Mistake(at_opset(99), "model.path: the model is at opset 99, which onnxruntime"),
    "operator that ATC does not read": Mistake(
        unread_by_atc,
        "gelu: expected the default domain, got com.microsoft, of its QuickGelu; export the model again in standard operators",
        level="warning",
    ),
    "items of a size that a dynamic model does not take": Mistake(
        of_any_size, "It leaves sizes open and takes some only: give items of the size it was made for."
    ),
    "channels last": Mistake(
        arrays(x=lambda tiny: np.moveaxis(tiny.x, 1, -1)),
        "dataset: item data.npz[0] has shape 6x6x2, but the model input 'x' takes 2x6x6 an item. The channels are last: set "
        "dataset.preprocess.layout=nhwc.",
    ),
    "array under another name": Mistake(
        arrays(x=None, images=lambda tiny: tiny.x),
        "dataset.path: data.npz has no array 'x'; it holds y, images. Store the items as 'x', or name their array: "
        "dataset.inputs={{MODEL_INPUT: ARRAY}}.",
    ),
    "model input of another name": Mistake(
        added("dataset.inputs={data: x}"),
        "dataset: no array for the model input 'x'; the dataset has data. Set dataset.inputs to name one",
    ),
    "labels that begin at 1": Mistake(
        arrays(y=lambda tiny: tiny.y + 1),
        f"{_OF_THE_LABELS.format('5 of 40', 5, 4, 5)} data.npz[14] with 5. {_FROM_ONE}",
    ),
    "labels of photos that begin at 1": Mistake(
        labels_from_one, f"{_OF_THE_LABELS.format('4 of 20', 10, 9, 10)} digit_0348_9.png with 10. {_FROM_ONE}"
    ),
    "one label too large": Mistake(
        arrays(y=lambda tiny: np.where(np.arange(40) == 7, 9, tiny.y)),
        "dataset.labels: 1 of 40 items has a class beyond the model's 5 scores: expected 0 to 4, got 0 to 9, such as "
        "data.npz[7] with 9. Classes are numbered from 0, in the order of the model's scores; are the labels "
        "those of this model?",
    ),
    "label file that is not there": Mistake(
        without_label_file,
        "dataset.labels: lables.txt does not exist (did you mean labels.txt?); expected a text file with "
        "'<file> <class>' a line.",
    ),
    "labels of other files": Mistake(
        labels_text("one.jpg 0\ntwo.jpg 1\n"),
        "dataset.images: 2 of 2 images listed in labels.txt do not exist in photos: one.jpg, two.jpg. Set "
        "dataset.images to the folder that the listed names are below.",
    ),
    "labels by name": Mistake(
        labels_text("digit_0000_0.png zero\n"),
        "dataset.labels: labels.txt:1: expected '<file> <class>' with a class number, got 'digit_0000_0.png zero'. Number the "
        "classes from 0, in the order of the model's scores.",
    ),
    "no labels": Mistake(
        without_labels,
        doctor="dataset.labels: no item has a label, and top1 needs one for each. Set dataset.labels=FILE, or metric=agreement",
        plain="metric: top1 needs a label for every item, but the dataset has none. Set dataset.labels=FILE, or choose "
        "metric=agreement, kl, sqnr or mse.",
    ),
    "wrong preset": Mistake(
        wrong_preset,
        doctor="top1 60 over 40 items; better on the same items: 100 with dataset/preprocess=tf",
        plain="",
        level="warning",
    ),
    "pixels scaled away": Mistake(
        one_gray_level,
        doctor="is no better than chance (10 with 10 classes); better on the same items: 98.44 with dataset/preprocess=tf",
        plain="is no better than chance (10 with 10 classes), so what is lost against it says little. Look at how the data "
        "reaches the model: dataset.preprocess.mean, std and scale (the input 'input' holds 0 to 2.55e-05",
        level="warning",
    ),
    "photos of another size": Mistake(
        photos_of_another_size,
        "dataset: item digit_0000_0.png has shape 3x40x48, but the model input 'input' takes 3x32x32 an item. Of photos set "
        "dataset.preprocess.resize=[32,32], or a crop or letterbox of that size.",
    ),
    "empty folder": Mistake(
        empty_folder,
        "dataset.images: empty holds no image; expected files such as .png or .jpg. Set dataset.images to the folder "
        "that holds them.",
    ),
    "folder of classes": Mistake(folder_of_classes, "Where its folders hold images, one a class: dataset=class_tree."),
    "broken photo": Mistake(
        broken_photo,
        "dataset.images: photos/digit_0271_5.png cannot be read as an image: image file is truncated. Copy it again, "
        "or leave it out.",
    ),
    "key that is misspelled": Mistake(added("target_los=0.5"), "target_los: no such option. Did you mean target_loss?"),
    "option of a group that is misspelled": Mistake(
        added("observer=min_max"), "observer=min_max: no such option. Did you mean observer=minmax?"
    ),
    "spaces around =": Mistake(
        spaced, "target_loss = 0.5: an option is KEY=VALUE in one word, without spaces. Type target_loss=0.5."
    ),
    "model as a word": Mistake(
        lambda tmp, tiny: [str(tiny.model)],
        "options are given as KEY=VALUE. For a model of your own type model=file model.path={tiny}/net.onnx.",
    ),
    "path for a group": Mistake(
        lambda tmp, tiny: [f"model={tiny.model}"],
        "no such option; model chooses a kind. For a file or folder of your own type model=file model.path={tiny}/net.onnx.",
    ),
    "percent sign": Mistake(
        option(target_loss="0.5%"),
        "target_loss: expected a number, got '0.5%'. Leave out the sign: target_loss=0.5.",
    ),
    "negative target": Mistake(
        option(target_loss=-0.5),
        "target_loss: expected 0 or more percentage points (a finite number, the loss must stay below it), got -0.5.",
    ),
    "target too small for so many items": Mistake(option(target_loss=0.1), _TOO_SMALL, level="warning"),
    "more calibration items than there are": Mistake(
        option(calibration__count=500),
        "calibration.count: expected 1 to 40 (the dataset's items), got 500. Lower it or name more data.",
    ),
    "calibration on what is evaluated": Mistake(
        option(),
        doctor="6 of 6 calibration items are evaluated on too. split.disjoint=true keeps them apart, or name other data with "
        "calibration.dataset.",
        plain="6 of 6 calibration items are evaluation items too; set split.disjoint=true or name other data with "
        "calibration.dataset for a figure that calibration has not seen.",
        level="warning",
    ),
    "path with a comma": Mistake(
        added("record=a,b.txt"),
        "record: a,b.txt are several values. -m in front of the options runs a job for each; one value with commas is quoted, "
        "'record=\"a,b.txt\"'",
    ),
    "path of Windows": Mistake(
        option(model__path="C:\\models\\net.onnx"),
        "model.path: C:\\models\\net.onnx does not exist (folders are parted by / here); expected an ONNX file.",
    ),
    "layer that is not there": Mistake(
        added("skip_layers=[secnd]"), "skip_layers: Layer secnd does not exist in the graph. Did you mean second?"
    ),
    "metric of another task": Mistake(
        option(metric="map"),
        "metric: map expected boxes (dataset=coco or dataset=yolo); data.npz[0] has a class. Name other data, or "
        "choose a metric that needs no truth: agreement, sqnr or mse.",
    ),
    "file in the place of the output folder": Mistake(
        a_file_for_output,
        doctor="/taken cannot be written, and {tmp}/taken/acc_auto is to be made there. Set paths.output to a folder that can.",
        plain="paths.output: {tmp}/taken/acc_auto cannot be written: Not a directory. Set paths.output to a folder that can.",
    ),
    "MLflow server that does not run": Mistake(
        option(tracking="mlflow", tracking__uri="http://127.0.0.1:9"),
        "tracking.uri: nothing answers at http://127.0.0.1:9 (Connection refused), so the run would not be in MLflow. Start "
        "the server, or set tracking=none",
        level="warning",
    ),
    "launcher that is not installed": Mistake(
        lambda tmp, tiny: ["-m", *tiny.options(target_loss="80,90"), "hydra/launcher=joblib"],
        "hydra/launcher=joblib: this launcher is not installed. Install the extra that brings it: pip install "
        "'onnx-quant-runner[parallel]'.",
    ),
    "Ray that is not installed": Mistake(
        option(engine="ray"),
        "engine=ray: Ray is not installed. Install the extra: pip install 'onnx-quant-runner[ray]'",
    ),
    "another model than expected": Mistake(
        not_what_it_reaches,
        "expect: the float model's top1 is 95, expected 71.9 within 1 (expect.within). Look at how the data",
    ),
}
