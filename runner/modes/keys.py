"""What each stage's result depends on, as keys of a store.

| result | depends on (beside the machine's arithmetic, see ``runner.store.key``) |
| --- | --- |
| number of callers | graph, processor, cores |
| gap of the rewriting | source graph, prepared graph, first item |
| values of the inputs | graph, some of the items |
| levels of the image | prepared graph, calibration items, layers that stay float or have zero point 0 |
| equalization | the same, or the graph with whole pixels, calibration items, layers that stay float |
| float outputs | graph, items |
| quantized form, layer costs | prepared graph, calibration items, the recipe (layers, observers, corrections, record) |
| ranking | prepared graph, the form's scales and integers, calibration items, sensitivity |
| loss contributions | prepared graph, the plan's form, its layer groups and prices, items, metrics, ``sensitivity.items`` |
| scores of a plan | prepared graph, the plan's form, items, metrics, how class scores are read |
| scores of a plan that was settled early, STEP items at a time | the same, and which items |
| check of the written files | graph, bytes of both files, the form, items |
| proof that they say the same | bytes of both files and the record, items, deciding metric, ``verify`` |

A graph counts with its weights; items count by their contents, labels and preprocessing. Neither ``target_loss`` nor the
strategy is in any key, so jobs of a sweep share everything, each plan's items as far as any of them scored them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import engine
from runner.calibration import collect, isolated, quantize
from runner.convert import fake_quant
from runner.correction import balance, correct, equalize
from runner.correction import pixels as levels
from runner.dataset.item import Dataset, dataset_fingerprint
from runner.evaluation import scorer as evaluation
from runner.evaluation.scorer import Scorer
from runner.graph import equalization, pixels
from runner.graph.model_file import file_sha256
from runner.modes import input_values, proof
from runner.modes import prepared_model as preparation
from runner.modes.files import write_models
from runner.modes.proof import VerifyOptions
from runner.record import QuantizedLayers
from runner.search import end_to_end, sensitivity
from runner.search.end_to_end import EndToEnd
from runner.search.plan import LayerGroup
from runner.search.sensitivity import Sensitivity
from runner.session import SIMULATION
from runner.store.key import cpu_name, stage_key


@dataclass(frozen=True, slots=True)
class StageKeys:
    """Keys of one job's stages; a key is None where the result must not be kept.

    Attributes:
        graph: digest of the graph that runs.
        items: fingerprint of the evaluation items.
        calibration: fingerprint of the calibration items, "" where nothing is calibrated.
    """

    graph: str
    items: str
    calibration: str = ""

    def callers(self, cores: int) -> str | None:
        """Key of how many callers run the graph fastest on this machine."""
        return stage_key("callers", [engine.VERSION], self.graph, cpu_name(), cores, SIMULATION)

    def rewriting_gap(self, source_graph: str, item: str) -> str | None:
        """Key of what the rewriting did to the outputs of one item."""
        return stage_key("rewriting_gap", [preparation.VERSION], source_graph, self.graph, item, SIMULATION)

    def pixels(self, left_alone: Sequence[str]) -> str | None:
        """Key of the levels found in what a graph's first layers read."""
        versions = [levels.VERSION, pixels.VERSION]
        return stage_key("pixels", versions, self.graph, self.calibration, list(left_alone), SIMULATION)

    def equalization(self, float_layers: Sequence[str]) -> str | None:
        """Key of the exponents chosen for a graph that is not equalized."""
        versions = [equalize.VERSION, equalization.VERSION]
        return stage_key("equalization", versions, self.graph, self.calibration, list(float_layers), SIMULATION)

    def inputs_seen(self, items: str) -> str | None:
        """Key of the values that reach the graph's inputs, of some items."""
        return stage_key("inputs_seen", [input_values.VERSION], self.graph, items)

    def outputs(self) -> str | None:
        """Key of the graph's outputs for all evaluation items."""
        return stage_key("outputs", [evaluation.VERSION], self.graph, self.items, SIMULATION)

    def quantized(self, settings: Sequence[Any]) -> str | None:
        """Key of the quantized form that a recipe with these settings makes."""
        versions = [balance.VERSION, collect.VERSION, quantize.VERSION, isolated.VERSION, correct.VERSION]
        return stage_key("quantized", versions, self.graph, self.items, self.calibration, settings, SIMULATION)

    def repaired(self, settings: Sequence[Any]) -> str | None:
        """Key of the stronger forms that a recipe with these settings makes."""
        return stage_key("repaired", [], self.quantized(settings))

    def ranking(self, form: QuantizedLayers, measure: Sensitivity) -> str | None:
        """Key of the ranking of a form's layers."""
        versions = [isolated.VERSION, sensitivity.VERSION, fake_quant.VERSION]
        return stage_key("ranking", versions, self.graph, _digest(form), self.calibration, measure, SIMULATION)

    def loss_contributions(
        self, form: QuantizedLayers, groups: Sequence[LayerGroup], scorer: Scorer, measure: EndToEnd
    ) -> str | None:
        """Key of what each layer group of a form does to the outputs, against the scorer's float model."""
        versions = [end_to_end.VERSION, evaluation.VERSION, fake_quant.VERSION]
        how = [scorer.metrics, scorer.classes, measure, SIMULATION]
        return stage_key("damage", versions, self.graph, _digest(form), groups, self.items, how)

    def scores(self, form: QuantizedLayers, scorer: Scorer) -> str | None:
        """Key of a form's scores, against the scorer's float model."""
        versions = [evaluation.VERSION, fake_quant.VERSION]
        how = [scorer.metrics, scorer.classes, SIMULATION]
        return stage_key("scores", versions, self.graph, _digest(form), self.items, how)

    def prediction(self, form: QuantizedLayers, item: str, name: str, scorer: Scorer) -> str | None:
        """Key of the float and the quantized model's answers to one item."""
        versions = [evaluation.VERSION, fake_quant.VERSION]
        return stage_key("prediction", versions, self.graph, _digest(form), item, name, scorer.classes, SIMULATION)

    def costs(self, form: QuantizedLayers, item: str) -> str | None:
        """Key of the layers' costs for one item."""
        return stage_key("costs", [quantize.VERSION], self.graph, _digest(form), item)

    def written(self, files: Sequence[Path], form: QuantizedLayers, dataset: Dataset, scorer: Scorer) -> str | None:
        """Key of what re-opening both files shows.

        Files count by name and content: the name is part of what is kept.
        """
        looked_at = dataset_fingerprint(dataset, write_models.checked_items(dataset))
        digests = [[path.name, file_sha256(path)] for path in files]
        how = [self.items, looked_at, scorer.classes]
        return stage_key("written", [write_models.VERSION], self.graph, digests, _digest(form), how)

    def proof(self, files: Sequence[Path], options: VerifyOptions, dataset: Dataset, scorer: Scorer) -> str | None:
        """Key of what holding the files against each other shows; they count by content."""
        digests = [file_sha256(path) for path in files]
        evaluated = dataset_fingerprint(dataset, scorer.items.indices)
        how = [self.graph, evaluated, list(scorer.metrics[:1]), scorer.classes, options]
        return stage_key("proof", [proof.VERSION, evaluation.VERSION], digests, how)


def _digest(form: QuantizedLayers) -> str:
    """Return a digest of a form's scales, integers and shifts."""
    digest = hashlib.sha256(repr(sorted(form.tensors.items())).encode())
    for name, layer in form.layers.items():
        digest.update(f"{name}\0{layer.record!r}\0{layer.weight.shape}\0".encode())
        digest.update(layer.weight.tobytes())
        digest.update(b"" if layer.bias is None else layer.bias.tobytes())
        digest.update(b"" if layer.shift is None else b"shift" + layer.shift.tobytes())
    return digest.hexdigest()
