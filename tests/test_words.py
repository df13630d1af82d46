"""The words: which language an environment asks for, and saying a sentence in it."""

from __future__ import annotations

import pytest

from wasess.core.reasons import DETAILS
from wasess.words import _, again, language, mark, plural, speak, spoken, told


@pytest.fixture
def spanish():
    speak("es")
    yield
    speak("en")


@pytest.mark.parametrize(
    ("environment", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "es_ES.UTF-8"}, "es"),
        ({"LANG": "es"}, "es"),
        ({"LANG": "es_MX@latin"}, "es"),
        ({"LANG": "es_ES.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LC_MESSAGES": "en_GB.UTF-8", "LC_ALL": "es_AR.UTF-8"}, "es"),
        ({"LC_ALL": "es_AR.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANGUAGE": "fr:es:en"}, "es"),
        ({"LANGUAGE": "de:fr"}, "en"),
        ({"LANGUAGE": "", "LANG": "es_ES.UTF-8"}, "es"),
        ({"WASESS_LANG": "en", "LANGUAGE": "es", "LC_ALL": "es_ES", "LANG": "es_ES"}, "en"),
        ({"WASESS_LANG": "es", "LC_ALL": "C"}, "es"),
        ({"WASESS_LANG": "klingon", "LANG": "es_ES"}, "en"),
    ],
)
def test_the_environment_chooses(environment, spoken):
    assert language(environment) == spoken


@pytest.mark.usefixtures("spanish")
def test_numbers_have_their_forms():
    forms = [plural("{count} session found", "{count} sessions found", count).format(count=count) for count in (0, 1, 2)]
    assert forms == ["Encontradas 0 conexiones activas", "Encontradas 1 conexiones activas", "Encontradas 2 conexiones activas"]


@pytest.mark.usefixtures("spanish")
def test_an_empty_text_stays_empty():
    assert _("") == ""


@pytest.mark.usefixtures("spanish")
def test_a_child_is_told_the_language():
    assert told({"PATH": "/bin", "LANG": "C"}) == {"PATH": "/bin", "LANG": "C", "WASESS_LANG": "es"}
    assert language(told({"LANGUAGE": "en"})) == "es"


def test_english_is_spoken_at_first():
    assert spoken() == "en"
    assert _("{user} stopped") == "{user} stopped"
    assert [plural("one thing", "{count} things", count) for count in (0, 1, 2)] == ["{count} things", "one thing", "{count} things"]
    assert told({}) == {"WASESS_LANG": "en"}


@pytest.mark.usefixtures("spanish")
def test_a_sentence_nobody_has_translated_is_said_as_it_is():
    assert spoken() == "es"
    assert _("a sentence that nobody knows") == "a sentence that nobody knows"
    assert mark("{user} stopped") == "{user} stopped"


@pytest.mark.parametrize(
    ("english", "in_spanish"),
    [
        ("no connection is open", "no hay ninguna conexión abierta"),
        ("stopped by a signal, silent for 12 s", "parado por una señal, callado desde hace 12 s"),
        ("silent for 30 s", "callado desde hace 30 s"),
        ("reason 401", "motivo 401"),
        ("code 101", "código 101"),
        ("held by the process of 7 {braces}", "en manos de the process of 7 {braces}"),
        ("the library's own words", "the library's own words"),
        ("", ""),
    ],
)
@pytest.mark.usefixtures("spanish")
def test_what_core_has_said_in_english_is_said_again(english, in_spanish):
    assert again(english, DETAILS) == in_spanish


def test_in_english_nothing_is_said_again():
    assert again("silent for 30 s", DETAILS) == "silent for 30 s"


@pytest.mark.usefixtures("spanish")
def test_what_is_nested_is_said_again_too():
    templates = ("{sentence} Did you mean {suggestions}?", "silent for {seconds} s")
    assert again("silent for 3 s Did you mean x?", templates, {"sentence"}) == "callado desde hace 3 s ¿Quiso decir x?"
