"""Every message that was written, by its id: what replies, reactions, edits, votes and receipts are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wasess.sandbox import ballot, envelope

if TYPE_CHECKING:
    from wasess.sandbox.jid import Jid
    from wasess.sandbox.letter import Letter
    from wasess.sandbox.state import Account


@dataclass(frozen=True, slots=True)
class Kept:
    """What a companion sent, and the address of the chat it sent that to."""

    id: str
    author: Account
    padded: bytes
    chat: Jid | None


class Archive:
    """Messages by id. The first one of an id stays: a message to several devices is kept once."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept | Letter] = {}

    def keep(self, message: Kept | Letter) -> None:
        """Keep a message as it was before its encryption."""
        self._kept.setdefault(message.id, message)

    def get(self, message_id: str) -> Kept | Letter | None:
        """The message with this id, if there is one."""
        return self._kept.get(message_id)

    def find(self, message_id: str) -> Kept | Letter:
        """The message with this id.

        Raises:
            ValueError: nobody wrote one.
        """
        try:
            return self._kept[message_id]
        except KeyError:
            raise ValueError(f"there is no message {message_id!r}") from None

    def poll(self, message_id: str) -> tuple[Account, tuple[str, ...], bytes]:
        """Who asked the poll with this id, its options, and the secret that its votes are encrypted under.

        Raises:
            ValueError: there is no such message, or it is no poll.
        """
        kept = self.find(message_id)
        message = opened(kept)
        options = next((tuple(option.optionName for option in poll.options) for poll in polls_in(message)), ())
        secret = message.messageContextInfo.messageSecret
        if not options or len(secret) != ballot.SECRET_BYTES:
            raise ValueError(f"message {message_id!r} is no poll")
        return kept.author, options, secret

    def votes(self, update: Any, voter: Account) -> tuple[str, ...]:
        """The options that a `waE2E.PollUpdateMessage` chooses.

        Raises:
            ValueError: the poll is not here, or the vote can't be decrypted.
        """
        poll_id = update.pollCreationMessageKey.ID
        asker, options, secret = self.poll(poll_id)
        sealed = (update.vote.encIV, update.vote.encPayload)
        chosen = ballot.unseal(secret, poll_id, _addresses(asker), _addresses(voter), *sealed)
        names = {ballot.option_hash(option): option for option in options}
        return tuple(names.get(digest, digest.hex()) for digest in chosen)


def opened(kept: Kept | Letter) -> Any:
    """The `waE2E.Message` of what was kept, out of its wrappings."""
    return envelope.read(kept.padded).message


def polls_in(message: Any) -> list[Any]:
    """The poll that a message asks, in whichever of its fields."""
    found = [(field.name, value) for field, value in message.ListFields()]
    return [value for name, value in found if name.startswith("pollCreationMessage")]


def _addresses(account: Account) -> tuple[str, str]:
    return str(account.lid_jid), str(account.jid)
