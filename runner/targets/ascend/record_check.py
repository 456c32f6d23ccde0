"""The record file, read back, against the deploy file: the same layers and tensors, the same scales, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runner.arithmetic import dequant_scale, reciprocal
from runner.errors import VerificationError
from runner.ranges import ActivationParams
from runner.record import LayerRecord, Record
from runner.record_text import read_record
from runner.verify.deploy_file import IntegerModel, Rounding


def check_record(path: Path, deploy: IntegerModel) -> bool:
    """Return whether the record read back means the deploy file's scales, bit for bit.

    Raises:
        VerificationError: it does not; names the layer.
    """
    if not deploy.layers and not deploy.anti_quants:
        return True
    record = read_record(path)
    for fault in (*_layer_faults(record, deploy), *_tensor_faults(record, deploy)):
        raise VerificationError(f"{path}: {fault}. Please report this.")
    return True


def _layer_faults(record: Record, deploy: IntegerModel) -> list[str]:
    layers = {layer.name: layer for layer in deploy.layers}
    faults = [f"layer '{name}' is in one of record and deploy file" for name in record.layers.keys() ^ layers.keys()]
    for name, entry in record.layers.items():
        if name not in layers:
            continue
        faults += _rounding_faults(name, entry.activation, deploy.quants[layers[name].quant])
        scales, expected = layers[name].scales, _dequant(entry)
        if scales.shape != expected.shape or scales.tobytes() != expected.tobytes():
            faults.append(f"layer '{name}': scale_d * scale_w is not the parameter of its AscendDequant")
        balance = np.float32(1) / np.asarray(entry.balance_factors, np.float32)
        held = layers[name].balance
        if (np.empty(0, np.float32) if held is None else held).tobytes() != balance.tobytes():
            faults.append(f"layer '{name}': 1 / tensor_balance_factor is not what its input is multiplied by")
    return faults


def _tensor_faults(record: Record, deploy: IntegerModel) -> list[str]:
    faults = []
    read = {
        f"{node}:{index}": anti_quant
        for anti_quant in deploy.anti_quants.values()
        for node, index in anti_quant.readers
    }
    faults += [f"tensor '{key}' is in one of record and deploy file" for key in record.tensors.keys() ^ read.keys()]
    faults += [f"'{name}' is read by nothing" for name, one in deploy.anti_quants.items() if not one.readers]
    for key, anti_quant in read.items():
        if key not in record.tensors:
            continue
        params = record.tensors[key].activation
        faults += _rounding_faults(key, params, deploy.quants[anti_quant.quant])
        if anti_quant.rounding != Rounding(float(np.float32(params.scale)), params.zero_point):
            faults.append(f"tensor '{key}': scale_d and offset_d are not those of its AscendAntiQuant")
    return faults


def _rounding_faults(name: str, params: ActivationParams, rounding: Rounding) -> list[str]:
    expected = Rounding(float(reciprocal(params.scale)), params.zero_point)
    if rounding == expected:
        return []
    return [f"'{name}': its AscendQuant has {rounding}, but 1 / scale_d and offset_d are {expected}"]


def _dequant(entry: LayerRecord) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return dequant_scale(entry.activation.scale, np.asarray(entry.weight_scales, np.float32))
