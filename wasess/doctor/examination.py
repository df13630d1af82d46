"""Looks at everything, and says it as one value: what `wasess diagnose` shows. Works in any home, however little is left of it.

A check that fails itself is a finding, and the others go on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from wasess.core import health
from wasess.core.reasons import NEEDS_PAIRING
from wasess.core.states import State
from wasess.doctor import probe
from wasess.doctor.census import ManagerView, census, manager_of
from wasess.doctor.checks import credentials, letters, mail, manager, network, process, record, state, versions
from wasess.doctor.checks import home as home_check
from wasess.doctor.checks.entries import entries, entry, judge_files, judge_folder
from wasess.doctor.findings import Finding, Part, by_rank, command
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from wasess.doctor.census import SessionView
    from wasess.doctor.circumstances import Circumstances
    from wasess.doctor.probe import Way
    from wasess.store.sessions import Home, Session

PROBE_WITHIN = 5 * probe.WITHIN

SESSION_FACTS: tuple[str, ...] = (
    *("user", "state", "code", "exit_code", "sentence", "action", "detail", "since", "next_try_at", "paused_at", "proven_at", "failures"),
    *("linked", "phone", "phone_seen_at", "on_probation", "device_db", "device_db_size"),
    *record.FACTS,
    *("received_at", "sent_at", "waiting", "spool", "mail", "holder", "process"),
)
HOME_FACTS: tuple[str, ...] = (*home_check.FACTS, "network", "clock", "versions")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class SessionReport:
    """One session. ``facts`` has every key of `SESSION_FACTS`."""

    user: str
    facts: dict[str, Any]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A home. ``home`` has every key of `HOME_FACTS`; ``manager`` is None when there is none; the findings are sorted, the worst first."""

    home: dict[str, Any]
    manager: dict[str, Any] | None
    findings: tuple[Finding, ...]
    sessions: tuple[SessionReport, ...]
    exit_code: int

    def all_findings(self) -> tuple[Finding, ...]:
        """The home's and every session's, the worst first."""
        return by_rank([*self.findings, *(found for session in self.sessions for found in session.findings)])


def examine(home: Home, circumstances: Circumstances) -> Diagnosis:
    """Look at a home and its sessions (one, when `Circumstances.user` is set). Takes some seconds at most. Changes nothing.

    Looking at credentials may roll a dead writer's transaction back, as `Session.credentials` says.
    """
    asked = probe.begun(circumstances.probe) if circumstances.probe else None
    place = _safely("home", lambda: home_check.check(home, circumstances))
    held, views, trouble = _sessions(home, circumstances.user)
    managed = _safely("manager", lambda: manager.check(home, held, needed=bool(views)))
    manager_fix = next((found.fix for found in managed.findings if found.fix), "wasess serve")
    reports = tuple(_report(home, view, held, manager_fix) for view in views)
    ways = _safely("network", lambda: _network(asked, circumstances, views))
    rest = (managed, ways, _safely("versions", lambda: versions.check(circumstances, held)))
    findings = [*place.findings, *trouble, *(found for part in rest for found in part.findings)]
    missing = _missing(home, circumstances.user, views)
    facts: dict[str, Any] = dict.fromkeys(HOME_FACTS)
    for part in (place, *rest):
        facts |= part.facts
    told = facts.pop("manager", None)
    faults = {found.code for found in (*place.findings, *trouble) if found.level == "error"}
    unlinked = health.exit_code(State.NEW, NEEDS_PAIRING.code) if missing or home_check.MISSING in faults else health.HEALTHY
    codes = [int(bool(faults - {home_check.MISSING})), unlinked, *(view.exit_code for view in views)]
    return Diagnosis(facts, told, by_rank([*findings, *missing]), reports, health.worst(codes))


def look_for_sessions(home: Home, user: str) -> list[SessionView]:
    """The sessions as all commands see them, as far as they can be seen."""
    return _sessions(home, user)[1]


def document(diagnosis: Diagnosis) -> dict[str, Any]:
    """As JSON. Times are Unix seconds, sizes are bytes."""
    return {
        "home": diagnosis.home,
        "manager": diagnosis.manager,
        "findings": [_plain(found) for found in diagnosis.findings],
        "sessions": [{**report.facts, "findings": [_plain(found) for found in report.findings]} for report in diagnosis.sessions],
    }


def _plain(found: Finding) -> dict[str, Any]:
    return {
        "code": found.code,
        "level": found.level,
        "sentence": found.sentence,
        "fix": found.fix or None,
        "session": found.session or None,
    }


def _safely(name: str, check: Callable[[], Part], user: str = "") -> Part:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a home that nobody has thought of is what this command is for
        return Part(findings=(_failed(name, error, user),))


def _failed(name: str, error: Exception, user: str = "") -> Finding:
    sentence = _("the check of {name} failed: {kind}: {problem}").format(name=name, kind=type(error).__name__, problem=error)
    return Finding("CHECK_FAILED", "error", sentence, f"WASESS_DEBUG=1 wasess diagnose {user}".rstrip(), user)


def _sessions(home: Home, user: str) -> tuple[ManagerView, list[SessionView], list[Finding]]:
    """Who manages the home, and the sessions as all commands see them; with what kept either from being seen."""
    trouble: list[Finding] = []

    def seen(name: str, look: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return look()
        except NotADirectoryError:  # said where the home is judged
            return otherwise
        except OSError as error:
            sentence = _("{name} can't be looked at: {problem} ({path})").format(name=name, problem=error.strerror, path=error.filename)
            fix = command("ls", "-la", home.path)
            trouble.append(Finding("HOME_UNREADABLE", "error", sentence, fix))
            return otherwise

    held = seen(_("the home's lock"), lambda: manager_of(home), ManagerView())
    none: list[SessionView] = []
    views = seen(_("the sessions"), lambda: census(home, held, {user} if user else ()), none)
    return held, views, trouble


def _missing(home: Home, user: str, views: list[SessionView]) -> list[Finding]:
    if not user or views:
        return []
    if os.path.lexists(home.path / user):
        found = entry(home.path / user)
        if found and (faults := judge_folder(found, user)):
            return faults
    sentence = _("there is no session {user} in {home}").format(user=user, home=home.path)
    return [Finding(NEEDS_PAIRING.code, "error", sentence, f"wasess connect {user}", user), state.limit(user)]


def _network(asked: Future[Way] | None, circumstances: Circumstances, views: list[SessionView]) -> Part:
    if asked is None:
        return network.skipped(circumstances.unprobed)
    online = any(view.exit_code == health.HEALTHY for view in views)
    return network.judge(asked.result(PROBE_WITHIN), sandbox=circumstances.realm == "sandbox", online=online)


def _report(home: Home, view: SessionView, held: ManagerView, manager_fix: str) -> SessionReport:
    session = home.session(view.user)
    managed = held.info is not None
    checks: dict[str, Callable[[], Part]] = {
        "files": lambda: _files(session),
        "state": lambda: state.check(home, session, view, manager_fix),
        "credentials": lambda: credentials.check(session, view),
        "record": lambda: record.check(home, session, managed=managed),
        "messages": lambda: mail.check(session, view),
        "letters": lambda: letters.check(session, managed=managed),
        "process": lambda: process.check(session, view),
        "phone": lambda: state.check_phone(view),
    }
    facts: dict[str, Any] = dict.fromkeys(SESSION_FACTS) | {"user": view.user, "exit_code": view.exit_code}
    findings: list[Finding] = []
    for name, check in checks.items():
        part = _safely(name, check, view.user)
        facts |= part.facts
        findings += part.findings
    return SessionReport(view.user, facts, _without_echo(by_rank(findings)))


def _files(session: Session) -> Part:
    found = entry(session.folder)
    if found is None:
        return Part()
    faults = judge_folder(found, session.user)
    try:
        faults += judge_files(session.folder, entries(session.folder), session.user)
    except OSError as error:
        if not faults:
            sentence = _("{folder} can't be listed: {problem}").format(folder=session.folder, problem=error.strerror)
            faults = [Finding("FOLDER_UNREADABLE", "error", sentence, command("chmod", "700", session.folder), session.user)]
    return Part(findings=tuple(faults))


def _without_echo(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """A session that can't be read says so once, and names the command of the fault behind it."""
    causes = [found for found in findings if found.level == "error" and found.code not in ECHOES]
    if not causes:
        return findings
    return tuple(_following(found, causes[0]) if found.code == "UNREADABLE" else found for found in findings)


ECHOES = frozenset({"UNREADABLE", "DATABASE_DAMAGED"})


def _following(found: Finding, cause: Finding) -> Finding:
    return Finding(found.code, found.level, found.sentence, cause.fix, found.session)
