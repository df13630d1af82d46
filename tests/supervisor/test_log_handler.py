"""Everything that Python and its libraries say in a manager's process, in a process of its own: what it does to stderr is the point."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from typing import TYPE_CHECKING

import pytest

from wasess.store.manager_log import read_log
from wasess.supervisor.log_handler import lines_of

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "x\x1b]52;c;ZXZpbA==\x07\x9b2J\r\nerror: forged\u202e\u2028y"

TROUBLES = f"""
import asyncio, ctypes, gc, logging, os, subprocess, sys, threading, warnings
from pathlib import Path
from wasess.assembly import telling
from wasess.settings import Settings

HOSTILE = {HOSTILE!r}

def fail():
    raise ValueError(HOSTILE)

class Unraisable:
    def __del__(self):
        fail()

class Unsayable:
    def __str__(self):
        fail()

async def troubles():
    async def lost():
        fail()
    task = asyncio.create_task(lost())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.01)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received. %s", HOSTILE)
    logging.getLogger("wasess.x").warning("%s: number 491701234567", "alice", extra={{"session": "alice"}})
    logging.getLogger("wasess.x").warning("%d things", HOSTILE)
    logging.getLogger("wasess.x").error("%s", Unsayable())
    logging.getLogger("wasess.x").info("not told")

with telling(Settings(Path(sys.argv[1]), log_format=sys.argv[2]), 2):
    asyncio.run(troubles())
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Unraisable()
    warnings.warn(HOSTILE)
    print("printed " + HOSTILE, file=sys.stderr)
    os.write(2, b"bytes \\xff\\x9b " + b"z" * 100_000 + b"\\n")
    subprocess.run([sys.executable, "-c", "raise RuntimeError('of a child')"])
    os.write(2, b"without an end")
sys.stderr.write("after\\n")
"""


def troubles(home: Path, log_format: str) -> list[str]:
    home.mkdir(mode=0o700)
    script = [sys.executable, "-W", "always", "-c", TROUBLES, str(home), log_format]
    done = subprocess.run(script, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr.decode().removesuffix("\n").split("\n")


def is_harmless(line: str) -> bool:
    return not any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in line) and len(line) < 10_000


def test_every_line_is_a_document(tmp_path: Path):
    *lines, after = troubles(tmp_path / "home", "json")
    assert after == "after", "stderr is ours again"
    told = [json.loads(line) for line in lines]
    assert all(map(is_harmless, lines))
    logged = [entry for entry in told if entry["event"] == "log"]
    said = "\n".join(entry["line"] for entry in logged)
    for part in (
        *(
            "Task exception was never retrieved",
            "Exception in callback fail()",
            "Invalid HTTP request received.",
            "uncaught error in a thread",
        ),
        *("uncaught error in Unraisable.__del__", "UserWarning: x", "alice: number 491***67", "%d things", "%s"),
    ):
        assert part in said
    assert "not told" not in said
    traced = [entry for entry in logged if "traceback" in entry]
    assert len(traced) == 4
    assert all(entry["traceback"][-1].startswith("ValueError: x\x1b") for entry in traced)
    assert all(entry["traceback"][-2].endswith("in fail") for entry in traced)
    assert [entry["session"] for entry in logged if "number" in entry["line"]] == ["alice"]
    written = [entry["line"] for entry in told if entry["event"] == "output"]
    assert any(line.startswith("printed x\x1b") for line in written)
    assert "RuntimeError: of a child" in written
    assert written[-1] == "without an end"
    assert [entry for entry in read_log(tmp_path / "home") if entry["event"] != "log"] == []
    assert list(read_log(tmp_path / "home")) == logged


def test_every_line_is_harmless_text(tmp_path: Path):
    *lines, after = troubles(tmp_path / "home", "text")
    assert after == "after"
    assert all(map(is_harmless, lines)), [line for line in lines if not is_harmless(line)]
    assert not [line for line in lines if line.startswith("error: forged")]
    assert r"| error: forged\u202e\u2028y" in lines
    assert "alice: number 491***67" in lines
    assert any(line.startswith("  ValueError: x\\x1b]52;c;") for line in lines)


def test_a_traceback_names_where_and_what_it_came_from():
    def inner() -> None:
        raise KeyError("491701234567")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("x" * 2000) from error

    with pytest.raises(ValueError, match="x") as raised:
        outer()
    *_, place, first = list(lines_of(raised.value))[: list(lines_of(raised.value)).index("KeyError: '491***67'") + 1]
    assert place.startswith("supervisor/test_log_handler.py:")
    assert place.endswith(" in inner")
    assert first == "KeyError: '491***67'"
    assert len([*lines_of(raised.value)][-1]) < 600
