"""`wasess logs` and the file behind it, with a real manager and the real library."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from homes import House, until

from wasess.store.manager_log import log_path, read_log

if TYPE_CHECKING:
    from homes import Running

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as opened:
        yield opened


async def end(serve: Running) -> None:
    serve.signal(signal.SIGTERM)
    assert await serve.over() == 0, serve.text


async def logs(house: House, *arguments: str, environment: dict[str, str] | None = None) -> list[str]:
    running = await house.run("logs", *arguments, environment=environment)
    assert await running.over() == 0, running.text
    return running.out


def parts(line: str) -> str:
    """A line of the log without its time."""
    found = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (.*)", line)
    assert found, line
    return found[1]


async def test_what_serve_tells_is_kept_to_the_last_word(house):
    await house.link("alice", "bob")
    serve = await house.serve()
    await house.online(serve, "alice", "bob")
    await serve.said("manager ready")
    during = await logs(house)
    assert any("alice restored" in line for line in during)
    await end(serve)
    assert list(map(parts, await logs(house))) == serve.log
    assert [parts(line) for line in await logs(house, "bob")] == [line for line in serve.log if "bob" in line]
    assert serve.log[-1] == "manager stopped"
    assert stat.S_IMODE(log_path(house.home.path).stat().st_mode) == 0o600
    assert [session.user for session in house.home.sessions()] == ["alice", "bob"]


async def test_follow_goes_on_over_the_end_of_a_manager_until_ctrl_c(house):
    await house.link("alice")
    following = await house.run("logs", "--follow")
    await following.said("waiting for: wasess serve")
    told = []
    for _ in range(2):
        serve = await house.serve()
        await house.online(serve, "alice")
        await end(serve)
        told += serve.log
        await until(lambda: len(following.out) >= len(told), lambda: f"all was followed:\n{following.text}")  # noqa: B023 - awaited at once
    assert list(map(parts, following.out)) == told
    following.signal(signal.SIGINT)
    assert await following.over() == 0
    assert following.log[2:] == []


async def test_lines_of_json_on_stderr_are_those_of_the_file(house):
    await house.link("alice")
    serve = await house.serve("--log-format", "json")
    await until(lambda: serve.has_said('"manager_ready"'), lambda: f"ready:\n{serve.text}")
    await end(serve)
    assert list(map(json.loads, serve.log)) == list(read_log(house.home.path))
    by_json = [json.loads(line) for line in await logs(house, environment={"WASESS_JSON": "1"})]
    assert by_json == list(read_log(house.home.path))


async def test_no_secret_is_told(house):
    """Neither a message nor a number nor a key reaches the file."""
    await house.link("alice")
    serve = await house.serve(bot="def reply(text):\n    raise ValueError(text)\n")
    await house.online(serve, "alice")
    house.box.say("carol", "alice", "the-secret-of-carol")
    await until(lambda: "BOT_RAISED" in log_path(house.home.path).read_text(), lambda: f"the bot failed:\n{serve.text}")
    await end(serve)
    kept = log_path(house.home.path).read_text()
    found = house.home.session("alice").device()
    assert found
    assert "the-secret-of-carol" not in kept
    assert found.phone not in kept


async def test_a_manager_that_is_killed_has_told_what_it_said(house):
    await house.link("alice")
    serve = await house.serve()
    await house.online(serve, "alice")
    await serve.said("manager ready")
    await until(lambda: any("manager ready" in entry["line"] for entry in read_log(house.home.path)), "it was written")
    await serve.kill()
    assert list(map(parts, await logs(house))) == serve.log


async def test_a_log_that_can_not_be_written_stops_no_session(house):
    await house.link("alice")
    log_path(house.home.path).parent.mkdir(mode=0o700)
    log_path(house.home.path).symlink_to(house.folder / "elsewhere")
    serve = await house.serve()
    await house.online(serve, "alice")
    await serve.said("the log can't be written")
    await end(serve)
    assert not (house.folder / "elsewhere").exists()


async def test_a_reader_that_has_gone_is_no_error(house):
    house.home.open(create=True)
    serve = await house.serve()
    await serve.said("manager ready")
    await end(serve)
    command = f"{sys.executable} -m wasess logs --home {house.home.path} | true"
    piped = await asyncio.create_subprocess_exec("bash", "-c", f"set -o pipefail; {command}", stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(piped.communicate(), 30)
    assert (piped.returncode, said) == (0, b"")
