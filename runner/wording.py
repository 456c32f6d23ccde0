"""Sentences that can be said in several languages: English text that remembers what it was made of.

``say`` makes one from a template and values. It is a ``str``, English wherever it is printed, kept or compared; ``spoken``
gives it in the language that ``speaking`` has set, as the page of a report does. Names and figures are values, and stay as they
are.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from string import Formatter
from typing import Protocol

logger = logging.getLogger(__name__)
# Letters that a template needs of its own before a text is taken for one that was made of it.
_TELLING = 3


class Form(Protocol):
    """What a sentence is made of."""

    def told(self, language: Language | None) -> str:
        """Return it in a language; None: in English."""
        ...


class Said(str):
    """A text in English that can be said in other languages.

    Attributes:
        form: what it is made of.
    """

    __slots__ = ("form",)
    form: Form

    def __new__(cls, form: Form) -> Said:
        """Make the text."""
        said = super().__new__(cls, form.told(None))
        said.form = form
        return said

    def __getnewargs__(self) -> tuple[Form]:  # type: ignore[override]
        """Return what a copy is made of."""
        return (self.form,)


def say(template: str, /, **values: object) -> Said:
    """Return a sentence.

    Args:
        template: English, with ``{name}`` or ``{name:.4g}`` for values; in code a literal, so that a test finds it.
        values: names and figures, or sentences, which are said in the language of the whole.
    """
    return Said(_Filled(template, values))


def listed(parts: Sequence[str], separator: str = ", ") -> Said:
    """Return parts in a row, each said in the language of the whole, and so what stands between them."""
    return Said(_Row(tuple(parts), separator))


def as_sentence(text: str) -> Said:
    """Return a text that begins with a capital letter and ends with a full stop."""
    return Said(_Sentence(text))


def recalled(text: str) -> Said:
    """Return a text that ``say`` made once, and that went through a file or an error since: it is known by its words."""
    return Said(_Recalled(text))


class Language:
    """Templates of a language.

    Args:
        code: as HTML has it.
        templates: English template -> template with the same values.
        separators: what stands between parts in English -> what stands there.
        stop: at the end of a sentence.
    """

    def __init__(self, code: str, templates: Mapping[str, str], separators: Mapping[str, str], stop: str = ".") -> None:
        self.code, self.stop = code, stop
        self._templates, self._separators = templates, separators
        self._patterns: list[tuple[int, re.Pattern[str], str]] = []
        self._known: dict[str, str] = {}

    def template(self, english: str) -> str:
        """Return the template that says the same; the English one, which the log tells, where there is none."""
        if english in self._templates:
            return self._templates[english]
        logger.warning("the report has no words in '%s' for: %s", self.code, english)
        return english

    def separator(self, english: str) -> str:
        """Return what stands between parts."""
        return self._separators.get(english, english)

    def recalled(self, text: str) -> str:
        """Return a text in this language that one of the templates made; others stay as they are."""
        if text not in self._known:
            self._known[text] = self._recall(text)
        return self._known[text]

    def _recall(self, text: str) -> str:
        parts = text.split("; ")
        # A part may be one of a list, or of a sentence that has such a sign in it.
        told = [self._made_of(part) for part in parts] if len(parts) > 1 else []
        known = [part for part in told if part is not None]
        if told and len(known) == len(told):
            return self.separator("; ").join(known)
        whole = self._made_of(text)
        if whole is not None or not told:
            return text if whole is None else whole
        return self.separator("; ").join(map(self.recalled, parts))

    def _made_of(self, text: str) -> str | None:
        """Return what the template says that made a text; None where there is none."""
        if text in self._templates:
            return self._templates[text]
        for _, pattern, template in self._by_length():
            found = pattern.fullmatch(text)
            if found is not None:
                values = {name: self.recalled(value) for name, value in found.groupdict().items()}
                return "".join(
                    own + ("" if name is None else values[name]) for own, name, _, _ in Formatter().parse(template)
                )
        return None

    def _by_length(self) -> list[tuple[int, re.Pattern[str], str]]:
        """Return the templates with values, those that say most themselves first."""
        if not self._patterns:
            patterns = ((*_pattern(english), own) for english, own in self._templates.items() if "{" in english)
            self._patterns = sorted((p for p in patterns if p[0] >= _TELLING), key=lambda p: -p[0])
        return self._patterns


_speaking: ContextVar[Language | None] = ContextVar("speaking", default=None)


@contextlib.contextmanager
def speaking(language: Language | None) -> Iterator[None]:
    """Have ``spoken`` speak a language; None: English."""
    before = _speaking.set(language)
    try:
        yield
    finally:
        _speaking.reset(before)


def spoken(text: str) -> str:
    """Return a text in the language that is being spoken."""
    return _in(text, _speaking.get())


def language_code() -> str:
    """Return the language that is being spoken, as HTML has it."""
    language = _speaking.get()
    return "en" if language is None else language.code


@dataclass(frozen=True, slots=True)
class _Filled:
    template: str
    values: Mapping[str, object]

    def told(self, language: Language | None) -> str:
        template = self.template if language is None else language.template(self.template)
        values = {name: _in(each, language) if isinstance(each, str) else each for name, each in self.values.items()}
        return template.format_map(values)


@dataclass(frozen=True, slots=True)
class _Row:
    parts: tuple[str, ...]
    separator: str

    def told(self, language: Language | None) -> str:
        separator = self.separator if language is None else language.separator(self.separator)
        return separator.join(_in(part, language) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str

    def told(self, language: Language | None) -> str:
        text = _in(self.text, language)
        return f"{text[:1].upper()}{text[1:]}{'.' if language is None else language.stop}" if text else ""


@dataclass(frozen=True, slots=True)
class _Recalled:
    text: str

    def told(self, language: Language | None) -> str:
        return str(self.text) if language is None else language.recalled(str(self.text))


def _in(text: str, language: Language | None) -> str:
    return text.form.told(language) if isinstance(text, Said) else text


def _pattern(english: str) -> tuple[int, re.Pattern[str]]:
    """Return how many letters of its own a template has, and what every text of it looks like."""
    own, pattern, seen = 0, "", set[str]()
    for literal, name, _, _ in Formatter().parse(english):
        own += sum(letter.isalpha() for letter in literal)
        pattern += re.escape(literal)
        if name is not None:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
            seen.add(name)
    return own, re.compile(pattern, re.DOTALL)
