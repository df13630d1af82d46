"""What a session is to announce, and how the start page is asked: by the real process, of the sandbox. No library takes part."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from wasess.core.client_version import BUILT_IN
from wasess.link import versions as versions_module
from wasess.link.contract import Contract
from wasess.link.port import LinkSpec
from wasess.link.versions import ASK_AGAIN_AFTER, ASK_EVERY, CACHE_NAME, Versions
from wasess.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMED = 1_053_000_000
LATER = 1_054_000_000


class Desk:
    """One home's versions beside a sandbox, with a clock that is set by hand."""

    def __init__(self, box: Sandbox, folder: Path) -> None:
        self.box = box
        self.folder = folder
        self.cache = folder / CACHE_NAME
        self.now = time.time()
        self.versions = self.restarted()

    def restarted(self) -> Versions:
        self.versions = Versions(Contract.load(self.box.contract_path), "auto", self.cache, lambda: self.now)
        return self.versions

    async def number(self, *, outdated: bool = False) -> int:
        return await self.versions.number(LinkSpec("alice", self.folder, "run", ("", ""), outdated))

    @property
    def asked(self) -> int:
        return sum(fact.what == "start-page" for fact in self.box.state.history)

    def names(self, number: int) -> None:
        self.box.fault("*", "outdated", f"below=2.3000.{number}")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Sandbox(tmp_path / "box") as box:
        made = Desk(box, tmp_path)
        made.names(NAMED)
        yield made


async def test_without_a_wish_nothing_is_asked(tmp_path):
    alice, bob = LinkSpec("alice", tmp_path, "run"), LinkSpec("bob", tmp_path, "pair")
    built_in, fixed = Versions(None, "", tmp_path / CACHE_NAME), Versions(None, "2.3000.1053000000")
    assert (await built_in.number(alice), built_in.usual) == (BUILT_IN, BUILT_IN)
    assert (await fixed.number(alice), fixed.usual) == (NAMED, NAMED)
    for versions in (built_in, fixed):
        versions.announce("alice", "2.3000.1054000000")
    assert [await built_in.number(spec) for spec in (alice, bob)] == [LATER, BUILT_IN]
    assert [await fixed.number(spec) for spec in (alice, bob)] == [LATER, NAMED]
    assert list(tmp_path.iterdir()) == []


async def test_one_user_may_have_it_asked_for(desk):
    desk.versions = Versions(Contract.load(desk.box.contract_path), "", desk.cache)
    desk.versions.announce("alice", "auto")
    assert await desk.number() == NAMED
    assert await desk.versions.number(LinkSpec("bob", desk.folder, "run")) == BUILT_IN
    assert desk.versions.usual == BUILT_IN


async def test_the_page_is_asked_once_a_day(desk):
    assert [await desk.number() for _ in range(3)] == [NAMED] * 3
    desk.names(LATER)
    desk.now += ASK_EVERY - 1
    assert await desk.number() == NAMED
    assert desk.asked == 1
    desk.now += 1
    assert await desk.number() == LATER
    assert desk.asked == 2


async def test_a_crowd_asks_once(desk):
    assert await asyncio.gather(*(desk.number() for _ in range(20))) == [NAMED] * 20
    assert desk.asked == 1


async def test_what_it_named_outlives_the_manager(desk):
    assert await desk.number() == NAMED
    assert desk.cache.stat().st_mode & 0o777 == 0o600
    desk.restarted()
    assert await desk.number() == NAMED
    assert desk.asked == 1


async def test_a_version_that_is_refused_is_asked_for_anew_but_not_each_time(desk):
    assert await desk.number() == NAMED
    desk.names(LATER)
    desk.now += ASK_AGAIN_AFTER - 1
    assert await desk.number(outdated=True) == NAMED
    desk.now += 1
    assert await desk.number() == NAMED
    assert await desk.number(outdated=True) == LATER
    assert desk.asked == 2


async def test_a_page_that_can_not_be_had_is_left_alone_for_an_hour(desk):
    desk.box.fault("*", "refuse", "connect")
    assert await desk.number() == BUILT_IN
    desk.box.clear("*")
    desk.names(NAMED)
    assert await desk.number() == BUILT_IN
    desk.restarted()
    assert await desk.number() == BUILT_IN
    desk.now += ASK_AGAIN_AFTER
    assert await desk.number() == NAMED


async def test_what_it_named_last_counts_while_it_can_not_be_had(desk):
    assert await desk.number() == NAMED
    desk.box.fault("*", "refuse", "connect")
    desk.now += 3 * ASK_EVERY
    assert await desk.number() == NAMED


@pytest.mark.parametrize("fault", ["http_status upgrade 500", "garbage tls", "fin upgrade", "reset tls", "http_status connect 407"])
async def test_a_way_that_breaks_changes_nothing(desk, fault):
    desk.box.fault("*", *fault.split())
    assert await desk.number() == BUILT_IN


async def test_a_page_that_does_not_come_is_not_waited_for(desk, monkeypatch):
    monkeypatch.setattr(versions_module, "DEADLINE", 1)
    desk.box.fault("*", "stall", "upgrade")
    began = time.monotonic()
    assert await asyncio.gather(*(desk.number() for _ in range(3))) == [BUILT_IN] * 3
    assert time.monotonic() - began < 5
    assert await desk.number() == BUILT_IN


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 5000,
        json.dumps({"number": BUILT_IN - 1, "asked_at": 4e9, "tried_at": 4e9}).encode(),
        json.dumps({"number": "1053000000", "asked_at": 4e9, "tried_at": 4e9}).encode(),
        json.dumps({"number": True, "asked_at": 4e9, "tried_at": 4e9}).encode(),
        json.dumps({"number": 0, "asked_at": None, "tried_at": []}).encode(),
        json.dumps({"number": 0, "asked_at": float("nan"), "tried_at": float("inf")}).encode(),
        json.dumps({"number": 0, "asked_at": 0, "tried_at": 0, "more": 1}).encode(),
    ],
)
async def test_a_damaged_file_is_asked_over(desk, damage):
    desk.cache.write_bytes(damage)
    assert await desk.number() == NAMED
    assert json.loads(desk.cache.read_bytes())["number"] == NAMED


async def test_a_home_that_takes_no_file_is_no_reason_to_stop(desk):
    desk.cache.mkdir()
    assert await desk.number() == NAMED


async def test_another_kind_of_proxy_is_not_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "https://127.0.0.1:1")
    assert await Versions(None, "auto").number(LinkSpec("alice", tmp_path, "run")) == BUILT_IN


async def test_the_proxy_of_the_environment_is_used(tmp_path, monkeypatch):
    asked = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readline()).startswith(b"CONNECT web.whatsapp.com:443 "):
            asked.set()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert await Versions(None, "auto").number(LinkSpec("alice", tmp_path, "run")) == BUILT_IN
    assert asked.is_set()
