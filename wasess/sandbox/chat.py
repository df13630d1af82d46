"""A chat as one who writes in it sees it: who the others are, by which addresses, and how a message of it is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wasess.sandbox import ballot
from wasess.sandbox.archive import opened
from wasess.sandbox.protobufs import waE2E

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wasess.sandbox.archive import Archive
    from wasess.sandbox.cdn import Cdn
    from wasess.sandbox.jid import Jid
    from wasess.sandbox.state import Account, Group

Addressing = Literal["pn", "lid"]


@dataclass(frozen=True, slots=True)
class Chat:
    """``writer`` writes to ``readers``: one other, or the rest of a group. ``via``: by phone numbers or by hidden ids.

    ``who`` knows accounts by name.
    """

    writer: Account
    readers: tuple[Account, ...]
    via: Addressing
    archive: Archive
    cdn: Cdn
    who: Callable[[str], Account]
    group: Group | None = None

    def address(self, account: Account) -> Jid:
        """Somebody's address in this chat."""
        return account.lid_jid if self.via == "lid" else account.jid

    @property
    def jid(self) -> Jid:
        """The chat's own address, as its writer sees it."""
        return self.address(self.readers[0]) if self.group is None else self.group.jid

    def key(self, message_id: str) -> dict[str, Any]:
        """How a message here is named in another: a `waCommon.MessageKey`.

        Raises:
            ValueError: there is no such message.
        """
        author = self.archive.find(message_id).author
        key: dict[str, Any] = {"remoteJID": str(self.jid), "fromMe": author is self.writer, "ID": message_id}
        if self.group is not None and author is not self.writer:
            key["participant"] = str(self.address(author))
        return key

    def context(self, quote: str, mentions: Iterable[str]) -> Any:
        """The `waE2E.ContextInfo` of a message that answers another one or mentions somebody; None when it does neither.

        Raises:
            ValueError: there is no such message.
        """
        context = waE2E.ContextInfo(mentionedJID=[str(self.address(self.who(name))) for name in mentions])
        if quote:
            kept = self.archive.find(quote)
            context.stanzaID, context.participant = quote, str(self.address(kept.author))
            context.quotedMessage.CopyFrom(opened(kept))
            context.quotedMessage.ClearField("messageContextInfo")
        return context if context.ListFields() else None

    def vote(self, poll_id: str, options: Iterable[str]) -> dict[str, Any]:
        """A vote's `waE2E.PollEncValue`.

        Raises:
            ValueError: there is no such poll.
        """
        asker, _, secret = self.archive.poll(poll_id)
        nonce, sealed = ballot.seal(secret, poll_id, str(self.address(asker)), str(self.address(self.writer)), options)
        return {"encIV": nonce, "encPayload": sealed}
