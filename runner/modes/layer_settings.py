"""What is asked for single layers: which may be quantized, which observer chooses a layer's range, whether it is balanced.

From the general to the particular: what had better stay float does, then ``skip_layer_types``, then the entries of ``layers``
in their order (the later one wins), then ``skip_layers``. A name or pattern that means no layer is refused, so that a misspelt
one does not go unnoticed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from runner.calibration.observer import Observer
from runner.correction.options import Strength, check_strength
from runner.errors import ConfigError
from runner.graph.layers import LAYER_TYPES, LayeredModel
from runner.graph.smoothing import can_be_smoothed
from runner.modes.tensor_settings import TensorSettings


@dataclass(frozen=True, slots=True)
class LayerRule:
    """One entry of ``layers``.

    Attributes:
        match: a layer's name, or a pattern with ``*``, ``?`` and ``[…]`` over whole names, case-sensitive.
        quantize: whether the layers may be quantized; None leaves that as it is.
        observer: chooses their activation ranges; None leaves that as it is.
        balance: migration strength of AMCT's DMQ balancer for those with a weight, 0 for none, ``auto`` for the one that is
            predicted to help; None leaves that as it is.
    """

    match: str
    quantize: bool | None = None
    observer: Observer | None = None
    balance: Strength | None = None

    def matches(self, name: str) -> bool:
        """Return whether the entry holds for a layer."""
        # Names of layers may hold brackets themselves.
        return name == self.match or fnmatchcase(name, self.match)


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """The per-layer options of a job, before they meet a model.

    Attributes:
        layers: entries, later ones win.
        skip_layers: names of layers that stay float.
        skip_layer_types: operator types that stay float.
        tensor_quantize: inputs of Add and MaxPool that are rounded to int8.
    """

    layers: Sequence[LayerRule] = ()
    skip_layers: Sequence[str] = ()
    skip_layer_types: Sequence[str] = ()
    tensor_quantize: TensorSettings = "none"

    def __post_init__(self) -> None:
        for index, rule in enumerate(self.layers):
            if rule.quantize is None and rule.observer is None and rule.balance is None:
                raise ConfigError(
                    f"layers[{index}]: expected quantize, observer or balance beside match, got none of them."
                )
            if rule.balance is not None:
                check_strength(f"layers[{index}].balance", rule.balance)
        for kind in self.skip_layer_types:
            if kind not in LAYER_TYPES:
                raise ConfigError(
                    f"skip_layer_types: expected types of {', '.join(LAYER_TYPES)}, got '{kind}'.{_near(kind, LAYER_TYPES)}"
                )


@dataclass(frozen=True, slots=True, eq=False)
class LayerSelection:
    """What the settings mean for one model.

    Attributes:
        quantized: the layers that may be quantized; ``left_alone`` as found.
        skipped: names of the others, in graph order.
        observers: layer name -> observer, of the layers that have one of their own.
        balance: layer name -> migration strength, 0 for none, of the layers that have one of their own.
    """

    quantized: LayeredModel
    skipped: tuple[str, ...] = ()
    observers: Mapping[str, Observer] = field(default_factory=dict)
    balance: Mapping[str, Strength] = field(default_factory=dict)


def select_layers(settings: LayerSettings, found: LayeredModel, node_types: Mapping[str, str]) -> LayerSelection:
    """Return what the settings mean for the layers of a model.

    Args:
        settings: as configured.
        found: the model's layers.
        node_types: name -> operator type of every node, to tell a node that is no layer from one that does not exist.

    Raises:
        ConfigError: a name or pattern means no layer, or none is left to quantize.
    """
    names = [layer.name for layer in found.layers]
    reasons = {left.name: left.reason for left in found.better_float}
    skipped = {layer.name for layer in found.layers if layer.op_type in settings.skip_layer_types} | set(reasons)
    observers: dict[str, Observer] = {}
    balance: dict[str, Strength] = {}
    can_be = {layer.name for layer in found.layers if can_be_smoothed(layer)}
    for index, rule in enumerate(settings.layers):
        matched = [name for name in names if rule.matches(name)]
        if not matched:
            raise ConfigError(
                f"layers[{index}].match: '{rule.match}' matches {_no_layer(rule.match, found, node_types)}"
            )
        if rule.quantize is not None:
            (skipped.difference_update if rule.quantize else skipped.update)(matched)
        if rule.observer is not None:
            observers |= dict.fromkeys(matched, rule.observer)
        if rule.balance is not None:
            weighted = [name for name in matched if name in can_be]
            if not weighted:
                raise ConfigError(
                    f"layers[{index}].balance: '{rule.match}' matches only layers without a weight, such as {matched[0]} "
                    f"({node_types[matched[0]]}); expected a Conv, ConvTranspose, Gemm or MatMul."
                )
            balance |= dict.fromkeys(weighted, rule.balance)
    for name in settings.skip_layers:
        if name not in names:
            raise ConfigError(f"skip_layers: {_no_skippable(name, found, node_types)}")
        skipped.add(name)
    quantized = [name for name in names if name not in skipped]
    if not quantized:
        raise ConfigError(
            f"Except skip_layers, no layer needs to quantize. All {len(names)} layers are left out by skip_layers, "
            "skip_layer_types or layers; leave at least one." + _kept_float(reasons)
        )
    return LayerSelection(found.only(quantized), tuple(name for name in names if name in skipped), observers, balance)


def _kept_float(reasons: Mapping[str, str]) -> str:
    """Return which layers nobody left out, and how to have them in int8 all the same."""
    listed = "".join(f" {name} stays float by itself: {reason}." for name, reason in reasons.items())
    return f"{listed} Have it in int8 all the same: {in_int8(next(iter(reasons)))}." if reasons else ""


def in_int8(name: str) -> str:
    """Return the option by which a layer becomes int8 that stays float by itself."""
    return f"layers=[{{match: '{name}', quantize: true}}]"


def _no_layer(pattern: str, found: LayeredModel, node_types: Mapping[str, str]) -> str:
    reasons = _reasons(found)
    others = [name for name in node_types if name == pattern or fnmatchcase(name, pattern)]
    if others:
        name = others[0]
        reason = reasons.get(name, f"a {node_types[name]} is never quantized")
        return f"no layer that can be quantized, only nodes such as {name} ({node_types[name]}): {reason}."
    return f"none of the {len(found.layers)} layers.{_near(pattern, [layer.name for layer in found.layers])}"


def _no_skippable(name: str, found: LayeredModel, node_types: Mapping[str, str]) -> str:
    if name not in node_types:
        return f"Layer {name} does not exist in the graph.{_near(name, [layer.name for layer in found.layers])}"
    reason = _reasons(found).get(name, f"a {node_types[name]} is never quantized")
    return f"Layer {name} is not quantized anyway ({reason}). Leave it out."


def _reasons(found: LayeredModel) -> dict[str, str]:
    return {left.name: left.reason for left in found.left_alone}


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f" Did you mean {' or '.join(near)}?" if near else ""
