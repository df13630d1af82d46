from __future__ import annotations

import pytest

from wasess.errors import WorkerFailed
from wasess.link.library import Library


def test_a_library_that_is_none_says_so(tmp_path):
    (tmp_path / "neonize.so").write_bytes(b"not a library")
    with pytest.raises(WorkerFailed, match="can't be loaded"):
        Library(str(tmp_path / "neonize.so"), "uuid")
