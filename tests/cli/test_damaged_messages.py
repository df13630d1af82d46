"""What people see of messages whose rows are damaged: which they are, and what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from documents import lines, only_document
from mail_house import arrive, box, furnished, texts

from wasess.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.store.sessions import Home

    Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Of the first message the text was changed, of the second one the state; the third one is as it was."""
    made = furnished(tmp_path, monkeypatch)
    with box(made, "alice") as mailbox:
        arrive(mailbox, *texts("one", "two", "three"))
        mailbox._mail.execute("UPDATE messages SET body = CAST(replace(CAST(body AS TEXT), 'one', 'own') AS BLOB) WHERE seq = 1")
        mailbox._mail.execute("UPDATE messages SET state = 'waitinf' WHERE seq = 2")
        mailbox._mail.execute("UPDATE messages SET received_at = 1e300 WHERE seq = 2")
    return made


@pytest.fixture
def said(home: Home, capfd: pytest.CaptureFixture[str]) -> Said:
    def command(*words: str) -> tuple[int, str, str]:
        return run(list(words)), *capfd.readouterr()

    return command


def test_they_are_shown_as_what_they_are(said: Said):
    code, out, _err = said("inbox", "list", "alice", "--json")
    assert code == 0
    rows = only_document("inbox-list", out)["data"]["messages"]
    assert [(row["position"], row["state"], row["kind"], row["detail"]) for row in rows if row["position"] == 1] == [
        (1, "waiting", None, "damaged: it is not what was stored")
    ]
    code, out, _err = said("inbox", "show", "alice", "1")
    assert (code, out.splitlines()[-1]) == (0, "it is damaged, and can't be shown")
    assert said("inbox", "show", "alice", "2")[0] == 0


def test_they_can_be_dropped_and_not_tried_again(said: Said, home: Home):
    code, _out, err = said("inbox", "retry", "alice", "1")
    assert (code, "message 1 is damaged" in _out + err) == (2, True)
    assert said("inbox", "drop", "alice", "1", "2", "--yes")[0] == 0
    with box(home, "alice") as mailbox:
        assert [item.state for item in mailbox.inbox.items()] == ["done", "done", "waiting"]
        assert mailbox.damaged == 0


def test_tail_goes_on_behind_them(said: Said):
    code, out, err = said("tail", "alice", "--json")
    assert code == 0
    assert [line["message"]["text"] for line in lines("message", out)] == ["three"]
    assert "alice: message 1 is damaged, and can't be shown" in err
    assert "alice: message 2 is damaged, and can't be shown" in err


def test_diagnose_names_them_and_the_command(said: Said):
    code, out, _err = said("diagnose", "alice", "--offline", "--json")
    [session] = only_document("diagnose", out)["data"]["sessions"]
    [found] = [finding for finding in session["findings"] if finding["code"] == "MESSAGES_DAMAGED"]
    assert (found["level"], found["fix"]) == ("error", "wasess inbox drop alice 1 2")
    assert "2 messages are damaged (1, 2)" in found["sentence"]
    assert code == 8
