"""A QR code as values: a matrix of modules, lines of half blocks for a terminal, the bytes of a PNG. Nothing here touches a terminal or a file.

WhatsApp's code is about 240 to 330 characters (`https://wa.me/settings/linked_devices#ref,noise,identity,secret,type`; PROTOCOL.md 2.3), so
57 to 65 modules at error correction L: with the quiet zone 65 to 73 columns and 33 to 37 rows of half blocks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from qrcode.constants import ERROR_CORRECT_L
from qrcode.main import QRCode

QUIET_ZONE = 4  # modules of light border the standard asks for
NARROWEST_QUIET_ZONE = 2  # decoders still find the code; used only where 4 does not fit
PNG_SCALE = 8  # pixels a module

# The colour cube's black and white: unlike the first sixteen colours no theme repaints them, so the code stays dark on light on any background.
BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m"
RESET = "\x1b[0m"

Matrix = Sequence[Sequence[bool]]


def modules(text: str) -> Matrix:
    """The code of a text without its quiet zone: rows of modules, True is dark. About 60 ms of CPU."""
    code = QRCode(error_correction=ERROR_CORRECT_L, border=0)
    code.add_data(text, optimize=0)
    code.make(fit=True)
    return code.get_matrix()


def framed(matrix: Matrix, border: int = QUIET_ZONE) -> Matrix:
    """A code with ``border`` light modules on each side."""
    width = len(matrix) + 2 * border
    side = [False] * border
    edge = [[False] * width for _ in range(border)]
    return [*edge, *([*side, *row, *side] for row in matrix), *edge]


def rows_needed(matrix: Matrix) -> int:
    """Terminal rows of a matrix drawn by `half_blocks`: two modules a row."""
    return (len(matrix) + 1) // 2


def fit(code: Matrix, rows: int, columns: int) -> Matrix | None:
    """The code with the widest quiet zone (4 down to 2) that fits into so many terminal rows and columns; None when none does."""
    for border in range(QUIET_ZONE, NARROWEST_QUIET_ZONE - 1, -1):
        matrix = framed(code, border)
        if rows_needed(matrix) <= rows and len(matrix) <= columns:
            return matrix
    return None


def smallest_size(code: Matrix) -> tuple[int, int]:
    """Terminal rows and columns below which `fit` has nothing to give."""
    matrix = framed(code, NARROWEST_QUIET_ZONE)
    return rows_needed(matrix), len(matrix)


def half_blocks(matrix: Matrix, *, colour: bool) -> list[str]:
    """Lines of half blocks, two modules above each other in one character.

    With ``colour`` each line sets black on white itself and is read on any background. Without (NO_COLOR, a dumb terminal, a pipe) the
    light modules are drawn in the terminal's own text colour: right on a dark background, inverted on a light one.
    """
    below = [*matrix[1:], [False] * len(matrix)]
    pairs = [(matrix[row], below[row]) for row in range(0, len(matrix), 2)]
    glyphs = " ▄▀█" if colour else "█▀▄ "
    lines = ["".join(glyphs[2 * top + bottom] for top, bottom in zip(*pair, strict=True)) for pair in pairs]
    return [f"{BLACK_ON_WHITE}{line}{RESET}" for line in lines] if colour else lines


def png(matrix: Matrix, scale: int = PNG_SCALE) -> bytes:
    """A black-and-white PNG of a matrix, ``scale`` pixels a module."""
    side = len(matrix) * scale
    lines = [b"\x00" + _pixels(row, scale) for row in matrix for _ in range(scale)]
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # one bit a pixel, greyscale
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _pixels(row: Sequence[bool], scale: int) -> bytes:
    """One line of pixels, eight a byte; a set bit is white."""
    bits = "".join(("0" if dark else "1") * scale for dark in row)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
