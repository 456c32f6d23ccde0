"""config.json and final_config.json, AMCT's or ours, of any version: a strict reader and a writer that gives it back.

    {"version":1, "batch_num":1, "activation_offset":true, …, "<layer>":{"quant_enable":true,
     "activation_quant_params":{…}, "weight_quant_params":{…}}, …}

Types are strict (true is no number), unknown and repeated keys are refused, missing ones have AMCT's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from runner.amct_config.limits import (
    GLOBAL_KEYS,
    check_batch_num,
    check_input_index,
    check_migration_strength,
    check_num_bits,
    check_num_of_bins,
    check_percentile,
    check_search_range,
    check_search_step,
)
from runner.amct_config.model import (
    ActivationAlgorithm,
    ArqParams,
    HfmgParams,
    IfmrParams,
    LayerEntry,
    QuantConfig,
    TensorEntry,
)
from runner.errors import RecordError
from runner.printable import escaped_json
from runner.strict_json import is_number, parse_object

_BALANCE, _ACTIVATION, _WEIGHT = "dmq_balancer_param", "activation_quant_params", "weight_quant_params"
_TENSOR_KEYS = ("layer_name", "input_index", _ACTIVATION)
_IFMR_KEYS = ("max_percentile", "min_percentile", "search_range", "search_step")
_HFMG_KEYS = ("num_of_bins",)
_COMMON_ACTIVATION_KEYS = ("num_bits", "act_algo", "asymmetric")
_ARQ_KEYS = ("num_bits", "wts_algo", "channel_wise")
_NUQ_KEYS = ("num_steps", "num_of_iteration")
_ADA_KEYS = ("num_iteration", "reg_param", "beta_range", "warm_start")


def parse_config(text: str, name: str) -> QuantConfig:
    """Return the configuration of a text.

    Args:
        text: JSON.
        name: of the file, for messages.

    Raises:
        RecordError: the text breaks the format or asks for something that is not supported; names file and key.
    """
    return _config(_Section(parse_object(text, name), name, ""))


def format_config(config: QuantConfig) -> str:
    """Return the file's text as AMCT writes it: indent 4, no space after a colon, layers in alphabetical order."""
    text = json.dumps(config_entries(config), indent=4, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return escaped_json(text)


def config_entries(config: QuantConfig) -> dict[str, Any]:
    """Return the file's content, keys in AMCT's order."""
    entries: dict[str, Any] = {
        "version": 1,
        "batch_num": config.batch_num,
        "activation_offset": config.activation_offset,
        "joint_quant": config.joint_quant,
        "do_fusion": config.do_fusion,
        "skip_fusion_layers": list(config.skip_fusion_layers),
        "fakequant_precision_mode": config.fakequant_precision_mode,
        "tensor_quantize": None if config.tensor_quantize is None else list(map(_tensor_entries, config.tensors)),
    }
    layers = {
        name: {
            "quant_enable": entry.quant_enable,
            **_present({_BALANCE: entry.balance}),
            _ACTIVATION: activation_entries(entry.activation),
            _WEIGHT: _present(
                {
                    "num_bits": entry.weight.num_bits,
                    "wts_algo": "arq_quantize",
                    "channel_wise": entry.weight.channel_wise,
                }
            ),
        }
        for name, entry in sorted(config.layers)
    }
    return {**_present(entries), **layers}


def activation_entries(params: ActivationAlgorithm) -> dict[str, Any]:
    """Return ``activation_quant_params``, keys in AMCT's order."""
    if isinstance(params, HfmgParams):
        return _present(
            {
                "num_bits": params.num_bits,
                "act_algo": "hfmg",
                "num_of_bins": params.num_of_bins,
                "asymmetric": params.asymmetric,
            }
        )
    return _present(
        {
            "num_bits": params.num_bits,
            "max_percentile": params.max_percentile,
            "min_percentile": params.min_percentile,
            "search_range": list(params.search_range),
            "search_step": params.search_step,
            "act_algo": "ifmr",
            "asymmetric": params.asymmetric,
        }
    )


def parse_activation(entries: Mapping[str, Any], name: str) -> ActivationAlgorithm:
    """Return ``activation_quant_params``.

    Args:
        entries: its keys and values.
        name: of whoever gave them, for messages.

    Raises:
        RecordError: a key is unknown, or a value illegal.
    """
    return _activation(_Section(entries, name, _ACTIVATION))


class _Section:
    """One object of the file: takes values by key and type, and knows where it stands."""

    def __init__(self, entries: Mapping[str, Any], file: str, where: str) -> None:
        self.entries, self.file, self.where = entries, file, where

    def key(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def error(self, key: str, problem: str) -> RecordError:
        return RecordError(f"{self.file}: {self.key(key)}: {problem}.")

    def section(self, key: str) -> _Section:
        value = self.entries.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"expected an object of options, got {_shown(value)}")
        return _Section(value, self.file, self.key(key))

    def only(self, keys: tuple[str, ...]) -> None:
        for key in self.entries:
            if key not in keys:
                raise RecordError(
                    f"{self.file}: Unknown parameter {key} in {self.where}; expected {', '.join(sorted(keys))}."
                )

    def boolean(self, key: str) -> bool | None:
        value = self.entries.get(key)
        if key in self.entries and not isinstance(value, bool):
            raise self.error(key, f"expected true or false, got {_shown(value)}")
        return value

    def integer(self, key: str, check: Callable[[int], None]) -> int | None:
        value = self.entries.get(key)
        if key not in self.entries:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"expected a whole number, got {_shown(value)}")
        self.checked(key, lambda: check(value))
        return value

    def number(self, key: str, default: float) -> float:
        value = self.entries.get(key, default)
        if not is_number(value):
            raise self.error(key, f"expected a number, got {_shown(value)}")
        return float(value)

    def text(self, key: str) -> str | None:
        value = self.entries.get(key)
        if key in self.entries and not isinstance(value, str):
            raise self.error(key, f"expected text, got {_shown(value)}")
        return value

    def checked(self, key: str, check: Callable[[], None]) -> None:
        try:
            check()
        except ValueError as error:
            raise self.error(key, str(error)) from error


def _config(root: _Section) -> QuantConfig:
    version = root.entries.get("version", 1)
    if version != 1 or isinstance(version, bool) or not isinstance(version, int):
        raise root.error("version", f"expected 1, got {_shown(version)}")
    batch_num, offset = root.integer("batch_num", check_batch_num), root.boolean("activation_offset")
    joint_quant, do_fusion = root.boolean("joint_quant"), root.boolean("do_fusion")
    if joint_quant:
        raise root.error("joint_quant", "joint quantization is not supported; expected false, got true")
    skipped = root.entries.get("skip_fusion_layers", [])
    if not isinstance(skipped, list) or not all(isinstance(name, str) for name in skipped):
        raise root.error("skip_fusion_layers", f"expected a list of layer names, got {_shown(skipped)}")
    precision = root.text("fakequant_precision_mode")
    if precision not in (None, "DEFAULT"):
        raise root.error(
            "fakequant_precision_mode", f"expected DEFAULT, the only mode supported here, got {_shown(precision)}"
        )
    layers = []
    for name in sorted(root.entries.keys() - set(GLOBAL_KEYS)):
        if not isinstance(root.entries[name], dict):
            raise RecordError(f"{root.file}: {name} is an invalid layer name or parameter.")
        layers.append((name, _layer(root.section(name))))
    return QuantConfig(
        batch_num=1 if batch_num is None else batch_num,
        activation_offset=True if offset is None else offset,
        do_fusion=True if do_fusion is None else do_fusion,
        skip_fusion_layers=tuple(skipped),
        joint_quant=joint_quant,
        fakequant_precision_mode=precision,
        tensor_quantize=_tensors(root) if "tensor_quantize" in root.entries else None,
        layers=tuple(layers),
    )


def _tensors(root: _Section) -> tuple[TensorEntry, ...]:
    listed = root.entries["tensor_quantize"]
    if not isinstance(listed, list):
        raise root.error("tensor_quantize", f"expected a list of objects, got {_shown(listed)}")
    tensors: dict[str, TensorEntry] = {}
    for index, value in enumerate(listed):
        key = f"tensor_quantize[{index}]"
        if not isinstance(value, dict):
            raise root.error(key, f"expected an object of {', '.join(_TENSOR_KEYS)}, got {_shown(value)}")
        tensor = _tensor(_Section(value, root.file, key))
        if tensor.key in tensors:
            raise root.error(
                key,
                f"input {tensor.input_index} of layer '{tensor.layer_name}' is given twice; expected one entry each",
            )
        tensors[tensor.key] = tensor
    return tuple(tensors.values())


def _tensor(section: _Section) -> TensorEntry:
    section.only(_TENSOR_KEYS)
    name, index = section.text("layer_name"), section.integer("input_index", check_input_index)
    for key, value in (("layer_name", name), ("input_index", index)):
        if value is None:
            raise section.error(key, "it is missing; expected the name of a node and the index of its input")
    assert name is not None and index is not None  # checked above
    return TensorEntry(name, index, _activation(section.section(_ACTIVATION)))


def _tensor_entries(tensor: TensorEntry) -> dict[str, Any]:
    return {
        "layer_name": tensor.layer_name,
        "input_index": tensor.input_index,
        _ACTIVATION: activation_entries(tensor.activation),
    }


def _layer(section: _Section) -> LayerEntry:
    section.only(("quant_enable", _BALANCE, _ACTIVATION, _WEIGHT))
    enable = section.boolean("quant_enable")
    strength = None
    if _BALANCE in section.entries:
        strength = section.number(_BALANCE, 0)
        section.checked(_BALANCE, partial(check_migration_strength, strength))
    return LayerEntry(
        True if enable is None else enable,
        _activation(section.section(_ACTIVATION)),
        _weight(section.section(_WEIGHT)),
        strength,
    )


def _activation(section: _Section) -> ActivationAlgorithm:
    section.only((*_COMMON_ACTIVATION_KEYS, *_IFMR_KEYS, *_HFMG_KEYS))
    algorithm = section.text("act_algo")
    if algorithm not in (None, "ifmr", "hfmg"):
        raise section.error("act_algo", f"expected ifmr or hfmg, got {_shown(algorithm)}")
    own, foreign = (_HFMG_KEYS, _IFMR_KEYS) if algorithm == "hfmg" else (_IFMR_KEYS, _HFMG_KEYS)
    mixed = [key for key in section.entries if key in foreign]
    if mixed:
        raise section.error(
            mixed[0], f"not a parameter of {algorithm or 'ifmr'}, which takes {', '.join(own)}; the two cannot be mixed"
        )
    bits, asymmetric = section.integer("num_bits", check_num_bits), section.boolean("asymmetric")
    if algorithm == "hfmg":
        bins = section.integer("num_of_bins", check_num_of_bins)
        return HfmgParams(HfmgParams().num_of_bins if bins is None else bins, bits, asymmetric)
    default = IfmrParams()
    largest = section.number("max_percentile", default.max_percentile)
    section.checked("max_percentile", lambda: check_percentile(largest))
    smallest = section.number("min_percentile", default.min_percentile)
    section.checked("min_percentile", lambda: check_percentile(smallest))
    ends = section.entries.get("search_range", list(default.search_range))
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(is_number, ends)):
        raise section.error("search_range", f"expected two numbers [start, end], got {_shown(ends)}")
    start, end = float(ends[0]), float(ends[1])
    section.checked("search_range", lambda: check_search_range(start, end))
    step = section.number("search_step", default.search_step)
    section.checked("search_step", lambda: check_search_step(step, start, end))
    return IfmrParams(largest, smallest, (start, end), step, bits, asymmetric)


def _weight(section: _Section) -> ArqParams:
    algorithm = section.text("wts_algo")
    if algorithm in ("nuq_quantize", "ada_quantize"):
        raise section.error("wts_algo", f"{algorithm} is not supported; expected arq_quantize")
    if algorithm not in (None, "arq_quantize"):
        raise section.error("wts_algo", f"expected arq_quantize, got {_shown(algorithm)}")
    for key in section.entries:
        if key in (*_NUQ_KEYS, *_ADA_KEYS):
            raise section.error(key, "not a parameter of arq_quantize, which takes num_bits, channel_wise")
    section.only(_ARQ_KEYS)
    return ArqParams(section.boolean("channel_wise"), section.integer("num_bits", check_num_bits))


def _present(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value is not None}


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    return json.dumps(value, ensure_ascii=False)[:60]
