"""How the process of a bot is started: below a guardian (`delivery.guardian`), with an environment that holds nothing of the manager's.

A bot gets its three pipes and no other descriptor. It sees the environment without the manager's own settings: ``WASESS_PING`` and
``WASESS_WEBHOOK`` are secrets, and with ``NOTIFY_SOCKET`` it could speak to systemd in the manager's name. What says where wasess keeps its
things stays: a bot may run ``wasess send``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.store.open_files import usual
from wasess.words import told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GUARDIAN = Path(__file__).with_name("guardian.py")
OURS = "WASESS_"
KEPT = frozenset({"WASESS_HOME", "WASESS_SANDBOX", "WASESS_CONFIG"})
# What systemd tells a service about itself: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
OF_THE_SERVICE = frozenset(
    {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", "FDSTORE", "MAINPID"}
)


def bot_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """What a bot sees of our environment. It speaks our language."""
    kept = {name: value for name, value in ours.items() if name in KEPT or (not name.startswith(OURS) and name not in OF_THE_SERVICE)}
    return told(kept)


def guarded(command: Sequence[str], channel: socket.socket, memory: int = 0) -> list[str]:
    """The command line that starts a command below a guardian; ``channel`` must be inherited. ``memory``: see there."""
    return [sys.executable, "-I", "-S", str(GUARDIAN), str(channel.fileno()), str(memory), str(usual()), *command]


def end_at_once(channel: socket.socket) -> None:
    """Tell the guardian at the other end to kill everything; it may be gone, and may be told again."""
    with suppress(OSError):
        channel.send(b"k")
    channel.close()


def run_to_its_end(command: Sequence[str], within: float) -> tuple[int, bytes]:
    """Run a command without input; return its exit code and what it wrote to stdout. Raises `subprocess.TimeoutExpired`, `OSError`."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                guarded(command, theirs),
                env=bot_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        with process:
            try:
                written, _nothing = process.communicate(timeout=within)
            finally:
                end_at_once(ours)
        return process.returncode, written
