"""The user's bot function in a process of its own: ``python -m wasess.delivery.bot_process FILE.py FUNCTION [--check]``.

NDJSON. On stdin: ``{"n": 1, "message": {fields of core.message.Message}}``. On stdout: first ``{"ready": true}`` or
``{"failed": "sentence"}``, then ``{"n": 1, "reply": "text" | null}`` or ``{"n": 1, "error": "ValueError at bot.py:12"}``.
The function itself sees an empty stdin, and what it prints goes to stderr. The process ends when its stdin does.

Messages run in eight threads. Coroutine functions share one event loop. An error is told by its type and place only: its words
may quote the message.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from wasess.core.message import Message
from wasess.words import _, language, speak

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable

THREADS = 8
LONGEST_REPLY = 65_536  # characters; WhatsApp takes no more
MODULE_NAME = "wasess_bot"


class NotABot(Exception):
    """The file holds no function that can be called with one message."""


class BadReply(Exception):
    """The function returned something that can't be sent."""


def main(arguments: list[str]) -> int:
    """Serve until stdin ends. Exit code 1 when the function can't be loaded."""
    speak(language(os.environ))
    file, name, *options = arguments
    requests, answers = _take_over_pipes()
    try:
        function, wants_text = load(Path(file), name)
    except BaseException as error:  # noqa: BLE001 - the user's module may raise anything, SystemExit too
        _write(answers, {"failed": explain(error, file)})
        return 1
    _write(answers, {"ready": True})
    if "--check" not in options:
        _serve(function, wants_text, file, requests, answers)
    return 0


def load(file: Path, name: str) -> tuple[Callable[[Any], Any], bool]:
    """Import the file (its folder comes first on ``sys.path``) and return the function and whether it wants a plain text."""
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(MODULE_NAME, file)
    if spec is None or spec.loader is None:
        raise NotABot(_("{file} is not a Python file").format(file=file.name))
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise NotABot(_("{file} has no function {name}").format(file=file.name, name=name))
    return function, wants_text(function)


def wants_text(function: Callable[..., Any]) -> bool:
    """Whether the first parameter is annotated ``str``, or has no annotation and is named ``text``."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # some built-in callables have none
    try:
        signature.bind(None)
    except TypeError as error:
        raise NotABot(
            _("{function} can't be called with one argument, the message").format(function=getattr(function, "__name__", _("the function")))
        ) from error
    parameter = next(iter(signature.parameters.values()))
    if parameter.annotation is inspect.Parameter.empty:
        return parameter.name == "text"
    return parameter.annotation in {str, "str"}


def explain(error: BaseException, file: str) -> str:
    """Say why the bot can't be loaded. No message has been seen yet, so the error's words are safe to repeat."""
    if isinstance(error, NotABot):
        return str(error)
    if isinstance(error, SyntaxError):
        return _("{error} at {file}:{line}").format(error=error.msg, file=Path(error.filename or file).name, line=error.lineno)
    return f"{place(error, file)}: {error}"


def place(error: BaseException, file: str) -> str:
    """``ValueError at bot.py:12``: the innermost line of the user's own file, else the innermost line of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or frames
    return (
        _("{error} at {file}:{line}").format(error=type(error).__name__, file=Path(own[-1].filename).name, line=own[-1].lineno)
        if own
        else type(error).__name__
    )


def _take_over_pipes() -> tuple[TextIO, TextIO]:
    """Keep the two pipes for ourselves; the bot gets an empty stdin, and stderr for its stdout."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # it is a TextIOWrapper: nobody has replaced it yet
    return requests, answers


def _serve(function: Callable[[Any], Any], wants_text: bool, file: str, requests: TextIO, answers: TextIO) -> None:  # noqa: FBT001 - private, called once
    loop = _Loop()
    writing = threading.Lock()

    def answer(number: int, message: Message) -> None:
        try:
            result = function(message.text if wants_text else message)
            if inspect.isawaitable(result):
                result = loop.finish(result)
            reply = {"n": number, "reply": checked(result)}
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises concerns this message only
            reply = {"n": number, "error": str(error) if isinstance(error, BadReply) else place(error, file)}
        with writing:
            _write(answers, reply)

    pool = ThreadPoolExecutor(THREADS)
    for line in requests:
        request = json.loads(line)
        pool.submit(answer, request["n"], Message(**request["message"]))
    os._exit(0)  # without waiting for functions that still run: the manager is gone or has given up on them


class _Loop:
    """The event loop of all coroutine functions. Plain functions, the common case, never pay for the import of asyncio."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._loop: AbstractEventLoop | None = None

    def finish(self, result: Awaitable[Any]) -> Any:
        """Run it to its end, from any thread."""
        import asyncio  # noqa: PLC0415 - 60 ms and 6 MB

        with self._making:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True).start()

        async def waiting() -> Any:
            return await result

        return asyncio.run_coroutine_threadsafe(waiting(), self._loop).result()


def checked(result: Any) -> str | None:
    """Return the reply if it can be sent: a text of up to 65,536 characters, or None. An empty text is no reply."""
    if result is None or result == "":
        return None
    if not isinstance(result, str):
        raise BadReply(_("returned {kind} instead of a text or None").format(kind=type(result).__name__))
    if len(result) > LONGEST_REPLY:
        raise BadReply(_("returned a text of {length} characters; WhatsApp takes {most}").format(length=len(result), most=LONGEST_REPLY))
    try:
        result.encode()
    except UnicodeEncodeError:
        raise BadReply(_("returned a text that is not valid Unicode")) from None
    return result


def _write(answers: TextIO, answer: dict[str, Any]) -> None:
    """To a manager that has been killed: nothing, and stdin ends the process."""
    with suppress(BrokenPipeError):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
