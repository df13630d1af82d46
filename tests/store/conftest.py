"""Real folders, real processes: what the store's tests share."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from wasess.store.mail import MailFile
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


class Another(Protocol):
    def __call__(self, program: str, *arguments: object, keep: tuple[int, ...] = ()) -> AbstractContextManager[subprocess.Popen[str]]: ...


@contextmanager
def _another(program: str, *arguments: object, keep: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """Run a program in another process and wait for its first line; it is killed -9 at the end."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=keep) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), "the other process ended before it was ready"
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def another() -> Another:
    return _another


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "auth_sessions").open(create=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a session."""
    made = tmp_path / "alice"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def mail(folder: Path) -> Iterator[MailFile]:
    with closing(MailFile(folder)) as made:
        yield made
