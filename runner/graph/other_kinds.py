"""Model files of other tools, known by what they begin with or are called, and how each becomes ONNX."""

from __future__ import annotations

from pathlib import Path

from runner.errors import ModelError

_TORCH = "load it in PyTorch and export it: torch.onnx.export(model.eval(), (example,), 'net.onnx', dynamo=True)"
_TF2ONNX = "convert it with tf2onnx: python -m tf2onnx.convert"
_COMPILED = "it is compiled for one runtime and cannot be read back; take the ONNX file that it was made from"
# Ending -> whose file it is, and the way to ONNX.
_BY_ENDING = {
    **dict.fromkeys((".pt", ".pth", ".pt2", ".ckpt"), ("a file of PyTorch's", _TORCH)),
    ".safetensors": ("a file of weights alone", _TORCH),
    ".pb": ("a file of TensorFlow's", f"{_TF2ONNX} --graphdef FILE.pb --inputs x:0 --outputs y:0 --output net.onnx"),
    ".tflite": ("a file of TensorFlow Lite's", f"{_TF2ONNX} --tflite FILE.tflite --output net.onnx"),
    **dict.fromkeys(
        (".h5", ".keras"), ("a file of Keras's", "save it from Keras: model.export('net.onnx', format='onnx')")
    ),
    **dict.fromkeys((".pdmodel", ".pdiparams"), ("a file of Paddle's", "convert it with paddle2onnx")),
    **dict.fromkeys((".engine", ".trt", ".plan"), ("an engine of TensorRT's", _COMPILED)),
    ".om": ("a model for an Ascend chip", _COMPILED),
    **dict.fromkeys((".mlmodel", ".mlpackage"), ("a model of Core ML's", "take the ONNX file that it was made from")),
    **dict.fromkeys((".caffemodel", ".prototxt"), ("a file of Caffe's", "convert it to ONNX first")),
}
_BEGINNINGS = (
    (b"\x89HDF\r\n\x1a\n", ".h5"),
    (b"ZM\xfe", ".pt"),
)


def refuse_other_kind(file: Path) -> None:
    """Raise a ModelError for a file that is another tool's by what it holds, or that is called so and is no ONNX.

    Args:
        file: that exists.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(64)
    except OSError:
        return  # whoever reads it says why
    ending = next((ending for beginning, ending in _BEGINNINGS if head.startswith(beginning)), None)
    if head.startswith(b"PK\x03\x04"):
        ending = ".keras" if file.suffix.lower() == ".keras" else ".pt"
    if head[4:8] == b"TFL3":
        ending = ".tflite"
    # Field 1 of an ONNX file is a number, its IR version.
    named = file.suffix.lower() if head[:1] != b"\x08" else ""
    known = _BY_ENDING.get(ending or named)
    if known is None:
        return
    kind, way = known
    raise ModelError(
        f"model.path: {file} is {kind}; expected an ONNX file. To have one, {way.replace('FILE', file.stem)}."
    )
