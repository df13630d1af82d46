"""A portion of `python -m bench damage`: broken files cost no message and no session silently. And it must be able to find that something did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import damage_batch
from bench.damage_batch import FILES, Batch
from wasess.store import row_check

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

EACH = 4


@pytest.mark.parametrize("serving", [False, True], ids=["stopped", "serving"])
def test_no_damage_is_silent(serving: bool):
    cases = Batch(FILES, EACH * len(FILES), "make test", serving=serving).run()
    assert {case.file for case in cases} == set(FILES)
    assert any(case.harm for case in cases)
    assert [case for case in cases if case.wrong] == []


def test_without_damage_nothing_is_harmed():
    cases = Batch(["nothing"], 3, "control", serving=False).run()
    assert [(case.harm, case.wrong) for case in cases] == [((), ())] * 3


def another_text(path: Path, _dice: Random) -> str:
    content = path.read_bytes()
    path.write_bytes(content.replace(b" waiting 0: shall we", b" waiting 0: shalt we"))
    return "another text"


def test_a_text_that_was_changed_is_found_and_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(damage_batch, "strike", another_text)
    [case] = Batch(["inbox.db"], 1, "changed", serving=False).run()
    assert (case.wrong, bool(case.harm), "MESSAGES_DAMAGED" in case.named) == ((), True, True)


def test_without_checksums_it_reaches_the_bot_and_the_proof_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(damage_batch, "strike", another_text)
    monkeypatch.setattr(row_check, "require_sum", lambda *_values, **_blobs: None)
    [case] = Batch(["inbox.db"], 1, "control", serving=False).run()
    assert case.wrong
    assert "1 changed texts reached the bot" in case.wrong
