"""Whatever ends a keeper: its worker is ended and its mail is closed before the next keeper of the session begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hand_clock import HandClock
from test_setbacks import QUICK, failing
from test_supervisor import managing, ready
from village import Village, link_device, until

from wasess.delivery.courier import Courier
from wasess.delivery.mailbox import Mailbox
from wasess.supervisor.chat_presence import ChatPresence
from wasess.supervisor.collector import Collector
from wasess.supervisor.journal import Journal
from wasess.supervisor.mail_care import MailCare
from wasess.supervisor.state_reader import StateReader
from wasess.supervisor.tether import Tether

if TYPE_CHECKING:
    from village import Told

    from wasess.store.sessions import Home
    from wasess.supervisor.supervisor import Supervisor


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Mailbox]:
    """The mailboxes of alice that are open now."""
    found: list[Mailbox] = []
    begin, close = Mailbox.__init__, Mailbox.close

    def begins(this: Mailbox, *arguments: Any, **named: Any) -> None:
        begin(this, *arguments, **named)
        if this.user == "alice":
            found.append(this)

    def closes(this: Mailbox) -> None:
        close(this)
        if this in found:
            found.remove(this)

    monkeypatch.setattr(Mailbox, "__init__", begins)
    monkeypatch.setattr(Mailbox, "close", closes)
    return found


def is_up(manager: Supervisor) -> bool:
    keeper = manager.keepers.get("alice")
    return keeper is not None and keeper.online and keeper.mail.is_open


FAULTS = [MemoryError(), RuntimeError("can't start new thread")]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_keeper_whose_past_cant_be_read_leaves_no_mail_open(
    home: Home, told: Told, monkeypatch: pytest.MonkeyPatch, opened: list[Mailbox], fault: Exception
):
    link_device(home.session("alice"))
    clock = HandClock()
    tries: list[bool] = []
    broken = failing(monkeypatch, Journal, "open", fault, lambda *_: tries.append(True) or True)
    async with managing(home, Village(), told, settings=QUICK, clock=clock) as (manager, _task):
        await until(lambda: clock.advance(5.0) or len(tries) > 3)
        broken.clear()
        await until(lambda: clock.advance(1.0) or is_up(manager))
        assert len(opened) == 1


@pytest.mark.parametrize("owner", [Tether, StateReader, ChatPresence, Courier, Collector, MailCare])
async def test_one_close_that_fails_leaves_no_mail_open(
    home: Home, told: Told, monkeypatch: pytest.MonkeyPatch, opened: list[Mailbox], owner: Any
):
    link_device(home.session("alice"))
    clock = HandClock()
    async with managing(home, Village(), told, settings=QUICK, clock=clock) as (manager, task):
        await until(lambda: ready(told) and is_up(manager))
        broken = failing(monkeypatch, owner, "close", RuntimeError("a bug"))
        old = manager.keepers["alice"]
        old.fail(RuntimeError("the first"))
        await until(lambda: manager.keepers.get("alice") is not old)
        assert opened == []
        broken.clear()
        await until(lambda: clock.advance(1.0) or is_up(manager))
        assert len(opened) == 1
        assert not task.done()
