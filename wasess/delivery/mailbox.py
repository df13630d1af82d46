"""The mail of one session, open: what its keeper takes in, the bot is given and the courier takes out. What belongs together is one commit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasess.core import events
from wasess.core.message import Message
from wasess.core.sending import Released
from wasess.delivery.resend import send_again
from wasess.store.brakes import Brakes
from wasess.store.gaps import Cause, Gap, Gaps
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MailDamaged, MailFile, open_mail
from wasess.store.outbox import Outbox
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from wasess.core.message import Reply
    from wasess.store.inbox import Item, State
    from wasess.store.outbox import Letter
    from wasess.store.spool import Place

SWEPT_WITHIN = 1.0
MOST_HELD = 1000  # messages that wait in a braked chat; the bot is not asked about more
REPLY = "reply:"  # how the keys of a bot's replies begin; nobody else's may


@dataclass(frozen=True, slots=True)
class Took:
    """What was taken in: the messages that are new, and whether a reply of ours has moved on.

    ``again``: the chats in which a message is to be sent again. ``not_again``: why others could not be, each once for each that was asked for.
    """

    messages: tuple[Message, ...]
    receipts: bool
    again: tuple[str, ...] = ()
    not_again: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Spooled:
    """An event from the spool. ``raw`` is its payload."""

    event: events.Event
    raw: bytes = b""


class Mailbox:
    """Of one session; ``user`` is its id. Every method raises `errors.StoreError` when the disk refuses; nothing has changed then."""

    def __init__(self, user: str, mail: MailFile) -> None:
        self.user = user
        self.inbox = Inbox(mail)
        self.outbox = Outbox(mail)
        self.gaps = Gaps(mail)
        self.brakes = Brakes(mail)
        self._mail = mail

    @classmethod
    def open(cls, user: str, folder: Path, *, durable: bool) -> tuple[Mailbox, Path | None]:
        """Open it; see `store.mail.open_mail`. What is asked first of it is asked here already: damage that is seen only then is damage of the file, too."""
        mail, kept = open_mail(folder, durable=durable)
        try:
            made = cls(user, mail)
            made.inbox.chats()
            made.outbox.chats()
        except MailDamaged:
            kept = mail.begin_anew()
            made = cls(user, mail)
        return made, kept

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._mail.close()

    @property
    def damage(self) -> str:
        """What SQLite has said of a page that makes no sense, while it was used; empty as long as it has not."""
        return self._mail.damage

    @property
    def damaged(self) -> int:
        """How many messages are damaged and not dropped yet, and replies since it was opened."""
        return self.inbox.damaged + self._mail.tallies["damaged letters"]

    def mend(self, now: float, within: float = SWEPT_WITHIN) -> tuple[list[int], list[int]]:
        """Look at every row, as far as that is done within some seconds, and see to those that are damaged.

        Returns the positions of the messages, and of the replies, whose texts can't be trusted any more: `store.inbox.Inbox.mend`.
        """
        messages, letters = self.inbox.sweep(within), self.outbox.sweep(within)
        return [seq for seq in messages if not self.inbox.mend(seq, now)], [seq for seq in letters if not self.outbox.mend(seq, now)]

    def begin_anew(self) -> Path:
        """Move the damaged file to ``kept/``, and go on with a new one; return where the old one is: `store.mail.MailFile.begin_anew`."""
        kept = self._mail.begin_anew()
        self.inbox.count_anew()
        self.gaps.count_anew()
        self.brakes.read_anew()
        return kept

    @property
    def begun(self) -> str:
        """See `store.mail.MailFile`."""
        return self._mail.begun

    def fault(self) -> str:
        """See `store.mail.MailFile.fault`."""
        return self._mail.fault()

    def put_back(self, now: float) -> Path | None:
        """See `store.mail.MailFile.put_back`. What is moved to ``kept/`` is counted as missing in the file that is begun."""
        kept = self._mail.put_back()
        if kept:
            anew, _kept = Mailbox.open(self.user, kept.parent.parent, durable=True)
            anew.mail_lost(now)
            anew.close()
        return kept

    def mail_lost(self, now: float) -> None:
        """What waited in a file that is no more may be missing; nobody knows how much."""
        self.gaps.enter(Gap("", "", "", Cause.MAIL_LOST, 1, now))

    def mail_lost_at(self) -> float:
        """When that happened last (Unix time); 0 when it never did."""
        return max((gap.at for gap in self.gaps.entries() if gap.cause == Cause.MAIL_LOST), default=0.0)

    @property
    def changes(self) -> int:
        """How many rows were written since it was opened."""
        return self._mail.changes

    def settle(self) -> bool:
        """Bring all that is committed to the disk; False when a reader was in the way of some of it."""
        return self._mail.checkpoint()

    def take_in(self, spooled: Iterable[Spooled], place: Place, now: float, wanted: Callable[[Message], State], destroyed: int = 0) -> Took:
        """Enter what the spool holds up to ``place``; ``wanted`` says what is to become of a message. ``destroyed``: so many events there can't be read."""
        receipts = False
        arrivals: list[Arrival] = []
        asked: list[tuple[str, Cause | None]] = []
        with self._mail.transaction():
            if destroyed:
                self.gaps.enter(Gap("", "", "", Cause.SPOOL_DAMAGED, destroyed, now))
            for one in spooled:
                match one.event:
                    case events.MessageReceived(message):
                        arrivals.append(
                            Arrival(message, now, self._kept_within(message, wanted(message)), one.raw if _unfetched(message) else b"")
                        )
                    case events.Undecryptable(message_id, chat, sender):
                        self._missing(Gap(chat, sender, message_id, Cause.UNDECRYPTABLE, 1, now))
                    case events.Missed(message_id, chat, sender, cause):
                        self._missing(Gap(chat, sender, message_id, cause, 1, now))
                    case events.Departing(key, message_id):
                        self.outbox.departing(key, message_id, now)
                    case events.ReceiptCame(receipt, _, ids):
                        receipts |= self._receipt(receipt, ids, now)
                    case events.AskedAgain():
                        asked.append(send_again(one.event, self.outbox, self.gaps, now))
            new = self.inbox.take_in(arrivals, place)
            for message in new:
                self.gaps.close(message)
        found = tuple(replace(message, session=self.user) for message in new)
        return Took(found, receipts, tuple(chat for chat, _ in asked if chat), tuple(why for _, why in asked if why))

    def answered(self, item: Item, message: Message, replies: Sequence[Reply], now: float, kept: Sequence[str] = ()) -> None:
        """The bot is done with a message: its replies are queued in the same instant. A message answered twice is replied to once.

        ``kept``: for each reply the name of the copy of its file, or an empty text; nothing when none has a file.
        """
        with self._mail.transaction():
            for number, reply in enumerate(replies):
                copy = kept[number] if kept else ""
                self.outbox.queue(reply_key(message, number), reply.to or message.answer_to, reply, now, item.seq, copy)
            self.inbox.finish(item.seq, "done", now)

    def next_letter(self, chat: str) -> Letter | None:
        """The first that is to go out to a chat; in one that is braked, none of the bot's."""
        return self.outbox.next_open(chat, without=REPLY if chat in self.brakes.chats else "")

    def release(self, chats: Collection[str], now: float, *, drop: bool) -> list[Released]:
        """Let braked chats (all, when empty) go on; with ``drop``, without what has waited there.

        Also one of which only this mailbox knows that it was: a command has released it, which did not see this manager come.
        """
        released = []
        since = dict.fromkeys(self.brakes.chats, now) | {braked.chat: braked.at for braked in self.brakes.entries()}
        for chat in since.keys() & set(chats) if chats else since:
            messages, replies = self.inbox.waiting_in(chat), self.outbox.open_in(chat, REPLY)
            for seq in messages if drop else ():
                self.inbox.drop(seq, now)
            for seq in replies if drop else ():
                self.outbox.end(seq, "failed", _("dropped when its chat was released"), now)
            self.brakes.release(chat)
            released.append(Released(chat, since[chat], len(messages), len(replies)))
        return released

    def give_up(self, item: Item, tries: int, detail: str, now: float) -> None:
        """The bot failed on a message for the last time: it is a dead letter."""
        with self._mail.transaction():
            self.inbox.postpone(item.seq, tries, 0.0, detail)
            self.inbox.finish(item.seq, "dead", now, detail)

    def quoted(self, letter: Letter, reply: Reply) -> Message | None:
        """The message that a reply quotes or reacts to; one that is not here is known by its id alone, and None when it is not even that."""
        if not isinstance(reply.quote, str):
            item = self.inbox.item(letter.about) if letter.about is not None else None
            return item.message if item else None
        found = self.inbox.find(letter.chat, reply.quote)
        if found is None:
            own = self.outbox.find(reply.quote)
            text = own.reply.text if own and own.reply else ""
            return Message(reply.quote, letter.chat, "" if own else letter.chat, text, letter.queued_at, from_me=own is not None)
        return found

    def options(self, chat: str, poll_id: str) -> tuple[str, ...]:
        """The options of a poll, somebody's or one of ours; none when it is not here."""
        found = self.inbox.find(chat, poll_id)
        if found is not None and found.poll is not None:
            return found.poll.options
        own = self.outbox.find(poll_id)
        return own.reply.poll.options if own and own.reply and own.reply.poll else ()

    def needed(self) -> set[int]:
        """The positions of messages whose files must stay: the bot is still to get them, or a reply, which may send them on, is still to go out."""
        return self.inbox.positions_waiting() | self.outbox.answered_positions()

    def forget(self, texts_before: float, rows_before: float) -> bool:
        """Delete what was done with before these moments (Unix time), texts sooner than ids; return whether there was any.

        Its last traces, and the files that came with it, go with the next `store.mail.settle`.
        """
        with self._mail.transaction():
            self.gaps.forget(rows_before)
            out, into = self.outbox.forget(texts_before, rows_before), self.inbox.forget(texts_before, rows_before)
        return out or into

    def _kept_within(self, message: Message, state: State) -> State:
        """What becomes of a message: where a machine is not answered, it must not fill the disk."""
        if state != "waiting" or message.answer_to not in self.brakes.chats:
            return state
        return state if len(self.inbox.waiting_in(message.chat)) < MOST_HELD else "unasked"

    def _missing(self, gap: Gap) -> None:
        if not self.inbox.holds(gap.chat, gap.sender, gap.id):
            self.gaps.enter(gap)

    def _receipt(self, receipt: str, ids: Sequence[str], now: float) -> bool:
        if receipt not in {"delivered", "read"}:
            return False
        known = [self.outbox.receipt(one, "read" if receipt == "read" else "delivered", now) for one in ids]
        return any(seq is not None for seq in known)


def reply_key(message: Message, number: int) -> str:
    """The key of a message's reply: the same after any crash, and nobody's address in it."""
    digest = hashlib.sha256("\0".join(message.key).encode()).hexdigest()
    return f"{REPLY}{digest[:32]}:{number}"


def _unfetched(message: Message) -> bool:
    """Whether something of it must be asked for before the bot can have it."""
    return message.media is not None or message.kind == "vote"
