"""What docstrings say: of a class in a sentence, and of what its constructor takes."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^(Attributes|Args):\n((?:(?:    .*)?\n?)*)", re.MULTILINE)
# A section's docstring begins with what it is called: ``paths``: the root of …
_OWN_NAME = re.compile(r"^``[\w.]+``: ")
_ENTRY = re.compile(r"^    (\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def summary(of: type) -> str:
    """Return the first sentence or sentences of a class's docstring: its first paragraph, in one line."""
    text = of.__dict__.get("__doc__") or ""
    # What dataclasses write by themselves is the signature.
    if text.startswith(f"{of.__name__}("):
        return ""
    said = " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())
    return _as_configured(_OWN_NAME.sub("", said))


def parameters(of: type) -> dict[str, str]:
    """Return parameter -> what the docstrings of a class, of those it inherits from, and of its constructor say of it."""
    found: dict[str, str] = {}
    for text in _docstrings(of):
        for _, entries in _SECTION.findall(text + "\n"):
            for name, said in _ENTRY.findall(entries):
                found.setdefault(name, _as_configured(" ".join(said.split())))
    return found


def _docstrings(of: type) -> list[str]:
    texts = [of.__dict__.get("__init__").__doc__] if "__init__" in of.__dict__ else []
    texts += [base.__dict__.get("__doc__") for base in of.__mro__ if base is not object]
    return [inspect.cleandoc(text) for text in texts if text]


def _as_configured(said: str) -> str:
    """Return words of a docstring as configuration has them: Markdown's marks for code, YAML's null."""
    return re.sub(r"\bNone\b", "null", said.replace("``", "`"))
