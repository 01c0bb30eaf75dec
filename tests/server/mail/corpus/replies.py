"""Answers and forwarded mails as mail programs write them, in five languages.

Every shape answers a mail of the desk, so its history is the desk's old words, and what a person
should read of it is what the person wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from farhand_server.mail.markers import make_mark, marker_line
from tests.server.mail.corpus.speech import SPEECH, Speech
from tests.server.mail.corpus.world import ANNA, ANNA_FIRST, BOB, Case, Expected, World
from tests.server.mail.corpus.writing import addressed, alternative, mail, part, words

__all__ = ["replies"]

_DESK = "Help desk"


def replies(world: World) -> Iterator[Case]:
    """Yield what Anna writes in each language with each program."""
    for language, speech in SPEECH.items():
        for name, body, visible in _answers(world, language, speech):
            headers = {
                "From": addressed(speech.name, ANNA),
                "To": f"{_DESK} <{world.mailbox}>",
                "Subject": words(f"{speech.answer} [FH-{world.printer}] {speech.subject}"),
                "Message-ID": f"<{name}-{language}@customer.example>",
                "In-Reply-To": world.token(world.printer),
                "References": f"{ANNA_FIRST} {world.token(world.printer)}",
            }
            yield Case(
                f"{name}-{language}",
                mail(headers, body),
                Expected("reply", world.printer, visible=visible),
            )
        for name, body, visible in _forwards(language, speech):
            headers = {
                "From": addressed(speech.name, ANNA),
                "To": world.mailbox,
                "Subject": words(f"{speech.forward} {speech.subject}"),
                "Message-ID": f"<{name}-{language}@customer.example>",
            }
            yield Case(f"{name}-{language}", mail(headers, body), Expected("new", visible=visible))


def _quoted(text: str, mark: str = "> ") -> str:
    return "\n".join(f"{mark}{line}".rstrip() for line in text.split("\n"))


def _html(text: str, tag: str = "div") -> str:
    return "".join(f"<{tag}>{escape(line) or '<br>'}</{tag}>" for line in text.split("\n"))


def _headers(speech: Speech, desk: str, to: str, *, stars: bool = False) -> str:
    values = (f"{_DESK} <{desk}>" if stars else _DESK, speech.sent, to, speech.subject)
    star = "*" if stars else ""
    return "\n".join(
        f"{star}{label}:{star} {value}" for label, value in zip(speech.labels, values, strict=True)
    )


def _answers(world: World, language: str, speech: Speech) -> Iterator[tuple[str, bytes, str]]:
    text, old, desk = speech.text, speech.old, world.mailbox
    gmail = speech.gmail.format(who=_DESK, mail=desk)
    apple = speech.apple.format(who=_DESK, mail=desk)
    bird = speech.thunderbird.format(who=_DESK)
    ours = f"{marker_line(language)}\n\n{old}\n\n{make_mark(world.key, world.printer)}"

    # Gmail breaks its attribution where the address begins.
    broken = gmail.replace(f"<{desk}>", f"<\n{desk}>")
    yield (
        "gmail",
        alternative(
            f"{text}\n\n{broken}\n\n{_quoted(old)}\n",
            f'<div dir="ltr">{_html(text)}</div><br><div class="gmail_quote"><div dir="ltr" '
            f'class="gmail_attr">{escape(gmail)}<br></div><blockquote class="gmail_quote" '
            f'style="margin:0px 0px 0px 0.8ex">{_html(old)}</blockquote></div>',
        ),
        text,
    )
    yield (
        "gmail-html",
        part(
            f'<div dir="ltr">{_html(text)}</div><br><div class="gmail_quote"><div dir="ltr" '
            f'class="gmail_attr">{escape(gmail)}<br></div><blockquote class="gmail_quote">'
            f"{_html(old)}</blockquote></div>",
            kind="html",
            encoding="base64",
        ),
        text,
    )
    yield "gmail-plain", part(f"{text}\n\n{broken}\n\n{_quoted(ours)}\n"), text
    yield "outlook-plain", part(f"{text}\n\n{_headers(speech, desk, ANNA)}\n\n{old}\n"), text
    yield (
        "outlook-dashes",
        part(
            f"{text}\n\n-----{speech.original}-----\n{_headers(speech, desk, ANNA)}\n\n{old}\n",
            encoding="quoted-printable",
        ),
        text,
    )
    labels = "<br>".join(
        f"<b>{escape(line.partition(':')[0])}:</b>{escape(line.partition(':')[2])}"
        for line in _headers(speech, desk, ANNA).split("\n")
    )
    yield (
        "outlook-html",
        alternative(
            f"{text}\n\n{_headers(speech, desk, ANNA, stars=True)}\n\n{ours}\n",
            f"<html><head><style>p.MsoNormal{{margin:0}}</style></head><body><div>{_html(text)}"
            '</div><div style="border:none;border-top:solid #E1E1E1 1.0pt"><p class="MsoNormal">'
            f"{labels}</p></div>{_html(ours, 'p')}</body></html>",
        ),
        text,
    )
    yield (
        "outlook-only-html",
        part(
            f'<html><body><div class="WordSection1">{_html(text)}</div><hr><div '
            f'id="divRplyFwdMsg">{labels}</div><div><br></div>{_html(old)}</body></html>',
            kind="html",
            encoding="quoted-printable",
        ),
        text,
    )
    yield (
        "outlook-web",
        part(f"{text}\n{'_' * 32}\n{_headers(speech, desk, ANNA)}\n\n{old}\n"),
        text,
    )
    yield (
        "apple",
        part(f"{text}\n\n\n> {apple}\n> \n{_quoted(old)}\n\n", more="; delsp=yes; format=flowed"),
        text,
    )
    yield "apple-plain", part(f"{text}\n\n{apple}\n\n{_quoted(old)}\n"), text
    yield "iphone", part(f"{text}\n\n{speech.phone}\n\n> {apple}\n> \n{_quoted(old)}\n"), text
    yield "thunderbird-below", part(f"{bird}\n{_quoted(old)}\n\n{text}\n"), text
    yield (
        "inline",
        part(
            f"{bird}\n{_quoted(old.splitlines()[0])}\n\n{text}\n\n"
            f"{_quoted(old.splitlines()[1])}\n\n{speech.second}\n\n-- \n{speech.signature}\n"
        ),
        f"{text}\n\n{speech.second}",
    )
    yield (
        "signed-name",
        part(f"{text}\n\n-- \n{speech.signature}\n\n{broken}\n\n{_quoted(old)}\n"),
        text,
    )
    yield "marker", part(f"{text}\n\n{gmail}\n\n{ours}\n"), text
    deep = f"{gmail}\n\n{_quoted(old)}\n{_quoted(f'{bird}{chr(10)}{_quoted(text)}')}"
    yield "deep", part(f"{speech.second}\n\n{deep}\n"), speech.second
    yield "bare", part(f"{text}\n\n{_quoted(old)}\n"), text
    yield "nothing-quoted", part(f"{text}\n"), text
    pasted = f"{text}\n\n> 12:00 error 5\n\n{speech.second}"
    yield "pasted", part(pasted), pasted


def _forwards(language: str, speech: Speech) -> Iterator[tuple[str, bytes, str]]:
    text, old = speech.second, speech.old
    labels = _headers(speech, BOB, ANNA)
    starred = _headers(speech, BOB, ANNA, stars=True).replace("*", "")
    gmail = f"{text}\n\n---------- {speech.gmail_forward} ---------\n{starred}\n\n{old}"
    yield "forward-gmail", part(gmail), gmail
    apple = f"{text}\n\n{speech.apple_forward}\n\n{_quoted(f'{starred}{chr(10)}{chr(10)}{old}')}"
    yield "forward-apple", part(apple), apple
    bird = f"{text}\n\n-------- {speech.thunderbird_forward} --------\n{starred}\n\n{old}"
    yield "forward-thunderbird", part(bird), bird
    outlook = f"{text}\n\n{labels}\n\n{old}"
    yield "forward-outlook", part(outlook), outlook
    yield "forward-silent", part(f"{labels}\n\n{old}\n"), f"{labels}\n\n{old}"
