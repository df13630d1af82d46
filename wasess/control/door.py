"""The door to a running manager. Implemented by `supervisor.operations` and `supervisor.post_office`; `control.app` carries it to `control.client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from wasess.core.live import Live, ManagerInfo, Outcome
    from wasess.core.message import Reply
    from wasess.core.sending import Released, Sending


class PostOffice(Protocol):
    """What can be asked of a manager about messages. Raises as `Manager`, and `errors.StoreError` when the disk refuses."""

    async def send(self, user: str, to: str, reply: Reply, key: str) -> Sending:
        """Put a message into the session's outbox; it is on the disk then, and sent once the session is online.

        A key that was used before sends nothing: what became of that message is told. ``to``: whatever `core.addressing` knows. Raises
        `errors.UsageError` for what can't be sent.
        """

    async def letter(self, user: str, position: int, wait: str, timeout: float) -> Sending:
        """Tell what has become of a message that was sent, once it has got as far as ``wait`` (`core.sending.WAITS`) or has failed.

        Within ``timeout`` seconds; sooner when no waiting helps, or too many wait already: then ask again. Raises `errors.UsageError`.
        """

    async def retry(self, user: str, positions: Collection[int]) -> list[int]:
        """Let these messages, dead letters or never asked about, wait for the bot at once; return those for which that is so now."""

    async def drop(self, user: str, positions: Collection[int]) -> list[int]:
        """Give up these messages, dead letters or waiting; return those that were."""

    async def release(self, user: str, chats: Collection[str], *, drop: bool) -> list[Released]:
        """Let the bot answer in these braked chats again (in all, when empty); with ``drop``, what has waited there is given up."""

    async def resend(self, user: str, positions: Collection[int]) -> list[int]:
        """Queue these replies of the outbox, which have failed, once more; return those for which that is so now."""

    async def drop_replies(self, user: str, positions: Collection[int]) -> list[int]:
        """Give up these replies of the outbox, which have failed; return those that were."""


class Manager(Protocol):
    """What can be asked of a manager. Raises `errors.WasessError`: `errors.NotLinked` for a session that does not exist."""

    @property
    def post_office(self) -> PostOffice:
        """What is about messages."""

    def info(self) -> ManagerInfo:
        """How it is."""

    def lives(self) -> list[Live]:
        """The sessions it keeps, and those that it could not take up (`Live.kept`), sorted by user."""

    def reconnect(self, users: Collection[str], timeout: float, wa_version: str = "") -> AsyncIterator[Outcome]:
        """Replace the links of these sessions (all, when empty), several at once; an outcome each, as it comes, within ``timeout`` seconds.

        From now on they announce the client version ``wa_version``, ``2.3000.N`` or ``auto``, unless it is empty.
        """

    async def pause(self, user: str) -> None:
        """Take the session down and keep it down, also after a restart. Returns once its process has ended."""

    async def resume(self, user: str) -> None:
        """Let a paused session go on. Returns at once."""

    async def logout(self, user: str) -> str:
        """Unlink the device at WhatsApp and set its credentials aside; return the folder they are in. Raises when it is not online."""

    async def rename(self, user: str, name: str) -> None:
        """Give the session another user id; it goes on under that. Raises `errors.UsageError` when that id is taken."""

    async def remove(self, user: str) -> None:
        """Take the session down, and overwrite and delete everything of it."""
