"""AMCT files that a job is given: a configuration to start from, or a record to build from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.amct_config.cfg_file import SimplifiedConfig
from runner.amct_config.create import expand, observed_config, said_by
from runner.amct_config.model import QuantConfig, TensorEntry
from runner.amct_config.read import read_config
from runner.amct_config.resolve import resolve
from runner.calibration.observer import Observer
from runner.correction.options import AUTO, Strength
from runner.errors import ConfigError, RecordError
from runner.graph.balance import can_be_balanced
from runner.graph.layers import Layer, LayeredModel
from runner.graph.rewriting import Rewriting
from runner.graph.tensors import TensorInput, tensor_input, typed
from runner.modes.files.integers_file import Integers, read_integers
from runner.modes.files.rewriting_file import read_rewriting
from runner.modes.layer_settings import LayerSelection
from runner.modes.prepared_model import PreparedModel
from runner.record import Record
from runner.record_text import read_record

# Items that calibration looks at where nothing says how many, and there are so many.
DEFAULT_COUNT = 100
# AMCT counts batches, of which one may be enough; this tool counts items.
_FEW = 8


@dataclass(frozen=True, slots=True, eq=False)
class GivenFiles:
    """What the files say; None where there is no such file.

    Attributes:
        name: of the file, for messages.
        integers: of the record's layers, where corrections made them; None where the scales alone say them.
        rewriting: of the model that the record is of.
    """

    name: str = ""
    config: QuantConfig | SimplifiedConfig | None = None
    record: Record | None = None
    integers: Integers | None = None
    rewriting: Rewriting = field(default_factory=Rewriting)

    def folds(self, layer: str) -> bool:
        """Return whether BatchNormalization may be folded into a layer."""
        if self.record is not None:
            entry = self.record.layers.get(layer)
            return entry is None or not entry.skip_fusion
        return self.config is None or self.config.folds(layer)

    def calibration_count(self, wanted: int | None, available: int) -> tuple[int, str]:
        """Return how many items calibration looks at, and what says so.

        As wanted, else the configuration's batch_num, else 100 or all there are.
        """
        if wanted is not None:
            return wanted, "calibration.count"
        if self.config is None:
            return min(DEFAULT_COUNT, available), "calibration.count"
        return self.config.batch_num, f"{self.name}: batch_num"

    def warnings(self, wanted: int | None) -> tuple[str, ...]:
        """Return what the user should know of the files, given the wanted number of calibration items."""
        if self.config is None:
            return ()
        dropped = self.config.warnings if isinstance(self.config, SimplifiedConfig) else ()
        if wanted is not None or self.config.batch_num >= _FEW:
            return dropped
        return (
            *dropped,
            f"{self.name}: batch_num {self.config.batch_num} counts batches in AMCT and items here; "
            "set calibration.count=N for more.",
        )


def read_given(quant_config: str | None, record: str | None) -> GivenFiles:
    """Return what the named files say.

    Raises:
        ConfigError: both are named.
        RecordError: one cannot be read or breaks its format.
    """
    if quant_config is not None and record is not None:
        raise ConfigError("record: a record holds the scales already; give it or quant_config, not both.")
    if quant_config is not None:
        return GivenFiles(quant_config, config=read_config(Path(quant_config)))
    if record is not None:
        path = Path(record)
        given = read_record(path)
        return GivenFiles(record, record=given, integers=read_integers(path), rewriting=read_rewriting(path))
    return GivenFiles()


@dataclass(frozen=True, slots=True, eq=False)
class StartingPoint:
    """What calibration starts from.

    Attributes:
        config: as it is written, with what the job's options change in it.
        layers: those to quantize, and inputs of other nodes.
        observers: theirs, by layer name or the record's key.
        balance: layer name -> migration strength, of those whose inputs are to be balanced.
        one_scale: those with one weight scale although their type takes one a channel.
        warnings: layers that a configuration wants and this tool cannot quantize.
    """

    config: QuantConfig
    layers: LayeredModel
    observers: Mapping[str, Observer]
    balance: Mapping[str, Strength] = field(default_factory=dict)
    one_scale: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


def starting_point(
    given: GivenFiles,
    subject: PreparedModel,
    observer: Observer,
    selection: LayerSelection,
    *,
    count: int,
    balance: Strength = 0,
) -> StartingPoint:
    """Return what calibration starts from; what the job's options say of single layers wins over a configuration.

    Args:
        given: the user's files.
        subject: the model.
        observer: for every layer, where no configuration is given.
        selection: what the job's options say of single layers.
        count: number of calibration items, for the configuration that is written then.
        balance: migration strength for the layers of which neither selection nor configuration says one; 0 for none.

    Raises:
        RecordError: the configuration does not fit the model.
        ConfigError: no layer is left to quantize.
    """
    config, found, nodes = given.config, subject.runnable, subject.node_types
    wanted = [TensorEntry(tensor.node, tensor.index) for tensor in selection.tensors]
    if config is None:
        observers = {layer.name: selection.observers.get(layer.name, observer) for layer in found.layers}
        made = observed_config(found, observers, batch_num=count, activation_offset=observer.asymmetric)
        made = made.with_tensors(replace(entry, activation=said_by(observer)) for entry in wanted)
        chosen = {layer.name: observers[layer.name] for layer in selection.quantized.layers}
        said_to_all = _strengths(found.layers, balance, {}, selection)
        strengths = {name: strength for name, strength in said_to_all.items() if name in chosen}
        chosen |= {tensor.key: observer for tensor in selection.tensors}
        layers_and_tensors = selection.quantized.with_tensors(selection.tensors)
        return StartingPoint(made.with_balance(_numbers(said_to_all)), layers_and_tensors, chosen, strengths)
    if isinstance(config, SimplifiedConfig):
        config = expand(config, found, nodes, given.name)
    config = config.with_tensors(wanted)
    start = resolve(config, found, nodes, given.name)
    layers = tuple(layer for layer in selection.quantized.layers if layer.name in start.observers)
    if not layers:
        raise ConfigError(
            f"quant_config: {given.name} and skip_layers, skip_layer_types or layers together leave no layer to quantize."
        )
    observers = {layer.name: selection.observers.get(layer.name, start.observers[layer.name]) for layer in layers}
    tensors = _tensors(config, subject, given.name)
    observers |= {tensor.key: start.observers[tensor.key] for tensor in tensors}
    said = {name: said_by(own) for name, own in selection.observers.items()}
    strengths = _strengths(layers, balance, start.balance, selection)
    return StartingPoint(
        config.with_activations(said).with_balance({layer.name: None for layer in layers} | _numbers(strengths)),
        found.only({layer.name for layer in layers}).with_tensors(tensors),
        observers,
        strengths,
        start.one_scale,
        start.warnings,
    )


def _strengths(
    layers: Iterable[Layer], balance: Strength, configured: Mapping[str, float], selection: LayerSelection
) -> dict[str, Strength]:
    """Return the migration strengths of the layers to balance: what is said nearest to a layer counts."""
    can_be = [layer.name for layer in layers if can_be_balanced(layer)]
    nearest: dict[str, Strength] = {**dict.fromkeys(can_be, balance), **configured, **selection.balance}
    return {name: nearest[name] for name in can_be if nearest[name] != 0}


def _numbers(strengths: Mapping[str, Strength]) -> dict[str, float | None]:
    """Return the strengths that are known before calibration."""
    return {name: strength for name, strength in strengths.items() if strength != AUTO}


def _tensors(config: QuantConfig, subject: PreparedModel, name: str) -> tuple[TensorInput, ...]:
    if not config.tensors:
        return ()
    model = typed(subject.runnable.graph)
    found = []
    for place, tensor in enumerate(config.tensors):
        try:
            found.append(tensor_input(model, tensor.layer_name, tensor.input_index, subject.target.limits.rounded))
        except ValueError as error:
            raise RecordError(f"{name}: tensor_quantize[{place}]: {error}") from error
    return tuple(found)
