"""A class of the user's own, by its import path."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from runner.errors import ConfigError


def class_at(path: object, key: str) -> Callable[..., Any]:
    """Return the class that an import path names.

    Args:
        path: such as ``my_module.MyClass``.
        key: the option that holds it, for messages.

    Raises:
        ConfigError: it cannot be imported, or is no class.
    """
    module, _, name = str(path).rpartition(".")
    try:
        target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{key}: cannot import '{path}' ({error}); expected the import path of a class, such as my_module.MyClass."
        ) from error
    if not isinstance(target, type):
        raise ConfigError(f"{key}: expected the import path of a class, got '{path}', a {type(target).__name__}.")
    return target
