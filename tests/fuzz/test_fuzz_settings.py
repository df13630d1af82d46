"""Whatever stands in wasess.toml: it has effect, or the sentence names the file, and what is wrong in it."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from strange_text import texts
from tryout import LIMIT, try_all

from wasess.cli.app import COMMANDS

if TYPE_CHECKING:
    from tryout import Place

pytestmark = LIMIT

# Tables of values, many a line.
# fmt: off
KEYS = st.sampled_from([
    "home", "sandbox", "json", "lang", "only", "bot", "max-parallel", "max_parallel", "dials-per-second", "timeout", "max-age", "ping",
    "worker-memory", "events", "presence", "log-format", "dir", "phone", "png", "hom", "JSON", "help", "version", "config", "user",
])
TABLES = st.sampled_from([*COMMANDS, "sandbox-serve", "sandbox-say", "sandbox_say", "Serve", "serv", "home"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    texts | st.booleans() | st.integers() | st.floats() | st.sampled_from(["es", "en", "home", "json", "quiet", "35m", 1, 16, -1, 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
GARBAGE = st.binary(max_size=200) | st.sampled_from([
    b"", b"\n" * 10_000, b"\xff\xfeh\0", b"\xef\xbb\xbfjson = true\n", b"a = " + b"[" * 50_000, b"a = 1" + b"0" * 10_000, b"x" * 2**21,
    b"a = 9999-99-99", b"[serve]\n[serve]\n", b"serve.bot = 1\n[serve]\n", b"[[serve]]\n", b"json = 2026-11-24\n", b"\r\r\n", b"= 1",
    b'"" = 1\n', b"'\x1b[2J' = 1\n", b'lang = "\\u001b[2J"\n', b"[serve.bot]\n",
])
LINES = st.sampled_from(["config", "config --json", "config serve", "list", "verify", "status", "list --help", "serve --help", "logs"])
# fmt: on


def _in_toml(value: object) -> str:
    match value:
        case str():
            return json.dumps(value.encode(errors="replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(map(_in_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{_in_toml(key)} = {_in_toml(inner)}' for key, inner in value.items())}}}"
        case _:
            return str(value).lower()


def _file(top: dict[str, Any], tables: dict[str, dict[str, Any]]) -> bytes:
    lines = [f"{key} = {_in_toml(value)}\n" for key, value in top.items()]
    for name, table in tables.items():
        lines += [f"[{name}]\n", *(f"{key} = {_in_toml(value)}\n" for key, value in table.items())]
    return "".join(lines).encode()


def _damaged(content: bytes, share: float, inserted: bytes) -> bytes:
    place = int(len(content) * share)
    return content[:place] + inserted + content[place:]


entries = st.dictionaries(KEYS, VALUES, max_size=3)
sensible = st.builds(_file, entries, st.dictionaries(TABLES, entries, max_size=2))
damaged = st.builds(_damaged, sensible, st.floats(0, 1), st.binary(max_size=3))
CASES = st.tuples(st.one_of(sensible, sensible, GARBAGE, damaged), LINES, st.sampled_from(["", "--config wasess.toml"]))
KNOWN = [(b"a." * 50_000 + b"b = 1\n", "list", ""), (b'home = "a\\u0000b"\n', "config", ""), (b'home = "\\u001b[2J"\n', "list --help", "")]


def test_settings_files(place: Place):
    file = place.desk / "wasess.toml"

    def given_to(case: tuple[bytes, str, str]) -> None:
        content, line, naming = case
        file.write_bytes(content)
        said = place.type(*naming.split(), *line.split())
        assert file.read_bytes() == content
        if line.endswith("--help"):
            assert said.code == 0, said
        else:
            assert said.code == 2 or _is_toml(content), said
        assert said.code != 2 or str(file) in said.out + said.err, said

    file.touch(mode=0o600)
    try_all("settings", CASES, given_to, KNOWN)


def _is_toml(content: bytes) -> bool:
    try:
        tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        return False
    return True
