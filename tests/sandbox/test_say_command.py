from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from documents import only_document
from typer.main import get_command
from typer.testing import CliRunner

from wasess.cli.sandbox import app
from wasess.errors import UsageError
from wasess.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path / "sandbox") as sandbox:
        yield sandbox


async def say(box: Sandbox, *words: str) -> str:
    """Type the command; returns the message id."""
    typed = ("say", "carol", "alice", *words, "--sandbox", str(box.contract_path), "--json")
    done = await asyncio.to_thread(CliRunner().invoke, app, typed, catch_exceptions=False)
    return str(only_document("sandbox-say", done.stdout)["data"]["id"])


async def test_a_person_sends_all_kinds(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    monkeypatch.chdir(tmp_path)
    first = await say(box, "hello")
    poll = await say(box, "Lunch?", "--poll", "yes", "--poll", "no", "--group", "club")
    await say(box, "look", "--file", "photo.jpg")  # relative to where the person is, not to where the sandbox runs
    await say(box, "--file", "photo.jpg", "--voice")
    await say(box, "hi", "--reply-to", first)
    await say(box, "👍", "--react-to", first)
    await say(box, "--react-to", first)
    await say(box, "bye", "--edit", first)
    await say(box, "--delete", first)
    await say(box, "no", "--vote", poll, "--group", "club")
    await say(box, "--location", "1,2")
    told = [(message.kind, message.text) for message in box.phone("alice").received]
    assert told == [
        *[("text", "hello"), ("poll", "Lunch?"), ("image", "look"), ("voice", ""), ("text", "hi"), ("reaction", "👍"), ("reaction", "")],
        *[("edit", "bye"), ("delete", ""), ("vote", ""), ("location", "")],
    ]
    assert box.phone("alice").received[-2].votes == ("no",)


@pytest.mark.parametrize("words", [(), ("--voice", "hi"), ("--poll", "yes")])
def test_nothing_to_say(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        get_command(app).main(["say", "carol", "alice", *words], standalone_mode=False)
