"""The chapter "Troubleshooting" of a README as tests read it: sections, the commands in them, and what those are said to print.

In a block, ``…`` stands for anything inside a line; a line that begins further in than the one above goes on with it, as on a terminal.
Lines that do not matter are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = {"en": ROOT / "README.md", "es": ROOT / "README.es.md"}
HEADINGS = {"en": "Troubleshooting", "es": "Solución de problemas"}
ENTRY = re.compile(r"  \S+ +")


@dataclass(frozen=True)
class Step:
    """A command, and the lines that it prints among others."""

    command: str
    lines: tuple[str, ...]

    def missing(self, printed: str) -> str:
        """The first line that is not in what was printed, or not after the one before it; empty when all are."""
        said = iter(joined(printed.splitlines()))
        return next((line for line in self.lines if not any(_is(line, found) for found in said)), "")


@dataclass(frozen=True)
class Section:
    """A situation. ``exit_code``: of its first command; 0 when the heading names none."""

    heading: str
    exit_code: int
    steps: tuple[Step, ...]
    causes: tuple[str, ...]


def sections(language: str) -> list[Section]:
    """The situations, in order."""
    text = READMES[language].read_text().split(f"\n## {HEADINGS[language]}\n", 1)[1].split("\n## ", 1)[0]
    return [_section(part) for part in text.split("\n### ")[1:]]


def joined(lines: list[str]) -> list[str]:
    """Each entry of a page on one line, without what a window's width has made of it."""
    found: list[str] = []
    for line in lines:
        entry = ENTRY.match(found[-1]) if found else None
        if entry and line.startswith(" " * entry.end()) and not line.strip().startswith("->"):
            found[-1] += f" {line.strip()}"
        else:
            found.append(line)
    return found


def _section(text: str) -> Section:
    heading, _, body = text.partition("\n")
    code = re.search(r"\((\d+)\)$", heading)
    blocks = re.findall(r"^```text\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
    causes = re.findall(r"^\| `([^`]+)` \|", body, re.MULTILINE)
    return Section(heading, int(code[1]) if code else 0, tuple(step for block in blocks for step in _steps(block)), tuple(causes))


def _steps(block: str) -> list[Step]:
    typed = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Step(command, tuple(joined(lines))) for command, *lines in (part.splitlines() for part in typed)]


def _is(line: str, printed: str) -> bool:
    return re.fullmatch(".+?".join(map(re.escape, line.split("…"))), printed) is not None
