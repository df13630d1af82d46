"""Mail: what waits for the bot, what it gave up, what could not be sent, and what is missing (the gap ledger). Nobody who uses it is disturbed."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from wasess.core.reasons import CHAT_BRAKED, MESSAGES_DAMAGED
from wasess.core.redact import redact
from wasess.doctor.findings import Finding, Part, command, ok
from wasess.doctor.times import span
from wasess.errors import StoreError, UnsafeHome
from wasess.store.brakes import Brakes
from wasess.store.gaps import NOT_RESENT, Cause, Gaps
from wasess.store.inbox import Inbox
from wasess.store.kept_mail import kept_mail
from wasess.store.mail import MAIL_NAME, MailDamaged, MailFile, is_emptied, open_whole
from wasess.store.outbox import Outbox
from wasess.store.rescue import is_rescued
from wasess.store.spool import was_mailed
from wasess.words import _, mark, plural

if TYPE_CHECKING:
    from wasess.store.brakes import Braked
    from wasess.store.gaps import Gap
    from wasess.store.sessions import Session
    from wasess.store.spool import Place

MOST_SHOWN = 3  # senders in a sentence
MOST_NAMED = 20  # positions in a command
SWEPT_WITHIN = 1.0

CAUSES = {
    Cause.UNDECRYPTABLE: mark("could not be decrypted, and was asked for again"),
    Cause.OLD_COUNTER: mark("died with a process"),
    Cause.ENTRY_DAMAGED: mark("its entry in the ledger is damaged"),
    Cause.NO_EVENT: mark("was not handed over by the library"),
    Cause.SPOOL_DAMAGED: mark("may have been in a part of the spool that was destroyed"),
    Cause.MAIL_LOST: mark("may have waited in an inbox.db that was damaged or removed"),
}
RESEND_CAUSES = {
    Cause.RESEND_ERASED: mark("the text is erased"),
    Cause.RESEND_FILE: mark("a file is sent once only"),
    Cause.RESEND_OLD: mark("sent more than a week ago"),
    Cause.RESEND_GROUP: mark("everybody in the group would get it twice"),
    Cause.RESEND_TOO_OFTEN: mark("sent again twice before"),
    Cause.RESEND_UNKNOWN: mark("nothing was sent to them under that id"),
}


def check(session: Session, *, managed: bool = False) -> Part:
    """``mail`` in the facts: counts by state, and the gaps with their senders shortened; None when there is none, or it can't be read."""
    user = session.user
    read, trouble = None, None
    try:
        read = _read(session)
    except MailDamaged:
        trouble = _damaged(user, managed=managed)
    except (UnsafeHome, OSError):  # said where files are judged
        pass
    except StoreError as error:
        trouble = Finding("MAIL_UNREADABLE", "warning", str(error), command("ls", "-l", session.folder), user)
    aside = _set_aside(session)
    if read is None:
        return Part({"mail": None}, (*((trouble,) if trouble else ()), *aside))
    facts, entries, known, damaged, braked = read
    gaps = [gap for gap in entries if gap.cause not in NOT_RESENT]
    not_resent = [gap for gap in entries if gap.cause in NOT_RESENT]
    facts["gaps"] = [{"sender": redact(gap.sender), "cause": gap.cause, "count": gap.count, "at": gap.at} for gap in gaps]
    facts["not_resent"] = [{"recipient": redact(gap.sender), "cause": gap.cause, "count": gap.count, "at": gap.at} for gap in not_resent]
    facts["braked"] = [{"chat": redact(one.chat), "at": one.at} for one in braked]
    failed = (_dead(facts["dead"] - known, user), _unsent(facts, user), _missing(gaps, user), _not_resent(not_resent, user))
    found = (*damaged, *_stopped(braked, user), *failed, _under_way(facts, user))
    return Part({"mail": facts}, (*aside, *filter(None, found)))


def _read(session: Session) -> tuple[dict[str, Any], list[Gap], int, tuple[Finding, ...], list[Braked]] | None:
    """None when there is no mail, or somebody is just making it."""
    if is_emptied(session.folder):
        raise MailDamaged(MAIL_NAME)
    if not os.path.lexists(session.folder / MAIL_NAME):
        if was_mailed(session.folder) and not is_rescued(session.folder / MAIL_NAME):
            raise MailDamaged(MAIL_NAME)
        return None
    with closing(_looked_at(session)) as mail:
        if not mail.version:
            return None
        return _facts(mail), Gaps(mail).entries(), Inbox(mail).damaged, _rows_damaged(mail, session.user), Brakes(mail).entries()


def place_of(session: Session) -> Place | None:
    """Up to where the spool has been taken in; None when that can't be told."""
    with suppress(StoreError), closing(MailFile(session.folder, read_only=True)) as mail:
        return Inbox(mail).place() if mail.version else None
    return None


def _looked_at(session: Session) -> MailFile:
    """The open file. What is looked at while a manager begins with it may seem damaged for a moment."""
    try:
        return open_whole(session.folder, read_only=True)
    except MailDamaged:
        return open_whole(session.folder, read_only=True)


def _facts(mail: MailFile) -> dict[str, Any]:
    inbox, outbox = Inbox(mail), Outbox(mail)
    replies = outbox.counts()
    return {
        "waiting": inbox.waiting,
        "oldest_waiting_at": inbox.oldest_waiting(),
        "dead": inbox.dead(),
        "queued": replies.get("queued", 0),
        "in_doubt": replies.get("sending", 0),
        "failed": replies.get("failed", 0),
        "unknown": replies.get("unknown", 0),
        "resent": outbox.resent(),
    }


def _rows_damaged(mail: MailFile, user: str) -> tuple[Finding, ...]:
    """Rows that SQLite calls whole, and that are not what was stored: those that are known, and those that a look at each of them finds now."""
    inbox, outbox = Inbox(mail), Outbox(mail)
    messages = sorted({*inbox.damaged_positions(), *inbox.sweep(SWEPT_WITHIN)})
    replies = sorted({*outbox.damaged(), *outbox.sweep(SWEPT_WITHIN)})
    found = []
    if messages:
        numbers = [str(seq) for seq in messages[:MOST_NAMED]]
        many = plural("message {shown} is damaged", "{count} messages are damaged ({shown})", len(messages))
        sentence = _("{many}, and the bot does not get them; ask who wrote then to send it again, and drop them").format(
            many=many.format(count=len(messages), shown=", ".join(numbers) + (" …" if len(messages) > MOST_NAMED else ""))
        )
        found.append(Finding(MESSAGES_DAMAGED.code, "error", sentence, command("wasess", "inbox", "drop", user, *numbers), user))
    if replies:
        shown = ", ".join(str(seq) for seq in replies[:MOST_NAMED]) + (" …" if len(replies) > MOST_NAMED else "")
        many = plural("reply {shown} is damaged", "{count} replies are damaged ({shown})", len(replies))
        sentence = _("{many}, and not sent any more; write by hand to whom it concerns").format(
            many=many.format(count=len(replies), shown=shown)
        )
        found.append(Finding("REPLIES_DAMAGED", "warning", sentence, f"wasess send {user} --help", user))
    return tuple(found)


def _stopped(braked: list[Braked], user: str) -> tuple[Finding, ...]:
    """The chats that are braked, each with the command that lets it go on."""
    sentence = _("in the chat {chat} a machine answers the bot: since {ago} the bot's answers there wait; --drop gives them up, too")
    now = time.time()
    return tuple(
        Finding(
            CHAT_BRAKED.code,
            "error",
            sentence.format(chat=redact(one.chat), ago=span(now - one.at)),
            command("wasess", "inbox", "release", user, redact(one.chat)),
            user,
        )
        for one in braked
    )


def _set_aside(session: Session) -> tuple[Finding, ...]:
    """Damaged files that were set aside, and are still there."""
    try:
        kept = kept_mail(session.folder)
    except OSError:  # said where files are judged
        return ()
    if not kept:
        return ()
    sentence = _(
        "{name} was damaged, and set aside in {folder}: what waited in it may not have reached the bot; ask who wrote then, and remove it when it is not needed any more"
    ).format(name=MAIL_NAME, folder=kept[-1])
    return (Finding("MAIL_SET_ASIDE", "warning", sentence, command("rm", "-r", *kept), session.user),)


def _damaged(user: str, *, managed: bool) -> Finding:
    sentence = _("{name} is damaged: serve sets it aside and begins a new one, with what the spool still holds").format(name=MAIL_NAME)
    fix = f"wasess pause {user} && wasess resume {user}" if managed else "wasess serve"  # it is opened anew
    return Finding("MAIL_DAMAGED", "error", sentence, fix, user)


def _under_way(facts: dict[str, Any], user: str) -> Finding | None:
    """What nobody needs to do anything about."""
    said = []
    if facts["waiting"]:
        many = plural("{count} message waits for the bot", "{count} messages wait for the bot", facts["waiting"])
        ago = span(time.time() - facts["oldest_waiting_at"])
        said.append(_("{many}, the first since {ago}").format(many=many.format(count=facts["waiting"]), ago=ago))
    if facts["queued"]:
        many = plural("{count} reply is not sent yet", "{count} replies are not sent yet", facts["queued"])
        said.append(many.format(count=facts["queued"]))
    if facts["in_doubt"]:
        many = plural("{count} reply is on its way", "{count} replies are on their way", facts["in_doubt"])
        said.append(many.format(count=facts["in_doubt"]))
    return ok("MAIL", "; ".join(said), user) if said else None


def _dead(count: int, user: str) -> Finding | None:
    if count <= 0:
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
        senders[redact(gap.sender) or _("senders that are not known")] += gap.count
    shown = ", ".join(f"{sender} ({number})" for sender, number in senders.most_common(MOST_SHOWN))
    why = ", ".join(_(CAUSES[Cause(cause)]) for cause in sorted({gap.cause for gap in gaps}) if cause in CAUSES)
    many = plural("{count} message is missing", "{count} messages are missing", count).format(count=count)
    sentence = _(
        "{many} ({why}), the first since {ago}, from {senders}; unless it arrives after all, ask the sender to write again"
    ).format(many=many, why=why, ago=span(time.time() - min(gap.at for gap in gaps)), senders=shown)
    return Finding("GAPS", "warning", sentence, command("wasess", "diagnose", user, "--json"), user)


def _not_resent(gaps: list[Gap], user: str) -> Finding | None:
    """A warning only where something was sent: anybody can ask for messages that never were."""
    if not gaps:
        return None
    count = sum(gap.count for gap in gaps)
    recipients = Counter[str]()
    for gap in gaps:
        recipients[redact(gap.sender) or _("somebody who is not known")] += gap.count
    shown = ", ".join(f"{recipient} ({number})" for recipient, number in recipients.most_common(MOST_SHOWN))
    causes = sorted({gap.cause for gap in gaps})
    why = ", ".join(_(RESEND_CAUSES[Cause(cause)]) for cause in causes)
    many = plural(
        "{count} message could not be decrypted by its recipient", "{count} messages could not be decrypted by their recipients", count
    ).format(count=count)
    sentence = _("{many}; not sent again ({why}): {recipients}; write to them").format(many=many, why=why, recipients=shown)
    is_serious = causes != [Cause.RESEND_UNKNOWN]
    return Finding("NOT_SENT_AGAIN", "warning" if is_serious else "note", sentence, f"wasess send {user} --help", user)
