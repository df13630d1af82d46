"""What the command line and the environment ask of a manager, as one value. The command line wins; there is no file of settings yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOME = Path("auth_sessions")
DEFAULT_MAX_PARALLEL = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """``sandbox``: the contract file of a stand-in, None for WhatsApp itself; ``only``: user ids, empty for all; ``max_parallel``: logins at a time."""

    home: Path = DEFAULT_HOME
    sandbox: Path | None = None
    events: bool = False
    only: tuple[str, ...] = ()
    max_parallel: int = DEFAULT_MAX_PARALLEL
