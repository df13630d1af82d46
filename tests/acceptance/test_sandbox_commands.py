from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.acceptance


def test_without_a_running_sandbox_it_says_how_to_start_one(stage):
    done = stage.run("sandbox", "state", WASESS_SANDBOX=str(stage.folder / "contract.json"))
    assert done.returncode == 1
    assert "next: " in done.stderr


def test_a_stand_in_that_is_not_ours_can_not_be_steered(stage):
    contract = json.loads(stage.contract.read_text())
    other = stage.folder / "other.json"
    other.write_text(json.dumps({key: contract[key] for key in ("proxy", "ca_file", "root_key")}))
    done = stage.run("sandbox", "state", WASESS_SANDBOX=str(other))
    assert done.returncode == 2
    assert "no control socket" in done.stderr


def test_a_wrong_fault_lists_what_there_is(stage, user):
    done = stage.run("sandbox", "fault", user, "earthquake")
    assert done.returncode == 1
    assert "bad-hmac" in done.stderr


def test_a_code_nobody_shows_is_refused(stage, user):
    done = stage.run("sandbox", "scan", user, "--timeout", "0", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "SANDBOX"


def test_a_message_from_a_contact(stage, user):
    window = stage.terminal("connect", user)
    stage.sandbox("scan", user)
    assert window.until_over() == 0
    assert stage.sandbox("say", "carol", user, "hello").startswith("sent ")
    assert json.loads(stage.sandbox("state", "--json"))["ok"] is True
    assert "unlinked on the phone" in stage.sandbox("unlink", user)


def test_the_home_of_a_sandbox_refuses_the_real_whatsapp(stage, user):
    window = stage.terminal("connect", user)
    stage.sandbox("scan", user)
    assert window.until_over() == 0
    stage.environment.pop("WASESS_SANDBOX")
    done = stage.run("connect", "bob")
    assert done.returncode == 2
    assert not (stage.home / "bob").exists()
