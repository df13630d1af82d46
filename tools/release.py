"""Builds what a release consists of, so that anybody who builds the same commit gets the same bytes.

    python tools/release.py           into dist/: the wheel, the list of what wasess is made of (CycloneDX), SHA256SUMS
    python tools/release.py --check   build the wheel twice under different circumstances, and complain (exit code 1) unless both are the same

The wheel is made of what is committed, and of nothing else that lies about: modes and times come from git, not from this machine.
`make dist` and `make supply` install what this needs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "requirements" / "run.txt"
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def source(folder: Path) -> str:
    """Lay what is committed into a folder; return the time of the commit, as SOURCE_DATE_EPOCH wants it."""
    archive = subprocess.run(["git", "-C", str(ROOT), "-c", "tar.umask=0022", "archive", "HEAD"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    # Packing it notes the mode of each file as it lies there.
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return subprocess.run(["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True).stdout.strip()


def wheel(folder: Path, zone: str = "UTC") -> Path:
    """Build the wheel in a folder that is empty. What the backend writes gets its mode from the umask, so that is always the same."""
    laid, built = folder / "source", folder / "built"
    epoch = source(laid)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(laid)]
    subprocess.run(command, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": epoch, "TZ": zone}, umask=0o022)
    return next(built.glob("*.whl"))


def differences() -> list[str]:
    """What is different between two wheels of this commit; empty when they are the same bytes."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory(suffix="-elsewhere") as other:
        first = wheel(Path(one))
        umask = os.umask(0o077)
        try:
            second = wheel(Path(other), "Asia/Tokyo")
        finally:
            os.umask(umask)
        if first.read_bytes() == second.read_bytes():
            return []
        return [f"{first.name} has {digest(first)} when it is built once, and {digest(second)} when it is built again"]


def sbom(target: Path) -> list[str]:
    """Write the CycloneDX list of the packages that wasess runs with; return what is missing there of those that are pinned."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON"]
    subprocess.run([*command, "--pyproject", str(ROOT / "pyproject.toml"), "-o", str(target), str(RUN)], check=True, capture_output=True)
    return missing(RUN.read_text(), json.loads(target.read_text()))


def missing(pinned: str, listed: dict[str, object]) -> list[str]:
    """Every pinned package with its version, and every hash of its files, must stand in the list."""
    text = json.dumps(listed)
    components = listed["components"]
    assert isinstance(components, list)  # noqa: S101 - CycloneDX says so
    there = {(one["name"].lower().replace("_", "-"), one["version"]) for one in components}
    packages = [f"{name} {version}" for name, version in PIN.findall(pinned) if (name.lower().replace("_", "-"), version) not in there]
    return packages + [f"sha256:{one}" for one in HASH.findall(pinned) if one not in text]


def digest(path: Path) -> str:
    """Its SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    """Check, or build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="leave nothing behind; end with 1 when something is wrong")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) if check else ROOT / "dist"
        target.mkdir(exist_ok=True)
        wrong = [f"missing in the SBOM: {one}" for one in sbom(target / "wasess.cdx.json")] + (differences() if check else [])
        if not check:
            built = wheel(Path(scratch))
            files = [target / built.name, target / "wasess.cdx.json"]
            files[0].write_bytes(built.read_bytes())
            (target / "SHA256SUMS").write_text("".join(f"{digest(path)}  {path.name}\n" for path in files))
        for line in wrong:
            print(line, file=sys.stderr)
        if not wrong:
            print(
                "dist: the wheel is reproducible, and the SBOM is complete" if check else (target / "SHA256SUMS").read_text(),
                end="\n" if check else "",
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
