"""The language of the command line: which one is wanted, and the command library's own words in it.

typer says some things through gettext, which finds our catalogue by `spoken_here`; its other sentences are recognized by `TEMPLATES` and
said again by `in_our_words`. Help texts stay plain constants where they are written; `dress` translates them when a command is loaded.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from wasess.errors import UsageError
from wasess.words import DOMAIN, LANGUAGES, LOCALE, _, again, language, mark, speak, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTION = "--lang"

# What typer 0.26 (and the click before it) says by itself. Those above the line go through gettext; the others are templates of sentences.
CLICK = (
    mark("Arguments"),
    mark("Options"),
    mark("Commands"),
    mark("default: {default}"),
    mark("env var: {var}"),
    mark("required"),
    mark("Missing command."),
    mark("No such command {name!r}."),
    # ---
    mark("Usage: "),
    mark("Show this message and exit."),
)
TEMPLATES = (
    mark("{sentence} Did you mean {suggestions}?"),
    mark("{sentence} (Possible options: {suggestions})"),
    mark("No such option: {option}"),
    mark("Missing argument {parameter}."),
    mark("Missing option {parameter}."),
    mark("Missing parameter {parameter}."),
    mark("Invalid value for {parameter} (env var: {variable}): {sentence}"),
    mark("Invalid value for {parameter}: {sentence}"),
    mark("Invalid value: {sentence}"),
    mark("Got unexpected extra argument(s) ({arguments})"),
    mark("Got unexpected extra argument ({arguments})"),
    mark("Got unexpected extra arguments ({arguments})"),
    mark("Option {option} requires an argument."),
    mark("Option {option} does not take a value."),
    mark("{value} is not a valid integer."),
    mark("{value} is not a valid float."),
    mark("{value} is not a valid integer range."),
    mark("{value} is not a valid float range."),
    mark("{value} is not a valid boolean. Recognized values: {values}"),
    mark("{value} is not in the range {range}."),
    mark("{value} is not one of {values}."),
    mark("File {value} does not exist."),
    mark("Path {value} does not exist."),
    mark("{parameter} (env var: {variable})"),
)

NESTED = {"sentence", "parameter"}  # what stands there is said by the library, too


def separate(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Take ``--lang CODE`` out of a command line, wherever it stands before ``--``: the code (of the last one; None without), and the rest."""
    wanted, rest, left = None, [], iter(arguments)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
        elif argument == OPTION:
            wanted = next(left, "")
        elif argument.startswith(f"{OPTION}="):
            wanted = argument.removeprefix(f"{OPTION}=")
        else:
            rest.append(argument)
    return wanted, rest


def require_language(code: str | None) -> None:
    """Raise `UsageError` for a language that wasess does not speak."""
    if code is not None and code not in LANGUAGES:
        raise UsageError(_("wasess does not speak {language!r}").format(language=code), hint=_("--lang en, or --lang es"))


@contextmanager
def spoken_here(code: str | None) -> Iterator[None]:
    """Speak this language in the ``with`` block, or else the one that the environment asks for."""
    before, wish = spoken(), os.environ.get("LANGUAGE")
    chosen = code if code in LANGUAGES else language(os.environ)
    speak(chosen)
    if chosen != "en":
        _tell_gettext(chosen)
    try:
        yield
    finally:
        speak(before)
        if chosen != "en":
            _forget(wish)


def _tell_gettext(code: str) -> None:
    """Let typer's own ``gettext.gettext`` find our catalogue. It goes by the environment alone."""
    import gettext  # noqa: PLC0415 - English needs none of it

    os.environ["LANGUAGE"] = code
    gettext.bindtextdomain(DOMAIN, LOCALE)
    gettext.textdomain(DOMAIN)


def _forget(wish: str | None) -> None:
    """Leave gettext and its variable as they were."""
    import gettext  # noqa: PLC0415 - as above

    gettext.textdomain("messages")
    os.environ.pop("LANGUAGE", None)
    if wish is not None:
        os.environ["LANGUAGE"] = wish


def dress(command: Any) -> Any:
    """Translate what a command says of itself in its help; the commands below it, too. English stays as it is written."""
    if spoken() == "en":
        return command
    command.help = in_paragraphs(command.help)
    command.short_help = in_paragraphs(command.short_help)
    for parameter in command.params:
        parameter.help = in_paragraphs(getattr(parameter, "help", None))
        if isinstance(getattr(parameter, "show_default", None), str):
            parameter.show_default = _(parameter.show_default)
    _dress_usage(command)
    for below in getattr(command, "commands", {}).values():
        dress(below)
    return command


def _dress_usage(command: Any) -> None:
    """The two things that typer has no place to set for: the word before the usage, and the help of ``--help``."""
    plain = command.get_help_option

    def help_option(context: Any) -> Any:
        option = plain(context)
        if option is not None:
            option.help = _(option.help)
        return option

    def usage(context: Any, formatter: Any) -> None:
        formatter.write_usage(context.command_path, " ".join(command.collect_usage_pieces(context)), _("Usage: "))

    command.get_help_option = help_option
    command.format_usage = usage


def paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a help text, each on one line: the messages of the catalogue."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", cleandoc(text or "")) if part.strip()]


def in_paragraphs(text: str | None) -> str | None:
    """A help text in the language spoken."""
    return "\n\n".join(_(part) for part in paragraphs(text)) if text else text


def in_our_words(said: str) -> str:
    """A sentence of the command library's in the language spoken; itself when nobody knows it."""
    return again(said, TEMPLATES, NESTED)
