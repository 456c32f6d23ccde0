"""ONNX files: a float model, one with loops and choices, one that was trained quantized, a deploy file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from benchmarks.fuzz import seeds
from benchmarks.fuzz.damage import anywhere
from benchmarks.fuzz.messages import message_fields
from benchmarks.fuzz.spot import Spot
from runner import AccAutoOptions, ConvertQatOptions, MinMax, NpzDataset, Sqnr, acc_auto, check_deploy, convert_qat

_FIELDS = message_fields(onnx.ModelProto)
# Fields three times as often: what they change is mostly read, and so goes further.
_DAMAGES = (anywhere, _FIELDS, _FIELDS, _FIELDS)


def model(folder: Path) -> Sequence[Spot]:
    """Damage models, each of which a whole job is run on."""
    np.savez(folder / "data.npz", x=seeds.items())

    def quantized(path: Path) -> None:
        options = AccAutoOptions(
            target_loss=1000.0, metric=Sqnr(), observer=MinMax(), calibration_count=2, evaluation_count=2
        )
        acc_auto(path, NpzDataset(str(folder / "data.npz")), folder / "job", options)

    def converted(path: Path) -> None:
        convert_qat(path, NpzDataset(str(folder / "data.npz")), folder / "job", ConvertQatOptions(evaluation_count=2))

    made = {"convolutions": seeds.convolutions(), "branches": seeds.branches()}
    spots = [_spot(folder / f"{name}.onnx", model, quantized) for name, model in made.items()]
    return [*spots, _spot(folder / "qat.onnx", seeds.trained_quantized(), converted)]


def deploy(folder: Path) -> Sequence[Spot]:
    """Damage deploy files, which ``quant-check-deploy`` reads."""
    np.savez(folder / "data.npz", x=seeds.items())
    spots = []
    for name, made in {"convolutions": seeds.convolutions(), "branches": seeds.branches()}.items():
        (folder / f"{name}.onnx").write_bytes(made.SerializeToString())
        options = AccAutoOptions(target_loss=1000.0, metric=Sqnr(), observer=MinMax(), calibration_count=2)
        acc_auto(folder / f"{name}.onnx", NpzDataset(str(folder / "data.npz")), folder / name, options)
        path = folder / name / "results" / f"{name}_deploy_model.onnx"
        spots.append(Spot(path, _DAMAGES, partial(_checked, path)))
    return spots


def _checked(path: Path) -> list[str]:
    return [str(finding) for finding in check_deploy(path)]


def _spot(path: Path, made: onnx.ModelProto, use: Callable[[Path], None]) -> Spot:
    path.write_bytes(made.SerializeToString())
    return Spot(path, _DAMAGES, lambda: use(path))
