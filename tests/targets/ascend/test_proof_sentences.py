"""Verification's figures as numbers and as sentences."""

from __future__ import annotations

from dataclasses import replace

from runner.targets.ascend.check import Checked
from runner.targets.ascend.gaps import Gaps
from runner.targets.ascend.model_files import ModelPair, Written
from runner.targets.ascend.proof import DeviceMetric, Proof
from runner.targets.ascend.proof_sentences import device_metric, sentences, verification
from runner.targets.ascend.sections import deployed
from runner.verify.compare import Sameness

PROOF = Proof(
    sameness=Sameness(items=8, both=8, identical=6, agreeing=7, max_abs_diff=0.25, first=2),
    cross_checked=4,
    accumulator_max=3_384_029,
    bias_max=504_639,
    layers_split=2,
    ties=11,
    record_matches=True,
    gaps=Gaps(None, None),
    device=DeviceMetric("s19", "top1", 200, 99.5, 99.25),
)


def test_summary_has_exactly_the_figures_of_the_object() -> None:
    assert verification(PROOF) == {
        "items": 8,
        "agreement": 0.875,
        "max_abs_diff": 0.25,
        "identical_outputs_share": 0.75,
        "accumulator_max": 3384029,
        "bias_max": 504639,
        "layers_split": 2,
        "ties": 11,
        "record_matches_deploy": True,
    }
    assert PROOF.device is not None
    told = {"precision": "s19", "metric": "top1", "items": 200, "quantized": 99.5, "device": 99.25}
    assert device_metric(PROOF.device) == told


def test_precision_that_was_not_measured_is_absent() -> None:
    # No output is a tensor of numbers, so neither is there a gap.
    written = Written(ModelPair("deploy.onnx", "fake.onnx"), (), {"x": (1, 4)})

    def keys(proof: Proof) -> list[str]:
        return [figure.key for figure in deployed(Checked(written, proof)).figures if figure.key]

    assert keys(PROOF) == ["verify", "device_metric"]
    assert keys(replace(PROOF, device=None)) == ["verify"]
    assert deployed(None).figures == []


def test_every_figure_is_said_in_a_sentence() -> None:
    assert sentences(PROOF) == [
        "The deploy file, executed as integers, gives the fake-quant file's bits for 6 of 8 items (the same answer for 7; "
        "outputs differ by at most 0.25).",
        "Every layer gave the same on 4 items when computed a second way, with uint8 operators.",
        "No input takes an int32 sum beyond 3,384,029 of 2,147,483,647, so it cannot overflow; the largest bias is 504,639.",
        "2 layers have sums that may pass 2^24 and are added in parts.",
        "11 values of these 4 items lay exactly between two codes.",
        "The record, read back, has the deploy file's scales, bit for bit.",
        "With scales of 19 bits, as many chips keep, top1 is 99.25 instead of 99.5 over 200 items (simulated, for "
        "information).",
    ]


def test_items_that_only_the_deploy_file_was_run_on_are_told() -> None:
    same = Sameness(items=1000, both=32, identical=1000, agreeing=1000, max_abs_diff=0.0, first=None)
    assert sentences(replace(PROOF, sameness=same))[0] == (
        "The deploy file, executed as integers, gives the fake-quant file's bits for the 32 items that both were run on, and "
        "those that were measured for 1000 of 1000 items (the same answer for 1000; outputs differ by at most 0)."
    )


def test_sum_that_int32_does_not_hold_is_said() -> None:
    lines = sentences(replace(PROOF, accumulator_max=2**31, device=None))
    assert "beyond 2,147,483,648 of 2,147,483,647, more than int32 holds: it could overflow; the largest" in lines[2]
    assert len(lines) == 6
