"""What verification showed: as plain numbers for ``summary.json``, and each number in a sentence."""

from __future__ import annotations

from typing import Any

from runner.targets.ascend.proof import DeviceMetric, Proof
from runner.wording import Said, say

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


def sentences(proof: Proof) -> list[Said]:
    """Return each figure in a sentence, the most telling first."""
    same, device = proof.sameness, proof.device
    fits = say("so it cannot overflow")
    if proof.accumulator_max > _INT32_MAX:
        fits = say("more than int32 holds: it could overflow")
    told = say("the fake-quant file's bits")
    if same.both < same.items:
        told = say(
            "the fake-quant file's bits for the {count} items that both were run on, and those that were measured",
            count=same.both,
        )
    lines = [
        say(
            "The deploy file, executed as integers, gives {bits} for {identical} of {items} items (the same answer for "
            "{agreeing}; outputs differ by at most {difference:g}).",
            bits=told,
            identical=same.identical,
            items=same.items,
            agreeing=same.agreeing,
            difference=same.max_abs_diff,
        ),
        say(
            "Every layer gave the same on {count} items when computed a second way, with uint8 operators.",
            count=proof.cross_checked,
        ),
        say(
            "No input takes an int32 sum beyond {largest:,} of {limit:,}, {fits}; the largest bias is {bias:,}.",
            largest=proof.accumulator_max,
            limit=_INT32_MAX,
            fits=fits,
            bias=proof.bias_max,
        ),
        say("{count} layers have sums that may pass 2^24 and are added in parts.", count=proof.layers_split),
        say(
            "{ties:,} values of these {count} items lay exactly between two codes.",
            ties=proof.ties,
            count=proof.cross_checked,
        ),
    ]
    if proof.record_matches:
        lines.append(say("The record, read back, has the deploy file's scales, bit for bit."))
    if device is not None:
        lines.append(
            say(
                "With {precision} {metric} is {device:.4g} instead of {quantized:.4g} over {items} items (simulated, for "
                "information).",
                precision=_PRECISION[device.precision],
                metric=device.metric,
                device=device.device,
                quantized=device.quantized,
                items=device.items,
            )
        )
    return lines


_PRECISION = {
    "fp32": say("float32 scales, float operators not rewritten,"),
    "s19": say("scales of 19 bits, as many chips keep,"),
    "fp16": say("scales of 19 bits and float16 values and weights around the int8 layers"),
}
PRECISION_IN_SHORT = {
    "fp32": "float32 scales",
    "s19": "scales of 19 bits",
    "fp16": "scales of 19 bits and float16",
}
