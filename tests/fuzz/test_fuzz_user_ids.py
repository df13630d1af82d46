"""Whatever is given as a user id: either it is one, or it is refused, and no other folder than its own is ever touched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from strange_text import arguments as strange
from tryout import LIMIT, changes, files, judge_json, try_all

from wasess.store.sessions import Home

if TYPE_CHECKING:
    from tryout import Place

pytestmark = LIMIT

RULE = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?")
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}

good_ids = st.from_regex(re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?", re.ASCII), fullmatch=True)
nearly = st.tuples(good_ids, strange, good_ids).map("".join)
USER_IDS = st.one_of(
    good_ids,
    nearly,
    strange,
    st.sampled_from(sorted(RESERVED)),
    st.sampled_from(
        ["alice\n", "alice/", "./alice", "alice/.", "ALICE", "\uff41lice", "alice\u200b", "-alice", "alice_", ".lock", "a" * 64, "a" * 65]
    ),
)
COMMANDS = st.sampled_from(
    [
        "pause",
        "resume",
        "status",
        "verify",
        "diagnose --offline",
        "logs",
        "reconnect",
        "logout --yes",
        "remove --yes",
        "connect",
        "rename alice",
    ]
)


def test_user_ids(place: Place):
    home = Home(place.desk / "home").open(create=True)
    home.session("alice").create()

    def named(case: tuple[str, str]) -> None:
        command, user = case
        good = RULE.fullmatch(user) is not None and user not in RESERVED
        before = files(place.desk)
        said = place.type(*command.split(), "--json", "--home", "home", "--", user, environment={"WASESS_SANDBOX": "no-such-contract.json"})
        if command != "logs":
            judge_json(said)
        if command == "rename alice" and said.code == 0:
            home.session(user).rename("alice")
        assert (said.code == 2) == (not good or (command, user) == ("rename alice", "alice")), said
        assert changes(before, files(place.desk)).keys() <= {b"home/alice/lock"}

    try_all("user ids", st.tuples(COMMANDS, USER_IDS), named, [("diagnose --offline", ""), ("logs", ""), ("connect", "A")])
