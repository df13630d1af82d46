"""wasess.toml, variables and flags, by commands that really do what they say."""

from __future__ import annotations

import json
import signal

import pytest
from homes import House, until

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

NOTHING = {"WASESS_HOME": "", "WASESS_SANDBOX": ""}  # an empty variable is none


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as opened:
        yield opened


def write(house: House, text: str) -> None:
    file = house.folder / "wasess.toml"
    file.write_text(text)
    file.chmod(0o600)


async def test_serve_by_its_file_alone(house):
    await house.link("alice", "bob")
    (house.folder / "bot.py").write_text("def reply(text):\n    return 'echo ' + text\n")
    write(
        house,
        f"""
home = "home"
sandbox = "{house.box.contract_path}"

[serve]
bot = "bot.py:reply"
only = ["alice"]
log-format = "json"
max_parallel = 4
""",
    )
    serve = await house.run("serve", environment=NOTHING)
    await until(lambda: serve.has_said('"manager_ready"'), lambda: f"ready:\n{serve.text}")
    house.box.say("carol", "alice", "one")
    await until(lambda: house.answers("carol") == ["one"], lambda: f"an answer:\n{serve.text}")
    assert all(json.loads(line)["session"] in {"", "alice"} for line in serve.log)
    assert not house.device("bob").online
    serve.signal(signal.SIGTERM)
    assert await serve.over() == 0


async def test_a_variable_and_then_a_flag_win_over_the_file(house):
    await house.link("alice")
    write(house, '[serve]\nlog-format = "json"\npresence = "loud"\n')
    refused = await house.serve()
    assert await refused.over() == 2
    assert refused.has_said("loud")
    by_variable = await house.serve("--log-format", "text", environment={"WASESS_PRESENCE": "quiet"})
    await by_variable.said("alice restored")
    by_variable.signal(signal.SIGTERM)
    assert await by_variable.over() == 0


async def test_connect_gives_up_when_its_variable_says(house):
    connecting = await house.run("connect", "alice", environment={"WASESS_CONNECT_TIMEOUT": "1.5", "WASESS_JSON": "1"})
    assert await connecting.over() == 4, connecting.text
    assert json.loads(connecting.out[0])["error"]["code"] == "PAIRING_FAILED"


async def test_a_file_that_others_can_write_names_no_code_to_run(house):
    (house.folder / "bot.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    write(house, '[serve]\nbot = "bot.py:reply"\n')
    (house.folder / "wasess.toml").chmod(0o666)
    serve = await house.serve()
    assert await serve.over() == 2
    assert serve.has_said("it was not used")
    assert not (house.folder / "ran").exists()
