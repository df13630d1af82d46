"""Messages: the last ones in and out, and what the bot has not dealt with yet."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wasess.core import reasons
from wasess.doctor.checks.letters import place_of
from wasess.doctor.findings import Finding, Part, ok
from wasess.doctor.times import size, span
from wasess.errors import UnsafeHome
from wasess.store.spool import SPOOL_NAME, Depth, depth
from wasess.words import _, plural

if TYPE_CHECKING:
    from wasess.core.live import Live
    from wasess.doctor.census import SessionView
    from wasess.store.sessions import Session

MANY = 1000


def check(session: Session, view: SessionView) -> Part:
    """``spool`` in the facts: see `store.spool.Depth`; None when it can't be read."""
    live = view.live
    facts: dict[str, Any] = {
        "received_at": live.received_at if live else None,
        "sent_at": live.sent_at if live else None,
        "waiting": live.waiting if live else None,
        "spool": None,
    }
    try:
        found = depth(session.folder, place_of(session))
    except UnsafeHome:  # said where files are judged
        return Part(facts)
    except OSError as error:
        sentence = _("{name} can't be read: {problem}").format(name=SPOOL_NAME, problem=error.strerror)
        return Part(facts, (Finding("SPOOL_UNREADABLE", "error", sentence, f"wasess diagnose {view.user} --fix", view.user),))
    facts["spool"] = asdict(found)
    findings = [_counted(live, found, view.user)]
    if found.damaged:
        sentence = _("{name}: {size} make no event; they are passed over when the session goes on").format(
            name=SPOOL_NAME, size=size(found.damaged)
        )
        fix = f"wasess reconnect {view.user}" if live else "wasess serve"
        findings.append(Finding("SPOOL_DAMAGED", "warning", sentence, fix, view.user))
    if found.gone:
        sentence = _("{name} is not the one that its messages were read from, or shorter: some may be missing").format(name=SPOOL_NAME)
        findings.append(Finding("SPOOL_GONE", "warning", sentence, f"wasess logs {view.user}", view.user))
    problem = reasons.BY_CODE.get(live.problem) if live is not None else None
    if problem is not None and problem is not reasons.CHAT_BRAKED:  # said where the chats are known
        findings.append(Finding(problem.code, "error", _(problem.sentence), f"wasess logs {view.user}", view.user))
    return Part(facts, tuple(findings))


def _counted(live: Live | None, found: Depth, user: str) -> Finding:
    spooled = _("spool {size}").format(size=size(found.size))
    if live is None:
        many = plural("{count} event is not dealt with yet", "{count} events are not dealt with yet", found.frames)
        count = many.format(count=found.frames) if found.counted else _("{size} are not dealt with yet").format(size=size(found.unread))
        return ok("MESSAGES", f"{count} ({spooled})", user)
    now = time.time()
    waiting = plural("{count} message waits for the bot", "{count} messages wait for the bot", live.waiting).format(count=live.waiting)
    said = f"{_traffic(live, now)}; {waiting} ({spooled})"
    if live.waiting < MANY:
        return ok("MESSAGES", said, user)
    return Finding(
        "BOT_BEHIND", "warning", _("{sentence}: the bot is too slow, or stuck").format(sentence=said), f"wasess logs {user}", user
    )


def _traffic(live: Live, now: float) -> str:
    if not live.received_at and not live.sent_at:
        return _("no message since the manager started")
    said = _("last message {ago} ago").format(ago=span(now - live.received_at)) if live.received_at else _("no message came in yet")
    if not live.sent_at:
        return _("{said}, no reply went out yet").format(said=said)
    return _("{said}, last reply {ago} ago").format(said=said, ago=span(now - live.sent_at))
