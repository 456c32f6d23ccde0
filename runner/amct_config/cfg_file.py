"""The simplified configuration (``.cfg``), protobuf text, AMCT's ``config_defination``.

    batch_num: 2
    skip_layers: "Conv_0"
    common_config: { arq_quantize: { channel_wise: true } ifmr_quantize: { search_step: 0.02 } }
    override_layer_configs: { layer_name: "Conv_5" calibration_config: { hfmg_quantize: { num_of_bins: 4096 } } }

What is not supported is refused in an override and dropped with a warning in ``common_config``, as AMCT does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import text_format

from runner.amct_config.cfg_proto import amct_config_message
from runner.amct_config.limits import (
    check_batch_num,
    check_migration_strength,
    check_num_of_bins,
    check_percentile,
    check_search_range,
    check_search_step,
)
from runner.amct_config.model import ActivationAlgorithm, ArqParams, HfmgParams, IfmrParams
from runner.errors import RecordError
from runner.wording import say

# AMCT's default.
_MIGRATION_STRENGTH = 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """A ``calibration_config``: the algorithms that it names."""

    activation: ActivationAlgorithm | None = None
    weight: ArqParams | None = None
    balance: float | None = None


@dataclass(frozen=True, slots=True)
class SimplifiedConfig:
    """A ``.cfg`` file.

    Attributes:
        types, layers: overrides, (type or name, choice), in the file's order.
        tensors: inputs of nodes to quantize, ((node, input), choice), in the file's order.
        warnings: what was dropped from ``common_config``.
    """

    batch_num: int = 1
    activation_offset: bool = True
    do_fusion: bool = True
    skip_layers: tuple[str, ...] = ()
    skip_layer_types: tuple[str, ...] = ()
    skip_fusion_layers: tuple[str, ...] = ()
    common: Choice = Choice()
    types: tuple[tuple[str, Choice], ...] = ()
    layers: tuple[tuple[str, Choice], ...] = ()
    tensors: tuple[tuple[tuple[str, int], Choice], ...] = ()
    warnings: tuple[str, ...] = ()

    def folds(self, layer: str) -> bool:
        """Return whether what follows a layer may be folded into it."""
        return self.do_fusion and layer not in self.skip_fusion_layers


def parse_cfg(text: str, name: str) -> SimplifiedConfig:
    """Return the simplified configuration of a text.

    Args:
        text: protobuf text.
        name: of the file, for messages.

    Raises:
        RecordError: the text breaks the format or asks for something that is not supported; names line or key.
    """
    message = amct_config_message()()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        place = f"{name}:{error.GetLine()}" if error.GetLine() else name
        raise RecordError(
            f"{place}: expected a simplified AMCT configuration in protobuf text, got: {error}."
        ) from error
    _refuse_unsupported(message, name)
    batch_num = message.batch_num if message.HasField("batch_num") else 1
    _checked(name, "batch_num", lambda: check_batch_num(batch_num))
    warnings: list[str] = []
    common = _choice(message.common_config, f"{name}: common_config", warnings)
    return SimplifiedConfig(
        batch_num=batch_num,
        activation_offset=_or_true(message, "activation_offset"),
        do_fusion=_or_true(message, "do_fusion"),
        skip_layers=tuple(message.skip_layers),
        skip_layer_types=tuple(message.skip_layer_types),
        skip_fusion_layers=tuple(message.skip_fusion_layers),
        common=common,
        types=_overrides(message.override_layer_types, "override_layer_types", "layer_type", name),
        layers=_overrides(message.override_layer_configs, "override_layer_configs", "layer_name", name),
        tensors=_tensors(message.tensor_quantize, name),
        warnings=tuple(warnings),
    )


def _refuse_unsupported(message: Any, name: str) -> None:  # noqa: ANN401 - a protobuf message
    if message.HasField("version") and message.version != 1:
        raise RecordError(f"{name}: version: expected 1, got {message.version}.")
    if message.joint_quant:
        raise RecordError(f"{name}: joint_quant: joint quantization is not supported; expected false, got true.")
    if message.HasField("nuq_config"):
        raise RecordError(f"{name}: nuq_config: non-uniform quantization is not supported; take it out.")
    if message.fakequant_precision_mode:
        raise RecordError(
            f"{name}: fakequant_precision_mode: expected DEFAULT, the only mode supported here, got FORCE_FP16_QUANT."
        )


def _overrides(entries: Sequence[Any], field: str, key: str, name: str) -> tuple[tuple[str, Choice], ...]:
    found: dict[str, Choice] = {}
    for entry in entries:
        target = getattr(entry, key)
        if not target:
            raise RecordError(f"{name}: {field}: an entry has no {key}.")
        if target in found:
            raise RecordError(f"{name}: {field}: {key} '{target}' is given twice; expected one entry each.")
        found[target] = _choice(entry.calibration_config, f"{name}: {field} '{target}'", None)
    return tuple(found.items())


def _tensors(entries: Sequence[Any], name: str) -> tuple[tuple[tuple[str, int], Choice], ...]:
    found: dict[tuple[str, int], Choice] = {}
    for entry in entries:
        for key in ("layer_name", "input_index"):
            if not entry.HasField(key):
                raise RecordError(
                    f"{name}: tensor_quantize: an entry has no {key}; expected the name of a node and the index of its input."
                )
        place, where = (entry.layer_name, entry.input_index), f"{name}: tensor_quantize '{entry.layer_name}'"
        if place in found:
            raise RecordError(f"{where}: input {entry.input_index} is given twice; expected one entry each.")
        found[place] = Choice(_activation(entry, where, _refusing(where)))
    return tuple(found.items())


def _refusing(where: str) -> Callable[[str, str], None]:
    """Return what refuses an unsupported key."""

    def refuse(key: str, problem: str) -> None:
        raise RecordError(f"{where}: {key}: {problem}.")

    return refuse


def _choice(message: Any, where: str, dropped: list[str] | None) -> Choice:  # noqa: ANN401
    """Return what a ``calibration_config`` names.

    Args:
        message: the protobuf message.
        where: file and field, for messages.
        dropped: collects warnings of what is left out; None refuses it instead.
    """

    def drop(key: str, problem: str) -> None:
        assert dropped is not None  # otherwise it is refused
        dropped.append(say("{where}: {key} is left out: {problem}", where=where, key=key, problem=problem))

    unsupported = _refusing(where) if dropped is None else drop
    for key in ("ada_quantize", "nuq_quantize"):
        if message.HasField(key):
            unsupported(key, f"{key} is not supported")
    return Choice(_activation(message, where, unsupported), _weight(message, unsupported), _balance(message, where))


def _activation(message: Any, where: str, unsupported: Callable[[str, str], None]) -> ActivationAlgorithm | None:  # noqa: ANN401
    if message.HasField("hfmg_quantize"):
        hfmg = message.hfmg_quantize
        _eight_bits(hfmg, "hfmg_quantize", unsupported)
        bins = hfmg.num_of_bins if hfmg.HasField("num_of_bins") else HfmgParams().num_of_bins
        _checked(where, "hfmg_quantize.num_of_bins", lambda: check_num_of_bins(bins))
        return HfmgParams(bins, 8, _optional(hfmg, "asymmetric"))
    if not message.HasField("ifmr_quantize"):
        return None
    ifmr, default = message.ifmr_quantize, IfmrParams()
    _eight_bits(ifmr, "ifmr_quantize", unsupported)
    largest = _float(ifmr, "max_percentile", default.max_percentile)
    smallest = _float(ifmr, "min_percentile", default.min_percentile)
    start = _float(ifmr, "search_range_start", default.search_range[0])
    end = _float(ifmr, "search_range_end", default.search_range[1])
    step = _float(ifmr, "search_step", default.search_step)
    key = "ifmr_quantize"
    _checked(where, f"{key}.max_percentile", lambda: check_percentile(largest))
    _checked(where, f"{key}.min_percentile", lambda: check_percentile(smallest))
    _checked(where, f"{key}.search_range_start, search_range_end", lambda: check_search_range(start, end))
    _checked(where, f"{key}.search_step", lambda: check_search_step(step, start, end))
    return IfmrParams(largest, smallest, (start, end), step, 8, _optional(ifmr, "asymmetric"))


def _weight(message: Any, unsupported: Callable[[str, str], None]) -> ArqParams | None:  # noqa: ANN401
    if not message.HasField("arq_quantize"):
        return None
    arq = message.arq_quantize
    for key in ("quant_bits", "num_bits"):
        if arq.HasField(key) and getattr(arq, key) != 8:
            unsupported(f"arq_quantize.{key}", f"expected 8, got {getattr(arq, key)}")
    return ArqParams(_optional(arq, "channel_wise"), 8)


def _balance(message: Any, where: str) -> float | None:  # noqa: ANN401
    if not message.HasField("dmq_balancer"):
        return None
    strength = _float(message.dmq_balancer, "migration_strength", _MIGRATION_STRENGTH)
    _checked(where, "dmq_balancer.migration_strength", lambda: check_migration_strength(strength))
    return strength


def _eight_bits(message: Any, name: str, unsupported: Callable[[str, str], None]) -> None:  # noqa: ANN401
    if message.HasField("num_bits") and message.num_bits != 8:
        unsupported(f"{name}.num_bits", f"expected 8, got {message.num_bits}")
    kind = message.DESCRIPTOR.fields_by_name["dst_type"].enum_type.values_by_number[message.dst_type].name
    if message.HasField("dst_type") and kind != "INT8":
        unsupported(f"{name}.dst_type", f"expected INT8, got {kind}")


def _checked(where: str, key: str, check: Callable[[], None]) -> None:
    try:
        check()
    except ValueError as error:
        raise RecordError(f"{where}: {key}: {error}.") from error


def _float(message: Any, key: str, default: float) -> float:  # noqa: ANN401
    """Return the number that the file shows: a float32 through its shortest text, so that 0.7 stays 0.7."""
    return float(str(np.float32(getattr(message, key)))) if message.HasField(key) else default


def _optional(message: Any, key: str) -> bool | None:  # noqa: ANN401
    return bool(getattr(message, key)) if message.HasField(key) else None


def _or_true(message: Any, key: str) -> bool:  # noqa: ANN401
    return bool(getattr(message, key)) if message.HasField(key) else True
