"""The characters that a text recogniser tells, in the order of its classes: a text file with one a line."""

from __future__ import annotations

from pathlib import Path

from runner.errors import ConfigError
from runner.printable import shown


def read_alphabet(path: str, *, key: str) -> tuple[str, ...]:
    """Return a file's lines, in order; a line may be a space, or several code points that make one character.

    Args:
        path: of the file, UTF-8.
        key: the option that names it, for messages.

    Raises:
        ConfigError: it is missing or no UTF-8, holds no line, or a blank one before the last.
    """
    file = Path(path)
    try:
        # Bytes, split at line feeds alone: alphabets hold characters at which Python ends a line too.
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(
            f"{key}: {shown(file)} cannot be read: {error.strerror}; expected a text file with a character a line."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{key}: {shown(file)} is no UTF-8 text: {error.reason} at byte {error.start}.") from error
    characters = [line.removesuffix("\r") for line in lines]
    while characters and not characters[-1]:
        characters.pop()
    if not characters:
        raise ConfigError(f"{key}: {shown(file)} is empty; expected a character a line, as the classes are numbered.")
    if "" in characters:
        raise ConfigError(
            f"{key}: {shown(file)}:{characters.index('') + 1} is blank; expected a character, as a line that is left out would "
            "shift all classes after it."
        )
    return tuple(characters)
