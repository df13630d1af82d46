"""How many messages a second go out through a webhook, from a full mailbox to a receiver on this machine that verifies each signature."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.figure import BenchFailed, Figure, tell
from bench.manager import Manager
from bench.process import cpu_seconds
from bench.stage import ROOT, linked_sessions
from wasess.core.message import Message
from wasess.delivery.mailbox import Mailbox
from wasess.store.inbox import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.stage import Stage

WITHIN = 180.0
CHATS = (1, 100)


def measure(messages: int = 2000, rounds: int = 3) -> list[Figure]:
    """All in one chat, which is a question after the other; then in a hundred, of which 32 are asked about at a time."""
    command = f"python -m bench webhook --messages {messages} --rounds {rounds}"
    figures = []
    with linked_sessions(1) as stage:
        for chats in CHATS:
            runs = [_run(stage, f"{chats}-{number}", chats, messages) for number in range(rounds)]
            name = f"webhook, {messages} messages in {chats} chat" + ("s" if chats > 1 else "")
            figures.append(Figure(name, tuple(rate for rate, _cpu in runs), "1/s", command))
            figures.append(Figure(f"{name}: CPU of the manager a message", tuple(cpu for _rate, cpu in runs), "ms", command))
    return figures


def _run(stage: Stage, name: str, chats: int, messages: int) -> tuple[float, float]:
    """Messages a second, and the manager's milliseconds for each."""
    secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    secret_file = stage.folder / f"secret-{name}"
    secret_file.touch(mode=0o600)
    secret_file.write_text(secret)
    _fill(stage, name, chats, messages)
    with _receiver(secret, messages) as receiver:
        address = f"http://127.0.0.1:{_line(receiver)}/"
        with Manager(stage, "--webhook", address, "--webhook-secret-file", str(secret_file)) as manager:
            manager.ready_after()
            found = _line(receiver)
            used = cpu_seconds(manager.pid)
    if found["refused"]:
        raise BenchFailed(f"{found['refused']} requests were signed wrongly")
    came = sorted(found["came"])
    rate = (messages - 1) / (came[-1] - came[0])
    tell(f"{chats} chats: {rate:.0f} a second, load {os.getloadavg()[0]:.1f}")
    return rate, used / messages * 1000


def _fill(stage: Stage, name: str, chats: int, messages: int) -> None:
    """Put messages into the mailbox, as if they had come while nobody took any."""
    user, now = stage.users[0], time.time()
    mailbox, _damaged = Mailbox.open(user, stage.home.session(user).folder, durable=False)
    try:
        writers = [f"{49151_000_000 + chat}@s.whatsapp.net" for chat in range(chats)]
        texts = [Message(f"{name}-{number}", writers[number % chats], writers[number % chats], "hello", now) for number in range(messages)]
        mailbox.inbox.take_in([Arrival(message, now) for message in texts], None)
    finally:
        mailbox.close()


@contextmanager
def _receiver(secret: str, count: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.receiver", secret, str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> Any:
    if process.stdout is None or not select.select([process.stdout], [], [], WITHIN)[0]:
        raise BenchFailed(f"the receiver got too little within {WITHIN:.0f} s")
    return json.loads(process.stdout.readline() or "null")
