"""What each correction alone, and all of them, bring with every layer in int8."""

from __future__ import annotations

import tempfile

from matplotlib.figure import Figure

from benchmarks.pictures.digits import MODEL, engine, items
from benchmarks.pictures.look import BLUE, GREY, ORANGE, panels
from runner.app.checking import build
from runner.app.schema.keys import composed
from runner.correction.options import Correction
from runner.evaluation.distance import Sqnr
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.targets.target import VerifyOptions


def _shipped(preset: str) -> Correction:
    """Return the corrections of a preset, as its file has them."""
    built: Correction = build(composed("acc_auto", f"correction={preset}")["correction"], Correction, "correction")
    return built


_FORMS: dict[str, Correction] = {
    "quant=amct: none": Correction(),
    "correction.equalize=true": Correction(equalize=True),
    "correction.range=output": Correction(range="output"),
    "correction.balance=auto": Correction(balance="auto"),
    "correction.rounding=compensated": Correction(rounding="compensated"),
    "correction.bias=isolated": Correction(bias="isolated"),
    "correction.bias=sequential": Correction(bias="sequential"),
    "correction.pixels=true": Correction(pixels=True),
    "quant=fast: bias, pixels": _shipped("fast"),
    "quant=best: all": _shipped("best"),
}


def corrections() -> Figure:
    """Return the SQNR of the outputs on the 700 images of evaluation, one form a row."""
    found = {name: _sqnr(correction) for name, correction in _FORMS.items()}
    figure, (panel,) = panels(1, high=3.2)
    colours = [GREY if n.startswith("quant=amct") else BLUE if n.startswith("quant") else ORANGE for n in found]
    bars = panel.barh(range(len(found)), list(found.values()), color=colours)
    panel.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    panel.set_yticks(range(len(found)), list(found), fontsize=8)
    panel.invert_yaxis()
    panel.set(xlabel="SQNR of the model's outputs, dB", xlim=(34, 43))
    return figure


def _sqnr(correction: Correction) -> float:
    options = AccAutoOptions(target_loss=60, metric=Sqnr(), correction=correction, verify=VerifyOptions(count=1))
    with tempfile.TemporaryDirectory() as folder:
        result = acc_auto(
            MODEL,
            items("eval").dataset,
            folder,
            options,
            calibration_dataset=items("calibration").dataset,
            engine=engine(),
        )
    return result.search.trials[0].value
