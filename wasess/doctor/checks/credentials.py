"""``device.db``: is the session linked, and is the database whole? It is never written here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasess.core.reasons import DATABASE_DAMAGED, UNLINKED_HERE
from wasess.doctor.findings import Finding, Part, ok
from wasess.doctor.times import size
from wasess.errors import DeviceDamaged, Locked, UnsafeHome, WasessError
from wasess.store.device import DEVICE_NAME, SMALLEST_PAGE
from wasess.store.guard import guard_file
from wasess.store.integrity import Unchecked, faults
from wasess.words import _

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.doctor.census import SessionView
    from wasess.store.sessions import Session


def check(session: Session, view: SessionView) -> Part:
    """``device_db`` in the facts: ``intact``, ``damaged``, ``missing``, ``refused`` or ``unchecked``."""
    path = session.folder / DEVICE_NAME
    facts: dict[str, Any] = {
        "linked": view.linked,
        "phone": shortened(view.phone) if view.phone else None,
        "device_db": None,
        "device_db_size": None,
    }
    try:
        if not guard_file(path):
            return Part(facts | {"device_db": "missing"}, _missing(session, view))
        facts["device_db_size"] = path.stat().st_size
        problem = _problem(session, view)
        bad = faults(path) if not problem and facts["device_db_size"] >= SMALLEST_PAGE else []
    except (UnsafeHome, OSError):  # said where files are judged
        return Part(facts | {"device_db": "refused"})
    except (Unchecked, Locked) as error:
        return Part(facts | {"device_db": "unchecked"}, (*_linked(facts, view.user), _unchecked(error, view.user)))
    if problem or bad:
        said = view.reason == DATABASE_DAMAGED
        return Part(facts | {"device_db": "damaged"}, () if said else (_damaged(problem or ", ".join(bad), view),))
    facts["device_db"] = "intact"
    return Part(facts, _linked(facts, view.user))


def shortened(phone: str) -> str:
    """A phone number nobody can call: ``491701234567`` becomes ``49***67``."""
    return f"{phone[:2]}***{phone[-2:]}" if len(phone) > 4 else "***"


def _problem(session: Session, view: SessionView) -> str:
    """What a look at its content finds. Raises `Locked`, and what refuses the file."""
    try:
        return session.lost_credentials(session.credentials(), view.record)
    except DeviceDamaged as error:
        return str(error)
    except (Locked, UnsafeHome):
        raise
    except WasessError as error:
        raise Unchecked(str(error)) from error


def _missing(session: Session, view: SessionView) -> tuple[Finding, ...]:
    if view.record is None or view.record.jid is None or view.reason in {DATABASE_DAMAGED, UNLINKED_HERE}:
        return ()
    said = _("device.db is missing, and this session was linked")
    kept = _newest_kept(session.folder)
    if kept:
        said = _("{sentence}; older credentials are in {folder}").format(sentence=said, folder=kept)
    return (Finding("DEVICE_DB_MISSING", "error", said, f"wasess connect {view.user} --force", view.user),)


def _newest_kept(folder: Path) -> str:
    try:
        names = sorted(path.name for path in (folder / "kept").iterdir())
    except OSError:
        return ""
    return f"kept/{names[-1]}" if names else ""


def _linked(facts: dict[str, Any], user: str) -> tuple[Finding, ...]:
    if not facts["linked"]:
        return ()
    sentence = _("linked to the phone {phone}; device.db is whole ({size})")
    if facts["device_db"] != "intact":
        sentence = _("linked to the phone {phone} (device.db: {size})")
    return (ok("LINKED", sentence.format(phone=facts["phone"], size=size(facts["device_db_size"] or 0)), user),)


def _unchecked(error: Exception, user: str) -> Finding:
    sentence = _("device.db could not be checked now: {problem}").format(problem=error)
    return Finding("DEVICE_DB_UNCHECKED", "note", sentence, f"wasess diagnose {user}", user)


def _damaged(problem: str, view: SessionView) -> Finding:
    sentence = _("device.db is damaged ({problem}); nothing was changed. Put a good copy back, or pair again").format(problem=problem)
    return Finding("DEVICE_DB_DAMAGED", "error", sentence, DATABASE_DAMAGED.action.split("`")[1].format(user=view.user), view.user)
