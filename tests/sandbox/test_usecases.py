from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from wire_client import Client

from wasess.sandbox import PairingRefused, Sandbox
from wasess.sandbox.faults import Fault, FaultError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path / "sandbox") as sandbox:
        yield sandbox


def control(box: Sandbox) -> str:
    return str(json.loads(box.contract_path.read_text())["control"])


async def ask(box: Sandbox, **request: Any) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(control(box))
    writer.write(json.dumps(request).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return dict(answer)


async def test_the_contract_says_all_a_worker_needs_and_is_gone_at_the_end(tmp_path: Path) -> None:
    async with Sandbox(tmp_path / "sandbox") as box:
        contract = json.loads(box.contract_path.read_text())
        assert contract["proxy"].startswith("http://127.0.0.1:")
        assert len(bytes.fromhex(contract["root_key"])) == 32
        assert "BEGIN CERTIFICATE" in box.ca_file.read_text()
        assert {path.stat().st_mode & 0o077 for path in (box.directory, box.contract_path, Path(contract["control"]))} == {0}
    assert [path.name for path in box.directory.iterdir()] == ["ca.pem"]


async def test_the_control_socket_works_from_a_folder_with_a_long_path(tmp_path: Path) -> None:
    async with Sandbox(tmp_path / ("long" * 30) / "sandbox") as box:
        assert (await ask(box, verb="state"))["ok"]
        short = control(box)
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(short)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"verb": "dance"}, "no such verb"),
        ({}, "no such verb"),
        ({"verb": "unlink", "user": "nobody"}, "not linked"),
        ({"verb": "scan", "user": "nobody", "qr": "hello"}, "not a WhatsApp code"),
        ({"verb": "enter-code", "user": "nobody", "code": "AAAA-BBBB"}, "does not wait"),
        ({"verb": "passkey", "user": "nobody"}, "does not wait"),
        ({"verb": "say", "user": "nobody"}, "contact"),
    ],
)
async def test_what_can_not_be_done_is_answered_with_a_sentence(box: Sandbox, request_: dict[str, Any], words: str) -> None:
    answer = await ask(box, **request_)
    assert not answer["ok"]
    assert words in answer["error"]


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"hello\n", b"\xff\n", b'{"verb":1}\n'])
async def test_bad_lines_are_answered_and_hurt_nobody(box: Sandbox, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(control(box))
    writer.write(line)
    assert not json.loads(await reader.readline())["ok"]
    writer.close()
    await writer.wait_closed()
    assert (await ask(box, verb="state"))["ok"]


@pytest.mark.parametrize("words", [("rst",), ("close", "1011"), ("stream-error", "503"), ("poison", "failure-418")])
def test_what_strikes_a_live_connection_needs_one(box: Sandbox, words: tuple[str, ...]) -> None:
    with pytest.raises(FaultError, match="no live connection"):
        box.fault("alice", *words)


@pytest.mark.parametrize("words", [("poison",), ("poison", "apple"), ("no-such-fault",), ()])
def test_a_fault_that_can_not_be_is_refused(box: Sandbox, words: tuple[str, ...]) -> None:
    with pytest.raises(FaultError):
        box.fault("alice", *words)


def test_a_black_hole_swallows_the_next_dials_too_and_ends_with_thaw(box: Sandbox) -> None:
    box.fault("alice", "freeze")
    assert box.faults.active("alice") == [Fault("stall", phase="connect")]
    box.fault("alice", "thaw")
    assert box.faults.active("alice") == []


def test_a_black_hole_for_the_live_connection_alone_needs_one(box: Sandbox) -> None:
    with pytest.raises(FaultError, match="no live connection"):
        box.fault("alice", "freeze", "live")
    with pytest.raises(FaultError, match="no value but live"):
        box.fault("alice", "freeze", "dead")
    assert box.faults.active("alice") == []


def test_a_message_for_nobody_s_device_reaches_the_phone(box: Sandbox) -> None:
    box.say("carol", "alice", "hello")
    assert box.phone("alice").texts == ["hello"]
    assert box.state.facts()["accounts"]


async def test_a_code_that_nobody_shows_is_refused(box: Sandbox) -> None:
    with pytest.raises(PairingRefused, match="not a WhatsApp code"):
        await box.scan("alice", "hello")
    with pytest.raises(PairingRefused, match="no such code"):
        await box.scan("alice", "ref,AAAA,AAAA,AAAA,1")


async def test_a_condition_that_never_holds_is_a_timeout(box: Sandbox) -> None:
    with pytest.raises(TimeoutError):
        await box.until(lambda: False, seconds=0.05)


async def test_a_dial_is_a_fact_whatever_becomes_of_it(box: Sandbox) -> None:
    box.fault("alice", "refuse")
    async with Client(box.ca_file, "alice") as client:
        await client.open(urlsplit(json.loads(box.contract_path.read_text())["proxy"]).port)
        with pytest.raises(ConnectionError):
            await client.connect()
    assert box.state.dials == {"alice": 1}
    assert [(fact.user, fact.what) for fact in box.state.history if fact.what != "fault"] == [("alice", "dialled")]
