from __future__ import annotations

import io

import pyte
import pytest
import zxingcpp
from phone_camera import DARK_BACKGROUND, LIGHT_BACKGROUND, read_codes
from PIL import Image

from wasess.cli import qr

KEY = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE="


def code_text(ref_length: int) -> str:
    ref = ("2@" + "kQ9xW2mZ7bT4" * 20)[:ref_length]
    return f"https://wa.me/settings/linked_devices#{ref},{KEY},{KEY},{KEY},1"


def screen_with(lines: list[str], columns: int = 80, rows: int = 40) -> pyte.HistoryScreen:
    screen = pyte.HistoryScreen(columns, rows)
    pyte.Stream(screen).feed("\r\n".join(lines))
    return screen


@pytest.mark.parametrize("background", [DARK_BACKGROUND, LIGHT_BACKGROUND], ids=["dark", "light"])
@pytest.mark.parametrize("ref_length", [30, 62, 100, 150, 200])
def test_a_code_drawn_for_80_by_40_is_read_on_any_background(ref_length, background):
    text = code_text(ref_length)
    matrix = qr.fit(qr.modules(text), rows=38, columns=80)
    assert matrix
    screen = screen_with(qr.half_blocks(matrix, colour=True))
    assert read_codes(screen, background) == [text]
    assert not screen.history.top


@pytest.mark.parametrize("border", [2, 3, 4])
def test_a_narrower_quiet_zone_is_still_read(border):
    text = code_text(100)
    lines = qr.half_blocks(qr.framed(qr.modules(text), border), colour=True)
    assert read_codes(screen_with(lines), DARK_BACKGROUND) == [text]


def test_without_colours_it_is_right_on_dark_and_inverted_on_light():
    text = code_text(100)
    screen = screen_with(qr.half_blocks(qr.framed(qr.modules(text)), colour=False))
    assert read_codes(screen, DARK_BACKGROUND) == [text]
    assert read_codes(screen, LIGHT_BACKGROUND) == []
    assert read_codes(screen, LIGHT_BACKGROUND, inverted=True) == [text]


def test_the_rows_it_needs_are_the_rows_it_takes():
    for length in (62, 100, 150):
        matrix = qr.framed(qr.modules(code_text(length)))
        assert qr.rows_needed(matrix) == len(qr.half_blocks(matrix, colour=True))


def test_a_window_one_row_or_column_too_small_gets_nothing():
    code = qr.modules(code_text(100))
    rows, columns = qr.smallest_size(code)
    assert (rows, columns) == (33, 65)
    assert qr.fit(code, rows, columns)
    assert qr.fit(code, rows - 1, columns) is None
    assert qr.fit(code, rows, columns - 1) is None


def test_the_png_is_a_picture_of_the_code():
    text = code_text(100)
    picture = Image.open(io.BytesIO(qr.png(qr.framed(qr.modules(text)))))
    assert picture.size == (69 * qr.PNG_SCALE, 69 * qr.PNG_SCALE)
    assert [code.text for code in zxingcpp.read_barcodes(picture)] == [text]
