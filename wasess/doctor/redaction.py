"""Makes values fit for the public: no names, numbers, keys, addresses, machines or folders, in whatever text they turn up.

`core.redact` knows secrets by their shape; here are also those that are known by name. What can hold anything at all is left out.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wasess.core.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wasess.doctor.examination import Diagnosis
    from wasess.doctor.findings import Finding

VOCABULARY = frozenset({"code", "level", "state", "outcome", "realm", "event", "ts", "device_db", "name", "mode", "record", "filesystem"})
"""Keys whose values are our own words (or times), and stay."""
PUBLIC_HOSTS = frozenset({"web.whatsapp.com", "127.0.0.1", "localhost"})
FREE = frozenset({"STRANGE_FILES", "FILE_IS_LINK", "FILE_HARD_LINKED", "FOREIGN_OWNER"})
"""Findings whose sentence and command hold names that somebody has chosen."""
LEFT_OUT = "[left out]"

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
_PUBLIC_URL = re.compile(r"(?:https|wss)://web\.whatsapp\.com(?:/[a-z/]*)?")
_ADDRESS = re.compile(r"[^\s\"'<>()@,;]+@[^\s\"'<>()@,;]+")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}:?[0-9a-f:]*|(?<![\w:])[0-9a-f]{0,4}::[0-9a-f:]+", re.IGNORECASE)
_SHORTENED = re.compile(r"\d{2,3}\*{3}\d{2}")
_PATH = re.compile(r"(?<![\w./-])/(?:[^\s/:\"']+/)+[^\s/:\"']*")


class Redactor:
    """``users``: the ids of sessions; they become u1, u2 … in this order. ``known``: other texts, and what stands in their place.

    Names count as whole words, longer ones first; case does not count.
    """

    def __init__(self, users: Iterable[str], known: Mapping[str, str]) -> None:
        self.users = {user: f"u{number}" for number, user in enumerate(users, 1)}
        named = {**known, **self.users}
        self._places = {text.casefold(): place for text, place in named.items() if text}
        words = "|".join(re.escape(text) for text in sorted(self._places, key=len, reverse=True))
        self._words = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE) if words else None

    def text(self, text: str) -> str:
        """The same sentence for the public."""
        if self._words:
            text = self._words.sub(lambda found: self._places[found[0].casefold()], text)
        text = _URL.sub(lambda found: found[0] if _PUBLIC_URL.fullmatch(found[0]) else "[url]", text)
        text = _ADDRESS.sub("[address]", text)
        text = _PATH.sub("[path]", text)
        text = _IPV4.sub(lambda found: found[0] if found[0] in PUBLIC_HOSTS else "[ip]", text)
        text = _IPV6.sub("[ip]", text)
        return _SHORTENED.sub("[number]", redact(text))

    def finding(self, found: Finding) -> Finding:
        """The same finding for the public."""
        sentence, fix = (LEFT_OUT, LEFT_OUT) if found.code in FREE else (self.text(found.sentence), self.text(found.fix))
        return replace(found, sentence=sentence, fix=fix if found.fix else "", session=self.users.get(found.session, ""))

    def diagnosis(self, found: Diagnosis) -> Diagnosis:
        """The same diagnosis for the public."""
        sessions = tuple(
            replace(
                report,
                user=self.users[report.user],
                facts=self.value(report.facts),
                findings=tuple(self.finding(item) for item in report.findings),
            )
            for report in found.sessions
        )
        findings = tuple(self.finding(item) for item in found.findings)
        return replace(found, home=self.value(found.home), manager=self.value(found.manager), findings=findings, sessions=sessions)

    def value(self, value: Any, key: str = "") -> Any:
        """The same JSON value for the public. Keys are our own words, and stay."""
        if isinstance(value, dict):
            return {name: self.value(found, name) for name, found in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(found, key) for found in value]
        if not isinstance(value, str) or not value or key in VOCABULARY:
            return value
        if key == "phone":
            return "[number]"
        if key == "host":
            return value if value in PUBLIC_HOSTS else "[host]"
        return self.text(value)
