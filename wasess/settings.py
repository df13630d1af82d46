"""What the command line and the environment ask for, as one value. The command line wins over the environment; there is no file of settings yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOME = Path("auth_sessions")
DEFAULT_MAX_PARALLEL = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """``sandbox``: the contract file of a WhatsApp stand-in; None is the real WhatsApp."""

    home: Path = DEFAULT_HOME
    sandbox: Path | None = None


@dataclass(frozen=True, slots=True)
class ServeSettings(Settings):
    """``bot``: ``module:function`` or ``file.py:function``; ``only``: user ids, empty for all; ``max_parallel``: logins at a time."""

    bot: str | None = None
    events: bool = False
    only: tuple[str, ...] = ()
    max_parallel: int = DEFAULT_MAX_PARALLEL
