"""`wasess inbox`: looking at messages, and trying dead letters again or dropping them, with a manager and without one."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from documents import complaints, only_document
from mail_house import CAROL, DAVE, arrive, box, died, furnished, managed, texts, typed
from village import EVENT, MoodyBot, Village, spooled, text, until

from wasess.cli.app import run
from wasess.core.message import STATUS, Contact, Location, Media, Message, Poll, Quote, Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.store.sessions import Home

    Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return furnished(tmp_path, monkeypatch)


@pytest.fixture
def inbox(home: Home, capsys: pytest.CaptureFixture[str]) -> Said:
    def said(*words: str) -> tuple[int, str, str]:
        return run(["inbox", *words]), *capsys.readouterr()

    return said


def documented(name: str, out: str) -> dict[str, Any]:
    return dict(only_document(name, out)["data"])


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def states(home: Home, user: str = "alice") -> dict[int, str]:
    with box(home, user) as mailbox:
        return {item.seq: item.state for item in mailbox.inbox.items()}


# --- looking ------------------------------------------------------------------------------------------------------------


def test_dead_letters_and_what_waits_are_listed_for_all_sessions(home: Home, inbox: Said):
    with box(home, "alice") as mailbox:
        arrive(mailbox, *texts("one", "two", "three"), at=time.time() - 7200)
        died(mailbox, 2)
        mailbox.inbox.finish(3, "done", time.time())
    with box(home, "bob") as mailbox:
        arrive(mailbox, *texts("four", chat=DAVE), at=time.time() - 300)
    home.session("carol").create()
    code, out, err = inbox()
    assert code == 0
    assert rows(out) == [
        ["alice", "1", "waiting", "2 h", "text", "491***67@s.whatsapp.net", "0", "-"],
        ["alice", "2", "dead", "2 h", "text", "491***67@s.whatsapp.net", "3", "ValueError at bot.py:9"],
        ["bob", "1", "waiting", "5 min", "text", "491***21@s.whatsapp.net", "0", "-"],
    ]
    assert err == "  next: wasess inbox retry alice --all\n"
    assert inbox("list", "bob")[1].startswith("bob\t1\t")
    assert [row[:2] for row in rows(inbox("--state", "done", "--state", "dead")[1])] == [["alice", "2"], ["alice", "3"]]
    found = documented("inbox-list", inbox("--json", "--limit", "2")[1])
    assert [(row["user"], row["position"]) for row in found["messages"]] == [("alice", 2), ("bob", 1)]
    assert (found["left_out"], found["problems"]) == (1, [])
    assert "1 older one: --limit" in inbox("--limit", "2")[1]


def test_an_empty_inbox_says_so(home: Home, inbox: Said):
    assert inbox() == (0, "no such messages\n", "")
    assert documented("inbox-list", inbox("list", "alice", "--json")[1]) == {"messages": [], "left_out": 0, "problems": []}
    assert not (home.path / "alice" / "inbox.db").exists()


def test_a_session_that_can_not_be_read_hides_no_other(home: Home, inbox: Said):
    with box(home, "alice") as mailbox:
        arrive(mailbox, *texts("one"))
    damaged = home.session("bob")
    damaged.create()
    (damaged.folder / "inbox.db").write_bytes(b"no database" * 1000)
    (damaged.folder / "inbox.db").chmod(0o600)
    code, out, err = inbox()
    assert code == 1
    assert "The messages of 'bob' are damaged" in out
    assert "alice\t1\twaiting" in out
    assert "wasess diagnose bob" in err
    code, out, _ = inbox("--json")
    document = json.loads(out)
    assert not complaints("inbox-list", document)
    assert (code, document["ok"], document["data"]["problems"][0]["code"]) == (1, False, "MAIL_DAMAGED")
    assert inbox("list", "bob")[0] == 1


WHOLE = Message(
    "3EB0",
    "1203630@g.us",
    CAROL,
    "look\nat \x1b[31mthis",
    1000.0,
    sender_alt="1@lid",
    push_name="Carol",
    is_group=True,
    kind="image",
    quote=Quote("3EB1", DAVE, "which?"),
    mentions=(DAVE,),
    media=Media("image/jpeg", 2048, "cat.jpg", "/home/cat.jpg", "", 0),
    location=Location(1.5, 2.5, "here"),
    contacts=(Contact("Erin", "BEGIN:VCARD"),),
    poll=Poll("when?", ("now", "later")),
    votes=("now",),
)


def test_everything_about_a_message_is_shown(home: Home, inbox: Said):
    with box(home, "alice") as mailbox:
        arrive(mailbox, WHOLE)
        died(mailbox, 1)
        mailbox.inbox.prepared(1, WHOLE)
    code, out, _ = inbox("show", "alice", "1")
    assert code == 0
    assert out.startswith("message 1 of alice: dead\n")
    for part in (
        "from: Carol <491701234567@s.whatsapp.net> in 1203630@g.us",
        "id: 3EB0",
        "kind: image",
        "problem: ValueError at bot.py:9",
        "answers: 3EB1 (491707654321@s.whatsapp.net): which?",
        "file: /home/cat.jpg (image/jpeg, 2.0 KB, cat.jpg)",
        "place: 1.5, 2.5 here",
        "contacts: Erin",
        "options: now, later",
        "\n  look\n  at \\x1b[31mthis\n",
    ):
        assert part in out
    found = documented("inbox-show", inbox("show", "alice", "1", "--json")[1])
    assert found["message"] == json.loads(json.dumps(asdict(replace(WHOLE, session="alice"))))
    assert (found["position"], found["state"], found["tries"]) == (1, "dead", 3)


def test_a_text_whose_time_is_over_is_said_to_be_gone(home: Home, inbox: Said):
    with box(home, "alice") as mailbox:
        arrive(mailbox, *texts("one"), state="unasked")
        mailbox.inbox.forget(time.time() + 1, 0.0)
    assert "its text was deleted" in inbox("show", "alice", "1")[1]
    assert documented("inbox-show", inbox("show", "alice", "1", "--json")[1])["message"] is None
    assert rows(inbox("--state", "unasked")[1])[0][4:6] == ["-", "-"]
    code, out, _ = inbox("retry", "alice", "1")
    assert (code, "the text of message 1 is gone" in out) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("show", "alice", "7"), 2, "there is no message 7 of alice"),
        (("show", "bob", "7"), 4, "no session bob"),
        (("list", "bob"), 4, "no session bob"),
        (("--state", "lost"), 2, "'lost' is no state of a message"),
        (("retry", "alice"), 2, "name the messages by their numbers"),
        (("retry", "alice", "1", "--all"), 2, "name the messages by their numbers"),
        (("drop", "alice"), 2, "name the messages by their numbers"),
        (("drop", "alice", "1"), 2, "this asks first"),
        (("retry", "bob", "1"), 4, "no session bob"),
        (("show", "alice", str(2**63)), 2, "is not in the range"),
        (("retry", "alice", "0"), 2, "is not in the range"),
    ],
)
def test_a_wrong_command_line_is_refused(home: Home, inbox: Said, words: tuple[str, ...], code: int, problem: str):
    said, _, err = inbox(*words)
    assert (said, problem in err) == (code, True), err
    assert not (home.path / "alice" / "inbox.db").exists()


# --- changing, without a manager ----------------------------------------------------------------------------------------


@pytest.fixture
def five(home: Home) -> Home:
    """Two dead letters, one that nobody was asked about, one that waits and one that is done."""
    with box(home, "alice") as mailbox:
        arrive(mailbox, *texts("one", "two", "three", "four", "five"))
        died(mailbox, 1, 2)
        mailbox.inbox.finish(3, "unasked", time.time())
        mailbox.inbox.finish(5, "done", time.time())
    return home


def test_messages_wait_for_the_bot_again(five: Home, inbox: Said):
    assert inbox("retry", "alice", "2", "3", "2") == (0, "2 messages of alice wait for the bot again\n", "  next: wasess serve\n")
    assert states(five) == {1: "dead", 2: "waiting", 3: "waiting", 4: "waiting", 5: "done"}
    code, out, _ = inbox("retry", "alice", "1", "4", "9")
    assert code == 2
    assert out.splitlines() == [
        "1 message of alice waits for the bot again",
        "message 4 is waiting; only these can be meant: dead, unasked",
        "there is no message 9 of alice",
    ]


def test_all_can_be_meant(five: Home, inbox: Said):
    found = documented("inbox-retry", inbox("retry", "alice", "--all", "--json")[1])
    assert found == {"user": "alice", "retried": [1, 2], "refused": [], "managed": False}
    assert states(five) == {1: "waiting", 2: "waiting", 3: "unasked", 4: "waiting", 5: "done"}
    assert documented("inbox-retry", inbox("retry", "alice", "--all-unasked", "--json")[1])["retried"] == [3]
    assert inbox("retry", "alice", "--all") == (0, "0 messages of alice wait for the bot again\n", "  next: wasess serve\n")


def test_a_bot_is_never_asked_about_what_is_ours_and_about_a_status_only_by_its_number(home: Home, inbox: Said):
    with box(home, "alice") as mailbox:
        for message in (
            replace(texts("mine")[0], from_me=True),
            replace(texts("a gift")[0], id="2", kind="other"),
            replace(texts("at the sea")[0], id="3", chat=STATUS),
            replace(texts("hello")[0], id="4"),
        ):
            arrive(mailbox, message, state="unasked")
    assert documented("inbox-retry", inbox("retry", "alice", "--all-unasked", "--json")[1])["retried"] == [4]
    code, out, _ = inbox("retry", "alice", "1", "2", "3")
    assert (code, out.splitlines()) == (
        2,
        [
            "1 message of alice waits for the bot again",
            "message 1 is none that a bot is ever asked about",
            "message 2 is none that a bot is ever asked about",
        ],
    )
    assert states(home) == {1: "unasked", 2: "unasked", 3: "waiting", 4: "waiting"}


def test_messages_are_given_up(five: Home, inbox: Said):
    assert inbox("drop", "alice", "1", "4", "--yes")[:2] == (0, "2 messages of alice were given up\n")
    assert states(five) == {1: "done", 2: "dead", 3: "unasked", 4: "done", 5: "done"}
    code, out, _ = inbox("drop", "alice", "5", "--yes", "--json")
    document = json.loads(out)
    assert not complaints("inbox-drop", document)
    assert (code, document["data"]["dropped"], document["data"]["refused"]) == (2, [], [5])
    assert inbox("drop", "alice", "--all-dead", "--yes")[:2] == (0, "1 message of alice was given up\n")
    assert inbox("drop", "alice", "--all-dead")[:2] == (0, "0 messages of alice were given up\n")


# --- with a manager -----------------------------------------------------------------------------------------------------


async def test_the_manager_asks_the_bot_again_at_once(home: Home):
    host, bot = Village(), MoodyBot()
    async with managed(home, host, "alice", bot=bot) as operations:
        host.links["alice"].frames(EVENT, *(spooled(text(words)) for words in ("one", "two", "three")))
        await until(lambda: states(home) == {1: "dead", 2: "dead", 3: "dead"})
        dropped = await typed(home, "inbox", "drop", "alice", "2", "--yes", "--json")
        assert documented("inbox-drop", dropped.out) == {"user": "alice", "dropped": [2], "refused": [], "managed": True}
        bot.mended = True
        again = await typed(home, "inbox", "retry", "alice", "--all")
        assert (again.code, again.out, again.err) == (0, "2 messages of alice wait for the bot again\n", "")
        await until(lambda: [words for _to, words in host.links["alice"].sent] == ["thank you"] * 2)
        assert bot.asked == ["one", "two", "three", "one", "three"]
        await until(lambda: operations.lives()[0].waiting == 0)
        assert states(home) == {1: "done", 2: "done", 3: "done"}


def test_failed_replies_are_sent_again_or_given_up(home: Home, inbox: Said):
    def failing(*keys: str) -> None:
        with box(home, "alice") as mailbox:
            for key in keys:
                letter = mailbox.outbox.queue(key, CAROL, Reply("hello"), time.time())
                mailbox.outbox.end(letter.seq, "failed", "no", time.time())

    failing("one", "two")
    found = documented("inbox-retry", inbox("retry", "alice", "--failed-replies", "--json")[1])
    assert (found["replies"], found["retried"], found["managed"]) == ([1, 2], [], False)
    with box(home, "alice") as mailbox:
        assert mailbox.outbox.counts() == {"queued": 2}
    failing("three")
    found = documented("inbox-drop", inbox("drop", "alice", "--failed-replies", "--yes", "--json")[1])
    assert (found["replies"], found["dropped"]) == ([3], [])
    with box(home, "alice") as mailbox:
        assert (mailbox.outbox.failed(), mailbox.outbox.counts()) == ([], {"queued": 2, "failed": 1})
    assert inbox("drop", "alice", "1", "--failed-replies", "--yes")[0] == 2
    assert inbox("retry", "alice", "--failed-replies")[1] == "0 replies of alice are sent again\n"
