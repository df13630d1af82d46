"""The one place where concrete classes are chosen."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from wasess.delivery.child import DEADLINE
from wasess.delivery.function import BotSpec, FunctionBot
from wasess.delivery.program import ProgramBot, ProgramSpec
from wasess.delivery.rules import read_rule
from wasess.errors import NotLinked
from wasess.link.contract import Contract
from wasess.link.hints import hint_of
from wasess.link.host import WorkerHost
from wasess.link.translate import translate, translate_state
from wasess.link.versions import CACHE_NAME, Versions
from wasess.settings import DEFAULT_WORKER_FILES, Settings
from wasess.store.open_files import allow_many
from wasess.store.sessions import Home
from wasess.supervisor.limited import LimitedReporter
from wasess.supervisor.log_file import LogFile
from wasess.supervisor.log_handler import logging_to
from wasess.supervisor.mail_settings import MailSettings
from wasess.supervisor.manager_settings import Settings as Pace
from wasess.supervisor.notify import Notifier
from wasess.supervisor.operations import Operations
from wasess.supervisor.queued_stream import QueuedStream
from wasess.supervisor.report import (
    BotCondition,
    EventReporter,
    JsonReporter,
    Notice,
    Reporter,
    Reporters,
    TextReporter,
    event_of,
    fields_of,
    gap_notice,
    text_of,
    trouble_teller,
)
from wasess.supervisor.stray_output import overheard
from wasess.supervisor.supervisor import Supervisor
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from wasess.delivery.bot import Bot, Tell
    from wasess.delivery.webhook_spec import WebhookSpec
    from wasess.link.port import LinkHost
    from wasess.store.sessions import Session
    from wasess.supervisor.report import Lines
    from wasess.supervisor.stalls import StallMeter

    AnyBot = BotSpec | ProgramSpec | WebhookSpec

MEBIBYTE = 2**20
HOUR, DAY = 3600.0, 86_400.0
FOREVER = 100 * 365 * DAY  # a manager for one purpose deletes nothing: only the real one knows how long things are kept


@dataclass(frozen=True, slots=True)
class Realm:
    """Which WhatsApp is meant: the real one, or the stand-in of a contract."""

    contract: Contract | None

    @property
    def name(self) -> Literal["whatsapp", "sandbox"]:
        """The mark a home gets."""
        return "sandbox" if self.contract else "whatsapp"

    def camera(self, user: str) -> Path | None:
        """Where the phone of a sandbox looks for the code of a user."""
        return self.contract.camera / user if self.contract and self.contract.camera else None

    def versions(self, home: Home, wish: str) -> Versions:
        """What the sessions of a home announce; ``wish``: ``--wa-version``."""
        return Versions(self.contract, wish, home.path / CACHE_NAME)

    def host(self, versions: Versions | None = None, files: int = DEFAULT_WORKER_FILES, *, durable: bool = False) -> LinkHost:
        """Starts links in this realm, which announce what ``versions`` says.

        ``files``: how many each worker may have open; ``durable``: what it acknowledges survives a power cut.
        """
        return WorkerHost(self.contract, files, durable=durable, versions=versions)


def realm(contract_file: Path | None) -> Realm:
    """The realm of a contract file; None is the real WhatsApp. Raises `SandboxError`."""
    return Realm(Contract.load(contract_file) if contract_file else None)


def manager(settings: Settings, bot: AnyBot | None, log: Reporter, programs: Lines | None, stalls: StallMeter) -> Supervisor:
    """The manager of a home. ``log`` (see `telling`) gets all, ``programs`` the events, if they are wanted. Make it inside the event loop of ``stalls``.

    Raises what opening the home and reading the contract raise, and `NotLinked` for an ``only`` that does not exist.
    """
    allow_many()
    where = realm(settings.sandbox)
    home = ChosenSessions(settings.home, settings.only) if settings.only else Home(settings.home)
    home.open(create=True).claim_realm(where.name)
    _require_sessions(home, settings.only)
    versions = where.versions(home, settings.wa_version)
    events = EventReporter(programs) if programs else None
    condition = BotCondition()
    reporter = Reporters(*filter(None, (log, events, condition)))
    return Supervisor(
        home,
        where.host(versions, settings.worker_files, durable=settings.durability == "power"),
        translate,
        reporter,
        translate_state=translate_state,
        hint=hint_of,
        bot=_bot(bot, settings, trouble_teller(reporter)) if bot else None,
        settings=replace(_pace(settings), announced=lambda: versions.usual),
        notifier=Notifier(os.environ),
        stalls=stalls,
        serving=_control_socket(reporter, where, condition, settings.secret_files, versions),
    )


def _bot(spec: AnyBot, settings: Settings, tell: Tell) -> Bot:
    memory = settings.bot_memory * MEBIBYTE
    deadline = settings.bot_deadline or DEADLINE
    if isinstance(spec, BotSpec):
        return FunctionBot(spec, tell, deadline=deadline, memory=memory, reload=settings.reload)
    if isinstance(spec, ProgramSpec):
        return ProgramBot(spec, tell, deadline=deadline, memory=memory)
    from wasess.delivery import webhook  # noqa: PLC0415 - an HTTP client that only a webhook needs

    return webhook.WebhookBot(spec, tell, deadline=settings.bot_deadline or webhook.DEADLINE)


def brief_manager(home: Home, where: Realm, users: tuple[str, ...], purpose: str, wa_version: str = "") -> tuple[Supervisor, Operations]:
    """A manager for one purpose, while no other runs: it keeps ``users`` (all, when empty), tells nobody, and leaves messages in their spools.

    Make it inside the event loop. ``purpose``: what the home's lock says of it.
    """
    allow_many()
    home.claim_realm(where.name)
    chosen = ChosenSessions(home.path, users) if users else home
    reporter = Reporters()
    settings = replace(_pace(Settings()), mail=MailSettings(leave=True, keep_texts=FOREVER, keep_ids=FOREVER), seen=False)
    serving = _control_socket(reporter, where)
    supervisor = Supervisor(
        chosen,
        where.host(where.versions(home, wa_version)),
        translate,
        reporter,
        translate_state=translate_state,
        hint=hint_of,
        settings=settings,
        serving=serving,
        purpose=purpose,
    )
    return supervisor, Operations(supervisor, reporter, where.name, time.time, brief=True)


def _control_socket(
    reporter: Reporter,
    where: Realm,
    bot: BotCondition | None = None,
    secret_files: tuple[Path, ...] = (),
    versions: Versions | None = None,
) -> Callable[[Supervisor], AbstractAsyncContextManager[object]]:
    from wasess.control.server import serving  # noqa: PLC0415 - an HTTP server that only a manager needs

    def complain(problem: str) -> None:
        line = _("commands can't reach this manager: the home can't have a control socket ({problem})").format(problem=problem)
        reporter.report(Notice(time.time(), "trouble", line, code="NO_CONTROL_SOCKET", reason=line, level="warning"))

    def open_socket(supervisor: Supervisor) -> AbstractAsyncContextManager[object]:
        operations = Operations(supervisor, reporter, where.name, time.time, bot=bot, secret_files=secret_files)
        if versions:
            operations.announced, operations.announce = lambda: versions.usual, versions.announce
        return serving(supervisor.home.path, operations, complain)

    return open_socket


def _pace(settings: Settings) -> Pace:
    return Pace(
        max_parallel=settings.max_parallel,
        dials_per_second=settings.dials_per_second,
        worker_memory=settings.worker_memory * MEBIBYTE,
        disk_reserve=settings.disk_reserve * MEBIBYTE,
        seen=settings.presence == "normal",
        max_age=settings.max_age * HOUR,
        mail=MailSettings(
            durable=settings.durability == "power",
            rules=tuple(read_rule(rule) for rule in settings.rules),
            keep_texts=settings.keep_messages * DAY,
            send_rate=settings.send_rate,
            brake=settings.brake,
            largest_file=settings.media_limit * MEBIBYTE,
            media_quota=settings.media_quota * MEBIBYTE,
            read_receipts=settings.read_receipts,
            typing=settings.typing,
            secret_files=settings.secret_files,
        ),
    )


class ChosenSessions(Home):
    """A home of which only some sessions are looked at."""

    def __init__(self, path: Path, users: tuple[str, ...]) -> None:
        super().__init__(path)
        self._users = frozenset(users)

    def sessions(self) -> list[Session]:
        """The chosen ones of all sessions, sorted by user id."""
        return [session for session in super().sessions() if session.user in self._users]


def _require_sessions(home: Home, users: tuple[str, ...]) -> None:
    for user in users:
        if not home.session(user).exists():
            raise NotLinked(_("there is no session {user} in {home}").format(user=user, home=home.path), hint=f"wasess connect {user}")


@contextmanager
def telling(settings: Settings, people: int | None) -> Iterator[Reporter]:
    """What is told of a home's manager inside the ``with`` block, for `manager`: lines for ``people`` (stderr's descriptor), and the log file.

    All loggers, uncaught errors and what else is written to stderr, by bots too, go the same way: a line of theirs is as harmless as ours.
    """
    with ExitStack() as stack:
        told: Reporter = Reporters()
        if people is not None:
            said = (lambda notice: json.dumps(fields_of(notice))) if settings.log_format == "json" else text_of
            told = _teller(settings, stack.enter_context(QueuedStream(people, _gap(said))))
            stack.enter_context(overheard(people, _output_teller(told)))
        log = stack.enter_context(LogFile(settings.home.absolute(), told.report))
        reporter = stack.enter_context(LimitedReporter(Reporters(told, log)))
        stack.enter_context(logging_to(reporter))
        yield reporter


@contextmanager
def telling_programs(descriptor: int) -> Iterator[Lines]:
    """Where the events of `manager` go inside the ``with`` block."""
    with QueuedStream(descriptor, _gap(event_of)) as stream:
        yield stream


def _gap(said: Callable[[Notice], str]) -> Callable[[int], str]:
    return lambda count: said(gap_notice(count, time.time())) + "\n"


def _teller(settings: Settings, people: Lines) -> Reporter:
    return JsonReporter(people) if settings.log_format == "json" else TextReporter(people)


def _output_teller(people: Reporter) -> Callable[[str], None]:
    """Not into the log file: a bot may print its messages."""
    return lambda line: people.report(Notice(time.time(), "output", line))
