"""`wasess diagnose [USER]`: one page about a home and its sessions; with ``--fix`` and ``--bundle``, what can be done about it from here."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from wasess.cli.findings_page import UNWRAPPED, Page
from wasess.cli.options import HOME, HomeOption, JsonOption, SandboxOption
from wasess.cli.render import colourful, emit, window_width
from wasess.cli.result import Result
from wasess.doctor import probe
from wasess.doctor.checks.home import realm_of
from wasess.doctor.circumstances import Circumstances
from wasess.doctor.examination import document, examine
from wasess.errors import SandboxError, WasessError
from wasess.link import wheel
from wasess.link.contract import Contract
from wasess.settings import DEFAULT_DISK_RESERVE
from wasess.store.sessions import Home, parse_user_id
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.doctor.examination import Diagnosis
    from wasess.doctor.repair import Repair

MEBIBYTE = 2**20
WIDEST = 100

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def diagnose(
    *,
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Look at this session; at all, when none is named.", show_default=False)
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is safe to repair, then look again.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a redacted archive for a public issue: FILE.tar.gz or FILE.zip.", show_default=False),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not try the way to WhatsApp.")] = False,
    disk_reserve: Annotated[
        int, typer.Option(envvar="WASESS_DISK_RESERVE", min=0, metavar="MIB", help="Take the disk for full below this, as serve does.")
    ] = DEFAULT_DISK_RESERVE,
    home: HomeOption = HOME,
    sandbox: SandboxOption = None,
    json: JsonOption = False,
) -> int:
    """Say what is wrong, and the one command that helps.

    Looks at the home, the manager, the way to WhatsApp and each session, and changes nothing; the worst comes first. It works without a
    manager, without a network and in a home of which little is left.

    --fix repairs modes that are too open, what killed processes have left behind, a damaged record that has a good copy, and processes
    that stand still; it never touches credentials. An archive of --bundle holds no number, key, text or name: see for yourself.

    The exit code is the worst of the sessions', and 1 when the home itself can't be used; 4 for a USER that does not exist.
    """
    target = Home(home)
    seen = _circumstances(target, "" if user is None else parse_user_id(user), sandbox, offline=offline, reserve=disk_reserve * MEBIBYTE)
    if bundle:
        from wasess.doctor.bundle import require_new  # noqa: PLC0415 - only for those who want one

        require_new(bundle)
    diagnosis = examine(target, seen)
    repairs: list[Repair] = []
    if fix:
        repairs = _repaired(target, seen)
        diagnosis = examine(target, seen)
    if bundle:
        _pack(bundle, target, diagnosis)
    return emit(_result(diagnosis, repairs, bundle), as_json=json)


def _circumstances(home: Home, user: str, sandbox: Path | None, *, offline: bool, reserve: int) -> Circumstances:
    way, unprobed = (None, "") if offline else _way(home, sandbox)
    library, problem, fix = _library()
    realm = "sandbox" if sandbox or realm_of(home) == "sandbox" else "whatsapp"
    return Circumstances(user, "sandbox" if realm == "sandbox" else "whatsapp", way, unprobed, reserve, library, problem, fix)


def _way(home: Home, sandbox: Path | None) -> tuple[Callable[[], probe.Way] | None, str]:
    """How to try the way; or why not."""
    if sandbox is None:
        if realm_of(home) == "sandbox":
            return None, _("this home is used with a stand-in, and no contract says where that is (--sandbox FILE)")
        return probe.whatsapp, ""
    try:
        address = urlsplit(Contract.load(sandbox).proxy)
    except SandboxError as error:
        return None, str(error)
    host, port = address.hostname or "127.0.0.1", address.port or 0
    return lambda: probe.stand_in(host, port), ""


def _library() -> tuple[Path | None, str, str]:
    """The client library, or what is wrong with it and what to type."""
    try:
        path = wheel.library()
        wheel.verify(path)
    except WasessError as error:
        return None, str(error), f"pip install --force-reinstall neonize=={wheel.VERSION}"
    except OSError as error:
        return None, str(error), f"pip install --force-reinstall neonize=={wheel.VERSION}"
    return path, "", ""


def _repaired(home: Home, seen: Circumstances) -> list[Repair]:
    from wasess.doctor.examination import look_for_sessions  # noqa: PLC0415 - only for those who want it
    from wasess.doctor.repair import repair_files, repair_stuck, stuck  # noqa: PLC0415 - as above

    done = repair_files(home, seen.user)
    return done + repair_stuck(home, stuck(look_for_sessions(home, seen.user)))


def _pack(path: Path, home: Home, diagnosis: Diagnosis) -> None:
    from wasess.doctor.bundle import pack  # noqa: PLC0415 - only for those who want it

    pack(path, home, diagnosis, lambda public: "\n".join(Page().lines(public)))


def _result(diagnosis: Diagnosis, repairs: list[Repair], bundle: Path | None) -> Result:
    data: dict[str, Any] = {
        **document(diagnosis),
        "repairs": [asdict(repair) for repair in repairs],
        "bundle": str(bundle.absolute()) if bundle else None,
    }
    width = window_width(sys.stdout)
    page = tuple(Page(min(width, WIDEST) or UNWRAPPED, colourful=colourful(sys.stdout)).lines(diagnosis, repairs))
    lines = (_("written: {path}").format(path=bundle),) if bundle else ()
    hint = next((found.fix for found in diagnosis.all_findings() if found.level in {"error", "warning"}), "")
    return Result(data, lines, hint=hint, exit_code=diagnosis.exit_code, text=page)
