from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_events import info, jid, message

from wasess.core import events
from wasess.core.message import Media, Message, Quote
from wasess.link.protobuf import e2e, neonize
from wasess.link.translate import Untranslatable, inside, translate


def translated(code, name, **fields):
    return translate(code, getattr(neonize(), name)(**fields).SerializeToString())


def test_a_direct_message():
    content = e2e().Message(conversation="hello")
    assert translate(17, message(content, alt=jid("226536219395389", "lid"))) == events.MessageReceived(
        Message(
            id="3EB0AA",
            chat="4917012345667@s.whatsapp.net",
            sender="4917012345667@s.whatsapp.net",
            text="hello",
            timestamp=1795502902.123,
            sender_alt="226536219395389@lid",
            push_name="Bob",
        )
    )


def test_a_group_message_keeps_chat_and_sender_apart():
    found = translate(17, message(e2e().Message(conversation="hello"), is_group=True, chat=jid("120363000000000001", "g.us")))
    assert (found.message.chat, found.message.sender) == ("120363000000000001@g.us", "4917012345667@s.whatsapp.net")
    assert found.message.is_group
    assert found.message.sender_alt == ""


@pytest.mark.parametrize(("from_me", "device", "from_phone"), [(True, 0, True), (True, 4, False), (False, 0, False)])
def test_what_our_own_phone_sent_says_so(from_me, device, from_phone):
    found = translate(17, message(e2e().Message(conversation="hello"), from_me=from_me, device=device)).message
    assert (found.from_me, found.from_phone) == (from_me, from_phone)


def test_a_senders_key_for_a_group_is_no_message():
    key = e2e().SenderKeyDistributionMessage(groupID="1@g.us", axolotlSenderKeyDistributionMessage=b"key")
    group = {"is_group": True, "chat": jid("1", "g.us")}
    assert translate(17, message(e2e().Message(senderKeyDistributionMessage=key), **group)) == events.OtherEvent(17)
    with_text = e2e().Message(senderKeyDistributionMessage=key, conversation="hello")
    assert translate(17, message(with_text, **group)).message.text == "hello"


@pytest.mark.parametrize(
    ("chat", "is_group"), [(("120363", "g.us"), True), (("status", "broadcast"), False), (("1700000000", "broadcast"), False)]
)
def test_only_a_group_is_one(chat, is_group):
    found = translate(17, message(e2e().Message(conversation="hello"), is_group=True, chat=jid(*chat))).message
    assert (found.chat, found.is_group) == ("@".join(chat), is_group)
    assert found.answer_to == (found.chat if is_group else found.sender), "never a post of ours, nor to a list that is somebody else's"


def test_a_message_about_another_says_all_of_it():
    content = e2e().Message(
        imageMessage={
            "caption": "look",
            "mimetype": "image/jpeg",
            "fileLength": 9,
            "contextInfo": {"stanzaID": "3EB0BB", "participant": "1:2@lid"},
        }
    )
    found = translate(17, message(content)).message
    assert (found.kind, found.text, found.media) == ("image", "look", Media("image/jpeg", 9))
    assert found.quote == Quote("3EB0BB", "1@lid")
    reaction = e2e().Message(reactionMessage={"key": {"ID": "3EB0BB"}, "text": "👍"})
    found = translate(17, message(reaction)).message
    assert (found.kind, found.text, found.about) == ("reaction", "👍", "3EB0BB")


def test_what_own_devices_tell_each_other_is_no_message():
    content = e2e().Message(protocolMessage={"type": "APP_STATE_SYNC_KEY_SHARE"})
    assert translate(17, message(content, from_me=True, device=0)) == events.OtherEvent(17)


def test_the_content_can_be_taken_out_of_the_event():
    content = e2e().Message(conversation="hello")
    assert e2e().Message.FromString(inside(message(content))) == content
    with pytest.raises(Untranslatable):
        inside(b"\xff")


def test_pairing():
    common = {"ID": jid("4917012345667", device=3), "BusinessName": "", "Platform": "android"}
    status = neonize().PairStatus
    assert translated(2, "PairStatus", Status=status.SUCCESS, **common) == events.Paired("4917012345667:3@s.whatsapp.net")
    assert translated(2, "PairStatus", Status=status.ERROR, Error="bad hmac", **common) == events.PairError("bad hmac")


def test_the_connections_ups_and_downs():
    reason = neonize().ConnectFailureReason
    node = {"Tag": "failure", "Nil": True}
    assert translated(3, "Connected", status=True) == events.Connected()
    assert translated(4, "KeepAliveTimeout", ErrorCount=2, LastSuccess=1795502902) == events.KeepAliveTimeout(2, 1795502902.0)
    assert translated(5, "KeepAliveRestored") == events.KeepAliveRestored()
    assert translated(7, "StreamReplaced") == events.StreamReplaced()
    assert translated(10, "ClientOutdated") == events.ClientOutdated()
    assert translated(11, "StreamError", Code="516", Raw=node) == events.StreamError("516")
    assert translated(12, "Disconnected", status=True) == events.Disconnected()
    assert translated(26, "OfflineSyncPreview", Total=5, AppDataChanges=1, Message=3, Notifications=1, Receipts=0) == (
        events.OfflineSyncPreview(5, 3)
    )
    assert translated(27, "OfflineSyncCompleted", Count=5) == events.OfflineSyncCompleted(5)
    for name, number in {"LOGGED_OUT": 401, "MAIN_DEVICE_GONE": 403, "UNKNOWN_LOGOUT": 406}.items():
        assert translated(6, "LoggedOut", OnConnect=True, Reason=reason.Value(name)) == events.LoggedOut(number, on_connect=True)
    for name, number in {"GENERIC": 400, "BAD_USER_AGENT": 409, "EXPERIMENTAL": 501}.items():
        found = translated(9, "ConnectFailure", Reason=reason.Value(name), Message="no", Raw=node)
        assert found == events.ConnectFailure(number, "no")


def test_a_ban_says_why_and_how_long():
    code = neonize().TemporaryBan.BLOCKED_BY_USERS
    assert translated(8, "TemporaryBan", Code=code, Expire=3600) == events.TemporaryBan(102, 3600.0)


def test_a_message_that_could_not_be_decrypted_even_with_an_unknown_fail_mode():
    whole = neonize().UndecryptableMessage(Info=info(), IsUnavailable=False, DecryptFailMode=1).SerializeToString()
    expected = events.Undecryptable("3EB0AA", "4917012345667@s.whatsapp.net", "4917012345667@s.whatsapp.net")
    assert translate(44, whole) == expected
    # What neonize writes for a mode it does not know: the enum's number 0, which its own schema does not have.
    assert translate(44, whole.replace(b"\x18\x01", b"\x18\x00")) == expected


@pytest.mark.parametrize("code", [0, 13, 18, 45, 255])
def test_an_event_without_a_meaning_here_is_other(code):
    assert translate(code, b"\xff") == events.OtherEvent(code)


@given(st.sampled_from([2, 3, 4, 6, 8, 9, 11, 17, 26, 27, 44]), st.binary(max_size=200))
def test_bad_bytes_never_do_more_than_be_refused(code, payload):
    try:
        found = translate(code, payload)
    except Untranslatable:
        return
    assert isinstance(found, events.Event)


def test_a_large_message_is_decoded_in_no_time():
    payload = message(e2e().Message(conversation="x" * 65536))
    start = time.perf_counter()
    for _ in range(100):
        translate(17, payload)
    assert time.perf_counter() - start < 2
