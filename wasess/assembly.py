"""The one place where concrete classes are chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wasess.delivery.function import FunctionBot
from wasess.errors import NotLinked
from wasess.link.contract import Contract
from wasess.link.hints import hint_of
from wasess.link.host import WorkerHost
from wasess.link.translate import translate
from wasess.settings import DEFAULT_WORKER_FILES
from wasess.store.sessions import Home
from wasess.supervisor.notify import Notifier
from wasess.supervisor.report import EventReporter, Reporter, Reporters, TextReporter, trouble_teller
from wasess.supervisor.supervisor import Settings as Pace
from wasess.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from wasess.delivery.function import BotSpec
    from wasess.link.port import LinkHost
    from wasess.settings import Settings
    from wasess.store.sessions import Session

MEBIBYTE = 2**20


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

    def host(self, files: int = DEFAULT_WORKER_FILES) -> LinkHost:
        """Starts links in this realm. ``files``: how many each worker may have open."""
        return WorkerHost(self.contract, files)


def realm(contract_file: Path | None) -> Realm:
    """The realm of a contract file; None is the real WhatsApp. Raises `SandboxError`."""
    return Realm(Contract.load(contract_file) if contract_file else None)


def manager(settings: Settings, bot: BotSpec | None, people: TextIO, programs: TextIO) -> Supervisor:
    """The manager of a home. ``people`` gets plain lines, ``programs`` the events if they are wanted. Make it inside the event loop.

    Raises what opening the home and reading the contract raise, and `NotLinked` for an ``only`` that does not exist.
    """
    where = realm(settings.sandbox)
    home = ChosenSessions(settings.home, settings.only) if settings.only else Home(settings.home)
    home.open(create=True).claim_realm(where.name)
    _require_sessions(home, settings.only)
    reporter = _reporter(people, programs if settings.events else None)
    function = FunctionBot(bot, trouble_teller(reporter)) if bot else None
    return Supervisor(
        home,
        where.host(settings.worker_files),
        translate,
        reporter,
        hint=hint_of,
        bot=function,
        settings=_pace(settings),
        notifier=Notifier(os.environ),
    )


def _pace(settings: Settings) -> Pace:
    return Pace(
        max_parallel=settings.max_parallel,
        dials_per_second=settings.dials_per_second,
        worker_memory=settings.worker_memory * MEBIBYTE,
        disk_reserve=settings.disk_reserve * MEBIBYTE,
        seen=settings.presence == "normal",
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
            raise NotLinked(f"there is no session {user} in {home.path}", hint=f"wasess connect {user}")


def _reporter(people: TextIO, programs: TextIO | None) -> Reporter:
    return Reporters(TextReporter(people), EventReporter(programs)) if programs else TextReporter(people)
