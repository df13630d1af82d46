from __future__ import annotations

from wasess.core.rate_limiter import BURST, TOLD_EVERY
from wasess.supervisor.limited import LimitedReporter
from wasess.supervisor.report import Notice


class Kept:
    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def report(self, notice: Notice) -> None:
        self.notices.append(notice)

    @property
    def lines(self) -> list[str]:
        return [notice.line for notice in self.notices]


def test_a_flood_is_cut_and_counted():
    kept = Kept()
    now = [100.0]
    with LimitedReporter(kept, lambda: now[0]) as reporter:
        for number in range(5000):
            reporter.report(Notice(0.0, "log", f"alice: hostile {number}", "alice", kind="Client: Error"))
        assert len(kept.notices) == BURST
        reporter.report(Notice(0.0, "log", "bob: hostile", "bob", kind="Client: Error"))
        assert kept.lines[-1] == "bob: hostile"
        now[0] += TOLD_EVERY
        reporter.tell_left_out()
        assert kept.lines[-1] == f"{5000 - BURST} more lines like this one were left out: alice: hostile {BURST}"
        assert (kept.notices[-1].event, kept.notices[-1].level) == ("log", "warning")


def test_the_end_tells_what_was_left_out():
    kept = Kept()
    with LimitedReporter(kept, lambda: 100.0) as reporter:
        for _ in range(BURST + 1):
            reporter.report(Notice(0.0, "trouble", "the bot failed", "alice", code="BOT_RAISED", level="warning"))
    assert kept.lines[BURST:] == ["1 more line like this one was left out: the bot failed"]


def test_states_and_errors_of_ours_always_pass():
    kept = Kept()
    with LimitedReporter(kept, lambda: 100.0) as reporter:
        for _ in range(BURST * 3):
            reporter.report(Notice(0.0, "state", "alice: offline", "alice", "waiting", "NETWORK_DOWN", level="warning"))
            reporter.report(Notice(0.0, "trouble", "the disk", "alice", code="MAIL_NOT_TAKEN", level="error"))
    assert len(kept.notices) == BURST * 6
