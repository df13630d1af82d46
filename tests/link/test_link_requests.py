from __future__ import annotations

import pytest

from wasess.errors import UsageError, WorkerFailed
from wasess.link.protobuf import e2e, neonize
from wasess.link.requests import pair_phone_request, read_code, read_probed, read_sent, send_request


def test_a_text_is_a_recipient_and_a_conversation():
    recipient, message = send_request("4917012345667@s.whatsapp.net", "grüß dich")
    jid = neonize().JID.FromString(recipient)
    assert (jid.User, jid.Server, jid.Device) == ("4917012345667", "s.whatsapp.net", 0)
    assert e2e().Message.FromString(message).conversation == "grüß dich"


@pytest.mark.parametrize("to", ["", "4917012345667", "x@example.com", "4917012345667:3@s.whatsapp.net", "@lid", "1@lid\n"])
def test_a_bad_address_is_refused_without_showing_the_number(to):
    with pytest.raises(UsageError, match="not a WhatsApp address") as caught:
        send_request(to, "hello")
    assert "4917012345667" not in str(caught.value)


def test_the_id_of_a_sent_message_is_read():
    timings = neonize().MessageDebugTimings(
        Queue=0, Marshal=0, GetParticipants=0, GetDevices=0, GroupEncrypt=0, PeerEncrypt=0, Send=0, Resp=0, Retry=0
    )
    response = neonize().SendResponse(Timestamp=1, ID="3EB0AA", ServerID=0, DebugTimings=timings)
    assert read_sent(neonize().SendMessageReturnFunction(SendResponse=response).SerializeToString()) == "3EB0AA"


def test_a_refused_message_says_why_without_numbers():
    answer = neonize().SendMessageReturnFunction(Error="no LID found for 4917012345667@s.whatsapp.net").SerializeToString()
    with pytest.raises(WorkerFailed, match=r"no LID found for 491\*\*\*67@"):
        read_sent(answer)
    with pytest.raises(WorkerFailed, match="no id"):
        read_sent(b"")


def test_a_pairing_code_is_asked_for_as_a_common_browser():
    found = neonize().PairPhoneParams.FromString(pair_phone_request("4917012345667"))
    assert (found.phone, found.clientType, found.clientDisplayName) == ("4917012345667", 1, "Chrome (Linux)")


@pytest.mark.parametrize("phone", ["", "0170123456", "+4917012345667", "49 170 1234567", "12345", "1" * 16])
def test_a_number_that_is_not_international_digits_is_refused(phone):
    with pytest.raises(UsageError, match="international"):
        pair_phone_request(phone)


def test_a_pairing_code_is_read():
    assert read_code(neonize().PairPhoneReturnFunction(Code="ABCD-EFGH").SerializeToString()) == "ABCD-EFGH"
    with pytest.raises(WorkerFailed, match="bad request"):
        read_code(neonize().PairPhoneReturnFunction(Error="bad request").SerializeToString())


def test_a_text_longer_than_whatsapp_takes_is_refused():
    assert len(send_request("4917012345667@s.whatsapp.net", "😀" * 65536)[1]) < 1 << 20
    with pytest.raises(UsageError, match="65537 characters"):
        send_request("4917012345667@s.whatsapp.net", "x" * 65537)


def test_a_probe_is_answered_by_a_list_or_by_a_refusal():
    answer = neonize().GetBlocklistReturnFunction
    read_probed(answer(Blocklist=neonize().Blocklist(DHash="")).SerializeToString())
    read_probed(answer(Error="info query returned status 429: rate-overlimit").SerializeToString())
    read_probed(answer(Error="missing <list> element in response to blocklist query").SerializeToString())


@pytest.mark.parametrize(
    "why", ["info query timed out", "websocket not connected", "websocket disconnected before info query returned response"]
)
def test_a_probe_without_an_answer_says_why(why):
    with pytest.raises(WorkerFailed, match=why):
        read_probed(neonize().GetBlocklistReturnFunction(Error=why).SerializeToString())
