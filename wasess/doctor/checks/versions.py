"""What is installed, and how old the client library is: WhatsApp refuses clients that are too old (code 405)."""

from __future__ import annotations

import mmap
import platform
import re
import time
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING

import wasess
from wasess.core import client_version
from wasess.core.warnings import client_warning
from wasess.doctor.findings import Finding, Part, ok
from wasess.doctor.times import span
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.doctor.census import ManagerView
    from wasess.doctor.circumstances import Circumstances

_BUILT = re.compile(rb"vcs\.time=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")

UPGRADE = "pip install --upgrade wasess"


def check(circumstances: Circumstances, manager: ManagerView) -> Part:
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
    findings = [ok("VERSIONS", said), *judge(circumstances, built, _announced(manager), time.time())]
    return Part({"versions": facts}, tuple(findings))


def judge(circumstances: Circumstances, built: float | None, announced: int, now: float) -> list[Finding]:
    """What to say of the library, and of the client version 2.3000.``announced``. To a stand-in old ones are as good as new ones."""
    if circumstances.library_problem:
        return [Finding("LIBRARY_UNUSABLE", "error", circumstances.library_problem, circumstances.library_fix or UPGRADE)]
    old = client_warning(announced, now)
    if old is None:
        return [] if built is None else [ok("LIBRARY_AGE", _("the client library was built {age} ago").format(age=span(now - built)))]
    days = client_version.age(announced, now)
    sentence = _("{sentence}: {version} is of {days:.0f} days ago, and others were refused at {least} to {most} days").format(
        sentence=_(old.sentence),
        version=client_version.spell(announced),
        days=days,
        least=client_version.REFUSED_FROM,
        most=client_version.REFUSED_TO,
    )
    if circumstances.realm == "sandbox":
        return [ok(old.code, sentence)]
    return [Finding(old.code, "warning" if days >= client_version.REFUSED_FROM else "note", sentence, "wasess serve --wa-version auto")]


def _announced(manager: ManagerView) -> int:
    """What the sessions announce, as far as is known."""
    with suppress(ValueError):
        return client_version.parse(manager.info.client_version if manager.info else "")
    return client_version.BUILT_IN


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
