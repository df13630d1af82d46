"""What the manager tells people (plain lines, on stderr) and programs (``--events``: NDJSON, on stdout)."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from wasess.core.escaping import cut, one_line
from wasess.core.reasons import DETAILS
from wasess.words import _, again, plural, spoken

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.core.commands import Report
    from wasess.core.reasons import Level
    from wasess.delivery.bot import Trouble


OTHERS = "| "


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened. Times are Unix seconds.

    ``event`` is a stable word: ``manager_starting``, ``sessions_found``, ``restoring``, ``restored``, ``reconnect_on``, ``manager_ready``,
    ``state`` (a session's state or reason changed, or a try failed again), ``trouble``, ``paused``, ``renamed``, ``removed``,
    ``log_gap`` (so many lines were dropped), ``log`` (a record of a logger: the library's lines, asyncio's, bugs with their ``traceback``),
    ``output`` (a line that a bot wrote to stderr; never in the log file), ``manager_failed``, ``manager_stopping``, ``manager_stopped``.
    ``line`` is the sentence for people, empty when another notice says it better. ``kind``: what is limited together, for `limited`.
    """

    at: float
    event: str
    line: str
    session: str = ""
    state: str = ""
    code: str = ""
    reason: str = ""
    action: str = ""
    level: Level = "info"
    attempt: int = 0
    next_retry_at: float | None = None
    traceback: tuple[str, ...] = ()
    kind: str = ""


class Lines(Protocol):
    """Takes lines: a file, or `queued_stream.QueuedStream`."""

    def write(self, text: str, /) -> object:
        """Take a line with its end."""

    def flush(self) -> object:
        """Let go of it."""


class Reporter(Protocol):
    """Takes notices. Never raises, never waits."""

    def report(self, notice: Notice) -> None:
        """Tell it."""


class TextReporter:
    """One harmless line a notice, and below it those of a traceback; what merely repeats is left out.

    What a bot writes is marked (`OTHERS`): it may be a message's text, and must not look like a line of ours.
    """

    def __init__(self, stream: Lines) -> None:
        self._write = _Writer(stream)

    def report(self, notice: Notice) -> None:
        """See `Reporter`."""
        if notice.line and notice.level != "debug":
            self._write(text_of(notice))


class JsonReporter:
    """The lines of `TextReporter`, and what has no line, as one JSON object each: `fields_of`. What merely repeats is left out, too."""

    def __init__(self, stream: Lines) -> None:
        self._write = _Writer(stream)

    def report(self, notice: Notice) -> None:
        """See `Reporter`."""
        if notice.level != "debug":
            self._write(json.dumps(fields_of(notice)))


class EventReporter:
    """One JSON object a notice: all fields of `fields_of` but ``line``."""

    def __init__(self, stream: Lines) -> None:
        self._write = _Writer(stream)

    def report(self, notice: Notice) -> None:
        """See `Reporter`."""
        self._write(event_of(notice))


def text_of(notice: Notice) -> str:
    """A notice as people read it, and below it the lines of its traceback."""
    line = OTHERS + notice.line if notice.event == "output" else notice.line
    return "\n  ".join(map(one_line, (f"{_prefix()}{line}", *notice.traceback)))


def _prefix() -> str:
    """What the lines of `serve` begin with: in Spanish as the product's users know them, with the name that its documentation has."""
    return "[SessionManager] " if spoken() == "es" else ""


def event_of(notice: Notice) -> str:
    """A notice as `EventReporter` writes it."""
    fields = fields_of(notice)
    del fields["line"]
    fields.pop("traceback", None)
    return json.dumps(fields)


def fields_of(notice: Notice) -> dict[str, Any]:
    """A notice as JSON: ts, event, session, state, code, reason, action, level, attempt, next_retry_at, line. Times are ISO 8601, UTC.

    No text is longer than `core.escaping.LONGEST_LINE`; ``traceback`` (lines) is there only when there is one.
    """
    traceback = {"traceback": list(map(cut, notice.traceback))} if notice.traceback else {}
    return {
        "ts": _iso(notice.at),
        "event": notice.event,
        "session": notice.session,
        "state": notice.state,
        "code": notice.code,
        "reason": cut(notice.reason or notice.line),
        "action": cut(notice.action),
        "level": notice.level,
        "attempt": notice.attempt,
        "next_retry_at": None if notice.next_retry_at is None else _iso(notice.next_retry_at),
        "line": cut(notice.line),
    } | traceback


def gap_notice(count: int, at: float) -> Notice:
    """So many lines were dropped, because nobody took them."""
    line = plural("{count} line of this log was dropped: nobody took it", "{count} lines of this log were dropped: nobody took them", count)
    return Notice(at, "log_gap", line.format(count=count), level="warning")


class Reporters:
    """Several as one."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def report(self, notice: Notice) -> None:
        """See `Reporter`."""
        for reporter in self._reporters:
            reporter.report(notice)


BARRED = frozenset({"WEBHOOK_NOT_ALLOWED", "WEBHOOK_NOT_PROVEN"})
"""Why a webhook may not be asked: that says what to do, which a mere "does not answer" would not."""


class BotCondition:
    """Remembers what was told of the bot as a whole. ``sentence``: why it can't be asked now; empty when it can."""

    def __init__(self) -> None:
        self.sentence = ""
        self._barred = False

    def report(self, notice: Notice) -> None:
        """See `Reporter`."""
        if notice.code in BARRED or (notice.code in {"BOT_BROKEN", "BOT_AWAY"} and not self._barred):
            self.sentence = notice.reason
        elif notice.code == "BOT_BACK":
            self.sentence = ""
        self._barred = bool(self.sentence) and (self._barred or notice.code in BARRED)


def detail_of(change: Report) -> str:
    """The detail of a change in the language spoken."""
    return again(change.detail, DETAILS)


def state_notice(user: str, change: Report, at: float, line: str | None = None) -> Notice:
    """Say a session's change in words. ``line`` replaces the sentence made from the reason."""
    reason = change.reason
    sentence, action = _(reason.sentence), _(reason.action).format(user=user)
    if change.detail:
        sentence += f" ({change.detail})"
    said = f"{user}: {sentence}"
    if change.next_try_at is not None and change.next_try_at - at >= 1:
        said += _("; next try in {seconds:.0f} s").format(seconds=change.next_try_at - at)
    if action:
        said += f". {action}"
    return Notice(
        at,
        "state",
        said if line is None else line,
        session=user,
        state=change.state,
        code=reason.code,
        reason=sentence,
        action=action,
        level=change.level,
        attempt=change.attempt,
        next_retry_at=change.next_try_at,
    )


def trouble_teller(reporter: Reporter, now: Callable[[], float] = time.time) -> Callable[[Trouble], None]:
    """Make the `delivery.bot.Tell` that a bot and the dispatcher complain to."""

    def tell(trouble: Trouble) -> None:
        line = f"{trouble.session}: {trouble.sentence}" if trouble.session else trouble.sentence
        notice = Notice(now(), "trouble", line, trouble.session, code=trouble.code, reason=trouble.sentence, level=trouble.level)
        reporter.report(notice)

    return tell


class _Writer:
    """Writes lines, from any thread, until the reader has gone: the sessions matter more than who listens."""

    def __init__(self, stream: Lines) -> None:
        self._stream: Lines | None = stream
        self._writing = threading.Lock()

    def __call__(self, line: str) -> None:
        with self._writing:
            if self._stream is None:
                return
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                self._stream = None


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
