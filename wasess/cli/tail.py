"""`wasess tail [USER]`: every message that came in, one a line, and new ones as they come."""

from __future__ import annotations

import re
import select
import sys
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from wasess.cli.acknowledgements import Acknowledgements
from wasess.cli.boxes import Boxes, Start
from wasess.cli.durations import UNITS, seconds
from wasess.cli.errand import existing
from wasess.cli.letterbox import LARGEST_POSITION, content_of, document_of, sender_of
from wasess.cli.options import HOME, HomeOption, complete_user
from wasess.cli.render import in_json, mention
from wasess.core.escaping import harmless
from wasess.doctor.times import moment
from wasess.errors import UsageError
from wasess.store.sessions import Home
from wasess.words import _, plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.store.inbox import Item

LOOKS_EVERY = 0.25
FILES_WITHIN = 15.0  # a message is not shown before its file is there, or cannot be had; but no later than this
NOTED_EVERY = 0.25  # a reader's position is written to the disk that often, not after each of a thousand lines
LONGEST_NAME = 64
STDIN = 0

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def tail(
    *,
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Only those of this session.", show_default=False, autocompletion=complete_user)
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            metavar="POSITION|TIME", help="Begin behind this position, or with this time: 2h, 2026-11-27T10:00.", show_default="the first"
        ),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new messages, until Ctrl+C.")] = False,
    reader: Annotated[
        str, typer.Option("--as", metavar="NAME", help="Go on where this reader was the last time.", show_default=False)
    ] = "",
    ack: Annotated[
        bool, typer.Option("--ack", help="With --as: only what is named on stdin (USER POSITION) was read, the rest comes again.")
    ] = False,
    home: HomeOption = HOME,
    json: Annotated[
        bool, typer.Option("--json", envvar="WASESS_JSON", help="Print one JSON object a line to stdout instead of text.")
    ] = False,
) -> int:
    """Print the messages that came in, the oldest first, whatever has become of them.

    With --as NAME the position of that reader is kept in each session: the next run goes on there. It moves once a line was written. With
    --ack it moves only when the reader says so on our stdin, in lines USER POSITION (or POSITION, with one USER): that, and all before it, is
    done. What was not said comes again at the next run; the command ends when all is said, or stdin ends.
    """
    if ack and not reader:
        raise UsageError(_("--ack needs a name for the reader: --as"), hint="wasess tail --as NAME --ack")
    start = replace(_start(since, user, reader), patience=FILES_WITHIN if follow else 0.0)
    opened = Home(home).open(create=False)
    chosen = [existing(opened, user)] if user is not None else None
    boxes = Boxes(lambda: chosen if chosen is not None else opened.sessions(), start, _complain if follow else None)
    acknowledged = Acknowledgements(STDIN, user or "") if ack else None
    stream = Stream(boxes, _as_json if json else _as_text, acknowledged, keeps=bool(reader))
    try:
        stream.run(follow=follow)
    finally:
        boxes.close()
    return 0


class Stream:
    """Writes what is in the boxes to stdout, and keeps how far its reader has come (``keeps``): as he says, or else as it is written."""

    def __init__(self, boxes: Boxes, shape: Callable[[str, Item], str], acknowledged: Acknowledgements | None, *, keeps: bool) -> None:
        self._boxes = boxes
        self._shape = shape
        self._acknowledged = acknowledged
        self._keeps_by_itself = keeps and acknowledged is None
        self._noted_at = time.monotonic()
        self._textless = 0
        self._output = select.poll()
        self._output.register(sys.stdout.fileno(), 0)  # nothing but that the other end was closed

    def run(self, *, follow: bool) -> None:
        """Until all is written (and acknowledged), or with ``follow`` for ever. Raises BrokenPipeError when nobody reads any more."""
        try:
            self._write_new()
            while follow and not (self._acknowledged and self._acknowledged.over):
                self._wait(LOOKS_EVERY)
                self._write_new()
            while self._unsaid():
                self._hear(LOOKS_EVERY)
                self._note()
        finally:
            self._note()

    def _write_new(self) -> None:
        for box, item in self._boxes.new():
            if item.damage:
                mention(_("{user}: message {position} is damaged, and can't be shown").format(user=box.user, position=item.seq))
            elif item.message is None:
                self._textless += 1
            else:
                sys.stdout.write(self._shape(box.user, item) + "\n")
                sys.stdout.flush()
                box.given = item.seq
            if self._keeps_by_itself:
                box.done = max(item.seq, box.done)
            if time.monotonic() - self._noted_at > NOTED_EVERY:
                self._note()
            self._hear(0)
        self._note()
        self._tell_textless()

    def _wait(self, patience: float) -> None:
        """Until it is time to look again; a pipe that was closed is noticed at once, or after that time."""
        if self._acknowledged:
            self._hear(patience)
        if self._output.poll(0 if self._acknowledged else patience * 1000):
            raise BrokenPipeError

    def _note(self) -> None:
        self._noted_at = time.monotonic()
        self._boxes.note(time.time())

    def _unsaid(self) -> bool:
        """Whether the reader may still say that something was dealt with."""
        waited_for = any(box.given > box.done for box in self._boxes.boxes.values())
        return self._acknowledged is not None and waited_for and not self._acknowledged.over

    def _hear(self, patience: float) -> None:
        """Take what the reader says, after waiting up to so many seconds for the first of it."""
        heard: dict[str, int] = {}
        while self._acknowledged:
            try:
                found = self._acknowledged.next(patience)
            except ValueError:
                mention(_("a line on stdin is none of USER POSITION; it is passed over"))
                continue
            if found is None:
                break
            patience = 0
            heard[found.user] = max(found.position, heard.get(found.user, 0))
        for user, position in heard.items():
            self._acknowledge(user, position)
        if heard and time.monotonic() - self._noted_at > NOTED_EVERY:
            self._note()

    def _acknowledge(self, user: str, position: int) -> None:
        box = self._boxes.boxes.get(user)
        if box is None or position > box.given:
            mention(_("{position} of {user} was not read here; it is passed over").format(position=position, user=ascii(user)))
        else:
            box.done = max(position, box.done)

    def _tell_textless(self) -> None:
        if self._textless:
            said = plural(
                "{count} message is left out: its text was deleted",
                "{count} messages are left out: their texts were deleted",
                self._textless,
            )
            mention(said.format(count=self._textless))
        self._textless = 0


def _start(since: str, user: str | None, reader: str) -> Start:
    """Raises `UsageError`."""
    if len(reader) > LONGEST_NAME or not reader.isprintable():
        raise UsageError(
            _("a reader's name has at most {most} printable characters").format(most=LONGEST_NAME), hint="wasess tail --as NAME"
        )
    if not since:
        return Start(reader=reader)
    if not (since.isascii() and since.isdigit()):
        return Start(moment=_moment(since), reader=reader)
    if user is None or int(since) > LARGEST_POSITION:
        raise UsageError(_("a position is one of a session: name the session, or a time"), hint="wasess tail USER --since POSITION")
    return Start(int(since), reader=reader)


def _moment(text: str) -> float:
    """The Unix time of a time of day, or of so long ago."""
    if re.fullmatch(rf"[0-9.]+[{''.join(UNITS)}]", text.strip().lower()):
        return time.time() - seconds(text, "--since")
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        sentence = _("{text} is no position and no time").format(text=ascii(text[:40]))
        raise UsageError(sentence, hint=_("for example --since 17, --since 2h or --since 2026-11-27T10:00")) from error


def _complain(user: str, error: Exception) -> None:
    mention(f"{user}: {error}")


def _as_json(user: str, item: Item) -> str:
    return in_json(document_of(user, item))


def _as_text(user: str, item: Item) -> str:
    message = item.message
    if message is None:
        raise RuntimeError("a message without content is never shown")
    parts = (moment(item.received_at), user, str(item.seq), sender_of(message), message.kind, content_of(message))
    return harmless("  ".join(filter(None, parts)))
