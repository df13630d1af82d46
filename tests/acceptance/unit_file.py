"""A unit file as systemd reads it."""

from __future__ import annotations

import re

SECONDS = {"": 1, "s": 1, "min": 60}


class Unit:
    """The settings of a unit file. ``service``: the section of that name, each setting with all its values in order."""

    def __init__(self, text: str) -> None:
        self.sections: dict[str, dict[str, list[str]]] = {}
        section: dict[str, list[str]] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            if line.startswith("["):
                section = self.sections.setdefault(line.strip("[]"), {})
            elif line[0] not in "#;":
                name, _, value = line.partition("=")
                section.setdefault(name, []).append(value)

    @property
    def service(self) -> dict[str, list[str]]:
        return self.sections["Service"]

    def one(self, name: str) -> str:
        """The only value of a setting of the service."""
        (value,) = self.service[name]
        return value

    def seconds(self, name: str) -> float:
        """A time span of the service."""
        found = re.fullmatch(r"(\d+)(s|min|)", self.one(name))
        assert found, name
        return int(found[1]) * SECONDS[found[2]]

    @property
    def command(self) -> list[str]:
        """``ExecStart=`` as systemd splits it."""
        line = self.one("ExecStart")
        return split(line.removeprefix(":"), variables=not line.startswith(":"))


def split(line: str, *, variables: bool) -> list[str]:
    """Split a command line by systemd.syntax(7): quotes, backslashes, ``%%``; a variable (``$``) is refused here."""
    words = []
    for match in re.finditer(r'"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"\'\\]+)(?=\s|$)', line):
        word = re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
        assert not (variables and "$" in word), word
        assert not re.search(r"(?<!%)(?:%%)*%(?!%)", word), word
        words.append(word.replace("%%", "%"))
    return words
