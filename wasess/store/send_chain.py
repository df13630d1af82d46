"""Keeps a session from being put back, when the library decrypts and encrypts with it at the same time.

The library loads a Signal session, goes on with it and stores it, and has no lock around that between a message that comes and one that goes to
the same contact (whatsmeow pull request 1168, open in November 2026). When the one that came is stored last, the next one that goes is encrypted
with a key that was used already: the server acknowledges it, the contact's phone takes it for a duplicate and drops it, and nobody is told.
When the one that goes is stored last, and the one that came had begun a new chain (a turn of the ratchet), the session goes back to before that
turn: what either side has sent since can't be read by the other.

So a trigger looks at what is stored. A sending chain that has become shorter stays as long as it was; what was received stays new. A session
that does not know the newest receiving chain any more is not stored: all that it has besides is one more message sent with a chain that is over.
"""

from __future__ import annotations

TABLE = "whatsmeow_sessions"
COLUMNS = frozenset({"our_jid", "their_id", "session"})

_CHAIN = "$.SessionState.SenderChain"
_BASE_KEY = "$.SessionState.SenderBaseKey"
_NEWEST = "$.SessionState.ReceiverChains[#-1].SenderRatchetKeyPublic"  # libsignal appends


def trigger(name: str) -> str:
    """The statement that sets it. One that failed would stop the library: of what is no JSON, nothing is looked at."""
    old, new = "CAST(OLD.session AS TEXT)", "CAST(NEW.session AS TEXT)"
    same_chain = _each("json_extract({row}, '{chain}.SenderRatchetKeyPublic')", old, new, "=")
    shorter = _each("json_extract({row}, '{chain}.ChainKey.Index')", old, new, ">")
    kept = f"json_set({new}, '{_CHAIN}', json_extract({old}, '{_CHAIN}'))"
    same_session = f"json_extract({old}, '{_BASE_KEY}') = json_extract({new}, '{_BASE_KEY}')"
    turned_back = f"{same_session} AND instr({new}, json_extract({old}, '{_NEWEST}')) = 0"
    return (
        f"CREATE TRIGGER {name} AFTER UPDATE OF session ON {TABLE}"  # noqa: S608 - constants of this module
        f" WHEN CASE WHEN json_valid({old}) AND json_valid({new}) THEN ({same_chain} AND {shorter}) OR ({turned_back}) ELSE 0 END"
        f" BEGIN UPDATE {TABLE} SET session = CASE WHEN {turned_back} THEN OLD.session ELSE CAST({kept} AS BLOB) END WHERE our_jid = NEW.our_jid AND their_id = NEW.their_id; END"
    )


def _each(expression: str, old: str, new: str, comparison: str) -> str:
    return comparison.join(f" {expression.format(row=row, chain=_CHAIN)} " for row in (old, new))
