"""Damage to bytes and to lines of text, decided by a random generator alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# Turns the bytes of a file into other ones.
Damage = Callable[[random.Random, bytes], bytes]

_MOST_CHANGES = 8
_WORDS = (
    *("", "0", "-1", "1", "2147483648", "-9223372036854775809", "1e400", "nan", "-inf", "0x10", "1_000", "٣"),
    *(
        "null",
        "true",
        "[]",
        "{}",
        '"',
        "'",
        "\\",
        "\x00",
        "\x1b[31m",
        "‮",
        "\ud800",
        "图",
        "../../x",
        "/dev/zero",
        "&a [*a]",
    ),
    *("!!python/object:os.system", "${oc.env:HOME}", "a" * 5000, "[" * 2000, "\n", "\r", "\t", ":", "=", ",", "#"),
)


def anywhere(rng: random.Random, data: bytes) -> bytes:
    """Flip, remove, double, insert or cut bytes; the cut ones are what a broken transfer leaves."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        size = len(changed)
        at, length = rng.randrange(size + 1), rng.choice([1, 1, 2, 4, 8, 64])
        match rng.randrange(7):
            case 0 if size:
                changed[at % size] ^= 1 << rng.randrange(8)
            case 1 if size:
                changed[at % size] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                changed[at:at] = rng.randbytes(length)
            case 5:
                changed[at : at + length] = bytes(rng.choice([0, 0xFF]) for _ in range(length))
            case 6 if rng.random() < 0.2:
                del changed[at:]
            case _:
                pass
    return bytes(changed)


def lines(rng: random.Random, data: bytes) -> bytes:
    """Change lines and words of a text: remove, double, swap, cut, put odd words in their place."""
    held = data.decode("utf-8", "surrogateescape").split("\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(held)) if held else 0
        match rng.randrange(6):
            case 0:
                del held[at : at + 1]
            case 1:
                held[at:at] = held[at : at + 1]
            case 2 if held:
                other = rng.randrange(len(held))
                held[at], held[other] = held[other], held[at]
            case 3 if held:
                held[at] = _other_word(rng, held[at])
            case 4 if held:
                held[at] = held[at][: rng.randrange(len(held[at]) + 1)]
            case _:
                held.insert(at, word(rng))
    text = "\n".join(held)
    return text.encode("utf-8", "surrogatepass" if "\ud800" in text else "surrogateescape")


def word(rng: random.Random) -> str:
    """Return a word that readers of text stumble over."""
    return rng.choice(_WORDS)


def one_of(damages: Sequence[Damage]) -> Damage:
    """Return the damage that picks one of several."""
    return lambda rng, data: rng.choice(damages)(rng, data)


def _other_word(rng: random.Random, line: str) -> str:
    separator = rng.choice([" ", ":", ",", "\t", '"'])
    words = line.split(separator)
    words[rng.randrange(len(words))] = word(rng)
    return separator.join(words)
