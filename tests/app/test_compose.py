"""Every option of every group composes and can be built; presets yield to single options."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from PIL import Image

from runner.app.options import AccAutoJob, ConvertQatJob, Job
from runner.app.parsing import deciding, parse_job
from runner.app.places import register_resolvers, shipped
from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.calibration.observer import Observer
from runner.calibration.percentile import Percentile
from runner.correction.options import Correction
from runner.dataset.image_folder import ImageFolder
from runner.dataset.npz import NpzDataset
from runner.dataset.preprocess import ArrayPreprocess, ImagePreprocess
from runner.errors import ConfigError
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.modes.tensor_settings import TensorRule
from runner.search.binary import Binary
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.pareto import Pareto
from runner.search.sensitivity import Cosine, MeanSquaredError, SignalToNoise
from runner.tasks.of_task import OfTask
from tests.app.conftest import Tiny
from tests.data import random_pixels, write_image

CONF = Path(__file__).resolve().parents[2] / "conf"
EXPERIMENTS = Path(__file__).resolve().parents[1] / "conf"
OPTIONS = [f"{path.parent.name}={path.stem}" for path in sorted(CONF.glob("*/*.yaml"))]


FAST = Correction("isolated", repair=True, pixels=True, balance="sparing")
BEST = Correction(
    "sequential",
    scale=True,
    rounding="compensated",
    range="output",
    pixels=True,
    equalize=True,
    balance="sparing",
)
OF_BOTH_MODES = ("model", "dataset", "postprocess", "tracking")


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def composed(*overrides: str) -> dict[str, Any]:
    """Return the plain configuration of a command line."""
    register_resolvers()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return plain


def job(*overrides: str) -> Job:
    """Return the checked job of a command line."""
    return parse_job(composed(*overrides))


def needed(option: str, tiny: Tiny) -> list[str]:
    """Return the values that an option requires."""
    digits = shipped("data/digits/eval")
    sample = [f"dataset.images={digits}", f"dataset.labels={digits}/image_label.txt"]
    return {
        "dataset=imagenet_sample": sample,
        "dataset=classification_jpg": [f"dataset.images={digits}/digit_0000_0.png"],
        "model=file": [f"model.path={tiny.model}"],
        "metric=amct_evaluator": ["metric.evaluator=my_module.MyEvaluator"],
        "dataset=npz": [f"dataset.path={tiny.data}"],
        "dataset=npy": [f"dataset.path={tiny.folder}/x.npy", f"dataset.labels={tiny.folder}/y.npy"],
        "dataset=bin": [f"dataset.data_dir={tiny.folder}/bin", "dataset.input_shape='x:20,2,6,6'"],
        "dataset=parquet": [f"dataset.path={tiny.folder}/photos.parquet"],
        "dataset=class_tree": [f"dataset.images={shipped('data/digits')}"],
        "dataset=image_folder": [f"dataset.images={digits}", f"dataset.labels={digits}/image_label.txt"],
        "dataset=coco": [f"dataset.images={tiny.folder}/photos", f"dataset.annotations={tiny.folder}/boxes.json"],
        "dataset=yolo": [f"dataset.images={tiny.folder}/photos", f"dataset.labels={tiny.folder}/boxes"],
        "dataset=masks": [f"dataset.images={tiny.folder}/photos", f"dataset.masks={tiny.folder}/masks"],
        "dataset=text_lines": [f"dataset.images={tiny.folder}/photos", f"dataset.labels={tiny.folder}/lines.txt"],
    }.get(option, [])


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_builds(option: str, tiny: Tiny) -> None:
    group = option.partition("=")[0]
    override = f"+{option}" if group in ("sweep", "experiment", "hparams_search") else option
    built = job(override, *needed(option, tiny))
    assert built.mode == (option.partition("=")[2] if group == "mode" else "acc_auto")


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.partition("=")[0] in OF_BOTH_MODES])
def test_options_of_both_modes_build_in_convert_qat(option: str, tiny: Tiny) -> None:
    assert isinstance(job("mode=convert_qat", option, *needed(option, tiny)), ConvertQatJob)


def test_defaults_are_the_shipped_model_on_the_shipped_digits() -> None:
    built = job()
    assert isinstance(built, AccAutoJob)
    assert (built.target_loss, built.seed, built.calibration.count, built.evaluation.count) == (0.5, 0, None, None)
    assert (built.metric, built.observer, built.sensitivity, built.strategy) == (OfTask(), Ifmr(), EndToEnd(), Greedy())
    assert built.correction == FAST
    assert deciding(built) == TopK()
    assert isinstance(built.dataset, ImageFolder)
    assert isinstance(built.calibration.dataset, ImageFolder)
    assert (len(built.dataset), len(built.calibration.dataset)) == (700, 100)
    assert built.model.path == shipped("model/mobilenet_v2_digits.onnx")
    assert (built.tracking.name, built.tracking.uri, built.paths.output) == ("mlflow", None, "outputs")


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("metric=auto", OfTask()),
        ("metric=top1", TopK(1)),
        ("metric=top5", TopK(5)),
        ("metric=agreement", Agreement(20.0)),
        ("metric=kl", Kl()),
        ("metric=mse", Mse()),
        ("metric=sqnr", Sqnr(60.0)),
        ("observer=ifmr", Ifmr()),
        ("observer=hfmg", Hfmg()),
        ("observer=minmax", MinMax()),
        ("observer=percentile", Percentile()),
        ("sensitivity=cosine", Cosine()),
        ("sensitivity=mse", MeanSquaredError()),
        ("sensitivity=sqnr", SignalToNoise()),
        ("sensitivity=end_to_end", EndToEnd()),
        ("strategy=binary", Binary()),
        ("strategy=linear", Linear()),
        ("strategy=greedy", Greedy()),
        ("strategy=pareto", Pareto()),
    ],
)
def test_option_makes_the_class_with_the_classs_own_defaults(override: str, part: object) -> None:
    assert getattr(job(override), override.partition("=")[0]) == part


def test_configured_values_of_preprocessing_are_the_classes_own_defaults(tiny: Tiny) -> None:
    images, arrays = (job(o, *needed(o, tiny)).dataset for o in ("dataset=image_folder", "dataset=npz"))
    assert isinstance(images, ImageFolder)
    assert isinstance(arrays, NpzDataset)
    assert (images.preprocess, arrays.preprocess) == (ImagePreprocess(), ArrayPreprocess())


@pytest.mark.parametrize("order", [("quant=amct", "observer=minmax"), ("observer=minmax", "quant=amct")])
def test_single_option_beside_a_preset_wins(order: tuple[str, str]) -> None:
    built = job(*order)
    assert isinstance(built, AccAutoJob)
    assert (built.observer, built.sensitivity, built.strategy) == (MinMax(), Cosine(), Binary())


@pytest.mark.parametrize(
    ("preset", "observer", "correction"),
    [
        ("amct", Ifmr(), Correction()),
        ("fast", Ifmr(), FAST),
        ("best", Ifmr(), BEST),
    ],
)
def test_presets_choose_observer_and_corrections(preset: str, observer: Observer, correction: Correction) -> None:
    built = job(f"quant={preset}")
    assert isinstance(built, AccAutoJob)
    assert (built.observer, built.correction) == (observer, correction)


def test_single_correction_beside_a_preset_wins() -> None:
    built = job("quant=best", "correction.rounding=nearest")
    assert isinstance(built, AccAutoJob)
    assert built.correction == Correction(
        "sequential", scale=True, range="output", pixels=True, equalize=True, balance="sparing"
    )


def test_values_of_the_decisions_can_be_overridden(tiny: Tiny) -> None:
    built = job(
        *["model=file", f"model.path={tiny.model}", "model.name=net", "model.output=logits", "dataset=image_folder"],
        *needed("dataset=image_folder", tiny),
        *["dataset.preprocess.resize=[40,36]", "dataset.preprocess.crop=32", "dataset.preprocess.channel_order=bgr"],
        *["dataset.preprocess.scale=0.5", "dataset.preprocess.mean=[1,2,3]", "dataset.preprocess.std=2"],
        *["calibration.count=5", "evaluation.count=7", "target_loss=0.2", "metric.output=logits", "seed=3"],
        *["paths.output=elsewhere", "tracking.experiment=mine", "engine.callers=1", "observer.asymmetric=false"],
        "tensor_quantize=[{layer:add_3,input:1}]",
    )
    assert isinstance(built, AccAutoJob)
    assert isinstance(built.dataset, ImageFolder)
    assert built.dataset.preprocess == ImagePreprocess([40, 36], 32, "bgr", scale=0.5, mean=[1.0, 2.0, 3.0], std=2.0)
    assert (built.model.name, built.model.output, built.metric) == ("net", "logits", OfTask("logits"))
    assert (built.calibration.count, built.evaluation.count, built.target_loss, built.seed) == (5, 7, 0.2, 3)
    assert (built.paths.output, built.tracking.experiment, built.engine.callers) == ("elsewhere", "mine", 1)
    assert deciding(built) == TopK(1, "logits")
    assert built.observer == Ifmr(asymmetric=False)
    assert built.tensor_quantize == [TensorRule("add_3", 1)]


def test_own_data_is_not_calibrated_on_the_shipped_digits(tiny: Tiny) -> None:
    for option in ("dataset=npz", "dataset=image_folder"):
        built = job(option, *needed(option, tiny))
        assert isinstance(built, AccAutoJob)
        assert built.calibration.dataset is None


@pytest.mark.parametrize("mode", ["acc_auto", "convert_qat"])
def test_data_can_be_a_class_alone(mode: str, tiny: Tiny) -> None:
    named = ["~dataset", "+dataset._target_=runner.NpzDataset", f"+dataset.path={tiny.data}"]
    built = job(f"mode={mode}", *named)
    assert isinstance(built.dataset, NpzDataset)
    assert not isinstance(built, AccAutoJob) or built.calibration.dataset is None


def test_other_calibration_data_can_be_named(tiny: Tiny) -> None:
    named = ["+calibration.dataset._target_=runner.NpzDataset", f"+calibration.dataset.path={tiny.data}"]
    built = job("dataset=npz", f"dataset.path={tiny.data}", *named)
    assert isinstance(built, AccAutoJob)
    assert isinstance(built.calibration.dataset, NpzDataset)


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("target_loss", "target_loss", None),
        ("observers", "observer", "observer"),
        ("presets", "quant", "quant"),
        ("strategies", "strategy", "strategy"),
    ],
)
def test_named_sweep_goes_through_every_option_of_its_group(name: str, key: str, values: str | None) -> None:
    register_resolvers()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        config = compose("config", [f"+sweep={name}"], return_hydra_config=True)
    assert config.hydra.mode.name == "MULTIRUN"
    folder = Path(shipped("conf")) / str(values)
    params = dict(config.hydra.sweeper.params)
    swept = params.pop(key).split(",")
    assert sorted(swept) == (
        ["0.1", "0.2", "0.5", "1.0"] if values is None else sorted(path.stem for path in folder.glob("*.yaml"))
    )
    assert params == {}


@pytest.mark.parametrize("name", sorted(path.stem for path in (EXPERIMENTS / "experiment" / "zoo").glob("*.yaml")))
def test_experiment_on_the_zoo_composes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_ZOO", "/zoo")
    config = composed(f"hydra.searchpath=[file://{EXPERIMENTS}]", f"+experiment=zoo/{name}", "seed=4")
    assert (config["model"]["name"], config["seed"]) == (name, 4)
    assert config["model"]["path"].startswith("/zoo/models/")
    assert (config["mode"] == "convert_qat") == (name in ("torchvision_qat", "tf1_qat", "kws_qdq"))
    assert ("target_loss" in config) == (config["mode"] == "acc_auto")
    where = config["dataset"].get("images") or config["dataset"]["path"]
    assert where.startswith("/zoo/")


def test_command_line_beats_an_experiment() -> None:
    search = f"hydra.searchpath=[file://{EXPERIMENTS}]"
    config = composed(
        search, "+experiment=zoo/resnet20", "target_loss=7", "observer=minmax", "dataset.preprocess.scale=2"
    )
    assert (config["target_loss"], config["dataset"]["preprocess"]["scale"]) == (7, 2)
    assert config["observer"]["_target_"].endswith("MinMax")


# What they take is looked at where it is used: a class's arguments may be anything, an address is checked before it is fetched.
LOOKED_AT_LATER = {"metric.evaluator", "dataset.url", "dataset.sha256", "model.url", "model.sha256"}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value of a configuration with its path; a list is one value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif path[0] != "hydra" and path[-1] != "_target_":
        yield path, value


def with_value(config: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = deepcopy(config)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return changed


def refused_numbers(config: dict[str, Any], group: str = "") -> int:
    """Have every option of a group, or of all, be no finite number; return how many of them were numbers."""
    numbers = 0
    for path, value in leaves(config):
        key, listed = ".".join(path), isinstance(value, list) and bool(value)
        if key in LOOKED_AT_LATER or group not in ("", path[0]):
            continue
        for wrong in (math.inf, math.nan):
            for place, given in ((key, wrong), *([(f"{key}[0]", [wrong, *value[1:]])] if listed else [])):
                with pytest.raises(ConfigError) as error:
                    parse_job(with_value(config, path, given))
                assert str(error.value).startswith(key), (key, given)
                if isinstance(value[0] if isinstance(given, list) else value, float):
                    assert str(error.value) == f"{place}: expected a finite number, got {wrong}."
                    numbers += 1
    return numbers


def test_number_that_is_not_finite_is_refused_by_every_option(tiny: Tiny) -> None:
    data = ["dataset=npz", f"dataset.path={tiny.data}"]
    assert refused_numbers(composed("model=file", f"model.path={tiny.model}", *data)) >= 20
    assert refused_numbers(composed("mode=convert_qat", "model=file", f"model.path={tiny.model}", *data)) >= 10


@pytest.mark.parametrize(
    "option",
    [o for o in OPTIONS if not o.startswith(("sweep=", "experiment=", "hparams_search=", "model=", "mode="))],
)
def test_number_that_is_not_finite_is_refused_by_every_option_of_every_group(option: str, tiny: Tiny) -> None:
    light = ["dataset=npz", f"dataset.path={tiny.data}"]
    refused_numbers(
        composed(*(light if "dataset" not in option else []), option, *needed(option, tiny)), option.split("=")[0]
    )


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_command_line_says_what_a_number_that_is_not_finite_is(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^target_loss: expected a finite number, got (-?inf|nan)\.$"):
        job(f"target_loss={value}")


def test_samples_counts_come_with_its_data_and_yield_to_the_command_line(tiny: Tiny) -> None:
    config = composed("dataset=imagenet_sample", "calibration.count=5")
    assert (config["calibration"], config["evaluation"]) == ({"count": 5}, {"count": 160})
    assert composed("dataset=imagenet_sample")["calibration"] == {"count": 32}
    assert composed("mode=convert_qat", "dataset=imagenet_sample")["evaluation"] == {"count": None}
    assert composed()["calibration"]["count"] is None  # 100, or what quant_config says


def test_samples_preprocessing_is_the_samples(tmp_path: Path) -> None:
    pixels = random_pixels(300, 260)
    image = Image.fromarray(pixels)
    write_image(tmp_path / "a.png", pixels)
    (tmp_path / "labels.txt").write_text("a.png 3\n")
    data = [
        job(*line).dataset.item(0).arrays[""]
        for line in (
            ["dataset=imagenet_sample", f"dataset.images={tmp_path}", f"dataset.labels={tmp_path}/labels.txt"],
            ["mode=convert_qat", "dataset=classification_jpg", f"dataset.images={tmp_path / 'a.png'}"],
        )
    ]
    # mobilenet_v2_accuracy_based_auto_calibration.py, with Pillow's bicubic filter in place of OpenCV's
    bgr = np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC))[16:240, 16:240, ::-1].transpose(2, 0, 1)
    mean, std = (np.array(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    np.testing.assert_allclose(data[0], (bgr / 255 - mean) / std, rtol=0, atol=1e-5)
    # mobilenet_v2_convert_qat.py
    rgb = np.asarray(image.resize((224, 224))).astype(np.float32).transpose(2, 0, 1)
    assert np.array_equal(data[1], rgb / 128 - 1)
