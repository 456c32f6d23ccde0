"""Turn a trained ONNX model into an int8 model, for Ascend NPUs or any runtime of Q/DQ models, and know what it costs.

As a library, without configuration files:

    from runner import AccAutoOptions, ImageFolder, ImagePreprocess, acc_auto

    digits = ImageFolder("photos", "photos/image_label.txt", ImagePreprocess(crop=224, mean=127.5, std=127.5))
    result = acc_auto("net.onnx", digits, "outputs/net", AccAutoOptions(target_loss=0.2))
    print(result.status, result.fallback)

Names are imported when they are first used, so that ``import runner`` and ``python -m runner --help`` stay light.
"""

import importlib
import os
import sys

# `python -m runner…` looks for modules in the directory of the command first: there a data folder's json.py or numpy.py would
# be run in place of the library. While Python looks for the module that it is to run, `-m` stands for its name. This package
# is found by now; a user's own classes are looked for there later, and last (`app/places.py`). Nothing that is not loaded
# already may be imported before this, `__future__` included.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    try:
        if sys.path[:1] == [os.path.abspath("")]:
            del sys.path[0]
    except OSError:  # the directory is gone, and so is what lay in it
        pass

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.calibration.hfmg import Hfmg
    from runner.calibration.ifmr import Ifmr
    from runner.calibration.minmax import MinMax
    from runner.calibration.percentile import Percentile
    from runner.correction.options import Correction
    from runner.dataset.bin_batches import BinBatches
    from runner.dataset.class_tree import ClassTree
    from runner.dataset.coco import CocoDataset
    from runner.dataset.geometry import Letterbox
    from runner.dataset.image_folder import ImageFolder
    from runner.dataset.input_settings import InputSettings
    from runner.dataset.masks import MasksDataset
    from runner.dataset.npy import NpyDataset
    from runner.dataset.npz import NpzDataset
    from runner.dataset.parquet import ParquetDataset
    from runner.dataset.preprocess import ArrayPreprocess, ImagePreprocess
    from runner.dataset.text_lines import TextLines
    from runner.dataset.truth import Boxes, ClassMap
    from runner.dataset.yolo import YoloDataset
    from runner.dumps.compare import DumpTolerance, compare_dump
    from runner.engine import Engine
    from runner.errors import RunnerError
    from runner.evaluation.accuracy import Agreement, TopK
    from runner.evaluation.amct_evaluator import AmctEvaluator
    from runner.evaluation.distance import Kl, Mse, Sqnr
    from runner.lint.check import check_deploy
    from runner.modes.acc_auto import acc_auto
    from runner.modes.acc_auto_options import AccAutoOptions
    from runner.modes.convert_qat import convert_qat
    from runner.modes.convert_qat_options import ConvertQatOptions
    from runner.modes.data import Split
    from runner.modes.expectation import Expectation
    from runner.modes.layer_settings import LayerRule, LayerSettings
    from runner.modes.tensor_settings import TensorRule
    from runner.record_text import read_record
    from runner.search.binary import Binary
    from runner.search.end_to_end import EndToEnd
    from runner.search.greedy import Greedy
    from runner.search.linear import Linear
    from runner.search.pareto import Pareto
    from runner.search.sensitivity import Cosine, MeanSquaredError, SignalToNoise
    from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
    from runner.tasks.detection.nms_inside import NmsInside
    from runner.tasks.detection.postprocess import Detections
    from runner.tasks.detection.ssd import Ssd
    from runner.tasks.detection.yolov5 import Yolov5
    from runner.tasks.detection.yolov8 import Yolov8
    from runner.tasks.detection.yolox import Yolox
    from runner.tasks.embeddings.cosine_similarity import CosineSimilarity
    from runner.tasks.embeddings.retrieval import Retrieval
    from runner.tasks.regression.mean_absolute_error import MeanAbsoluteError
    from runner.tasks.segmentation.miou import MeanIou
    from runner.tasks.text.character_errors import CharacterErrors

_HOMES = {
    "AccAutoOptions": "runner.modes.acc_auto_options",
    "Agreement": "runner.evaluation.accuracy",
    "AmctEvaluator": "runner.evaluation.amct_evaluator",
    "ArrayPreprocess": "runner.dataset.preprocess",
    "BinBatches": "runner.dataset.bin_batches",
    "Binary": "runner.search.binary",
    "Boxes": "runner.dataset.truth",
    "CharacterErrors": "runner.tasks.text.character_errors",
    "ClassMap": "runner.dataset.truth",
    "ClassTree": "runner.dataset.class_tree",
    "CocoDataset": "runner.dataset.coco",
    "ConvertQatOptions": "runner.modes.convert_qat_options",
    "Correction": "runner.correction.options",
    "Cosine": "runner.search.sensitivity",
    "CosineSimilarity": "runner.tasks.embeddings.cosine_similarity",
    "Detections": "runner.tasks.detection.postprocess",
    "DumpTolerance": "runner.dumps.compare",
    "EndToEnd": "runner.search.end_to_end",
    "Engine": "runner.engine",
    "Expectation": "runner.modes.expectation",
    "Greedy": "runner.search.greedy",
    "Hfmg": "runner.calibration.hfmg",
    "Ifmr": "runner.calibration.ifmr",
    "ImageFolder": "runner.dataset.image_folder",
    "ImagePreprocess": "runner.dataset.preprocess",
    "InputSettings": "runner.dataset.input_settings",
    "Kl": "runner.evaluation.distance",
    "LayerRule": "runner.modes.layer_settings",
    "LayerSettings": "runner.modes.layer_settings",
    "Letterbox": "runner.dataset.geometry",
    "Linear": "runner.search.linear",
    "MasksDataset": "runner.dataset.masks",
    "MeanAbsoluteError": "runner.tasks.regression.mean_absolute_error",
    "MeanAveragePrecision": "runner.tasks.detection.mean_average_precision",
    "MeanIou": "runner.tasks.segmentation.miou",
    "MeanSquaredError": "runner.search.sensitivity",
    "MinMax": "runner.calibration.minmax",
    "Mse": "runner.evaluation.distance",
    "NmsInside": "runner.tasks.detection.nms_inside",
    "NpyDataset": "runner.dataset.npy",
    "NpzDataset": "runner.dataset.npz",
    "Pareto": "runner.search.pareto",
    "ParquetDataset": "runner.dataset.parquet",
    "Percentile": "runner.calibration.percentile",
    "Retrieval": "runner.tasks.embeddings.retrieval",
    "RunnerError": "runner.errors",
    "SignalToNoise": "runner.search.sensitivity",
    "Split": "runner.modes.data",
    "Sqnr": "runner.evaluation.distance",
    "Ssd": "runner.tasks.detection.ssd",
    "TensorRule": "runner.modes.tensor_settings",
    "TextLines": "runner.dataset.text_lines",
    "TopK": "runner.evaluation.accuracy",
    "YoloDataset": "runner.dataset.yolo",
    "Yolov5": "runner.tasks.detection.yolov5",
    "Yolov8": "runner.tasks.detection.yolov8",
    "Yolox": "runner.tasks.detection.yolox",
    "acc_auto": "runner.modes.acc_auto",
    "check_deploy": "runner.lint.check",
    "compare_dump": "runner.dumps.compare",
    "convert_qat": "runner.modes.convert_qat",
    "read_record": "runner.record_text",
}

__all__ = [
    "AccAutoOptions",
    "Agreement",
    "AmctEvaluator",
    "ArrayPreprocess",
    "BinBatches",
    "Binary",
    "Boxes",
    "CharacterErrors",
    "ClassMap",
    "ClassTree",
    "CocoDataset",
    "ConvertQatOptions",
    "Correction",
    "Cosine",
    "CosineSimilarity",
    "Detections",
    "DumpTolerance",
    "EndToEnd",
    "Engine",
    "Expectation",
    "Greedy",
    "Hfmg",
    "Ifmr",
    "ImageFolder",
    "ImagePreprocess",
    "InputSettings",
    "Kl",
    "LayerRule",
    "LayerSettings",
    "Letterbox",
    "Linear",
    "MasksDataset",
    "MeanAbsoluteError",
    "MeanAveragePrecision",
    "MeanIou",
    "MeanSquaredError",
    "MinMax",
    "Mse",
    "NmsInside",
    "NpyDataset",
    "NpzDataset",
    "Pareto",
    "ParquetDataset",
    "Percentile",
    "Retrieval",
    "RunnerError",
    "SignalToNoise",
    "Split",
    "Sqnr",
    "Ssd",
    "TensorRule",
    "TextLines",
    "TopK",
    "YoloDataset",
    "Yolov5",
    "Yolov8",
    "Yolox",
    "acc_auto",
    "check_deploy",
    "compare_dump",
    "convert_qat",
    "read_record",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _HOMES:
        raise AttributeError(f"module 'runner' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
