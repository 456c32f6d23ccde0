"""The small MobileNetV2, as a float network with batch normalization and as a folded, fake-quantized one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10
STEM_CHANNELS = 24
HEAD_CHANNELS = 192
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 48, 2, 1))
"""One stage a row, as in the MobileNetV2 paper: expansion, output channels, number of blocks, first stride."""


@dataclass(frozen=True)
class ConvPlan:
    """One convolution: its name in the ONNX file, its sizes, and whether a ReLU6 follows."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    groups: int
    relu6: bool

    @property
    def padding(self) -> int:
        """Pixels added on each side."""
        return self.kernel // 2


@dataclass(frozen=True)
class BlockPlan:
    """Convolutions that follow one another; a residual block adds its input to their result."""

    name: str
    convs: tuple[ConvPlan, ...]
    residual: bool


def inverted_residual(name: str, in_channels: int, out_channels: int, expansion: int, stride: int) -> BlockPlan:
    """Expansion 1x1, depthwise 3x3 and linear projection 1x1; without the first where the expansion is 1."""
    hidden = in_channels * expansion
    convs = [
        ConvPlan(f"{name}/depthwise", hidden, hidden, 3, stride, hidden, relu6=True),
        ConvPlan(f"{name}/project", hidden, out_channels, 1, 1, 1, relu6=False),
    ]
    if expansion != 1:
        convs.insert(0, ConvPlan(f"{name}/expand", in_channels, hidden, 1, 1, 1, relu6=True))
    return BlockPlan(name, tuple(convs), residual=stride == 1 and in_channels == out_channels)


def plan_network() -> tuple[BlockPlan, ...]:
    """Everything before the global average pool, in order."""
    blocks = [BlockPlan("stem", (ConvPlan("stem", 3, STEM_CHANNELS, 3, 2, 1, relu6=True),), residual=False)]
    channels = STEM_CHANNELS
    for expansion, out_channels, count, first_stride in STAGES:
        for repeat in range(count):
            stride = first_stride if repeat == 0 else 1
            blocks.append(inverted_residual(f"block{len(blocks)}", channels, out_channels, expansion, stride))
            channels = out_channels
    blocks.append(BlockPlan("head", (ConvPlan("head", channels, HEAD_CHANNELS, 1, 1, 1, relu6=True),), residual=False))
    return tuple(blocks)


class ConvBn(nn.Module):
    """A convolution without bias, its batch normalization, and a ReLU6 where the plan has one."""

    def __init__(self, plan: ConvPlan) -> None:
        super().__init__()
        self.plan = plan
        self.conv = nn.Conv2d(
            plan.in_channels, plan.out_channels, plan.kernel, plan.stride, plan.padding, groups=plan.groups, bias=False
        )
        self.norm = nn.BatchNorm2d(plan.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / stride, W / stride]."""
        y = self.norm(self.conv(x))
        return functional.relu6(y) if self.plan.relu6 else y

    def fold(self) -> tuple[Tensor, Tensor]:
        """Weight (the convolution's shape) and bias [out_channels] of the one convolution that does the same."""
        assert self.norm.running_mean is not None and self.norm.running_var is not None
        factor = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        weight = self.conv.weight * factor.reshape(-1, 1, 1, 1)
        return weight.detach().clone(), (self.norm.bias - self.norm.running_mean * factor).detach().clone()


class MobileNetV2(nn.Module):
    """The float network."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = plan_network()
        self.units = nn.ModuleDict({conv.name: ConvBn(conv) for block in self.blocks for conv in block.convs})
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Network input [N, 3, 32, 32] -> logits [N, 10]."""
        x = run_blocks(self.blocks, self.units, x)
        x = functional.dropout(x.mean(dim=(2, 3)), 0.2, self.training)
        logits: Tensor = self.classifier(x)
        return logits

    def conv_units(self) -> Iterator[ConvBn]:
        """The convolutions in order."""
        for unit in self.units.values():
            assert isinstance(unit, ConvBn)
            yield unit


def run_blocks(blocks: tuple[BlockPlan, ...], units: nn.ModuleDict, x: Tensor) -> Tensor:
    """Network input [N, 3, 32, 32] -> the head's feature map [N, 192, 4, 4]."""
    for block in blocks:
        y = x
        for conv in block.convs:
            y = units[conv.name](y)
        x = x + y if block.residual else y
    return x


def round_through(x: Tensor) -> Tensor:
    """Round to the nearest, ties to even; the gradient passes unchanged (straight-through estimator)."""
    return x + (torch.round(x) - x).detach()


def weight_scale(weight: Tensor, per_channel: bool) -> Tensor:
    """Symmetric int8 scale of a weight from its largest magnitude: [out_channels] per channel, else a scalar."""
    magnitude = weight.detach().abs()
    largest = magnitude.flatten(1).amax(dim=1) if per_channel else magnitude.amax()
    # A channel that is all zero still needs a scale that can be divided by.
    return largest.clamp_min(1e-6) / 127.0


def fake_quantize_weight(weight: Tensor, per_channel: bool) -> Tensor:
    """The weight rounded to int8 and back, in the weight's own shape and unit; the gradient passes unchanged."""
    scale = weight_scale(weight, per_channel)
    if per_channel:
        scale = scale.reshape(-1, *([1] * (weight.dim() - 1)))
    return round_through(weight / scale).clamp(-128.0, 127.0) * scale


class ActivationQuantizer(nn.Module):
    """Asymmetric uint8 fake quantization of one tensor, its range a moving average of the batches' extremes.

    `low` <= 0 <= `high` are in the tensor's own unit: 0 is always in the range, so that padding is exact.
    """

    low: Tensor
    high: Tensor

    def __init__(self, decay: float = 0.95) -> None:
        super().__init__()
        self.decay = decay
        self.observing = True
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def observe(self, x: Tensor) -> None:
        """Take the extremes of `x` into the averages; the first batch sets them."""
        low, high = x.detach().amin().clamp_max(0.0), x.detach().amax().clamp_min(0.0)
        first = bool(self.low == self.high)
        self.low.copy_(low if first else torch.lerp(low, self.low, self.decay))
        self.high.copy_(high if first else torch.lerp(high, self.high, self.decay))

    def parameters_of_range(self) -> tuple[Tensor, Tensor]:
        """Scale (float32 scalar, unit per step) and zero point (scalar, a whole number 0..255)."""
        scale = (self.high - self.low) / 255.0
        return scale, torch.round(-self.low / scale).clamp(0.0, 255.0)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape, rounded to the 256 levels."""
        if self.training and self.observing:
            self.observe(x)
        scale, zero_point = self.parameters_of_range()
        # The zero point is added after rounding, as QuantizeLinear does.
        level = (round_through(x / scale) + zero_point).clamp(0.0, 255.0)
        return (level - zero_point) * scale


class QuantConv(nn.Module):
    """A folded convolution with fake quantization of its input (uint8) and weight (int8 per output channel)."""

    def __init__(self, folded: ConvBn) -> None:
        super().__init__()
        self.plan = folded.plan
        weight, bias = folded.fold()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.quantizer = ActivationQuantizer()

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H / stride, W / stride]."""
        weight = fake_quantize_weight(self.weight, per_channel=True)
        plan = self.plan
        y = functional.conv2d(self.quantizer(x), weight, self.bias, plan.stride, plan.padding, groups=plan.groups)
        return functional.relu6(y) if plan.relu6 else y


class QuantMobileNetV2(nn.Module):
    """The network for quantization-aware training, started from a trained float network."""

    def __init__(self, source: MobileNetV2) -> None:
        super().__init__()
        self.blocks = source.blocks
        self.units = nn.ModuleDict({unit.plan.name: QuantConv(unit) for unit in source.conv_units()})
        self.weight = nn.Parameter(source.classifier.weight.detach().clone())
        self.bias = nn.Parameter(source.classifier.bias.detach().clone())
        self.quantizer = ActivationQuantizer()

    def forward(self, x: Tensor) -> Tensor:
        """Network input [N, 3, 32, 32] -> logits [N, 10]."""
        x = run_blocks(self.blocks, self.units, x).mean(dim=(2, 3))
        return functional.linear(self.quantizer(x), fake_quantize_weight(self.weight, per_channel=False), self.bias)

    def conv_units(self) -> Iterator[QuantConv]:
        """The convolutions in order."""
        for unit in self.units.values():
            assert isinstance(unit, QuantConv)
            yield unit

    def freeze_ranges(self) -> None:
        """Keep every activation range as it is from now on."""
        for module in self.modules():
            if isinstance(module, ActivationQuantizer):
                module.observing = False
