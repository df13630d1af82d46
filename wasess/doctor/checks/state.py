"""How a session is, since when and until when, in the words of `core.reasons`: the same that `list`, `status` and `verify` say."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from wasess.core import reasons
from wasess.core.states import State
from wasess.core.verdict import Limits, Sight, judge
from wasess.core.warnings import PROBATION, phone_warning, probation
from wasess.doctor.findings import Finding, Level, Part, command, ok
from wasess.doctor.times import moment, span
from wasess.words import _, mark

if TYPE_CHECKING:
    from wasess.doctor.census import SessionView
    from wasess.store.sessions import Home, Session

LOOK_AT_LOG = "wasess logs {user}"
FIXES = {
    reasons.BANNED: LOOK_AT_LOG,
    reasons.RATE_LIMITED: LOOK_AT_LOG,
    reasons.REFUSED: LOOK_AT_LOG,
    reasons.REFUSED_UNKNOWN: "pip install --upgrade wasess",
    reasons.REPLACED: "wasess reconnect {user}",
    reasons.REPLACED_FOR_GOOD: "wasess reconnect {user}",
    reasons.CLOCK_WRONG: "timedatectl",
    reasons.MANAGER_DOWN: "wasess serve",
    reasons.KEEPER_FAILED: LOOK_AT_LOG,
}
"""Where the action names no command, or several."""
FALLBACK = "wasess reconnect {user}"
TAKEN_OVER = frozenset({reasons.REPLACED, reasons.REPLACED_FOR_GOOD})
FOUR_PHONES = frozenset({reasons.LOGGED_OUT, reasons.LOGGED_OUT_EARLY, reasons.NEEDS_PAIRING})
LIMIT = mark("a phone keeps four linked devices at most; how many this one has only the phone knows: see Linked devices there")
_COMMAND = re.compile(r"`([^`]+)`")


def check(home: Home, session: Session, view: SessionView, manager_fix: str) -> Part:
    """The state, and what belongs to it. ``manager_fix``: what helps a manager that does not answer."""
    facts = {
        "state": view.state.value,
        "code": view.code,
        "exit_code": view.exit_code,
        "sentence": _(view.reason.sentence),
        "action": _(view.reason.action).format(user=view.user),
        "detail": view.detail,
        "since": view.since,
        "next_try_at": view.next_try_at,
        "paused_at": view.paused_at,
        "proven_at": view.live.proven_at if view.live else None,
        "failures": view.live.failures if view.live else None,
    }
    now = time.time()
    findings = [_state(view, fix_of(home, view, manager_fix), now)]
    if view.reason in TAKEN_OVER and (rival := session.rival({view.live.pid} if view.live else ())):
        sentence = _("last seen elsewhere: {rival} has used a copy of this session").format(rival=rival)
        findings.append(Finding("RIVAL", "warning", sentence, f"wasess reconnect {view.user}", view.user))
    if view.reason in FOUR_PHONES:
        findings.append(limit(view.user))
    return Part(facts, (*findings, *_unproven(view, now)))


def limit(user: str) -> Finding:
    """What to think of when a phone refuses to link one more device."""
    return Finding("LINKED_DEVICES", "note", _(LIMIT), f"wasess connect {user}", user)


def check_phone(view: SessionView) -> Part:
    """How long the phone has been silent, and whether the pairing is so young that WhatsApp may still take it back."""
    return _phone(view, time.time())


def level_of(view: SessionView) -> Level:
    """How bad it is."""
    if not view.exit_code:
        return "ok"
    told = view.reason.level
    return told if told in {"warning", "error"} else "note"


def fix_of(home: Home, view: SessionView, manager_fix: str) -> str:
    """The one command for a reason: that of its action, unless this table knows a better one."""
    reason = view.reason
    if reason == reasons.DISK_FULL:
        return command("df", "-h", home.path)
    if reason == reasons.UNREADABLE:
        return _of_problem(view)
    if reason == reasons.MANAGER_SILENT:
        return manager_fix
    found = _COMMAND.search(reason.action)
    return FIXES.get(reason, found[1] if found else FALLBACK).format(user=view.user)


def _of_problem(view: SessionView) -> str:
    """Errors of the store name their command as their hint; a hint in prose is no command."""
    hint = view.problem.hint if view.problem else ""
    return hint if hint.split(" ")[0] in {"chmod", "pip"} else f"wasess diagnose {view.user} --fix"


def _state(view: SessionView, fix: str, now: float) -> Finding:
    words = _(view.reason.sentence)
    said = words if view.state is not State.ONLINE or view.reason == reasons.ONLINE else f"{_(reasons.ONLINE.sentence)}; {words}"
    if view.detail:
        said = _("{sentence} ({detail})").format(sentence=said, detail=view.detail.rstrip(". "))
    if view.since:
        said = _("{sentence}, since {moment} ({span})").format(sentence=said, moment=moment(view.since), span=span(now - view.since))
    if view.live and view.live.proven_at and view.state is State.ONLINE:
        said = _("{sentence}; WhatsApp was heard of {ago} ago").format(sentence=said, ago=span(now - view.live.proven_at))
    if view.next_try_at:
        said = _("{sentence}; next try at {moment} (in {span})").format(
            sentence=said, moment=moment(view.next_try_at), span=span(view.next_try_at - now)
        )
    level = level_of(view)
    if level == "ok":
        return ok(view.code, said, view.user)
    action = _COMMAND.sub(r"\1", _(view.reason.action)).format(user=view.user)
    return Finding(view.code, level, f"{said}. {action}".rstrip(". ") if action else said, fix, view.user)


def _unproven(view: SessionView, now: float) -> list[Finding]:
    """As `wasess verify` judges: one that calls itself online, and of which WhatsApp was not heard for too long."""
    if view.state is not State.ONLINE or view.live is None:
        return []
    verdict = judge(Sight(view.state, view.code, view.exit_code, view.live), None, now, Limits())
    if verdict.code != reasons.UNPROVEN.code:  # what is wrong with its messages is said where these are looked at
        return []
    reason = reasons.UNPROVEN
    sentence = _("{sentence} (for {span})").format(sentence=_(reason.sentence), span=span(verdict.age or 0.0))
    return [Finding(reason.code, "warning", sentence, f"wasess reconnect {view.user}", view.user)]


def _phone(view: SessionView, now: float) -> Part:
    record = view.record
    seen = record.phone_seen_at if record else None
    trial = probation(record.paired_at if record else None, now)
    facts = {"phone_seen_at": seen, "on_probation": trial}
    findings = []
    if view.linked and seen and (reason := phone_warning(seen, now)):
        sentence = f"{_(reason.sentence)} ({moment(seen)}). {_(reason.action)}".rstrip(".")
        level: Level = "error" if reason.level == "error" else "warning"
        findings.append(Finding(reason.code, level, sentence, f"wasess diagnose {view.user}", view.user))
    elif view.linked and seen:
        findings.append(ok("PHONE_SEEN", _("the phone was last heard of {ago} ago").format(ago=span(now - seen)), view.user))
    if trial and view.linked:
        sentence = _("paired less than {span} ago: what WhatsApp takes back, it takes back now").format(span=span(PROBATION))
        findings.append(Finding("PROBATION", "note", sentence, f"wasess diagnose {view.user}", view.user))
    return Part(facts, tuple(findings))
