"""`wasess sandbox …`: run a WhatsApp stand-in on this machine, and be the people around it."""

from __future__ import annotations

import asyncio
import importlib
import json as json_format
import signal
import socket
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from wasess.cli.options import JsonOption, UserArgument, in_range
from wasess.cli.render import emit, in_json
from wasess.cli.result import Result
from wasess.errors import SandboxError, UsageError
from wasess.link.contract import Contract
from wasess.words import _

DEFAULT_FOLDER = Path(".sandbox")
DEFAULT_CONTRACT = DEFAULT_FOLDER / "contract.json"
CAMERA_LOOKS_EVERY = 0.05
ANSWERS_WITHIN = 60.0

app = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="Run and steer a WhatsApp stand-in on this machine."
)

ContractOption = Annotated[
    Path,
    typer.Option("--sandbox", envvar="WASESS_SANDBOX", metavar="FILE", help="Steer the stand-in of this contract file."),
]
PhoneOption = Annotated[str, typer.Option("--phone", metavar="NUMBER", help="Use the phone with this number instead of the user's own.")]


@app.command()
def serve(
    *,
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Put the contract, the CA and the control socket there.")
    ] = DEFAULT_FOLDER,
    json: JsonOption = False,
) -> int:
    """Run a stand-in until Ctrl+C.

    Prints the path of its contract once it answers.
    """
    try:
        stand_in = importlib.import_module("wasess.sandbox.usecases").Sandbox
    except ModuleNotFoundError as error:
        raise UsageError(_("the sandbox needs the package {name}").format(name=error.name), hint="pip install 'wasess[sandbox]'") from error
    asyncio.run(_run(stand_in(folder), as_json=json))
    return 0


@app.command()
def scan(
    *,
    user: UserArgument,
    text: Annotated[str, typer.Option(metavar="TEXT", help="Scan this text of a code instead of what `wasess connect USER` shows.")] = "",
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Scan this picture instead.")] = None,
    phone: PhoneOption = "",
    timeout: Annotated[
        float, typer.Option(min=0, max=3600, callback=in_range, metavar="SECONDS", help="Wait so long for a code to be shown.")
    ] = 30,
    sandbox: ContractOption = DEFAULT_CONTRACT,
    json: JsonOption = False,
) -> int:
    """Scan the code that a user shows, or will show."""
    contract = Contract.load(sandbox)
    code = text or (_decoded(png) if png else _seen_by_camera(contract, user, timeout))
    linked = _ask(contract, "scan", user=user, qr=code, phone=phone)
    return emit(
        Result(linked, (_("the phone of {user} has linked device {device}").format(user=user, device=linked["device"]),)), as_json=json
    )


@app.command("enter-code")
def enter_code(
    *,
    user: UserArgument,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The 8 characters `wasess connect USER --phone` shows.", show_default=False)],
    phone: PhoneOption = "",
    sandbox: ContractOption = DEFAULT_CONTRACT,
    json: JsonOption = False,
) -> int:
    """Type a pairing code into the phone of a user."""
    linked = _ask(Contract.load(sandbox), "enter-code", user=user, code=code, phone=phone)
    return emit(
        Result(linked, (_("the phone of {user} has linked device {device}").format(user=user, device=linked["device"]),)), as_json=json
    )


@app.command()
def say(
    *,
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="Who writes; a new name is a new contact.", show_default=False)],
    user: UserArgument,
    text: Annotated[
        str,
        typer.Argument(metavar="[TEXT]", help="The text, caption, emoji, question or option; not needed everywhere.", show_default=False),
    ] = "",
    group: Annotated[str, typer.Option(metavar="NAME", help="Write in this group of the two instead.")] = "",
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Send a file, with the text as its caption.")] = None,
    voice: Annotated[bool, typer.Option("--voice", help="Send the file as a voice message.")] = False,
    reply_to: Annotated[str, typer.Option(metavar="ID", help="Answer this message.")] = "",
    react_to: Annotated[
        str, typer.Option(metavar="ID", help="React to this message with the text; without one take a reaction back.")
    ] = "",
    edit: Annotated[str, typer.Option(metavar="ID", help="Replace the text of this message.")] = "",
    delete: Annotated[str, typer.Option(metavar="ID", help="Delete this message for everyone.")] = "",
    poll: Annotated[list[str] | None, typer.Option(metavar="OPTION", help="Ask the text as a poll with this option; repeat it.")] = None,
    vote: Annotated[str, typer.Option(metavar="ID", help="Vote for the text in this poll.")] = "",
    location: Annotated[str, typer.Option(metavar="LATITUDE,LONGITUDE", help="Send a place, with the text as its name.")] = "",
    sandbox: ContractOption = DEFAULT_CONTRACT,
    json: JsonOption = False,
) -> int:
    """Let a contact write to a user.

    As in: say carol alice "look" --file photo.jpg. An ID is what this command printed, or that of a message of the user's.
    """
    orders = {"reply_to": reply_to, "react_to": react_to, "edit": edit, "delete": delete, "poll": poll, "vote": vote, "location": location}
    if not (text or file or react_to or delete or location):
        raise UsageError(_("there is nothing to say: no TEXT, no --file"), hint=f"wasess sandbox say {contact} {user} TEXT")
    if voice and not file:
        raise UsageError(_("--voice needs a --file"), hint=f"wasess sandbox say {contact} {user} --voice --file FILE")
    attached = {"file": str(file.absolute()), "voice": voice} if file else {}
    wishes = {name: value for name, value in orders.items() if value}
    said = _ask(Contract.load(sandbox), "say", contact=contact, user=user, text=text, group=group, **attached, **wishes)
    return emit(Result(said, (_("sent {id}").format(id=said["id"]),)), as_json=json)


@app.command()
def fault(
    *,
    user: Annotated[str, typer.Argument(metavar="USER", help="The session to break; '*' for all.", show_default=False)],
    words: Annotated[
        list[str], typer.Argument(metavar="FAULT...", help="The kind of fault, then its phase and settings.", show_default=False)
    ],
    sandbox: ContractOption = DEFAULT_CONTRACT,
    json: JsonOption = False,
) -> int:
    """Break something for a user.

    As in: fault alice refuse connect seconds=45. A wrong word lists what there is.
    """
    broken = _ask(Contract.load(sandbox), "fault", user=user, words=words)
    return emit(Result(broken, (f"{user}: {broken['kind']}",)), as_json=json)


@app.command()
def clear(*, user: UserArgument, sandbox: ContractOption = DEFAULT_CONTRACT, json: JsonOption = False) -> int:
    """End the faults of a user.

    '*' ends those that were set for all.
    """
    return _simple("clear", user, sandbox, _("{user}: no faults").format(user=user), as_json=json)


@app.command()
def unlink(*, user: UserArgument, sandbox: ContractOption = DEFAULT_CONTRACT, json: JsonOption = False) -> int:
    """Remove a user's device on the phone, under Linked devices."""
    return _simple("unlink", user, sandbox, _("{user}: unlinked on the phone").format(user=user), as_json=json)


@app.command()
def passkey(*, user: UserArgument, sandbox: ContractOption = DEFAULT_CONTRACT, json: JsonOption = False) -> int:
    """Ask a user who waits to be linked for a passkey."""
    return _simple("passkey", user, sandbox, _("{user}: asked for a passkey").format(user=user), as_json=json)


@app.command()
def state(*, sandbox: ContractOption = DEFAULT_CONTRACT, json: JsonOption = False) -> int:
    """Show what the stand-in knows and has seen."""
    facts = _ask(Contract.load(sandbox), "state")
    data = facts if isinstance(facts, dict) else {"facts": facts}
    return emit(Result(data, text=(in_json(facts, indent=1),)), as_json=json)


def _simple(verb: str, user: str, contract_file: Path, sentence: str, *, as_json: bool) -> int:
    _ask(Contract.load(contract_file), verb, user=user)
    return emit(Result({"user": user}, (sentence,)), as_json=as_json)


async def _run(stand_in: Any, *, as_json: bool) -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with stand_in:
        contract = str(stand_in.contract_path.absolute())
        emit(Result({"contract": contract}, text=(contract,), hint=f"export WASESS_SANDBOX={contract}"), as_json=as_json)
        await over.wait()


def _ask(contract: Contract, verb: str, **request: object) -> Any:
    """One question to the running stand-in. Raises `SandboxError` with its answer when that is no."""
    if contract.control is None:
        raise UsageError(_("this stand-in has no control socket; only our own has"), hint="wasess sandbox serve")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWERS_WITHIN)
            connection.connect(str(contract.control))
            connection.sendall(json_format.dumps({"verb": verb, **request}).encode() + b"\n")
            answer = json_format.loads(connection.makefile("rb").readline())
    except (OSError, ValueError) as error:
        raise SandboxError(_("the sandbox does not answer ({error})").format(error=error), hint="wasess sandbox serve") from error
    if not answer["ok"]:
        raise SandboxError(_("the sandbox says: {answer}").format(answer=answer["error"]))
    return answer["data"]


def _seen_by_camera(contract: Contract, user: str, timeout: float) -> str:
    """The code `wasess connect USER` shows now or soon."""
    if contract.camera is None:
        raise UsageError(_("this stand-in has no camera"), hint=f"wasess sandbox scan {user} --text TEXT")
    deadline = time.monotonic() + timeout
    while True:
        try:
            return (contract.camera / user).read_text()
        except FileNotFoundError as error:
            if time.monotonic() >= deadline:
                raise SandboxError(
                    _("no code of {user} was shown within {seconds:.0f} s").format(user=user, seconds=timeout),
                    hint=f"wasess connect {user}",
                ) from error
            time.sleep(CAMERA_LOOKS_EVERY)


def _decoded(png: Path) -> str:
    try:
        zxingcpp = importlib.import_module("zxingcpp")
        image = importlib.import_module("PIL.Image")
    except ModuleNotFoundError as error:
        raise UsageError(
            _("reading a picture needs the package {name}").format(name=error.name), hint="pip install 'wasess[sandbox]'"
        ) from error
    try:
        with image.open(png) as picture:
            found = [code.text for code in zxingcpp.read_barcodes(picture)]
    except OSError as error:
        raise UsageError(_("{png} can't be read as a picture ({error})").format(png=png, error=error)) from error
    if not found:
        raise UsageError(_("there is no code in {png}").format(png=png))
    return str(found[0])
