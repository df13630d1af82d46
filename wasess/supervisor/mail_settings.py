"""How a session's mail is dealt with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wasess.delivery.mail_queue import MAIL_THREADS

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from wasess.delivery.rules import Rule

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class MailSettings:
    """``durable``: what is acknowledged survives a power cut. ``rules``: see `delivery.rules`. ``leave``: without a bot, messages wait for one.

    ``keep_texts`` and ``keep_ids``: seconds after which the text of a message that is done with is deleted, and the last trace of it.
    ``send_rate``: messages a minute, 0 for any number. ``largest_file``: bytes; larger ones are not fetched; 0: none is.
    ``media_quota``: bytes of all files of the session, 0 for any number.
    ``read_receipts``: tell senders that a message was read when the bot gets it. ``typing``: show them that the bot thinks.
    ``secret_files`` are never sent. ``threads`` work on the mail. ``brake``: see `core.brake.Brake`; ``own``: the addresses of the sessions that are
    kept, with their users; it changes with them.
    """

    durable: bool = False
    rules: tuple[Rule, ...] = ()
    leave: bool = False
    keep_texts: float = 30 * DAY
    keep_ids: float = 90 * DAY
    send_rate: float = 0.0
    largest_file: int = 64 * 2**20
    media_quota: int = 0
    read_receipts: bool = False
    typing: bool = False
    secret_files: tuple[Path, ...] = ()
    threads: Executor = MAIL_THREADS
    brake: int = 20
    own: dict[str, str] = field(default_factory=dict)
