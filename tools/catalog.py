"""The catalogue of what wasess says: finds every message, and keeps ``wasess/locale/es`` complete.

    python tools/catalog.py --write          take new messages in, drop those no longer said, compile the .mo
    python tools/catalog.py --missing        print what has no translation yet, as JSON: {"message": "", "one session": ["", ""]}
    python tools/catalog.py --fill FILE      take translations from such a file (a plural is a list of two), then as --write
    python tools/catalog.py --check          complain (exit code 1) when the catalogue is not complete, true and compiled; a test does this

To translate what is new: ``--missing > new.json``, fill in the values, ``--fill new.json``. A translation keeps the ``{placeholders}``
and the `` `commands` `` of its original; it may leave out a placeholder only where `MAY_DROP` says so.

Messages are: the constants in ``_("…")``, ``plural("…", "…", n)`` and ``mark("…")``; the sentences, actions and details of ``core.reasons``; the
``HEADINGS`` of tables; the rows of the drill; the help texts of all commands, arguments and options; the table of commands.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

if TYPE_CHECKING:
    from collections.abc import Iterator

    from babel.messages.catalog import Message

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wasess"
FOLDER = PACKAGE / "locale" / "es" / "LC_MESSAGES"
PO, MO = FOLDER / "wasess.po", FOLDER / "wasess.mo"
# Tools for developers, in English: the stand-in imports nothing of wasess.
SILENT = {PACKAGE / "sandbox"}
MARKERS = {"_": 1, "mark": 1, "plural": 2}
# In Spanish these lines are known by their exact words, and have no figures in them.
MAY_DROP = {"{user} restored ({seconds:.1f} s)": {"seconds"}, "manager ready: {online} of {found} online": {"online", "found"}}
PLACEHOLDER = re.compile(r"\{(\w*)[^{}]*\}")
NAMED = re.compile(r"`[^`]+`|--[a-z][a-z-]*|\bWASESS_[A-Z_]+|\bwasess [a-z]+|\b[\w-]+\.(?:db|json|toml|py)\b")
HEADER = """\
# Spanish messages of wasess. Made by tools/catalog.py: translate with its --missing and --fill, or here.
#"""

Key = str | tuple[str, str]


def said() -> dict[Key, set[str]]:
    """Every message with the files it is in."""
    found: dict[Key, set[str]] = {}
    for place, key in [*_in_sources(), *_in_reasons(), *_in_rows(), *_in_tables(), *_in_help()]:
        if key:
            found.setdefault(key, set()).add(place)
    plurals = {one for key in found if isinstance(key, tuple) for one in key[:1]}
    return {key: places for key, places in found.items() if key not in plurals}


def misused(path: Path) -> list[str]:
    """Where a marker is given something that is not a constant and not a name, or ``_`` is called where it is another variable."""
    tree = ast.parse(path.read_text())
    lines = [
        f"not a constant: {path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}"
        for call in _calls(tree)
        for argument in call.args[: MARKERS[_name(call)]]
        if isinstance(argument, ast.JoinedStr | ast.BinOp | ast.Call)
    ]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _hides_words(node)]
    return lines + [f"_ is a variable here: {path.relative_to(ROOT)}:{function.lineno}: {function.name}" for function in functions]


def _hides_words(function: ast.AST) -> bool:
    """Whether it assigns to ``_`` and calls it. A comprehension has names of its own."""
    inside = {id(part) for node in ast.walk(function) if isinstance(node, ast.comprehension) for part in ast.walk(node.target)}
    named = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == "_" and id(node) not in inside]
    return len({type(node.ctx) for node in named}) > 1


def sources() -> list[Path]:
    """The files that speak."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if not SILENT & {*path.parents} and path != PACKAGE / "words.py"]


def _in_sources() -> Iterator[tuple[str, Key]]:
    for path in sources():
        for call in _calls(ast.parse(path.read_text())):
            texts = [one.value for one in call.args[: MARKERS[_name(call)]] if isinstance(one, ast.Constant)]
            if len(texts) == MARKERS[_name(call)]:
                yield _place(path), texts[0] if len(texts) == 1 else (texts[0], texts[1])


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in MARKERS:
            yield node


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _in_reasons() -> Iterator[tuple[str, Key]]:
    reasons: Any = importlib.import_module("wasess.core.reasons")
    for reason in reasons.ALL:
        yield "wasess/core/reasons.py", reason.sentence
        yield "wasess/core/reasons.py", reason.action
    for detail in reasons.DETAILS:
        yield "wasess/core/reasons.py", detail


def _in_rows() -> Iterator[tuple[str, Key]]:
    table: Any = importlib.import_module("wasess.drill.table")
    for row in table.ROWS:
        yield "wasess/drill/table.py", row.fault
        yield "wasess/drill/table.py", row.expected


def _in_tables() -> Iterator[tuple[str, Key]]:
    """The constants named HEADINGS: the first rows of tables, which `cli.render` translates."""
    for path in sources():
        for node in ast.parse(path.read_text()).body:
            names = [one.id for one in getattr(node, "targets", []) if isinstance(one, ast.Name)]
            if isinstance(node, ast.Assign) and "HEADINGS" in names:
                yield from ((_place(path), one.value) for one in getattr(node.value, "elts", []) if isinstance(one, ast.Constant))


def _in_help() -> Iterator[tuple[str, Key]]:
    app: Any = importlib.import_module("wasess.cli.app")
    main: Any = importlib.import_module("typer.main")
    yield from (("wasess/cli/app.py", text) for text in app.COMMANDS.values())
    yield from _help_of("wasess/cli/app.py", main.get_command(app.app))
    for name in app.COMMANDS:
        module: Any = importlib.import_module(f"wasess.cli.{name}")
        yield from _help_of(f"wasess/cli/{name}.py", main.get_command(module.app))


def _help_of(place: str, command: Any) -> Iterator[tuple[str, Key]]:
    language: Any = importlib.import_module("wasess.cli.language")
    texts = [command.help, command.short_help, *(getattr(parameter, "help", None) for parameter in command.params)]
    texts += [shown for parameter in command.params if isinstance(shown := getattr(parameter, "show_default", None), str)]
    yield from ((place, part) for text in texts for part in language.paragraphs(text))
    for below in getattr(command, "commands", {}).values():
        yield from _help_of(place, below)


def _place(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- the catalogue ----------------------------------------------------------------------------------------------------


def load() -> dict[Key, Message]:
    """The messages of the .po."""
    if not PO.exists():
        return {}
    with PO.open("rb") as file:
        return {message.id: message for message in read_po(file, locale="es") if message.id}


class Steady(Catalog):
    """Without dates and the version of Babel: the same messages always make the same files."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        """The header's fields."""
        fields = {"Language": "es", "MIME-Version": "1.0", "Content-Type": "text/plain; charset=utf-8", "Content-Transfer-Encoding": "8bit"}
        return [*fields.items(), ("Plural-Forms", self.plural_forms)]


def catalogue(found: dict[Key, set[str]], translations: dict[Key, Any]) -> Catalog:
    """What is said, in Spanish as far as it is known."""
    made = Steady("es", header_comment=HEADER, fuzzy=False)
    for key in sorted(found, key=str):
        empty = "" if isinstance(key, str) else ("", "")
        made.add(key, translations.get(key, empty), locations=[(place, None) for place in sorted(found[key])])
    return made


def write(translations: dict[Key, Any]) -> None:
    """Write both files."""
    made = catalogue(said(), translations)
    FOLDER.mkdir(parents=True, exist_ok=True)
    PO.write_bytes(_as_po(made))
    MO.write_bytes(compiled())


def _as_po(made: Catalog) -> bytes:
    written = io.BytesIO()
    write_po(written, made, width=140, include_lineno=False)
    return written.getvalue()


def compiled() -> bytes:
    """What the .po compiles to."""
    made = Steady("es")
    for key, message in load().items():
        made[key] = message
    written = io.BytesIO()
    write_mo(written, made)
    return written.getvalue()


def entered(translations: dict[Key, Any], new: dict[str, str | list[str]]) -> dict[Key, Any]:
    """Translations with others over them, which are keyed by their message, or by the singular."""
    keys = {key if isinstance(key, str) else key[0]: key for key in said()}
    for unknown in sorted(set(new) - set(keys)):
        print(f"nobody says this: {unknown!r}", file=sys.stderr)
    return translations | {keys[one]: tuple(text) if isinstance(text, list) else text for one, text in new.items() if one in keys}


def missing() -> dict[str, str | list[str]]:
    """What has no translation, ready to be filled in."""
    known = {key: message.string for key, message in load().items() if not message.fuzzy}
    left = [key for key in said() if not _complete(known.get(key))]
    return {key if isinstance(key, str) else key[0]: "" if isinstance(key, str) else ["", ""] for key in sorted(left, key=str)}


def _complete(translation: str | tuple[str, ...] | list[str] | None) -> bool:
    return bool(translation) and (isinstance(translation, str) or all(translation))


# --- the check --------------------------------------------------------------------------------------------------------


def faults() -> list[str]:
    """What is wrong with the catalogue: one line each."""
    return [*(place for path in sources() for place in misused(path)), *differences(said())]


def differences(found: dict[Key, set[str]]) -> list[str]:
    """Where the catalogue is not that of what was `said`."""
    known = load()
    lines = [f"not in the catalogue: {key!r}" for key in found if key not in known]
    lines += [f"no longer said: {key!r}" for key in known if key not in found]
    for key, message in known.items():
        if message.fuzzy or not _complete(message.string):
            lines.append(f"not translated: {key!r}")
        else:
            lines += unfaithful(key, message.string)
    if not MO.exists() or MO.read_bytes() != compiled():
        lines.append("the .mo is not what the .po compiles to")
    return lines


def unfaithful(key: Key, translation: str | tuple[str, ...] | list[str]) -> list[str]:
    """Where a translation fills in or names something else than its message does."""
    originals = (key,) if isinstance(key, str) else key
    texts = (translation,) if isinstance(translation, str) else tuple(translation)
    dropped = MAY_DROP.get(originals[0], set())
    wanted = [_fills(original) - dropped for original in originals]
    lines = [f"other placeholders: {text!r} for {key!r}" for text in texts if _fills(text) - dropped not in wanted]
    return lines + [f"other commands: {text!r} for {key!r}" for text in texts if _commands(text) not in map(_commands, originals)]


def _fills(text: str) -> set[str]:
    return set(PLACEHOLDER.findall(text))


def _commands(text: str) -> set[str]:
    """What stands for itself in any language: commands, options, variables, files. "wasess runs" is no command."""
    app: Any = importlib.import_module("wasess.cli.app")
    return {name for name in NAMED.findall(text) if not name.startswith("wasess ") or name.split()[1] in app.COMMANDS}


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--missing", action="store_true")
    what.add_argument("--fill", type=Path, metavar="FILE")
    what.add_argument("--check", action="store_true")
    wanted = parser.parse_args()
    known = {key: message.string for key, message in load().items() if not message.fuzzy}
    if wanted.missing:
        print(json.dumps(missing(), ensure_ascii=False, indent=1))
    elif wanted.check:
        wrong = faults()
        print(*wrong, sep="\n", end="\n" if wrong else "")
        return 1 if wrong else 0
    else:
        write(entered(known, json.loads(wanted.fill.read_text())) if wanted.fill else known)
    return 0


if __name__ == "__main__":
    sys.exit(main())
