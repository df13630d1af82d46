"""What happens to a file on a disk that breaks: bits flip, its end is lost, a block is zeroed or comes from elsewhere, or all of it is gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

BLOCK = 512


def strike(path: Path, dice: Random) -> str:
    """Damage a file where it stands, as chance will have it; say how. A flip of one bit is every second, a truncation every fourth."""
    name = dice.choice(("flip", "flip", "flip", "flip", "truncate", "truncate", "zero", "garbage", "tail", "empty"))
    size = path.stat().st_size if path.exists() else 0
    return f"{name} {STROKES[name](path, size, dice)}" if size else "nothing there"


def _flip(path: Path, size: int, dice: Random) -> str:
    at, bit = dice.randrange(size), dice.randrange(8)
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes((byte ^ 1 << bit,)))
    return f"bit {bit} of byte {at}"


def _truncate(path: Path, size: int, dice: Random) -> str:
    left = dice.randrange(size)
    os.truncate(path, left)
    return f"to {left} of {size}"


def _zero(path: Path, size: int, dice: Random) -> str:
    return _overwrite(path, size, dice, bytes(BLOCK))


def _garbage(path: Path, size: int, dice: Random) -> str:
    return _overwrite(path, size, dice, dice.randbytes(BLOCK))


def _overwrite(path: Path, size: int, dice: Random, block: bytes) -> str:
    at = dice.randrange(size) // BLOCK * BLOCK
    with path.open("r+b") as file:
        file.seek(at)
        file.write(block[: size - at])
    return f"block at {at}"


def _tail(path: Path, _size: int, dice: Random) -> str:
    tail = dice.randbytes(dice.randrange(1, 2 * BLOCK))
    with path.open("ab") as file:
        file.write(tail)
    return f"of {len(tail)} bytes"


def _empty(path: Path, _size: int, _dice: Random) -> str:
    os.truncate(path, 0)
    return ""


STROKES: dict[str, Callable[[Path, int, Random], str]] = {
    "flip": _flip,
    "truncate": _truncate,
    "zero": _zero,
    "garbage": _garbage,
    "tail": _tail,
    "empty": _empty,
}
