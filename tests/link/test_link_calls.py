from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.link.calls import MAX_SIZE, Call, OutOfStep, Stream, Word, pack

CALLS = st.lists(st.tuples(st.sampled_from(Word), st.integers(0, 2**32 - 1), st.lists(st.binary(max_size=300), max_size=4)), max_size=6)


@given(CALLS, st.integers(1, 50))
def test_what_is_packed_comes_out_however_it_is_cut(calls, step):
    data = b"".join(pack(word, *fields, number=number) for word, number, fields in calls)
    stream = Stream()
    found = [call for at in range(0, len(data), step) for call in stream.feed(data[at : at + step])]
    assert found == [Call(word, number, tuple(fields)) for word, number, fields in calls]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<I", MAX_SIZE + 1),
        struct.pack("<I", 0),
        struct.pack("<IBI", 7, 1, 0) + b"ab",
        struct.pack("<IBII", 9, 1, 0, 5),
    ],
)
def test_a_stream_that_is_out_of_step_is_noticed(data):
    with pytest.raises(OutOfStep):
        Stream().feed(data)
