"""What the one who asks knows and the home does not: how the command was called, and what is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.doctor.probe import Way


@dataclass(frozen=True, slots=True)
class Circumstances:
    """``user``: the one session that is asked about, empty for all. ``realm``: what this command would talk to.

    ``probe``: tries the way there; None when it must not be tried, and ``unprobed`` is the sentence that says why (empty: as was asked for).
    ``reserve``: bytes of the disk that are kept free. ``library``: the client library's file, None when it can't be used, and
    ``library_problem``, ``library_fix`` say why and what to type.
    """

    user: str = ""
    realm: Literal["whatsapp", "sandbox"] = "whatsapp"
    probe: Callable[[], Way] | None = None
    unprobed: str = ""
    reserve: int = 0
    library: Path | None = None
    library_problem: str = ""
    library_fix: str = ""
