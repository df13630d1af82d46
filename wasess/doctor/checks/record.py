"""``session.json``: can it be read, and what does it tell of the past?"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wasess.core.outages import DAY, MONTH, WEEK, count, open_outage, uptime
from wasess.core.reasons import BY_CODE
from wasess.core.states import State
from wasess.doctor.findings import Finding, Part, command, ok
from wasess.doctor.times import span
from wasess.errors import StoreError, UnsafeHome
from wasess.store.guard import read_guarded
from wasess.store.past import settled
from wasess.store.record_shape import Unreadable, decode, ledger_of, record_of
from wasess.store.records import RECORD_NAME
from wasess.words import _, plural

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.core.outages import Ledger
    from wasess.store.record_shape import SessionRecord, Tables
    from wasess.store.sessions import Home, Session

WINDOWS = {"day": DAY, "week": WEEK, "month": MONTH}
BACKUP = f"{RECORD_NAME}.bak"
FACTS = ("record", "created_at", "paired_at", "last_online_at", "restarts", "uptime", "outages", "last_outage")


def check(home: Home, session: Session, *, managed: bool) -> Part:
    """``record`` in the facts: ``good``, ``missing``, ``damaged`` (its previous version is good), ``lost`` (neither) or ``refused``."""
    user, folder = session.user, session.folder
    facts: dict[str, Any] = dict.fromkeys(FACTS)
    try:
        tables, problem = _read(folder)
    except UnsafeHome:  # what is wrong with the file is said where files are judged
        return Part(facts | {"record": "refused"})
    except (StoreError, OSError) as error:
        return Part(facts | {"record": "refused"}, (Finding("RECORD_REFUSED", "error", str(error), "pip install --upgrade wasess", user),))
    if tables is None:
        return Part(facts | {"record": "lost"}, (_lost(folder, problem, user),))
    findings = []
    if problem:
        sentence = _("{name} is damaged ({problem}); its previous version is good").format(name=RECORD_NAME, problem=problem)
        findings.append(Finding("RECORD_DAMAGED", "warning", sentence, f"wasess diagnose {user} --fix", user))
    record = record_of(tables)
    if record is None:
        return Part(facts | {"record": "damaged" if problem else "missing"}, tuple(findings))
    past = _past(home, record, ledger_of(tables), managed=managed)
    facts |= past | {"record": "damaged" if problem else "good"}
    return Part(facts, (*findings, _told(past, user)))


def good_backup(folder: Path) -> bytes | None:
    """The previous version of a record that is damaged, when that one is good; None when there is nothing to repair, or nothing to repair with.

    Raises what reading a file raises.
    """
    tables, problem = _read(folder)
    return read_guarded(folder / BACKUP) if problem and tables is not None else None


def _read(folder: Path) -> tuple[Tables | None, str]:
    """The tables (those of the previous version when the file is damaged; None when both are), and what is wrong with the file."""
    content = read_guarded(folder / RECORD_NAME)
    if content is None:
        return {}, ""
    try:
        return decode(content), ""
    except Unreadable as damage:
        try:
            return decode(read_guarded(folder / BACKUP) or b""), str(damage)
        except Unreadable:
            return None, str(damage)


def _lost(folder: Path, problem: str, user: str) -> Finding:
    sentence = _("{name} and its previous version are damaged ({problem}); put aside, it is made anew; the credentials are in another file")
    fix = command("mv", folder / RECORD_NAME, folder / f"{RECORD_NAME}.damaged")
    if (folder / BACKUP).exists():
        fix += f" && {command('mv', folder / BACKUP, folder / f'{BACKUP}.damaged')}"
    return Finding("RECORD_LOST", "error", sentence.format(name=RECORD_NAME, problem=problem), fix, user)


def _past(home: Home, record: SessionRecord, ledger: Ledger, *, managed: bool) -> dict[str, Any]:
    """As `wasess list` counts: a time without a manager is time away."""
    now = time.time()
    last_alive = now if managed else min(home.last_alive(), now)
    if 0 < last_alive < now:
        ledger = settled(record, ledger, last_alive)
    known = open_outage(ledger) is not None or (last_alive >= now and record.state == State.ONLINE)
    since = record.paired_at or record.created_at
    return {
        "created_at": record.created_at,
        "paired_at": record.paired_at,
        "last_online_at": record.last_online_at,
        "restarts": record.restarts,
        "uptime": {name: uptime(ledger, since, now, window) if known else None for name, window in WINDOWS.items()},
        "outages": {name: count(ledger, now, window) for name, window in WINDOWS.items()},
        "last_outage": asdict(ledger[-1]) if ledger else None,
    }


def _told(past: dict[str, Any], user: str) -> Finding:
    share, away, last = past["uptime"]["week"], past["outages"]["week"], past["last_outage"]
    up = _("not known") if share is None else f"{int(share * 1000 + 1e-9) / 10:.1f} %"
    said = plural("up in the last 7 days: {up}, {count} outage", "up in the last 7 days: {up}, {count} outages", away).format(
        up=up, count=away
    )
    if away and last:
        reason = BY_CODE.get(last["code"])
        words = _(reason.sentence) if reason else last["code"]
        told = _("{sentence}, the last one {span} long ({reason})") if last["end"] else _("{sentence}, one for {span} now ({reason})")
        said = told.format(sentence=said, span=span((last["end"] or time.time()) - last["start"]), reason=words)
    return ok("UPTIME", said, user)
