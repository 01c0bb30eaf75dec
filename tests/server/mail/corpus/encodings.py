"""New mails in every charset and transfer encoding, rightly and wrongly declared."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tests.server.mail.corpus.speech import SPEECH, Speech
from tests.server.mail.corpus.world import ANNA, Case, Expected, World
from tests.server.mail.corpus.writing import DATE, addressed, mail, part, words

__all__ = ["encodings"]


def encodings(world: World) -> Iterator[Case]:
    """Yield what people write for the first time."""
    for language, speech in SPEECH.items():
        subject = speech.subject
        for name, headers, body in _forms(world, speech):
            message_id = {"Message-ID": f"<{name}-{language}@customer.example>"}
            yield Case(
                f"new-{name}-{language}",
                mail({**message_id, **headers}, body),
                Expected("new", visible=speech.text, subject=subject),
            )
        yield Case(
            f"new-raw-headers-{language}",
            f"From: {speech.name} <{ANNA}>\r\nTo: {world.mailbox}\r\nSubject: {subject}\r\n"
            f"Date: {DATE}\r\nMessage-ID: <raw-{language}@customer.example>\r\n\r\n"
            f"{speech.text}\r\n".encode(),
            Expected("new", visible=speech.text, subject=subject),
        )


def _forms(world: World, speech: Speech) -> Iterator[tuple[str, dict[str, str], bytes]]:
    text = speech.text
    headers = {
        "From": addressed(speech.name, ANNA),
        "To": world.mailbox,
        "Subject": words(speech.subject),
    }
    for encoding in ("8bit", "base64", "quoted-printable"):
        yield f"utf8-{encoding}", headers, part(text, encoding=encoding)
    for charset in speech.charsets:
        if not _fits(text, charset):
            continue
        for encoding in ("8bit", "base64", "quoted-printable"):
            coded = {**headers, "Subject": _coded(speech.subject, charset)}
            yield f"{charset}-{encoding}", coded, part(text, charset=charset, encoding=encoding)
    yield "utf8-called-latin", headers, part(text).replace(b"charset=utf-8", b"charset=iso-8859-1")
    yield "utf8-called-nonsense", headers, part(text).replace(b"=utf-8", b"=x-no-such-thing")
    yield "utf8-not-called", headers, part(text).replace(b"; charset=utf-8", b"")
    yield (
        "html",
        headers,
        part(
            "<p>" + "</p><p>".join(escape(one) for one in text.split("\n\n")) + "</p>",
            kind="html",
            encoding="quoted-printable",
        ),
    )
    # Words cut in the middle of a character, as long subjects in mail from phones are.
    raw = speech.subject.encode()
    cut = " ".join(
        f"=?UTF-8?Q?{''.join(f'={byte:02X}' for byte in raw[at : at + 7])}?="
        for at in range(0, len(raw), 7)
    )
    yield "cut-subject", {**headers, "Subject": cut}, part(text)
    spaced = f"=?utf-8?q?{speech.subject}?="
    yield "spaced-subject", {**headers, "Subject": spaced}, part(text)


def _fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _coded(subject: str, charset: str) -> str:
    return words(subject, charset)
