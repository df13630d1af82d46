"""Command lines and variables of every kind: each ends soon, with a documented exit code, and a sentence instead of a traceback."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from strange_text import arguments as strange
from tryout import LIMIT, judge_json, try_all
from typer.main import get_command

from wasess.cli.app import COMMANDS, app
from wasess.cli.defaults import leaves, options_of
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tryout import Place, Said

pytestmark = LIMIT

Words = tuple[str, ...]
VariablesOf = dict[str, str]

GOOD_VALUES = ("alice", "bob", "90s", "2h", "1", "16", "0.5", "home", "text", "json", "bash", "es", "en", "manager", "timer", "taken")
# Whatever else is said, what would start something, or talk to somebody, finds that it can't.
GUARDS = {"WASESS_SANDBOX": "no-such-contract.json", "WASESS_DRILL_ONLY": "no such row", "WASESS_SANDBOX_SERVE_DIR": "/dev/null/x"}
GUARDED = {("drill",): "--only", ("sandbox", "serve"): "--dir"}
# These go on until Ctrl+C.
ENDLESS = re.compile(r"(--)?(f|follow|w|watch)\b.*|-\w*[fw].*|WASESS_(LOGS_FOLLOW|TAIL_FOLLOW|STATUS_WATCH)")
OTHER_VARIABLES = (
    *("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "COLUMNS", "LINES", "TERM", "TZ", "NO_COLOR", "FORCE_COLOR", "HOME", "PATH", "USER"),
    *("WASESS_CONFIG", "WASESS_LANG", "_WASESS_COMPLETE", "COMP_WORDS", "COMP_CWORD", "NOTIFY_SOCKET", "LISTEN_FDS", "XDG_CONFIG_HOME"),
)


def _tree() -> dict[Words, Any]:
    table: Any = get_command(app)
    return dict(leaf for name in COMMANDS for leaf in leaves(table.get_command(None, name), (name,)))


TREE = _tree()
FLAGS = {words: [flag for option in command.params for flag in option.opts if flag.startswith("-")] for words, command in TREE.items()}
EVERY_FLAG = sorted({flag for flags in FLAGS.values() for flag in flags})
VARIABLES = sorted({option.envvar for command in TREE.values() for option in options_of(command).values()} - GUARDS.keys())


@st.composite
def command_lines(draw: Callable[..., Any]) -> list[str]:
    """A command of ours, or nearly one, and words that are right, wrong, or nothing of the kind."""
    words = draw(st.sampled_from(sorted(TREE)))
    before = st.one_of(st.sampled_from(["--lang=es", "--lang", "--config", "--config=", "--version", "-"]), strange)
    typed = [*([draw(before)] if draw(st.integers(0, 4)) == 0 else []), *words]
    for _ in range(draw(st.integers(0, 5))):
        typed += draw(_parts(words))
    if draw(st.booleans()):
        typed.append("--json")
    return [word for word in typed if not _works(words, word)]


def _parts(words: Words) -> st.SearchStrategy[list[str]]:
    """One or two words of a command line."""
    values = st.one_of(st.sampled_from(GOOD_VALUES), strange)
    own = st.sampled_from(FLAGS[words])
    return st.one_of(
        st.tuples(own, values).map(list),
        st.tuples(own, values).map(lambda pair: ["=".join(pair)]),
        own.map(lambda flag: [flag]),
        st.sampled_from(EVERY_FLAG).map(lambda flag: [flag]),
        values.map(lambda value: [value]),
        strange.map(lambda text: [f"--{text}"]),
        st.sampled_from([["--"], ["-"], ["--help"], ["--json"], ["--json", "--json"], ["--home"], ["--home="], ["-x"], ["--no-json"]]),
    )


def _works(words: Words, word: str) -> bool:
    """Whether it would lift a guard, or make the command endless."""
    if words in GUARDED:
        return word.startswith(GUARDED[words])
    return words[0] in {"logs", "status", "tail"} and ENDLESS.fullmatch(word) is not None


def type_there(place: Place, arguments: Sequence[str], variables: VariablesOf) -> Said:
    """At a desk with a home of two sessions that were never linked, and a file that is in the way."""
    home = Home(place.desk / "home").open(create=True)
    for user in ("alice", "bob"):
        home.session(user).create()
    (place.desk / "taken").touch()
    return place.type(*arguments, environment={"WASESS_HOME": "home", "WASESS_SERVICE_DIRECTORY": "units", **variables, **GUARDS})


def says_json(arguments: list[str]) -> bool:
    """Whether --json was said for sure, and to a command that has it."""
    plain = arguments[: arguments.index("--") if "--" in arguments else None]
    behind_option = any(after == "--json" and word.startswith("-") and word != "--json" for word, after in pairwise(plain))
    talks = {"--help", "--version", "--nagios", "--quiet"}.intersection(plain) or {"logs", "tail", "completion"}.intersection(plain[:3])
    return "--json" in plain and not behind_option and not talks


KNOWN_LINES: tuple[list[str], ...] = (
    ["reconnect", "--all", "--timeout", "nan"],
    ["connect", "alice", "--timeout", "inf"],
    ["connect", "alice", "--sandbox", "/dev/zero"],
)


def test_command_lines(place: Place):
    def typed(arguments: list[str]) -> None:
        said = type_there(place, arguments, {})
        if says_json(arguments):
            judge_json(said)

    try_all("command lines", command_lines(), typed, KNOWN_LINES)


NAMES = st.one_of(st.sampled_from([name for name in VARIABLES if not ENDLESS.fullmatch(name)]), st.sampled_from(OTHER_VARIABLES))
LINES = st.sampled_from(
    [["list"], ["config"], ["config", "--json"], ["verify"], ["status", "alice"], ["diagnose", "--offline"], ["pause", "bob"]]
)
KNOWN_VARIABLES = [
    (["config"], {"WASESS_BOT": "\x1f"}),
    (["diagnose", "--offline"], {"WASESS_HOME": "\x1f"}),
    (["list"], {"_WASESS_COMPLETE": "_\x08"}),
]
SETTINGS = st.tuples(LINES | st.sampled_from(sorted(TREE)).map(list), st.dictionaries(NAMES, strange, min_size=1, max_size=6))


def test_variables(place: Place):
    def set_before(case: tuple[list[str], VariablesOf]) -> None:
        type_there(place, *case)

    try_all("variables", SETTINGS, set_before, KNOWN_VARIABLES)
