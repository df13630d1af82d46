"""The archive for a public issue tracker: what must not be in it, and what it is good for."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from linked_homes import JID, LID, link

from wasess.cli.app import run
from wasess.doctor.redaction import Redactor
from wasess.store.records import Change

if TYPE_CHECKING:
    from wasess.store.sessions import Home


def contents(archive: Path) -> dict[str, str]:
    """The files in an archive by their names."""
    data = archive.read_bytes()
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return {name: packed.read(name).decode() for name in packed.namelist()}
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        members = packed.getmembers()
        assert all((member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "") for member in members)
        return {member.name: packed.extractfile(member).read().decode() for member in members}  # type: ignore[union-attr] # files


def bundled(home: Home, archive: Path, *options: str) -> dict[str, str]:
    assert run(["diagnose", "--home", str(home.path), "--offline", "--bundle", str(archive), *options]) == 8
    return contents(archive)


@pytest.mark.parametrize("name", ["all.tar.gz", "all.tgz", "all.zip"])
def test_what_is_in_it(home: Home, tmp_path: Path, name: str):
    link(home, "alice")
    link(home, "bob").record.note(Change(1.0, "waiting", "NETWORK_DOWN", "bob: lookup on 10.1.2.3:53 failed for bob@example.org"))
    found = bundled(home, tmp_path / name)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    wanted = {"README.txt", "page.txt", "diagnosis.json", "settings.json", "history/u1.json", "history/u2.json"}
    assert {path.removeprefix("wasess/") for path in found} == wanted
    document = json.loads(found["wasess/diagnosis.json"])
    assert [(row["user"], row["state"], row["code"], row["phone"]) for row in document["sessions"]] == [
        ("u1", "stopped", "NO_MANAGER", "[number]"),
        ("u2", "stopped", "NO_MANAGER", "[number]"),
    ]
    history = json.loads(found["wasess/history/u2.json"])
    assert [line["sentence"] for line in history] == ["u2: lookup on [ip]:53 failed for [address]"]
    assert "no manager is running" in found["wasess/page.txt"]


def test_only_the_session_that_is_asked_about(home: Home, tmp_path: Path):
    link(home, "alice")
    link(home, "bob")
    found = bundled(home, tmp_path / "b.zip", "bob")
    assert "wasess/history/u2.json" in found
    assert "wasess/history/u1.json" not in found


def test_nothing_is_overwritten(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    link(home)
    taken = tmp_path / "taken.zip"
    taken.write_bytes(b"mine")
    for path, hint in ((taken, f"rm {taken}"), (tmp_path / "what.rar", "wasess diagnose --bundle wasess.tar.gz")):
        assert run(["diagnose", "--home", str(home.path), "--offline", "--bundle", str(path)]) == 2
        assert f"next: {hint}" in capsys.readouterr().err
    assert taken.read_bytes() == b"mine"
    (tmp_path / "link.zip").symlink_to(tmp_path / "elsewhere")
    assert run(["diagnose", "--home", str(home.path), "--offline", "--bundle", str(tmp_path / "link.zip")]) == 2
    assert not (tmp_path / "elsewhere").exists()
    assert run(["diagnose", "--home", str(home.path), "--offline", "--bundle", str(tmp_path / "no" / "x.zip")]) == 1


def test_no_name_and_no_place_is_in_it(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also those of a session that is gone, of strange files, and what a bot has complained with."""
    secrets = {"alice", "carol-shop", "hunter2", "491701234567", "100200300", "my diary", "https://hc-ping.com/1234", "dear diary"}
    secrets |= {str(home.path), str(tmp_path), str(Path.home() / "x")[:-2], os.uname().nodename, JID, LID}
    alice = link(home, "alice")
    (alice.folder / "my diary of alice.txt").write_text("dear diary")
    alice.record.note(Change(1.0, "online", "ONLINE", f"alice: {JID} and {LID} of {home.path} on {os.uname().nodename}"))
    monkeypatch.setenv("WASESS_PING", "https://hc-ping.com/1234")
    monkeypatch.setenv("WASESS_BOT", "hunter2.py:reply")
    monkeypatch.setenv("WASESS_MAX_PARALLEL", "4")
    log = home.path / ".log" / "serve.ndjson"
    log.parent.mkdir(mode=0o700)
    lines = [
        {"ts": "2026-11-24T19:00:00.000Z", "event": "state", "session": "carol-shop", "code": "ONLINE", "reason": "carol-shop is online"},
        {
            "ts": "2026-11-24T19:00:00.000Z",
            "event": "trouble",
            "session": "alice",
            "code": "BOT_FAILED",
            "reason": "dear diary",
            "line": "x",
        },
        {
            "ts": "2026-11-24T19:00:00.000Z",
            "event": "restored",
            "line": "dear diary",
            "more": "hunter2",
            "reason": "see https://hc-ping.com/1234",
        },
    ]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    log.chmod(0o600)
    found = bundled(home, tmp_path / "b.tgz")
    everything = "\n".join([*found, *found.values()])
    assert not {secret for secret in secrets if secret.casefold() in everything.casefold()}
    settings = json.loads(found["wasess/settings.json"])
    assert settings["WASESS_MAX_PARALLEL"] == "4"
    assert settings["WASESS_PING"] == settings["WASESS_BOT"] == "(set)"
    told = [json.loads(line) for line in found["wasess/log.ndjson"].splitlines()]
    assert [line.get("code", "") for line in told] == ["ONLINE", "BOT_FAILED", ""]
    assert told[0]["reason"] == "u2 is online"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("alice: online", "u1: online"),
        ("alice-2 and ALICE", "u2 and u1"),
        ("malice in alice's", "malice in u1's"),
        ("bot_alice", "bot_u1"),
        ("49***67 or +49 170 1234567", "[number] or [number]"),
        ("491701234567:3@s.whatsapp.net is 100200300:3@lid", "[address] is [address]"),
        ("dial tcp 157.240.1.60:443: from 10.0.0.7", "dial tcp [ip]:443: from [ip]"),
        ("at 127.0.0.1:4711", "at 127.0.0.1:4711"),
        ("via fe80::1 or 2a03:2880:f21c::167", "via [ip] or [ip]"),
        ("at 2026-11-24 19:37:08", "at 2026-11-24 19:37:08"),
        ("GET https://web.whatsapp.com/ws/chat", "GET https://web.whatsapp.com/ws/chat"),
        ("GET https://intranet.example/alice?token=x", "GET [url]"),
        ("/srv/secret/alice/device.db is a link", "[path] is a link"),
        ("key " + "Ab1+" * 11, "key [key]"),
        ("key " + "0f" * 32, "key [key]"),
    ],
)
def test_a_text_for_the_public(text: str, wanted: str):
    assert Redactor(["alice", "alice-2"], {}).text(text) == wanted


def test_keys_and_our_own_words_stay():
    redactor = Redactor(["online", "state"], {})
    value = {
        "state": "online",
        "code": "ONLINE",
        "user": "online",
        "next": [None, True, 1.5, "state"],
        "host": "db7",
        "fix": "wasess logs state",
    }
    assert redactor.value(value) == {
        "state": "online",
        "code": "ONLINE",
        "user": "u1",
        "next": [None, True, 1.5, "u2"],
        "host": "[host]",
        "fix": "wasess logs u2",
    }
