"""The schemas of what commands print with ``--json``, and a document held against one."""

from __future__ import annotations

import importlib
import json
import pkgutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from typer.main import get_command

import wasess
from wasess import errors
from wasess.cli.app import COMMANDS, app
from wasess.cli.defaults import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(wasess.__file__).with_name("schemas")
SHARED = {"envelope"}
STREAMS = {"event", "log-entry", "message", "status-watch"}
"""Schemas of one line among several."""


def schemas() -> dict[str, dict[str, Any]]:
    """All, by the names of their files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.iterdir())}


@cache
def commands() -> dict[str, Any]:
    """Every command there is, by the name of its schema."""
    table = get_command(app)
    found = (leaf for name in COMMANDS for leaf in leaves(table.get_command(None, name), (name,)))
    return {"-".join(words): command for words, command in found}


def every_error() -> Iterator[type[errors.WasessError]]:
    """Those of `wasess.errors`, and those that modules add for themselves."""
    for found in pkgutil.walk_packages(wasess.__path__, "wasess."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    return _tree(errors.WasessError)


def _tree(error: type[errors.WasessError]) -> Iterator[type[errors.WasessError]]:
    yield error
    for kind in error.__subclasses__():
        yield from _tree(kind)


@cache
def _validator(name: str) -> Any:
    found = schemas()
    registry = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in found.values()])
    return Draft202012Validator(found[name], registry=registry)


def complaints(name: str, document: object) -> list[str]:
    """What is wrong with a document, in words."""
    return [f"{error.json_path}: {error.message[:500]}" for error in _flat(_validator(name).iter_errors(document))]


def _flat(errors: Any) -> Any:
    for error in errors:
        if error.context:
            yield from _flat(error.context)
        else:
            yield error


def only_document(name: str, text: str) -> dict[str, Any]:
    """The one document that a command has printed, after it was held against the command's schema."""
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text
    document = json.loads(text)
    assert not complaints(name, document), (complaints(name, document), document)
    return document


def lines(name: str, text: str) -> list[dict[str, Any]]:
    """The documents that a command has printed, one a line, each held against the schema."""
    found = [json.loads(line) for line in text.splitlines()]
    for document in found:
        assert not complaints(name, document), (complaints(name, document), document)
    return found
