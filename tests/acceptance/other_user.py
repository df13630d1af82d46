"""Another user of the machine: what he tries, and what he gets. Run as root: `python other_user.py UID FACTS`, prints JSON.

FACTS is JSON: ``home``, ``session`` (folders), ``pids`` (of the manager and all it has started), ``secret`` (a text that nobody may find), ``since``
(Unix time). Each try is a function whose value says what he got; a refusal is an OSError.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import stat
import sys
import tempfile
from pathlib import Path

PTRACE_SEIZE = 0x4206
FOLDERS_FOR_EVERYBODY = (tempfile.gettempdir(), "/dev/shm", "/var/tmp")  # noqa: S108 - where leaks would lie
FILES = ("session.json", "device.db", "device.db-wal", "spool.log", "spool.pos", "inbox.db", "inbox.db-wal", "lock")


class Refused(OSError):
    """What has no error number says so with this."""


def tries(facts: dict[str, object]) -> dict[str, object]:
    """Every try by its name."""
    home, session = Path(str(facts["home"])), Path(str(facts["session"]))
    pids = [int(str(pid)) for pid in facts["pids"]]  # type: ignore[attr-defined] # a list, as JSON has it
    found: dict[str, object] = {
        "list the home": lambda: names(home),
        "list a session": lambda: names(session),
        "look at a session": session.stat,
        "ask the manager": lambda: ask(home / ".control.sock"),
        "read its log": (home / ".log" / "serve.ndjson").read_text,
        "take its lock": lambda: os.open(home / ".lock", os.O_RDONLY),
        "plant a session": (home / "mallory").mkdir,
        "plant a file": lambda: (session / "media").write_text("mine"),
        "move the home away": lambda: home.rename(home.with_name("stolen")),
        "put a link in its place": lambda: (home.parent / "link").symlink_to(home),
        "give the home to himself": lambda: os.chown(home, os.getuid(), os.getgid()),
        "open the home": lambda: home.chmod(0o700),
        "link to the credentials": lambda: (home.parent / "mine.db").hardlink_to(session / "device.db"),
        "find a copy in a folder for everybody": lambda: copies(str(facts["secret"]), float(str(facts["since"]))),
    }
    for name in FILES:
        found[f"read {name}"] = lambda name=name: (session / name).read_bytes()
        found[f"change {name}"] = lambda name=name: os.open(session / name, os.O_WRONLY)
        found[f"delete {name}"] = lambda name=name: (session / name).unlink()
    for number, pid in enumerate(pids):
        for what in ("environ", "mem", "maps", "auxv", "stack"):
            found[f"read {what} of process {number}"] = lambda pid=pid, what=what: Path(f"/proc/{pid}/{what}").read_bytes()
        found[f"list what process {number} has open"] = lambda pid=pid: names(Path(f"/proc/{pid}/fd"))
        found[f"enter the folder of process {number}"] = lambda pid=pid: names(Path(f"/proc/{pid}/cwd"))
        found[f"end process {number}"] = lambda pid=pid: os.kill(pid, signal.SIGKILL)
        found[f"stop process {number}"] = lambda pid=pid: os.kill(pid, signal.SIGSTOP)
        found[f"trace process {number}"] = lambda pid=pid: trace(pid)
    return found


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return [entry.name for entry in folder.iterdir()]


def ask(path: Path) -> str:
    """Say something at the manager's socket."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(5)
        channel.connect(str(path))
        channel.sendall(b"GET /sessions HTTP/1.1\r\nHost: wasess\r\n\r\n")
        return channel.recv(1000).decode()


def trace(pid: int) -> str:
    """Attach to a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    if libc.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "attached"


def copies(secret: str, since: float) -> list[str]:
    """Files that he can read, made since then, with the secret in them."""
    found = []
    for top in FOLDERS_FOR_EVERYBODY:
        for folder, _folders, names in os.walk(top):
            for path in (Path(folder, name) for name in names):
                try:
                    about = path.lstat()
                    if stat.S_ISREG(about.st_mode) and about.st_mtime >= since and secret.encode() in path.read_bytes():
                        found.append(str(path))
                except OSError:
                    continue
    if not found:
        raise Refused("nothing is there")
    return found


def main() -> None:
    """Become the other user, and try it all."""
    uid, facts = int(sys.argv[1]), json.loads(sys.argv[2])
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    got: dict[str, str] = {}
    for name, attempt in tries(facts).items():
        try:
            got[name] = repr(attempt())[:200]  # type: ignore[operator] # all of them are functions
        except OSError as error:
            got[name] = "" if not isinstance(error, (FileNotFoundError, TimeoutError)) else f"no trial: {error}"
    sys.stdout.write(json.dumps(got))


if __name__ == "__main__":
    main()
