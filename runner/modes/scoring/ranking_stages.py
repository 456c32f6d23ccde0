"""Rankings of layers and what each layer group contributes to the loss: what they depend on, and how they are kept."""

from __future__ import annotations

from dataclasses import dataclass

from runner.calibration import layer_by_layer
from runner.convert import fake_quant
from runner.evaluation import item_scorer
from runner.evaluation.score_stages import ScoresInputs
from runner.record import QuantizedLayers
from runner.search import end_to_end, sensitivity
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.plan import LayerGroup, Ranking
from runner.search.sensitivity import Sensitivity
from runner.store.stage import Codec, Stage
from runner.store.store import Entry
from runner.targets.target import Target


@dataclass(frozen=True, slots=True)
class RankingInputs:
    """What the ranking of a plan's layers depends on, each looked at on its own."""

    graph: str
    quantized_layers: QuantizedLayers
    calibration_items: str
    sensitivity: Sensitivity


@dataclass(frozen=True, slots=True)
class LossContributionsInputs:
    """What the loss contributions of a plan depend on.

    Attributes:
        scores: all that the plan's own scores depend on.
        measured: the layers that groups are left out of.
        target: what makes the form of the plans in which one group is float.
        groups: of layers.
        sensitivity: how they are measured.
    """

    scores: ScoresInputs
    measured: QuantizedLayers
    target: Target
    groups: tuple[LayerGroup, ...]
    sensitivity: EndToEnd


def _encode_contributions(contributions: LossContributions) -> Entry:
    return Entry(
        {
            "measure": contributions.measure,
            "items": list(contributions.items),
            "total": contributions.total,
            "units": [[list(group.layers), group.macs, part] for group, part in contributions.groups],
        }
    )


def _decode_contributions(entry: Entry) -> LossContributions:
    values = entry.values
    groups = tuple((LayerGroup(tuple(layers), int(macs)), float(part)) for layers, macs, part in values["units"])
    return LossContributions(str(values["measure"]), tuple(values["items"]), float(values["total"]), groups)


# Without the groups, which follow from the layers.
RANKING: Stage[RankingInputs, Ranking] = Stage(
    "ranking of the layers",
    RankingInputs,
    Codec(
        lambda ranking: Entry([[name, float(value)] for name, value in ranking.entries]),
        lambda entry: Ranking(tuple((str(name), float(value)) for name, value in entry.values)),
    ),
    through=(layer_by_layer, sensitivity, fake_quant),
)
LOSS_CONTRIBUTIONS: Stage[LossContributionsInputs, LossContributions] = Stage(
    "loss contribution of each layer group",
    LossContributionsInputs,
    Codec(_encode_contributions, _decode_contributions),
    through=(end_to_end, item_scorer, fake_quant),
)
