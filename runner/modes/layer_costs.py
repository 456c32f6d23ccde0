"""What each layer costs, from the shapes of one item; worked out once for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from runner.dataset.subset import Subset
from runner.graph.layers import Layer, LayeredModel
from runner.graph.macs import LayerCost, layer_costs
from runner.modes.context import Context
from runner.modes.prepared_model import input_shapes
from runner.store.stage import Codec, Stage
from runner.store.store import Entry


@dataclass(frozen=True, slots=True)
class CostsInputs:
    """What the costs of layers depend on."""

    graph: str
    layers: tuple[Layer, ...]
    first_item: str


COSTS: Stage[CostsInputs, Mapping[str, LayerCost]] = Stage(
    "costs of the layers",
    CostsInputs,
    Codec(
        lambda costs: Entry({name: asdict(cost) for name, cost in costs.items()}),
        lambda entry: {name: LayerCost(**cost) for name, cost in entry.values.items()},
    ),
    version=3,
)


def cached_costs(model: LayeredModel, graph: str, items: Subset, job: Context) -> Mapping[str, LayerCost]:
    """Return each layer's cost, from the shapes that its input has for the first item.

    Args:
        model: the prepared float model at a runnable opset.
        graph: its digest.
        items: of which the first is run.
        job: runs the model and keeps the costs.
    """
    inputs = CostsInputs(graph, model.layers, items.contents[0])

    def costs() -> Mapping[str, LayerCost]:
        return layer_costs(model, input_shapes(model.graph, model.layers, items, job.engine))

    return COSTS.cached(job.store, inputs, costs)
