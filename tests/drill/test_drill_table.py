from __future__ import annotations

import re

import pytest

from wasess.drill.run import users_of
from wasess.drill.table import ROWS, chosen
from wasess.errors import UsageError
from wasess.store.sessions import parse_user_id

WANTED = {f"5.3/{number}" for number in (*range(1, 16), *range(17, 20), *range(21, 26), 29)} | {"5.4"}


def test_every_fault_of_the_matrix_has_a_row():
    assert {row.source for row in ROWS} == WANTED


def test_names_are_words_and_unlike():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_every_session_of_a_row_has_a_name_of_its_own():
    users = [user for row in ROWS for user in users_of(row)]
    assert len(set(users)) == len(users)
    assert [parse_user_id(user) for user in users] == users


def test_every_row_may_take_as_long_as_its_bound():
    assert not [row.name for row in ROWS if row.deadline < (row.bound or 0) + 5]


def test_rows_come_in_the_order_of_the_matrix():
    assert chosen(()) == ROWS
    assert [row.name for row in chosen(("black-hole", "tcp-reset"))] == ["tcp-reset", "black-hole"]


def test_a_row_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(UsageError, match="no row 'black-cat'; the rows are tcp-reset, server-away,"):
        chosen(("tcp-reset", "black-cat"))
