"""What a session's files may hold together: the oldest go first, what is needed stays, and everything about it is said."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from at_once import AtOnce

from wasess.core import events
from wasess.core.message import Media, Message, Reply
from wasess.delivery.mail_queue import MailQueue
from wasess.delivery.mailbox import Mailbox, Spooled
from wasess.errors import FileUnavailable
from wasess.store.media import MEDIA_NAME
from wasess.store.spool import Place
from wasess.supervisor.media_quota import MediaQuota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasess.store.inbox import State

MIB = 2**20
CHAT = "1@lid"


class Rig:
    """A mailbox with messages 1, 2, 3, ... that have files of one MiB, and a quota."""

    def __init__(self, folder: Path, most: int) -> None:
        (folder / MEDIA_NAME).mkdir()
        self.media = folder / MEDIA_NAME
        self.mailbox, _ = Mailbox.open("alice", folder, durable=False)
        self.told: list[str] = []
        self.quota = MediaQuota(folder, MailQueue(self.mailbox, AtOnce()), most * MIB, self)  # type: ignore[arg-type]  # it only tells
        self._count = 0

    def trouble(self, code: str, _sentence: str, **_how: Any) -> None:
        self.told.append(code)

    def arrive(self, state: State, mib: int = 1) -> int:
        """A message with its file; returns its position."""
        self._count += 1
        path = self.media / f"{self._count}.png"
        path.write_bytes(bytes(mib * MIB))
        media = Media("image/png", mib * MIB, path=str(path))
        message = Message(str(self._count), CHAT, CHAT, "", 1.0, kind="image", media=media)
        self.mailbox.take_in([Spooled(events.MessageReceived(message))], Place(1, "head", self._count), 1.0, lambda _message: state)
        return self._count

    def there(self) -> list[str]:
        return sorted(path.name for path in self.media.iterdir())

    def media_of(self, seq: int) -> Media:
        item = self.mailbox.inbox.item(seq)
        assert item is not None
        assert item.message is not None
        assert item.message.media is not None
        return item.message.media

    async def fetched(self, position: int, mib: int = 1) -> None:
        await self.quota.reserve(position, mib * MIB)
        self.quota.release(position, mib * MIB)


@pytest.fixture
def rig_of(tmp_path: Path) -> Iterator[Callable[[int], Rig]]:
    """Makes a rig with a quota of so many MiB; it is closed at the end."""
    (tmp_path / "alice").mkdir(mode=0o700)
    with ExitStack() as made:

        def make(most: int) -> Rig:
            rig = Rig(tmp_path / "alice", most)
            made.callback(rig.mailbox.close)
            return rig

        yield make


async def test_the_oldest_that_nobody_waits_for_go_first(rig_of: Callable[[int], Rig]):
    rig = rig_of(10)
    waiting = [rig.arrive("waiting"), rig.arrive("waiting")]
    old = [rig.arrive("unasked") for _ in range(8)]
    await rig.quota.reserve(99, MIB)
    assert rig.there() == sorted(f"{number}.png" for number in [*waiting, *old[2:]])  # one that must go, and a tenth of the quota
    assert rig.told == ["MEDIA_QUOTA"]
    gone, kept = rig.media_of(old[0]), rig.media_of(old[2])
    assert (gone.path, gone.problem, gone.size) == ("", "deleted: the quota of 10 MiB was used up (--media-quota)", MIB)
    assert (kept.path, kept.problem) == (str(rig.media / f"{old[2]}.png"), "")
    assert not rig.quota.full


async def test_what_waits_or_is_to_be_sent_on_is_kept_and_the_new_file_is_not_fetched(rig_of: Callable[[int], Rig]):
    rig = rig_of(3)
    answered = rig.arrive("waiting")
    rig.arrive("waiting")
    rig.arrive("waiting")
    item = rig.mailbox.inbox.item(answered)
    assert item is not None
    assert item.message is not None
    rig.mailbox.answered(item, item.message, [Reply(file=item.message.media.path if item.message.media else "")], 2.0)
    with pytest.raises(FileUnavailable, match=r"fill the quota of 3 MiB"):
        await rig.quota.reserve(99, MIB)
    assert (rig.there(), rig.told, rig.quota.full) == (["1.png", "2.png", "3.png"], ["MEDIA_FULL"], True)
    letter = rig.mailbox.outbox.next_open(CHAT)
    assert letter is not None
    rig.mailbox.outbox.sent(letter.seq, "X", 3.0)
    await rig.quota.reserve(99, MIB)
    assert (rig.there(), rig.quota.full) == (["2.png", "3.png"], False)


async def test_nothing_is_deleted_for_a_file_that_would_not_fit_anyway(rig_of: Callable[[int], Rig]):
    rig = rig_of(3)
    rig.arrive("unasked")
    rig.arrive("waiting", mib=2)
    with pytest.raises(FileUnavailable):
        await rig.quota.reserve(99, 2 * MIB)
    assert rig.there() == ["1.png", "2.png"]


async def test_a_file_larger_than_all_of_it_is_nobody_elses_trouble(rig_of: Callable[[int], Rig]):
    rig = rig_of(3)
    rig.arrive("unasked")
    with pytest.raises(FileUnavailable, match="larger than the quota of 3 MiB"):
        await rig.quota.reserve(99, 3 * MIB + 1)
    assert (rig.there(), rig.told, rig.quota.full) == (["1.png"], [], False)


async def test_files_that_come_at_once_are_counted_before_they_are_there(rig_of: Callable[[int], Rig]):
    rig = rig_of(3)
    await asyncio.gather(*(rig.quota.reserve(number, MIB) for number in (97, 98, 99)))
    with pytest.raises(FileUnavailable):
        await rig.quota.reserve(100, MIB)
    rig.quota.release(98, 0)  # it did not come
    await rig.quota.reserve(100, MIB)


async def test_the_folder_is_read_only_when_it_may_be_full(rig_of: Callable[[int], Rig], monkeypatch: pytest.MonkeyPatch):
    rig = rig_of(10)
    looks = []
    look = rig.quota._look

    async def counted(size: int) -> None:
        looks.append(size)
        await look(size)

    monkeypatch.setattr(rig.quota, "_look", counted)
    for number in range(9):
        await rig.fetched(number)
    assert len(looks) == 1
    for number in range(9):  # none of them is in the folder: they were deleted with their messages
        await rig.fetched(number)
    assert len(looks) == 2


async def test_half_a_file_that_a_crash_has_left_is_deleted_but_not_one_that_comes(rig_of: Callable[[int], Rig]):
    rig = rig_of(10)
    (rig.media / "6.png.part").write_bytes(bytes(9 * MIB))
    (rig.media / "notes.txt").write_bytes(bytes(20 * MIB))
    await rig.quota.reserve(7, 2 * MIB)
    assert rig.there() == ["notes.txt"]
    (rig.media / "7.png.part").write_bytes(b"x")
    with pytest.raises(FileUnavailable):
        await rig.quota.reserve(8, 9 * MIB)
    assert rig.there() == ["7.png.part", "notes.txt"]


async def test_without_a_quota_nobody_looks(rig_of: Callable[[int], Rig]):
    rig = rig_of(0)
    rig.arrive("unasked")
    await rig.fetched(99, 1000)
    assert (rig.there(), rig.told) == (["1.png"], [])
