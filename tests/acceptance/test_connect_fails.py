"""Every way a pairing can fail ends by itself, with a sentence and an exit code, and leaves nothing behind."""

from __future__ import annotations

import json
import socket
import time

import pytest

pytestmark = pytest.mark.acceptance


def fail(stage, user, *fault, scan=True, seconds=60.0):
    """Connect while something is broken; return what the window says in the end, on whatever lines, and the exit code."""
    stage.sandbox("fault", user, *fault)
    window = stage.terminal("connect", user)
    if scan:
        code = window.until_code()
        stage.run("sandbox", "scan", user, "--text", code)
    exit_code = window.until_over(seconds)
    stage.sandbox("clear", user)
    return window.said(), exit_code


@pytest.mark.parametrize(("fault", "word"), [("bad-hmac", "HMAC"), ("bad-signature", "signed")])
def test_an_answer_that_does_not_fit_the_code(stage, user, fault, word):
    seen, exit_code = fail(stage, user, fault, seconds=5)
    assert exit_code == 4
    assert word in seen
    assert f"next: scan the newest code with the right phone: wasess connect {user}" in seen
    assert not (stage.home / user).exists()


def test_a_passkey_is_asked_for(stage, user):
    window = stage.terminal("connect", user)
    window.until_code()
    stage.sandbox("passkey", user)
    assert window.until_over(5) == 10
    assert "passkey" in window.text()
    assert not (stage.home / user).exists()


def test_the_network_is_down(stage, user):
    seen, exit_code = fail(stage, user, "refuse", "connect", scan=False, seconds=20)
    assert exit_code == 3
    assert "trying again in 1 s" in seen
    assert "3 attempts failed" in seen
    assert not (stage.home / user).exists()


def test_the_stand_in_is_not_there(stage, user):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    contract = json.loads(stage.contract.read_text()) | {"proxy": f"http://127.0.0.1:{port}"}
    gone = stage.folder / "gone.json"
    gone.write_text(json.dumps(contract))
    done = stage.run("connect", user, "--json", WASESS_SANDBOX=str(gone))
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "NETWORK_DOWN"


def test_one_failed_login_after_the_515_is_repaired(stage, user):
    seen, exit_code = fail(stage, user, "failing-515")
    assert exit_code == 0
    assert "logging in once more" in seen


def test_a_515_that_never_comes_is_repaired_by_a_fresh_worker(stage, user):
    seen, exit_code = fail(stage, user, "no-515", seconds=45)
    assert exit_code == 0
    assert "logging in once more" in seen


def test_a_login_that_never_comes_back_is_given_up_and_the_credentials_stay(stage, user):
    seen, exit_code = fail(stage, user, "login-hang", seconds=60)
    assert exit_code == 3
    assert "the credentials are kept" in seen
    (row,) = json.loads(stage.run("list", "--json").stdout)["data"]["sessions"]
    assert row["linked"] is True


def test_no_phone_within_the_timeout(stage, user):
    window = stage.terminal("connect", user, "--timeout", "3")
    window.until_code()
    assert window.until_over(6) == 4
    assert "no phone was linked within 3 s" in window.text()
    assert not (stage.home / user).exists()


@pytest.mark.timeout(240)
def test_all_codes_are_used_up(stage, user):
    window = stage.terminal("connect", user)
    code = window.until_code()
    for number in range(2, 7):
        window.until_text(f"code {number} of 6", seconds=70)
        newer = window.until_code(other_than=code)
        assert newer != code
        code = newer
    assert window.until_over(30) == 4
    assert "used up (6 of 6)" in window.text()
    assert not set("█▀▄") & set(window.scrolled_away())


def test_a_phone_number_that_can_not_be_one(stage, user):
    done = stage.run("connect", user, "--phone", "0170 1234")
    assert done.returncode == 2
    assert "country code first" in done.stderr


def test_a_phone_number_whatsapp_gives_no_code_for(stage, user):
    stage.sandbox("fault", user, "pair-code-error")
    window = stage.terminal("connect", user, "--phone", "491701234567")
    assert window.until_over(10) == 4
    assert "gave no code for this phone number" in window.text()


def test_another_connect_holds_the_session(stage, user):
    first = stage.terminal("connect", user)
    first.until_code()
    second = stage.run("connect", user)
    assert second.returncode == 9
    assert "in use by" in second.stderr
    first.press_ctrl_c()
    assert first.until_over(2) == 130


def test_a_failed_pairing_by_force_puts_the_old_credentials_back(stage, user):
    first = stage.terminal("connect", user)
    stage.sandbox("scan", user)
    assert first.until_over() == 0
    before = (stage.home / user / "device.db").read_bytes()
    stage.sandbox("fault", user, "bad-hmac")
    again = stage.terminal("connect", user, "--force")
    stage.run("sandbox", "scan", user)
    assert again.until_over() == 4
    assert (stage.home / user / "device.db").read_bytes() == before
    assert not any((stage.home / user / "kept").iterdir())


# --- Ctrl+C -----------------------------------------------------------------------------------------------------------


def interrupt(window) -> str:
    pressed = window.press_ctrl_c()
    assert window.until_over(5) == 130
    assert time.monotonic() - pressed < 1.0
    return window.text()


@pytest.mark.alone
def test_ctrl_c_while_it_starts(stage, user):
    window = stage.terminal("connect", user)
    window.until((stage.home / user).exists)
    interrupt(window)
    assert not (stage.home / user).exists()


@pytest.mark.alone
@pytest.mark.parametrize("phase", ["connect", "tls", "upgrade", "noise"])
def test_ctrl_c_while_the_dial_hangs(stage, user, phase):
    stage.sandbox("fault", user, "stall", phase)
    window = stage.terminal("connect", user)
    lock = stage.home / user / "lock"
    window.until(lambda: lock.exists() and "pairing" in lock.read_text())
    interrupt(window)
    assert not (stage.home / user).exists()


@pytest.mark.alone
def test_ctrl_c_between_two_dials(stage, user):
    stage.sandbox("fault", user, "refuse", "connect")
    window = stage.terminal("connect", user)
    window.until_text("trying again in 3 s")
    interrupt(window)


@pytest.mark.alone
def test_ctrl_c_while_a_code_is_shown(stage, user):
    window = stage.terminal("connect", user)
    window.until_code()
    seen = interrupt(window)
    assert f"interrupted; {user} is as it was before" in seen
    assert not set("█▀▄") & set(seen)
    assert not (stage.home / user).exists()


@pytest.mark.alone
def test_ctrl_c_while_it_logs_in_keeps_what_the_phone_has_accepted(stage, user):
    stage.sandbox("fault", user, "login-hang")
    window = stage.terminal("connect", user)
    stage.sandbox("scan", user, "--text", window.until_code())
    window.until_text("logging in")
    seen = interrupt(window)
    assert f"interrupted; {user} is linked already" in seen
    (row,) = json.loads(stage.run("list", "--json").stdout)["data"]["sessions"]
    assert row["linked"] is True


def test_a_killed_connect_leaves_nothing_that_stops_the_next_one(stage, user):
    window = stage.terminal("connect", user)
    window.until_code()
    window.process.kill()
    window.until_over()
    again = stage.terminal("connect", user)
    stage.sandbox("scan", user, "--text", again.until_code())
    assert again.until_over() == 0


@pytest.mark.parametrize(
    ("fault", "exit_code", "code"),
    [
        (("failure", "401"), 4, "PAIRING_FAILED"),
        (("failure", "402:101:600"), 5, "BANNED"),
        (("failure", "405"), 6, "OUTDATED"),
        (("failure", "503"), 3, "NETWORK_DOWN"),
    ],
)
def test_whatsapp_says_no_before_the_first_code(stage, user, fault, exit_code, code):
    stage.sandbox("fault", user, *fault)
    done = stage.run("connect", user, "--json")
    assert done.returncode == exit_code
    assert json.loads(done.stdout)["error"]["code"] == code
    assert not (stage.home / user).exists()
