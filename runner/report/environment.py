"""What it takes to run a job again: versions, processor, memory."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

_PACKAGES = ("onnx", "onnxruntime", "onnx-ir", "onnxscript", "numpy", "pillow", "hydra-core", "mlflow")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in ("onnx-quant-runner", *_PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_rss_mb() -> float | None:
    """Return the largest resident memory of this process so far, in MiB; None where the system does not tell, as Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
