"""Bounces: reports that a mail did not arrive, in the standard form and in the common others.

The standard form (RFC 3464) names every address, what became of it and why, and mostly brings the
mail back, or its headers.  qmail, Exim, old sendmails and Exchanges wrote prose instead; of that
the address and the returned headers are read, and whether it was for good where a status code or
the words say so.

A report that a mail *did* arrive, or was read, is no bounce.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from farhand_server.mail.addresses import normalise_address, read_addresses
from farhand_server.mail.bodies import clean_text
from farhand_server.mail.charsets import decode_bytes, guess_text
from farhand_server.mail.headers import clean_line, decode_header
from farhand_server.mail.limits import MAX_ADDRESSES
from farhand_server.mail.message_ids import find_ids
from farhand_server.mail.parsed import Address, Bounce, FailedRecipient
from farhand_server.mail.parts import Part, read_header_block
from farhand_server.mail.subjects import MAX_SUBJECT_CHARS

__all__ = ["read_bounce"]

_MAX_WORDS: Final = 300
_MAX_BLOCKS_BYTES: Final = 200_000
_MAX_PROSE: Final = 60_000
_MAX_IDS: Final = 10

_STATUS_TYPES: Final = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_TYPES: Final = (
    "message/rfc822",
    "message/rfc822-headers",
    "text/rfc822-headers",
    "message/global",
    "message/global-headers",
)
_BLANK_LINE = re.compile(rb"\r?\n[ \t]*\r?\n")
_STATUS = re.compile(r"\b([245])\.\d{1,3}\.\d{1,3}\b")
_REPLY_CODE = re.compile(r"(?<![\d.])([45])\d\d(?![\d.])")
_SUBJECTS = re.compile(
    r"undeliver|returned mail|failure notice|delivery (?:status notification|failure|has failed|"
    r"notification|problem|delayed)|mail delivery (?:failed|failure|system|subsystem|error)|"
    r"mail system error|could not be delivered|warning: (?:could not send|message .{0,40}delayed)|"
    r"unzustellbar|nicht zugestellt|zustellung fehlgeschlagen|nicht zustellbar|"
    r"não (?:foi |pôde ser )?entregue|falha na entrega|devolvid|"
    r"nelivrat|nu a putut fi livrat|не\s?доставлен|не удалось доставить|недоставлен",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"this is the qmail-send program|this message was created automatically by mail delivery|"
    r"did not reach the following recipient|had permanent fatal errors|"
    r"the following address(?:\(es\)|es)? failed|had (?:transient|delivery) (?:non-fatal )?errors",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"will (?:keep|continue)|still trying|not yet been delivered|has been delayed|"
    r"you do not need to re-?send|no action is required",
    re.IGNORECASE,
)
_FOR_GOOD = re.compile(
    r"permanent|does not exist|no such user|user unknown|unknown user|no mailbox|"
    r"mailbox unavailable|giv(?:en|ing) up|unrouteable|existiert nicht|não existe|nu există|"
    r"не существует",
    re.IGNORECASE,
)
# Where the returned mail begins in prose.
_COPY = re.compile(
    r"^[- ]*(?:below this line is a copy|this is a copy of the message|"
    r"(?:original|returned) message(?: follows| headers)?|the body of the message)",
    re.IGNORECASE | re.MULTILINE,
)
_RETURNED_ID = re.compile(r"^[> \t]{0,10}message-id:[ \t]*(<[^<>\s]{1,996}>)", re.I | re.M)
_RETURNED_SUBJECT = re.compile(r"^[> \t]{0,10}subject:[ \t]*(\S.{0,400})", re.I | re.M)
_ADDRESS_LINE = re.compile(r"^[ \t]{0,20}<?([^\s<>()\",;:]{1,64}@[^\s<>()\",;:]{1,190})>?:?", re.M)


def read_bounce(
    root: Part, *, sender: Address | None, return_path: str | None, subject: str, text: str
) -> Bounce | None:
    """Return what a bounce says; None for any other mail.

    Args:
        root: the mail's parts.
        sender: who wrote it, as far as is known.
        return_path: the envelope's sender, "" for the null one.
        subject: decoded.
        text: what a person would read of it.
    """
    reports = [part for part in _leaves(root) if part.kind in _STATUS_TYPES]
    if reports:
        return _standard(root, reports, text)
    failed = _failed_header(root)
    system = return_path == "" or (
        sender is not None and sender.mail.partition("@")[0] in ("mailer-daemon", "postmaster")
    )
    prose = text[:_MAX_PROSE]
    if failed or (system and (_SUBJECTS.search(subject) or _PROSE.search(prose))):
        return _prose(root, failed, prose, subject)
    return None


def _leaves(root: Part) -> Iterator[Part]:
    for child in root.children:
        yield from _leaves(child)
    if not root.children:
        yield root


# The standard form.


def _standard(root: Part, reports: list[Part], text: str) -> Bounce | None:
    failed: dict[str, FailedRecipient] = {}
    arrived = False
    for report in reports:
        for block in _BLANK_LINE.split(report.content()[:_MAX_BLOCKS_BYTES])[: MAX_ADDRESSES + 1]:
            fields = read_header_block(block)
            action = fields.header("action").strip().lower()
            mail = _recipient(fields)
            if action in ("delivered", "relayed", "expanded"):
                arrived = True
            elif mail and len(failed) < MAX_ADDRESSES:
                failed.setdefault(mail, _failure(fields, mail, action))
    if arrived and not failed:
        return None
    ids, subject = _returned(root, text)
    return Bounce(original_ids=ids, original_subject=subject, recipients=tuple(failed.values()))


def _recipient(fields: Part) -> str:
    for name in ("original-recipient", "final-recipient"):
        # rfc822;anna@example.com, and some leave the type out
        value = fields.header(name).rpartition(";")[2].strip().strip("<>")
        if mail := normalise_address(value):
            return mail
    return ""


def _failure(fields: Part, mail: str, action: str) -> FailedRecipient:
    words = clean_line(decode_header(fields.header("diagnostic-code"))[0], max_chars=_MAX_WORDS)
    status = _STATUS.search(fields.header("status")) or _STATUS.search(words)
    return FailedRecipient(
        mail=mail,
        status=status[0] if status is not None else "",
        permanent=_permanence(status[0] if status is not None else "", words),
        delayed=action == "delayed",
        words=words,
    )


def _permanence(status: str, words: str) -> bool | None:
    if status:
        return status.startswith("5")
    code = _REPLY_CODE.search(words)
    if code is not None:
        return code[1] == "5"
    return True if _FOR_GOOD.search(words) else None


def _returned(root: Part, text: str) -> tuple[tuple[str, ...], str]:
    ids: list[str] = []
    subject = ""
    for part in _leaves(root):
        if part.kind in _RETURNED_TYPES:
            headers = read_header_block(part.content())
            value = headers.header("message-id").encode("utf-8", "surrogateescape")
            ids += find_ids(guess_text(value), limit=_MAX_IDS)
            subject = subject or decode_header(headers.header("subject"))[0]
    ids += _RETURNED_ID.findall(text)[:_MAX_IDS]
    if not subject and (match := _RETURNED_SUBJECT.search(text)) is not None:
        subject = decode_header(match[1])[0]
    return tuple(dict.fromkeys(ids))[:_MAX_IDS], clean_line(subject, max_chars=MAX_SUBJECT_CHARS)


# Prose.


def _failed_header(root: Part) -> list[str]:
    # Exim's
    value = ",".join(root.headers("x-failed-recipients"))
    return [one.mail for one in read_addresses(value)[0]]


def _prose(root: Part, failed: list[str], text: str, subject: str) -> Bounce:
    whole = text
    if root.kind.startswith("multipart/"):
        whole = "\n".join(_texts(root))[: 2 * _MAX_PROSE] or text
    copy = _COPY.search(whole)
    told = whole[: copy.start()] if copy is not None else whole[:8000]
    mails = failed or [
        mail
        for match in _ADDRESS_LINE.findall(told)[:MAX_ADDRESSES]
        if (mail := normalise_address(match.strip("'\"<>.")))
        and mail.partition("@")[0] not in ("mailer-daemon", "postmaster")
    ]
    status = _STATUS.search(told)
    delayed = bool(_DELAYED.search(told) or re.search(r"delayed|warning", subject, re.I))
    ids, original = _returned(root, whole)
    return Bounce(
        original_ids=ids,
        original_subject=original,
        recipients=tuple(
            FailedRecipient(
                mail=mail,
                status=status[0] if status is not None else "",
                permanent=None if delayed else _permanence(status[0] if status else "", told),
                delayed=delayed,
                words=_words_about(told, mail),
            )
            for mail in dict.fromkeys(mails)
        ),
    )


def _texts(root: Part) -> Iterator[str]:
    for part in _leaves(root):
        if part.kind.startswith("text/plain"):
            text, _ = decode_bytes(part.content()[:_MAX_PROSE], part.typed.named.get("charset", ""))
            yield clean_text(text)


def _words_about(told: str, mail: str) -> str:
    at = told.lower().find(mail)
    return clean_line(told[at : at + 4 * _MAX_WORDS], max_chars=_MAX_WORDS) if at >= 0 else ""
