"""Writes docs/machine.md: what the state machine does in every state with everything that can happen, and every code it can give.

`python tools/machine_table.py` prints it, `--write` replaces the file. A test compares the file with what the code gives.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.core import commands, events, health, reasons
from wasess.core.machine import step
from wasess.core.snapshot import Snapshot, Timer
from wasess.core.states import State
from wasess.doctor.census import STATES as UNKEPT

if TYPE_CHECKING:
    from wasess.core.commands import Command
    from wasess.core.events import Event

PAGE = Path(__file__).resolve().parent.parent / "docs" / "machine.md"
NOW = 100_000.0
LEAST, MOST = 0.0, 0.999999

HEAD = """\
# What the keeper decides

Generated from `wasess/core/machine.py` by `python tools/machine_table.py --write`; a test compares. A *worker* is a session's process,
*the library* the WhatsApp client in it. Times that are drawn are given as a range; they grow with every failure in a row (base 1 s,
cap 60 s, full jitter; after a refusal 60 s to 15 min) and start over after 60 s online. What stands under "nothing" changes nothing
but the moment of the last word. A change of code is told to people and recorded; so is every outage, from the last sign of life to
the next login.
"""

WORDS: list[tuple[str, Event]] = [
    ("start requested", events.StartRequested()),
    ("start requested, still banned", events.StartRequested(banned_until=NOW + 600)),
    ("a new connection requested", events.ReconnectRequested()),
    ("stop requested", events.StopRequested()),
    ("the turn to dial came", events.TurnCame()),
    ("logged in", events.Connected()),
    ("connection lost", events.Disconnected()),
    ("unknown stream error", events.StreamError("516")),
    ("a ping was not answered", events.KeepAliveTimeout(1, NOW - 40)),
    ("pings are answered again", events.KeepAliveRestored()),
    ("no open connection, or nothing acknowledged", events.LineLost("no connection is open")),
    ("WhatsApp answered the question", events.ProbeAnswered()),
    ("WhatsApp did not answer the question", events.ProbeFailed("no answer in 5 s")),
    ("the library gave up dialling", events.LibraryGaveUp("failed 515")),
    ("a redial was answered 503", events.DialRefused(503)),
    ("a redial was answered 429", events.DialRefused(429)),
    ("logged out (401, or on the phone)", events.LoggedOut(401)),
    ("logged out (403)", events.LoggedOut(403)),
    ("logged out (406)", events.LoggedOut(406)),
    ("logged out by `wasess logout`", events.LoggedOut(here=True)),
    ("banned for 10 min (402)", events.TemporaryBan(101, 600.0)),
    ("banned, it is not said how long (402)", events.TemporaryBan(101, 0.0)),
    ("replaced by another client", events.StreamReplaced()),
    ("client outdated (405)", events.ClientOutdated()),
    ("login refused (any other code)", events.ConnectFailure(409)),
    ("messages were kept for us", events.OfflineSyncPreview(5, 2)),
    ("all of them were delivered", events.OfflineSyncCompleted(2)),
    ("a message", events.MessageArrived()),
    ("a message that can't be decrypted", events.Undecryptable("1", "a", "b")),
    ("a message that is counted as taken is missing", events.Missed("1", "a", "b", "old-counter")),
    ("a spool was replaced or cut, and its worker's last word is read", events.SpoolLost(3, 1)),
    ("a reply is about to go out", events.Departing("key", "1")),
    ("a receipt", events.ReceiptCame("delivered", "a", ("1",))),
    ("a message is asked for again", events.AskedAgain("1", "a", "a", 0)),
    ("paired", events.Paired("49:3@s.whatsapp.net")),
    ("pairing failed", events.PairError("x")),
    ("any other event of the library's", events.OtherEvent(99)),
    ("the worker runs", events.WorkerStarted(1)),
    ("worker ended: as it was told", events.WorkerEnded("stopped")),
    ("worker ended: crash", events.WorkerEnded("crashed", "SIGSEGV")),
    ("worker ended: a word that the library can't stand", events.WorkerEnded("library-returned", "x")),
    (
        "worker ended: a refusal that the library has no word for",
        events.WorkerEnded("library-returned", "required field ConnectFailure.Reason not set"),
    ),
    ("worker ended: first dial failed", events.WorkerEnded("dial-failed", "no route")),
    ("worker ended: first dial answered 429", events.WorkerEnded("dial-failed", "got 429")),
    ("worker ended: certificate not valid now", events.WorkerEnded("dial-failed", "certificate has expired or is not yet valid")),
    ("worker ended: another process holds the session", events.WorkerEnded("locked", "connect")),
    ("worker ended: no device row", events.WorkerEnded("no-device")),
    ("worker ended: device.db can't be used", events.WorkerEnded("database", "malformed")),
    ("worker ended: its files were replaced", events.WorkerEnded("files-replaced", "spool.log was removed")),
    ("worker ended: no room on the disk", events.WorkerEnded("disk-full")),
    ("the worker gives no sign of life", events.WorkerStuck("silent for 3 s")),
    ("the worker is too large", events.WorkerTooLarge(300 * 2**20, 256 * 2**20)),
    ("device.db was unlinked, replaced, truncated", events.DatabaseLost("unlinked")),
    ("spool.log was unlinked or replaced", events.FilesReplaced("unlinked")),
    ("device.db is locked by somebody", events.DatabaseBusy()),
    ("the disk is full", events.DiskFull("0 MiB free")),
    ("the disk has room again", events.DiskFree()),
    ("another session is back: the network works", events.NetworkBack()),
    ("everything stood still for an hour", events.Woke(3600.0)),
    *((f"timer `{name}`", events.TimerFired(name)) for name in (Timer.CONNECT, Timer.GRACE, Timer.STEADY, Timer.QUIET, Timer.RETRY)),
]


@dataclass(frozen=True)
class Position:
    """A state, or one of the ways to be in it, and the story that leads there: seconds passed, what happened."""

    state: State
    title: str
    story: tuple[tuple[float, Event], ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        """What is remembered at `NOW`."""
        found = Snapshot()
        at = NOW - sum(passed for passed, _ in self.story)
        for passed, event in self.story:
            at += passed
            found, _ = step(found, event, at, 0.5)
        return found


STARTED = ((0.0, events.StartRequested()),)
DIALLING = (*STARTED, (0.0, events.TurnCame()))
ONLINE = (*DIALLING, (1.0, events.Connected()), (60.0, events.TimerFired(Timer.STEADY)))
FAILED = ((0.0, events.WorkerEnded("dial-failed", "no route")), (30.0, events.TimerFired(Timer.RETRY)), (0.0, events.TurnCame()))
GONE = (0.0, events.WorkerEnded("stopped"))
AGAIN = (GONE, (60.0, events.TimerFired(Timer.RETRY)), (0.0, events.TurnCame()), (1.0, events.StreamReplaced()))
QUIET_FOR = (100.0, events.KeepAliveRestored())

POSITIONS = [
    Position(State.NEW, "never started here"),
    Position(State.CONNECTING, "waiting for its turn", STARTED),
    Position(State.CONNECTING, "dialling", DIALLING),
    Position(State.ONLINE, "steady", (*ONLINE, QUIET_FOR)),
    Position(
        State.ONLINE,
        "suspected: WhatsApp is being asked",
        (*ONLINE, (40.0, events.KeepAliveTimeout(1, NOW - 43)), (3.0, events.OtherEvent(0))),
    ),
    Position(State.RECOVERING, "the library redials", (*ONLINE, QUIET_FOR, (0.0, events.Disconnected()), (10.0, events.OtherEvent(0)))),
    Position(State.WAITING, "for the next try", (*DIALLING, *FAILED * 6, FAILED[0])),
    Position(State.WAITING, "for the old worker's end", (*ONLINE, (9.0, events.WorkerStuck("silent for 3 s")))),
    Position(State.WAITING, "for room on the disk", (*ONLINE, (9.0, events.DiskFull("0 MiB free")), GONE)),
    Position(State.PAUSED, "banned", (*ONLINE, (9.0, events.TemporaryBan(101, 600.0)), GONE)),
    Position(State.PAUSED, "replaced", (*ONLINE, (9.0, events.StreamReplaced()), GONE)),
    Position(State.PAUSED, "replaced, and left alone", (*ONLINE, (9.0, events.StreamReplaced()), *AGAIN, *AGAIN, *AGAIN, GONE)),
    Position(State.OUTDATED, "the next try is within the hour", (*DIALLING, (1.0, events.ClientOutdated()), GONE)),
    Position(State.LOGGED_OUT, "until a human pairs again", (*ONLINE, (9.0, events.LoggedOut(401)), GONE)),
    Position(State.STOPPED, "until the next start", (*ONLINE, (9.0, events.StopRequested()), GONE)),
]


def page() -> str:
    """The whole of it."""
    return "\n".join([HEAD, *(_section(position) for position in POSITIONS), _codes()])


def _section(position: Position) -> str:
    found = position.snapshot
    if found.state is not position.state:
        raise AssertionError(position, found)
    rows, nothing = [], []
    for words, event in WORDS:
        row = _row(found, event)
        if row:
            rows.append(f"| {words} | {row} |")
        else:
            nothing.append(words)
    title = f"## {position.state.name}: {position.title}\n\nCode {found.reason.code}. {_clock(found)}\n"
    table = "\n".join(["| what happens | state | code | what is done |", "| --- | --- | --- | --- |", *rows])
    return f"{title}\n{table}\n\nNothing: {'; '.join(nothing)}.\n"


def _clock(found: Snapshot) -> str:
    if found.timer:
        return f"The timer `{found.timer}` runs."
    if found.resting:
        return "Nothing runs; only a human (or the manager's start) moves it on."
    return f"The worker is {found.worker.value}."


def _row(found: Snapshot, event: Event) -> str:
    after, least = step(found, event, NOW, LEAST)
    latest, most = step(found, event, NOW, MOST)
    done = [words for low, high in zip(least, most, strict=True) if (words := _deed(low, high))]
    if not done and (after.state, after.reason) == (found.state, found.reason):
        return ""
    if after.timer is None and after.resume_at not in {None, found.resume_at}:
        done.append(f"then try again in {_seconds(after.resume_at - NOW, (latest.resume_at or NOW) - NOW)}")
    moved = (after.state, after.reason) != (found.state, found.reason)
    told = next((command.reason.code for command in least if isinstance(command, commands.Report)), "")
    return " | ".join([after.state.name if moved else "stays", f"[{told}](#codes)" if told else "", "; ".join(done) or "only remembered"])


def _deed(low: Command, high: Command) -> str:
    match low, high:
        case commands.SetTimer(name, least), commands.SetTimer(_, most):
            return f"timer `{name}` in {_seconds(least, most)}"
        case commands.ClearTimer(name), _:
            return f"no timer `{name}`"
        case commands.Probe(deadline), _:
            return f"ask WhatsApp, {deadline:g} s"
        case commands.BeginOutage(at), _:
            return "begin an outage" + (f", {NOW - at:.0f} s ago" if at < NOW else "")
        case ((commands.Report() | commands.Record()), _):
            return ""
    return DEEDS[type(low)]


DEEDS: dict[type[Command], str] = {
    commands.AskTurn: "ask for a turn to dial",
    commands.StartWorker: "start a worker",
    commands.StopWorker: "drain the worker",
    commands.KillWorker: "kill the worker",
    commands.ShowPresence: "be seen for a moment",
    commands.EndOutage: "end the outage",
    commands.AmendOutage: "note how many",
}


def _seconds(least: float, most: float) -> str:
    low, high = f"{least:.4g}", f"{round(most, 3):.4g}"
    return f"{low} s" if low == high else f"{low} to {high} s"


def _codes() -> str:
    lines = [
        f"| {reason.code} | {reason.sentence} | {_plain(reason.action)} | {reason.level} | {_exit_code(reason)} |" for reason in reasons.ALL
    ]
    head = [
        "## Codes\n",
        "The exit code is that of a session which is in this condition and not online; a suspicion leaves it online (0).\n",
        "| code | sentence | action | level | exit code |\n| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *lines]) + "\n"


def _plain(action: str) -> str:
    return action.replace("{user}", "USER") or "none: it heals by itself"


_STATES = {
    **UNKEPT,
    reasons.NEVER_STARTED: State.NEW,
    reasons.ONLINE: State.ONLINE,
    reasons.STOPPED: State.STOPPED,
    reasons.MANAGER_DOWN: State.STOPPED,
    **dict.fromkeys((reasons.PING_LOST, reasons.LINE_LOST, reasons.STREAM_ERROR, reasons.WOKE, reasons.ANSWERED), State.ONLINE),
    **dict.fromkeys((reasons.PHONE_SILENT, reasons.PHONE_SILENT_URGENT), State.ONLINE),
}


def _exit_code(reason: reasons.Reason) -> int:
    return health.exit_code(_STATES.get(reason, State.WAITING), reason.code)


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--write", action="store_true", help=f"replace {PAGE.name} instead of printing")
    if parser.parse_args().write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page())
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
