"""Forms with files: few, small, named by us, kept as what they are and never shown as anything.

A form that may bring files comes as `multipart/form-data` (RFC 7578); Litestar reads it, bounded by
the route's own limit, before anything is looked at here.  What the browser says of a file's type is
written down and believed by nobody: files are given out again as downloads only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from litestar import Request
from litestar.datastructures import UploadFile
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.rates import RateLimit
from farhand_server.mail.filenames import FileNames
from farhand_server.pages.visitor import MAX_FORM_BYTES, check_origin, read_form
from farhand_server.people.blobs import attach, keep_blob
from farhand_server.relay import Relay

__all__ = [
    "MAX_FILES",
    "MAX_FILES_A_DAY",
    "MAX_FILE_BYTES",
    "MAX_UPLOAD_BYTES",
    "NewFile",
    "keep_files",
    "read_upload",
]

MAX_FILES: Final = 5
MAX_FILE_BYTES: Final = 10 * 1024 * 1024
# Of a whole form, and of one sender.
MAX_UPLOAD_BYTES: Final = 20 * 1024 * 1024
MAX_FILES_A_DAY: Final = 50
_A_DAY_S: Final = 86_400.0
_OCTETS: Final = "application/octet-stream"
_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}\Z", re.ASCII)


class NewFile(NamedTuple):
    """A file that came with a form; its name is safe, its type what the browser said."""

    name: str
    media_type: str
    content: bytes


def _make_senders(relay: Relay) -> RateLimit:
    return RateLimit(
        relay.clock, limit=MAX_FILES_A_DAY, window_s=_A_DAY_S, message="too many files today"
    )


async def read_upload(
    request: Request[Any, Any, Any], relay: Relay, *, sender: str
) -> tuple[dict[str, str], list[NewFile]]:
    """Return the fields and files of a form; one without files may come as any other form does.

    Args:
        request: of a route with `request_max_body_size=MAX_UPLOAD_BYTES`.
        relay: the wiring.
        sender: who is counted: an account, an address.

    Raises:
        FarhandError: `origin-foreign`, `invalid`, `upload-too-large`, `rate-limited`.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await read_form(request, relay), []
    check_origin(request, relay)
    fields: dict[str, str] = {}
    files: list[NewFile] = []
    names = FileNames()
    form = await request.form()
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                fields[name] = str(value)
            elif value.filename:
                content = await value.read(MAX_FILE_BYTES + 1)
                if len(content) > MAX_FILE_BYTES or len(files) >= MAX_FILES:
                    raise _too_large()
                relay.service(_make_senders).take(sender)
                kind = (value.content_type or "").lower()
                kind = kind if _TYPE.match(kind) else _OCTETS
                safe = names.take(value.filename, media_type=kind, place=len(files) + 1)
                files.append(NewFile(safe, kind, content))
    finally:
        await form.close()
    if sum(map(len, fields.values())) > MAX_FORM_BYTES:
        raise FarhandError("body-too-large", "the form is too large")
    return fields, files


async def keep_files(
    c: AsyncConnection, relay: Relay, message: int, files: Sequence[NewFile]
) -> None:
    """Keep files, and put them on a message that was just made."""
    for place, file in enumerate(files):
        kept = await keep_blob(c, relay, file.content, file.media_type)
        await attach(c, relay.tenant, message, place, kept, file.name)


def _too_large() -> FarhandError:
    return FarhandError(
        "upload-too-large",
        f"a form brings {MAX_FILES} files of {MAX_FILE_BYTES // 2**20} MiB at most",
    )
