"""Where an option's value comes from when no flag gives it: the variable that each option has, and the file of settings as typer's defaults.

Keys of the file are named as the flags. Shared options stand at its top and count for every command that has them; a table for each
command (``[serve]``, ``[sandbox-say]``) holds the others, and wins. Files and folders are relative to the file's own folder.
"""

from __future__ import annotations

import os
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from wasess.errors import UsageError
from wasess.words import LANGUAGES, VARIABLES, _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from wasess.cli.result import Failure
    from wasess.cli.settings_file import SettingsFile, Table

# What may stand at the top of the file.
SHARED = ("home", "sandbox", "wa-version", "json", "lang")
PATHS = ("FILE", "DIR")  # how the metavar of an option begins that names a file or folder
# typer's names for the sources of a value, and ours.
SOURCES = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": "file", "DEFAULT": "default"}

Words = tuple[str, ...]


def key_of(option: Any) -> str:
    """An option's name in the file: its long flag without the dashes."""
    return str(next(flag for flag in option.opts if flag.startswith("--"))).removeprefix("--")


def options_of(command: Any) -> dict[str, Any]:
    """A command's options by their names in the file. What merely shows something and ends is no setting."""
    return {key_of(option): option for option in command.params if option.param_type_name == "option" and not option.is_eager}


def name_variables(command: Any, words: Words) -> Any:
    """Give each option that has none its variable, ``WASESS_COMMAND_OPTION``, after its flag; in commands below, too."""
    for key, option in options_of(command).items():
        option.envvar = option.envvar or "_".join(("WASESS", *words, key)).upper().replace("-", "_")
    for name, below in getattr(command, "commands", {}).items():
        name_variables(below, (*words, name))
    return command


def leaves(command: Any, words: Words) -> Iterator[tuple[Words, Any]]:
    """The commands that can be called, of this one and those below."""
    below = getattr(command, "commands", {})
    if not below:
        yield words, command
    for name, part in below.items():
        yield from leaves(part, (*words, name))


class FileDefaults(dict[str, Any]):
    """The ``default_map`` of a whole command line: read and checked when typer asks for the defaults of a command.

    Checked is what is at the top of the file, and the tables of that command. ``load`` returns a command by its first word, None when
    there is none; ``names`` are the commands there are. ``language_from``: see `language_source`.
    ``for_help``: there are no defaults in a file that is wrong.
    """

    def __init__(
        self,
        file: SettingsFile,
        names: Iterable[str],
        load: Callable[[str], Any],
        language_from: tuple[str, str] = ("default", ""),
        *,
        for_help: bool = False,
    ) -> None:
        super().__init__()
        self.file = file
        self._for_help = for_help
        self.language_from = language_from
        self._names = tuple(names)
        self._load = load

    def get(self, name: str, default: Any = None) -> Any:
        """The defaults of a command: by option, or by command below it. Raises `UsageError`."""
        command = self._load(name) if self.file.path else None
        if command is None:
            return default
        try:
            self._check_top()
            return self._defaults(command, (name,))
        except UsageError:
            if not self._for_help:
                raise
            return default

    def _defaults(self, command: Any, words: Words) -> Table:
        below = getattr(command, "commands", {})
        if below:
            return {name: self._defaults(part, (*words, name)) for name, part in below.items()}
        content, table, options = self.file.content(), "-".join(words), options_of(command)
        shared = {key: content[key] for key in SHARED if key in content and key in options}
        own = content.get(table, {})
        for key in own.keys() - options.keys():
            raise self._unknown(f"[{table}] {key}", key, options, " ".join(words))
        found = {key: self._value(key, options[key], value) for key, value in shared.items()}
        found |= {key: self._value(f"[{table}] {key}", options[key], value) for key, value in own.items()}
        return {options[key].name: value for key, value in found.items() if value != ""}

    def _check_top(self) -> None:
        for key, value in self.file.content().items():
            is_table = isinstance(value, dict)
            known = self._tables(key) if is_table else SHARED
            if key not in known:
                raise self._unknown(f"[{key}]" if is_table else key, key, known)
        wish = self.file.content().get("lang", "")
        if wish and wish not in LANGUAGES:
            raise self._wrong("lang", "en, es")

    def _tables(self, key: str) -> list[str]:
        """Every table there may be; a group of commands is loaded only when one of its is meant."""
        names = []
        for name in self._names:
            command = self._load(name) if key == name or key.startswith(f"{name}-") else None
            names += ["-".join(words) for words, _command in leaves(command, (name,))] if command else [name]
        return names

    def _value(self, where: str, option: Any, value: Any) -> Any:
        """The value as typer takes it, when it is of the right type."""
        if not option.multiple:
            return self._single(where, option, value)
        if not isinstance(value, list):
            raise self._wrong(where, _("a list: [ … ]"))
        return [self._single(where, option, part) for part in value]

    def _single(self, where: str, option: Any, value: Any) -> Any:
        wanted, sentence = _type_of(option)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise self._wrong(where, sentence)
        if isinstance(value, float) and not isfinite(value):
            raise self._wrong(where, sentence)
        if isinstance(value, str) and not value.isprintable():
            raise self._wrong(where, _("a text without control characters"))
        if isinstance(value, str) and value and (option.metavar or "").startswith(PATHS):
            return os.path.join(os.path.dirname(self.file.path), os.path.expanduser(value))  # noqa: PTH111, PTH118, PTH120 - a bot, as in bot.py:reply, is no path
        return value

    def _wrong(self, where: str, sentence: str) -> UsageError:
        message = _("{file}: {key} must be {kind}").format(file=self.file.path, key=where, kind=sentence)
        return UsageError(message, hint=f"${{EDITOR:-vi}} {self.file.path}")

    def _unknown(self, where: str, key: str, known: Iterable[str], command: str = "") -> UsageError:
        message = _("{file}: {key} is unknown").format(file=self.file.path, key=where)
        from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

        near = get_close_matches(key, list(known), 1)
        if near:
            message = _("{problem}; did you mean {name}?").format(problem=message, name=near[0])
        return UsageError(message, hint=f"wasess {command} --help" if command else "wasess --help")


def origin(context: Any, option: Any, environ: Mapping[str, str]) -> tuple[str, str]:
    """What an option's value comes from (``flag``, ``environment``, ``file`` or ``default``), and the name of that flag, variable or file."""
    source = context.get_parameter_source(option.name)
    kind = SOURCES.get(source.name if source else "", "default")
    if kind == "environment":
        return kind, variable_of(option, environ)
    if kind == "file":
        return kind, context.find_root().default_map.file.path
    return kind, option.opts[0] if kind == "flag" else ""


def blaming(failure: Failure, error: BaseException) -> Failure:
    """Name the file that a wrong value comes from: typer itself names a flag and a variable, and neither was used."""
    context, option = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None or option is None or option.param_type_name != "option":
        return failure
    kind, name = origin(context, option, os.environ)
    return replace(failure, message=f"{failure.message} ({name})") if kind == "file" else failure


def variable_of(option: Any, environ: Mapping[str, str]) -> str:
    """The variable that gives an option its value now; empty when none does. An empty one gives none."""
    names = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    return next((name for name in names if environ.get(name)), "")


def language_source(flag: str | None, file: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """What decided the language, as `origin` says it. ``file``: its path, when it asks for a language."""
    if flag is not None:
        return "flag", "--lang"
    if file and not environ.get(VARIABLES[0]):
        return "file", file
    name = next((name for name in VARIABLES if environ.get(name)), "")
    return ("environment", name) if name else ("default", "")


def _type_of(option: Any) -> tuple[Any, str]:
    """The Python types of TOML that an option takes, and their name for people."""
    if option.is_flag:
        return bool, _("true or false")
    if option.type.name.startswith("integer"):
        return int, _("a whole number")
    if option.type.name.startswith("float"):
        return (int, float), _("a number")
    return str, _("a text in quotes")
