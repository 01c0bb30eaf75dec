"""Calls for help from devices, as the relay takes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import Ack, HelpRequest
from farhand_server.channels.help_requests import PER_HOUR, make_help_requests
from farhand_server.desk.tickets import get_ticket
from farhand_server.desk.timeline import list_messages
from farhand_server.people.blobs import attachments_of
from farhand_server.relay import Relay

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def asking(**more: Any) -> HelpRequest:
    at = "2026-01-01T00:00:00Z"
    said = HelpRequest(seq=3, id="h-1", text="No sound\nsince noon", at=at)
    return msgspec.structs.replace(said, **more)


async def test_it_becomes_one_ticket_with_its_picture(relay: Relay) -> None:
    link: Any = SimpleNamespace(device="d-1")
    helps = make_help_requests(relay)
    message = asking(image=PNG, steps_tried="restarted", language="pt")
    first = await helps.on_help_request(link, message)
    assert isinstance(first, Ack)
    again = await helps.on_help_request(link, asking(seq=4))
    assert again == Ack(seq=4, ref=first.ref)
    async with relay.db.read() as c:
        ticket = await get_ticket(c, relay.tenant, first.ref)
        (said,) = await list_messages(c, relay.tenant, [ticket.row], with_notes=False)
        (picture,) = await attachments_of(c, relay.tenant, [said.seq])
    assert (ticket.title, ticket.device, ticket.language) == ("No sound since noon", "d-1", "pt")
    assert (said.channel, said.author) == ("device", "device:d-1")
    assert (picture.name, picture.media_type, picture.size) == ("picture.png", "image/png", 108)
    elsewhere: Any = SimpleNamespace(device="d-2")
    other = await helps.on_help_request(elsewhere, message)
    assert isinstance(other, Ack)
    assert other.ref != first.ref  # another device's request of the same id is another one


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"text": " "}, "help-malformed"),
        ({"text": "a\x1b[2J"}, "help-malformed"),
        ({"steps_tried": "\x00"}, "help-malformed"),
        ({"id": "a\nb"}, "help-malformed"),
        ({"image": b"GIF89a"}, "image-malformed"),
    ],
)
async def test_what_is_none_is_refused_for_good(
    relay: Relay, more: dict[str, Any], code: str
) -> None:
    link: Any = SimpleNamespace(device="d-1")
    with pytest.raises(FarhandError) as refused:
        await make_help_requests(relay).on_help_request(link, asking(**more))
    assert refused.value.code == code


async def test_a_device_cannot_fill_the_desk(relay: Relay) -> None:
    link: Any = SimpleNamespace(device="d-1")
    helps = make_help_requests(relay)
    for number in range(PER_HOUR):
        await helps.on_help_request(link, asking(id=f"h-{number}"))
    with pytest.raises(FarhandError, match="help-limit"):
        await helps.on_help_request(link, asking(id="h-more"))
    # What is there already is still acknowledged.
    assert isinstance(await helps.on_help_request(link, asking(id="h-0")), Ack)
