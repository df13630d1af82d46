"""Mail: what the bot gave up, what could not be sent, and what is missing (the gap ledger)."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

from wasess.core.redact import redact
from wasess.doctor.findings import Finding, Part, command
from wasess.doctor.times import span
from wasess.errors import Locked, StoreError, UnsafeHome
from wasess.store.gaps import Cause, Gaps
from wasess.store.inbox import Inbox
from wasess.store.mail import MAIL_NAME, MailDamaged, MailFile
from wasess.store.outbox import Outbox
from wasess.words import _, mark, plural

if TYPE_CHECKING:
    from wasess.store.gaps import Gap
    from wasess.store.sessions import Session

MOST_SHOWN = 3  # senders in a sentence

CAUSES = {
    Cause.UNDECRYPTABLE: mark("could not be decrypted"),
    Cause.OLD_COUNTER: mark("died with a process"),
    Cause.NO_EVENT: mark("was not handed over by the library"),
}


def check(session: Session) -> Part:
    """``mail`` in the facts: counts by state, and the gaps with their senders shortened; None when there is none, or it can't be read."""
    user = session.user
    if not os.path.lexists(session.folder / MAIL_NAME):
        return Part({"mail": None})
    try:
        with closing(MailFile(session.folder, create=False)) as mail:
            facts, gaps = _facts(mail), Gaps(mail).entries()
    except UnsafeHome:  # said where files are judged
        return Part({"mail": None})
    except MailDamaged:
        sentence = _("{name} is damaged: serve sets it aside and begins a new one, with what the spool still holds").format(name=MAIL_NAME)
        return Part({"mail": None}, (Finding("MAIL_DAMAGED", "error", sentence, f"wasess reconnect {user}", user),))
    except (StoreError, Locked) as error:
        return Part({"mail": None}, (Finding("MAIL_UNREADABLE", "warning", str(error), command("ls", "-l", session.folder), user),))
    facts["gaps"] = [{"sender": redact(gap.sender), "cause": gap.cause, "count": gap.count, "at": gap.at} for gap in gaps]
    return Part({"mail": facts}, tuple(filter(None, (_dead(facts, user), _unsent(facts, user), _missing(gaps, user)))))


def _facts(mail: MailFile) -> dict[str, Any]:
    inbox, replies = Inbox(mail), Outbox(mail).counts()
    states = inbox.counts()
    return {
        "waiting": states.get("waiting", 0),
        "oldest_waiting_at": inbox.oldest_waiting(),
        "dead": states.get("dead", 0),
        "queued": replies.get("queued", 0),
        "in_doubt": replies.get("sending", 0),
        "failed": replies.get("failed", 0),
        "unknown": replies.get("unknown", 0),
    }


def _dead(facts: dict[str, Any], user: str) -> Finding | None:
    count = facts["dead"]
    if not count:
        return None
    many = plural("the bot gave {count} message up", "the bot gave {count} messages up", count).format(count=count)
    return Finding("DEAD_LETTERS", "warning", many, command("wasess", "inbox", "list", user), user)


def _unsent(facts: dict[str, Any], user: str) -> Finding | None:
    count = facts["failed"] + facts["unknown"]
    if not count:
        return None
    many = plural("{count} reply was not sent, or nobody knows", "{count} replies were not sent, or nobody knows", count).format(
        count=count
    )
    return Finding("REPLIES_FAILED", "note", many, command("wasess", "logs", user), user)


def _missing(gaps: list[Gap], user: str) -> Finding | None:
    """What it means, and from whom: only a human can ask a person to write again."""
    if not gaps:
        return None
    count = sum(gap.count for gap in gaps)
    senders = Counter[str]()
    for gap in gaps:
        senders[redact(gap.sender)] += gap.count
    shown = ", ".join(f"{sender} ({number})" for sender, number in senders.most_common(MOST_SHOWN))
    why = ", ".join(_(CAUSES[Cause(cause)]) for cause in sorted({gap.cause for gap in gaps}) if cause in CAUSES)
    many = plural("{count} message is missing", "{count} messages are missing", count).format(count=count)
    sentence = _(
        "{many} ({why}), the first since {ago}, from {senders}; unless it arrives after all, ask the sender to write again"
    ).format(many=many, why=why, ago=span(time.time() - min(gap.at for gap in gaps)), senders=shown)
    return Finding("GAPS", "warning", sentence, command("wasess", "diagnose", user, "--json"), user)
