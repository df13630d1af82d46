"""The home itself: is it there, is it ours, is there room, what was it used with, and what has been left lying around in it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from wasess.control.address import SOCKET_NAME
from wasess.doctor.checks.entries import Entry, entry, judge_files, judge_folder
from wasess.doctor.findings import Finding, Part, command, ok
from wasess.doctor.leftovers import leftovers
from wasess.doctor.times import moment, size, span
from wasess.store.lock import NETWORK_FILESYSTEMS, filesystem_type
from wasess.store.sessions import ALIVE_NAME, HOME_LOCK_NAME, REALM_NAME
from wasess.words import _, plural

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.doctor.circumstances import Circumstances
    from wasess.store.sessions import Home

LITTLE = 4  # times the reserve
FEW_FILES = 1000
AHEAD = 60.0

MISSING = "HOME_MISSING"
FACTS = ("path", "exists", "owner", "mode", "realm", "filesystem", "room", "reserve", "last_alive")


def check(home: Home, circumstances: Circumstances) -> Part:
    """Everything about the folder. Without one there is little to say."""
    facts = dict.fromkeys(FACTS) | {"path": str(home.path), "exists": False, "reserve": circumstances.reserve}
    try:
        found = entry(home.path)
    except OSError as error:
        sentence = _("{home} can't be looked at: {problem}").format(home=home.path, problem=error.strerror)
        return Part(facts, (Finding("HOME_UNREADABLE", "error", sentence, command("ls", "-ld", home.path.parent)),))
    if found is None:
        sentence = _("there is no home at {home} yet").format(home=home.path)
        return Part(facts, (Finding(MISSING, "error", sentence, f"wasess connect {circumstances.user or 'USER'}"),))
    facts |= {"exists": True, "owner": found.status.st_uid, "mode": f"{found.mode:04o}"}
    findings = judge_folder(found)
    if found.kind != "folder":
        return Part(facts, tuple(findings))
    for part in (_modes(home, findings), _room(home.path, circumstances.reserve), _realm(home, circumstances), _past(home), _litter(home)):
        facts |= part.facts
        findings += part.findings
    return Part(facts, tuple(findings))


def _modes(home: Home, before: list[Finding]) -> Part:
    names = (HOME_LOCK_NAME, REALM_NAME, ALIVE_NAME)
    try:
        files: list[Entry] = [found for name in names if (found := entry(home.path / name))]
    except OSError as error:
        sentence = _("{home} can't be entered: {problem}").format(home=home.path, problem=error.strerror)
        return Part(findings=(Finding("HOME_UNREADABLE", "error", sentence, command("chmod", "700", home.path)),))
    wrong_kind = [
        Finding(
            "NOT_A_FILE", "error", _("{name} is not a file").format(name=item.path.name), command("mv", item.path, f"{item.path}.aside")
        )
        for item in files
        if item.kind not in {"file", "link"}
    ]
    faults = [found for found in judge_files(home.path, files, "") if found.code != "STRANGE_FILES"]
    findings = tuple(wrong_kind + faults)
    if findings or before:
        return Part(findings=findings)
    return Part(findings=(ok("HOME_SAFE", _("only its owner can enter {home}").format(home=home.path)),))


def _room(path: Path, reserve: int) -> Part:
    try:
        found = os.statvfs(path)
        kind = filesystem_type(_mountinfo(), path.stat().st_dev)
    except OSError as error:
        sentence = _("the disk can't be asked for its room: {problem}").format(problem=error.strerror)
        return Part(findings=(Finding("DISK_UNKNOWN", "warning", sentence, command("df", "-h", path)),))
    room = found.f_bavail * found.f_frsize
    facts = {"room": room, "filesystem": kind}
    said = {"room": size(room), "reserve": size(reserve)}
    fix = command("df", "-h", path)
    if found.f_flag & os.ST_RDONLY:
        finding = Finding("DISK_READ_ONLY", "error", _("the disk is mounted read-only"), command("findmnt", "-T", path))
    elif kind in NETWORK_FILESYSTEMS:
        sentence = _("the home is on a network file system ({kind}), where locks do not keep two machines apart").format(kind=kind)
        finding = Finding("NETWORK_FILESYSTEM", "error", sentence, command("findmnt", "-T", path))
    elif room < reserve:
        sentence = _("the disk is full: {room} free, and {reserve} are kept in reserve; sessions stay offline").format(**said)
        finding = Finding("DISK_FULL", "error", sentence, fix)
    elif room < LITTLE * reserve:
        finding = Finding("DISK_LOW", "warning", _("only {room} free; below {reserve} sessions go offline").format(**said), fix)
    elif found.f_files and found.f_favail < FEW_FILES:
        sentence = _("the disk has room for {count} more files only").format(count=found.f_favail)
        finding = Finding("DISK_LOW", "warning", sentence, command("df", "-i", path))
    else:
        finding = ok("DISK", _("{room} free on the disk").format(**said))
    return Part(facts, (finding,))


def _mountinfo() -> str:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - one read of a kernel file
            return file.read()
    except OSError:
        return ""


def realm_of(home: Home) -> str:
    """What the home was used with: ``whatsapp``, ``sandbox``, empty when with nothing yet; whatever else its mark says. Never raises."""
    path = home.path / REALM_NAME
    with suppress(OSError):  # what is wrong with the file is said where files are judged
        if path.is_file() and not path.is_symlink():
            return path.read_bytes()[:100].decode(errors="replace")
    return ""


def _realm(home: Home, circumstances: Circumstances) -> Part:
    path = home.path / REALM_NAME
    found = realm_of(home)
    wanted = circumstances.realm
    if found not in {"", "whatsapp", "sandbox"}:
        sentence = _("{name} says neither whatsapp nor sandbox").format(name=REALM_NAME)
        fix = f"printf %s {wanted} > {command(path)}"
        return Part({"realm": None}, (Finding("REALM_UNKNOWN", "error", sentence, fix),))
    finding = {
        "whatsapp": ok("REALM", _("used with the real WhatsApp")),
        "sandbox": ok("REALM", _("used with a stand-in for WhatsApp (sandbox)")),
    }.get(found)
    if found == "whatsapp" and wanted == "sandbox":
        sentence = _("this home is used with the real WhatsApp, and WASESS_SANDBOX names a stand-in: nothing will start here")
        finding = Finding("REALM_OTHER", "error", sentence, "unset WASESS_SANDBOX")
    return Part({"realm": found or None}, (finding,) if finding else ())


def _past(home: Home) -> Part:
    """A sign of life from the future: the clock was wrong then, or is now."""
    last, now = home.last_alive(), time.time()
    if last <= now + AHEAD:
        return Part({"last_alive": last or None})
    sentence = _("the last manager left a sign at {moment}, which is {ahead} ahead of this machine's clock").format(
        moment=moment(last), ahead=span(last - now)
    )
    return Part({"last_alive": last}, (Finding("CLOCK_SET_BACK", "warning", sentence, "timedatectl"),))


def _litter(home: Home) -> Part:
    found = leftovers(home.path)
    findings = []
    if found.abandoned:
        count = len(found.abandoned)
        sentence = plural("{count} temporary file was left behind", "{count} temporary files were left behind", count).format(count=count)
        findings.append(Finding("LEFT_BEHIND", "note", sentence, "wasess diagnose --fix"))
    if found.stale_socket:
        sentence = _("{name} was left behind by a manager that is gone").format(name=SOCKET_NAME)
        findings.append(Finding("STALE_SOCKET", "note", sentence, "wasess diagnose --fix"))
    findings.extend(
        Finding(
            "LOCK_GARBAGE",
            "note",
            _("the lock file {name} can't be read").format(name=path.relative_to(home.path)),
            "wasess diagnose --fix",
        )
        for path in found.garbled_locks
    )
    return Part(findings=tuple(findings))
