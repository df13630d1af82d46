"""The language of the command line: which one is chosen, and that everything is said in it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wasess.cli.app import COMMANDS, run
from wasess.cli.language import TEMPLATES, in_our_words, separate
from wasess.words import speak, spoken

HEAVY = """
import sys
from wasess.cli.app import run
run({arguments!r})
print("translations:", len(sys.modules["gettext"]._translations))
"""


@pytest.fixture
def spanish():
    speak("es")
    yield
    speak("en")


@pytest.mark.parametrize(
    ("typed", "wanted", "rest"),
    [
        ("list", None, "list"),
        ("--lang es list", "es", "list"),
        ("list --lang=es --json", "es", "list --json"),
        ("list --json --lang es", "es", "list --json"),
        ("list --lang es --lang en", "en", "list"),
        ("connect alice -- --lang es", None, "connect alice -- --lang es"),
        ("list --lang", "", "list"),
        ("list --language es", None, "list --language es"),
    ],
)
def test_the_option_stands_anywhere_before_the_dashes(typed, wanted, rest):
    assert separate(typed.split()) == (wanted, rest.split())


@pytest.mark.parametrize("wrong", [["--lang", "fr"], ["--lang="], ["list", "--lang"]])
def test_another_language_is_refused(wrong, capsys):
    assert run(["list", *wrong]) == 2
    assert capsys.readouterr().err.endswith("\n  next: --lang en, or --lang es\n")


def test_an_error_is_said_in_the_language_of_the_option(capsys):
    assert run(["connect", "Alice", "--lang", "es"]) == 2
    assert capsys.readouterr().err == (
        "error: 'Alice' no puede ser un identificador de usuario: solo se permiten las letras a-z (sin mayúsculas), "
        "las cifras 0-9, - y _.\n  siguiente: Use alice en su lugar.\n"
    )
    assert run(["connect", "Alice"]) == 2
    assert capsys.readouterr().err.startswith("error: 'Alice' can't be a user id: ")


def test_the_option_leaves_nothing_behind(capsys):
    before = dict(os.environ)
    assert run(["--help", "--lang", "es"]) == 0
    assert "Comandos:" in capsys.readouterr().out
    assert dict(os.environ) == before
    assert spoken() == "en"
    assert run(["--help"]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_all_spanish(command, capsys):
    assert run([command, "--help", "--lang", "es"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Uso: wasess {command} ")
    assert "Mostrar este mensaje y salir." in shown
    assert not any(word in shown for word in ("Usage:", "Options:", "Arguments:", "Commands:", "[default", "[env var", "required]"))


def test_codes_and_keys_of_json_stay_as_they_are(capsys):
    assert run(["connect", "Alice", "--json", "--lang", "es"]) == 2
    assert '"code": "BAD_USER_ID"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("english", "in_spanish"),
    [
        ("No such option: --foo", "No existe la opción: --foo"),
        ("No such option: --hom (Possible options: --home)", "No existe la opción: --hom (Opciones posibles: --home)"),
        ("Missing argument 'USER'.", "Falta el argumento 'USER'."),
        ("Option '--home' requires an argument.", "La opción '--home' necesita un valor."),
        (
            "Invalid value for '--timeout' (env var: 'WASESS_TIMEOUT'): 0.0 is not in the range x>=1.",
            "Valor no válido para '--timeout' (variable de entorno: 'WASESS_TIMEOUT'): 0.0 no está en el rango x>=1.",
        ),
        ("Got unexpected extra argument(s) (b c)", "Sobran argumentos (b c)"),
        ("a sentence that nobody knows", "a sentence that nobody knows"),
    ],
)
@pytest.mark.usefixtures("spanish")
def test_what_the_library_says_is_said_again(english, in_spanish):
    assert in_our_words(english) == in_spanish


def test_in_english_the_library_speaks_for_itself():
    assert in_our_words("No such option: --foo") == "No such option: --foo"


@pytest.mark.parametrize(
    "typed",
    [
        "connect",
        "nothing",
        "list --foo",
        "list extra",
        "list --home",
        "list --json=1",
        "connect alice --timeout 0",
        "connect alice --timeout x",
        "serve --max-parallel x",
        "serve --max-parallel 0",
        "sandbox nothing",
        "sandbox scan",
    ],
)
def test_no_usage_error_is_left_in_english(typed, capsys):
    assert run(typed.split()) == 2
    english = capsys.readouterr().err.splitlines()[0]
    assert run([*typed.split(), "--lang", "es"]) == 2
    assert capsys.readouterr().err.splitlines()[0] != english


def test_a_template_matches_what_it_makes():
    for template in TEMPLATES:
        assert in_our_words(template) == template


@pytest.mark.parametrize(("arguments", "loaded"), [(["--help"], 0), (["--help", "--lang", "es"], 1)])
def test_english_loads_no_catalogue(arguments, loaded):
    done = subprocess.run([sys.executable, "-c", HEAVY.format(arguments=arguments)], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.endswith(f"translations: {loaded}\n")
