"""Whatever strangers have chosen, no command's output can steer the terminal it is shown on, as text or as JSON, on a terminal or in a pipe."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import unicodedata
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from mail_house import arrive, box, died, furnished

from wasess.cli import render
from wasess.cli.app import run
from wasess.cli.screen import PlainScreen
from wasess.core.message import Contact, Location, Media, Message, Poll, Quote
from wasess.store.manager_log import log_path

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.store.sessions import Home

EVIL = (
    "\x1b]52;c;ZXZpbA==\x07"
    "\x1b[2J\x1b[1;1H"
    "\x9b2J\x9d0;title\x9c"
    "\r\nerror: forged\n  next: rm -rf ~\n"
    "\x85\u2028\u2029\x0b\x0c\x1c"
    "\u202egnp.exe\u2066\u200f\u061c"
    "\U000e0001\U000e0041\ufff9\ufeff\x7f\x00\x08"
)
COMMANDS = [
    ("inbox", "list", "--state", "dead"),
    ("inbox", "show", "alice", "1"),
    ("inbox", "show", "alice", "2"),
    ("inbox", "retry", "alice", "9"),
    ("tail",),
    ("status",),
    ("status", "alice"),
    ("list",),
    ("diagnose",),
    ("verify", "alice"),
    ("logs",),
    ("logs", "alice"),
    ("config",),
]


def whole(evil: str) -> Message:
    """A message with a stranger's words in each of its fields."""
    return Message(
        id=f"3EB0{evil}",
        chat=f"1203{evil}@g.us",
        sender=f"4917{evil}@s.whatsapp.net",
        text=f"one{evil}two\nfrom: somebody else",
        timestamp=1000.0,
        sender_alt=f"1{evil}@lid",
        push_name=f"Carol{evil}",
        about=f"3EB1{evil}",
        quote=Quote(f"3EB2{evil}", f"4918{evil}", f"asked{evil}"),
        mentions=(f"4919{evil}",),
        media=Media(f"image/png{evil}", 7, f"name{evil}.png", f"/media/1{evil}.png", f"problem{evil}", 3),
        location=Location(1.0, 2.0, f"here{evil}", f"street{evil}"),
        contacts=(Contact(f"Erin{evil}", f"BEGIN{evil}"),),
        poll=Poll(f"when{evil}", (f"now{evil}", "later")),
        votes=(f"now{evil}",),
    )


def steering(text: str) -> str:
    """What is left in it that a terminal would obey."""
    steers = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return ascii("".join(letter for letter in text if letter not in "\n\t" and unicodedata.category(letter) in steers))[1:-1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """One dead letter and one that waits, a line of the log, all of a stranger's."""
    home = furnished(tmp_path, monkeypatch)
    with box(home, "alice") as mailbox:
        arrive(mailbox, whole(EVIL), replace(whole(EVIL), id="3EB9", media=None, poll=None))
        died(mailbox, 1, detail=f"ValueError at {EVIL}.py:9")
    log_path(home.path).parent.mkdir(mode=0o700)
    entry = {"ts": "2026-11-27T10:00:00.000Z", "session": "alice", "line": f"alice: {EVIL}", "traceback": [f"x{EVIL}"], f"key{EVIL}": EVIL}
    log_path(home.path).write_text(json.dumps(entry) + "\n")
    log_path(home.path).chmod(0o600)
    return home


def test_every_field_of_a_message_is_hostile():
    """The matrix below must not lag behind `Message`."""

    def texts(value: Any) -> list[str]:
        if is_dataclass(value):
            return [text for part in fields(value) for text in texts(getattr(value, part.name))]
        if isinstance(value, tuple):
            return texts(value[0])
        return [value] if isinstance(value, str) else []

    plain = [text for text in texts(whole("\x1b")) if "\x1b" not in text]
    assert plain == ["text", ""], "the kind and the session are ours"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("way", ["pipe", "terminal", "json"])
def test_no_output_steers_a_terminal(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], way: str
):
    assert home.session("alice").exists()
    if way == "terminal":
        monkeypatch.setattr(render, "window_width", lambda _stream: 70)
    run([*words, *(["--json"] if way == "json" else [])])
    shown = capsys.readouterr()
    assert not steering(shown.out + shown.err), ascii(shown.out + shown.err)
    if way == "json":
        for line in shown.out.splitlines():
            json.loads(line)


def test_of_a_message_only_the_text_has_lines_of_its_own(home: Home, capsys: pytest.CaptureFixture[str]):
    assert home.session("alice").exists()
    run(["inbox", "show", "alice", "1"])
    out = capsys.readouterr().out
    heads = [line.split(":")[0] for line in out.splitlines() if not line.startswith("  ")]
    assert len(heads) == len(set(heads)), "no field is there twice"
    assert "error" not in heads
    assert out.splitlines()[-1] == "  from: somebody else"


@pytest.mark.parametrize("words", [("inbox", "show"), ("status",), ("send",), ("pause",), ("inbox", "--state"), ("connect",)], ids=" ".join)
def test_no_error_steers_a_terminal_or_adds_a_line(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]):
    run([*words, f"x{EVIL.replace(chr(0), '')}", "1"])
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert not steering(said)
    assert [line for line in said.splitlines()[1:] if not line.startswith("  next: ")] == []


def test_a_pairing_quotes_nothing_that_steers():
    stream = io.StringIO()
    PlainScreen(stream).say(f"the phone said {EVIL}")
    assert len(stream.getvalue().splitlines()) == 1
    assert not steering(stream.getvalue())


UNCAUGHT = """
import asyncio, gc, logging, sys, threading, warnings
from wasess.cli import uncaught
uncaught.install()

def fail():
    raise ValueError(sys.argv[1])

class Unraisable:
    def __del__(self):
        fail()

async def main():
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.01)

asyncio.run(main())
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Unraisable()
logging.getLogger("x").warning("said %s", sys.argv[1])
warnings.warn(sys.argv[1])
fail()
"""


def test_what_nobody_catches_is_a_line():
    script = [sys.executable, "-c", UNCAUGHT, "x" + EVIL.replace("\0", "")]
    done = subprocess.run(script, capture_output=True, check=False, timeout=60, encoding="utf-8", errors="surrogateescape")
    assert done.returncode == 1
    lines = done.stderr.removesuffix("\n").split("\n")
    assert len(lines) == 6, done.stderr
    assert not steering(done.stderr)
    assert "Traceback" not in done.stderr
