"""Which ranges change where they are chosen by what they cost the outputs of layers."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.pictures.digits import calibrated, engine, items, layer_sqnr
from benchmarks.pictures.look import BLUE, GREY, panels
from runner.arithmetic import QMAX, QMIN
from runner.correction.correct import correct
from runner.correction.options import Correction
from runner.ranges import ActivationParams

_JUDGED = 100


def output_ranges() -> Figure:
    """Return the ranges of the layers for which another one is chosen, and what each gains on other images."""
    start, others = calibrated(), items("eval").at(range(_JUDGED))
    made = correct(start, items("calibration"), options=Correction(range="output"), engine=engine())
    before, after = layer_sqnr(start.form, others), layer_sqnr(made, others)
    pairs = {
        name: (layer.record.activation, made.layers[name].record.activation)
        for name, layer in start.form.layers.items()
    }
    changed = [name for name, (old, new) in pairs.items() if old != new]
    figure, (panel,) = panels(1, high=2.8)
    for place, name in enumerate(changed):
        old, new = (_ends(params) for params in pairs[name])
        panel.plot(old, [place - 0.15] * 2, "|-", color=GREY, linewidth=4, label="" if place else "ifmr")
        panel.plot(new, [place + 0.15] * 2, "|-", color=BLUE, linewidth=4, label="" if place else "by output")
        panel.text(max(old[1], new[1]) + 0.3, place, f"{after[name] - before[name]:+.2f} dB", va="center", fontsize=8)
    panel.set_yticks(range(len(changed)), changed, fontsize=8)
    panel.invert_yaxis()
    panel.set(xlabel="from the value of the first code to that of the last", xlim=(None, 12.5))
    panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8)
    return figure


def _ends(params: ActivationParams) -> tuple[float, float]:
    return (QMIN - params.zero_point) * params.scale, (QMAX - params.zero_point) * params.scale
