"""What the other tests of this folder rely on: the number of their inputs, the watch over a command, and the fence around it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import tryout
from fence import fenced
from tryout import SHARES, Hangs, in_time

HERE = Path(__file__).parent


def test_with_the_conversations_on_the_socket_there_are_a_thousand_inputs():
    conversations = re.search(r"max_examples=(\d+)", (HERE.parent / "control" / "test_control_server.py").read_text())
    assert conversations is not None
    assert sum(SHARES.values()) + int(conversations[1]) >= 1000
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    assert {share: tests.count(f'try_all("{share}", ') for share in SHARES} == dict.fromkeys(SHARES, 1)


def test_what_hangs_is_interrupted_with_its_stack(tmp_path, monkeypatch, pytestconfig):
    monkeypatch.setattr(tryout, "HANGS_AFTER", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(Hangs, match=r"'wait'.*took(?s:.*)os\.open"),
        (tmp_path / "stacks").open("w") as stacks,
        in_time(["wait"], stacks.fileno()),
    ):
        os.open(tmp_path / "pipe", os.O_RDONLY)


def test_what_is_slow_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(tryout, "SLOWEST_ANSWER", 0.01)
    with pytest.raises(Hangs, match="took"), (tmp_path / "stacks").open("w") as stacks, in_time([], stacks.fileno()):
        time.sleep(0.02)


def test_the_fence(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "file").touch()
    (inside / "link").symlink_to(outside)
    attempts = [
        (outside / "new").touch,
        (inside / "link" / "new").mkdir,
        lambda: (inside / "link" / "file").write_text("x"),
        (inside / "link" / "file").unlink,
        lambda: (outside / "file").rename(inside / "file"),
        lambda: (inside / "link").chmod(0o755),
        lambda: os.system("true"),  # noqa: S605 - refused
    ]
    with fenced(inside):
        for attempt in attempts:
            with pytest.raises(PermissionError, match="fence"):
                attempt()
        (inside / "new").write_text("fine")
        (inside / "new").unlink()
    assert [path.name for path in outside.iterdir()] == ["file"]
