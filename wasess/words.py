"""The language people are spoken to in: English, or Spanish from the catalogue in ``wasess/locale``.

Every sentence for people goes through `_` (or `plural`) as a constant, and is filled in afterwards: ``_("{user} stopped").format(user=user)``.
Stable codes, JSON keys and the library's own words are never translated. What is said before `speak`, and in a worker, is English.
``core`` imports nothing: its sentences (`core.reasons`) are translated by whoever shows them. Loads `gettext` only for another language.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from gettext import NullTranslations

LANGUAGES = ("en", "es")
DOMAIN = "wasess"
# In the order of gettext(3); the first that is set decides.
VARIABLES = ("WASESS_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

_catalogue: NullTranslations | None = None
_spoken = "en"


def language(environ: Mapping[str, str]) -> str:
    """Return the language that the environment asks for: one of `LANGUAGES`, English for all that wasess does not speak."""
    for name in VARIABLES:
        for wish in filter(None, environ.get(name, "").split(":")):
            code = wish.partition(".")[0].partition("_")[0].lower()
            if code in LANGUAGES:
                return code
        if environ.get(name):
            return "en"
    return "en"


def speak(code: str) -> None:
    """Speak this language from now on: one of `LANGUAGES`."""
    global _catalogue, _spoken  # noqa: PLW0603 - a process speaks one language, and everything in it must know
    _spoken = code
    if code == "en":
        _catalogue = None
        return
    import gettext  # noqa: PLC0415 - English needs none of it, and each command pays for what it imports
    import os  # noqa: PLC0415 - as above

    _catalogue = gettext.translation(DOMAIN, os.path.join(os.path.dirname(__file__), "locale"), languages=[code])  # noqa: PTH118, PTH120 - pathlib is not loaded in a worker


def spoken() -> str:
    """The language that is spoken now."""
    return _spoken


def _(sentence: str) -> str:
    """The sentence in the language spoken; itself when the catalogue does not know it. Empty stays empty."""
    return _catalogue.gettext(sentence) if _catalogue and sentence else sentence


def plural(one: str, many: str, count: int) -> str:
    """The form for ``count`` things: ``plural("{count} session", "{count} sessions", n).format(count=n)``."""
    if _catalogue:
        return _catalogue.ngettext(one, many, count)
    return one if count == 1 else many
