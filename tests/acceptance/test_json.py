"""What commands print with ``--json``: each is run for real, well and badly, and its stdout is held against its schema.

Nothing else may be on stdout, and the exit code must be what the document says.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from documents import commands, every_error, lines, only_document
from homes import House, until
from situations import SITUATIONS, Street

if TYPE_CHECKING:
    from pathlib import Path

    from homes import Running

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

AT_A_TIME = 3
EXIT_CODES = {error.code: error.exit_code for error in every_error()}
JUDGES = {"verify", "diagnose", "reconnect"}
"""Commands whose exit code is the worst of their sessions'."""
LINES = {"logs": "log-entry", "tail": "message"}
"""The schema of what each of these prints line by line."""


def schema_of(words: tuple[str, ...]) -> str:
    """The name of the schema of a command line; the envelope alone when it names no command."""
    return next((name for name in ("-".join(words[:2]), *words[:1]) if name in commands()), "envelope")


def promised(name: str, document: dict[str, Any]) -> int:
    """The exit code that a document speaks of."""
    if document["error"]:
        return EXIT_CODES[document["error"]["code"]]
    data = document["data"]
    if name == "drill":
        return int(not all(row.get("ok", True) for row in data["rows"]))
    return max((row["exit_code"] for row in data["sessions"]), default=0) if name in JUDGES else 0


class Clerk:
    """Types commands with --json in a house and checks what comes; remembers which of them did well."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.well: set[str] = set()
        self._places = asyncio.Semaphore(AT_A_TIME)

    async def ask(self, *words: str, **environment: str) -> dict[str, Any]:
        """Run a command that prints one document; return that."""
        out, code = await self.typed(*words, **environment)
        return self.check(words, out, code)

    def check(self, words: tuple[str, ...], out: str, code: int) -> dict[str, Any]:
        """The one document that a command has printed."""
        name = schema_of(words)
        document = only_document(name, out)
        assert (code, document["ok"]) == (promised(name, document), code == 0), (words, document)
        if not document["error"]:
            self.well.add(name)
        return document

    async def ended(self, running: Running, *words: str) -> dict[str, Any]:
        """The document of a command that was started before."""
        code = await running.over(30)
        return self.check(words, "".join(f"{line}\n" for line in running.out), code)

    async def log(self, *words: str) -> list[dict[str, Any]]:
        """Run a command that prints a document a line."""
        out, code = await self.typed(*words)
        assert code == 0
        self.well.add(schema_of(words))
        return lines(LINES[words[0]], out)

    async def typed(self, *words: str, **environment: str) -> tuple[str, int]:
        """Run a command; return what it printed, and its exit code."""
        async with self._places:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wasess", *words, "--json"),
                cwd=self.house.folder,
                env=self.house.environment | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return out.decode(), process.returncode


async def test_every_command_does_well(tmp_path: Path):
    async with House(tmp_path) as house:
        clerk = Clerk(house)
        await links(clerk)
        serve = await house.serve("--events", "--json")
        await house.online(serve, "alice", "bob")
        await asyncio.gather(
            *(clerk.ask(command) for command in ("list", "status", "verify", "diagnose", "config", "service")),
            *(clerk.ask("service", kind) for kind in ("cron", "verify", "timer")),
            clerk.ask("service", "--install", "--directory", str(tmp_path / "units")),
            clerk.ask("diagnose", "alice", "--fix", "--bundle", "alice.zip"),
            clerk.ask("completion", "fish"),
            clerk.ask("config", "sandbox", "serve"),
            clerk.ask("drill", "--list"),
            clerk.ask("drill", "--only", "tcp-reset"),
            clerk.ask("sandbox", "say", "carol", "alice", "hello"),
            clerk.ask("sandbox", "fault", "bob", "refuse", "seconds=1"),
            clerk.ask("reconnect", "alice"),
        )
        assert (await clerk.ask("resume", "alice"))["data"]["was_paused"] is False
        number = house.box.contact("carol").number
        assert (await clerk.ask("send", "alice", number, "hello yourself", "--wait", "delivered"))["data"]["state"] == "delivered"
        shown = await clerk.ask("inbox", "show", "alice", "1")
        assert shown["data"]["message"]["text"] == "hello"
        assert [line["message"]["text"] for line in await clerk.log("tail", "--since", "1h")] == ["hello"]
        for words in (
            ("inbox", "list", "--state", "done", "--state", "unasked"),
            ("inbox", "retry", "alice", "1"),
            ("inbox", "drop", "alice", "1", "--yes"),
            ("inbox", "release", "alice", "--all"),
            ("sandbox", "clear", "bob"),
            ("pause", "alice"),
            ("resume", "alice"),
            ("rename", "alice", "zoe"),
            ("sandbox", "unlink", "bob"),
            ("sandbox", "state"),
            ("logout", "zoe", "--yes"),
            ("remove", "zoe", "--yes"),
        ):
            assert (await clerk.ask(*words))["ok"], words
        await clerk.log("logs", "--since", "1h")
        serve.signal(signal.SIGTERM)
        await ends_with_its_events(clerk, serve)
        assert clerk.well == set(commands()), "this command was not run, or never did well"


async def links(clerk: Clerk) -> None:
    """One by a picture, one by letters, one who is asked for a passkey; and a stand-in of its own begins and ends."""
    house = clerk.house
    stand_in = await house.run("sandbox", "serve", "--dir", "another", "--json")
    connecting = {user: await house.run("connect", user, *options, "--json") for user, *options in WAYS}
    await clerk.ask("sandbox", "scan", "alice")
    await clerk.ended(connecting["alice"], "connect")
    letters = re.compile(r"    (\S{4}-\S{4})")
    await until(lambda: letters.search(connecting["bob"].text), lambda: f"letters:\n{connecting['bob'].text}")
    await clerk.ask("sandbox", "enter-code", "bob", letters.search(connecting["bob"].text)[1])
    await clerk.ended(connecting["bob"], "connect")
    await until((house.box.directory / "camera" / "dora").exists, lambda: f"a code:\n{connecting['dora'].text}")
    await clerk.ask("sandbox", "passkey", "dora")
    assert (await clerk.ended(connecting["dora"], "connect"))["error"]["code"] == "PASSKEY_NEEDED"
    await until(lambda: stand_in.out, "the stand-in answers")
    stand_in.signal(signal.SIGTERM)
    await clerk.ended(stand_in, "sandbox", "serve")


WAYS = (("alice",), ("bob", "--phone", "+49 170 1234567"), ("dora",))


async def ends_with_its_events(clerk: Clerk, serve: Running) -> None:
    """On stdout are the events and, after the last, the document."""
    code = await serve.over()
    *events, last = serve.out
    clerk.check(("serve",), f"{last}\n", code)
    told = lines("event", "\n".join(events))
    assert {"manager_ready", "state", "renamed", "removed", "manager_stopped"} <= {event["event"] for event in told}


NOBODY = {
    ("status",): "NOT_LINKED",
    ("reconnect",): "NOT_LINKED",
    ("pause",): "NOT_LINKED",
    ("resume",): "NOT_LINKED",
    ("logout", "--yes"): "NOT_LINKED",
    ("rename", "other"): "NOT_LINKED",
    ("remove", "--yes"): "NOT_LINKED",
    ("send", "+49 170 1234567", "hello"): "NOT_LINKED",
    ("tail",): "NOT_LINKED",
}
"""Commands that are asked for a session that does not exist."""
REFUSED = {
    (): "USAGE",
    ("lsit",): "USAGE",
    ("sandbox",): "USAGE",
    ("sandbox", "lsit"): "USAGE",
    ("--config", "nowhere.toml", "list"): "USAGE",
    ("connect", "Alice"): "BAD_USER_ID",
    ("connect", "alice", "--phone", "12"): "USAGE",
    ("connect", "alice", "--png", "no/such/folder.png"): "USAGE",
    ("serve", "--bot", "nothing.py:reply"): "USAGE",
    ("serve", "--only", "Alice"): "BAD_USER_ID",
    ("list", "--home", "file"): "UNSAFE_HOME",
    ("status", "--home", "file"): "UNSAFE_HOME",
    ("status", "--watch", "nobody"): "NOT_LINKED",
    ("status", "--interval", "0"): "USAGE",
    ("diagnose", "Alice"): "BAD_USER_ID",
    ("verify", "--home", "file"): "STORE",
    ("verify", "--ping", "ftp://example.com"): "USAGE",
    ("logs", "--since", "yesterday"): "USAGE",
    ("send", "alice", "+49 170 1234567", "hello", "--wait", "read"): "USAGE",
    ("inbox", "lsit"): "USAGE",
    ("inbox", "list", "nobody"): "NOT_LINKED",
    ("inbox", "list", "--state", "lost"): "USAGE",
    ("inbox", "show", "nobody", "1"): "NOT_LINKED",
    ("inbox", "retry", "nobody", "1"): "NOT_LINKED",
    ("inbox", "drop", "nobody", "1", "--yes"): "NOT_LINKED",
    ("inbox", "release", "nobody", "--all"): "NOT_LINKED",
    ("tail", "--since", "yesterday"): "USAGE",
    ("config", "nothing"): "USAGE",
    ("completion", "tcsh"): "USAGE",
    ("service", "nothing"): "USAGE",
    ("drill", "--only", "earthquake"): "USAGE",
    ("sandbox", "fault", "alice", "earthquake"): "SANDBOX",
    ("sandbox", "scan", "alice", "--timeout", "0"): "SANDBOX",
    ("sandbox", "enter-code", "alice", "WRONGONE"): "SANDBOX",
    ("sandbox", "unlink", "alice"): "SANDBOX",
    ("sandbox", "passkey", "alice"): "SANDBOX",
    ("sandbox", "state", "--sandbox", "nowhere.json"): "SANDBOX",
    ("sandbox", "clear", "alice", "--sandbox", "nowhere.json"): "SANDBOX",
    ("sandbox", "say", "carol", "alice"): "USAGE",
    ("sandbox", "serve", "--no-such-option"): "USAGE",
    ("list", "alice"): "USAGE",
    ("list", "--lang", "fr"): "USAGE",
}


async def test_every_failure_is_a_document(tmp_path: Path):
    async with House(tmp_path) as house:
        house.home.open(create=True)
        (tmp_path / "file").write_text("no home")
        clerk = Clerk(house)
        wanted = {(first, "nobody", *rest): code for (first, *rest), code in NOBODY.items()} | REFUSED
        said = dict(zip(wanted, await asyncio.gather(*(clerk.ask(*words) for words in wanted)), strict=True))
        assert {words: document["error"]["code"] for words, document in said.items()} == wanted
        assert {document["error"]["code"] for document in said.values() if not document["error"]["hint"]} == {"SANDBOX"}
        missing = await clerk.ask("verify", "nobody")
        assert [row["code"] for row in missing["data"]["sessions"]] == ["NEEDS_PAIRING"]
        assert set(map(schema_of, wanted)) == {*commands(), "envelope"}, "this command never failed"


async def test_a_home_that_is_not_there_is_an_answer_and_stays_away(tmp_path: Path):
    async with House(tmp_path) as house:
        clerk = Clerk(house)
        asked = (("list",), ("status",), ("reconnect", "--all"))
        said = await asyncio.gather(*(clerk.ask(*words) for words in asked))
        assert [document["data"]["sessions"] for document in said] == [[]] * len(asked)
        assert (await clerk.ask("verify"))["error"]["code"] == "NOT_LINKED"
        out, code = await clerk.typed("diagnose")
        data = only_document("diagnose", out)["data"]
        assert (code, data["sessions"], data["findings"][0]["code"]) == (4, [], "HOME_MISSING")
        assert await clerk.log("logs") == []
        assert (await clerk.ask("pause", "nobody"))["error"]["code"] == "NOT_LINKED"
        assert not house.home.path.exists()


async def test_the_codes_are_the_same_in_spanish(tmp_path: Path):
    async with House(tmp_path) as house:
        clerk = Clerk(house)
        english, spanish = [(await clerk.ask("pause", "nobody", "--lang", language))["error"] for language in ("en", "es")]
        assert english["message"] != spanish["message"]
        assert english["code"] == spanish["code"]
        house.home.open(create=True)
        assert await clerk.ask("verify") == await clerk.ask("verify", "--lang", "es")


async def test_documents_of_every_state(tmp_path: Path):
    async with House(tmp_path) as house:
        street = Street(house)
        serve = await street.prepare()
        clerk = Clerk(house)
        wanted = {found.name: (found.state, found.code, found.exit_code) for found in SITUATIONS}
        asked = (("list",), ("status",), ("verify", "--grace", "0"), ("diagnose",))
        for words, document in zip(asked, await asyncio.gather(*(clerk.ask(*words) for words in asked)), strict=True):
            said = {row["user"]: (row["state"], row["code"], row["exit_code"]) for row in document["data"]["sessions"]}
            assert {user: said[user] for user in wanted.keys() - RETRYING} == {user: wanted[user] for user in wanted.keys() - RETRYING}, (
                words
            )
        await watch(house)
        outcomes = await clerk.ask("reconnect", "online", "refused", "banned", "gone", "--timeout", "2")
        assert {row["user"]: row["ok"] for row in outcomes["data"]["sessions"]} == {
            **dict.fromkeys(("refused", "banned", "gone"), False),
            "online": True,
        }
        assert (await clerk.ask("serve"))["error"]["code"] == "LOCKED"
        assert (await clerk.ask("connect", "online"))["error"]["code"] == "LOCKED"
        interrupted = await house.run("reconnect", "unreachable", "--json")
        await serve.said("unreachable: an operator asked for a new connection")
        interrupted.signal(signal.SIGINT)
        assert (await clerk.ended(interrupted, "reconnect"))["error"]["code"] == "INTERRUPTED"
        entries = await clerk.log("logs", "-n", "1000")
        assert {entry["session"] for entry in entries} - {""} == set(wanted)


RETRYING = {"unreachable", "reachable-again"}
"""These are tried again every second, so that their state may be another one by the next command."""


async def watch(house: House) -> None:
    """A document a line; Ctrl+C is the way to end."""
    watching = await house.run("status", "--watch", "--interval", "0.2", "--json")
    await until(lambda: len(watching.out) > 2, lambda: f"three lines:\n{watching.text}")
    watching.signal(signal.SIGINT)
    assert await watching.over() == 0
    for document in lines("status-watch", "\n".join(watching.out)):
        assert json.dumps(document).count('"user"') == len(SITUATIONS)
    assert not watching.log
