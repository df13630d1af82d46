"""The home's lock: put back when somebody deletes it, and given up when another manager was quicker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_supervisor import managing, ready
from village import Village, link_device, until

from wasess.errors import Locked
from wasess.store.lock import FileLock
from wasess.store.sessions import HOME_LOCK_NAME
from wasess.supervisor import rounds

if TYPE_CHECKING:
    from pathlib import Path

    from village import Told

    from wasess.store.sessions import Home


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "DISK_EVERY", 0.01)


async def test_a_lock_that_is_deleted_is_taken_anew(home: Home, told: Told):
    link_device(home.session("alice"))
    async with managing(home, Village(), told):
        await until(lambda: ready(told))
        (home.path / HOME_LOCK_NAME).unlink()
        await until(lambda: "HOME_LOCK_LOST" in told.codes())
        with pytest.raises(Locked, match="in use by process"):
            home.lock("serve")
        assert told.codes().count("HOME_LOCK_LOST") == 1
    home.lock("serve").release()


async def test_the_manager_that_lost_its_home_to_another_one_ends(home: Home, told: Told):
    async with managing(home, Village(), told):
        await until(lambda: ready(told))
        fresh = home.path / "fresh"
        with FileLock.acquire(fresh, "serve"):
            fresh.replace(home.path / HOME_LOCK_NAME)
            await until(lambda: told.lines[-1] == "manager stopped")
    assert "another manager has taken this home; this one ends" in "\n".join(told.lines)


def test_a_lock_is_kept_at_its_name(tmp_path: Path):
    path = tmp_path / "lock"
    with FileLock.acquire(path, "test") as lock:
        assert not lock.keep(path, "test")
        path.unlink()
        assert lock.keep(path, "test")
        assert not lock.keep(path, "test")
        with pytest.raises(Locked):
            FileLock.acquire(path, "other")
    FileLock.acquire(path, "other").release()
