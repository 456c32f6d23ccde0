"""What layers do to the outputs, which plans strategies try, and how many items a verdict takes."""

from __future__ import annotations

import functools
import tempfile

from matplotlib.figure import Figure

from benchmarks.pictures.digits import MODEL, calibrated, engine, items
from benchmarks.pictures.look import BLUE, GREEN, GREY, ORANGE, RED, panels
from runner.calibration.layer_by_layer import layer_by_layer
from runner.evaluation.distance import Sqnr
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from runner.search.binary import Binary
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.pareto import Pareto
from runner.search.sensitivity import Cosine, rank
from runner.targets.target import VerifyOptions

_TARGET = 20.0
_STRATEGIES: dict[str, tuple[Binary | Greedy | Pareto, EndToEnd | Cosine, str]] = {
    "binary, by cosine": (Binary(), Cosine(), ORANGE),
    "greedy, by loss contribution": (Greedy(), EndToEnd(), BLUE),
    "pareto, by loss contribution": (Pareto(), EndToEnd(), GREEN),
}


@functools.cache
def _job(
    strategy: Binary | Greedy | Linear | Pareto, sensitivity: EndToEnd | Cosine, target: float = _TARGET
) -> AccAutoResult:
    """Return a search with AMCT's ranges and weights: SQNR of the outputs, on all 700 images."""
    calibration = items("calibration").dataset
    options = AccAutoOptions(
        target_loss=target,
        metric=Sqnr(),
        sensitivity=sensitivity,
        strategy=strategy,
        verify=VerifyOptions(count=1),
    )
    with tempfile.TemporaryDirectory() as folder:
        return acc_auto(MODEL, items("eval").dataset, folder, options, calibration_dataset=calibration, engine=engine())


def sensitivity() -> Figure:
    """Return how the two kinds of sensitivity see the layers: each on its own, and at the model's outputs."""
    state = calibrated()
    alone = rank(layer_by_layer(state.model, state.form, items("calibration"), engine=engine()), Cosine())
    found = _job(Greedy(), EndToEnd()).loss_contributions
    assert found is not None  # measured where a search begins
    shares = {group.layers[0]: 100 * found.share(part) for group, part in found.groups}
    names = list(state.form.layers)
    lost = {name: 1 - value for name, value in alone.entries}
    figure, (own, outputs) = panels(2, wide=8.6, high=4.4, sharey=True)
    own.barh(range(len(names)), [lost[name] for name in names], color=ORANGE)
    outputs.barh(range(len(names)), [shares.get(name, 0.0) for name in names], color=BLUE)
    own.set_yticks(range(len(names)), names, fontsize=7)
    own.invert_yaxis()
    own.set(title="each layer alone", xlabel="1 less the cosine similarity")
    outputs.set(title="at the model's outputs", xlabel="share of the all-int8 loss, %")
    return figure


def strategies() -> Figure:
    """Return the plans that three strategies try for one target."""
    figure, (panel,) = panels(1, high=3.6)
    panel.axhline(_TARGET, color=RED, linestyle="--", linewidth=1)
    for name, (strategy, ranked, colour) in _STRATEGIES.items():
        search = _job(strategy, ranked).search
        layers = _job(strategy, ranked).layers
        points = [(100 * layers.int8_share(trial.plan.fallback), trial.loss) for trial in search.trials]
        panel.plot(*zip(*points, strict=True), "o", color=colour, markersize=4, alpha=0.7, label=name)
        assert search.best is not None  # the target can be met
        best = (100 * layers.int8_share(search.best.plan.fallback), search.best.loss)
        panel.plot(*best, "o", color=colour, markersize=10, markerfacecolor="none")
    panel.set(xlabel="multiply-accumulates in int8, %", ylabel="loss, dB below 60")
    panel.text(1, _TARGET, "target ", color=RED, va="bottom", fontsize=8)
    panel.legend(fontsize=8, title="ring: the plan chosen", title_fontsize=8)
    return figure


def early_stopping() -> Figure:
    """Return how many images settled the verdict of each trial, against how far its loss is from the target."""
    figure, (panel,) = panels(1, high=3.0)
    for target, colour in ((18.0, GREEN), (20.0, BLUE), (22.0, ORANGE)):
        trials = _job(Linear(), Cosine(), target).search.trials[1:]
        away = [abs(trial.loss - target) for trial in trials]
        panel.plot(
            away, [trial.settled_after or 700 for trial in trials], "o", color=colour, label=f"target {target:g} dB"
        )
    panel.axhline(700, color=GREY, linewidth=0.8)
    panel.set(xlabel="distance of the loss from the target, dB", ylabel="images scored", ylim=(0, 760), xlim=(0, None))
    panel.legend(fontsize=8)
    return figure
