"""Every event in every position: where it leads, and what it makes the session want. What no line names is ignored."""

from __future__ import annotations

import pytest
from conversation import DOWN, EVERYWHERE, LIVE, PREPARED, RUNNING, UP

from wasess.core import commands, events, reasons
from wasess.core.commands import KillWorker, StartWorker, StopWorker
from wasess.core.events import Event
from wasess.core.machine import step
from wasess.core.snapshot import Timer, Worker
from wasess.core.states import State

SAMPLES: dict[str, Event] = {
    "start": events.StartRequested(),
    "reconnect": events.ReconnectRequested(),
    "stop": events.StopRequested(),
    "turn": events.TurnCame(),
    "connected": events.Connected(),
    "disconnected": events.Disconnected(),
    "stream error": events.StreamError("516"),
    "ping lost": events.KeepAliveTimeout(1, 0.0),
    "ping answered": events.KeepAliveRestored(),
    "line lost": events.LineLost("x"),
    "probe answered": events.ProbeAnswered(),
    "probe failed": events.ProbeFailed("x"),
    "gave up": events.LibraryGaveUp("x"),
    "dial 503": events.DialRefused(503),
    "dial 429": events.DialRefused(429),
    "logout 401": events.LoggedOut(401),
    "logout 403": events.LoggedOut(403),
    "logout 406": events.LoggedOut(406),
    "logout here": events.LoggedOut(here=True),
    "ban": events.TemporaryBan(101, 600.0),
    "replaced": events.StreamReplaced("host web-2"),
    "outdated": events.ClientOutdated(),
    "refused": events.ConnectFailure(409),
    "offline preview": events.OfflineSyncPreview(5, 2),
    "offline done": events.OfflineSyncCompleted(2),
    "message": events.MessageArrived(),
    "undecryptable": events.Undecryptable("1", "a", "b"),
    "missed": events.Missed("1", "a", "b", "old-counter"),
    "spool lost": events.SpoolLost(3, 1),
    "departing": events.Departing("key", "1"),
    "receipt": events.ReceiptCame("delivered", "a", ("1",)),
    "asked again": events.AskedAgain("1", "a", "a", 0),
    "paired": events.Paired("49:3@s.whatsapp.net"),
    "pair error": events.PairError("x"),
    "other": events.OtherEvent(99),
    "worker started": events.WorkerStarted(1),
    "ended: stopped": events.WorkerEnded("stopped"),
    "ended: crashed": events.WorkerEnded("crashed", "SIGSEGV"),
    "ended: library": events.WorkerEnded("library-returned", "x"),
    "ended: unknown word": events.WorkerEnded("library-returned", "required field ConnectFailure.Reason not set"),
    "ended: dial": events.WorkerEnded("dial-failed", "no route"),
    "ended: dial 429": events.WorkerEnded("dial-failed", "got 429"),
    "ended: dial clock": events.WorkerEnded("dial-failed", "certificate has expired or is not yet valid"),
    "ended: locked": events.WorkerEnded("locked", "connect"),
    "ended: no device": events.WorkerEnded("no-device"),
    "ended: database": events.WorkerEnded("database", "x"),
    "ended: files": events.WorkerEnded("files-replaced", "x"),
    "ended: disk": events.WorkerEnded("disk-full", "x"),
    "stuck": events.WorkerStuck("x"),
    "too large": events.WorkerTooLarge(2, 1),
    "database lost": events.DatabaseLost("x"),
    "files replaced": events.FilesReplaced("x"),
    "database busy": events.DatabaseBusy(),
    "disk full": events.DiskFull("x"),
    "disk free": events.DiskFree(),
    "network back": events.NetworkBack(),
    "woke": events.Woke(3600.0),
    "timer connect": events.TimerFired(Timer.CONNECT),
    "timer grace": events.TimerFired(Timer.GRACE),
    "timer steady": events.TimerFired(Timer.STEADY),
    "timer quiet": events.TimerFired(Timer.QUIET),
    "timer retry": events.TimerFired(Timer.RETRY),
}
ENDED = {
    "stopped": "waiting WORKER_LOST",
    "crashed": "waiting WORKER_LOST",
    "library": "waiting WORKER_LOST",
    "unknown word": "waiting REFUSED_UNKNOWN",
    "dial": "waiting NETWORK_DOWN",
    "dial 429": "waiting RATE_LIMITED",
    "dial clock": "waiting CLOCK_WRONG",
    "locked": "waiting SESSION_LOCKED",
    "no device": "logged_out NEEDS_PAIRING",
    "database": "waiting DATABASE_DAMAGED",
    "files": "waiting FILES_REPLACED",
    "disk": "waiting DISK_FULL",
}
RETRIES = ("waiting", "disk full", "banned", "replaced", "outdated")

# event, the positions in which it matters, and where it leads
LEADS: list[tuple[str, tuple[str, ...], str]] = [
    ("start", tuple(name for name in DOWN if name not in {"ending", "stopping", "disk full"}), "connecting STARTING"),
    ("start", ("ending", "stopping"), "waiting STARTING"),
    ("reconnect", (*RUNNING, "ending"), "waiting RECONNECTING"),
    ("reconnect", ("waiting", "replaced", "left alone", "outdated"), "connecting RECONNECTING"),
    ("stop", tuple(name for name in EVERYWHERE if name not in {"logged out", "stopped", "stopping"}), "stopped STOPPED"),
    ("connected", ("connecting", "recovering"), "online ONLINE"),
    ("disconnected", UP, "recovering CONNECTION_LOST"),
    ("probe failed", ("suspected",), "waiting ZOMBIE"),
    ("gave up", RUNNING, "waiting GAVE_UP"),
    ("dial 503", ("connecting", "recovering"), "waiting NETWORK_DOWN"),
    ("dial 429", ("connecting", "recovering"), "waiting RATE_LIMITED"),
    ("logout 401", tuple(name for name in EVERYWHERE if name != "logged out"), "logged_out LOGGED_OUT"),
    ("logout 403", tuple(name for name in EVERYWHERE if name != "logged out"), "logged_out ACCOUNT_LOCKED"),
    ("logout 406", tuple(name for name in EVERYWHERE if name != "logged out"), "logged_out ACCOUNT_BANNED"),
    ("logout here", tuple(name for name in EVERYWHERE if name != "logged out"), "logged_out UNLINKED_HERE"),
    ("ban", RUNNING, "paused BANNED"),
    ("replaced", RUNNING, "paused REPLACED"),
    ("outdated", RUNNING, "outdated OUTDATED"),
    ("refused", RUNNING, "waiting REFUSED"),
    *((f"ended: {cause}", RUNNING, where) for cause, where in ENDED.items()),
    ("ended: unknown word", UP, "waiting WORKER_LOST"),  # it answered no login
    ("stuck", RUNNING, "waiting WORKER_STUCK"),
    ("too large", RUNNING, "waiting WORKER_TOO_LARGE"),
    ("database lost", RUNNING, "waiting DATABASE_LOST"),
    ("files replaced", RUNNING, "waiting FILES_REPLACED"),
    ("disk full", LIVE, "waiting DISK_FULL"),
    ("disk free", ("disk full",), "connecting DISK_FULL"),
    ("woke", ("recovering",), "waiting NOT_BACK"),
    ("timer connect", ("connecting",), "waiting NO_ANSWER"),
    ("timer grace", ("recovering",), "waiting NOT_BACK"),
    ("timer retry", ("waiting",), "connecting NETWORK_DOWN"),
    ("timer retry", ("disk full",), "waiting DISK_FULL"),
    ("timer retry", ("banned",), "connecting BANNED"),
    ("timer retry", ("replaced",), "connecting REPLACED"),
    ("timer retry", ("outdated",), "connecting OUTDATED"),
]
WHERE = {(event, position): where for event, positions, where in LEADS for position in positions}

# What ends a worker, and how.
KILLS = {"stuck"}
STOPS = {
    "stop",
    "reconnect",
    "dial 429",
    "logout 401",
    "logout 403",
    "logout 406",
    "logout here",
    "ban",
    "replaced",
    "outdated",
    "refused",
    "too large",
}
STOPS |= {"database lost", "files replaced", "disk full", "probe failed", "gave up", "dial 503", "woke", "timer connect", "timer grace"}


@pytest.mark.parametrize("event", SAMPLES)
def test_where_it_leads(event: str):
    for position in EVERYWHERE:
        talk = PREPARED[position]()
        before = f"{talk.session.state} {talk.session.reason.code}"
        talk.tell(SAMPLES[event])
        assert f"{talk.session.state} {talk.session.reason.code}" == WHERE.get((event, position), before), position


@pytest.mark.parametrize("event", SAMPLES)
def test_what_it_does_to_the_worker(event: str):
    for position in EVERYWHERE:
        talk = PREPARED[position]()
        running = talk.session.worker is Worker.RUNNING
        done = {type(command) for command in talk.tell(SAMPLES[event])} & {StartWorker, StopWorker, KillWorker}
        expected = _deed(event, position, running=running)
        assert done == expected, position
        still = position in {"ending", "stopping"} and not event.startswith("ended")
        assert (talk.session.worker is Worker.ENDING) == (still or bool(expected & {StopWorker, KillWorker})), position


def _deed(event: str, position: str, *, running: bool) -> set[type[commands.Command]]:
    if event == "turn" and position == "queued":
        return {StartWorker}
    if not running or (event, position) not in WHERE:
        return set()
    return {KillWorker} if event in KILLS else {StopWorker} if event in STOPS else set()


@pytest.mark.parametrize("event", SAMPLES)
def test_a_worker_or_a_timer_or_a_turn_is_left_to_move_it_on(event: str):
    for position in EVERYWHERE:
        talk = PREPARED[position]()
        talk.tell(SAMPLES[event])
        found = talk.session
        assert found.resting or found.timer or found.worker in {Worker.QUEUED, Worker.ENDING}, position
        assert not (found.resting and found.timer), position
        assert found.state is not State.WAITING or found.resume_at is not None, position


@pytest.mark.parametrize("event", SAMPLES)
def test_a_change_is_told_once_and_recorded(event: str):
    for position in EVERYWHERE:
        talk = PREPARED[position]()
        before = talk.session
        talk.tell(SAMPLES[event])
        told = [command for command in talk.commands if isinstance(command, commands.Report)]
        news = talk.session.reason is not before.reason
        assert len(told) <= 1, position
        assert bool(told) or talk.session.state is before.state, position
        if news:
            assert told[0].level == talk.session.reason.level, position
            assert any(isinstance(command, commands.Record) for command in talk.commands), position


def test_every_event_is_tried():
    kinds = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind not in {Event, events.MessageReceived}
    }  # what came is the mailbox's
    assert {type(event) for event in SAMPLES.values()} == kinds


def test_every_reason_is_reached():
    """From the positions above; the rest is said by others than the machine."""
    elsewhere = {reasons.NEVER_STARTED, reasons.MANAGER_DOWN, reasons.PHONE_SILENT, reasons.PHONE_SILENT_URGENT, reasons.CLIENT_OLD}
    elsewhere |= {reasons.NO_MANAGER, reasons.MANAGER_SILENT, reasons.NOT_KEPT, reasons.KEEPER_FAILED, reasons.UNREADABLE}
    elsewhere |= {reasons.PAUSED_BY_OPERATOR, reasons.PAIRING, reasons.UNPROVEN, reasons.OTHER_VERSION}
    elsewhere |= {reasons.MAIL_NOT_TAKEN, reasons.MESSAGES_DAMAGED, reasons.MEDIA_FULL, reasons.CHAT_BRAKED}  # of a connected session
    elsewhere |= {reasons.SENDS_DELAYED, reasons.FIRST_MESSAGES_LOCKED, reasons.REPLIES_FAILED, reasons.BOT_FAILING}  # as above
    told: set[reasons.Reason] = set()

    def walk(position: str, *names: str, paired_at: float = 0.0) -> None:
        talk = PREPARED[position]()
        talk.tell(events.StartRequested(paired_at=paired_at) if paired_at else events.OtherEvent(0))
        for name in names:
            talk.session, wanted = step(talk.session, SAMPLES[name], talk.now, talk.dice)
            told.update(command.reason for command in wanted if isinstance(command, commands.Report))

    for position in EVERYWHERE:
        for event in SAMPLES:
            walk(position, event)
    walk("new", "turn", "connected", "logout 401", paired_at=1000.0)
    walk("online", *["disconnected", "connected"] * 4, "disconnected")
    walk("replaced", *["timer retry", "turn", "replaced", "ended: stopped"] * 3)
    assert set(reasons.ALL) - told == elsewhere
