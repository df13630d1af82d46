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
from wasess.words import _, mark

VERSION = "0.5.2"
REINSTALL = mark("Install it again: pip install --force-reinstall neonize=={version}")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def folder() -> Path:
    """Return neonize's package folder. Raises `errors.WorkerFailed` when it is not installed."""
    spec = importlib.util.find_spec("neonize")
    if spec is None or not spec.submodule_search_locations:
        raise WorkerFailed(_("neonize, the WhatsApp library, is not installed."), hint=_(REINSTALL).format(version=VERSION))
    return Path(next(iter(spec.submodule_search_locations)))


def library() -> Path:
    """Return the path of neonize's shared library for this machine.

    Raises `errors.UnsupportedPlatform` where there is none, or where the worker's own means (prctl, /proc) are missing.
    """
    system, machine = sys.platform, platform.machine().lower()
    if system != "linux" or machine not in MACHINES:
        raise UnsupportedPlatform(
            _("wasess runs on Linux on x86_64 and aarch64; this is {system} on {machine}.").format(
                system=platform.system(), machine=machine or _("an unknown machine")
            ),
            hint=_("Use a Linux machine, a container or a virtual machine."),
        )
    path = folder() / f"neonize-linux-{MACHINES[machine]}.so"
    if not path.is_file():
        raise UnsupportedPlatform(
            _("neonize is installed without its library for this machine ({file}); there is none for Alpine (musl).").format(
                file=path.name
            ),
            hint=_(REINSTALL).format(version=VERSION),
        )
    return path.resolve()  # as /proc/self/maps will name it


def verify(path: Path) -> None:
    """Compare the library at ``path`` with the SHA-256 in the wheel's RECORD; about 40 ms for its 19 MB.

    Raises `errors.WorkerFailed` when neonize is another release, or when the file is not the published one.
    """
    distribution = importlib.metadata.distribution("neonize")
    if distribution.version != VERSION:
        raise WorkerFailed(
            _("neonize {found} is installed; wasess is measured on {version}.").format(found=distribution.version, version=VERSION),
            hint=_(REINSTALL).format(version=VERSION),
        )
    recorded = [file.hash.value for file in distribution.files or () if file.name == path.name and file.hash and file.hash.mode == "sha256"]
    if recorded != [digest(path)]:
        raise WorkerFailed(
            _("{path} is not the library that neonize {version} was published with; it was not loaded.").format(path=path, version=VERSION),
            hint=_(REINSTALL).format(version=VERSION),
        )


def digest(path: Path) -> str:
    """Return a file's SHA-256 as a wheel's RECORD spells it: URL-safe base64 without padding."""
    with path.open("rb") as file:
        raw = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
