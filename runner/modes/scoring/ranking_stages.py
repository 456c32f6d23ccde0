"""Rankings of layers and what int8 costs each unit of them: what they depend on, and how they are kept."""

from __future__ import annotations

from dataclasses import dataclass

from runner.calibration import layer_by_layer
from runner.convert import fake_quant
from runner.evaluation import evaluator
from runner.modes.scoring.score_stages import ScoresInputs
from runner.record import QuantizedLayers
from runner.search import end_to_end, sensitivity
from runner.search.end_to_end import Damage, EndToEnd
from runner.search.plan import Ranking, Unit
from runner.search.sensitivity import Sensitivity
from runner.store.remembered import Codec
from runner.store.stage import Stage
from runner.store.store import Entry


@dataclass(frozen=True, slots=True)
class RankingInputs:
    """What the ranking of a plan's layers depends on, each looked at on its own."""

    graph: str
    quantized_layers: QuantizedLayers
    calibration_items: str
    sensitivity: Sensitivity


@dataclass(frozen=True, slots=True)
class DamageInputs:
    """What the damage of each unit of a plan depends on: all that its scores do, the units, and how it is measured."""

    scores: ScoresInputs
    units: tuple[Unit, ...]
    sensitivity: EndToEnd


def _encode_damage(damage: Damage) -> Entry:
    return Entry(
        {
            "measure": damage.measure,
            "items": list(damage.items),
            "total": damage.total,
            "units": [[list(unit.layers), unit.macs, value] for unit, value in damage.units],
        }
    )


def _decode_damage(entry: Entry) -> Damage:
    values = entry.values
    units = tuple((Unit(tuple(layers), int(macs)), float(damage)) for layers, macs, damage in values["units"])
    return Damage(str(values["measure"]), tuple(values["items"]), float(values["total"]), units)


# Without the units, which follow from the layers.
RANKING: Stage[RankingInputs, Ranking] = Stage(
    "ranking of the layers",
    RankingInputs,
    Codec(
        lambda ranking: Entry([[name, float(value)] for name, value in ranking.entries]),
        lambda entry: Ranking(tuple((str(name), float(value)) for name, value in entry.values)),
    ),
    through=(layer_by_layer, sensitivity, fake_quant),
)
DAMAGE: Stage[DamageInputs, Damage] = Stage(
    "damage of each unit",
    DamageInputs,
    Codec(_encode_damage, _decode_damage),
    through=(end_to_end, evaluator, fake_quant),
)
