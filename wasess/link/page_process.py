"""The process that asks WhatsApp for the current client version, started by `link.versions`: the web client's start page names it.

stdin holds one JSON object, `link.fetch_process.Errand`; stdout gets one JSON object, then the process is over::

    {"number": 1053000000}                     of 2.3000.N
    {"number": 0, "problem": "in English"}     the page can't be had, or names none that may be announced

It asks one host, over TLS, once, as a browser would (whatsmeow update.go), and follows no redirect.
"""

from __future__ import annotations

import http.client
import json
import sys
from typing import TYPE_CHECKING, Any

from wasess.core import client_version
from wasess.link.fetch_process import confine, connection_to

if TYPE_CHECKING:
    from wasess.link.fetch_process import Errand

LARGEST_PAGE = 4 * 2**20
# Without these WhatsApp answers 400 (whatsmeow update.go, Baileys#1929).
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "identity",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
}


def main() -> None:
    """Carry out the order that stands in stdin."""
    order: Errand = json.load(sys.stdin)
    confine(order)
    json.dump(_answer(order), sys.stdout)


def _answer(order: Errand) -> dict[str, Any]:
    try:
        page = _page(order)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {"number": 0, "problem": f"{type(error).__name__}: {error}"}
    number = client_version.on_page(page)
    return {"number": number} if number else {"number": 0, "problem": "the start page names no version that may be announced"}


def _page(order: Errand) -> bytes:
    """Read it, or the most of it that is worth reading."""
    connection = connection_to(order)
    connection.request("GET", "/", headers=HEADERS)
    response = connection.getresponse()
    if response.status != http.client.OK:
        raise ConnectionError(f"HTTP status {response.status}")
    return response.read(LARGEST_PAGE)


if __name__ == "__main__":
    main()
