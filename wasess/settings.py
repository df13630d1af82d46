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
DEFAULT_KEEP_MESSAGES = 30.0
DEFAULT_MEDIA_LIMIT = 64
DEFAULT_MEDIA_QUOTA = 1024
DEFAULT_BRAKE = 20

Presence = Literal["normal", "quiet"]
LogFormat = Literal["text", "json"]
Durability = Literal["fast", "power"]


@dataclass(frozen=True, slots=True)
class Settings:
    """``sandbox``: the contract file of a stand-in, None for WhatsApp itself; ``only``: user ids, empty for all; ``max_parallel``: logins at a time.

    ``dials_per_second``: of all sessions together. ``worker_memory`` and ``disk_reserve`` in MiB, ``worker_files``: open files a worker
    may have. ``presence``: ``normal`` shows the device as in use now and then, ``quiet`` never. ``log_format``: how what is told on
    stderr looks.

    ``durability``: what an acknowledged message survives, the end of any process (``fast``) or a power cut, too (``power``).
    ``max_age`` in hours: how old a message may be that is still answered, 0 for any. ``keep_messages`` in days: how long the texts of
    those that are done with are kept. ``media_limit`` in MiB: larger files are not fetched; ``media_quota`` in MiB: of a session's files
    together, 0 for any number. ``send_rate``: messages a minute, 0 for any
    number. ``brake``: answers to a machine that answers them, before its chat is braked; 0 for any number. ``rules``: see `delivery.rules.read_rule`. ``bot_deadline`` in seconds for one message, None for what is usual for the kind of bot; ``bot_memory`` in MiB, 0 for any.
    ``reload``: follow changes of the bot's file. ``secret_files`` are never sent. ``wa_version``: see `link.versions`.
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
    durability: Durability = "fast"
    max_age: float = 0.0
    keep_messages: float = DEFAULT_KEEP_MESSAGES
    media_limit: int = DEFAULT_MEDIA_LIMIT
    media_quota: int = DEFAULT_MEDIA_QUOTA
    send_rate: float = 0.0
    brake: int = DEFAULT_BRAKE
    rules: tuple[str, ...] = ()
    read_receipts: bool = False
    typing: bool = False
    bot_deadline: float | None = None
    bot_memory: int = 0
    reload: bool = False
    secret_files: tuple[Path, ...] = ()
    wa_version: str = ""
