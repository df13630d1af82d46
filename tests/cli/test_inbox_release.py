"""`wasess inbox release`: a braked chat goes on, with a manager and without one; what people and programs are told of it before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from documents import complaints, only_document
from mail_house import CAROL, DAVE, arrive, box, furnished, managed, texts, typed
from village import EVENT, MoodyBot, Village, spooled, text, until

from wasess.cli.app import run
from wasess.core.message import Reply
from wasess.delivery.mailbox import REPLY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.store.sessions import Home

    Said = Callable[..., tuple[int, str, str]]

GROUP = "120363000000000001@g.us"
SHOWN = "491***67@s.whatsapp.net"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Three chats of alice are braked."""
    made = furnished(tmp_path, monkeypatch)
    with box(made, "alice") as mailbox:
        arrive(mailbox, *texts("one", "two"), *texts("three", chat=DAVE))
        mailbox.outbox.queue(f"{REPLY}1:0", CAROL, Reply("the bot's"), 1.0)
        for at, chat in enumerate((CAROL, DAVE, GROUP), 1):
            mailbox.brakes.enter(chat, "", float(at))
    return made


@pytest.fixture
def release(home: Home, capsys: pytest.CaptureFixture[str]) -> Said:
    def said(*words: str) -> tuple[int, str, str]:
        return run(["inbox", "release", "alice", *words]), *capsys.readouterr()

    return said


def braked(home: Home) -> set[str]:
    with box(home, "alice") as mailbox:
        return set(mailbox.brakes.chats)


def test_a_chat_is_released_by_its_address_its_number_or_as_it_is_shown(home: Home, release: Said):
    code, out, err = release(SHOWN, "--json")
    document = json.loads(out)
    assert not complaints("inbox-release", document)
    assert (code, err) == (0, "")
    assert document["data"] == {
        "user": "alice",
        "released": [{"chat": SHOWN, "braked_at": 1.0, "messages": 2, "replies": 1}],
        "dropped": False,
        "managed": False,
    }
    assert braked(home) == {DAVE, GROUP}
    assert release("+49 170 765 4321")[0] == 0
    assert release(GROUP)[0] == 0
    assert braked(home) == set()
    with box(home, "alice") as mailbox:
        assert (mailbox.inbox.waiting, mailbox.outbox.waiting()) == (3, 1)


def test_all_are_released_and_what_waited_is_given_up(home: Home, release: Said):
    code, out, err = release("--all", "--drop", "--yes")
    assert (code, err) == (0, "  next: wasess serve\n")
    first, *others = out.splitlines()
    assert first == "the bot answers in 3 chats of alice again"
    assert others[0].startswith(f"{SHOWN}, since ")
    assert others[0].endswith(": gave up 2 messages, 1 reply")
    with box(home, "alice") as mailbox:
        assert (mailbox.inbox.waiting, mailbox.outbox.waiting(), mailbox.brakes.chats) == (0, 0, frozenset())
    assert release("--all")[:2] == (0, "the bot answers in 0 chats of alice again\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), f"name the chats, or say that all are meant; paused are: {SHOWN}, 491***21@s.whatsapp.net, 120***01@g.us"),
        ((CAROL, "--all"), "name the chats, or say that all are meant"),
        (("491701111111",), "'491***11' is no chat of alice that is paused"),
        (("nonsense\x1b[0m",), r"'nonsense\x1b[0m' is no chat of alice that is paused"),
    ],
)
def test_what_is_none_of_them_changes_nothing(home: Home, release: Said, words: tuple[str, ...], said: str):
    code, _, err = release(*words)
    assert code == 2
    assert said in err
    assert "next: wasess inbox release alice --all" in err
    assert braked(home) == {CAROL, DAVE, GROUP}


def test_a_name_that_fits_two_is_not_guessed_at(home: Home, release: Said):
    with box(home, "alice") as mailbox:
        mailbox.brakes.enter("491700000067@s.whatsapp.net", "", 5.0)
    code, _, err = release(SHOWN)
    assert (code, f"'{SHOWN}' may be several chats of alice" in err) == (2, True)


async def test_a_manager_lets_them_go_on_at_once_and_everybody_is_told_before(home: Home):
    host, bot = Village(), MoodyBot()
    bot.mended = True
    async with managed(home, host, "alice", bot=bot) as operations:
        await until(lambda: operations.lives()[0].problem == "CHAT_BRAKED")
        status = await typed(home, "status", "--json")
        assert only_document("status", status.out)["data"]["sessions"][0]["problem"] == "CHAT_BRAKED"
        assert "a machine answers the bot in a chat" in (await typed(home, "status")).out
        verified = await typed(home, "verify", "--json")
        assert (verified.code, verified.data["sessions"][0]["code"]) == (3, "CHAT_BRAKED")
        found = only_document("diagnose", (await typed(home, "diagnose", "--json")).out)["data"]["sessions"][0]
        told = [finding for finding in found["findings"] if finding["code"] == "CHAT_BRAKED"]
        assert [finding["fix"] for finding in told] == [
            f"wasess inbox release alice '{chat}'" for chat in (SHOWN, "491***21@s.whatsapp.net", "120***01@g.us")
        ]
        assert [one["chat"] for one in found["mail"]["braked"]] == [SHOWN, "491***21@s.whatsapp.net", "120***01@g.us"]
        assert host.links["alice"].sent == []
        done = await typed(home, "inbox", "release", "alice", "--all", "--json")
        assert (done.code, only_document("inbox-release", done.out)["data"]["managed"]) == (0, True)
        await until(lambda: len(host.links["alice"].sent) == 4)
        await until(lambda: operations.lives()[0].problem == "")
        host.links["alice"].frames(EVENT, spooled(text("four")))
        await until(lambda: len(host.links["alice"].sent) == 5)
