"""What a report advises first: by what came of the job, and by what its metric holds the models against."""

from __future__ import annotations

from dataclasses import replace

from runner.figure import Bullets, Marked, Section
from runner.modes.result import AccAutoResult
from runner.report.sections.advice import advice


def _items(section: Section) -> list[str]:
    blocks = [block for block in section.blocks if isinstance(block, Bullets)]
    return [
        "".join(part.text if isinstance(part, Marked) else str(part) for part in item)
        for block in blocks
        for item in block.items
    ]


def test_missed_target_of_a_metric_without_truth_asks_for_no_known_figure(job: dict[str, AccAutoResult]) -> None:
    told = _items(advice(job["missed"], {"quant": "fast"}))
    assert told[0] == "Is what reaches the model right? Look at the preprocessing: python -m runner doctor"
    assert "Make all corrections: quant=best" in told


def test_missed_target_of_an_accuracy_asks_whether_the_float_model_reaches_its_own(
    job: dict[str, AccAutoResult],
) -> None:
    by_labels = replace(job["missed"], comparison=job["met"].comparison)
    first = _items(advice(by_labels, {"quant": "best"}))[0]
    assert first.startswith("Is top1 of the float model, 100, what the model is known to reach?")
    assert first.endswith("python -m runner doctor expect=…")


def test_advice_for_amcts_preset_names_both_better_ones_and_no_count_that_the_data_may_lack(
    job: dict[str, AccAutoResult],
) -> None:
    told = _items(advice(job["missed"], {"quant": "amct"}))
    assert "Correct biases, and choose float layers by what reaches the outputs: quant=fast" in told
    assert "Make all corrections: quant=best" in told
    assert (
        "Calibrate on more than 4 items, of more data where these are all: calibration.count=… calibration.dataset=…"
        in told
    )
