"""`wasess diagnose` as the command that it is, on real sessions of the sandbox."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import signal
import sqlite3
import tarfile
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from homes import ECHO_BOT, House, until
from situations import SITUATIONS, Street
from terminal import Terminal, wasess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]


async def diagnosed(house: House, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Run it with --json; return its exit code and its data."""
    done = await house.run("diagnose", *arguments, "--json", environment=environment)
    code = await done.over(30)
    assert "Traceback" not in done.text
    return code, json.loads("\n".join(done.out))["data"]


def problems(told: dict[str, Any]) -> list[str]:
    return [found["code"] for part in (told, *told["sessions"]) for found in part["findings"] if found["level"] in {"error", "warning"}]


async def test_a_healthy_home_has_nothing_but_good_news(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve(bot=ECHO_BOT)
        await house.online(serve, "alice")
        house.box.say("carol", "alice", "hello")
        await until(lambda: house.answers("carol") == ["hello"], "answered")
        dials = len([fact for fact in house.box.state.history if fact.what == "dialled"])
        code, told = await diagnosed(house)
        assert (code, problems(told)) == (0, [])
        assert {found["level"] for part in (told, *told["sessions"]) for found in part["findings"]} == {"ok"}, told
        alice = told["sessions"][0]
        assert (alice["state"], alice["linked"], alice["device_db"]) == ("online", True, "intact")
        assert alice["received_at"]
        assert alice["process"]["pid"] in serve.workers
        assert told["manager"]["info"]["pid"] == serve.process.pid
        assert len([fact for fact in house.box.state.history if fact.what == "dialled"]) == dials, "nobody was dialled for it"
        assert house.device("alice").online


async def test_situations_and_what_to_type(tmp_path: Path):
    """The same states, codes and exit codes as the census, and the command that helps."""
    wanted = {
        "banned": "wasess logs banned",
        "outdated": "wasess reconnect outdated --wa-version auto",
        "unlinked": "wasess connect unlinked",
        "paused": "wasess resume paused",
        "damaged": "wasess connect damaged --force",
        "online": None,
    }
    async with House(tmp_path) as house:
        street = Street(house, tuple(found for found in SITUATIONS if found.name in wanted))
        await street.prepare()
        code, told = await diagnosed(house)
        rows = {row["user"]: row for row in told["sessions"]}
        for situation in street.situations:
            row = rows[situation.name]
            assert (row["state"], row["code"], row["exit_code"]) == (situation.state, situation.code, situation.exit_code)
            fixes = [found["fix"] for found in row["findings"] if found["code"] == situation.code]
            assert fixes == [wanted[situation.name]], row
            alone = await house.run("diagnose", situation.name)
            assert await alone.over(30) == situation.exit_code, alone.text
        assert code == max(situation.exit_code for situation in street.situations)
        assert rows["banned"]["next_try_at"] > time.time()
        assert "LINKED_DEVICES" in [found["code"] for found in rows["unlinked"]["findings"]]


async def test_no_manager(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        code, told = await diagnosed(house)
        assert code == 8
        assert {found["fix"] for found in told["sessions"][0]["findings"] if found["level"] == "error"} == {"wasess serve"}
        assert told["manager"] is None


async def test_a_manager_that_hangs_is_waited_for_a_few_seconds(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve()
        await house.online(serve, "alice")
        serve.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            code, told = await diagnosed(house)
            assert time.monotonic() - began < 12
        finally:
            serve.signal(signal.SIGCONT)
        assert code == 8
        fixes = {found["code"]: found["fix"] for found in told["findings"]}
        assert fixes["MANAGER_STOPPED"] == f"kill -CONT {serve.process.pid}"


async def test_fix_replaces_a_process_that_stands_still(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        serve = await house.serve()
        await house.online(serve, "alice")
        before = serve.workers.pop()
        os.kill(before, signal.SIGSTOP)
        done = await house.run("diagnose", "alice", "--fix")
        assert await done.over(60) == 0, done.text
        assert "its process was replaced" in done.text or serve.has_said("does not react"), done.text
        assert before not in serve.workers
        assert house.device("alice").online


async def test_the_stand_in_is_gone(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        contract = json.loads(house.box.contract_path.read_text())
        moved = house.box.contract_path.with_name("moved.json")
        moved.write_text(json.dumps(contract | {"proxy": "http://127.0.0.1:1"}))
        _, told = await diagnosed(house, environment={"WASESS_SANDBOX": str(moved)})
        assert "STAND_IN_DOWN" in problems(told)
        _, told = await diagnosed(house, environment={"WASESS_SANDBOX": str(tmp_path / "none.json")})
        assert "NETWORK_UNKNOWN" in problems(told)
        _, told = await diagnosed(house, "--offline", environment={"WASESS_SANDBOX": str(moved)})
        assert "STAND_IN_DOWN" not in problems(told)


async def test_at_sixty_columns_nothing_sticks_out(tmp_path: Path):
    async with House(tmp_path) as house:
        await house.link("alice")
        environment = {**os.environ, "WASESS_HOME": str(house.home.path), "WASESS_SANDBOX": str(house.box.contract_path), "TERM": "xterm"}

        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)

        def shown(**more: str) -> tuple[str, bytes]:
            terminal = Terminal(wasess("diagnose", "--offline"), environment | more, 60, 60)
            try:
                assert terminal.until_over() == 8
                return terminal.text(), terminal.written
            finally:
                terminal.close()

        text, written = await asyncio.to_thread(shown)
        assert b"\x1b[31merror\x1b[0m" in written
        lines = text.splitlines()
        versions = next(number for number, line in enumerate(lines) if line.startswith("  ok        wasess "))
        assert re.match(r" {12}\S", lines[versions + 1]), text
        assert b"\x1b[3" not in (await asyncio.to_thread(shown, NO_COLOR="1"))[1]
        piped = await house.run("diagnose", "--offline")
        await piped.over(30)
        assert "\x1b" not in piped.text


def forms(secret: bytes) -> set[bytes]:
    """A key as it could turn up in a text."""
    return {secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"=")}


def secrets_of(database: Path) -> set[bytes]:
    """All keys and names in a session's credentials."""
    found: set[bytes] = set()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        columns = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info('whatsmeow_device')")]
        for row in connection.execute("SELECT * FROM whatsmeow_device"):
            for name, value in zip(columns, row, strict=True):
                if isinstance(value, bytes) and len(value) >= 16:
                    found |= forms(value)
                elif name in {"jid", "lid"} and value:
                    found |= {value.encode(), value.split(":")[0].encode()}
    return found


async def test_the_archive_gives_nothing_away(tmp_path: Path):
    """Messages in the spool, a running manager with a log, and everything that is secret of two linked sessions."""
    async with House(tmp_path) as house:
        await house.link("alice", "marketing-7")
        serve = await house.serve(bot="def reply(text):\n    raise ValueError(text)\n")
        await house.online(serve, "alice", "marketing-7")
        house.box.say("carol", "alice", "the launch code is swordfish")
        spool = house.home.path / "alice" / "spool.log"
        await until(lambda: house.device("alice") and spool.stat().st_size > 500, "the message is in the spool")
        house.box.fault("marketing-7", "failure", "402:101:600")
        house.box.fault("marketing-7", "rst")
        await serve.said("temporarily banned")
        archive = tmp_path / "for-all-to-see.tar.gz"
        done = await house.run("diagnose", "--bundle", str(archive), environment={"WASESS_PING": "https://hc-ping.com/f00d-beef"})
        assert await done.over(30) == 5, done.text
        assert archive.stat().st_mode & 0o777 == 0o600
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as packed:
            parts = {member.name: packed.extractfile(member).read() for member in packed}  # type: ignore[union-attr] # files
            assert {(member.uname, member.gname, member.uid) for member in packed} == {("", "", 0)}
        assert archive.read_bytes()[3] == 0, "RFC 1952: it holds no name"
        secrets = {b"swordfish", b"hc-ping", b"marketing-7", b"alice", str(tmp_path).encode()}
        for user in ("alice", "marketing-7"):
            secrets |= secrets_of(house.home.path / user / "device.db")
            account = house.device(user).account
            secrets |= {account.number.encode(), account.lid.encode(), b"@s.whatsapp.net", b"@lid"}
        assert len(secrets) > 20
        everything = b"\n".join([*(name.encode() for name in parts), *parts.values()]).lower()
        assert not {secret for secret in secrets if secret.lower() in everything}
        assert not re.search(rb"\b%s\b" % re.escape(os.uname().nodename.lower().encode()), everything), "this machine's name"
        told = json.loads(parts["wasess/diagnosis.json"])
        assert [(row["user"], row["code"]) for row in told["sessions"]] == [("u1", "ONLINE"), ("u2", "BANNED")]
        assert b"BANNED" in parts["wasess/log.ndjson"]
        assert b"banned" in parts["wasess/history/u2.json"]
        assert all(secret not in archive.read_bytes() for secret in secrets)
