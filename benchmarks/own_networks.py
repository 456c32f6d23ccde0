"""Networks of the kinds that no library offers small: a segmenter, a reader, a mixer, a detector, a vocoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """[N, 3, H, W] -> [N, 4, H, W]; H and W are multiples of 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = (
            _norm_block(3, width),
            _norm_block(width, width),
            _norm_block(width, width),
        )
        self.up2 = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.up1 = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.join2, self.join1 = _norm_block(2 * width, width), _norm_block(2 * width, width)
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of 4 classes a pixel."""
        one = self.down1(image)
        two = self.down2(functional.max_pool2d(one, 2))
        middle = self.middle(functional.avg_pool2d(two, 2))
        two = self.join2(torch.cat([self.up2(middle), two], 1))
        one = self.join1(torch.cat([self.up1(two), one], 1))
        logits: Tensor = self.head(one)
        return logits


class Reader(nn.Module):
    """[N, 1, H, W] -> [N, W / 4, classes]: a class for every column of a text line."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.recurrent = nn.GRU(width, width, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of the classes a column."""
        columns = self.features(image).mean(2).transpose(1, 2)
        hidden, _ = self.recurrent(columns)
        logits: Tensor = self.head(hidden)
        return logits


class EinsumMixer(nn.Module):
    """[N, 3, H, W] -> [N, classes]; H and W are multiples of 4 and do not vary."""

    def __init__(self, width: int, classes: int, tokens: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.LayerNorm(width)
        self.tokens = nn.Parameter(torch.randn(tokens, tokens) / tokens**0.5)
        self.channels = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        tokens = functional.adaptive_avg_pool2d(self.patches(image), 4).flatten(2).transpose(1, 2)
        mixed = tokens + functional.gelu(torch.einsum("ntc,ts->nsc", self.norm(tokens), self.tokens))
        mixed = mixed + functional.gelu(torch.einsum("ntc,cd->ntd", self.norm(mixed), self.channels))
        logits: Tensor = self.head(mixed.mean(1))
        return logits


class Detector(nn.Module):
    """[N, 3, H, W] -> [N, 4 + classes, places]: boxes and scores of every place of two grids, of strides 4 and 8."""

    bins = 8

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.stem = _silu_block(3, width, stride=2)
        self.stage1 = nn.Sequential(_silu_block(width, width, stride=2), _Split(width))
        self.stage2 = nn.Sequential(_silu_block(width, 2 * width, stride=2), _Split(2 * width), _Pyramid(2 * width))
        self.join = _Split(3 * width, width)
        self.boxes = nn.ModuleList([nn.Conv2d(w, 4 * self.bins, 1) for w in (width, 2 * width)])
        self.scores = nn.ModuleList([nn.Conv2d(w, classes, 1) for w in (width, 2 * width)])
        self.register_buffer("distances", torch.arange(self.bins, dtype=torch.float32).reshape(1, self.bins, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return distances to the four sides, by their expectation over bins, and the scores through a sigmoid."""
        fine = self.stage1(self.stem(image))
        coarse = self.stage2(fine)
        fine = self.join(torch.cat([functional.interpolate(coarse, scale_factor=2.0), fine], 1))
        found = []
        for features, boxes, scores in zip((fine, coarse), self.boxes, self.scores, strict=True):
            distances = boxes(features).flatten(2)
            count = distances.shape[0]
            chances = distances.reshape(count, 4, self.bins, -1).transpose(1, 2).softmax(1)
            sides = functional.conv2d(chances, self.distances).reshape(count, 4, -1)  # type: ignore[arg-type]
            found.append(torch.cat([sides, scores(features).flatten(2).sigmoid()], 1))
        return torch.cat(found, 2)


class Vocoder(nn.Module):
    """[N, bands, T] -> [N, 1, 8 T]: a waveform from a spectrogram."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(bands, width, 7, padding=3)
        self.ups = nn.ModuleList(
            [nn.ConvTranspose1d(width, width, 8, stride=4, padding=2), nn.ConvTranspose1d(width, width, 4, 2, 1)]
        )
        self.residual = nn.ModuleList([nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in (1, 3)])
        self.last = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """Return samples from -1 to 1."""
        x = self.first(mel)
        for up, residual in zip(self.ups, self.residual, strict=True):
            x = up(functional.leaky_relu(x, 0.1))
            x = x + residual(functional.leaky_relu(x, 0.1))
        return torch.tanh(self.last(functional.leaky_relu(x)))


class _Split(nn.Module):
    """Half of the channels through two convolutions, all of them joined again."""

    def __init__(self, channels: int, out: int | None = None) -> None:
        super().__init__()
        half = channels // 2
        self.first = _silu_block(channels, 2 * half, kernel=1)
        self.inner = nn.Sequential(_silu_block(half, half), _silu_block(half, half))
        self.last = _silu_block(3 * half, out or channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).chunk(2, 1)
        joined: Tensor = self.last(torch.cat([left, right, right + self.inner(right)], 1))
        return joined


class _Pyramid(nn.Module):
    """Three maxima, one of the other, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _silu_block(channels, channels // 2, kernel=1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.last = _silu_block(2 * channels, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.first(x)]
        for _ in range(3):
            levels.append(self.pool(levels[-1]))
        joined: Tensor = self.last(torch.cat(levels, 1))
        return joined


def _norm_block(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.GroupNorm(2, out), nn.SiLU())


def _silu_block(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out), nn.SiLU()
    )
