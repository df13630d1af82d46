"""An exception anywhere in what belongs to one session ends neither the manager nor another session, and the session itself goes on."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from at_once import AtOnce
from hand_clock import HandClock
from test_supervisor import managing, ready
from village import EVENT, MoodyBot, Village, link_device, spooled, text, until

from wasess.core.events import Connected, Disconnected
from wasess.delivery.courier import Courier
from wasess.delivery.mail_queue import MailQueue
from wasess.supervisor.attachments import Attachments
from wasess.supervisor.intake import Intake
from wasess.supervisor.journal import Journal
from wasess.supervisor.keeper import Keeper
from wasess.supervisor.mail_care import MailCare
from wasess.supervisor.mail_settings import MailSettings
from wasess.supervisor.mailroom import Mailroom
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.rounds import Rounds
from wasess.supervisor.state_reader import StateReader
from wasess.supervisor.teller import Teller
from wasess.supervisor.tether import Tether
from wasess.supervisor.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from village import Told

    from wasess.store.sessions import Home

CLASSES = (Keeper, Mailroom, MailQueue, MailCare, Intake, StateReader, Courier, Attachments, Tether, Watch, Teller, Journal)
# What ends a session on purpose, at the end of the test; what only the test asks for; what itself tells an error to whoever
# waits; what the test's own clock calls.
LEFT_OUT = {"close", "__init__", "mailbox", "_tell_waiting", "_fail", "fail", "_beside", "_no_answer"}


class Injector:
    """Raises in one function at a time, once, when a session named alice is served."""

    def __init__(self) -> None:
        self.armed = ""
        self.raised = False

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waits(this: Any, *arguments: Any, **named: Any) -> Any:
                self._strike(name, this)
                return await function(this, *arguments, **named)

            return waits

        @functools.wraps(function)
        def returns(this: Any, *arguments: Any, **named: Any) -> Any:
            self._strike(name, this)
            return function(this, *arguments, **named)

        return returns

    def _strike(self, name: str, this: Any) -> None:
        if self.armed == name and not self.raised and _user(this) == "alice":
            self.raised = True
            raise RuntimeError(f"injected into {name}")


def _user(this: Any) -> str:
    for way in ("user", "_user", "_session.user", "_mailbox.user", "_mail.user", "_folder.name"):
        found: Any = this
        for step in way.split("."):
            found = getattr(found, step, None)
        if isinstance(found, str):
            return found
    return "alice" if isinstance(this, Watch) else ""


@pytest.fixture
def injector(monkeypatch: pytest.MonkeyPatch) -> tuple[Injector, list[str]]:
    made, names = Injector(), []
    for cls in CLASSES:
        for attribute, function in list(vars(cls).items()):
            if inspect.isfunction(function) and attribute not in LEFT_OUT:
                names.append(f"{cls.__name__}.{attribute}")
                monkeypatch.setattr(cls, attribute, made.wrap(names[-1], function))
    monkeypatch.setattr(Rounds.walk, "__defaults__", (0.01,))
    return made, names


@pytest.mark.timeout(240)
async def test_an_exception_in_one_session_ends_nobody_else(home: Home, told: Told, injector: tuple[Injector, list[str]]):
    strikes, names = injector
    host, clock, bot = Village(), HandClock(), MoodyBot()
    bot.mended = True
    for user in ("alice", "bob"):
        link_device(home.session(user))
    settings = Settings(ready_within=2.0, look_every=0.02, mail=MailSettings(threads=AtOnce()))
    struck = []
    async with managing(home, host, told, settings=settings, clock=clock, bot=bot) as (manager, task):
        await until(lambda: ready(told))

        def well(user: str) -> bool:
            clock.advance(5.0)
            keeper = manager.keepers.get(user)
            return keeper is not None and keeper.online and keeper.mail.is_open and bool(host.living(user))

        async def answered(user: str, words: str) -> None:
            asked_of: set[int] = set()

            def asked() -> bool:
                """WhatsApp sends a message again to a worker that comes after one that has ended."""
                if well(user) and id(link := host.links[user]) not in asked_of:
                    asked_of.add(id(link))
                    link.frames(EVENT, spooled(text(words)))
                return words in bot.asked

            try:
                await until(asked)
            except TimeoutError:
                keeper = manager.keepers.get(user)
                pytest.fail(f"{words}: {user} does not go on; {keeper and keeper.live()}")

        for name in names:
            strikes.armed, strikes.raised = name, False
            await until(lambda: well("alice"))
            host.links["alice"].frames(EVENT, spooled(text(f"{name} 1")), spooled(Disconnected()), spooled(Connected()))
            await answered("bob", f"bob {name}")
            if not strikes.raised:  # what is done only when a session is opened
                await until(lambda: well("alice"))
                old = manager.keepers["alice"]
                old.fail(RuntimeError("opened anew"))
                await until(lambda old=old: clock.advance(5.0) or strikes.raised or manager.keepers.get("alice") not in {None, old})
                await until(lambda: strikes.raised or well("alice"))
            for _ in range(5):
                clock.advance(8.0)
                await asyncio.sleep(0.002)
            strikes.armed = ""
            assert not task.done(), f"{name} ended the manager"
            await answered("alice", f"{name} 2")
            assert f"{name} 1" in bot.asked, f"{name} lost a message"
            struck += [name] if strikes.raised else []
    assert len(struck) > len(names) // 2, " ".join(sorted({*names} - {*struck}))
