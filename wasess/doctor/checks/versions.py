"""What is installed, and how old the client library is: WhatsApp refuses clients that are too old (code 405)."""

from __future__ import annotations

import mmap
import platform
import re
import time
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING

import wasess
from wasess.doctor.findings import Finding, Part, ok
from wasess.doctor.times import DAY, span
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.doctor.circumstances import Circumstances

OLD_AFTER = 90 * DAY
"""WhatsApp has refused old clients every two to five months since 2023 (NEONIZE.md, section 2: the waves of code 405)."""
_BUILT = re.compile(rb"vcs\.time=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")

UPGRADE = "pip install --upgrade wasess"


def check(circumstances: Circumstances) -> Part:
    """What runs, and what would run."""
    built = built_at(circumstances.library) if circumstances.library else None
    facts = {
        "wasess": wasess.__version__,
        "neonize": _installed("neonize"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "library_built_at": built,
    }
    said = _("wasess {wasess}, neonize {neonize}, Python {python}, Linux {kernel}").format(**facts)
    findings = [ok("VERSIONS", said), *judge(circumstances, built, time.time())]
    return Part({"versions": facts}, tuple(findings))


def judge(circumstances: Circumstances, built: float | None, now: float) -> list[Finding]:
    """What to say of the library."""
    if circumstances.library_problem:
        return [Finding("LIBRARY_UNUSABLE", "error", circumstances.library_problem, circumstances.library_fix or UPGRADE)]
    if built is None:
        return []
    age = span(now - built)
    if now - built < OLD_AFTER:
        return [ok("LIBRARY_AGE", _("the client library was built {age} ago").format(age=age))]
    sentence = _("the client library was built {age} ago; WhatsApp refuses old ones sooner or later (code 405)").format(age=age)
    return [Finding("LIBRARY_OLD", "warning", sentence, UPGRADE)]


def built_at(library: Path) -> float | None:
    """When the library was built from its sources: Go writes the time of the commit into it. Unix time, None when it does not say."""
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            place = content.find(b"vcs.time=")
            found = _BUILT.match(content[place : place + 64]) if place >= 0 else None
    except (OSError, ValueError):
        return None
    return datetime.fromisoformat(found[1].decode()).timestamp() if found else None


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
