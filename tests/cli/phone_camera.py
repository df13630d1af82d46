"""What a phone sees: a terminal emulator's screen as a picture, and an independent decoder's reading of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zxingcpp
from PIL import Image, ImageColor

if TYPE_CHECKING:
    import pyte
    from pyte.screens import Char

CELL = (8, 16)
DARK_BACKGROUND = {"fg": "#d0d0d0", "bg": "#101010"}
LIGHT_BACKGROUND = {"fg": "#202020", "bg": "#f8f8f0"}
HALVES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def photograph(screen: pyte.Screen, defaults: dict[str, str]) -> Image.Image:
    """The screen as pixels: one colour for each half of a cell; text is drawn as a grey stripe, which is no part of a code."""
    width, height = CELL
    picture = Image.new("RGB", (screen.columns * width, screen.lines * height), defaults["bg"])
    for row in range(screen.lines):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            top, bottom = _colours(cell, defaults)
            picture.paste(top, (column * width, row * height, (column + 1) * width, row * height + height // 2))
            picture.paste(bottom, (column * width, row * height + height // 2, (column + 1) * width, (row + 1) * height))
    return picture


def read_codes(screen: pyte.Screen, defaults: dict[str, str], *, inverted: bool = False) -> list[str]:
    """Every QR code on the screen, as text. A phone that reads light on dark too is ``inverted``."""
    found = zxingcpp.read_barcodes(photograph(screen, defaults), formats=zxingcpp.BarcodeFormat.QRCode, try_invert=inverted)
    return [code.text for code in found]


def _colours(cell: Char, defaults: dict[str, str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    ink, paper = _rgb(cell.fg, defaults["fg"]), _rgb(cell.bg, defaults["bg"])
    top, bottom = HALVES.get(cell.data, (0, 1))
    return (ink if top else paper), (ink if bottom else paper)


def _rgb(name: str, default: str) -> tuple[int, ...]:
    return ImageColor.getrgb(default if name == "default" else f"#{name}" if len(name) == 6 else name)
