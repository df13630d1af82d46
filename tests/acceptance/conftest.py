from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from terminal import Terminal, wasess


class Stage:
    """A home, a running sandbox, and the commands of people around them."""

    def __init__(self, folder: Path, contract: Path) -> None:
        self.folder = folder
        self.home = folder / "sessions"
        self.contract = contract
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WASESS_")},
            "WASESS_HOME": str(self.home),
            "WASESS_SANDBOX": str(contract),
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }
        self.environment.pop("NO_COLOR", None)
        self._terminals: list[Terminal] = []

    def terminal(self, *arguments: str, rows: int = 40, columns: int = 80, **environment: str) -> Terminal:
        """Type a wasess command into a new terminal window."""
        opened = Terminal(wasess(*arguments), self.environment | environment, rows, columns)
        self._terminals.append(opened)
        return opened

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a wasess command without a terminal."""
        return subprocess.run(
            wasess(*arguments), env=self.environment | environment, capture_output=True, text=True, check=False, timeout=60
        )

    def sandbox(self, *arguments: str) -> str:
        """A `wasess sandbox …` command that must go well; returns what it prints."""
        done = self.run("sandbox", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close()


@pytest.fixture(scope="session")
def contract():
    """The contract of a sandbox that runs as its own process."""
    folder = Path(tempfile.mkdtemp(prefix="wasess-stage-"))
    server = subprocess.Popen(wasess("sandbox", "serve", "--dir", str(folder / "sandbox")), stdout=subprocess.PIPE, text=True)
    assert server.stdout
    path = Path(server.stdout.readline().strip())
    yield path
    server.terminate()
    assert server.wait(10) == 0
    server.stdout.close()
    shutil.rmtree(folder)


@pytest.fixture
def stage(tmp_path, contract, request):
    """Each test has its own home and, by its own name, its own user in the sandbox."""
    opened = Stage(tmp_path, contract)
    yield opened
    opened.close()


@pytest.fixture
def user(request):
    """A user id that no other test uses."""
    return f"u{abs(hash(request.node.nodeid)) % 10**12}"
