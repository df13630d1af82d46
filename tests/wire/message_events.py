"""Message events as neonize writes them: every field that its schema requires is there."""

from __future__ import annotations

from wasess.link.protobuf import neonize


def jid(user="", server="s.whatsapp.net", device=0):
    return neonize().JID(User=user, RawAgent=0, Device=device, Integrator=0, Server=server, IsEmpty=not user)


EMPTY = {"User": "", "RawAgent": 0, "Device": 0, "Integrator": 0, "Server": "", "IsEmpty": True}


def info(*, is_group=False, chat=None, alt=None, from_me=False, device=4):
    source = neonize().MessageSource(
        Chat=chat or jid("4917012345667"),
        Sender=jid("4917012345667", device=device),
        IsFromMe=from_me,
        IsGroup=is_group,
        SenderAlt=alt or neonize().JID(**EMPTY),
        RecipientAlt=neonize().JID(**EMPTY),
        BroadcastListOwner=neonize().JID(**EMPTY),
    )
    return neonize().MessageInfo(
        MessageSource=source,
        ID="3EB0AA",
        ServerID=0,
        Type="text",
        Pushname="Bob",
        Timestamp=1795502902123,
        Category="",
        Multicast=False,
        MediaType="",
        Edit="",
    )


def message(content, **source):
    flags = dict.fromkeys(
        ("IsEphemeral", "IsViewOnce", "IsViewOnceV2", "IsViewOnceV2Extension", "IsDocumentWithCaption", "IsLottieSticker", "IsEdit"), False
    )
    found = neonize().Message(Info=info(**source), Message=content, UnavailableRequestID="", RetryCount=0, **flags)
    return found.SerializeToString()
