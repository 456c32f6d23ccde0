"""A job's models as logged models: what onnxruntime runs with MLflow's ONNX flavor, what only ATC reads as plain files."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from runner.app.tracking.store import Store
from runner.inside import own_file

_DEPLOY = "_deploy_model.onnx"
# Weights beyond protobuf's limit lie beside the model.
_WEIGHTS = ".data"


def log_models(
    store: Store, run_id: str, folder: Path, finished: Mapping[str, Any], answered: Callable[[], None]
) -> None:
    """Log the models that a job wrote, each once, however often its run is logged.

    Args:
        store: that the run is in.
        run_id: of the run.
        folder: of the job.
        finished: its ``JobFinished``.
        answered: called after each call of MLflow.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    client, logged = store.client, set()
    for model in client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'"):
        if model.status == LoggedModelStatus.READY:
            logged.add(model.name)
        else:
            client.delete_logged_model(model.model_id)
        answered()
    for path in (own_file(folder, name) for name in finished["files"] if name.endswith(".onnx")):
        if path is None or (name := re.sub(r"[^\w-]", "_", path.stem)) in logged:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary) / "model"
            _save(path, directory)
            model = client.create_logged_model(store.experiment_id, name, run_id, model_type="int8")
            answered()
            client.log_model_artifacts(model.model_id, str(directory))
            answered()
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        answered()


def _save(path: Path, directory: Path) -> None:
    """Write a model as MLflow keeps one into a new directory."""
    import mlflow.onnx
    import onnx
    from mlflow.models import Model, ModelSignature

    from runner.external_data import refuse_outside

    weights = own_file(path.parent, path.name + _WEIGHTS)
    # The signature needs none of the weights, which may be more than protobuf holds.
    proto = onnx.load(path, load_external_data=False)
    # The folder may come from somewhere else, and the model in it name any file.
    refuse_outside(proto, path.parent)
    graph = proto.graph
    constants = {tensor.name for tensor in graph.initializer}
    signature = ModelSignature(_schema(v for v in graph.input if v.name not in constants), _schema(graph.output))
    if path.name.endswith(_DEPLOY):
        directory.mkdir()
        for file in (path, weights):
            if file is not None:
                shutil.copy(file, directory / file.name)
        model = Model(signature=signature)
        model.add_flavor("ascend", data=path.name, read_by="ATC; its operators are none of onnxruntime's")
        model.save(str(directory / "MLmodel"))
        return
    mlflow.onnx.save_model(
        onnx.load(path),
        str(directory),
        signature=signature,
        # Found out by MLflow they would cost seconds, and a session.
        pip_requirements=[f"{package}=={version(package)}" for package in ("onnx", "onnxruntime", "numpy")],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=weights is not None,
    )


def _schema(values: Any) -> Any:  # noqa: ANN401 - protobuf's messages, MLflow's schema
    import numpy as np
    from mlflow.types import Schema, TensorSpec
    from onnx.helper import tensor_dtype_to_np_dtype

    def spec(value: Any) -> Any:  # noqa: ANN401
        tensor = value.type.tensor_type
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
        return TensorSpec(np.dtype(tensor_dtype_to_np_dtype(tensor.elem_type)), shape, value.name)

    return Schema([spec(value) for value in values])
