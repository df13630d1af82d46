from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_test_that_the_page_names_exists():
    named = NAMED.findall(PAGE)
    assert len(named) > 40
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or (test and not re.search(rf"^(?:async )?def {test}\b", (ROOT / file).read_text(), re.MULTILINE))
    ]
    assert not missing


def test_each_line_of_the_checklist_is_held_by_something():
    rows = [line for line in PAGE.split("## The checklist", 1)[1].split("\n## ", 1)[0].splitlines() if re.match(r"\| \d+ ", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 14))
    assert all(NAMED.search(row) or "not there yet" in row for row in rows)


def test_each_attack_has_a_before_an_after_and_a_test():
    rows = [line for line in PAGE.split("## What was broken", 1)[1].split("\n## ", 1)[0].splitlines() if re.match(r"\| \d+ ", line)]
    assert {int(row.split("|")[1]) for row in rows} == set(range(1, 13))
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 5, row
        assert all(cells), row
        assert NAMED.search(cells[-1]) or "bench" in cells[-1] or "make supply" in cells[-1], row
