"""The library's log entries as lines of text on the worker's output pipe. Imported by the worker: light."""

from __future__ import annotations

import ctypes
import os


def log_line(entry: bytes) -> bytes:
    """Turn a serialized neonize.LogEntry (three texts: message, level, name) into one line: ``LEVEL name: message``."""
    fields, at = {1: b"", 2: b"", 3: b""}, 0
    while at < len(entry):
        number, at = entry[at] >> 3, at + 1
        size, shift = 0, 0
        while True:
            byte, at = entry[at], at + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # the last byte of a varint has its top bit clear
                break
        fields[number], at = entry[at : at + size], at + size
    message = b" ".join(fields[1].split())
    return b"%s %s: %s" % (fields[2], fields[3], message)


def on_log(data: int, size: int) -> None:
    """Print an entry (the library's callback): one atomic write to the pipe, or none: PIPE_BUF is 4096."""
    try:
        os.write(2, log_line(ctypes.string_at(data, size))[:4000] + b"\n")
    except (OSError, IndexError):
        return
