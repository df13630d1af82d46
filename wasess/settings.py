"""What the command line, the environment and the file of settings ask of a manager, as one value. See `cli.settings_file` for who wins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEFAULT_HOME = Path("auth_sessions")
DEFAULT_MAX_PARALLEL = 8
DEFAULT_DIALS_PER_SECOND = 20.0
DEFAULT_WORKER_MEMORY = 256
DEFAULT_WORKER_FILES = 256
DEFAULT_DISK_RESERVE = 32

Presence = Literal["normal", "quiet"]
LogFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class Settings:
    """``sandbox``: the contract file of a stand-in, None for WhatsApp itself; ``only``: user ids, empty for all; ``max_parallel``: logins at a time.

    ``dials_per_second``: of all sessions together. ``worker_memory`` and ``disk_reserve`` in MiB, ``worker_files``: open files a worker
    may have. ``presence``: ``normal`` shows the device as in use now and then, ``quiet`` never. ``log_format``: how what is told on
    stderr looks.
    """

    home: Path = DEFAULT_HOME
    sandbox: Path | None = None
    events: bool = False
    only: tuple[str, ...] = ()
    max_parallel: int = DEFAULT_MAX_PARALLEL
    dials_per_second: float = DEFAULT_DIALS_PER_SECOND
    worker_memory: int = DEFAULT_WORKER_MEMORY
    worker_files: int = DEFAULT_WORKER_FILES
    disk_reserve: int = DEFAULT_DISK_RESERVE
    presence: Presence = "normal"
    log_format: LogFormat = "text"
