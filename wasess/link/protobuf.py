"""neonize's generated protobuf classes, loaded on first use from its folder without importing neonize.

The folder holds top-level modules (``Neonize_pb2``, ``waE2E``, ...) that import each other by these names, so it goes to the end of
``sys.path``. Loading takes about 70 ms and 7 MB, in the supervisor; workers never do.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

from wasess.link import wheel


@functools.cache
def neonize() -> Any:
    """Return the module ``Neonize_pb2``: the library's own events, requests and results."""
    return _module("Neonize_pb2")


@functools.cache
def e2e() -> Any:
    """Return the module of ``WAWebProtobufsE2E.Message``: what people send each other."""
    return _module("waE2E.WAWebProtobufsE2E_pb2")


def _module(name: str) -> Any:
    folder = str(wheel.folder() / "proto")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)
