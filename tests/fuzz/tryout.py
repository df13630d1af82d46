"""One command line, run in this process as `wasess` runs it, behind a fence: what it said, and what became of the files."""

from __future__ import annotations

import faulthandler
import hashlib
import io
import json
import os
import re
import signal
import stat
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fence import fenced
from hypothesis import HealthCheck, example, given, settings

from wasess.cli.app import run
from wasess.core.escaping import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

    from hypothesis.strategies import SearchStrategy

# How often more than usual; more is with other inputs each time.
TIMES = int(os.environ.get("WASESS_FUZZ_TIMES", "1"))
# Inputs by what is tried.
SHARES = {"command lines": 300, "variables": 60, "user ids": 150, "settings": 200, "homes": 250}
LIMIT = pytest.mark.timeout(300 * TIMES, method="thread")
EXIT_CODES = frozenset({*range(11), 130})  # README.md, Exit codes
# Written so that it does not match itself: Hypothesis tries the texts it finds in the sources, too.
NEVER_SAID = re.compile(r"Traceback[ ]\(most|unexpected[ ]error|CHECK[_]FAILED|the[ ]check of \w+ failed")
SLOWEST_ANSWER = 5.0
HANGS_AFTER = 8.0
HANGS_IN_A_CALL_AFTER = 10.0


class Hangs(BaseException):
    """A command takes too long. No Exception: Hypothesis ends at it, instead of trying what hangs again and again to make it smaller."""


@dataclass(frozen=True)
class Said:
    """What a command line came to."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str


class Place:
    """A folder (``root``) in which commands are typed, with a desk to sit at, a HOME of its own and what must not change (``canary``).

    ``stacks``: a descriptor for the stack of a command that hangs and can't be interrupted.
    """

    def __init__(self, root: Path, stacks: int) -> None:
        self.root, self.desk, self.canary = root, root / "desk", root / "canary"
        self._stacks = stacks
        self._person, self._streams = root / "person", (root / "streams" / "out", root / "streams" / "err")
        for folder in (self.desk, self.canary, self._person, root / "streams"):
            folder.mkdir()
        (self.canary / "session.json").write_text("a canary")
        (self.canary / "device.db").write_text("another canary")

    def type(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Said:
        """Run a command line and hold it to what counts for all of them."""
        canary = files(self.canary)
        with ExitStack() as around:
            around.callback(os.umask, os.umask(0o077))
            patch = around.enter_context(pytest.MonkeyPatch.context())
            patch.chdir(self.desk)
            patch.setattr(tempfile, "tempdir", str(self._person))
            patch.setattr(sys, "stdin", around.enter_context(Path(os.devnull).open(encoding="utf-8")))
            out, err = (around.enter_context(_stream(path)) for path in self._streams)
            around.enter_context(redirect_stdout(out))
            around.enter_context(redirect_stderr(err))
            self._set_variables(patch, environment or {})
            around.enter_context(fenced(self.root))
            around.enter_context(in_time(arguments, self._stacks))
            code = run(list(arguments))
        said = Said(arguments, code, *(path.read_bytes().decode() for path in self._streams))
        judge(said)
        assert not changes(canary, files(self.canary)), said
        return said

    def _set_variables(self, patch: pytest.MonkeyPatch, more: Mapping[str, str]) -> None:
        """Nothing of ours but ``more``."""
        for name in [name for name in os.environ if name.startswith(("WASESS_", "XDG_", "_WASESS"))]:
            patch.delenv(name)
        for name, value in {"HOME": str(self._person), "TMPDIR": str(self._person), **more}.items():
            patch.setenv(name, value)


def _stream(path: Path) -> io.TextIOWrapper:
    """As `wasess.__main__` has its streams."""
    return io.TextIOWrapper(path.open("wb"), encoding="utf-8", errors="backslashreplace")


def try_all(share: str, inputs: SearchStrategy[Any], attempt: Callable[[Any], object], known: Sequence[Any] = ()) -> None:
    """Make an attempt with each of the share's inputs, always the same but for WASESS_FUZZ_TIMES, and with those ``known`` to have failed."""
    tried = 0

    def counted(found: Any) -> None:
        nonlocal tried
        tried += 1
        attempt(found)

    test = given(inputs)(counted)
    for found in known:
        test = example(found)(test)
    settings(
        max_examples=SHARES[share] * TIMES,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)()
    assert tried >= SHARES[share] * TIMES + len(known)


def judge(said: Said) -> None:
    """What every command line must keep to."""
    both = said.out + said.err
    assert said.code in EXIT_CODES, said
    assert not NEVER_SAID.search(both), said
    raw = {letter for letter in both if not letter.isprintable() and letter not in KEPT | {"\n", "\t"}}
    assert not raw, (raw, said)


def judge_json(said: Said) -> None:
    """With --json stdout is one document, and stderr is for nobody."""
    assert said.out.endswith("}\n"), said
    document = json.loads(said.out)
    assert set(document) == {"schema", "ok", "data", "error"}, said
    assert document["ok"] == (said.code == 0), said
    assert (document["error"] is None) == (document["data"] is not None), said


Files = dict[bytes, tuple[int, str]]


def files(folder: Path) -> Files:
    """Everything below a folder: mode and digest (of a link: where it leads) by path."""
    found: Files = {}
    _look(os.fsencode(folder), b"", found)
    return found


def changes(before: Files, after: Files) -> dict[bytes, str]:
    """What became of each file that is not as it was: ``gone``, ``new``, ``mode`` (also of one that could not be read then) or ``content``."""
    found = dict.fromkeys(before.keys() - after.keys(), "gone") | dict.fromkeys(after.keys() - before.keys(), "new")
    for name in before.keys() & after.keys():
        if before[name] != after[name]:
            same = before[name][1] == after[name][1] or not (before[name][1] and after[name][1])
            found[name] = "mode" if same else "content"
    return found


def _look(folder: bytes, below: bytes, found: Files) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            status, name = entry.stat(follow_symlinks=False), below + entry.name
            found[name] = status.st_mode, _digest(entry.path, status)
            if stat.S_ISDIR(status.st_mode) and os.access(entry.path, os.R_OK | os.X_OK):
                _look(entry.path, name + b"/", found)


def _digest(path: bytes, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return repr(os.readlink(path))  # noqa: PTH115 - names that are no text
    if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK):
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return hashlib.sha256(file.read()).hexdigest()
    return ""


@contextmanager
def in_time(arguments: Sequence[str], stacks: int) -> Iterator[None]:
    """Raise `Hangs` with the stack when it lasts too long; end the process when it can't be interrupted."""
    where: list[str] = []

    def interrupt(_number: int, frame: FrameType | None) -> None:
        where.extend(traceback.format_stack(frame)[-6:])
        raise Hangs

    before = signal.signal(signal.SIGALRM, interrupt)
    faulthandler.dump_traceback_later(HANGS_IN_A_CALL_AFTER, exit=True, file=stacks)
    signal.setitimer(signal.ITIMER_REAL, HANGS_AFTER)
    began = time.monotonic()
    try:
        yield
    except Hangs:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
    took = time.monotonic() - began
    if where or took > SLOWEST_ANSWER:
        raise Hangs(f"{arguments} took {took:.1f} s\n{''.join(where)}")
