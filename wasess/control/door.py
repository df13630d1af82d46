"""The door to a running manager. Implemented by `supervisor.operations`; `control.app` carries it to `control.client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from wasess.core.live import Live, ManagerInfo, Outcome


class Manager(Protocol):
    """What can be asked of a manager. Raises `errors.WasessError`: `errors.NotLinked` for a session that does not exist."""

    def info(self) -> ManagerInfo:
        """How it is."""

    def lives(self) -> list[Live]:
        """The sessions it keeps, sorted by user."""

    def reconnect(self, users: Collection[str], timeout: float) -> AsyncIterator[Outcome]:
        """Replace the links of these sessions (all, when empty), several at once; an outcome each, as it comes, within ``timeout`` seconds."""

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
