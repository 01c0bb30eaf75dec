"""The body of a mail: which parts are read, and which are kept as files.

| part | becomes |
|---|---|
| `text/plain`, `text/html` | text, where it is not called an attachment or given a name |
| `multipart/alternative` | the first plain text and the last HTML of its parts |
| `multipart/mixed` and others | its parts one after the other; Apple Mail cuts texts around files |
| `multipart/related` | its first part; the others are pictures of it, by `cid:` |
| `multipart/signed` | its first part; the signature is a file |
| `multipart/encrypted` | files; nothing is opened |
| everything else, other mails, calendars, `winmail.dat`, archives | files, never opened |
"""

from __future__ import annotations

import html as html_entities
import re
from typing import Final, NamedTuple

from farhand_server.mail.charsets import decode_bytes
from farhand_server.mail.filenames import FileNames
from farhand_server.mail.flowed import unflow
from farhand_server.mail.headers import decode_header, read_parameters
from farhand_server.mail.html_text import html_to_text
from farhand_server.mail.limits import (
    MAX_FILES,
    MAX_FILES_BYTES,
    MAX_HTML_CHARS,
    MAX_TEXT_CHARS,
)
from farhand_server.mail.parsed import MailFile, Protection
from farhand_server.mail.parts import Part

__all__ = ["Body", "clean_text", "read_body"]

_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
_ENCRYPTED: Final = ("enveloped-data", "authenveloped-data")
_CID = re.compile(r"cid:([^\"'\s>)]{1,250})", re.IGNORECASE)
_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")
# All controls but line feed and tab.
_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)))


class Body(NamedTuple):
    """What a mail says and carries."""

    text: str
    html: str
    files: tuple[MailFile, ...]
    protection: Protection
    defects: tuple[str, ...]


class _Said(NamedTuple):
    plain: str = ""
    html: str = ""


def read_body(root: Part) -> Body:
    """Return the body of a mail."""
    reader = _Reader()
    said = reader.read(root)
    text = said.plain if said.plain.strip() or not said.html else html_to_text(said.html)
    text = clean_text(text)
    if len(text) > MAX_TEXT_CHARS:
        reader.defects.append("text-cut")
        text = text[:MAX_TEXT_CHARS]
    markup = said.html
    if len(markup) > MAX_HTML_CHARS:
        # Half a document shows nonsense; the text is what is left of it.
        reader.defects.append("html-too-large")
        markup = ""
    return Body(text, markup, reader.kept(markup), reader.protection, tuple(reader.defects))


def clean_text(text: str) -> str:
    """Return a text as it is kept: line feeds alone, no other control characters, trimmed."""
    lines = _LINE_ENDS.sub("\n", text).translate(_CONTROLS).split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


class _Reader:
    """Walks the parts once and puts aside what is no text."""

    def __init__(self) -> None:
        self.protection: Protection = ""
        self.defects: list[str] = []
        self._files: list[MailFile] = []
        self._names = FileNames()
        self._size = 0

    def read(self, part: Part) -> _Said:
        """Return what a part says; its files are put aside."""
        kind = part.kind
        if not kind.startswith("multipart/"):
            return self._leaf(part, kind)
        if not part.children:
            # It says it has parts and has none: what is there is text, as far as anybody knows.
            self.defects.append("multipart-without-parts")
            return self._text(part, "text/plain")
        if part.defects:
            self.defects.append("multipart-broken")
        match kind:
            case "multipart/alternative":
                return self._alternative(part)
            case "multipart/signed":
                self.protection = self.protection or "signed"
            case "multipart/encrypted":
                self.protection = "encrypted"
                for child in part.children:
                    self._keep(child)
                return _Said()
            case _:
                pass
        return _one_after_the_other([self.read(child) for child in part.children])

    def _alternative(self, part: Part) -> _Said:
        said = [self.read(child) for child in part.children]
        plain = next((one.plain for one in said if one.plain.strip()), "")
        markup = next((one.html for one in reversed(said) if one.html.strip()), "")
        return _Said(plain, markup)

    def _leaf(self, part: Part, kind: str) -> _Said:
        if kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
            wraps = part.typed.named.get("smime-type", "").lower()
            self.protection = "encrypted" if wraps in ("", *_ENCRYPTED) else "signed"
        if kind in ("text/plain", "text/html") and not _is_file(part):
            return self._text(part, kind)
        self._keep(part)
        return _Said()

    def _text(self, part: Part, kind: str) -> _Said:
        text, held = decode_bytes(part.content(), part.typed.named.get("charset", ""))
        if not held:
            self.defects.append("charset-wrong")
        if "\0" in text:
            self.defects.append("nul")
            text = text.replace("\0", "")
        if kind == "text/html":
            return _Said(html=text)
        if part.typed.named.get("format", "").lower() == "flowed":
            glued = part.typed.named.get("delsp", "").lower() == "yes"
            text = unflow(text, delete_space=glued)
        return _Said(plain=text)

    def _keep(self, part: Part) -> None:
        if part.children:
            for child in part.children:
                self._keep(child)
            return
        if len(self._files) >= MAX_FILES:
            self.defects.append("too-many-files")
            return
        content = part.content()
        self._size += len(content)
        if self._size > MAX_FILES_BYTES:
            self._size -= len(content)
            self.defects.append("files-too-large")
            return
        place, kind = len(self._files) + 1, part.kind
        name = self._names.take(_claimed_name(part), media_type=kind, place=place)
        self._files.append(
            MailFile(
                place=place,
                name=name,
                media_type=kind,
                content=content,
                inline_cid=_content_id(part) if kind in _PICTURES else "",
            )
        )

    def kept(self, markup: str) -> tuple[MailFile, ...]:
        """Return the files; a picture that the HTML does not show is a file like others."""
        shown = {match.lower() for match in _CID.findall(markup)}
        return tuple(
            one
            if one.inline_cid == "" or one.inline_cid.lower() in shown
            else MailFile(
                place=one.place, name=one.name, media_type=one.media_type, content=one.content
            )
            for one in self._files
        )


def _one_after_the_other(said: list[_Said]) -> _Said:
    plain = [one for one in said if one.plain.strip() or one.html.strip()]
    if len(plain) == 1:
        return plain[0]
    if not any(one.html for one in plain):
        return _Said("\n\n".join(one.plain.strip("\r\n") for one in plain))
    # Both, so that neither form is without what only the other had.
    return _Said(
        "\n\n".join(one.plain.strip("\r\n") or html_to_text(one.html) for one in plain),
        "\n".join(one.html or _as_html(one.plain) for one in plain),
    )


def _as_html(plain: str) -> str:
    return f'<div style="white-space: pre-wrap">{html_entities.escape(plain)}</div>'


def _is_file(part: Part) -> bool:
    disposition = read_parameters(part.header("content-disposition"))
    return disposition.value == "attachment" or bool(_claimed_name(part))


def _claimed_name(part: Part) -> str:
    disposition = read_parameters(part.header("content-disposition"))
    claimed = disposition.named.get("filename") or part.typed.named.get("name", "")
    if not claimed and part.kind == "message/rfc822":
        # A forwarded mail is best known by its subject.
        subject = re.search(rb"(?im)^subject:[ \t]*(.{1,200})", part.content()[:20_000])
        if subject is not None:
            words = decode_header(subject[1].decode("utf-8", "surrogateescape"))[0]
            claimed = f"{words.replace('/', ' ')[:80]}.eml"
    return claimed


def _content_id(part: Part) -> str:
    content_id = part.header("content-id").strip().strip("<>").strip()
    return content_id if content_id.isascii() and 0 < len(content_id) <= 250 else ""
