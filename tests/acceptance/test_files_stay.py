"""No bot, webhook or command makes `wasess serve` send a file of its home or a secret; and who takes a receiver's port gets no message."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shlex
import socket
import sys
import threading
from base64 import b64encode
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from homes import House, Running, until

from wasess.cli.letterbox import letterbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOBODY = 4242
MENU = b"%PDF-1.4 the menu"
PROGRAM = """
import json, sys
sys.path.insert(0, {folder!r})
from answers import answer
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({{"n": asked["n"], "reply": answer(asked["message"]["text"])}}), flush=True)
"""
FUNCTION = """
from answers import answer

def reply(text):
    return answer(text)
"""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with House(tmp_path) as built:
        await built.link("alice")
        (tmp_path / "secret").write_text(SECRET + "\n")
        (tmp_path / "secret").chmod(0o600)
        (tmp_path / "files").mkdir()
        (tmp_path / "files/menu.pdf").write_bytes(MENU)
        (tmp_path / "files/link.pdf").symlink_to(built.home.session("alice").folder / "device.db")
        yield built


def attacks(house: House) -> dict[str, Any]:
    """What is asked, by its name, and the reply to it; each wants a file that must stay."""
    device, mallory = house.home.session("alice").folder / "device.db", str(house.box.contact("mallory").jid)
    return {
        "credentials": {"file": str(device)},
        "credentials-to-another": {"file": str(device), "to": mallory},
        "dots": {"file": f"{house.folder}/files/../home/alice/device.db"},
        "link": {"file": f"{house.folder}/files/link.pdf"},
        "hard-link": {"file": f"{house.folder}/device"},
        "process": {"file": f"/proc/{os.getpid()}/root{device}"},
        "secret": {"file": f"{house.folder}/secret"},
    }


@contextmanager
def receiver(answer: Callable[[str], Any], port: int = 0) -> Iterator[tuple[int, list[str]]]:
    """A webhook receiver of our own user; the texts that it got."""
    got: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))["data"]
            got.append(message["text"])
            body = json.dumps({"reply": answer(message["text"])}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver, bind_and_activate=False)
    server.allow_reuse_address = server.daemon_threads = True
    server.server_bind()
    server.server_activate()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port, got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def files_sent(house: House) -> list[str]:
    return [message.file.name for account in house.box.state.accounts for message in account.received if message.file and not message.own]


async def nothing_was_sent(house: House, serve: Running, wanted: dict[str, Any], told: str) -> None:
    """Each attack is asked in a chat of its own; all are told, none is carried out, and an honest answer comes all the same."""
    await house.online(serve, "alice", seconds=60)
    (house.folder / "device").hardlink_to(house.home.session("alice").folder / "device.db")
    for name in wanted:
        house.box.say(f"asks-{name}", "alice", name)
    await until(lambda: serve.has_said(told, len(wanted)) or files_sent(house), lambda: f"all were told as {told!r}:\n{serve.text}", 60)
    house.box.say("carol", "alice", "hello")
    await until(lambda: house.box.contact("carol").texts == ["hello"], lambda: f"an honest answer:\n{serve.text}", 30)
    assert files_sent(house) == []
    assert not house.box.contact("mallory").received


def webhook(port: int) -> tuple[str, ...]:
    return ("--webhook", f"http://127.0.0.1:{port}/in", "--webhook-secret-file", "secret")


async def test_a_webhooks_answer_names_no_file_of_this_machine(house: House):
    wanted = attacks(house) | {"shadow": {"file": "/etc/passwd"}, "menu": {"file": f"{house.folder}/files/menu.pdf"}}
    with receiver(lambda text: wanted.get(text, text)) as (port, _):
        serve = await house.serve(*webhook(port))
        await nothing_was_sent(house, serve, wanted, "the bot failed on a message")


@pytest.mark.parametrize("kind", ["bot", "program"])
async def test_a_function_and_a_program_send_nothing_of_the_home_and_no_secret(house: House, kind: str):
    (house.folder / "answers.py").write_text(
        f"ANSWERS = {attacks(house) | {'secret': None}!r}\ndef answer(text): return ANSWERS.get(text, text)\n"
    )
    wanted = {name: reply for name, reply in attacks(house).items() if name != "secret"}
    if kind == "bot":
        serve = await house.serve(bot=FUNCTION)
    else:
        (house.folder / "program.py").write_text(PROGRAM.format(folder=str(house.folder)))
        serve = await house.serve("--program", shlex.join((sys.executable, str(house.folder / "program.py"))))
    await nothing_was_sent(house, serve, wanted, "home is never sent")


async def test_the_send_command_sends_nothing_of_the_home_and_no_secret(house: House):
    (house.folder / "wasess.toml").write_text("[serve]\nreload = false\n")
    carol = house.box.contact("carol")
    aside = house.home.session("alice").folder / "kept/old/notes"
    aside.parent.mkdir(mode=0o700, parents=True)
    aside.write_bytes(b"set aside")
    (house.folder / "device").hardlink_to(aside)
    files = {name: reply["file"] for name, reply in attacks(house).items()}

    async def refused(path: str, wait: str) -> None:
        ran = await house.run("send", "alice", carol.number, "--file", path, "--wait", wait, "--json")
        assert await ran.over(60) == 2, f"{path}: {ran.text}"
        assert "never sent" in ran.text

    await asyncio.gather(*(refused(path, "queued") for path in (files["link"], files["hard-link"], "wasess.toml")))
    serve = await house.serve()
    await house.online(serve, "alice", seconds=60)
    await asyncio.gather(*(refused(path, "sent") for path in (files["credentials"], files["process"], "wasess.toml")))
    assert not carol.received


async def test_a_webhook_sends_what_is_below_its_folder_as_it_was_and_bytes_in_its_answer(house: House):
    """The session is offline when the file is named; by the time that it is sent, its name leads to the credentials."""
    wanted = {
        "menu": {"file": "menu.pdf", "text": "ours"},
        "bytes": {"data": b64encode(b"a,b").decode(), "name": "table.csv"},
        "link": {"file": "link.pdf"},
        "dots": {"file": "../secret"},
        "other": {"text": "psst", "to": str(house.box.contact("mallory").jid)},
    }
    carol, dave, offline = house.box.contact("carol"), house.box.contact("dave"), threading.Event()

    def answer(text: str) -> Any:
        assert text != "menu" or offline.wait(60)
        return wanted.get(text, text)

    with receiver(answer) as (port, got):
        serve = await house.serve(*webhook(port), "--webhook-files", "files")
        await house.online(serve, "alice", seconds=60)
        for refused in ("link", "dots", "other"):
            house.box.say(f"asks-{refused}", "alice", refused)
        house.box.say("dave", "alice", "bytes")
        await until(lambda: dave.received, lambda: f"bytes:\n{serve.text}", 30)
        await until(lambda: serve.has_said("the bot failed on a message", 3), lambda: f"three are refused:\n{serve.text}", 30)
        house.box.say("carol", "alice", "menu")
        await until(lambda: "menu" in got, "menu is asked for", 30)
        house.box.fault("alice", "refuse")
        house.box.fault("alice", "rst")
        await until(lambda: not house.device("alice").online, "the outage began", 30)
        offline.set()
        await until(lambda: waiting(house) == 1, lambda: f"the menu is queued:\n{serve.text}", 30)
        (house.folder / "files/menu.pdf").unlink()
        (house.folder / "files/menu.pdf").symlink_to(house.home.session("alice").folder / "device.db")
        house.box.clear("alice")
        await until(lambda: carol.received, lambda: f"the menu:\n{serve.text}", 30)
    (sheet,), (menu,) = dave.received, carol.received
    assert sheet.file
    assert menu.file
    assert (sheet.file.name, sheet.file.mime, sheet.file.sha256) == ("table.csv", "text/csv", hashlib.sha256(b"a,b").hexdigest())
    assert (menu.file.name, menu.text, menu.file.sha256) == ("menu.pdf", "ours", hashlib.sha256(MENU).hexdigest())
    assert sorted(files_sent(house)) == ["menu.pdf", "table.csv"]
    assert not house.box.contact("mallory").received


def waiting(house: House) -> int:
    with letterbox(house.home.session("alice")) as mailbox:
        return mailbox.outbox.waiting() if mailbox else 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can let another user listen")
async def test_who_takes_the_port_of_a_receiver_gets_no_message_and_the_receiver_gets_all_of_them(house: House):
    words = [f"private words {number}" for number in range(8)]
    with receiver(lambda text: text) as (port, _):
        serve = await house.serve(*webhook(port))
        await house.online(serve, "alice", seconds=60)
        house.box.say("carol", "alice", "hello")
        await until(lambda: house.box.contact("carol").texts == ["hello"], lambda: f"an answer:\n{serve.text}", 30)
    script = Path(__file__).parents[1] / "delivery/impostor.py"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script, str(NOBODY), "127.0.0.1", str(port), "greedy", SECRET), stdout=asyncio.subprocess.PIPE, limit=1 << 20
    )
    assert process.stdout
    await process.stdout.readline()
    try:
        for number, text in enumerate(words):
            house.box.say(f"c{number}", "alice", text)
        await serve.said("gets no messages", 60)
        assert serve.has_said(f"its listener belongs to another user ({NOBODY})")
        status = await house.run("status", "alice", "--json")
        await status.over(30)
        assert "another user" in status.text
        diagnosed = await house.run("diagnose", "alice", "--json")
        await diagnosed.over(90)
        assert "another user" in diagnosed.text
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        rest = (await process.stdout.read()).decode()
        await process.wait()
    assert "private words" not in rest
    await until(lambda: _is_free(port), "the port is free")
    await serve.kill()  # or it would ask again only after a pause
    with receiver(lambda text: text, port):
        serve = await house.serve(*webhook(port))
        contacts = [house.box.contact(f"c{number}") for number in range(len(words))]
        await until(
            lambda: [contact.texts for contact in contacts] == [[text] for text in words], lambda: f"all answered:\n{serve.text}", 60
        )
    assert files_sent(house) == []


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
