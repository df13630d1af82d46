"""The archive of ``wasess diagnose --bundle``: what somebody who helps must know, and nothing that the public may not."""

from __future__ import annotations

import io
import json
import os
import pwd
import re
import sys
import tarfile
import time
import zipfile
from collections import deque
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.doctor.checks.entries import OWN_FILES, OWN_FOLDERS
from wasess.doctor.examination import document
from wasess.doctor.redaction import Redactor
from wasess.errors import StoreError, UsageError, WasessError
from wasess.store.guard import FILE_MODE
from wasess.store.manager_log import read_log
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wasess.doctor.examination import Diagnosis
    from wasess.store.sessions import Home, Session

TARS = (".tar.gz", ".tgz")
ZIP = ".zip"
LOG_LINES = 500
LOG_FIELDS = ("ts", "event", "session", "state", "code", "reason", "action", "level", "attempt", "next_retry_at")
SAYS_ANYTHING = frozenset({"trouble"})
"""Events whose words may be those of a bot, and hold what it was told."""
PLAIN_SETTING = re.compile(r"-?\d{1,6}(?:\.\d{1,3})?[smhd]?|true|false|yes|no|on|off|normal|quiet|text|json|en|es", re.IGNORECASE)

CONTENTS = """\
Written by `wasess diagnose --bundle` for a public issue tracker.

  page.txt           what `wasess diagnose` printed
  diagnosis.json     the same as `wasess diagnose --json`
  history/u1.json    the last changes of each session
  settings.json      which WASESS_ variables were set; values only where they are numbers or plain words
  log.ndjson         the end of the manager's log

Sessions are called u1, u2 and so on. Numbers, addresses, names, keys, machines and folders are replaced by words in brackets. No message
and no credential was read for it. Have a look yourself before you publish it.
"""


def require_new(path: Path) -> None:
    """Raise `UsageError` unless an archive can be written there: its kind is known, and there is nothing of that name."""
    if not path.name.endswith((*TARS, ZIP)):
        raise UsageError(
            _("{path}: an archive is called {kinds}").format(path=path, kinds="FILE.tar.gz, FILE.zip"),
            hint="wasess diagnose --bundle wasess.tar.gz",
        )
    if os.path.lexists(path):
        raise UsageError(_("{path} is there already; nothing was written").format(path=path), hint=f"rm {path}")


def pack(path: Path, home: Home, diagnosis: Diagnosis, show: Callable[[Diagnosis], str]) -> None:
    """Write the archive (0600). ``show``: makes the page of a diagnosis. Raises `UsageError` when there is such a file, and `StoreError` when it can't be written."""
    content = {name: text.encode() for name, text in files(home, diagnosis, show).items()}
    packed = _zipped(content) if path.name.endswith(ZIP) else _tarred(content)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    except FileExistsError:
        require_new(path)
        raise
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(packed)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise _unwritable(path, error) from error


def files(home: Home, diagnosis: Diagnosis, show: Callable[[Diagnosis], str]) -> dict[str, str]:
    """What is in the archive: texts by their names."""
    sessions = _sessions(home)
    entries = _log(home)
    redactor = redactor_for(home, sessions, diagnosis, entries)
    public = redactor.diagnosis(diagnosis)
    found = {
        "README.txt": CONTENTS,
        "page.txt": show(public) + "\n",
        "diagnosis.json": _json(document(public)),
        "settings.json": _json(_settings(redactor, os.environ)),
    }
    shown = {report.user for report in diagnosis.sessions}
    for session in sessions:
        if session.user in shown:
            name = redactor.users[session.user]
            found[f"history/{name}.json"] = _json(redactor.value(_history(session)))
    if entries:
        found["log.ndjson"] = "".join(f"{json.dumps(redactor.value(entry))}\n" for entry in entries)
    return found


def redactor_for(home: Home, sessions: list[Session], diagnosis: Diagnosis, entries: list[dict[str, Any]]) -> Redactor:
    """Knows every name that this machine knows: also of sessions that are gone, as far as the log tells of them."""
    named = {session.user for session in sessions} | {entry["session"] for entry in entries if isinstance(entry.get("session"), str)}
    named |= {found.session for found in diagnosis.findings}
    known = {text: place for text, place in _surroundings(home, diagnosis) if len(text) > 1}
    for session in sessions:
        known |= _identity(session)
    known |= {name: "[file]" for folder in (home.path, *(session.folder for session in sessions)) for name in _strange(folder)}
    return Redactor(sorted(filter(None, named)), known)


def _surroundings(home: Home, diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    yield from ((str(path), "HOME") for path in {home.path, _resolved(home.path)})
    yield from ((text, "[path]") for text in {str(Path.home()), str(Path.cwd()), sys.prefix} if text != "/")
    yield os.uname().nodename, "[host]"
    for holder in [(diagnosis.manager or {}).get("holder"), *(report.facts["holder"] for report in diagnosis.sessions)]:
        if holder:
            yield holder["host"], "[host]"
    for name in {_login(), os.environ.get("USER", ""), os.environ.get("LOGNAME", "")}:
        yield name, "[login]"


def _strange(folder: Path) -> Iterator[str]:
    """The names that are not ours to choose."""
    with suppress(OSError):
        for found in folder.iterdir():
            if found.name not in OWN_FILES | OWN_FOLDERS and not found.name.startswith(".") and not found.is_dir():
                yield found.name


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def _login() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _identity(session: Session) -> dict[str, str]:
    """Who a session is at WhatsApp, from wherever that can still be read."""
    found: dict[str, str] = {}
    with suppress(WasessError, OSError):
        if record := session.record.load():
            found |= {text: "[address]" for text in (record.jid, record.lid) if text}
    with suppress(WasessError, OSError):
        if device := session.device():
            found |= {text: "[address]" for text in (device.jid, device.lid) if text}
            found |= {text: "[name]" for text in (device.push_name,) if text}
            found |= {text: "[number]" for text in (device.phone,) if text}
    return found


def _sessions(home: Home) -> list[Session]:
    try:
        return home.sessions()
    except OSError:
        return []


def _history(session: Session) -> list[dict[str, Any]]:
    try:
        return [asdict(change) for change in session.record.history()]
    except (WasessError, OSError):
        return []


def _log(home: Home) -> list[dict[str, Any]]:
    """The end of the manager's log; only fields that are known, and no words where they could be anybody's."""
    tail: deque[dict[str, Any]] = deque(maxlen=LOG_LINES)
    with suppress(WasessError, OSError):
        tail.extend(read_log(home.path))
    return [_known(entry) for entry in tail]


def _known(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: entry[name] for name in LOG_FIELDS if isinstance(entry.get(name), str | int | float | None) and name in entry}
    if entry.get("event") in SAYS_ANYTHING:
        kept |= {"reason": "", "action": ""}
    return kept


def _settings(redactor: Redactor, environ: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in environ.items() if name.startswith("WASESS_")}
    return {redactor.text(name): value if PLAIN_SETTING.fullmatch(value) else "(set)" for name, value in sorted(ours.items())}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def _tarred(content: Mapping[str, bytes]) -> bytes:
    """Without the names and ids of who made it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(f"wasess/{name}")
            member.size, member.mtime, member.mode = len(data), int(time.time()), FILE_MODE
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _zipped(content: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(f"wasess/{name}", data)
    return buffer.getvalue()


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        _("{path} can't be written: {problem}").format(path=path, problem=error.strerror), hint=f"wasess diagnose --bundle /tmp/{path.name}"
    )
