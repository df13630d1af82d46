"""The schemas themselves: one for each command, strict, and with the code's own words in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from documents import SHARED, STREAMS, commands, complaints, every_error, schemas
from jsonschema import Draft202012Validator

from wasess.cli.result import Failure, Result, failure_envelope, success_envelope
from wasess.core import health, reasons
from wasess.core.states import State
from wasess.doctor.examination import HOME_FACTS, SESSION_FACTS
from wasess.supervisor.report import Notice, fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = schemas()["envelope"]["$defs"]


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that describes an object's keys."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_every_command_has_a_schema_and_every_schema_a_command():
    assert set(schemas()) - SHARED - STREAMS == {
        name for name, command in commands().items() if any("--json" in option.opts for option in command.params)
    }


def test_every_command_has_json():
    assert [name for name, command in commands().items() if not any("--json" in option.opts for option in command.params)] == []


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_one_and_strict(name):
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f"/{name}.json")
    assert schema["title"]
    strict = [found for found in objects(schema) if "allOf" not in found]
    assert all(found["additionalProperties"] is False for found in strict)
    assert all(set(found["required"]) <= set(found["properties"]) for found in strict)
    if name not in SHARED | STREAMS:
        assert schema["$ref"] == "envelope.json"


def test_the_enums_are_the_codes_own_sets():
    assert set(WORDS["state"]["enum"]) == {state.value for state in State}
    assert set(WORDS["reason_code"]["enum"]) == {reason.code for reason in reasons.ALL}
    assert set(WORDS["error_code"]["enum"]) == {error.code for error in every_error()}
    codes = {error.exit_code for error in every_error()} | set(WORDS["session_exit_code"]["enum"])
    assert set(WORDS["exit_code"]["enum"]) == codes
    assert set(WORDS["session_exit_code"]["enum"]) == {health.exit_code(state, code) for state in State for code in (*reasons.BY_CODE, "?")}
    assert set(WORDS["level"]["enum"]) == {"debug", *(reason.level for reason in reasons.ALL)}


def test_what_is_measured_of_a_home_and_a_session_is_in_the_schema_of_diagnose():
    parts = schemas()["diagnose"]["$defs"]
    assert set(parts["home"]["properties"]) == set(HOME_FACTS)
    assert set(parts["session"]["properties"]) == {*SESSION_FACTS, "findings"}


def test_the_lines_of_the_log_have_the_fields_of_a_notice():
    fields = set(fields_of(Notice(0.0, "state", "line")))
    traced = set(fields_of(Notice(0.0, "log", "line", traceback=("ValueError: x",))))
    assert set(schemas()["log-entry"]["properties"]) == traced
    assert traced - fields == {"traceback"}
    assert set(schemas()["log-entry"]["required"]) == fields
    assert set(schemas()["event"]["properties"]) == fields - {"line"}


DOC = Path(__file__).parents[2] / "docs" / "json.md"


def test_the_doc_names_every_schema_and_its_examples_are_documents():
    text = DOC.read_text()
    told = dict(re.findall(r"^\| \[(\S+)\.json\]\(\.\./wasess/schemas/\1\.json\) \| (.+) \|$", text, re.MULTILINE))
    assert told == {name: schema["title"] for name, schema in schemas().items()}
    examples = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
    assert [complaints("pause", example) for example in examples] == [[], []]
    assert all(f"[{name}.json](../wasess/schemas/{name}.json) |" in text.partition("## Streams")[2] for name in STREAMS)


BAD = failure_envelope(Failure("LOCKED", "in use", 9, retryable=True, hint="try again"))


def test_a_failure_is_a_document_of_every_command():
    for name in schemas().keys() - STREAMS:
        assert complaints(name, BAD) == []


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        (BAD | {"schema": 2}, "$.schema"),
        (BAD | {"more": 1}, "more"),
        (BAD | {"ok": True}, "$.ok"),
        (BAD | {"error": None}, "$.data"),
        (BAD | {"error": BAD["error"] | {"code": "LOKCED"}}, "$.error.code"),
        (success_envelope(Result({"user": "alice", "paused": "yes"})), "$.data.paused"),
        (success_envelope(Result({"user": "Alice", "paused": True})), "$.data.user"),
        (success_envelope(Result({"user": "alice"})), "paused"),
        (success_envelope(Result({"user": "alice", "paused": True, "more": 1})), "more"),
    ],
)
def test_whatever_is_not_as_documented_is_refused(document, wrong):
    assert any(wrong in complaint for complaint in complaints("pause", document)), complaints("pause", document)
