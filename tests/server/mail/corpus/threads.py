"""Mails that name a ticket, in every way that they do."""

from __future__ import annotations

from collections.abc import Iterator

from tests.server.mail.corpus.world import (
    ANNA,
    ANNA_FIRST,
    BOB,
    CARLA,
    STRANGER,
    Case,
    Expected,
    Outcome,
    World,
)
from tests.server.mail.corpus.writing import mail, part

__all__ = ["threads"]


def threads(world: World) -> Iterator[Case]:
    """Yield all of them."""
    here, token = world.printer, world.token(world.printer)
    tag = f"Re: [FH-{here}] The printer"
    many = " ".join(f"<m{n}@customer.example>" for n in range(198))
    forged = world.token(here, key=b"another relay's key, 32 bytes...")
    forms: list[tuple[str, str, dict[str, str], Outcome, int | None]] = [
        ("in-reply-to", ANNA, {"In-Reply-To": token}, "reply", here),
        ("references-only", ANNA, {"References": f"{ANNA_FIRST} {token}"}, "reply", here),
        (
            "in-reply-to-rewritten",
            ANNA,
            {"In-Reply-To": "<crm-1@crm.example>", "References": f"{token} <crm-1@crm.example>"},
            "reply",
            here,
        ),
        ("in-copy", BOB, {"In-Reply-To": ANNA_FIRST, "References": ANNA_FIRST}, "reply", here),
        ("upper-case", ANNA, {"In-Reply-To": token.upper()}, "reply", here),
        ("commas", ANNA, {"References": f"{ANNA_FIRST},{token}; junk"}, "reply", here),
        ("glued", ANNA, {"References": f"{ANNA_FIRST}{token}<x@y>"}, "reply", here),
        (
            "folded",
            ANNA,
            {"References": f"{ANNA_FIRST}\r\n\t{token}\r\n <x@y.example>"},
            "reply",
            here,
        ),
        ("two-hundred", ANNA, {"References": f"{many} {token}"}, "reply", here),
        ("root-of-two-hundred", ANNA, {"References": f"{ANNA_FIRST} {many}"}, "reply", here),
        ("in-words", ANNA, {"In-Reply-To": f"Your message of Monday {token}"}, "reply", here),
        ("no-brackets", ANNA, {"In-Reply-To": ANNA_FIRST.strip("<>")}, "reply", here),
        ("merged", ANNA, {"In-Reply-To": world.token(world.merged)}, "reply", here),
        (
            "newest-wins",
            ANNA,
            {"References": f"{world.token(world.other)} {token}"},
            "reply",
            here,
        ),
        ("stranger-token", STRANGER, {"In-Reply-To": token}, "unverified", here),
        ("stranger-stored", STRANGER, {"References": ANNA_FIRST}, "unverified", here),
        ("not-hers", ANNA, {"In-Reply-To": world.token(world.other)}, "unverified", world.other),
        ("tag", ANNA, {"Subject": tag}, "reply", here),
        ("tag-lower", BOB, {"Subject": tag.lower()}, "reply", here),
        ("tag-merged", ANNA, {"Subject": f"[FH-{world.merged}]"}, "reply", here),
        ("tag-stranger", STRANGER, {"Subject": tag}, "new", None),
        ("tag-not-hers", CARLA, {"Subject": tag}, "new", None),
        ("tag-unknown", ANNA, {"Subject": "[FH-999999] x"}, "new", None),
        ("tag-giant", ANNA, {"Subject": "[FH-99999999999999999999] x"}, "new", None),
        ("forged", ANNA, {"In-Reply-To": forged}, "new", None),
        ("forged-with-tag", ANNA, {"In-Reply-To": forged, "Subject": tag}, "reply", here),
        ("unknown-ids", ANNA, {"In-Reply-To": "<q@x.example>", "References": many}, "new", None),
        ("empty-ids", ANNA, {"In-Reply-To": "<>", "References": "<> <>"}, "new", None),
        ("no-ticket", ANNA, {"In-Reply-To": world.token(4_000_000_000)}, "new", None),
        (
            "outlook-thread",
            ANNA,
            {"Thread-Index": "AQHbPg==", "Thread-Topic": "The printer", "References": token},
            "reply",
            here,
        ),
        (
            "spoofed-name",
            STRANGER,
            {"From": f'"{ANNA}" <{STRANGER}>', "References": token},
            "unverified",
            here,
        ),
        (
            "several-from",
            STRANGER,
            {"From": f"{STRANGER}, {ANNA}", "References": token},
            "unverified",
            here,
        ),
    ]
    for name, sender, headers, outcome, ticket in forms:
        given = {
            "From": sender,
            "To": world.mailbox,
            "Subject": "Re: The printer",
            "Message-ID": f"<thread-{name}@customer.example>",
        }
        yield Case(
            f"thread-{name}",
            mail({**given, **headers}, part("Words.")),
            Expected(outcome, ticket, visible="Words."),
        )
