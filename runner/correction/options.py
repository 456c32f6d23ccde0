"""Which corrections a job makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeGuard

from runner.errors import ConfigError

# Of AMCT's DMQ balancer, both included.
LEAST_STRENGTH, MOST_STRENGTH = 0.2, 0.8
# The strength that is predicted to help a layer most, or none: where it is worth a Mul, or only where little else would do.
AUTO: Final = "auto"
SPARING: Final = "sparing"
Strength = float | Literal["auto", "sparing"]


@dataclass(frozen=True, slots=True)
class Correction:
    """Each option is useful alone; none of them changes what AMCT itself would write.

    Attributes:
        bias: bias correction. ``isolated``: each layer's mean output error on float inputs goes into its bias; ``sequential``:
            on inputs that the layers before it have quantized already; ``none``. (``bias_correction.py``, ``output_fit.py``)
        scale: whether the fit of the bias also fits one factor a channel, which goes into the weight scale.
        rounding: ``nearest``, or ``compensated``: GPTQ, the integers that hurt the layer's output least.
            (``weight_rounding.py``)
        range: ``observer``, or ``output``: the range, among the observer's and those inside what was seen, that hurts the
            layer's output least; those that read one tensor share it, and their errors add up. (``output_range.py``)
        repair: whether every correction is made where these leave the all-int8 plan short of the target, before any layer
            falls back.
        pixels: pixel codes. Whether the first convolution reads an image's own levels as codes, where normalization has put
            them between these. (``pixel_codes.py``)
        equalize: cross-layer equalization. Whether channels that layers read are scaled in the float model, in the layer or the
            normalization that makes them, where that is predicted to help. (``cross_layer_equalization.py``)
        balance: smoothing. Migration strength of AMCT's DMQ balancer, for every layer with a weight of which nothing nearer
            says another; 0 balances none, ``auto`` those that are predicted to gain, ``sparing`` those of which it is predicted
            to take nine tenths of the error away. (``smoothing.py``)
    """

    bias: Literal["none", "isolated", "sequential"] = "none"
    scale: bool = False
    rounding: Literal["nearest", "compensated"] = "nearest"
    range: Literal["observer", "output"] = "observer"
    repair: bool = False
    pixels: bool = False
    equalize: bool = False
    balance: Strength = 0

    def __post_init__(self) -> None:
        if self.scale and self.bias == "none":
            raise ConfigError(
                "correction.scale: the factor is fitted together with the bias; expected correction.bias=isolated or "
                "sequential beside it, got none. Set one of them, or correction.scale=false."
            )

        check_strength("correction.balance", self.balance)

    @property
    def changes_nothing(self) -> bool:
        """Return whether the layers stay as calibration made them, of the rewritten model or the plain one, smoothed or not."""
        return self.of_layers == Correction()

    @property
    def depends_on_plan(self) -> bool:
        """Return whether a layer's integers depend on which of the others are int8, and on theirs."""
        return self.bias == "sequential"

    @property
    def of_layers(self) -> Correction:
        """Return what is done to the layers once they are calibrated, and at once: no repair after."""
        return replace(self, repair=False, pixels=False, equalize=False, balance=0)


def check_strength(key: str, strength: Strength) -> None:
    """Raise a ConfigError unless it is a migration strength that AMCT takes, 0, ``auto`` or ``sparing``."""
    if strength not in (AUTO, SPARING, 0) and not (is_number(strength) and LEAST_STRENGTH <= strength <= MOST_STRENGTH):
        raise ConfigError(
            f"{key}: expected a migration strength of {LEAST_STRENGTH} to {MOST_STRENGTH}, {AUTO}, {SPARING}, or 0 for no "
            f"balancing, got {strength}."
        )


def is_number(strength: Strength) -> TypeGuard[float]:
    """Return whether a strength is known before calibration."""
    return not isinstance(strength, str)


# Without rewriting and smoothing: both are decided before a plan can miss the target.
EVERY_CORRECTION = Correction("sequential", scale=True, rounding="compensated", range="output")
# The best that each layer has without knowing of the others.
INDEPENDENT_CORRECTION = Correction("isolated")
