"""How many files this process may have open: as many as the system lets it, while what it starts gets the usual number.

The usual soft limit, 1,024, is there for programs that use select(2), and is enough for some hundred sessions. Bots may use it.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

_usual = 0


def allow_many() -> None:
    """Raise the soft limit to the hard one. Where that is refused, it stays."""
    global _usual  # noqa: PLW0603 - of the process there is one
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        _usual = _usual or soft
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def usual() -> int:
    """The soft limit that this process was started with, for what it starts; 0 while it is that still."""
    return _usual


def allowed() -> int:
    """How many this process may have open now."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
