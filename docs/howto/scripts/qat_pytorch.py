"""Train a small network, quantize it while it trains, and export it with QuantizeLinear and DequantizeLinear.

Run it in a checkout: ``python docs/howto/scripts/qat_pytorch.py``. It writes ``net_qat.onnx`` and ``held_out.npz``.
"""

import itertools
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.ao.quantization import (
    FakeQuantize,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    PerChannelMinMaxObserver,
    QConfig,
    QConfigMapping,
    disable_observer,
    enable_observer,
)
from torch.ao.quantization.quantize_fx import fuse_fx, prepare_qat_fx

warnings.simplefilter("ignore")


class Net(nn.Module):
    """Three convolutions and a fully connected layer, for images of 32x32."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64)
        self.blocks = nn.Sequential()
        for before, after in itertools.pairwise(widths):
            self.blocks.append(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False))
            self.blocks.append(nn.BatchNorm2d(after))
            self.blocks.append(nn.ReLU())
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [N, 10]."""
        return self.classifier(self.blocks(x).mean((2, 3)))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the shipped images, -1 to 1, and their classes."""
    folder = Path("data/digits/eval")
    lines = [line.split() for line in (folder / "image_label.txt").read_text().splitlines()]
    pixels = np.stack([np.asarray(Image.open(folder / name).convert("RGB"), np.float32) for name, _ in lines])
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2) / 127.5 - 1), torch.tensor([int(label) for _, label in lines])


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor, *, epochs: int, rate: float) -> None:
    """Train on batches of 50."""
    optimizer = torch.optim.Adam(net.parameters(), rate)
    net.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()


def quantized_while_training(net: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return the network with BatchNormalization folded and fake quantization in front of every layer."""
    activation = FakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8
    )
    channels = {"quant_min": -128, "quant_max": 127, "dtype": torch.qint8, "qscheme": torch.per_channel_symmetric}
    whole = {"quant_min": -128, "quant_max": 127, "dtype": torch.qint8, "qscheme": torch.per_tensor_symmetric}
    convolution = QConfig(activation, FakeQuantize.with_args(observer=PerChannelMinMaxObserver, ch_axis=0, **channels))
    linear = QConfig(activation, FakeQuantize.with_args(observer=MinMaxObserver, **whole))
    mapping = QConfigMapping().set_global(convolution).set_object_type(nn.Linear, linear)
    return prepare_qat_fx(fuse_fx(net.eval()).train(), mapping, (example,))


def accuracy(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the share of right answers in percent."""
    with torch.no_grad():
        return 100 * float((net.eval()(x).argmax(1) == y).float().mean())


def main() -> None:
    """Train, train on with fake quantization, export."""
    torch.manual_seed(0)
    x, y = digits()
    seen, held_out = torch.arange(len(x)) % 2 == 0, torch.arange(len(x)) % 2 == 1
    net = Net()
    train(net, x[seen], y[seen], epochs=30, rate=3e-3)
    print(f"float: {accuracy(net, x[held_out], y[held_out]):.2f} %")

    net = quantized_while_training(net, x[:1])
    net.apply(enable_observer)
    train(net, x[seen], y[seen], epochs=3, rate=3e-4)
    net.apply(disable_observer)
    train(net, x[seen], y[seen], epochs=2, rate=1e-4)
    print(f"with fake quantization: {accuracy(net, x[held_out], y[held_out]):.2f} %")

    torch.onnx.export(
        net.eval(),
        (x[:1],),
        "net_qat.onnx",
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
    )
    np.savez("held_out.npz", x=x[held_out].numpy(), y=y[held_out].numpy())


if __name__ == "__main__":
    main()
