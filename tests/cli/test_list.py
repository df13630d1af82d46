from __future__ import annotations

import json

from test_before import JID, link

from wasess.cli.app import run
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home


def test_a_home_that_is_not_there_has_no_sessions(tmp_path, capsys):
    assert run(["list", "--home", str(tmp_path / "home")]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"no sessions in {tmp_path / 'home'}\n"
    assert "next: wasess connect USER" in shown.err
    assert not (tmp_path / "home").exists()


def test_linked_new_and_damaged_sessions_side_by_side(tmp_path, capsys):
    home = Home(tmp_path / "home").open(create=True)
    link(home.session("alice"))
    home.session("alice").record.save(SessionRecord("alice", 1.0, "online", "ONLINE", 1.0, jid=JID))
    home.session("bob").create()
    home.session("carol").create()
    (home.path / "carol" / "device.db").write_bytes(b"no database" * 100)
    (home.path / "carol" / "device.db").chmod(0o600)
    assert run(["list", "--home", str(home.path)]) == 0
    assert capsys.readouterr().out == "alice\tyes\t49***67\tonline\nbob\tno\t-\t-\ncarol\tcan't be read\t-\t-\n"
    assert run(["list", "--home", str(home.path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["linked"] for row in document["data"]["sessions"]] == [True, False, None]
    assert document["data"]["sessions"][2]["error"]["code"] == "DEVICE_DAMAGED"
    assert "491701234567" not in json.dumps(document)
