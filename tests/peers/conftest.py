"""Installs Baileys once, from the lock file beside this one, into a folder that git ignores."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".peers"
MANIFEST = ("package.json", "package-lock.json")
OLDEST_NODE = 20
# `sharp`, a peer dependency of 20 MB, only makes thumbnails; one retry, so that a machine without a network says so soon.
NPM_CI = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=peer", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
INSTALL_SECONDS = 80
UNREACHABLE = re.compile(
    r"npm error code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)"
)


@pytest.fixture(scope="session")
def baileys_folder() -> Path:
    """Where Baileys is installed."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Baileys needs node {OLDEST_NODE}, this is {version}")
    lock = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in MANIFEST)).hexdigest()
    folder = CACHE / lock[:16]
    if not folder.exists():
        _install(folder)
    return folder / "node_modules" / "baileys"


def _install(folder: Path) -> None:
    """Install beside the folder and rename, so that it is there entirely or not at all."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        for name in MANIFEST:
            shutil.copy(HERE / name, unfinished)
        _run_npm(unfinished)
        if not folder.exists():
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run_npm(folder: Path) -> None:
    try:
        npm = subprocess.run(NPM_CI, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the npm registry did not deliver Baileys within {INSTALL_SECONDS} s")
    unreachable = UNREACHABLE.search(npm.stderr)
    if unreachable:
        pytest.skip(f"the npm registry can't be reached ({unreachable[1]})")
    assert npm.returncode == 0, npm.stderr
