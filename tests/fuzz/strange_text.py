"""Texts that nobody expects: control characters, escape sequences, bytes that are no text, numbers that are none."""

from __future__ import annotations

from hypothesis import strategies as st

# A table of values, many a line.
# fmt: off
TEXTS = [
    "", " ", "-", "--", "---", ".", "..", "/", "~", "*", "%s%n", "{user}", "{0}", "{", "}", "\\", "'", '"', "$(reboot)", "`id`", ";", "|",
    "\x1b[2J", "\x1b]0;title\x07", "\x1b[31mred", "\x9b31m", "\x7f", "\r", "a\nb", "\t", "\x00", "a\x00b", "\x08\x08", "\u202egpj.exe",
    "\ufeff", "\u200b", "\ud800", "\udcff\udc80", "\U0010ffff", "👩\u200d💻", "é", "e\u0301", "\uff41lice", "\u0430lice", "ß", "İ", "ǆ",
    "0", "-1", "1", "007", "1e400", "-1e400", "nan", "NaN", "inf", "-inf", "1_000", "0x10", "1.5", "٣", "½", "9" * 400, "-" + "9" * 400,
    "18446744073709551616", "9223372036854775808", "0.0000000000000001", "1e-320", "2026-11-24", "2026-02-30T25:61", "9999-12-31",
    "true", "yes", "null", "None", "[]", "[1", "{}", "a" * 300, "a" * 5000, "x" * 100_000, "/" + "d/" * 3000, "con", "NUL",
    "../../canary", "../canary", "/dev/null", "/dev/zero", "/proc/self/mem", "/dev/full", "file:///etc/passwd", "%2e%2e",
]
# fmt: on

# What the operating system hands over when the bytes are no UTF-8.
_bytes = st.binary(max_size=20).map(lambda data: data.decode(errors="surrogateescape"))
_numbers = st.one_of(st.floats(), st.integers(), st.datetimes()).map(str)

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=()), max_size=30), _bytes, _numbers)
# Of a command line, or the value of a variable: no NUL, and no lone surrogate but one that stands for a byte.
arguments = st.one_of(
    st.sampled_from([text for text in TEXTS if text != "\ud800"]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
    _bytes,
    _numbers,
).map(lambda text: text.replace("\0", "").encode(errors="surrogateescape").decode(errors="surrogateescape"))
