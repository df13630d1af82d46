"""`wasess config`: every setting, its value, and where that comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wasess.cli.defaults import SHARED, leaves, options_of, origin
from wasess.cli.options import JsonOption  # noqa: TC001 - typer reads the annotations when it runs
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.errors import UsageError
from wasess.words import _, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wasess.cli.defaults import FileDefaults, Words

HEADINGS = ("COMMAND", "SETTING", "VALUE", "FROM")
SECRET = ("secret", "token", "password", "ping", "url", "phone")
HIDDEN = "***"

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. ``command`` is empty for what counts for the whole command line; ``source``: see `defaults.origin`, as for ``origin``."""

    command: str
    name: str
    value: object
    source: str
    origin: str
    variable: str

    def as_json(self) -> dict[str, object]:
        """All of it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def as_cells(self, command: str) -> tuple[str, ...]:
        """What a person looks for."""
        return command, self.name, _shown(self.value), f"{self.source} {self.origin}".strip()


def complete_command(context: typer.Context, incomplete: str) -> list[str]:
    """The commands there are, for a shell that completes one."""
    root: Any = context.find_root()
    return [name for name in root.command.list_commands(root) if name.startswith(incomplete)]


@app.command()
def config(
    context: typer.Context,
    *,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]", help="Only the settings of this command.", show_default=False, autocompletion=complete_command),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Show every setting, and where its value comes from: environment, file or default.

    A flag wins over its variable, that over the file wasess.toml, that over the default.
    """
    root: Any = context.find_root()
    words = tuple(command or ())
    _require_command(root.command, root, words)
    rows = [*_overall(root.default_map), *_settings(root, words, os.environ)]
    data = {"file": root.default_map.file.path or None, "settings": [row.as_json() for row in rows]}
    return emit(Result(data, table=(HEADINGS, *_cells(rows))), as_json=json)


def _require_command(table: Any, root: Any, words: Words) -> None:
    """Raise `UsageError` for words that name no command."""
    place: Any = table
    for number, word in enumerate(words):
        names = place.list_commands(root) if hasattr(place, "list_commands") else []
        if word not in names:
            near = get_close_matches(word, names, 1)
            hint = " ".join(("wasess config", *words[:number], *near))
            raise UsageError(_("there is no command {name!r}").format(name=" ".join(words)), hint=hint)
        place = place.get_command(root, word)


def _overall(defaults: FileDefaults) -> Iterator[Setting]:
    """What is decided before there is a command."""
    file = defaults.file
    kind = {"": "default", "--config": "flag"}.get(file.named_by, "environment")
    yield Setting("", "config", file.path or None, kind, file.named_by, "WASESS_CONFIG")
    yield Setting("", "lang", spoken(), *defaults.language_from, "WASESS_LANG")


def _settings(root: Any, wanted: Words, environ: Mapping[str, str]) -> Iterator[Setting]:
    """The options of all commands, or of those that begin with the words wanted."""
    for name in root.command.list_commands(root):
        if wanted and name != wanted[0]:
            continue
        for words, command in leaves(root.command.get_command(root, name), (name,)):
            if words[: len(wanted)] == wanted:
                yield from _of_command(root, words, command, environ)


def _of_command(root: Any, words: Words, command: Any, environ: Mapping[str, str]) -> Iterator[Setting]:
    table: Any = root.default_map
    for word in words:
        table = table.get(word) or {}
    context = type(root)(command, info_name=words[-1], parent=root, default_map=table)
    for key, option in options_of(command).items():
        value, source = option.consume_value(context, {})
        context.set_parameter_source(option.name, source)
        value = option.process_value(context, value)
        kind, name = origin(context, option, environ)
        yield Setting(" ".join(words), key, _masked(option, key, value), kind, name, str(option.envvar))


def _masked(option: Any, key: str, value: Any) -> object:
    """A value as JSON has it; what gives access to something is not shown."""
    if value and any(word in f"{key} {option.metavar}".lower() for word in SECRET):
        return HIDDEN
    if isinstance(value, (list, tuple)):
        return [_masked(option, key, part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _cells(rows: list[Setting]) -> Iterator[tuple[str, ...]]:
    """A shared setting that is the same in all commands that have it comes once."""
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        alike = [other for other in rows if other.name == row.name]
        shared = row.name in SHARED and len(alike) > 1 and len({other.as_cells("") for other in alike}) == 1
        cells = row.as_cells(_("all") if shared or not row.command else row.command)
        if cells not in seen:
            seen.add(cells)
            yield cells


def _shown(value: object) -> str:
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
