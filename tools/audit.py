"""Looks for known vulnerabilities in the packages that requirements/*.txt pin. `make supply` runs it.

    python tools/audit.py            exit code 1 when a pinned package has a known vulnerability
    python tools/audit.py --strict   also when nobody could be asked about some of them (2)

The advisories are PyPI's, and OSV's where PyPI's are not to be had. A package index that is a mirror may deliver neither: then this says
that nothing was checked, because a clean result would be a lie.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
PINNED = ("run.txt", "dev.txt", "supply.txt")
SERVICES = ("pypi", "osv")
ANSWERS_WITHIN = 120.0
CLEAN, VULNERABLE, UNCHECKED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Audit:
    """``vulnerable``: a line for each known vulnerability. ``checked`` and ``unchecked``: the packages somebody could be asked about, and the others."""

    vulnerable: tuple[str, ...] = ()
    checked: frozenset[str] = frozenset()
    unchecked: frozenset[str] = frozenset()

    @classmethod
    def of(cls, report: dict[str, Any]) -> Audit:
        """Read what ``pip-audit --format json`` says."""
        packages = report["dependencies"]
        vulnerable = [
            f"{one['name']} {one['version']}: {found['id']}; fixed in {', '.join(found['fix_versions']) or 'no release'}"
            for one in packages
            for found in one.get("vulns", ())
        ]
        unchecked = frozenset(one["name"] for one in packages if "skip_reason" in one)
        return cls(tuple(vulnerable), frozenset(one["name"] for one in packages) - unchecked, unchecked)

    def exit_code(self, *, strict: bool) -> int:
        """A vulnerability outranks what could not be checked."""
        if self.vulnerable:
            return VULNERABLE
        return UNCHECKED if strict and (self.unchecked or not self.checked) else CLEAN

    @property
    def summary(self) -> str:
        """One line."""
        if not self.checked:
            return "audit: nothing was checked: neither the package index nor OSV delivers advisories here"
        said = f"audit: {len(self.checked)} packages checked, {len(self.vulnerable)} known vulnerabilities"
        return f"{said}; could not be checked: {', '.join(sorted(self.unchecked))}" if self.unchecked else said


def ask(service: str) -> Audit | None:
    """Ask one service; None when it can't be reached."""
    files = [argument for name in PINNED for argument in ("--requirement", str(REQUIREMENTS / name))]
    options = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off", "--vulnerability-service", service]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, *files], capture_output=True, text=True, check=False, timeout=ANSWERS_WITHIN
        )
        return Audit.of(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return None


def main() -> int:
    """Ask them in order, until one has something to say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="end with 2 when a package could not be checked")
    strict = parser.parse_args().strict
    found = Audit()
    for service in SERVICES:
        found = ask(service) or found
        if found.checked:
            break
    for line in found.vulnerable:
        print(line, file=sys.stderr)
    print(found.summary)
    return found.exit_code(strict=strict)


if __name__ == "__main__":
    sys.exit(main())
