"""`wasess verify --nagios`: its line is read here as the Monitoring Plugins Development Guidelines describe it."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_in_manager import live, managed
from test_verify import home, linked, verify

from wasess.cli.checkup import Checkup, Finding
from wasess.cli.nagios import CRITICAL, OK, TOLD, UNKNOWN, WARNING, plugin_line, plugin_status
from wasess.core import health, reasons
from wasess.core.states import State
from wasess.core.verdict import MAX_AGE
from wasess.errors import StoreError, UsageError

__all__ = ["home", "verify"]  # fixtures

NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
RANGE = rf"(?:@?(?:(?:{NUMBER}|~):)?(?:{NUMBER})?)?"
FIGURE = re.compile(rf"(?P<label>'[^'=]+'|[^\s'=]+)=(?P<value>{NUMBER})(?P<unit>s|ms|us|%|B|KB|MB|TB|c|)((?:;{RANGE}){{0,4}})")
SERVICE = "WASESS"


class Read(NamedTuple):
    status: str
    text: str
    figures: dict[str, str]
    units: dict[str, str]


def read(line: str) -> Read:
    """What a monitoring system makes of the line; it takes the first 4096 bytes of one line, and figures behind the first bar."""
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert len(line.encode()) < 4096
    assert line.rstrip("\n").isprintable()
    assert line.count("|") <= 1
    said, _, after = line.rstrip("\n").partition("|")
    found = re.fullmatch(rf"{SERVICE} (OK|WARNING|CRITICAL|UNKNOWN) - (.+?) ?", said)
    assert found, said
    figures = [FIGURE.fullmatch(word) for word in after.split()]
    assert all(figures), after
    return Read(
        found[1],
        found[2],
        {one["label"]: one["value"] for one in figures if one},
        {one["label"]: one["unit"] for one in figures if one},
    )


def checked(verify, *arguments):
    code, out, err = verify("--nagios", *arguments)
    found = read(out)
    assert err == ""
    assert code == ("OK", "WARNING", "CRITICAL", "UNKNOWN").index(found.status)
    return found


def test_all_is_well(home, verify):
    linked(home, "alice", "bob")
    with managed(home, live("alice", heard=100), live("bob", heard=20)):
        found = checked(verify)
    assert (found.status, found.text) == ("OK", "2 of 2 sessions online")
    assert found.figures["online"] == "2"
    assert found.figures["unhealthy"] == "0"
    assert 100 <= int(found.figures["oldest_proof"]) < 160
    assert found.units["oldest_proof"] == "s"


def test_a_session_that_is_just_starting_is_well_and_not_online(home, verify):
    linked(home, "alice", "bob")
    with managed(home, live("alice"), live("bob", State.CONNECTING, reasons.STARTING, heard=None)) as manager:
        manager.ready = False
        found = checked(verify)
    assert (found.status, found.text) == ("OK", "1 of 2 sessions online")
    assert (found.figures["online"], found.figures["unhealthy"]) == ("1", "0")


def test_no_sessions_are_well(home, verify):
    found = checked(verify)
    assert (found.status, found.text, found.figures) == ("OK", "no sessions", {"online": "0", "unhealthy": "0"})


def test_the_worst_counts_and_three_are_told(home, verify):
    linked(home, "alice", "bob", "carol", "dora", "emil")
    away = [live(user, State.WAITING, reasons.NETWORK_DOWN, "no | route\n") for user in ("bob", "carol", "dora")]
    with managed(home, live("alice"), *away, live("emil", State.CONNECTING, reasons.STARTING)) as manager:
        found = checked(verify)
        assert found.status == "WARNING"
        assert found.text == (
            "1 of 5 sessions online; bob: WhatsApp can't be reached (no / route); carol: WhatsApp can't be reached (no / route);"
            " dora: WhatsApp can't be reached (no / route); and 1 more"
        )
        assert (found.figures["online"], found.figures["unhealthy"]) == ("1", "4")
        manager.keep(live("emil", State.LOGGED_OUT, reasons.LOGGED_OUT))
        assert checked(verify).status == "CRITICAL"
        assert checked(verify, "alice").status == "OK"
        manager.keep(live("emil", State.PAUSED, reasons.BANNED))
        assert checked(verify, "emil").status == "CRITICAL"


def test_the_threshold_is_the_one_that_was_asked_for(home, verify):
    linked(home, "alice")
    with managed(home, live("alice", heard=7200)):
        _, out, _ = verify("--nagios", "--max-age", "1h")
        assert read(out).status == "WARNING"
        assert re.search(r"oldest_proof=72\d\ds;3600;", out)
        assert checked(verify, "--max-age", "3h").status == "OK"


def test_no_manager_is_critical(home, verify):
    linked(home, "alice")
    found = checked(verify)
    assert (found.status, found.text) == ("CRITICAL", "0 of 1 session online; alice: no manager is running; wasess serve")
    assert "oldest_proof" not in found.figures


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--max-age", "soon"), "'soon' is no duration"),
        (("Alice",), "can't be a user id"),
        (("alice", "--all"), "name sessions, or say --all, not both"),
        (("--ping", "ftp://x"), "--ping wants an address"),
    ],
)
def test_a_wrong_command_line_is_unknown(home, verify, arguments, says):
    found = checked(verify, *arguments)
    assert found.status == "UNKNOWN"
    assert says in found.text


def test_a_home_that_can_not_be_looked_into_is_unknown(home, verify):
    home.session("alice").create()
    home.path.chmod(0o755)
    for folder, problem in ((str(home.path), str(home.path)), ("x" * 300, "x" * 100)):
        found = checked(verify, "--home", folder)
        assert found.status == "UNKNOWN"
        assert problem in found.text
        assert "Errno" not in found.text


STATES = st.sampled_from(State)
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    state, code = draw(STATES), draw(st.sampled_from(sorted(reasons.BY_CODE)))
    age = draw(st.none() | st.floats(0, 1e12))
    return Finding(f"u{draw(st.integers(0, 999))}", state, code, health.exit_code(state, code), draw(TEXT), age)


@given(st.lists(findings(), max_size=8), st.floats(0, 3e9))
def test_whatever_is_found_the_line_can_be_read(found: list[Finding], max_age: float):
    checkup = Checkup(tuple(found))
    line = read(plugin_line(checkup, max_age) + "\n")
    status = plugin_status(checkup)
    assert line.status == ("OK", "WARNING", "CRITICAL", "UNKNOWN")[status]
    assert (status == OK) == (not checkup.unhealthy)
    assert line.figures["unhealthy"] == str(len(checkup.unhealthy))
    assert sum(f"{one.user}: " in line.text for one in checkup.unhealthy) >= min(TOLD, len({one.user for one in checkup.unhealthy}))


@given(TEXT.filter(str.strip))
def test_whatever_keeps_us_from_looking_the_line_can_be_read(problem: str):
    for error in (StoreError(problem), UsageError(problem)):
        line = plugin_line(Checkup(problem=error), MAX_AGE)
        assert line.startswith("WASESS UNKNOWN - ")
        assert "|" not in line
        assert line.isprintable()


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ([], OK),
        ([0, 0], OK),
        ([0, 3], WARNING),
        ([1, 3], UNKNOWN),
        ([1, 3, 4], CRITICAL),
        *([[code], CRITICAL] for code in (4, 5, 6, 7, 8, 9, 10)),
    ],
)
def test_the_exit_code_is_the_worst_of_the_plugins_own_scale(codes: list[int], status: int):
    checkup = Checkup(tuple(Finding(f"u{number}", State.WAITING, "NETWORK_DOWN", code) for number, code in enumerate(codes)))
    assert plugin_status(checkup) == status
