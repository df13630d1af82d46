"""What a worker says of its connection is heard at once and once, whatever becomes of the mail in the same spool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_intake import CONNECTED, MESSAGE, POISON, Desk

from wasess.errors import StoreError
from wasess.store.frame import frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    tmp_path.chmod(0o700)
    made = Desk(tmp_path)
    yield made
    made.mailbox.close()


def test_the_keeper_is_told_at_once_while_the_mailbox_refuses(desk: Desk):
    desk.worker_starts()
    desk.worker_started(0)
    desk.spool(frame(CONNECTED, b""), frame(MESSAGE, b"one"))
    desk.refusal = "one"
    for told in (["Connected", "MessageArrived"], []):
        desk.told.clear()
        with pytest.raises(StoreError):
            desk.taken()
        assert desk.told == told, "once"
    desk.spool(frame(CONNECTED, b""))
    desk.tell()
    assert desk.told == ["Connected"]
    desk.refusal = ""
    assert desk.taken() == ["one"]


def test_what_can_not_be_read_keeps_nothing_from_the_keeper(desk: Desk):
    desk.worker_starts()
    desk.worker_started(0)
    desk.spool(frame(POISON, b"?"), b"torn", frame(CONNECTED, b""))
    desk.tell()
    assert desk.told == ["Connected"]
