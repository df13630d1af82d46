from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_events import message as message_event

from wasess.errors import FileForged, FileUnavailable, SendRefused, UsageError, WorkerFailed
from wasess.link.protobuf import e2e, neonize
from wasess.link.requests import (
    WantedFile,
    address_request,
    download_request,
    key_request,
    pair_phone_request,
    path_request,
    read_code,
    read_probed,
    read_request,
    read_sent,
    read_uploaded,
    read_votes,
    sealed_size,
    typing_request,
    vote_request,
)
from wasess.sandbox.attachment import seal


def test_an_address_is_a_jid():
    jid = neonize().JID.FromString(address_request("4917012345667@s.whatsapp.net"))
    assert (jid.User, jid.Server, jid.Device) == ("4917012345667", "s.whatsapp.net", 0)


@pytest.mark.parametrize("to", ["", "4917012345667", "x@example.com", "4917012345667:3@s.whatsapp.net", "@lid", "1@lid\n"])
def test_a_bad_address_is_refused_without_showing_the_number(to):
    with pytest.raises(UsageError, match="not a WhatsApp address") as caught:
        address_request(to)
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


def test_what_the_server_did_not_take_reached_nobody():
    def failure(words):
        with pytest.raises(WorkerFailed) as caught:
            read_sent(neonize().SendMessageReturnFunction(Error=words).SerializeToString())
        return caught.type

    assert failure("server returned error 479") is SendRefused
    assert failure("message send timed out") is WorkerFailed
    assert failure("websocket not connected") is WorkerFailed


def test_a_key_can_be_noted():
    assert key_request("reply:für") == "reply:für".encode()
    for bad in ("a\0b", "x" * 129):
        with pytest.raises(UsageError):
            key_request(bad)


def file_event(**content):
    return neonize().Message(Message=e2e().Message(**content)).SerializePartialToString()


MOST = 1000
PICTURE = {
    "mimetype": "image/png",
    "directPath": "/v/1.enc?a=b",
    "mediaKey": b"k" * 32,
    "fileSHA256": b"s" * 32,
    "fileEncSHA256": b"e" * 32,
}


def test_what_is_asked_for_is_a_path_and_what_the_file_must_be():
    raw = file_event(
        ephemeralMessage={"message": {"imageMessage": PICTURE | {"fileLength": 9, "URL": "https://example.com/x", "caption": "x" * 9999}}}
    )
    assert download_request(raw, MOST) == WantedFile(
        target=f"/v/1.enc?a=b&hash={'ZWVl' * 10}ZWU=&mms-type=image&__wa-mms=",
        key=b"k" * 32,
        words="WhatsApp Image Keys",
        sealed_digest=b"e" * 32,
        digest=b"s" * 32,
        declared=9,
        allowed=MOST,
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imageMessage", "Image"),
        ("stickerMessage", "Image"),
        ("videoMessage", "Video"),
        ("ptvMessage", "Video"),
        ("audioMessage", "Audio"),
        ("documentMessage", "Document"),
    ],
)
def test_the_keys_of_a_file_follow_from_its_kind(name, words):
    assert download_request(file_event(**{name: PICTURE}), MOST).words == f"WhatsApp {words} Keys"


def test_a_file_of_a_channel_is_not_encrypted():
    wanted = download_request(file_event(imageMessage={name: PICTURE[name] for name in ("directPath", "fileSHA256")}), MOST)
    assert (wanted.key, wanted.sealed_digest, wanted.digest, wanted.declared) == (b"", b"", b"s" * 32, 0)
    assert not download_request(file_event(imageMessage=PICTURE | {"fileEncSHA256": b""}), MOST).key  # as the library takes it


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (file_event(conversation="hello"), UsageError, "no file"),
        (b"\xff", UsageError, "no message"),
        (b"", UsageError, "no file"),
        (file_event(imageMessage=PICTURE | {"fileLength": MOST + 1}), FileUnavailable, "has 1001 bytes; 1000 are"),
        (file_event(imageMessage=PICTURE | {"fileLength": 2**64 - 1}), FileUnavailable, "has 18446744073709551615 bytes"),
        (file_event(imageMessage={}), FileUnavailable, "where its file is"),
        (file_event(imageMessage=PICTURE | {"directPath": ""}), FileUnavailable, "where its file is"),
        *(
            (file_event(imageMessage=PICTURE | {"directPath": path}), FileForged, "names no file")
            for path in ("v/1", "//" + "x" * 3000, "/a b", "/a\nb", "/a\r\nHost: x", "/é", "https://mmg.whatsapp.net/x", "@127.0.0.1/")
        ),
        *(
            (file_event(imageMessage=PICTURE | {field: value}), FileForged, "names no file")
            for field in ("mediaKey", "fileSHA256", "fileEncSHA256")
            for value in (b"x", b"x" * 31, b"x" * 33, b"x" * 100_000)
        ),
        (file_event(imageMessage=PICTURE | {"mediaKey": b""}), FileForged, "names no file"),
    ],
)
def test_what_can_not_be_fetched_is_not_asked_for(raw, error, words):
    with pytest.raises(error, match=words) as caught:
        download_request(raw, MOST)
    assert type(caught.value) is error


@given(st.integers(0, 5000))
def test_the_size_of_an_encrypted_file_is_known_before_it_comes(size):
    assert sealed_size(size) == len(seal(bytes(size), "image").body)


def test_a_path_leads_into_the_sessions_folder(tmp_path):
    assert path_request(tmp_path / "media" / "1.png", tmp_path) == b"media/1.png"
    for bad in (tmp_path, tmp_path / "..", tmp_path / "media" / ".." / ".." / "x", tmp_path.parent / "x"):
        with pytest.raises(UsageError, match="not in the session"):
            path_request(bad, tmp_path)


def vote(initial):
    update = {"pollCreationMessageKey": {"ID": "3EB0AA"}, "vote": {"encPayload": b"x" * 40, "encIV": initial}}
    return e2e().Message(pollUpdateMessage=update, messageContextInfo={"messageSecret": b"x"})


def test_a_vote_goes_to_the_library_whole_and_without_anything_else():
    raw = message_event(vote(b"i" * 12))
    found = neonize().Message.FromString(vote_request(raw))
    assert found.Info == neonize().Message.FromString(raw).Info
    assert {field.name for field, _ in found.Message.ListFields()} == {"pollUpdateMessage"}
    wrapped = e2e().Message(ephemeralMessage={"message": vote(b"i" * 12)})
    assert neonize().Message.FromString(vote_request(message_event(wrapped))).Message == found.Message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        neonize().Message(Message=vote(b"i" * 12)).SerializePartialToString(),  # a field that the library needs is missing
        message_event(e2e().Message(conversation="hello")),
        *(message_event(vote(b"i" * length)) for length in (0, 11, 13)),  # with these the library's process ends
    ],
)
def test_what_would_end_the_worker_is_no_vote(raw):
    with pytest.raises(UsageError):
        vote_request(raw)


def test_votes_are_hashes():
    answer = neonize().ReturnFunctionWithError
    chosen = answer(PollVoteMessage={"selectedOptions": [b"a" * 32, b"short", b"b" * 32]}).SerializeToString()
    assert read_votes(chosen) == ("61" * 32, "62" * 32)
    assert read_votes(answer(PollVoteMessage={}).SerializeToString()) == ()
    for bad in (answer(Error="original message secret key not found").SerializeToString(), b"\xff"):
        with pytest.raises(WorkerFailed):
            read_votes(bad)


def test_an_upload_says_where_the_file_is():
    answer = neonize().UploadReturnFunction
    found = {"url": "https://x", "DirectPath": "/v/1.enc", "Handle": "", "FileLength": 9}
    assert read_uploaded(answer(UploadResponse=found).SerializeToString()).DirectPath == "/v/1.enc"
    for bad in (answer(Error="upload failed with status code 507").SerializeToString(), b""):
        with pytest.raises(WorkerFailed, match="not uploaded"):
            read_uploaded(bad)


def test_ids_that_are_read_stand_in_one_text():
    ids, at, chat, sender = read_request("1@g.us", "2@lid", ["3EB0AA", "3EB0BB"])
    assert ids == b"3EB0AA 3EB0BB"
    assert int(at) > 1_700_000_000
    assert [neonize().JID.FromString(jid).User for jid in (chat, sender)] == ["1", "2"]
    for bad in ([], ["a b"], [""], ["x"] * 257):
        with pytest.raises(UsageError):
            read_request("1@g.us", "2@lid", bad)


def test_typing_is_one_of_two_numbers():
    assert [typing_request("1@lid", on=on)[1] for on in (True, False)] == [b"0", b"1"]


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
