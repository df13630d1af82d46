"""Receivers on this machine prove themselves before they get a message: another user who listens in their place gets none."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from impostor import signed
from reference_receiver import MESSAGE, OTHER_SECRET, SECRET, TEXT, TOKEN, Receiver, asking, http, receiving, saying

from wasess.core.message import Reply
from wasess.delivery import webhook_proof
from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.webhook import WebhookBot
from wasess.delivery.webhook_proof import Challenge, listener_of
from wasess.delivery.webhook_spec import validate_webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from wasess.delivery.bot import Trouble

NOBODY = 4242
SOON = 15.0
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can let another user listen")
SCRIPT = Path(__file__).with_name("impostor.py")


class Impostor:
    """``got``: all that was sent to it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self.got = ""
        self._process = process
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.got += json.loads(line)

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def impostor(place: str = "127.0.0.1", port: int = 0, manner: str = "greedy", uid: int = NOBODY) -> AsyncIterator[Impostor]:
    words = (sys.executable, SCRIPT, str(uid), place, str(port), manner, SECRET)
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    said = (await asyncio.wait_for(process.stdout.readline(), SOON)).decode()
    assert said.startswith("listening "), said
    found = Impostor(process, int(said.split()[1]))
    try:
        yield found
    finally:
        await found.end()


def is_unproven(outcome: Outcome, troubles: list[Trouble]) -> bool:
    (trouble,) = troubles
    return (
        (outcome.verdict, outcome.replies) == (Verdict.AWAY, ())
        and f"belongs to another user ({NOBODY})" in outcome.detail
        and (trouble.code, trouble.level) == ("WEBHOOK_NOT_PROVEN", "error")
        and outcome.detail in trouble.sentence
    )


@ROOT_ONLY
@pytest.mark.parametrize("manner", ["greedy", "late", "silent", "mirror", "guess"])
@pytest.mark.parametrize("place", ["127.0.0.1", "::1", "localhost"])
async def test_another_users_listener_gets_no_message(place: str, manner: str):
    address = "127.0.0.1" if place == "localhost" else place
    async with impostor(address, manner=manner) as taker:
        url = f"http://[{place}]" if ":" in place else f"http://{place}"
        async with asking(taker.port, url, connect_deadline=2.0) as ask, asyncio.timeout(SOON):
            outcome = await ask()
            assert is_unproven(outcome, ask.troubles)
        assert TEXT not in taker.got
        assert TOKEN not in taker.got, "nor does it get what the path may hold"
        assert "challenge" in taker.got or manner == "late"


@ROOT_ONLY
async def test_who_takes_the_port_of_a_receiver_that_has_died_gets_nothing_of_the_backlog():
    async with receiving() as receiver, asking(receiver.port, connect_deadline=1.0) as ask:
        assert (await ask()).verdict is Verdict.ANSWERED
        assert receiver.connections == 1
        receiver.writers[0].transport.abort()
        port = receiver.port
        await receiver.ended[0].wait()
    async with asking(port, connect_deadline=1.0) as ask, impostor(port=port) as taker:
        backlog = [replace(MESSAGE, id=f"M{number}") for number in range(20)]
        outcomes = await asyncio.gather(*map(ask, backlog))
        assert {outcome.verdict for outcome in outcomes} == {Verdict.AWAY}
        assert TEXT not in taker.got


@ROOT_ONLY
async def test_the_proof_is_for_one_connection_and_each_new_one_is_asked():
    """A connection that was proven carries on; when its receiver is gone, the next one is another matter."""
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    async with asking(port, connect_deadline=1.0) as ask:
        receiver = Receiver(saying(http()), SECRET)
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
        for _time in range(3):
            assert (await ask()).verdict is Verdict.ANSWERED
        assert receiver.connections == 1
        server.close()
        async with impostor(port=port) as taker:
            assert (await ask()).verdict is Verdict.ANSWERED  # over the connection that the receiver has kept
            receiver.writers[0].transport.abort()
            await receiver.ended[0].wait()
            assert is_unproven(await ask(), ask.troubles)
            assert TEXT not in taker.got


async def test_a_listener_whose_queue_is_full_is_asked_all_the_same():
    """The kernel forgets connections then that it has agreed to, so that nobody can tell whose they are; they are made anew."""
    receiver = Receiver(saying(http()), SECRET)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, backlog=1)
    port = server.sockets[0].getsockname()[1]
    async with asking(port, deadline=30.0, connect_deadline=15.0) as ask:
        outcomes = await asyncio.gather(*(ask(replace(MESSAGE, id=f"M{number}")) for number in range(WebhookBot.at_once)))
        assert [outcome.verdict for outcome in outcomes] == [Verdict.ANSWERED] * WebhookBot.at_once
        assert not ask.troubles
    server.close()


@ROOT_ONLY
async def test_the_next_address_is_asked_when_one_does_not_prove_itself():
    async with receiving(http(200, {"reply": "hello"})) as receiver, impostor("::1", receiver.port) as taker:

        async def both(_host: str, _port: int) -> list[str]:
            return ["::1", "127.0.0.1"]

        async with asking(receiver.port, "http://localhost", resolve=both) as ask:
            assert (await ask()).replies == (Reply("hello"),)
        assert TEXT not in taker.got


@ROOT_ONLY
@pytest.mark.parametrize("secrets", [SECRET, f"{OTHER_SECRET}\n{SECRET}"])
async def test_who_knows_the_secret_may_be_another_user(secrets: str):
    async with impostor(manner="honest") as receiver, asking(receiver.port, secrets=secrets) as ask:
        for _time in range(2):
            assert await ask() == Outcome(Verdict.ANSWERED, (Reply("hello"),))
        assert receiver.got.count("/.well-known/wasess-challenge") == 1
        assert receiver.got.count(TEXT) == 2


@pytest.fixture(name="everybodys")
def make_folder_of_everybodys() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wasess-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@ROOT_ONLY
@pytest.mark.parametrize("uid", [0, NOBODY])
async def test_a_unix_socket_belongs_to_us_or_to_root(everybodys: Path, uid: int):
    path = everybodys / "bot.sock"
    async with impostor(str(path), uid=uid) as taker, asked_at(f"http+unix://{path}:/{TOKEN}") as (bot, told):
        outcome = await bot.ask(MESSAGE)
        if uid:
            assert (outcome.verdict, outcome.detail) == (Verdict.AWAY, f"its socket belongs to another user ({NOBODY})")
            assert [trouble.code for trouble in told] == ["WEBHOOK_NOT_PROVEN"]
            assert taker.got == ""
            os.chown(path, 0, 0)
            outcome = await bot.ask(MESSAGE)
            assert (outcome.verdict, outcome.detail) == (Verdict.AWAY, f"its listener belongs to another user ({NOBODY})")
            assert taker.got == ""
        else:
            assert outcome.verdict is Verdict.RAISED  # it asks for what it may not have
            assert f"POST /{TOKEN} HTTP/1.1" in taker.got


@asynccontextmanager
async def asked_at(url: str) -> AsyncIterator[tuple[WebhookBot, list[Trouble]]]:
    troubles: list[Trouble] = []
    bot = WebhookBot(validate_webhook(url, SECRET), troubles.append)
    try:
        yield bot, troubles
    finally:
        await bot.close()


async def test_a_receiver_of_ours_at_a_unix_socket(tmp_path: Path):
    receiver = Receiver(saying(http(200, {"reply": "hello"})), SECRET)
    server = await asyncio.start_unix_server(receiver.serve, tmp_path / "bot.sock")
    async with asked_at(f"http+unix://{tmp_path}/bot.sock:/in?key=value") as (bot, told):
        for _time in range(2):
            assert await bot.ask(MESSAGE) == Outcome(Verdict.ANSWERED, (Reply("hello"),))
    server.close()
    assert [post.line for post in receiver.posts] == ["POST /in?key=value HTTP/1.1"] * 2
    assert receiver.posts[0].headers["host"] == "localhost"
    async with asked_at(f"http+unix:{tmp_path}/none.sock") as (bot, told):
        assert await bot.ask(MESSAGE) == Outcome(Verdict.AWAY, detail="No such file or directory")
    assert not told


# --- the kernel's tables ------------------------------------------------------------------------------------------------

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
SERVER, CLIENT = ("127.0.0.1", 8000), ("127.0.0.1", 40_000)
HERE, THERE, ANYWHERE, NOWHERE = "0100007F:1F40", "0100007F:9C40", "00000000:1F40", "00000000:0000"
MAPPED = "0000000000000000FFFF0000"
OURS = os.geteuid()


def row(local: str, remote: str, state: str, uid: int, inode: int) -> str:
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid:5d}        0 {inode} 1 0 100 0 0 10 0\n"


def refusal(folder: Path, tcp: tuple[str, ...] = (), tcp6: tuple[str, ...] = ()) -> str | None:
    for name, rows in (("tcp", tcp), ("tcp6", tcp6)):
        (folder / name).write_text(HEAD + "".join(rows))
    found = listener_of(SERVER, CLIENT, [str(folder / "tcp"), str(folder / "tcp6"), str(folder / "none")])
    return found.refusal if found.known else None


def test_who_has_accepted_the_connection_counts(tmp_path: Path):
    ours, theirs = row(HERE, THERE, "01", OURS, 7), row(HERE, THERE, "01", NOBODY, 7)
    other = row(HERE, "0100007F:9C41", "01", NOBODY, 8)
    assert refusal(tmp_path, (other, ours)) == ""
    assert refusal(tmp_path, (row(HERE, NOWHERE, "0A", OURS, 1), other, theirs)) == f"its listener belongs to another user ({NOBODY})"
    assert refusal(tmp_path, (row(THERE, HERE, "01", OURS, 7),)) is None  # that is our own end
    mapped = row(f"{MAPPED}{HERE}", f"{MAPPED}{THERE}", "01", NOBODY, 7)
    assert "another user" in (refusal(tmp_path, (), (mapped,)) or "")


@pytest.mark.parametrize("state", ["01", "03"])
def test_one_that_nobody_has_accepted_is_shown_as_roots_and_is_the_listeners(tmp_path: Path, state: str):
    unaccepted = row(HERE, THERE, state, 0, 0)
    for place in (HERE, ANYWHERE):
        assert refusal(tmp_path, (row(place, NOWHERE, "0A", OURS, 1), unaccepted)) == ""
        assert "another user" in (refusal(tmp_path, (row(place, NOWHERE, "0A", NOBODY, 1), unaccepted)) or "")
    mixed = (row(HERE, NOWHERE, "0A", OURS, 1), row(ANYWHERE, NOWHERE, "0A", NOBODY, 2), unaccepted)
    assert "another user" in (refusal(tmp_path, mixed) or "")
    assert refusal(tmp_path, (unaccepted,)) is None
    assert refusal(tmp_path, (row("00000000:1F41", NOWHERE, "0A", OURS, 1), unaccepted)) is None


def test_a_user_that_the_name_space_does_not_know_is_nobody_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook_proof, "ROOT", webhook_proof.UNMAPPED)
    assert "another user" in (refusal(tmp_path, (row(HERE, THERE, "01", webhook_proof.UNMAPPED, 7),)) or "")
    assert refusal(tmp_path) is None


# --- the challenge ------------------------------------------------------------------------------------------------------


def test_only_an_answer_to_this_challenge_signed_with_a_secret_of_ours_meets_it():
    spec = validate_webhook("http://127.0.0.1:8000/", f"{OTHER_SECRET}\n{SECRET}")
    challenge = Challenge(spec, 1_779_984_000.0)
    asked = json.loads(challenge.body)
    assert (asked["type"], asked["receiver"]) == ("challenge", "127.0.0.1:8000")
    name = dict(challenge.headers)["webhook-id"]
    body = json.dumps({"challenge": asked["challenge"]}).encode()
    for secret in (SECRET, OTHER_SECRET):
        assert challenge.met(200, signed(secret, {"webhook-id": name}, body), body)
    good = signed(SECRET, {"webhook-id": name}, body)
    for status, headers, content in (
        (201, good, body),
        (200, {}, body),
        (200, good, body + b" "),
        (200, good | {"webhook-id": "chk_other"}, body),
        (200, good | {"webhook-timestamp": "1"}, body),
        (200, good | {"webhook-signature": "v1,AAAA"}, body),
        (200, dict(challenge.headers), challenge.body),
        (200, signed("whsec_" + "A" * 40, {"webhook-id": name}, body), body),
        (200, good, b"\xff"),
        (200, good, b"[]"),
    ):
        assert not challenge.met(status, headers, content)
    other = json.dumps({"challenge": "0" * 32}).encode()
    assert not challenge.met(200, signed(SECRET, {"webhook-id": name}, other), other)
    assert Challenge(spec, 1.0).body != challenge.body
