"""docs/reference/python.md: the public names, and the protocols that a class of one's own follows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import runner
from docs.handbook.docstring_markdown import as_markdown
from docs.handbook.markdown import code, page
from runner.calibration.observer import Observer, TensorStatistic
from runner.dataset.item import Dataset, Item
from runner.dataset.truth import Known
from runner.evaluation.metric import Metric
from runner.search.plan import Strategy
from runner.search.sensitivity import Sensitivity
from runner.targets.target import Target
from runner.tasks.detection.postprocess import Postprocess

PROTOCOLS: tuple[type, ...] = (
    *(Observer, TensorStatistic, Sensitivity, Strategy, Metric, Dataset, Item, Known, Postprocess, Target),
)
_WIDTH = 100  # of a line of code
_ABOUT = """What `from runner import …` offers, and what a class of your own has to have to stand in for one of the product's.
[Extending](../howto/extend.md) has an example of each."""


def python_page() -> str:
    """Return the page."""
    public = [getattr(runner, name) for name in runner.__all__]
    functions = [one for one in public if inspect.isfunction(one)]
    classes = [one for one in public if inspect.isclass(one)]
    parts = [_ABOUT, "## Functions", *map(_function, functions), "## Classes of your own follow"]
    parts += [part for one in PROTOCOLS for part in _protocol(one)]
    parts += ["## Classes", *map(_class, classes)]
    return page("Python", "docstrings", *parts)


def _function(of: Any) -> str:  # noqa: ANN401
    return f"### {code(of.__name__)}\n\n{_signature(of.__name__, of)}\n\n{as_markdown(of.__doc__)}"


def _class(of: type) -> str:
    own = of.__dict__.get("__doc__") or ""
    made = "" if issubclass(of, Exception) else f"{_signature(of.__name__, of)}\n\n"
    init = of.__dict__.get("__init__")
    arguments = as_markdown(init.__doc__) if init is not None and inspect.isfunction(init) and init.__doc__ else ""
    return f"### {code(of.__name__)}\n\n{made}{as_markdown(own)}\n\n{arguments}".rstrip()


def _protocol(of: type) -> Iterator[str]:
    yield f"### {code(of.__name__)}\n\nIn `{of.__module__}`.\n\n{as_markdown(of.__dict__.get('__doc__'))}"
    for name, member in vars(of).items():
        if name.startswith("_"):
            continue
        if inspect.isfunction(member):
            yield f"{_signature(name, member)}\n\n{as_markdown(member.__doc__)}"
        elif isinstance(member, property):
            yield f"Property {code(name)}: {as_markdown(member.__doc__)}"


def _signature(name: str, of: Any) -> str:  # noqa: ANN401
    signature = inspect.signature(of)
    given: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in given:
            given.append("*")
        given.append(_parameter(parameter))
    empty = signature.return_annotation in (inspect.Signature.empty, None, "None")
    gives = "" if empty else f" -> {_annotation(signature.return_annotation)}"
    said = f"{name}({', '.join(given)}){gives}"
    if len(said) > _WIDTH:
        said = "\n".join([f"{name}(", *(f"    {one}," for one in given), f"){gives}"])
    return f"```python\n{said}\n```"


def _parameter(parameter: inspect.Parameter) -> str:
    # Variadic ones are written *args and **kwargs.
    said = str(parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty))
    if parameter.annotation is not inspect.Parameter.empty:
        said += f": {_annotation(parameter.annotation)}"
    if parameter.default is not inspect.Parameter.empty:
        said += f" = {_default(parameter.default)}"
    return said


def _annotation(annotation: Any) -> str:  # noqa: ANN401
    """Return an annotation with the last part of each name."""
    said = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:runner|collections|numpy|typing)\.(?:\w+\.)*(\w+)", r"\1", said)


def _default(value: Any) -> str:  # noqa: ANN401
    if inspect.isfunction(value):
        return value.__name__
    said = repr(value)
    return "..." if said.startswith("<") else said
