from __future__ import annotations

import math
from typing import Any, get_args

import msgspec
import pytest

from farhand_protocol import messages as m
from farhand_protocol.errors import FarhandError, RefusedError, RemoteError, UsageError

SAMPLES: list[Any] = [
    m.Present(agent_version="0.1.0", host_name="desk-7", os="Debian 12", session="s-x"),
    m.Enrol(seq=1, envelope=b"{}"),
    m.FetchTrust(seq=2, kind="target", name="ab.roster.json", offset=5),
    m.ReportSections(seq=3, changed=[b"x"], hashes={"cpu": "ab"}),
    m.OrderProgress(seq=4, order="o-x", state="running", at="2026-11-22T08:00:00Z"),
    m.ResultReport(seq=5, order="o-x", envelope=b"{}"),
    m.AllocateNameplate(seq=6),
    m.MailboxReply(session="s-x", phase="pake", body=b"x"),
    m.SessionReport(seq=7, session="s-x", state="ended", reason="done", scopes=["view"]),
    m.RecordingChunk(seq=8, session="s-x", head=b"{}", ciphertext=b"age"),
    m.JoinReport(seq=9, session="s-x", join="j-x", state="left", reason="expired"),
    m.Welcome(standing="enrolled", ping_s=20, reconnect_window_s=1.5, now="2026-11-22T08:00:00Z"),
    m.HelpRequest(seq=9, id="h-x", text="no sound", at="2026-01-01T00:00:00Z", image=b"\x89PNG"),
    m.Ack(seq=1, ref="FH-1"),
    m.Nack(seq=1, code="token-used", message="used"),
    m.Witnessed(seq=8, at="2026-11-22T08:00:00Z", signature=bytes(64)),
    m.TrustNotice(timestamp_version=4),
    m.TrustFile(seq=2, total=-1, body=b""),
    m.OfferOrder(order="o-x", envelope=b"{}"),
    m.CancelOrder(order="o-x"),
    m.OfferGrant(session="s-x", envelope=b"{}"),
    m.Nameplate(seq=6, nameplate="4071", expires_in_s=600),
    m.MailboxOpen(session="s-x", nameplate="4071", operator="c", organisation="A", ticket="FH-1"),
    m.MailboxBlob(session="s-x", phase="pake", body=b"x"),
    m.AttachPipe(session="s-x", number=7, token=bytes(16)),
    m.EndSession(session="s-x", reason="stopped"),
    m.Resend(sections=["cpu"]),
    m.Reconnect(window_s=30.0),
    m.Redirect(url="https://other.example"),
]
FROM_DEVICE = get_args(m.DeviceMessage)


def decode(message: Any) -> Any:
    data = m.encode_message(message)
    if isinstance(message, FROM_DEVICE):
        return m.decode_device_message(data)
    return m.decode_relay_message(data)


def test_every_message_has_a_sample_and_a_tag_of_its_own() -> None:
    assert {type(one) for one in SAMPLES} == set(m.message_types())
    tags = {one.__struct_config__.tag for one in m.message_types()}
    assert len(tags) == len(m.message_types())


@pytest.mark.parametrize("message", SAMPLES, ids=lambda one: type(one).__name__)
def test_messages_come_back_as_they_were(message: Any) -> None:
    assert decode(message) == message


@pytest.mark.parametrize("message", SAMPLES, ids=lambda one: type(one).__name__)
def test_no_message_is_understood_the_wrong_way_round(message: Any) -> None:
    data = m.encode_message(message)
    wrong = m.decode_relay_message if isinstance(message, FROM_DEVICE) else m.decode_device_message
    with pytest.raises(RemoteError, match="message-malformed"):
        wrong(data)


def test_what_a_relay_may_say_is_a_closed_list() -> None:
    assert {one.__struct_config__.tag for one in get_args(m.RelayMessage)} == {
        "welcome", "ack", "nack", "trust-notice", "trust-file", "offer-order", "cancel-order",
        "offer-grant", "nameplate", "mailbox-open", "mailbox-blob", "attach-pipe", "end-session",
        "resend", "reconnect", "redirect", "witnessed",
    }  # fmt: skip


def test_unknown_fields_are_ignored() -> None:
    assert m.decode_relay_message(msgspec.msgpack.encode({"t": "ack", "seq": 1, "new": [1]})) == (
        m.Ack(seq=1)
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"t": "ack", "seq": -1},
        {"t": "ack", "seq": 2**63},
        {"t": "ack", "seq": "1"},
        {"t": "ack"},
        {"t": "run", "seq": 1},
        {"seq": 1},
        {"t": "reconnect", "window_s": math.nan},
        {"t": "reconnect", "window_s": math.inf},
        {"t": "reconnect", "window_s": -1.0},
        {"t": "reconnect", "window_s": 86_401},
        {"t": "attach-pipe", "session": "s", "number": 8, "token": bytes(16)},
        {"t": "attach-pipe", "session": "s", "number": 0, "token": bytes(15)},
        {"t": "trust-file", "seq": 1, "total": -2, "body": b""},
        {"t": "trust-file", "seq": 1, "total": 1, "body": bytes(m.TRUST_CHUNK_BYTES + 1)},
        {"t": "welcome", "standing": "root", "ping_s": 1, "reconnect_window_s": 1, "now": ""},
        {"t": "welcome", "standing": "guest", "ping_s": 0, "reconnect_window_s": 1, "now": ""},
        {"t": "resend", "sections": ["x"] * 257},
        {"t": "redirect", "url": "x" * 513},
        {"t": "nameplate", "seq": 1, "nameplate": "x" * 65, "expires_in_s": 1},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_values_out_of_bounds_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(RemoteError, match="message-malformed"):
        m.decode_relay_message(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        b"\x82\xa1t\xa3ack\xa1z" + b"\x91" * 100_000,
        m.encode_message(m.Ack(seq=1)) + b"x",
        b"\xdf\xff\xff\xff\xff",
        b"\x82\xa1t\xa3ack\xa3\xff\xff\xff\x01",
    ],
    ids=lambda data: data[:12].hex() or "empty",
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    for read in (m.decode_device_message, m.decode_relay_message):
        with pytest.raises(RemoteError, match="message-malformed"):
            read(data)


def test_size_is_bounded_before_reading_and_before_sending() -> None:
    for read in (m.decode_device_message, m.decode_relay_message):
        with pytest.raises(RemoteError, match="message-too-large"):
            read(bytes(m.MAX_MESSAGE_BYTES + 1))
    with pytest.raises(ValueError, match="cannot be sent"):
        m.encode_message(m.Enrol(seq=1, envelope=bytes(m.MAX_MESSAGE_BYTES)))


def test_errors_say_who_is_at_fault() -> None:
    error = FarhandError("some-code", "words", hint="try", detail="more")
    assert str(error) == "some-code: words"
    assert (error.code, error.message, error.hint, error.detail) == (
        "some-code", "words", "try", "more",
    )  # fmt: skip
    kinds = (FarhandError, UsageError, RefusedError, RemoteError)
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 1]
