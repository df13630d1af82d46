"""What a command came to, as values, and the one JSON envelope for all of them."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wasess.cli.language import in_our_words
from wasess.errors import Interrupted, StoreError, UsageError, WasessError
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Result:
    """A good end. ``data`` is for ``--json``, the rest for people.

    ``lines`` are sentences, ``table`` begins with headings, ``hint`` is the next thing to do; ``text`` is printed as it is.
    """

    data: Mapping[str, Any]
    lines: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    hint: str = ""
    exit_code: int = 0
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A bad end, ready to be said."""

    code: str
    message: str
    exit_code: int
    retryable: bool = False
    hint: str = ""


def success_envelope(result: Result) -> dict[str, Any]:
    """The document of a good end: ``{"schema": 1, "ok": true, "data": …, "error": null}``."""
    return {"schema": SCHEMA, "ok": result.exit_code == 0, "data": dict(result.data), "error": None}


def failure_envelope(failure: Failure) -> dict[str, Any]:
    """The document of a bad end: ``{"schema": 1, "ok": false, "data": null, "error": {"code", "message", "retryable", "hint"}}``."""
    error = {"code": failure.code, "message": failure.message, "retryable": failure.retryable, "hint": failure.hint}
    return {"schema": SCHEMA, "ok": False, "data": None, "error": error}


def failure_of(error: BaseException) -> Failure:
    """Turn whatever a command raised into a failure with its exit code."""
    if isinstance(error, WasessError):
        return Failure(error.code, str(error), error.exit_code, error.retryable, error.hint)
    if isinstance(error, KeyboardInterrupt):
        return Failure(Interrupted.code, _("interrupted"), Interrupted.exit_code)
    if hasattr(error, "format_message"):  # typer's own usage errors; their class has moved between typer's releases
        return Failure(UsageError.code, in_our_words(error.format_message()), UsageError.exit_code, hint=_help_of(error))
    if isinstance(error, OSError) and error.filename is not None:
        return _of_system(error)
    sentence = _("unexpected error: {kind}: {detail}").format(kind=type(error).__name__, detail=error)
    return Failure(WasessError.code, sentence, WasessError.exit_code, hint=_("run again with WASESS_DEBUG=1 for the traceback"))


def _of_system(error: OSError) -> Failure:
    """What the operating system refused, and with which file."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
    sentence = _("{path}: {problem}").format(path=path, problem=error.strerror)
    return Failure(StoreError.code, sentence, StoreError.exit_code, hint=f"ls -ld {shlex.quote(path)}")


def _help_of(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context else "wasess --help"
