"""What a graph computes, as one digest: nodes, names and weights, wherever the weights are stored."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx_ir as ir

from runner.graph.model_file import model_bytes


def graph_digest(model: ir.Model) -> str:
    """Return a hex sha256 over the graph and its weights' contents; the same for every way to store the file."""
    digest = hashlib.sha256()
    for name, value in sorted(model.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None:
            # Hashed one by one: together they may exceed what one message holds.
            digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).tobytes() if tensor.nbytes else b"")
    bare = model.clone()
    bare.graph.initializers.clear()
    digest.update(model_bytes(bare))
    return digest.hexdigest()
