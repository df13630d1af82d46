"""Signatures, against the specification's own example and the reference library."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis.strategies import text
from reference_receiver import MESSAGE, NUMBER, OTHER_SECRET, SECRET
from standardwebhooks import Webhook, WebhookVerificationError

from wasess.core.message import Message
from wasess.delivery.signature import Signer, read_secrets, webhook_id
from wasess.delivery.webhook import encode


def test_the_example_that_every_implementation_is_checked_with():
    headers = Signer(read_secrets(SECRET)).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330.9, b'{"test": 2432232314}')
    assert headers == [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]


@given(text())
def test_the_reference_library_takes_each_of_two_signatures_and_no_other(words: str):
    body = encode(Message("A", "c", "s", words, 1.0))
    headers = dict(Signer(read_secrets(f"{SECRET}\n{OTHER_SECRET}")).headers("msg_1", time.time(), body))
    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(body, headers)["data"]["text"] == words
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(bytes(24)).decode()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


def test_no_number_can_be_read_in_the_name_of_a_message():
    name = webhook_id(MESSAGE)
    assert name == "msg_55b78e75db0c9915d4fc794a5bb77f1d"  # also after an update: a message may be tried for a day
    assert NUMBER not in name


def test_parts_that_run_into_each_other_are_told_apart():
    assert webhook_id(Message("1", "ab", "c", "", 0.0)) != webhook_id(Message("1", "a", "bc", "", 0.0))
