"""`wasess connect USER`: link a session to a phone."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from wasess.assembly import Realm, realm
from wasess.cli.before import Before, shortened
from wasess.cli.code_files import CodeFiles
from wasess.cli.options import (
    HOME,
    HomeOption,
    JsonOption,
    SandboxOption,
    UserArgument,
    WaVersionOption,
    in_range,
    require_wa_version,
)
from wasess.cli.pairing_run import PairingRun
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.cli.screen import screen_on
from wasess.core.reasons import NEVER_STARTED
from wasess.core.states import State
from wasess.errors import Degraded, Interrupted, UsageError, WasessError
from wasess.store.records import Change, SessionRecord
from wasess.store.sessions import Home, parse_user_id
from wasess.words import _, mark

if TYPE_CHECKING:
    from wasess.store.device import Device
    from wasess.store.sessions import Session

TIMEOUT = 180  # the six codes live 160 s
# NEONIZE.md 2: accounts that WhatsApp distrusts lose a new device 10 to 15 s after the pairing.
ON_PROBATION = mark("for a minute it is on probation: WhatsApp takes some links back right away")
TAKEN_OVER_WITHIN = 5.0
LOOKS_EVERY = 0.05

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. ``phone``: digits only, empty for a picture. ``wa_version``: see `link.versions`."""

    user: str
    phone: str = ""
    png: Path | None = None
    timeout: float = TIMEOUT
    force: bool = False
    wa_version: str = ""


@app.command()
def connect(
    *,
    user: UserArgument,
    phone: Annotated[
        str, typer.Option(metavar="NUMBER", help="Show a code to type into the phone instead of a picture; the international number.")
    ] = "",
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the QR code to this picture, too; it is removed at the end.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=86_400, callback=in_range, metavar="SECONDS", help="Give up when no phone has accepted by then.")
    ] = TIMEOUT,
    force: Annotated[bool, typer.Option("--force", help="Link again although it is linked; the old credentials are kept aside.")] = False,
    home: HomeOption = HOME,
    wa_version: WaVersionOption = "",
    sandbox: SandboxOption = None,
    json: JsonOption = False,
) -> int:
    """Link a session to a phone.

    Shows QR codes on the terminal until the phone has scanned one. Codes go to stderr, the result to stdout.
    """
    request = Request(parse_user_id(user), phone_digits(phone), png, timeout, force, require_wa_version(wa_version))
    if phone and png:
        raise UsageError(
            _("--phone and --png exclude each other: a code to type is no picture"), hint=f"wasess connect {user} --phone NUMBER"
        )
    try:
        result = asyncio.run(link_session(Home(home), realm(sandbox), request))
    except asyncio.CancelledError:
        raise Interrupted(_("stopped by a signal")) from None
    return emit(result, as_json=json)


def phone_digits(text: str) -> str:
    """An international number without its decoration. Raises `UsageError` for what can't be one."""
    digits = re.sub(r"[\s()./+-]", "", text)
    if text and not re.fullmatch(r"[1-9][0-9]{6,14}", digits):
        raise UsageError(
            _("{text!r} is no international phone number").format(text=text),
            hint=_("country code first, no leading 0: --phone +49 170 1234567"),
        )
    return digits


async def link_session(home: Home, where: Realm, request: Request) -> Result:
    """Link a session, or leave everything as it was. Raises the `WasessError` that says why not."""
    session = home.session(request.user)
    files = CodeFiles(request.png, where.camera(session.user))
    home.open(create=True).claim_realm(where.name)
    before = Before.make_room(session, force=request.force)
    host = where.host(where.versions(home, request.wa_version))
    run = PairingRun(session, host, screen_on(sys.stderr, os.environ), files, request.png)
    _listen_to_signals(run)
    try:
        await run.run(request.timeout, request.phone)
        device = _remember(before)
    except WasessError:
        if run.accepted:
            _remember(before)
        raise
    finally:
        await run.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await host.close()
        if not run.accepted:
            before.put_back()
    return await _linked(home, session, device)


def _listen_to_signals(run: PairingRun) -> None:
    """SIGINT is asyncio's own to turn into a cancellation; these two end a pairing as well."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, run.resized)
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: task.cancel() if task else None)


def _remember(before: Before) -> Device:
    """Write the record; the worker of this pairing holds the session's lock meanwhile."""
    session, now = before.session, time.time()
    device = session.device()
    if device is None:
        raise Degraded(
            _("{user} was linked, but its credentials are not on the disk").format(user=session.user), hint=f"wasess connect {session.user}"
        )
    old = before.record or SessionRecord(session.user, now, State.NEW, NEVER_STARTED.code, now)
    linked = replace(old, state=State.NEW, reason_code=NEVER_STARTED.code, since=now, paired_at=now, jid=device.jid, lid=device.lid)
    session.record.save(linked)
    session.record.note(Change(now, State.NEW, "PAIRED", f"linked to the phone {shortened(device.phone)}"))
    return device


async def _linked(home: Home, session: Session, device: Device) -> Result:
    sentence = _("{user} is linked (phone {phone})").format(user=session.user, phone=shortened(device.phone))
    data = {"user": session.user, "linked": True, "phone": shortened(device.phone)}
    manager = home.lock_holder()
    if manager is None:
        return Result({**data, "taken_over": False}, (sentence, _(ON_PROBATION)), hint="wasess serve")
    taken = await _taken_over(session)
    after = (
        _("the running manager (process {pid}) has taken it over")
        if taken
        else _("the running manager (process {pid}) has not taken it over yet; it will, or says why not")
    )
    return Result({**data, "taken_over": taken}, (sentence, after.format(pid=manager.pid), _(ON_PROBATION)))


async def _taken_over(session: Session) -> bool:
    """Whether a worker of the manager holds the session soon."""
    deadline = time.monotonic() + TAKEN_OVER_WITHIN
    while time.monotonic() < deadline:
        if session.lock_holder():
            return True
        await asyncio.sleep(LOOKS_EVERY)
    return False
