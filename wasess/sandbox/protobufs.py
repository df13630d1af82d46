"""WhatsApp's protobuf classes, out of neonize's folder but without neonize.

`import neonize` would load the Go library and 64 MB with it; the generated modules beside it need only google.protobuf. They import each
other by top-level names, so their folder joins the search path, at its end. Loading these six takes 0.05 s (0.1 s from a cold disk), most of it google.protobuf.
"""

# ruff: noqa: N816  (the names are those of the packages, which every published schema uses)

from __future__ import annotations

import sys
from importlib import import_module, util
from pathlib import Path
from typing import Any


def _proto_folder() -> str:
    found = util.find_spec("neonize")
    if found is None or found.origin is None:
        raise ImportError("neonize is not installed: the sandbox takes the protobuf schemas from its folder")
    return str(Path(found.origin).parent / "proto")


def _load(name: str) -> Any:
    folder = _proto_folder()
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(name)


waAdv = _load("waAdv.WAAdv_pb2")
waCert = _load("waCert.WACert_pb2")
waCompanionReg = _load("waCompanionReg.WACompanionReg_pb2")
waE2E = _load("waE2E.WAWebProtobufsE2E_pb2")
waWa6 = _load("waWa6.WAWebProtobufsWa6_pb2")
waWeb = _load("waWeb.WAWebProtobufsWeb_pb2")
