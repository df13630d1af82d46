"""Makes a ledger say what the record says, when its manager could not: it was killed, or it was older than the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.core.outages import begun, ended, open_outage
from wasess.core.reasons import MANAGER_DOWN
from wasess.core.states import State

if TYPE_CHECKING:
    from wasess.core.outages import Ledger
    from wasess.store.records import SessionRecord

_SILENT = frozenset({State.NEW, State.PAIRING, State.CONNECTING})
"""States on disk that say nothing of an outage which the ledger does not know."""


def settled(record: SessionRecord, ledger: Ledger, last_alive: float) -> Ledger:
    """Return the ledger of a session that no manager keeps; ``last_alive``: when one was last known to run (Unix time).

    What was online has been away since then, but not since before its login. An outage that is open goes on.
    """
    if record.state != State.ONLINE:
        never_up = record.last_online_at is None or record.state in _SILENT
        return ledger if never_up else begun(ledger, record.since, record.reason_code)
    found = open_outage(ledger)
    if found and found.start < record.since:  # the login that ended it is known
        ledger = ended(ledger, record.since, found.attempts)
    return begun(ledger, max(last_alive, record.since), MANAGER_DOWN.code)
