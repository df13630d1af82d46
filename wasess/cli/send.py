"""`wasess send USER TO [TEXT]`: put a message into a session's outbox, and say what becomes of it."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from wasess.cli.bots import secret_files
from wasess.cli.errand import answering_manager, existing
from wasess.cli.options import HOME, HomeOption, JsonOption, UserArgument, in_range
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.control.client import Client
from wasess.core.message import Reply
from wasess.core.redact import redact
from wasess.core.sending import WAITS, has_come
from wasess.delivery import by_hand
from wasess.delivery.enclosures import Enclosures
from wasess.delivery.replies import LONGEST_TEXT
from wasess.errors import Interrupted, ManagerNotRunning, UsageError, WasessError
from wasess.link.attachment import attach
from wasess.store.guard import guard_folder
from wasess.store.mail_checkpoint import settle
from wasess.store.sessions import Home
from wasess.supervisor.post_office import opened_for
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.sending import Sending
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.sessions import Session

TIMEOUT = 60.0
ONE_QUESTION = 20.0  # seconds that the manager is asked to wait at a time
PAUSE = 0.2  # between two questions, when it does not wait
NOT_YET = 3

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class SendFailed(WasessError):
    """WhatsApp, or the library, does not take the message; it is not tried again."""

    code = "SEND_FAILED"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent, and how long it is worth waiting for."""

    to: str
    reply: Reply
    key: str
    wait: str
    timeout: float


@app.command()
def send(
    context: typer.Context,
    *,
    user: UserArgument,
    to: Annotated[
        str, typer.Argument(metavar="TO", help="A phone number with its country code, a WhatsApp address or a group.", show_default=False)
    ],
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="The text, or the caption of the file; - takes it from stdin.", show_default=False)
    ] = "",
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Send this file, as it is now.")] = None,
    voice: Annotated[bool, typer.Option("--voice", help="Send the file (Ogg with Opus sound) as a voice message.")] = False,
    reply_to: Annotated[str, typer.Option(metavar="ID", help="Answer this message.", show_default=False)] = "",
    react: Annotated[
        str | None,
        typer.Option(metavar="EMOJI", help="React to the message of --reply-to; with '' take it back.", show_default=False),
    ] = None,
    mention: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Mention this person; repeat it. The number stands in the text: @491701234567."),
    ] = None,
    idempotency_key: Annotated[
        str, typer.Option(metavar="KEY", help="Send only one message with this key, however often this is said.", show_default="a new one")
    ] = "",
    wait: Annotated[
        str, typer.Option(metavar="queued|sent|delivered", help="Wait until it is there: sent means that WhatsApp has acknowledged it.")
    ] = "sent",
    timeout: Annotated[
        float, typer.Option(min=0.1, max=86_400, callback=in_range, metavar="SECONDS", help="Wait no longer; the message stays queued.")
    ] = TIMEOUT,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Send a message, and say what became of it.

    It goes into the session's outbox first, so that no crash and no outage loses it, and the manager sends it once the session is online.
    With --wait queued it may be put there while no manager runs.

    Exit code 3 means: not yet, or not known. The same command with the same --idempotency-key never sends it twice.
    """
    if wait not in WAITS:
        raise UsageError(_("--wait takes one of {names}").format(names=", ".join(WAITS)), hint="wasess send --help")
    opened = Home(home).open(create=False)
    session = existing(opened, user)
    reply = _reply(text, file, react, reply_to, mention or [], voice=voice)
    key = idempotency_key or by_hand.new_key()
    order = Order(*by_hand.checked(to, reply, key), key, wait, timeout)
    if reply.file:
        attach(reply)
    sending, managed = _posted(opened, session, order, secret_files(context))
    return emit(_result(sending, order, managed=managed), as_json=json)


def _reply(text: str, file: Path | None, react: str | None, reply_to: str, mention: list[str], *, voice: bool) -> Reply:
    """What the command line says. Raises `UsageError` for what fits nothing."""
    if react is not None and (text or file or not reply_to):
        raise UsageError(_("a reaction is to a message, and alone: no TEXT, no --file"), hint="--react EMOJI --reply-to ID")
    if voice and not file:
        raise UsageError(_("--voice needs a --file"), hint="--voice --file FILE")
    if not (text or file or react is not None):
        raise UsageError(_("there is nothing to send: no TEXT, no --file"), hint="wasess send --help")
    words = _from_stdin() if text == "-" else text
    path = str(file.absolute()) if file else ""
    mentions = tuple(map(by_hand.addressed, mention))
    return Reply(words, file=path, voice=voice, quote=reply_to or False, react=react, mentions=mentions)


def _from_stdin() -> str:
    """The text that somebody pipes in, without the end of its last line. Raises `UsageError`."""
    raw = sys.stdin.buffer.read(4 * LONGEST_TEXT + 2)
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(_("the text on stdin is no UTF-8"), hint="iconv -t UTF-8") from error


# --- into the outbox ------------------------------------------------------------------------------------------------


def _posted(home: Home, session: Session, order: Order, secret: tuple[Path, ...]) -> tuple[Sending, bool]:
    """What became of it, and whether a manager has it. ``secret``: files that are never sent; a manager knows its own."""
    if answering_manager(home):
        return _told(Client(home.path), session.user, order), True
    if order.wait != "queued":
        sentence = _("no manager runs in {home}, so nothing was sent; with --wait queued it is sent as soon as one runs")
        raise ManagerNotRunning(sentence.format(home=home.path), hint="wasess serve")
    guard_folder(session.folder, tighten=False)
    sending = opened_for(session, lambda mailbox: _queued_here(mailbox, session, order, secret))
    settle(session.folder)
    if answering_manager(home):  # it has come meanwhile, and may have read the outbox before
        return _told(Client(home.path), session.user, order), True
    return sending, False


def _queued_here(mailbox: Mailbox, session: Session, order: Order, secret: tuple[Path, ...]) -> Sending:
    kept = ""
    if order.reply.file and not mailbox.outbox.holds(order.key):
        kept = Enclosures(session.folder, secret).keep_one_now(order.reply)
    return by_hand.post(mailbox, order.to, order.reply, order.key, time.time(), kept)


def _told(client: Client, user: str, order: Order) -> Sending:
    """Let the manager send it, and wait."""
    try:
        return _awaited(client, _queued(client, user, order), order)
    except KeyboardInterrupt as error:
        raise Interrupted(_("stopped waiting; what is in the outbox is sent all the same"), hint=_again(order)) from error


def _queued(client: Client, user: str, order: Order) -> Sending:
    try:
        return client.send(user, order.to, order.reply, order.key)
    except ManagerNotRunning as error:
        sentence = _("{problem}; it is not known whether the message was queued").format(problem=error)
        raise ManagerNotRunning(sentence, hint=_again(order)) from error


def _awaited(client: Client, sending: Sending, order: Order) -> Sending:
    """Ask until it has come as far as is waited for, or the time is over. A manager that ends meanwhile may come back."""
    deadline = time.monotonic() + order.timeout
    while not has_come(sending.state, order.wait) and (left := deadline - time.monotonic()) > 0:
        asked_at = time.monotonic()
        with suppress(ManagerNotRunning):
            sending = client.letter(sending.user, sending.position, order.wait, min(left, ONE_QUESTION))
        if not has_come(sending.state, order.wait):
            time.sleep(max(0.0, min(asked_at + PAUSE, deadline) - time.monotonic()))
    return sending


# --- what became of it ----------------------------------------------------------------------------------------------


def _result(sending: Sending, order: Order, *, managed: bool) -> Result:
    to = redact(sending.to)
    data = {**asdict(sending), "to": to, "managed": managed}
    names = {"to": to, "id": sending.message_id, "seconds": order.timeout}
    if sending.state == "failed":
        raise SendFailed(_("the message to {to} was not sent: {detail}").format(to=to, detail=sending.detail), hint=_new_key(order))
    if sending.state == "unknown":
        sentence = _("nobody knows whether {to} has the message: the connection was lost when it went out, and no receipt came")
        return Result(data, (sentence.format(to=to),), hint=_new_key(order), exit_code=NOT_YET)
    if has_come(sending.state, order.wait):
        hint = "" if managed else "wasess serve"
        return Result(data, (_sentence(sending.state, managed=managed).format(**names),), hint=hint)
    lines = [_late(sending.state).format(**names)]
    if sending.detail:
        lines.append(_("last problem: {detail}").format(detail=sending.detail))
    return Result(data, tuple(lines), hint=_again(order), exit_code=NOT_YET)


def _sentence(state: str, *, managed: bool) -> str:
    if not managed:
        return _("queued for {to}: the manager sends it as soon as it runs")
    return {
        "queued": _("queued for {to}"),
        "sending": _("on its way to {to}"),
        "sent": _("sent to {to} (message {id})"),
        "delivered": _("delivered to {to} (message {id})"),
        "read": _("read by {to} (message {id})"),
    }.get(state, state)


def _late(state: str) -> str:
    if state == "sent":
        return _("sent to {to} (message {id}), and not delivered within {seconds:.0f} s")
    if state == "sending":
        return _("on its way to {to}, and not acknowledged within {seconds:.0f} s; the manager goes on with it")
    return _("not sent to {to} within {seconds:.0f} s; it stays queued, and is sent once the session is online")


def _again(order: Order) -> str:
    return _("to see what became of it, never sending it twice: the same command with --idempotency-key {key}").format(
        key=shlex.quote(order.key)
    )


def _new_key(order: Order) -> str:
    return _("to send it again: the same command without --idempotency-key {key}").format(key=shlex.quote(order.key))
