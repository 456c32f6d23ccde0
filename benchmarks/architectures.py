"""Network architectures of today, with weights drawn at random, as torch modules: what ``benchmarks.exports`` exports.

Those of torchvision, timm and transformers are built from their own classes; ``small`` ones differ in widths and depths alone.
Needs the extra ``exports``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm.models as vision
import torch
import transformers
from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import _gen_efficientnet
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

from benchmarks.own_networks import Detector, EinsumMixer, Reader, UNet, Vocoder

CLASSES = 10


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network and what it reads.

    Attributes:
        network: in evaluation mode.
        inputs: name -> shape of one item, without batch axis.
        words: size of the vocabulary that integer inputs are drawn from; 0 for real numbers.
    """

    network: nn.Module
    inputs: dict[str, tuple[int, ...]]
    words: int = 0


class _Hidden(nn.Module):
    """A language model's last hidden state, of the tokens alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        hidden: Tensor = self.model(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False
        ).last_hidden_state
        return hidden


class _Encoded(nn.Module):
    """An encoder's last hidden state."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        hidden: Tensor = self.model(input_ids=tokens).last_hidden_state
        return hidden


def mobilenet_v3(small: bool) -> Architecture:
    """Return inverted residuals with squeeze-and-excitation and HardSwish."""
    if not small:
        return _image(MobileNetV3(*_mobilenet_v3_large(), num_classes=CLASSES), 128)
    blocks = [
        InvertedResidualConfig(8, 3, 16, 8, True, "RE", 2, 1, 1.0),
        InvertedResidualConfig(8, 5, 24, 8, True, "HS", 1, 1, 1.0),
    ]
    return _image(MobileNetV3(blocks, last_channel=16, num_classes=CLASSES), 32)


def resnet(small: bool) -> Architecture:
    """Return residual blocks with BatchNormalization."""
    if not small:
        return _image(ResNet(Bottleneck, (3, 4, 6, 3), num_classes=CLASSES), 128)
    return _image(ResNet(BasicBlock, (1, 1, 1, 1), channels=(8, 8, 8, 8), stem_width=8, num_classes=CLASSES), 32)


def efficientnet(small: bool) -> Architecture:
    """Return inverted residuals with squeeze-and-excitation and SiLU."""
    if not small:
        return _image(vision.create_model("efficientnet_b0", num_classes=CLASSES), 128)
    return _image(
        _gen_efficientnet("efficientnet_b0", channel_multiplier=0.05, depth_multiplier=0.1, num_classes=CLASSES), 32
    )


def convnext(small: bool) -> Architecture:
    """Return depthwise convolutions with LayerNorm over channels, GELU and layer scale."""
    if not small:
        return _image(vision.create_model("convnext_tiny", num_classes=CLASSES), 128)
    return _image(ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), num_classes=CLASSES), 32)


def vit(small: bool) -> Architecture:
    """Return a vision transformer: scaled dot product attention, LayerNorm, GELU."""
    if not small:
        return _image(vision.create_model("vit_small_patch16_224", num_classes=CLASSES), 224)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    return _image(vision.VisionTransformer(**sizes, num_classes=CLASSES), 32)


def swin(small: bool) -> Architecture:
    """Return a transformer over shifted windows: Roll, relative position bias."""
    if not small:
        return _image(vision.create_model("swin_tiny_patch4_window7_224", num_classes=CLASSES), 224)
    sizes = {"img_size": 32, "patch_size": 4, "window_size": 4, "embed_dim": 16, "depths": (2,), "num_heads": (2,)}
    return _image(SwinTransformer(**sizes, num_classes=CLASSES), 32)


def bert(small: bool) -> Architecture:
    """Return a text encoder: embeddings, attention with a mask, GELU."""
    width, layers = (16, 1) if small else (256, 4)
    config = transformers.BertConfig(
        vocab_size=64 if small else 4000,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=32,
    )
    return _text(_Encoded(transformers.BertModel(config, add_pooling_layer=False)), config.vocab_size)


def t5_encoder(small: bool) -> Architecture:
    """Return a text encoder whose layers are products without a bias, with RMSNorm and relative positions."""
    width = 16 if small else 256
    config = transformers.T5Config(
        vocab_size=64 if small else 4000,
        d_model=width,
        d_kv=width // 2,
        d_ff=2 * width,
        num_layers=1 if small else 4,
        num_heads=2,
    )
    built = _text(_Encoded(transformers.T5EncoderModel(config)), config.vocab_size)
    # PyTorch's newer exporter stumbles over this one's fused attention.
    write_out_attention(built.network)
    return built


def llama(small: bool) -> Architecture:
    """Return a decoder: rotary positions, RMSNorm, gated SiLU, products without a bias, a causal mask."""
    width = 16 if small else 256
    config = transformers.LlamaConfig(
        vocab_size=64 if small else 4000,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=1 if small else 4,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
    )
    return _text(_Hidden(transformers.LlamaModel(config)), config.vocab_size)


def unet(small: bool) -> Architecture:
    """Return a segmenter: transposed convolutions, GroupNorm, SiLU, skip connections."""
    return _image(UNet(8 if small else 32), 16 if small else 128)


def reader(small: bool) -> Architecture:
    """Return a text line reader: convolutions, a bidirectional GRU, a class a column."""
    return Architecture(Reader(8 if small else 64, CLASSES), {"image": (1, 16, 32) if small else (1, 32, 160)})


def einsum_mixer(small: bool) -> Architecture:
    """Return a mixer whose products over tokens and channels are written as einsum."""
    return _image(EinsumMixer(16 if small else 128, CLASSES), 16 if small else 64)


def detector(small: bool) -> Architecture:
    """Return a detector as YOLOv8's: split and concatenated SiLU blocks, pooled pyramid, upsampling, distribution heads."""
    return _image(Detector(8 if small else 32, CLASSES), 32 if small else 160)


def vocoder(small: bool) -> Architecture:
    """Return a waveform generator: transposed convolutions in one dimension, dilated residual ones, LeakyReLU."""
    bands = 8 if small else 80
    return Architecture(Vocoder(bands, 8 if small else 64), {"mel": (bands, 12 if small else 40)})


ARCHITECTURES: dict[str, Callable[[bool], Architecture]] = {
    build.__name__: build
    for build in (
        mobilenet_v3,
        resnet,
        efficientnet,
        convnext,
        vit,
        swin,
        bert,
        t5_encoder,
        llama,
        unet,
        reader,
        einsum_mixer,
        detector,
        vocoder,
    )
}


def write_out_attention(network: nn.Module) -> None:
    """Have attention computed by products and a softmax, not by PyTorch's fused operator."""
    for module in network.modules():
        if isinstance(getattr(module, "config", None), transformers.PretrainedConfig):
            module.config._attn_implementation = "eager"
        if hasattr(module, "fused_attn"):
            module.fused_attn = False


def architecture(name: str, *, small: bool) -> Architecture:
    """Return a network by its name, with the same weights every time."""
    torch.manual_seed(0)
    built = ARCHITECTURES[name](small)
    for module in built.network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            # As trained ones have: with mean 0 and variance 1 there would be nothing to fold.
            assert module.running_mean is not None and module.running_var is not None  # they are tracked by default
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    built.network.eval()
    return built


def _image(network: nn.Module, size: int) -> Architecture:
    return Architecture(network, {"image": (3, size, size)})


def _text(network: nn.Module, words: int) -> Architecture:
    return Architecture(network, {"tokens": (12,)}, words)


def _mobilenet_v3_large() -> tuple[list[InvertedResidualConfig], int]:
    from torchvision.models.mobilenetv3 import _mobilenet_v3_conf

    blocks, last = _mobilenet_v3_conf("mobilenet_v3_large")
    return blocks, last
