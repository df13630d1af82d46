from __future__ import annotations

from wasess.core.rate_limiter import BURST, MOST_KINDS, PER_SECOND, TOLD_EVERY, RateLimiter


def test_a_flood_of_one_kind_hides_no_other():
    limiter = RateLimiter()
    passed = sum(limiter.admit("flood", "x", 100.0) for _ in range(20_000))
    assert passed == BURST
    assert limiter.admit("other", "y", 100.0)


def test_turns_come_back():
    limiter = RateLimiter()
    for _ in range(BURST + 5):
        limiter.admit("flood", "x", 100.0)
    assert limiter.admit("flood", "x", 100.0 + 1 / PER_SECOND)
    assert not limiter.admit("flood", "x", 100.0 + 1 / PER_SECOND)


def test_what_was_left_out_is_told_once():
    limiter = RateLimiter()
    for number in range(BURST + 7):
        limiter.admit("flood", f"line {number}", 100.0)
    assert not limiter.due(100.0 + TOLD_EVERY - 1)
    [found] = limiter.due(100.0 + TOLD_EVERY)
    assert (found.count, found.example) == (7, f"line {BURST}")
    assert not limiter.due(1000.0)


def test_kinds_that_strangers_make_up_are_bounded():
    """Beyond the bound they share one bucket, and a kind that was quiet for long makes room."""
    limiter = RateLimiter()
    passed = sum(limiter.admit(f"kind {number}", "x", 100.0) for number in range(20_000))
    assert passed == MOST_KINDS + BURST
    assert len(limiter._buckets) <= MOST_KINDS + 1
    assert limiter.admit("new", "x", 100.0 + BURST / PER_SECOND)
    assert len(limiter._buckets) == 1
