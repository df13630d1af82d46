"""What the library is asked for, and what it says of this device. Imported by the worker: light."""

from __future__ import annotations

# The events the library is asked for, by neonize's number. All others are dropped before they are encoded.
# Left out on purpose:
#   1 QR                holds pairing secrets, and would bring them to the disk
#   13 HistorySync      megabytes at once in front of live messages, and nothing needs it
#   18 Receipt, 19 ChatPresence   an unknown type leaves a required enum unset: the event pump dies, the socket keeps acking
#   20-25, 30-43        presence, groups, pictures, privacy, block lists, newsletters, calls: nothing needs them, and each is
#                       one more encoder that may fail; 33, 34 and 35 set required enums from server text like 18 does
# Two of those below can stop the pump as well, and are here all the same, because the connection is over at that point,
# nothing follows them, and the end of the pump is then the only news of it: 8 TemporaryBan and 9 ConnectFailure with a code
# that neonize 0.5.2 does not know.
EVENTS = bytes((
    2,   # PairStatus
    3,   # Connected
    4,   # KeepAliveTimeout
    5,   # KeepAliveRestored
    6,   # LoggedOut
    7,   # StreamReplaced
    8,   # TemporaryBan
    9,   # ConnectFailure
    10,  # ClientOutdated
    11,  # StreamError
    12,  # Disconnected
    17,  # Message: its only enum, the addressing mode, is optional
    26,  # OfflineSyncPreview
    27,  # OfflineSyncCompleted
    44,  # UndecryptableMessage: its enum is set to 0 when unknown, not left out
))  # fmt: skip

# DeviceProps{os: "wasess", platformType: CHROME}: what the phone's list of linked devices shows. Encoded by hand (field 1,
# length 6; field 3, varint 1) so that no protobuf library is loaded here.
DEVICE_PROPERTIES = b"\x0a\x06wasess\x18\x01"

# What whatsmeow's QR channel says when there will be no more codes, although the library's call does not return (it waits for
# a device id that never comes). "success" goes on, the passkey words too, and so does a phone without multi-device.
PAIRING_OVER = frozenset({"timeout", "error", "err-client-outdated", "err-unexpected-state"})
