"""Whatever stands in wasess.toml: it has effect, or the sentence names the file, and what is wrong in it."""

from __future__ import annotations

import json
import math
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from strange_text import texts
from tryout import try_all

from wasess.cli.app import COMMANDS

if TYPE_CHECKING:
    from tryout import Place

pytestmark = pytest.mark.timeout(300, method="thread")

KEYS = st.sampled_from(
    [
        *(
            "home",
            "sandbox",
            "json",
            "lang",
            "only",
            "bot",
            "max-parallel",
            "max_parallel",
            "dials-per-second",
            "timeout",
            "max-age",
            "ping",
        ),
        *("worker-memory", "events", "presence", "log-format", "dir", "phone", "png", "hom", "JSON", "help", "version", "config", "user"),
    ]
)
TABLES = st.sampled_from([*COMMANDS, "sandbox-serve", "sandbox-say", "sandbox_say", "Serve", "serv", "home"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        texts, st.booleans(), st.integers(), st.floats(), st.sampled_from(["es", "en", "home", "json", "quiet", "35m", 1, 16, -1, 0])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
TOP = st.dictionaries(KEYS, VALUES, max_size=3)


def _in_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value.encode(errors="replace").decode()).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_in_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_in_toml(key)} = {_in_toml(inner)}' for key, inner in value.items())}}}"
    return str(value) if not isinstance(value, float) or math.isfinite(value) else str(value).replace("infinity", "inf")


def _lines(table: dict[str, object]) -> str:
    return "".join(f"{key} = {_in_toml(value)}\n" for key, value in table.items())


sensible = st.tuples(TOP, st.dictionaries(TABLES, TOP, max_size=2)).map(
    lambda parts: (_lines(parts[0]) + "".join(f"[{name}]\n{_lines(table)}" for name, table in parts[1].items())).encode()
)
GARBAGE = st.one_of(
    st.sampled_from(
        [
            *(
                b"",
                b"\n" * 10_000,
                b"\xff\xfeh\0",
                b"\xef\xbb\xbfjson = true\n",
                b"a = " + b"[" * 50_000,
                b"a = 1" + b"0" * 10_000,
                b"x" * 2**21,
            ),
            *(
                b"a = 9999-99-99",
                b"[serve]\n[serve]\n",
                b"serve.bot = 1\n[serve]\n",
                b"[[serve]]\n",
                b"json = 2026-11-24\n",
                b"\r\r\n",
                b"= 1",
            ),
            *(
                b'"" = 1\n',
                b"'\x1b[2J' = 1\n",
                b'home = "a\\u0000b"\n',
                b"a." * 50_000 + b"b = 1\n",
                b'lang = "\\u001b[2J"\n',
                b"[serve.bot]\n",
            ),
        ]
    ),
    st.binary(max_size=200),
)
damaged = st.tuples(sensible, st.floats(0, 1), st.binary(max_size=3)).map(
    lambda parts: parts[0][: int(len(parts[0]) * parts[1])] + parts[2] + parts[0][int(len(parts[0]) * parts[1]) :]
)
LINES = st.sampled_from(["config", "config --json", "config serve", "list", "verify", "status", "list --help", "serve --help", "logs"])
NAMING = st.sampled_from(["", "--config wasess.toml", "--config=wasess.toml"])
CASES = st.tuples(st.one_of(sensible, sensible, GARBAGE, damaged), LINES, NAMING)


def test_settings_files(place: Place):
    file = place.desk / "wasess.toml"

    def given_to(case: tuple[bytes, str, str]) -> None:
        content, line, naming = case
        file.write_bytes(content)
        file.chmod(0o600)
        said = place.type(*naming.split(), *line.split())
        assert file.read_bytes() == content
        if line.endswith("--help"):
            assert said.code == 0, said
        elif not _is_toml(content):
            assert said.code == 2, said
        if said.code == 2:
            assert str(file) in said.out + said.err, said

    try_all("settings", CASES, given_to)


def _is_toml(content: bytes) -> bool:
    try:
        tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        return False
    return True
