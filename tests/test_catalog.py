"""The Spanish catalogue is complete, true to the English and compiled; and the tool that says so can tell when it is not."""

from __future__ import annotations

import catalog
import pytest

HINT = "python tools/catalog.py --missing > new.json, translate, --fill new.json"


def test_the_catalogue_is_complete():
    assert not catalog.faults(), HINT


@pytest.mark.parametrize(
    ("key", "translation", "right"),
    [
        ("{user} stopped", "Sesión detenida: {user}", True),
        ("{user} stopped", "Sesión detenida", False),
        ("{user} stopped", "Sesión detenida: {usuario}", False),
        ("in {seconds:.0f} s", "en {seconds:.1f} s", True),
        ("Run `wasess serve`.", "Ejecute `wasess serve`.", True),
        ("Run `wasess serve`.", "Ejecute `wasess servir`.", False),
        ("to link again: wasess connect {user} --force", "de nuevo: wasess connect {user}", False),
        ("wasess runs on Linux", "wasess funciona en Linux", True),
        (("{count} session", "{count} sessions"), ("{count} sesión", "{count} sesiones"), True),
        (("{count} session", "{count} sessions"), ("una sesión", "{count} sesiones"), False),
        ("{user} restored ({seconds:.1f} s)", "✅ Sesión restaurada para: {user}", True),
        ("{user} restored ({seconds:.1f} s)", "✅ Sesión restaurada", False),
    ],
)
def test_a_translation_fills_in_and_names_what_its_original_does(key, translation, right):
    assert (not catalog.unfaithful(key, translation)) is right


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ('_("{user} stopped").format(user=user)', False),
        ("_(SENTENCE)", False),
        ("_(reason.sentence)", False),
        ('_(f"{user} stopped")', True),
        ('_("{user}".format(user=user))', True),
        ('_("a" + b)', True),
        ('plural("one", f"{count}", count)', True),
        ('def f():\n    first, _ = pair\n    return _("a")', True),
        ('def f():\n    return [_("a") for _ in pair]', False),
        ("def f():\n    first, _ = pair", False),
    ],
)
def test_a_message_that_nobody_could_translate_is_found(source, wrong, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    path = tmp_path / "probe.py"
    path.write_text(source)
    assert bool(catalog.misused(path)) is wrong


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The catalogue, in files that a test may spoil."""
    for name in ("PO", "MO"):
        original = getattr(catalog, name)
        (tmp_path / original.name).write_bytes(original.read_bytes())
        monkeypatch.setattr(catalog, name, tmp_path / original.name)
    monkeypatch.setattr(catalog, "FOLDER", tmp_path)
    return catalog.PO


FAULTS = (
    ('msgstr "Haga sitio."', 'msgstr ""', "not translated: 'Make room.'"),
    ('msgid "Make room."', '#, fuzzy\nmsgid "Make room."', "not translated: 'Make room.'"),
    ('msgid "Make room."', 'msgid "Make place."', "not in the catalogue: 'Make room.'"),
    ('msgid "Make room."', 'msgid "Make place."', "no longer said: 'Make place.'"),
    ('msgstr "Haga sitio."', 'msgstr "Haga hueco."', "the .mo is not what the .po compiles to"),
    ('msgstr "Sesión detenida: {user}"', 'msgstr "Sesión detenida"', "other placeholders: 'Sesión detenida' for '{user} stopped'"),
)


def test_each_fault_is_found(copied):
    text, found = copied.read_text(), catalog.said()
    assert not catalog.differences(found)
    for before, after, complaint in FAULTS:
        assert text.count(before) == 1
        copied.write_text(text.replace(before, after))
        assert complaint in catalog.differences(found)


def test_what_is_missing_can_be_filled_in(copied):
    copied.write_text(copied.read_text().replace('msgstr "Haga sitio."', 'msgstr ""'))
    assert catalog.missing()["Make room."] == ""
    known = {key: message.string for key, message in catalog.load().items()}
    catalog.write(catalog.entered(known, {"Make room.": "Haga sitio.", "{count} session found": ["una", "{count}"]}))
    assert "Make room." not in catalog.missing()
    assert catalog.load()["{count} session found", "{count} sessions found"].string == ("una", "{count}")
