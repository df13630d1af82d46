"""What may happen to a home: which `fuzzed_home.Damage`, with what."""

from __future__ import annotations

from typing import Any

from fuzzed_home import THEN, Damage
from hypothesis import strategies as st

# Tables of values, many a line.
# fmt: off
ALICES = ["device.db", "session.json", "session.json.bak", "spool.log", "spool.pos", "lock", "paused", "kept", "kept/device.db",
          "device.db-journal", "device.db-wal", "device.db-shm"]
TARGETS = st.sampled_from([
    *(f"alice/{name}" for name in ALICES), "alice", ".", ".lock", ".realm", ".alive", ".control.sock", ".log", ".log/serve.ndjson",
    ".log/serve.ndjson.1", "kept", "bob/session.json", "bob/device.db", "bob/lock", "carol/paused",
])
FOLDERS = st.sampled_from([".", "alice", "alice/kept", ".log"])
LOCKS = st.sampled_from(["alice/lock", "bob/lock", ".lock"])
JSON_FILES = st.sampled_from(["alice/session.json", "alice/session.json", "alice/spool.pos", "alice/lock", ".lock"])
FIELDS = st.sampled_from([
    "schema", "record", "history", "outages", "1", "2", "user", "created_at", "state", "reason_code", "since", "paired_at", "jid", "lid",
    "last_online_at", "restarts", "resume_at", "phone_seen_at", "at", "code", "sentence", "number", "start", "end", "attempts",
    "inode", "head", "position", "pid", "host", "boot_id", "purpose", "elsewhere",
])
VALUES = st.one_of(st.floats(), st.integers(), st.text(max_size=20), st.sampled_from([
    None, True, False, "", [], {}, 0, -1, 1e308, -1e308, 10**400, 2**63, 2**64, "ONLINE", "NOWHERE", "\x1b[31m", "x" * 5000, "\u202e",
    {"1": {}}, [[[]]], {"record": 1}, "alice", "../bob", 3, 99,
]))
GARBAGE = st.one_of(st.binary(max_size=600), st.sampled_from([
    b"", b"{}", b"[]", b"null", b"0", b'"', b"\xff\xfe", b"\0" * 4096, b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"1e999999",
    b'{"schema": 1}', b'{"schema": 99, "record": {}}', b'{"schema": "2"}', b'{"schema": 1e400}', b'{"schema": 2, "record": {"1": 1}}',
    b'{"pid": 1e400}\n', b'{"pid": 1, "host": 2, "boot_id": [], "purpose": "serve", "since": 1e300}\n', b'{"pid": NaN}', b"x" * 2**20,
    b"SQLite format 3\0" + b"\xff" * 4080, b"SQLite format 3\0", b"WS\x01\x01\xff\xff\xff\xff\0\0\0\0", b"WS\x01" * 30_000, b"whatsapp",
    b'{"line": "\\u001b[2J\\u202e", "ts": "9999-12-31T23:59:59Z"}\n', b'{"line": 1, "ts": 1}\n', b'{"line": {}}\n[]\nnull\n',
    b'{"line": "x", "ts": "0001-01-01T00:00:00"}\n', b'{"line": "\\ud800", "ts": "-1"}\n', b"\xff\n", b"{" * 5000 + b"\n", b"\n" * 1000,
]))
HOLDERS = st.one_of(st.sampled_from([b"", b"?", b"[" * 4000, b"{}"]), st.builds(
    lambda *found: b'{"pid": %s, "host": "h", "boot_id": "b", "purpose": %s, "since": %s}\n' % found,
    st.sampled_from([b"1", b"0", b"-5", b"1e400", b"NaN", b"99999999", b"%d" % 2**70]),
    st.sampled_from([b'"serve"', b'"connect"', b'""', b'"x\\u001b[2J\\n"', b"null", b"[]"]),
    st.sampled_from([b"0", b"1", b"1e300", b"-1e300", b"99e9", b"NaN", b"Infinity", b'"now"']),
))
MODES = st.sampled_from([0o000, 0o777, 0o4755, 0o2770, 0o1777, 0o400, 0o200, 0o100, 0o644, 0o666, 0o6777, 0o600, 0o700])
LINKS = st.sampled_from(["canary", "canary file", "itself", "/", "/dev/null", "/nowhere", "..", "../bob", "bob", "/proc/self/root", "a" * 200])
NAMES = st.one_of(st.binary(min_size=1, max_size=40).map(lambda name: name.translate(None, b"\0/") or b"x"), st.sampled_from([
    b"a\nb", b"n" * 255, b"\xff\xfe", b"\x1b[2J", b"-rf", b" ", b"con", b"Alice", b".session.json.1.tmp", b"\xe2\x80\xae", b"core",
]))
STATEMENTS = st.one_of(
    st.sampled_from([
        "DROP TABLE whatsmeow_device", "DELETE FROM whatsmeow_device", "DROP TABLE wasess_graveyard", "DROP TRIGGER wasess_keep_device",
        "INSERT INTO whatsmeow_device SELECT 'x', lid, platform, push_name, noise_key, identity_key FROM whatsmeow_device", "VACUUM",
        "ALTER TABLE whatsmeow_device RENAME TO other", "ALTER TABLE whatsmeow_device DROP COLUMN lid", "PRAGMA encoding = 'UTF-16'",
        "ALTER TABLE whatsmeow_device RENAME COLUMN jid TO jjid", "DROP TABLE whatsmeow_pre_keys", "CREATE VIEW v AS SELECT 1",
        "PRAGMA user_version = 99", "PRAGMA journal_mode = wal",
    ]),
    st.builds(
        "UPDATE whatsmeow_device SET {} = {}".format, st.sampled_from(["jid", "lid", "platform", "push_name", "noise_key"]),
        st.sampled_from(["NULL", "x'00ff'", "7", "''", "char(27) || '[2J:1@s'", "CAST(x'ff3a31' AS TEXT)", "1e308", "zeroblob(100000)"]),
    ),
)
# fmt: on

SHARES = st.floats(0, 1)
_DAMAGES: list[tuple[st.SearchStrategy[str], str, st.SearchStrategy[Any]]] = [
    (TARGETS, "resize", SHARES | st.just(1000.0)),
    (TARGETS, "flip", st.lists(st.tuples(SHARES, st.integers(1, 255)), min_size=1, max_size=8)),
    (TARGETS, "append", GARBAGE),
    (TARGETS, "write", GARBAGE),
    (JSON_FILES, "edit", st.tuples(FIELDS, VALUES)),
    (JSON_FILES, "edit", st.tuples(FIELDS, VALUES)),
    (st.just("alice/device.db"), "database", STATEMENTS),
    (LOCKS, "held", HOLDERS),
    (TARGETS, "delete", st.none()),
    (TARGETS, "folder", MODES),
    (TARGETS, "link", LINKS),
    (TARGETS, "moved", st.none()),
    (TARGETS, "twin", st.none()),
    (TARGETS, "pipe", MODES),
    (TARGETS, "socket", st.booleans()),
    (TARGETS, "mode", MODES),
    (TARGETS, "owner", st.just(12345)),
    (TARGETS, "time", st.sampled_from([0.0, 1.0, -1.0, 4e9, 2e10, THEN])),
    (FOLDERS, "stranger", NAMES),
]
DAMAGES = st.lists(st.one_of([st.builds(Damage, target, st.just(what), data) for target, what, data in _DAMAGES]), min_size=1, max_size=3)
