"""The language people are spoken to in: English, or Spanish from the catalogue in ``wasess/locale``.

Every sentence for people goes through `_` (or `plural`) as a constant, and is filled in afterwards: ``_("{user} stopped").format(user=user)``.
A constant made when the module loads is marked, ``WHERE = mark("on the phone")``, and translated when it is said: ``_(WHERE)``.
Stable codes, JSON keys and the library's own words are never translated. What is said before `speak` is English; a child process of ours is `told`.
``core`` imports nothing: its sentences (`core.reasons`) are translated by whoever shows them. Loads `gettext` only for another language.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from gettext import NullTranslations

LANGUAGES = ("en", "es")
DOMAIN = "wasess"
LOCALE = os.path.join(os.path.dirname(__file__), "locale")  # noqa: PTH118, PTH120 - pathlib is not loaded in a worker
# In the order of gettext(3); the first that is set decides.
VARIABLES = ("WASESS_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

_catalogue: NullTranslations | None = None
_spoken = "en"


def language(environ: Mapping[str, str]) -> str:
    """Return the language that the environment asks for: one of `LANGUAGES`, English for all that wasess does not speak.

    Of a list (``LANGUAGE=fr:es``) the first that is spoken.
    """
    asked = next(filter(None, (environ.get(name) for name in VARIABLES)), "")
    codes = (wish.partition(".")[0].partition("_")[0].lower() for wish in asked.split(":"))
    return next((code for code in codes if code in LANGUAGES), "en")


def speak(code: str) -> None:
    """Speak this language from now on: one of `LANGUAGES`."""
    global _catalogue, _spoken  # noqa: PLW0603 - a process speaks one language, and everything in it must know
    _spoken = code
    if code == "en":
        _catalogue = None
        return
    import gettext  # noqa: PLC0415 - English needs none of it, and each command pays for what it imports

    _catalogue = gettext.translation(DOMAIN, LOCALE, languages=[code])


def spoken() -> str:
    """The language that is spoken now."""
    return _spoken


def told(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a child process of ours, which speaks ``language(os.environ)``: it says the same language as we do."""
    return {**environ, "WASESS_LANG": _spoken}


def _(sentence: str) -> str:
    """The sentence in the language spoken; itself when the catalogue does not know it. Empty stays empty."""
    return _catalogue.gettext(sentence) if _catalogue and sentence else sentence


def mark(sentence: str) -> str:
    """A constant for `tools/catalog.py` to find; whoever says it translates it."""
    return sentence


def plural(one: str, many: str, count: int) -> str:
    """The form for ``count`` things: ``plural("{count} session", "{count} sessions", n).format(count=n)``."""
    if _catalogue:
        return _catalogue.ngettext(one, many, count)
    return one if count == 1 else many


def again(said: str, templates: Iterable[str], nested: Collection[str] = ()) -> str:
    """Say a sentence again in the language spoken that another has made in English from one of the ``templates`` (of `mark`).

    The first that fits counts. What stands at a placeholder of ``nested`` is such a sentence itself. Without any that fits: as it is.
    """
    if not _catalogue:
        return said
    for template in templates:
        found = _pattern(template).fullmatch(said)
        if found:
            parts = found.groupdict().items()
            return _(template).format(**{name: again(part, templates, nested) if name in nested else part for name, part in parts})
    return _(said)


def _pattern(template: str) -> re.Pattern[str]:
    """What a template may look like once it is filled in."""
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile("".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts)), re.DOTALL)
