"""Tells how many frames were destroyed in a stretch of the spool that makes no frame.

A writer that was killed in the middle of a frame leaves its beginning, with the next frame right behind it: that message was not
acknowledged, and is not lost. Everything else was whole once: a byte that has changed in its header, its payload or its checksum.
No payload holds the bytes that begin a frame (`store.frame`), so a beginning ends where the next frame begins. What can't be told is
counted: a message too many that may be missing is better than one that is missing without a word.
"""

from __future__ import annotations

from wasess.store.frame import HEADER_SIZE, MAGIC, matches


def destroyed(stretch: bytes) -> int:
    """How many frames it held; 0 when all of it was never finished. A long run of zeros, as a power cut may leave it, counts as one."""
    starts = _starts(stretch)
    ends = {*starts, len(stretch)}
    count = 0
    at = next((len(rest) for rest in (MAGIC[1:], MAGIC[2:]) if stretch.startswith(rest)), 0)  # of a beginning that was read up to here
    for following in (*(start for start in starts if start), len(stretch)):
        while at < following:
            piece = stretch[at:following]
            zeros = len(piece) - len(piece.lstrip(b"\0"))
            if zeros >= HEADER_SIZE:
                count, at = count + 1, at + zeros
                continue
            end = at + HEADER_SIZE + int.from_bytes(piece[4:8], "little")
            begun = piece.startswith(MAGIC[: len(piece)])
            if len(piece) < HEADER_SIZE or matches(piece):  # of the last one nothing but its length has changed
                count, at = count + (len(piece) >= HEADER_SIZE or not begun), following
            elif end in ends or end < following:
                count, at = count + 1, end
            else:
                count, at = count + (not begun), following
    return count


def _starts(stretch: bytes) -> list[int]:
    found, at = [], stretch.find(MAGIC)
    while at >= 0:
        found.append(at)
        at = stretch.find(MAGIC, at + 1)
    return found
