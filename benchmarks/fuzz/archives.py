"""Damage inside an archive whose checksums are right again: a .npz is a zip of .npy files."""

from __future__ import annotations

import io
import random
import zipfile

from benchmarks.fuzz.damage import Damage, word


def members(inner: Damage) -> Damage:
    """Return the damage to the members of a zip: their bytes, their names, their number."""

    def damage(rng: random.Random, data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            held = [(name, archive.read(name)) for name in archive.namelist()]
        at = rng.randrange(len(held))
        name, content = held[at]
        match rng.randrange(5):
            case 0:
                del held[at]
            case 1:
                held[at] = (word(rng).encode("utf-8", "replace").decode()[:200] or "x", content)
            case 2:
                held.append((f"{name}.more", content))
            case _:
                held[at] = (name, inner(rng, content))
        stream = io.BytesIO()
        method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, content in held:
                archive.writestr(zipfile.ZipInfo(name or "x"), content, method)
        return stream.getvalue()

    return damage


def npy_head(rng: random.Random, data: bytes) -> bytes:
    """Change what the head of a .npy says: type, order, shape, length."""
    start = 10 + int.from_bytes(data[8:10], "little")
    types = [
        "<f4",
        "<f8",
        "<f2",
        ">f4",
        "<i8",
        "|u1",
        "|b1",
        "<c8",
        "|O",
        "<U3",
        "|S0",
        "<M8[s]",
        "|V4",
        "f4,i4",
        "nonsense",
        "<f16",
    ]
    shapes = [
        "()",
        "(0,)",
        "(1,)",
        "(-1,)",
        "(2, 0)",
        f"({2**40},)",
        f"({2**62}, 4)",
        "(1.5,)",
        "('a',)",
        "(" + "1, " * 70 + ")",
        "(8, 2, 6, 6)",
    ]
    order = rng.choice(["False", "True", "2", "None"])
    head = f"{{'descr': '{rng.choice(types)}', 'fortran_order': {order}, 'shape': {rng.choice(shapes)}, }}"
    if rng.random() < 0.2:
        head = rng.choice(
            [
                "",
                "{}",
                "[" * 3000,
                "{'descr': __import__('os')}",
                head + "x",
                head[: len(head) // 2],
                "{" + "'a': 1, " * 3000 + "}",
            ]
        )
    encoded = head.encode() + b"\n"
    return (
        b"\x93NUMPY"
        + bytes(rng.choice([(1, 0), (1, 0), (2, 0), (9, 9)]))
        + len(encoded).to_bytes(2, "little")
        + encoded
        + data[start:]
    )
