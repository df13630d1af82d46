"""Every subcommand of the bench measures something, at the smallest size; the figures themselves are not judged here."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALLEST = {
    "help": ("--runs", "1"),
    "pss": ("--workers", "1", "--seconds", "0.3"),
    "restore": ("--sessions", "2", "--rounds", "1"),
    "supervisor": ("--sessions", "1", "--seconds", "0.3"),
}


NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="workers let nobody but root look into their memory maps")


@pytest.mark.wire
@pytest.mark.parametrize("figure", [pytest.param(name, marks=NEEDS_ROOT) if name == "pss" else name for name in SMALLEST])
def test_each_subcommand_measures(figure):
    bench = subprocess.run(
        [sys.executable, "-m", "bench", figure, *SMALLEST[figure], "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = json.loads(bench.stdout)
    assert not found["failures"], bench.stderr
    assert len(found["figures"]) >= 3
    assert any(one["median"] > 0 for one in found["figures"])
    assert all(one["command"].startswith(f"python -m bench {figure}") for one in found["figures"])
    assert bench.returncode == int(any(one["over"] for one in found["figures"]))


@pytest.fixture
def figure(monkeypatch):
    """The module `bench.figure`; only `python -m bench`, started in this folder, finds it by itself."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("bench.figure")


def test_the_median_is_judged_not_the_worst(figure):
    assert not figure.Figure("restore", (1.0, 1.5, 9.0), "s", "…", limit=2).over
    assert figure.Figure("restore", (1.0, 2.5, 9.0), "s", "…", limit=2).over
    assert not figure.Figure("restore", (99.0,), "s", "…").over


def test_the_table_names_figure_spread_limit_verdict_and_command(figure):
    restore = figure.Figure("restore of 20", (1.0, 2.5, 9.0), "s", "python -m bench restore", limit=2)
    lines = figure.table([restore], [figure.Failure("pss", "no root")]).splitlines()
    row = next(line for line in lines if line.startswith("restore of 20"))
    assert [cell.strip() for cell in row.split("  ") if cell] == [
        "restore of 20",
        "2.5 s",
        "1 to 9 of 3",
        "2 s",
        "OVER",
        "python -m bench restore",
    ]
    assert lines[-1] == "FAILED  pss: no root"


def test_the_document_says_what_was_over(figure):
    [one] = figure.document([figure.Figure("restore", (1.0, 3.0), "s", "…", limit=1)], [])["figures"]
    assert (one["median"], one["values"], one["over"]) == (2.0, [1.0, 3.0], True)
