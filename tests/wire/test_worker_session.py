"""One session through its life, the real library against the sandbox."""

from __future__ import annotations

import os
import re

import pytest
from worker_rig import mapped_files, rig

from wasess.core import events
from wasess.core.message import Reply
from wasess.errors import UsageError, WorkerFailed
from wasess.sandbox import PairingRefused

pytestmark = pytest.mark.wire


async def test_a_code_is_scanned_and_the_session_is_online(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.pair("alice")
        device = it.box.state.device("alice")
        assert follower.signals[0].kind == "started"
        assert events.Paired(str(device.jid)) in follower.events
        await follower.link.stop()
        assert await follower.ended() == follower.signals[-1]
        assert (follower.signals[-1].kind, follower.signals[-1].value) == ("ended", "stopped")
        found = follower.session.device()
        assert (found.jid, found.lid) == (str(device.jid), str(device.lid))


async def test_a_linked_session_comes_back_without_a_code(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        assert "qr" not in {signal.kind for signal in follower.signals}
        assert it.box.state.device("alice").logins == 2


async def test_a_message_arrives(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        number = it.box.contact("bob").number
        sent = it.box.say("bob", "alice", "grüß dich 👋")
        message = (await follower.event(events.MessageReceived)).message
        assert (message.id, message.text, message.sender) == (sent, "grüß dich 👋", f"{number}@s.whatsapp.net")
        assert message.sender_alt == str(it.box.contact("bob").lid_jid)
        hidden = it.box.say("bob", "alice", "again", via="lid")
        message = (await follower.event(events.MessageReceived)).message
        assert (message.id, message.sender, message.sender_alt) == (
            hidden,
            str(it.box.contact("bob").lid_jid),
            f"{number}@s.whatsapp.net",
        )


async def test_messages_kept_by_the_server_arrive_at_the_next_start(tmp_path):
    async with rig(tmp_path) as it:
        await it.linked("alice")
        sent = [it.box.say("bob", "alice", f"kept {n}") for n in range(20)]
        follower = await it.start("alice")
        await follower.event(events.OfflineSyncCompleted)
        await follower.until(lambda: len(follower.messages()) >= len(sent))
        assert [message.id for message in follower.messages()] == sent


async def test_a_text_is_sent_and_the_contact_reads_it(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        bob = it.box.contact("bob")
        sent = await follower.link.send(f"{bob.number}@s.whatsapp.net", Reply("hello bob"))
        await it.box.until(lambda: bob.received)
        assert [(message.id, message.text) for message in bob.received] == [(sent, "hello bob")]
        await it.box.until(lambda: it.box.phone("alice").copies == ["hello bob"])


async def test_a_send_that_can_not_be_is_refused_with_the_reason(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        with pytest.raises(UsageError, match="not a WhatsApp address"):
            await follower.link.send("bob", Reply("hello"))
        bob = it.box.contact("bob")
        it.box.fault("alice", "ack-error", "479")
        with pytest.raises(WorkerFailed, match="479"):
            await follower.link.send(f"{bob.number}@s.whatsapp.net", Reply("hello"))


async def test_a_pairing_code_links_without_a_camera(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.start("alice", "pair")
        await follower.qr()
        number = it.box.phone("alice").number
        code = await follower.link.pairing_code(number)
        assert re.fullmatch(r"[1-9A-HJ-NP-TV-Z]{4}-[1-9A-HJ-NP-TV-Z]{4}", code)
        await it.box.enter_code("alice", code, phone=number)
        await follower.event(events.Connected)
        assert code not in "".join(follower.logs)


async def test_logout_unlinks_and_ends(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        await follower.link.logout()
        assert (await follower.ended()).value == "stopped"
        assert follower.session.device() is None
        assert it.box.state.device("alice") is None


async def test_run_mode_never_shows_a_code(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.start("alice")
        assert (await follower.ended()).value == "no-device"
        assert [signal.kind for signal in follower.signals] == ["spooled", "ended"]
        assert not it.box.state.dials


async def test_a_removed_device_is_logged_out_and_the_next_start_says_so(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.unlink("alice")
        assert (await follower.event(events.LoggedOut)).reason == 401
        await follower.link.stop()
        follower = await it.start("alice")
        assert (await follower.ended()).value == "no-device"


async def test_a_phone_that_wants_a_passkey_is_told(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.start("alice", "pair")
        await follower.qr()
        it.box.ask_passkey("alice")
        await follower.until(lambda: any(signal.kind == "passkey" for signal in follower.signals))


async def test_a_refused_pairing_ends_the_worker(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.start("alice", "pair")
        code = await follower.qr()
        it.box.fault("alice", "bad-hmac")
        with pytest.raises(PairingRefused):
            await it.box.scan("alice", code)
        ended = await follower.ended()
        assert (ended.value, ended.detail) == ("library-returned", "pairing: error")


async def test_no_secret_is_logged_or_spooled(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.pair("alice")
        code = await follower.qr()
        it.box.say("bob", "alice", "a private word")
        await follower.event(events.MessageReceived)
        await follower.link.stop()
        await follower.ended()
        secrets = [code, *(part for part in re.split("[#,]", code)[1:] if len(part) > 8)]
        assert len(secrets) >= 5
        written = [path.read_bytes() for path in follower.session.folder.iterdir() if path.name != "device.db"]
        logged = "\n".join(follower.logs)
        for secret in secrets:
            assert secret not in logged
            assert not any(secret.encode() in content for content in written)
        assert "a private word" not in logged
        assert it.box.contact("bob").number not in logged


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look: a worker gives up its /proc/PID")
async def test_the_worker_holds_neither_neonize_nor_protobuf_nor_sqlite_of_pythons(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        mapped = mapped_files(follower.pid)
        assert any(path.endswith(("/neonize-linux-amd64.so", "/neonize-linux-arm64.so")) for path in mapped)
        assert not [path for path in mapped if re.search(r"sqlite|google|_ssl|magic|PIL", path)]


@pytest.mark.parametrize("poison", ["receipt-server-error", "receipt-rekey", "receipt-view", "receipt-unknown", "chatstate-unknown"])
async def test_stanzas_that_kill_stock_neonize_do_no_harm(tmp_path, poison):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "poison", poison)
        sent = it.box.say("bob", "alice", "after the poison")
        assert (await follower.event(events.MessageReceived)).message.id == sent


@pytest.mark.parametrize("poison", ["failure-418", "failure-499", "failure-none", "ban-unknown"])
async def test_a_failure_the_library_does_not_know_ends_the_worker_with_its_word(tmp_path, poison):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        it.box.fault("alice", "poison", poison)
        ended = await follower.ended()
        assert ended.value == "library-returned"
        assert "not set" in ended.detail
