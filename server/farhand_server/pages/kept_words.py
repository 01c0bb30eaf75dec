"""What was written while the sign-in ended: shown again, so that it can be sent again.

Nothing of it is kept here: it stands in the page, in a form that leads where the first one led.
Files cannot be given back to a browser, so they are asked for anew.
"""

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Request, Response

from farhand_server.api.address import caller_address
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.pages.routing import Reading
from farhand_server.pages.uploads import read_upload

__all__ = ["show_again"]

# What the forms of these pages hold; nothing else is given back.
_LINES: Final = ("title", "since")
_WORDS: Final = ("body", "text", "steps_tried")
_CHOICES: Final = ("kind", "solved")


def _is_kept_unseen(name: str) -> bool:
    """Tell whether a field is sent again as it was: choices, and what a kind of request asks."""
    return name in _CHOICES or re.fullmatch(r"field_[a-z][a-z0-9_]{0,39}", name) is not None


async def show_again(request: Request[Any, Any, Any], reading: Reading) -> Response[Any]:
    """Return the words of a form that nobody is signed in for, with the way to the sign-in.

    Raises:
        FarhandError: `not-signed-in` where nothing was written, `rate-limited`, and whatever
            `read_upload` refuses.
    """
    address = caller_address(request, reading.relay)
    reading.relay.service(make_public_rates).talks.take(address)
    form, files = await read_upload(request, reading.relay, sender=address)
    texts = {name: form[name] for name in _WORDS if name in form}
    if not any(one.strip() for one in texts.values()) and not files:
        reading.visitor.signed_in()  # nothing was written, so nothing is shown but the sign-in
    path = reading.visitor.path
    reading.visitor.path = "/sign-in"  # this page has no address by which it could be read again
    return reading.page(
        "kept_words",
        status=409,
        action=path,
        lines={name: form[name] for name in _LINES if form.get(name)},
        texts=texts,
        choices={name: form[name] for name in form if _is_kept_unseen(name)},
        with_files=bool(files),
    )
