"""Compares what contacts wrote with what became of it, station by station: the server's queue, the inbox, the gap ledger, the bot, the answers.

Judges only values, so that a test can give it books that are wrong.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from wasess.store.mail import MAIL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ANSWER = "re "
_ANSWERS = "SELECT o.message_id, CAST(m.body AS TEXT) ->> 'text' FROM outbox o JOIN messages m ON m.seq = o.about WHERE m.body IS NOT NULL"


class Sent(NamedTuple):
    """What a contact wrote to a user, in a chat; ``at`` is Unix time."""

    user: str
    chat: str
    text: str
    id: str
    at: float


class Sighting(NamedTuple):
    """The bot was done with a text; ``pid`` is its process."""

    at: float
    pid: int
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A session's inbox.db: the state of each message by its id, the cause of each gap by its id, and how many are missing without one.

    ``answers``: which text was answered, by the answer's id.
    """

    messages: dict[str, str]
    gaps: dict[str, str]
    nameless: int = 0
    answers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Entry:
        """Look into the file. Nobody may be writing to it."""
        path = folder / MAIL_NAME
        if not path.exists():
            return cls({}, {})
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            messages = dict(connection.execute("SELECT id, state FROM messages"))
            gaps = dict(connection.execute("SELECT id, cause FROM gaps WHERE id <> '' AND cause NOT LIKE 'resend-%'"))
            (nameless,) = connection.execute(
                "SELECT coalesce(sum(count), 0) FROM gaps WHERE id = '' AND cause NOT LIKE 'resend-%'"
            ).fetchone()
            answers = dict(connection.execute(_ANSWERS))
        return cls(messages, gaps, nameless, answers)


@dataclass(frozen=True)
class Evidence:
    """``receipted`` and ``pending`` (ids) are the server's truth by user, ``answers`` the texts that each contact got, with their times.

    ``ended``: processes of the bot that were killed, by whomever. ``unreadable``: ids of answers that a phone could not decrypt.
    """

    sent: list[Sent]
    receipted: dict[str, set[str]]
    pending: dict[str, set[str]]
    answers: dict[str, list[tuple[str, float]]]
    inboxes: dict[str, Entry]
    seen: list[Sighting]
    ended: frozenset[int] = frozenset()
    unreadable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, books: dict[str, Any], inboxes: dict[str, Entry], notes: Iterable[str], ended: Iterable[int] = ()) -> Evidence:
        """Put it together from the stand-in's order ``books`` and the bot's notes."""
        return cls(
            [Sent(*one) for one in books["sent"]],
            {user: set(ids) for user, ids in books["receipted"].items()},
            {user: set(ids) for user, ids in books["pending"].items()},
            {name: [(text, at) for text, at in texts if text.startswith(ANSWER)] for name, texts in books["answers"].items()},
            inboxes,
            [sighting(line) for line in notes],
            frozenset(ended),
            frozenset(books["unreadable"]),
        )

    # --- messages -----------------------------------------------------------------------------------------------------

    @cached_property
    def lost(self) -> list[Sent]:
        """What did not reach the bot."""
        seen = {one.text for one in self.seen}
        return [sent for sent in self.sent if sent.text not in seen]

    @property
    def unnamed(self) -> list[Sent]:
        """What did not reach the bot, and the gap ledger does not name it."""
        return [sent for sent in self.lost if sent.id not in self._inbox(sent).gaps]

    @property
    def forgotten(self) -> list[Sent]:
        """What was acknowledged, and is in neither the inbox nor the gap ledger."""
        return [sent for sent in self.sent if sent.id in self.receipted.get(sent.user, ()) and not self._known(sent)]

    @property
    def withheld(self) -> list[Sent]:
        """What is in the inbox and did not reach the bot."""
        return [sent for sent in self.lost if sent.id in self._inbox(sent).messages]

    @property
    def false_gaps(self) -> int:
        """How many entries of the ledger name a message that is here."""
        return sum(len(entry.gaps.keys() & entry.messages.keys()) for entry in self.inboxes.values())

    def out_of_order(self, exempt: frozenset[str] = frozenset()) -> list[str]:
        """The texts that came to the bot (for the first time) behind a later one of their chat. ``exempt``: those that were given up once."""
        latest: dict[str, int] = {}
        late = []
        for text in dict.fromkeys(one.text for one in self.seen):
            chat, _, number = text.rpartition(" ")
            if text in exempt:
                continue
            if int(number) < latest.get(chat, -1):
                late.append(text)
            latest[chat] = max(latest.get(chat, -1), int(number))
        return late

    def repeated(self, *, excused: bool) -> list[str]:
        """The texts that came to the bot again: after a process that was killed had been done with it (``excused``), or without such a reason."""
        done: dict[str, int] = {}
        again = []
        for one in self.seen:
            if one.text in done and (done[one.text] in self.ended and done[one.text] != one.pid) == excused:
                again.append(one.text)
            done[one.text] = one.pid
        return again

    # --- answers ------------------------------------------------------------------------------------------------------

    @cached_property
    def unanswered(self) -> list[str]:
        """The texts to which no answer came, not even one that could not be read."""
        answered = {text.removeprefix(ANSWER) for texts in self.answers.values() for text, _ in texts}
        answered |= {entry.answers[name] for entry in self.inboxes.values() for name in entry.answers.keys() & self.unreadable}
        return [sent.text for sent in self.sent if sent.text not in answered]

    @property
    def answered_again(self) -> dict[str, tuple[float, ...]]:
        """The texts whose answer a contact got more than once, with the moments."""
        found: dict[str, tuple[float, ...]] = {}
        for texts in self.answers.values():
            counts = Counter(text for text, _ in texts)
            found |= {
                name: tuple(at for text, at in texts if text == name) for name, count in counts.items() if count > 1 and name not in found
            }
        return found

    # --- for people ---------------------------------------------------------------------------------------------------

    def story(self, sent: Sent) -> str:
        """Where a message was seen last."""
        entry = self._inbox(sent)
        sightings = [f"{one.at:.3f} by {one.pid}" for one in self.seen if one.text == sent.text]
        return (
            f"{sent.text} ({sent.id}): written {sent.at:.3f}, acknowledged {sent.id in self.receipted.get(sent.user, ())}, "
            f"waits at the server {sent.id in self.pending.get(sent.user, ())}, inbox {entry.messages.get(sent.id, 'no')}, "
            f"gap {entry.gaps.get(sent.id, 'no')}, bot {', '.join(sightings) or 'no'}"
        )

    def _inbox(self, sent: Sent) -> Entry:
        return self.inboxes.get(sent.user, Entry({}, {}))

    def _known(self, sent: Sent) -> bool:
        entry = self._inbox(sent)
        return sent.id in entry.messages or sent.id in entry.gaps


def sighting(line: str) -> Sighting:
    """Read a line of the bot's notes."""
    at, pid, text = line.split(" ", 2)
    return Sighting(float(at), int(pid), text)
