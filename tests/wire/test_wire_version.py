"""Another client version than the one built in: what the real library announces, at a login and at a pairing, and where it comes from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from worker_rig import rig

from wasess.core import client_version, events
from wasess.link import nursery
from wasess.sandbox.adv import PairingRefused
from wasess.sandbox.versions import parse_version, start_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from worker_rig import Follower, Rig

pytestmark = pytest.mark.wire

WANTED = "2.3000.1053000000"
BUILT_IN = client_version.spell(client_version.BUILT_IN)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
PAGES = {
    "empty": b"",
    "no body": ANSWER,
    "binary": ANSWER + bytes(range(256)) * 64,
    "huge": ANSWER + b"<!-- " + b"x" * (5 * 2**20) + b' --> "client_revision":1053000000,',
    "no digits": ANSWER + b'{"client_revision":"1053000000"}',
    "too low": ANSWER + b'{"client_revision":1047769892}',
    "too high": ANSWER + b'{"client_revision":1097769893}',
    "endless digits": ANSWER + b'{"client_revision":' + b"1053000000" * 50 + b"}",
    "two answers": ANSWER + b'{"client_revision":1053000000}{"client_revision":1053000001}',
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: https://web.whatsapp.com/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "error": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" + b'"client_revision":1053000000',
    "nonsense": b"client_revision 1053000000\r\n\r\n",
}


@pytest.fixture
async def the_rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as made:
        yield made


async def outdated(follower: Follower) -> None:
    await follower.event(events.ClientOutdated)
    follower.link.kill()
    await follower.ended()


async def logged_in(rig: Rig, user: str, wa_version: str = "") -> str:
    """Log in and out; the version that was announced."""
    follower = await rig.start(user, wa_version=wa_version)
    await follower.event(events.Connected)
    await follower.link.stop()
    await follower.ended()
    return ".".join(map(str, rig.box.state.versions[user]))


async def test_a_login_announces_what_it_is_told(the_rig):
    """The server refuses what is built in; the same session is online with a newer version."""
    await the_rig.linked("alice")
    assert the_rig.box.state.versions["alice"] == parse_version(BUILT_IN)
    the_rig.box.fault("alice", "outdated", f"below={WANTED}")
    await outdated(await the_rig.start("alice"))
    assert await logged_in(the_rig, "alice", WANTED) == WANTED
    await outdated(await the_rig.start("alice", wa_version="2.3000.1052999999"))


async def test_a_pairing_announces_what_it_is_told(the_rig):
    """With its build hash: the sandbox would not link it otherwise."""
    the_rig.box.fault("bob", "outdated", f"below={WANTED}")
    refused = await the_rig.start("bob", "pair")
    await refused.until(lambda: any("405" in line for line in refused.logs))
    refused.link.kill()
    await refused.ended()
    follower = await the_rig.pair("bob", wa_version=WANTED)
    assert the_rig.box.state.versions["bob"] == parse_version(WANTED)
    await follower.link.stop()
    await follower.ended()


async def test_a_version_without_its_hash_is_not_linked(the_rig, monkeypatch):
    """So the hash that was announced above was the right one."""
    monkeypatch.setattr("wasess.link.host.build_hash", lambda _number: hashlib.md5(b"2.3000.1", usedforsecurity=False).digest())
    follower = await the_rig.start("bob", "pair", wa_version=WANTED)
    with pytest.raises(PairingRefused, match="build hash"):
        await the_rig.box.scan("bob", await follower.qr())
    follower.link.kill()
    await follower.ended()


async def test_what_is_not_found_just_so_is_not_changed(the_rig, monkeypatch):
    """A login goes on with what is built in and says so; a pairing says so and ends."""
    another_release = "import wasess.link.library; wasess.link.library._BUILT_IN = b'another release'; from wasess.link.forkserver"
    monkeypatch.setattr(nursery, "BOOTSTRAP", nursery.BOOTSTRAP.replace("from wasess.link.forkserver", another_release))
    await the_rig.linked("alice")
    follower = await the_rig.start("alice", wa_version=WANTED)
    await follower.event(events.Connected)
    said = next(line for line in follower.logs if "Version: " in line)
    assert said.startswith(
        "WARN Version: Another client version can't be announced: it was found 0+0+1 times, not 1+1+1; nothing was changed."
    )
    assert the_rig.box.state.versions["alice"] == parse_version(BUILT_IN)
    await follower.link.stop()
    await follower.ended()
    pairing = await the_rig.start("bob", "pair", wa_version=WANTED)
    last = await pairing.ended()
    assert last.value == "crashed"
    assert "nothing was changed" in last.detail


async def test_auto_asks_the_start_page(the_rig, tmp_path):
    """Once a day, whoever asks; through the session's proxy."""
    await the_rig.linked("alice")
    await the_rig.linked("bob")
    the_rig.box.fault("*", "outdated", f"below={WANTED}")
    assert [await logged_in(the_rig, user, "auto") for user in ("alice", "bob", "alice")] == [WANTED] * 3
    assert [fact.user for fact in the_rig.box.state.history if fact.what == "start-page"] == ["alice"]
    the_rig.box.start_page = start_page(parse_version("2.3000.1054000000"))
    assert await logged_in(the_rig, "alice", "auto") == WANTED


async def test_a_page_that_is_none_changes_nothing(the_rig):
    """The session is online with what is built in."""
    await the_rig.linked("alice")
    announced = {}
    for name, page in PAGES.items():
        the_rig.box.start_page = page
        await the_rig.host.close()
        the_rig.start_host()
        announced[name] = await logged_in(the_rig, "alice", "auto")
    assert announced == dict.fromkeys(PAGES, BUILT_IN)
    assert sum(fact.what == "start-page" for fact in the_rig.box.state.history) == len(PAGES)
