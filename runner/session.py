"""A model that can be called: every onnxruntime option of the runner is set here.

Two profiles. *Simulation* (search, calibration, figures): the arithmetic written in the graph and nothing else, so no pass
that reads meaning into QuantizeLinear/DequantizeLinear or folds a multiplication into weights. *Plain*: what a user gets
from onnxruntime at a given optimisation level.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from runner.errors import InternalError, ModelError
from runner.graph.model_file import fits_one_file, model_bytes, weights_size
from runner.graph.skeleton import skeleton

Feeds = Mapping[str, NDArray[Any]]
# A graph, the path of a file, or what is in one.
Loadable = ir.Model | str | os.PathLike[str] | bytes

LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
# ConvMulFusion would fold deq into integer weights and lose the exactness of integer sums.
# MatMulIntegerToFloatFusion would multiply by a scale of its own making.
_SIMULATION_DISABLED = ["ConvMulFusion", "WeightBiasQuantization", "MatMulIntegerToFloatFusion"]
# Weights of so many bytes are not copied for a session, which makes it in a quarter of the time.
_LARGE_BYTES = 32 << 20
# Where in its own source onnxruntime's errors come from.
_SOURCE = re.compile(r"/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])")
# An error is raised too; onnxruntime would print it before.
_FATAL = 4


@dataclass(frozen=True, slots=True)
class Profile:
    """How onnxruntime may rewrite a model, and where its outputs lie.

    Attributes:
        level: a key of LEVELS.
        quant_rewriting: whether QuantizeLinear and DequantizeLinear may be moved.
        disabled_optimizers: passes that are left out.
        own_memory: whether the session has memory of its own, which it keeps for its next run. One whose outputs outlive it
            had better not: what is left of that memory would lie idle beside them.
    """

    level: str = "all"
    quant_rewriting: bool = False
    disabled_optimizers: tuple[str, ...] = ()
    own_memory: bool = True


SIMULATION = Profile("all", quant_rewriting=False, disabled_optimizers=tuple(_SIMULATION_DISABLED))
SHORT_LIVED = replace(SIMULATION, own_memory=False)
REFERENCE = Profile("none", quant_rewriting=False)


def plain(level: str) -> Profile:
    """Return the profile of an onnxruntime session with nothing set but the level."""
    return Profile(level, quant_rewriting=True)


# What numpy has of onnxruntime's tensors: numbers; and what its Python binding gives as raw bytes or not at all.
_NUMBERS = frozenset(
    f"tensor({name})"
    for name in (
        "float",
        "double",
        "float16",
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
)
_UNREADABLE = frozenset(f"tensor({name})" for name in ("bfloat16", "int4", "uint4", "int2", "uint2", "float4e2m1"))


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One model input: a dimension is None where the model leaves it open."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


def input_specs(model: ir.Model) -> tuple[InputSpec, ...]:
    """Return what a session of a model takes, without making one.

    Raises:
        ModelError: an input is of a type that numpy does not have.
    """
    specs = []
    for value in model.graph.inputs:
        if value.name in model.graph.initializers:
            continue  # it has a value, as onnxruntime sees it too
        if not isinstance(value.type, ir.TensorType) or value.dtype is None:
            raise ModelError(
                f"model input '{value.name}' is a {value.type}; expected numbers of a type that numpy has."
            )
        shape = tuple(d if isinstance(d, int) else None for d in value.shape or ())
        specs.append(InputSpec(value.name or "", shape, np.dtype(value.dtype.numpy())))
    return tuple(specs)


class Session:
    """An onnxruntime session of one thread; ``run`` may be called from several threads at once.

    Args:
        model: to run.
        profile: how onnxruntime may rewrite it.
        given: whether it is the user's as it was read; one of ours that is refused is our fault.

    Raises:
        ModelError: onnxruntime refuses a given model, or an input of it is of a type that numpy does not have.
        InternalError: it refuses one of ours.

    Attributes:
        inputs: what ``run`` takes.
        output_names: of the outputs that Python can have: tensors, also of strings, and lists of them.
        number_names: of those that are tensors of numbers or truth values.
    """

    def __init__(self, model: Loadable, profile: Profile = SIMULATION, *, given: bool = False) -> None:
        self._session, self._weights = _loaded(model, _options(profile), profile, given=given)
        self.inputs = tuple(
            InputSpec(
                i.name, tuple(d if isinstance(d, int) else None for d in i.shape), _numpy_type(i.name, i.type, given)
            )
            for i in self._session.get_inputs()
        )
        types = {output.name: str(output.type) for output in self._session.get_outputs()}
        self.output_names = tuple(name for name, type_ in types.items() if type_ not in _UNREADABLE)
        self.number_names = tuple(name for name, type_ in types.items() if type_ in _NUMBERS)
        self._run_options = _run_options()

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """Return the outputs (all in ``output_names``, or the named ones) in order.

        Raises:
            ModelError: onnxruntime refuses the inputs or fails in a node.
        """
        names = list(self.output_names if outputs is None else outputs)
        if not names:  # onnxruntime would give all
            return []
        try:
            if self._run_options.terminate or threading.current_thread() is not threading.main_thread():
                return list(self._session.run(names, dict(feeds), self._run_options))
            return _run_of_main(lambda options: list(self._session.run(names, dict(feeds), options)))
        except Exception as error:  # onnxruntime's exceptions share no public base class
            if isinstance(error, MemoryError) or "Failed to allocate memory" in str(error):
                raise ModelError(
                    f"the model needs more memory than this machine can give: {_short(error)}. Is the model damaged? Else "
                    "set engine.callers=1, make its input smaller, or run it on a larger machine."
                ) from error
            shapes = ", ".join(f"{name} {list(array.shape)} {array.dtype}" for name, array in feeds.items())
            is_open = any(None in spec.shape[1:] for spec in self.inputs)
            hint = (
                " It leaves sizes open and takes some only: give items of the size it was made for." if is_open else ""
            )
            raise ModelError(
                f"onnxruntime cannot run the model on {shapes}: {_short(error).rstrip('.')}.{hint}"
            ) from error

    def stop(self) -> None:
        """Have runs under way in other threads end at the next node, with an error, and later ones at once."""
        self._run_options.terminate = True


# Of the run that the main thread is in; and of its next one.
_main_run: list[ort.RunOptions] = []
_spare: list[ort.RunOptions] = []


def stop_main_run() -> None:
    """Have the run that the main thread is in, if any, end at the next node, with an error; from another thread."""
    for options in list(_main_run):
        options.terminate = True


def _run_of_main(run: Callable[[ort.RunOptions], list[NDArray[Any]]]) -> list[NDArray[Any]]:
    """Run with options of the main thread's own, which end no other thread's run; they are made anew once they were used to."""
    own = _spare.pop() if _spare else _run_options()
    _main_run.append(own)
    try:
        return run(own)
    finally:
        _main_run.remove(own)
        if not own.terminate:
            _spare.append(own)


def _run_options() -> ort.RunOptions:
    options = ort.RunOptions()
    options.log_severity_level = _FATAL
    return options


def optimized(model: Loadable, profile: Profile) -> onnx.ModelProto:
    """Return the graph that onnxruntime runs instead of a model, in operators of its own.

    Raises:
        InternalError: onnxruntime refuses the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = _options(profile)
        options.optimized_model_filepath = str(path)
        # Whole, for what is read back has its weights in it.
        whole = model_bytes(model) if isinstance(model, ir.Model) and fits_one_file(model) else model
        _loaded(whole, options, profile, given=False)
        return onnx.load(path)


def _options(profile: Profile) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[profile.level]
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.enable_cpu_mem_arena = profile.own_memory
    # In the order of the graph. By default the nodes behind each output run when all before them have, so that a graph with a
    # figure of every layer holds all its layers at once: four times the memory for the layers of a segmenter.
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not profile.quant_rewriting:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _loaded(
    model: Loadable, options: ort.SessionOptions, profile: Profile, *, given: bool
) -> tuple[ort.InferenceSession, Sequence[ort.OrtValue]]:
    """Return the session, and weights that it does not have for itself, which have to outlive it."""
    with _loadable(model) as (source, weights):
        try:
            shared = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
            if shared:
                options.add_external_initializers(list(weights), shared)
            made = ort.InferenceSession(
                source,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(profile.disabled_optimizers),
                enable_fallback=0,  # to the same provider, with a notice printed
            )
            return made, shared
        except Exception as error:  # onnxruntime's exceptions share no public base class
            if given:
                raise ModelError(f"model.path: {_refused(error)}") from error
            raise InternalError(
                f"onnxruntime refuses a graph that was built from the model: {_short(error)}. "
                "Please report this, with the model."
            ) from error


@contextlib.contextmanager
def _loadable(model: Loadable) -> Iterator[tuple[bytes | str, Mapping[str, NDArray[Any]]]]:
    """Give onnxruntime bytes, or a path for what does not fit into a protobuf message, and weights apart from it."""
    if isinstance(model, bytes):
        yield model, {}
    elif not isinstance(model, ir.Model):
        yield str(model), {}
    elif weights_size(model) < _LARGE_BYTES:
        yield model_bytes(model), {}
    else:
        graph, weights = skeleton(model)
        yield graph, weights


def _numpy_type(name: str, text: str, given: bool) -> np.dtype[Any]:
    if text.startswith("seq(") and not given:
        return np.dtype(object)  # a part of a model may take a list of tensors
    names = {"float": "float32", "double": "float64"}
    inner = text.removeprefix("tensor(").removesuffix(")")
    try:
        return np.dtype(names.get(inner, inner))
    except TypeError as error:
        raise ModelError(f"model input '{name}' is a {text}; expected numbers of a type that numpy has.") from error


def _refused(error: Exception) -> str:
    """Return why onnxruntime does not load a model; of an opset that it does not know yet, what to do."""
    opset = re.search(r"Opset (\d+) is under development", str(error))
    if opset is None:
        return f"onnxruntime cannot load the model: {_short(error)}"
    newest = re.search(r"domain ai\.onnx is till opset (\d+)", str(error))
    known = "" if newest is None else f"; expected {newest[1]} at most"
    return (
        f"the model is at opset {opset[1]}, which onnxruntime {ort.__version__} does not know{known}. Export it again "
        "at opset 13 to 18."
    )


def _short(error: Exception) -> str:
    return _SOURCE.sub("", " ".join(str(error).split()))[:400]
