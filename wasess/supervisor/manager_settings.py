"""What a manager may be told about its pace, its patience and what it runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wasess.supervisor.mail_settings import MailSettings

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds, unless a line says otherwise."""

    max_parallel: int = 8  # sessions that dial at once
    place_for: float = 1.0  # as long a session that dials may hold up the next in line
    dials_per_second: float = 20.0  # of all sessions together; the libraries' own redials are not counted
    worker_memory: int = 256 * 2**20  # bytes; a worker that needs more is replaced
    disk_reserve: int = 32 * 2**20  # bytes; with less than this on the home's file system, no message is accepted
    seen: bool = True  # WhatsApp may show the device as in use now and then
    ready_within: float = 10.0  # then the manager is ready, with whatever is online
    look_every: float = 0.5  # for sessions newly linked or removed
    bot_patience: float = 2.0  # at the end, for what the bot is at
    sent_within: float = 0.5  # at the end, for what is being sent: what is not stays queued
    drain_patience: float = 5.5  # at the end, for the workers
    gone_within: float = 9.0  # all of the end, before everything is killed
    max_age: float = 0.0  # messages older than this are not worth an answer; 0: all are
    mail: MailSettings = field(default_factory=MailSettings)
    announced: Callable[[], int] | None = None  # the N of the client version that sessions announce
