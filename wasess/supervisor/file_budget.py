"""Whether the manager may open the files of one more session. Where it may not, a session waits, and those that are kept lose nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.core.states import State
from wasess.errors import Degraded
from wasess.store.open_files import allow_many, allowed
from wasess.words import plural

if TYPE_CHECKING:
    from collections.abc import Collection

    from wasess.supervisor.keeper import Keeper

# Measured on a manager with a bot and 2 to 6 sessions online: 18, and 10 for each session. Its process: the control socket, the wake-up
# descriptor, the output pipe and the process descriptor; its messages: inbox.db twice (SQLite keeps a second one for the next checkpoint), -wal, -shm;
# its spool twice (the connection's events and the mail are read apart).
FOR_SESSION = 10
# Without a process.
FOR_LOGGED_OUT = 6
# What the manager has open for itself, and for a moment: commands that ask it, files that are sent, records that are written.
FOR_ITSELF = 40


class TooFewFiles(Degraded):
    """Not all sessions of the home fit into the limit of open files."""

    code = "TOO_FEW_FILES"


def require_files(kept: Collection[Keeper], wanted: int) -> None:
    """Raise `TooFewFiles` when there is no room beside ``kept`` for one more; ``wanted``: the sessions there are in all."""
    used = sum(FOR_LOGGED_OUT if keeper.snapshot.state is State.LOGGED_OUT else FOR_SESSION for keeper in kept)
    if FOR_ITSELF + used + FOR_SESSION <= allowed():
        return
    allow_many()  # the hard limit may have been raised from outside
    most = allowed()
    if FOR_ITSELF + used + FOR_SESSION > most:
        need = FOR_ITSELF + wanted * FOR_SESSION
        sentence = plural(
            "{count} session needs {need} open files, {most} are allowed",
            "{count} sessions need {need} open files, {most} are allowed",
            wanted,
        )
        raise TooFewFiles(sentence.format(count=wanted, need=need, most=most), hint=f"ulimit -n {need}")
