"""What verification showed: as plain numbers for ``summary.json``, and each number in a sentence."""

from __future__ import annotations

from typing import Any

from runner.targets.ascend.proof import DeviceMetric, Proof

_INT32_MAX = 2**31 - 1


def verification(proof: Proof) -> dict[str, Any]:
    """Return the summary's ``verify`` object."""
    same = proof.sameness
    return {
        "items": same.items,
        "agreement": same.agreeing / same.items,
        "max_abs_diff": same.max_abs_diff,
        "identical_outputs_share": same.identical / same.items,
        "accumulator_max": proof.accumulator_max,
        "bias_max": proof.bias_max,
        "layers_split": proof.layers_split,
        "ties": proof.ties,
        "record_matches_deploy": proof.record_matches,
    }


def device_metric(device: DeviceMetric) -> dict[str, Any]:
    """Return the summary's ``device_metric`` object."""
    return {
        "precision": device.precision,
        "metric": device.metric,
        "items": device.items,
        "quantized": device.quantized,
        "device": device.device,
    }


def sentences(proof: Proof) -> list[str]:
    """Return each figure in a sentence, the most telling first."""
    same, device = proof.sameness, proof.device
    fits = (
        "so it cannot overflow" if proof.accumulator_max <= _INT32_MAX else "more than int32 holds: it could overflow"
    )
    told = "the fake-quant file's bits"
    if same.both < same.items:
        told = (
            f"the fake-quant file's bits for the {same.both} items that both were run on, and those that were measured"
        )
    lines = [
        f"The deploy file, executed as integers, gives {told} for {same.identical} of {same.items} items "
        f"(the same answer for {same.agreeing}; outputs differ by at most {same.max_abs_diff:g}).",
        f"Every layer gave the same on {proof.cross_checked} items when computed a second way, with uint8 operators.",
        f"No input takes an int32 sum beyond {proof.accumulator_max:,} of {_INT32_MAX:,}, {fits}; "
        f"the largest bias is {proof.bias_max:,}.",
        f"{proof.layers_split} layers have sums that may pass 2^24 and are added in parts.",
        f"{proof.ties:,} values of these {proof.cross_checked} items lay exactly between two codes.",
    ]
    if proof.record_matches:
        lines.append("The record, read back, has the deploy file's scales, bit for bit.")
    if device is not None:
        lines.append(
            f"With {_PRECISION[device.precision]} {device.metric} is {device.device:.4g} instead of {device.quantized:.4g} "
            f"over {device.items} items (simulated, for information)."
        )
    return lines


_PRECISION = {
    "fp32": "float32 scales, float operators not rewritten,",
    "s19": "scales of 19 bits, as many chips keep,",
    "fp16": "scales of 19 bits and float16 values and weights around the int8 layers",
}
