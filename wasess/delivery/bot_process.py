"""The user's bot function in a process of its own: ``python -P -m wasess.delivery.bot_process FILE.py FUNCTION [--check] [--files] [--module=NAME]``.

NDJSON. On stdin: ``{"n": 1, "message": {fields of core.message.Message}}``. On stdout: first ``{"ready": true}`` or
``{"failed": "sentence"}``, then ``{"n": 1, "reply": "text" | {fields of core.message.Reply} | [several] | null}`` or
``{"n": 1, "error": "ValueError at bot.py:12"}``. A ``{"failed": "sentence"}`` later says why it ends.
With ``--files`` there are ``"files": ["path", …]`` in the first line: the modules that were loaded from the bot's folder (and, when it
failed, the folder), and a line of these when more are loaded later.

The function itself sees an empty stdin, and what it prints goes to stderr. The process ends when its stdin does, and when a function is
out of memory: that may be another one's leak, and only an end frees it.

Messages run in eight threads. Coroutine functions share one event loop. An error is told by its type and place only: its words
may quote the message.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from wasess.core.message import ABOUT_ANOTHER, Message
from wasess.errors import UsageError
from wasess.store.trust import CODE, require_trust
from wasess.words import _, language, speak

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable, Iterable
    from types import ModuleType

THREADS = 8
MODULE_NAME = "wasess_bot"  # of a file whose own name is another module's
NAMED = "--module="


class NotABot(Exception):
    """The file holds no function that can be called with one message."""


def main(arguments: list[str]) -> int:
    """Serve until stdin ends. Exit code 1 when the function can't be loaded."""
    speak(language(os.environ))
    file, name, *options = arguments
    requests, stdout = _take_over_pipes()
    sources = _Sources(os.path.dirname(file) if "--files" in options else "")  # noqa: PTH120 - compared as texts
    answers = _Answers(stdout, sources)
    if "--check" not in options:
        _prepare()
    module = next((option.removeprefix(NAMED) for option in options if option.startswith(NAMED)), "")
    try:
        function, wants_text = load(Path(file), name, module)
    except BaseException as error:  # noqa: BLE001 - the user's module may raise anything, SystemExit too
        answers.write({"failed": explain(error, file), **sources.after(error)})
        return 1
    answers.write({"ready": True, **sources.news()})
    if "--check" not in options:
        _Server(function, file, answers, wants_text=wants_text).serve(requests)
    return 0


def load(file: Path, name: str, module: str = "") -> tuple[Callable[[Any], Any], bool]:
    """Import the file and return the function and whether it wants a plain text. ``module``: the dotted name of one in a package.

    What the file imports is looked for in the standard library, then beside it (a link: beside its target), then among what is installed: no file
    there can take the place of a module that Python or wasess itself needs. The working directory does not count.
    """
    folders = levels(file, module)
    require_trust(file, CODE, imports=folders)  # each time: it may have changed since wasess was started
    sys.path.insert(_behind_the_library(), str((file if module else file.resolve()).parents[folders - 1]))
    loaded = importlib.import_module(module) if module else _loaded(file)
    function = getattr(loaded, name, None)
    if not callable(function):
        raise NotABot(_("{file} has no function {name}").format(file=file.name, name=name))
    return function, wants_text(function)


def levels(file: Path, module: str) -> int:
    """From how many of the folders that it is in modules are loaded: its own, and those of the packages around it."""
    return len(module.split(".")) + (file.stem == "__init__") if module else 1


def _loaded(file: Path) -> ModuleType:
    """The file as a module of its own name: process pools and pickles find it by that, and whoever imports it gets the same one."""
    taken = file.stem in sys.modules or file.stem in sys.stdlib_module_names
    spec = importlib.util.spec_from_file_location(file.stem if file.stem.isidentifier() and not taken else MODULE_NAME, file)
    if spec is None or spec.loader is None:
        raise NotABot(_("{file} is not a Python file").format(file=file.name))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _behind_the_library() -> int:
    """Where on ``sys.path`` what is installed begins."""
    installed = (number for number, path in enumerate(sys.path) if Path(path).name in {"site-packages", "dist-packages"})
    return next(installed, len(sys.path))


def _prepare() -> None:
    """Load what serving needs, before the bot's folder is looked into: with `replies` 20 ms, which a mere check need not wait for."""
    import msgspec  # noqa: F401, PLC0415 - see above

    import wasess.delivery.replies  # noqa: F401, PLC0415 - see above


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
    if isinstance(error, (NotABot, UsageError)):
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


def home(function: Callable[..., Any], file: str) -> str:
    """``reply at bot.py:12``: where a function begins; of an object that can be called, its method."""
    found = inspect.unwrap(function)
    code = getattr(found, "__code__", None) or getattr(type(found).__call__, "__code__", None)
    if code is None:
        return Path(file).name
    return _("{error} at {file}:{line}").format(error=code.co_name, file=Path(code.co_filename).name, line=code.co_firstlineno)


def plain(part: Any) -> Any:
    """A text of a class of its own (markup, an enum's) as a mere text; all else as it is."""
    return str.__str__(part) if isinstance(part, str) else part


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


class _Server:
    """Has the function answer messages, in threads."""

    def __init__(self, function: Callable[[Any], Any], file: str, answers: _Answers, *, wants_text: bool) -> None:
        import msgspec  # noqa: PLC0415 - see `_prepare`

        from wasess.delivery.replies import BadReply, read_replies  # noqa: PLC0415 - as above

        self._msgspec, self._bad_reply, self._read_replies = msgspec, BadReply, read_replies
        self._function = function
        self._file = file
        self._answers = answers
        self._wants_text = wants_text
        self._loop = _Loop()
        self._requests: SimpleQueue[str] = SimpleQueue()
        # msgspec 0.22 crashes (SIGSEGV) when two threads are the first to make an object of one class: here is one that is the first.
        msgspec.convert(msgspec.to_builtins(Message("", "", "", "", 0.0)), Message)
        read_replies("x")

    def serve(self, requests: TextIO) -> NoReturn:
        """Answer until there are no more. Functions that still run then end with the process: the manager has given up on them."""
        for _number in range(THREADS):
            threading.Thread(target=self._work, daemon=True).start()
        for line in requests:
            self._requests.put(line)
        os._exit(0)

    def _work(self) -> None:
        while True:
            request = json.loads(self._requests.get())
            self._answers.write({"n": request["n"], **self._answer(request["message"])})

    def _answer(self, fields: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"reply": self._reply(self._msgspec.convert(fields, Message))}
        except MemoryError:
            self._answers.write({"failed": _("it needs more memory than it may have")})
            os._exit(1)
        except self._bad_reply as problem:
            return {"error": f"{problem} ({home(self._function, self._file)})"}
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises concerns this message only
            return {"error": place(error, self._file)}

    def _reply(self, message: Message) -> Any:
        if self._wants_text and (not message.text or message.kind in ABOUT_ANOTHER):
            return None
        result = self._function(message.text if self._wants_text else message)
        if inspect.isawaitable(result):
            result = self._loop.finish(result)
        result = [plain(part) for part in result] if isinstance(result, (list, tuple)) else plain(result)
        self._read_replies(result)
        return self._msgspec.to_builtins(result)


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


class _Answers:
    """Writes lines, from any thread."""

    def __init__(self, stdout: TextIO, sources: _Sources) -> None:
        self._stdout = stdout
        self._sources = sources
        self._writing = threading.Lock()

    def write(self, line: dict[str, Any]) -> None:
        """To a manager that has been killed: nothing, and stdin ends the process."""
        news = self._sources.news()
        with self._writing, suppress(BrokenPipeError):
            for part in filter(None, (line, news)):
                self._stdout.write(json.dumps(part) + "\n")
            self._stdout.flush()


class _Sources:
    """The files of what was loaded from the bot's folder, but not of a Python environment in it. Without a folder, none."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._modules = 0

    def news(self) -> dict[str, list[str]]:
        """The files, if something has been loaded since they were last asked for."""
        if not self._folder or len(sys.modules) == self._modules:
            return {}
        self._modules = len(sys.modules)
        return {"files": self._own(getattr(module, "__dict__", {}).get("__file__") for module in [*sys.modules.values()])}

    def after(self, error: BaseException) -> dict[str, list[str]]:
        """The files that may be to blame, and the folder: there may be one too few in it."""
        if not self._folder:
            return {}
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        return {"files": [self._folder, *self._own([*frames, getattr(error, "filename", None)]), *self.news().get("files", [])]}

    def _own(self, files: Iterable[Any]) -> list[str]:
        own = {file for file in files if isinstance(file, str) and file.startswith(self._folder + os.sep)}
        if sys.prefix.startswith(self._folder + os.sep):
            own = {file for file in own if not file.startswith(sys.prefix + os.sep)}
        return sorted(own)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # without waiting for threads that the user's file has started
