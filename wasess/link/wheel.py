"""neonize as installed: where its shared library and its protobuf classes lie, and whether the library is the one that was published.

neonize is never imported: that costs 64 MB, drags in libmagic, and downloads the library unsigned when it is missing.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import platform
import sys
from pathlib import Path

from wasess.errors import UnsupportedPlatform, WorkerFailed

VERSION = "0.5.2"
REINSTALL = f"Install it again: pip install --force-reinstall neonize=={VERSION}"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def folder() -> Path:
    """Return neonize's package folder. Raises `errors.WorkerFailed` when it is not installed."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or not spec.submodule_search_locations:
        raise WorkerFailed("neonize, the WhatsApp library, is not installed.", hint=REINSTALL)
    return Path(next(iter(spec.submodule_search_locations)))


def library() -> Path:
    """Return the path of neonize's shared library for this machine.

    Raises `errors.UnsupportedPlatform` where there is none, or where the worker's own means (prctl, /proc) are missing.
    """
    system, machine = sys.platform, platform.machine().lower()
    if system != "linux" or machine not in MACHINES:
        raise UnsupportedPlatform(
            f"wasess runs on Linux on x86_64 and aarch64; this is {platform.system()} on {machine or 'an unknown machine'}.",
            hint="Use a Linux machine, a container or a virtual machine.",
        )
    path = folder() / f"neonize-linux-{MACHINES[machine]}.so"
    if not path.is_file():
        raise UnsupportedPlatform(
            f"neonize is installed without its library for this machine ({path.name}); there is none for Alpine (musl).", hint=REINSTALL
        )
    return path.resolve()  # as /proc/self/maps will name it


def verify(path: Path) -> None:
    """Compare the library at ``path`` with the SHA-256 in the wheel's RECORD; about 40 ms for its 19 MB.

    Raises `errors.WorkerFailed` when neonize is another release, or when the file is not the published one.
    """
    distribution = importlib.metadata.distribution("neonize")
    if distribution.version != VERSION:
        raise WorkerFailed(f"neonize {distribution.version} is installed; wasess is measured on {VERSION}.", hint=REINSTALL)
    recorded = [file.hash.value for file in distribution.files or () if file.name == path.name and file.hash and file.hash.mode == "sha256"]
    if recorded != [digest(path)]:
        raise WorkerFailed(f"{path} is not the library that neonize {VERSION} was published with; it was not loaded.", hint=REINSTALL)


def digest(path: Path) -> str:
    """Return a file's SHA-256 as a wheel's RECORD spells it: URL-safe base64 without padding."""
    with path.open("rb") as file:
        raw = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
