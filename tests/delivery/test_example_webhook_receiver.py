"""The receiver in examples/, started as its docstring says."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from reference_receiver import MESSAGE, OTHER_SECRET, SECRET

from wasess.core.message import Message, Reply
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.webhook import WebhookBot
from wasess.delivery.webhook_proof import CHALLENGE_PATH, Challenge
from wasess.delivery.webhook_spec import validate_webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples/webhook_receiver.py"


@pytest.fixture(name="url", scope="module")
def start_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("receiver") / "secret"
    file.write_text(SECRET + "\n", encoding="utf-8")
    with subprocess.Popen([sys.executable, EXAMPLE, file, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            assert said.startswith("listening on http://127.0.0.1:")
            yield said.split()[-1]
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
    assert (process.returncode, rest) == (0, "stopped\n")


async def asked(url: str, secret: str, *messages: Message) -> list[Outcome]:
    troubles: list[Trouble] = []
    bot = WebhookBot(validate_webhook(url, secret), troubles.append)
    try:
        return [await bot.ask(message) for message in messages]
    finally:
        await bot.close()


async def test_it_echoes_what_wasess_has_signed(url: str):
    echo = Outcome(Verdict.ANSWERED, (Reply(f"you said: {MESSAGE.text}"),))
    assert await asked(url, f"{OTHER_SECRET}\n{SECRET}", MESSAGE, MESSAGE) == [echo, echo]
    assert await asked(url, SECRET, replace(MESSAGE, id="B", kind="sticker")) == [Outcome(Verdict.ANSWERED)]


def test_it_proves_that_it_knows_the_secret(url: str):
    for address, secret, status in ((url, SECRET, 200), (url, OTHER_SECRET, 401), ("http://127.0.0.1:1/", SECRET, 404)):
        challenge = Challenge(validate_webhook(address, secret), time.time())
        connection = HTTPConnection(url.split("/")[2], timeout=10)
        connection.request("POST", CHALLENGE_PATH, challenge.body, dict(challenge.headers))
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        assert (answer.status, challenge.met(answer.status, headers, answer.read())) == (status, status == 200)
        connection.close()


async def test_it_listens_on_a_unix_socket(tmp_path: Path):
    (tmp_path / "secret").write_text(SECRET)
    words = (sys.executable, str(EXAMPLE), str(tmp_path / "secret"), "--socket", str(tmp_path / "bot.sock"))
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        said = (await asyncio.wait_for(process.stdout.readline(), 10)).decode()
        assert said == f"listening on http+unix://{tmp_path}/bot.sock\n"
        assert await asked(said.split()[-1], SECRET, MESSAGE) == [Outcome(Verdict.ANSWERED, (Reply(f"you said: {MESSAGE.text}"),))]
    finally:
        process.kill()
        await process.wait()


async def test_it_refuses_who_does_not_know_the_secret(url: str):
    assert await asked(url, OTHER_SECRET, MESSAGE) == [Outcome(Verdict.RAISED, detail="it answered 401")]


@pytest.mark.parametrize(("body", "length", "status"), [(b"{}", 2, 401), (b"\xff", 1, 401), (b"", 2_000_000, 413), (b"", 0, 413)])
def test_it_refuses_what_is_not_signed(url: str, body: bytes, length: int, status: int):
    connection = HTTPConnection(url.split("/")[2], timeout=10)
    signed = {"webhook-id": "msg_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
    connection.request("POST", "/", body, signed | {"content-length": str(length)})
    assert connection.getresponse().status == status
    connection.close()
