"""The file of settings, ``wasess.toml``: which one it is, whether it can be trusted, and what is in it.

A flag wins over an environment variable, that over the file, that over the default. The file is the one of ``--config``, else of
``WASESS_CONFIG``, else ``wasess.toml`` in the working directory, if there is one. It can name code to run: one that others could have
written is refused. Nothing is read before something is asked for.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from wasess.errors import UsageError
from wasess.words import LANGUAGES, _

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "wasess.toml"
OPTION = "--config"
VARIABLE = "WASESS_CONFIG"
LARGEST = 2**18
DEEPEST = 100
OTHERS_WRITE = 0o022
YES = frozenset({"1", "true", "t", "yes", "y", "on"})  # typer's own words

Table = dict[str, Any]


class SettingsFile:
    """``path`` is absolute, and empty when there is no file. ``named_by``: the flag or variable that names it, empty when it was found."""

    def __init__(self, path: str, named_by: str = "") -> None:
        self.path = path
        self.named_by = named_by
        self._content: Table | None = None

    @classmethod
    def find(cls, arguments: list[str], environ: Mapping[str, str]) -> SettingsFile:
        """Look at the options before the command, at the environment and into the working directory."""
        named = _option(arguments)
        if named is not None:
            return cls(_absolute(named) if named else "", OPTION)
        if environ.get(VARIABLE):
            return cls(_absolute(environ[VARIABLE]), VARIABLE)
        return cls(_absolute(NAME) if os.path.lexists(NAME) else "")

    def content(self) -> Table:
        """What is in the file: tables and values by their names, ``-`` for ``_``; empty without a file. Raises `UsageError`."""
        if self._content is None:
            self._content = _tidy(_parsed(self.path, self._read()), self.path) if self.path else {}
        return self._content

    def language(self) -> str:
        """The language it asks for, empty for none. Says nothing of a file that is wrong: whoever asks for its content hears of it."""
        try:
            wish = self.content().get("lang", "")
        except UsageError:
            return ""
        return wish if wish in LANGUAGES else ""

    def wants_json(self, command: str) -> bool:
        """Whether a command's answer, and so its complaint, is to be JSON. Says nothing of a file that is wrong."""
        try:
            content = self.content()
        except UsageError:
            return False
        table = content.get(command)
        return (table.get("json", content.get("json")) if isinstance(table, dict) else content.get("json")) is True

    def _read(self) -> bytes:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            hint = _("name another file: {option} FILE").format(option=OPTION) if self.named_by else f"ls -l {self.path}"
            raise UsageError(_("{file} can't be read ({problem})").format(file=self.path, problem=error.strerror), hint=hint) from error
        try:
            _require_trust(self.path, os.fstat(descriptor))
        except UsageError:
            os.close(descriptor)
            raise
        with os.fdopen(descriptor, "rb") as file:
            if not self.named_by and os.lstat(self.path).st_uid not in {0, os.geteuid()}:
                raise _foreign(self.path)
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UsageError(_("{file} is too large for a file of settings").format(file=self.path), hint=f"ls -l {self.path}")
        return content


def json_by_environment(environ: Mapping[str, str]) -> bool | None:
    """What ``WASESS_JSON`` says; None when it says nothing."""
    word = environ.get("WASESS_JSON", "").strip().lower()
    return word in YES if word else None


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100 - every command comes here, and pathlib is slower
    except OSError:  # the working directory is gone
        return path


def _option(arguments: list[str]) -> str | None:
    """The value of ``--config`` among the options before the command."""
    found, left = None, iter(arguments)
    for argument in left:
        if argument == OPTION:
            found = next(left, "")
        elif argument.startswith(f"{OPTION}="):
            found = argument.removeprefix(f"{OPTION}=")
        elif not argument.startswith("-") or argument == "--":
            break
    return found


def _require_trust(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(_("{file} is not a file").format(file=path), hint=_("name another file: {option} FILE").format(option=OPTION))
    if status.st_uid not in {0, os.geteuid()}:  # root could do what it likes anyway, and owns what is installed
        raise _foreign(path)
    if status.st_mode & OTHERS_WRITE:
        raise UsageError(
            _("{file} can be written by other users, and it can name code to run; it was not used").format(file=path),
            hint=f"chmod go-w {path}",
        )


def _foreign(path: str) -> UsageError:
    return UsageError(
        _("{file} belongs to another user, and it can name code to run; it was not used").format(file=path),
        hint=_("name a file of your own: {option} FILE").format(option=OPTION),
    )


def _parsed(path: str, content: bytes) -> Table:
    import tomllib  # noqa: PLC0415 - only who has a file of settings needs it

    hint = f"${{EDITOR:-vi}} {path}"
    try:
        _require_short_keys(content)
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(_("{file} is not UTF-8 (at line {line})").format(file=path, line=line), hint=hint) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_("{file} is not valid TOML: {problem}").format(file=path, problem=error), hint=hint) from error
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of thousands of digits, a key of as many parts
        raise UsageError(
            _("{file} is not valid TOML: {problem}").format(file=path, problem=_("too deep or too long")), hint=hint
        ) from error


def _require_short_keys(content: bytes) -> None:
    """Raise ValueError for what tomllib would take too long for: half a minute for a key of 32,000 parts."""
    if any(line.partition(b"=")[0].count(b".") > DEEPEST for line in content.splitlines()):
        raise ValueError("a key of too many parts")


def _tidy(table: Table, path: str, name: str = "") -> Table:
    """The same with ``-`` in place of ``_`` in keys, two levels deep."""
    tidy: Table = {}
    for key, value in table.items():
        plain = key.replace("_", "-")
        if plain in tidy:
            where = f"[{name}] {plain}" if name else plain
            raise UsageError(_("{file}: {key} is set twice").format(file=path, key=where), hint=f"${{EDITOR:-vi}} {path}")
        tidy[plain] = _tidy(value, path, plain) if isinstance(value, dict) and not name else value
    return tidy
