"""Whether a person wrote a mail, by what RT, Zammad and FreeScout look at, together.

| what | kind |
|---|---|
| a bounce that was understood (`mail.bounces`), `multipart/report` of a delivery | bounce |
| `X-Loop` | loop |
| `Auto-Submitted: auto-replied`, `X-Autoreply` and its like, `Precedence: auto_reply` | reply |
| `Auto-Submitted` else, but not `no`; empty Return-Path; mailer-daemon, postmaster | generated |
| `List-*`, `Precedence: list` | list |
| `Precedence: bulk` or `junk` | bulk |

`Auto-Submitted: no` says that a person wrote it (RFC 3834 s5), and so does an empty one.  What no
person wrote is kept, never answered, and reopens nothing.  Whether it is our own mail that came
back takes our key and addresses: `find_loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from farhand_server.mail.headers import unfold
from farhand_server.mail.message_ids import OwnId
from farhand_server.mail.parsed import Address, AutoClass, AutoKind, ParsedMail
from farhand_server.mail.parts import Part

__all__ = ["classify", "find_loop"]

_SYSTEM_NAMES: Final = frozenset(("mailer-daemon", "postmaster"))
_PRECEDENCE: Final[dict[str, AutoKind]] = {
    "bulk": "bulk",
    "junk": "bulk",
    "list": "list",
    "auto_reply": "reply",
    "auto-reply": "reply",
}
_RESPONDERS: Final = ("x-autoreply", "x-auto-reply", "x-autorespond", "x-autoresponder")
# The first that applies is what the mail is.
_ORDER: Final[tuple[AutoKind, ...]] = ("bounce", "loop", "reply", "generated", "list", "bulk")


def classify(
    root: Part, *, sender: Address | None, return_path: str | None, bounced: bool
) -> AutoClass:
    """Return what kind of mail this is.

    Args:
        root: its headers.
        sender: who wrote it, as far as is known.
        return_path: the envelope's sender; "" for the null one, None where nobody knows.
        bounced: whether `mail.bounces` understood it.
    """
    found: dict[str, AutoKind] = {}
    if bounced:
        found["bounce"] = "bounce"
    if root.kind == "multipart/report" and "delivery-status" in root.typed.named.get(
        "report-type", ""
    ):
        found["report"] = "bounce"
    for value in root.headers("auto-submitted"):
        word = _word(value)
        if word not in ("", "no"):
            found["auto-submitted"] = "reply" if word == "auto-replied" else "generated"
    for value in root.headers("precedence"):
        if (kind := _PRECEDENCE.get(_word(value))) is not None:
            found["precedence"] = kind
    if return_path == "":
        found["return-path-empty"] = "generated"
    if sender is not None and sender.mail.partition("@")[0] in _SYSTEM_NAMES:
        found["system-sender"] = "generated"
    for name in root.header_names():
        if name == "x-loop":
            found["x-loop"] = "loop"
        elif name.startswith("list-"):
            found["list-header"] = "list"
        elif name in _RESPONDERS and _word(root.header(name)) not in ("", "no"):
            found["autoresponder"] = "reply"
    kinds = set(found.values())
    first: AutoKind = next((one for one in _ORDER if one in kinds), "person")
    return AutoClass(kind=first, reasons=tuple(found))


def find_loop(
    mail: ParsedMail, *, own: Callable[[str], OwnId | None], addresses: Collection[str]
) -> str:
    """Return why this is a mail of our own that came back; "" where it is none.

    Args:
        mail: the mail.
        own: what a Message-ID of ours says (`mail.message_ids.read_message_id` with the key).
        addresses: our mailboxes, as addresses are compared.
    """
    if mail.message_id and own(mail.message_id) is not None:
        return "own-message-id"
    if any(one.mail in addresses for one in mail.authors):
        return "own-address"
    return ""


def _word(value: str) -> str:
    # `auto-generated; type=x (comment)`: the first word says it.
    words = unfold(value)[:100].replace(";", " ").replace("(", " ").split()
    return words[0].strip("\"'").lower() if words else ""
