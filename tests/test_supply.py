from __future__ import annotations

import re
import stat
from pathlib import Path

import audit
import pytest
import release

ROOT = Path(__file__).parent.parent
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
CLEAN = {"name": "h11", "version": "0.16.0", "vulns": []}
VULNERABLE = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "PYSEC-2025-1", "fix_versions": ["0.16.0"], "aliases": []}]}
UNKNOWN = {"name": "tinydb", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda path: path.name)
def test_every_pinned_package_has_a_hash(file: Path):
    entries = re.split(r"^(?=[a-z])", re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE), flags=re.MULTILINE)
    assert entries[1:]
    for entry in filter(str.strip, entries):
        assert release.PIN.match(entry), entry
        assert release.HASH.search(entry), entry


def test_a_package_has_the_same_version_everywhere():
    versions: dict[str, set[frozenset[str]]] = {}  # in one file it may have several, for different Pythons
    for file in REQUIREMENTS:
        pins = release.PIN.findall(file.read_text())
        for name in {name for name, _version in pins}:
            versions.setdefault(name, set()).add(frozenset(version for one, version in pins if one == name))
    assert [name for name, found in versions.items() if len(found) > 1] == []


def test_the_audit_looks_at_every_file_that_pins_what_runs():
    assert set(audit.PINNED) | {"build.txt"} == {file.name for file in REQUIREMENTS}
    build, supply = (dict(release.PIN.findall((ROOT / "requirements" / name).read_text())) for name in ("build.txt", "supply.txt"))
    assert build.items() <= supply.items()


@pytest.mark.parametrize(
    ("packages", "code", "strict"),
    [([CLEAN], 0, 0), ([CLEAN, VULNERABLE], 1, 1), ([VULNERABLE, UNKNOWN], 1, 1), ([CLEAN, UNKNOWN], 0, 2), ([UNKNOWN], 0, 2), ([], 0, 2)],
)
def test_a_vulnerability_ends_the_audit_with_1_and_what_nobody_knows_with_2_when_that_is_asked_for(
    packages: list[dict[str, object]], code: int, strict: int
):
    found = audit.Audit.of({"dependencies": packages})
    assert (found.exit_code(strict=False), found.exit_code(strict=True)) == (code, strict)
    assert found.vulnerable == (("h11 0.14.0: PYSEC-2025-1; fixed in 0.16.0",) if VULNERABLE in packages else ())


def test_the_audit_never_calls_clean_what_was_not_checked():
    assert "nothing was checked" in audit.Audit.of({"dependencies": [UNKNOWN]}).summary
    assert "tinydb" in audit.Audit.of({"dependencies": [CLEAN, UNKNOWN]}).summary


def test_an_incomplete_list_is_noticed():
    pinned = "h11==0.16.0 \\\n    --hash=sha256:" + "a" * 64 + "\ntiny_db==4.9 \\\n    --hash=sha256:" + "b" * 64 + "\n"
    listed = {"components": [{"name": "h11", "version": "0.16.0", "hashes": ["a" * 64]}, {"name": "tiny-db", "version": "4.8"}]}
    assert release.missing(pinned, listed) == ["tiny_db 4.9", "sha256:" + "b" * 64]


def test_what_is_packed_is_what_is_committed_with_the_same_modes_everywhere(tmp_path: Path):
    (ROOT / "wasess" / "left_over_by_a_test.txt").write_text("not committed")
    try:
        assert release.source(tmp_path).isdecimal()
    finally:
        (ROOT / "wasess" / "left_over_by_a_test.txt").unlink()
    assert not (tmp_path / "wasess" / "left_over_by_a_test.txt").exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()} == {0o644}
