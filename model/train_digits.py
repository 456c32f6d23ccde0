"""Make data/digits and the two shipped networks: `python model/train_digits.py`.

With `--validate` nothing is written: a fifth of the training images is held back and the accuracy on it printed.
Every choice of the recipe was made that way; the evaluation images only give the figures printed at the end.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from digits import SIDE, Digits, distort, load_rendered, network_input, read_folder, write_folder
from export import INPUT, export_float, export_quantized
from network import MobileNetV2, QuantMobileNetV2
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

SEED = 20240229
EVALUATION_IMAGES = 700
CALIBRATION_IMAGES = 100
BATCH = 32
FLOAT_EPOCHS = 200
PLAIN_EPOCHS = 40
"""The last epochs of float training, without mixup and with weaker distortion."""
QUANT_EPOCHS = 15
FROZEN_EPOCHS = 5
"""The last epochs of quantization-aware training, with the activation ranges fixed."""

MODEL_DIR = Path(__file__).parent
DATA_DIR = MODEL_DIR.parent / "data" / "digits"
FLOAT_MODEL = MODEL_DIR / "mobilenet_v2_digits.onnx"
QUANT_MODEL = MODEL_DIR / "mobilenet_v2_digits_qat.onnx"


def batches(digits: Digits, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """One epoch in a random order: network inputs [B, 3, 32, 32] and labels [B]; an incomplete last batch is left out.

    A batch of only a few images would give batch normalization poor statistics.
    """
    inputs, labels = torch.from_numpy(network_input(digits.images)), torch.from_numpy(digits.labels)
    order = torch.randperm(len(digits), generator=generator)
    rows = [part for part in order.split(BATCH) if len(part) == BATCH]
    return [(inputs[part], labels[part]) for part in rows]


def mixed_loss(network: nn.Module, x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Cross entropy (nats, scalar) on blends of two images each (mixup); x is [B, 3, 32, 32], labels is [B]."""
    # Close to 0 or 1 more often than not, like the usual Beta(0.2, 0.2), but from the generator at hand.
    share = float(torch.sin(torch.rand((), generator=generator) * math.pi / 2.0) ** 4)
    partner = torch.randperm(len(x), generator=generator)
    logits = network(share * x + (1.0 - share) * x[partner])
    own = functional.cross_entropy(logits, labels, label_smoothing=0.05)
    other = functional.cross_entropy(logits, labels[partner], label_smoothing=0.05)
    return share * own + (1.0 - share) * other


def settle_statistics(network: MobileNetV2, digits: Digits, generator: torch.Generator) -> None:
    """Set every batch normalization's mean and variance to the average over the lightly distorted training images.

    During training the averages were taken on mixed and strongly distorted images and of other weights.
    """
    norms = [unit.norm for unit in network.conv_units()]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches below
    network.train()
    with torch.no_grad():
        for _ in range(2):
            for x, _labels in batches(digits, generator):
                network(distort(x, 0.3, generator))
    network.eval()


def train_float(digits: Digits, seed: int) -> MobileNetV2:
    """Train the float network; the result is the moving average of the weights after the last epoch."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = MobileNetV2()
    network.to(memory_format=torch.channels_last)  # about twice as fast on a CPU
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    decayed = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=4e-3)
    steps = FLOAT_EPOCHS * (len(digits) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps, pct_start=0.15)
    started = time.monotonic()
    for epoch in range(FLOAT_EPOCHS):
        network.train()
        plain = epoch >= FLOAT_EPOCHS - PLAIN_EPOCHS
        losses = []
        for inputs, labels in batches(digits, generator):
            x = distort(inputs, 0.6 if plain else 1.0, generator)
            if plain:
                loss = functional.cross_entropy(network(x), labels, label_smoothing=0.05)
            else:
                loss = mixed_loss(network, x, labels, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            losses.append(float(loss.detach()))
        if epoch % 20 == 19:
            print(
                f"float epoch {epoch + 1:3d}  loss {np.mean(losses):.4f}  {time.monotonic() - started:.0f} s",
                flush=True,
            )
    trained = average.module
    assert isinstance(trained, MobileNetV2)
    settle_statistics(trained, digits, generator)
    return trained


def train_quantized(source: MobileNetV2, digits: Digits, seed: int) -> QuantMobileNetV2:
    """Fold the batch normalizations and fine-tune with fake quantization; the result is the last epoch's."""
    generator = torch.Generator().manual_seed(seed)
    network = QuantMobileNetV2(source)
    network.train()
    with torch.no_grad():  # ranges first, so that the first steps already see sensible ones
        for x, _labels in batches(digits, generator):
            network(x)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4, weight_decay=0.0)
    steps = QUANT_EPOCHS * (len(digits) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started = time.monotonic()
    for epoch in range(QUANT_EPOCHS):
        if epoch == QUANT_EPOCHS - FROZEN_EPOCHS:
            network.freeze_ranges()
        losses = []
        for x, labels in batches(digits, generator):
            logits = network(distort(x, 0.6, generator))
            loss = functional.cross_entropy(logits, labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        if epoch % 5 == 4:
            print(
                f"quant epoch {epoch + 1:3d}  loss {np.mean(losses):.4f}  {time.monotonic() - started:.0f} s",
                flush=True,
            )
    network.eval()
    return network


def torch_logits(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits [N, 10] of a network for images [N, 32, 32, 3]."""
    with torch.no_grad():
        logits: NDArray[np.float32] = network(torch.from_numpy(network_input(images))).numpy()
    return logits


def onnx_logits(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits [N, 10] of an ONNX file for images [N, 32, 32, 3], the Q/DQ pairs executed as written."""
    options = onnxruntime.SessionOptions()
    # Otherwise onnxruntime may replace Q/DQ pairs by integer kernels that round differently.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    logits: NDArray[np.float32] = session.run(None, {INPUT: network_input(images)})[0]
    return logits


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of rows of [N, 10] whose largest logit is at the label, in percent."""
    return 100.0 * float(np.mean(logits.argmax(axis=1) == labels))


def validate(training: Digits, seed: int) -> None:
    """Train on four fifths of the training images and print the accuracy on the others."""
    held_back, kept = training.divide(len(training) // 5, seed)
    network = train_float(kept, seed)
    print(f"float      {accuracy(torch_logits(network, held_back.images), held_back.labels):.2f} %")
    quantized = train_quantized(network, kept, seed)
    print(f"quantized  {accuracy(torch_logits(quantized, held_back.images), held_back.labels):.2f} %")


def produce(training: Digits) -> None:
    """Train on all training images, write both ONNX files, and print what the files do on the evaluation folder."""
    network = train_float(training, SEED)
    export_float(network, FLOAT_MODEL, SIDE)
    quantized = train_quantized(network, training, SEED)
    export_quantized(quantized, QUANT_MODEL, SIDE)
    images, labels = read_folder(DATA_DIR / "eval")
    for path, trained in ((FLOAT_MODEL, network), (QUANT_MODEL, quantized)):
        logits, expected = onnx_logits(path, images), torch_logits(trained, images)
        print(
            f"{path.name}: {accuracy(logits, labels):.2f} % of {len(labels)} images, {path.stat().st_size} bytes; "
            f"against torch: same class for {np.sum(logits.argmax(1) == expected.argmax(1))}, "
            f"largest difference of a logit {np.abs(logits - expected).max():.2g}"
        )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--validate", action="store_true", help="train without a fifth of the training images")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of --validate (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    evaluation, rest = load_rendered().divide(EVALUATION_IMAGES, SEED)
    calibration, training = rest.divide(CALIBRATION_IMAGES, SEED)
    if arguments.validate:
        validate(training, arguments.seed)
        return
    write_folder(DATA_DIR / "eval", evaluation)
    write_folder(DATA_DIR / "calibration", calibration)
    produce(training)


if __name__ == "__main__":
    main()
