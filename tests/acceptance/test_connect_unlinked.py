"""`wasess connect` for a session that WhatsApp has unlinked: its old credentials are kept aside, whatever comes of the pairing."""

from __future__ import annotations

import json

import pytest

from wasess.store.sessions import Home

pytestmark = pytest.mark.acceptance


@pytest.fixture
def unlinked(stage, user):
    """A session that the manager has kept until its phone removed the device."""
    first = stage.terminal("connect", user)
    stage.sandbox("scan", user)
    assert first.until_over() == 0
    manager = stage.terminal("serve")
    manager.until_text(f"{user} restored")
    stage.sandbox("fault", user, "stream-error", "device_removed")
    session = Home(stage.home).session(user)
    manager.until(lambda: session.credentials().unlinked)
    manager.press_ctrl_c()
    assert manager.until_over(12) == 0
    return session


def kept(session) -> list[str]:
    folder = session.folder / "kept"
    return [entry.name.rpartition("Z-")[2] for entry in folder.iterdir()] if folder.exists() else []


def test_it_is_linked_again_without_force(stage, user, unlinked):
    assert not unlinked.linked
    again = stage.terminal("connect", user)
    stage.sandbox("scan", user)
    assert again.until_over() == 0
    assert (unlinked.linked, unlinked.credentials().unlinked) == (True, False)
    assert kept(unlinked) == ["unlinked"]
    (row,) = json.loads(stage.run("list", "--json").stdout)["data"]["sessions"]
    assert row["linked"] is True


def test_a_pairing_that_fails_puts_them_back(stage, user, unlinked):
    before = (unlinked.folder / "device.db").read_bytes()
    done = stage.run("connect", user, "--timeout", "2")
    assert done.returncode == 4
    assert (unlinked.folder / "device.db").read_bytes() == before
    assert (unlinked.linked, unlinked.credentials().unlinked, kept(unlinked)) == (False, True, [])
