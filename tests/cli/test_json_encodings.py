"""``--json`` is JSON, and text is no error, on a stream of any encoding."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from wasess.cli.render import emit, in_json
from wasess.cli.result import Result

if TYPE_CHECKING:
    from pathlib import Path

NAME = "Zoë € 🚀 \udc80 \x1b"
ENCODINGS = ["utf-8", "utf8", "latin-1", "ascii", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_document_is_json_whatever_the_stream_can_take(monkeypatch: pytest.MonkeyPatch, encoding: str):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, errors="backslashreplace"))
    assert emit(Result({"name": NAME}), as_json=True) == 0
    written = out.getvalue().decode(encoding)
    assert json.loads(written)["data"]["name"] == NAME
    assert "\x1b" not in written
    assert json.loads(in_json([NAME])) == [NAME]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_text_is_no_error(monkeypatch: pytest.MonkeyPatch, encoding: str):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, errors="backslashreplace"))
    assert emit(Result({}, ("Zoë € 🚀",)), as_json=False) == 0
    assert b"Zo" in out.getvalue()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_command_in_such_a_locale(tmp_path: Path, encoding: str):
    home = tmp_path / "Zoë 🚀"
    done = subprocess.run(
        [sys.executable, "-m", "wasess", "list", "--home", str(home), "--json"],
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert json.loads(done.stdout.decode(encoding))["ok"], done
