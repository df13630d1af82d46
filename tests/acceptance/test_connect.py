"""`wasess connect` as a stranger meets it: the real command, the real library, a phone that looks at the screen."""

from __future__ import annotations

import json
import stat

import pytest
from phone_camera import DARK_BACKGROUND, LIGHT_BACKGROUND

pytestmark = pytest.mark.acceptance

BLOCKS = set("█▀▄")


@pytest.mark.parametrize("background", [DARK_BACKGROUND, LIGHT_BACKGROUND], ids=["dark", "light"])
def test_a_phone_links_by_what_it_reads_from_the_screen(stage, user, background):
    window = stage.terminal("connect", user)
    code = window.until_code(background)
    assert "code 1 of 6" in window.text()
    stage.sandbox("scan", user, "--text", code)
    assert window.until_over() == 0
    seen = window.text()
    assert f"{user} is linked (phone " in seen
    assert "next: wasess serve" in seen
    assert not BLOCKS & set(seen)
    assert not BLOCKS & set(window.scrolled_away())
    (row,) = json.loads(stage.run("list", "--json").stdout)["data"]["sessions"]
    assert row["linked"] is True
    record = json.loads((stage.home / user / "session.json").read_text())["record"]["1"]
    assert record["paired_at"]
    assert record["jid"].endswith("@s.whatsapp.net")


def test_everything_on_the_disk_is_private(stage, user):
    window = stage.terminal("connect", user)
    window.until_code()
    stage.sandbox("scan", user)
    assert window.until_over() == 0
    for path in (stage.home, *stage.home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_window_too_small_says_so_and_shows_the_code_once_it_is_large_enough(stage, user):
    window = stage.terminal("connect", user, rows=24)
    seen = window.until_text("this window has 24 rows and 80 columns")
    assert "The code needs " in seen
    assert "--png FILE" in seen
    assert "--phone NUMBER" in seen
    assert not BLOCKS & set(seen)
    window.resize(40, 80)
    code = window.until_code(seconds=3)
    stage.sandbox("scan", user, "--text", code)
    assert window.until_over() == 0


def test_a_picture_instead(stage, user):
    picture = stage.folder / "code.png"
    window = stage.terminal("connect", user, "--png", str(picture), rows=24)
    window.until(picture.exists)
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    window.until(lambda: f"Itisin{picture}" in "".join(window.text().split()))  # a long path wraps
    stage.sandbox("scan", user, "--png", str(picture))
    assert window.until_over() == 0
    assert not picture.exists()


def test_a_picture_that_is_there_is_never_overwritten(stage, user):
    picture = stage.folder / "holiday.png"
    picture.write_bytes(b"dear")
    done = stage.run("connect", user, "--png", str(picture))
    assert done.returncode == 2
    assert picture.read_bytes() == b"dear"


def test_a_code_to_type_instead(stage, user):
    window = stage.terminal("connect", user, "--phone", "+49 170 1234567")
    seen = window.until(lambda: next((word for word in window.text().split() if len(word) == 9 and word[4] == "-"), ""))
    stage.sandbox("enter-code", user, seen)
    assert window.until_over() == 0
    assert f"{user} is linked" in window.text()
    assert seen not in window.text()


def test_without_a_terminal_the_result_is_one_json_document(stage, user):
    scanning = stage.terminal("sandbox", "scan", user)
    done = stage.run("connect", user, "--json")
    assert scanning.until_over() == 0
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert document["data"]["user"] == user
    assert "\x1b" not in done.stderr
    assert BLOCKS & set(done.stderr)


def test_a_linked_session_is_refused_and_linked_again_by_force(stage, user):
    first = stage.terminal("connect", user)
    stage.sandbox("scan", user)
    assert first.until_over() == 0
    refused = stage.run("connect", user)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    again = stage.terminal("connect", user, "--force")
    stage.sandbox("scan", user)
    assert again.until_over() == 0
    assert [kept.name.rpartition("Z-")[2] for kept in (stage.home / user / "kept").iterdir()] == ["relink"]


def test_a_running_manager_takes_the_new_session_over_at_once(stage, user):
    manager = stage.terminal("serve")
    manager.until_text("manager ready")
    window = stage.terminal("connect", user)
    stage.sandbox("scan", user)
    assert window.until_over() == 0
    assert "has taken it over" in window.text()
    manager.until_text(f"{user} restored")
    manager.press_ctrl_c()
    assert manager.until_over(12) == 0
