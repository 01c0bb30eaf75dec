"""What people of the desk are told, in their languages: a line for each thing, a mail around it.

The line in English is kept with the notice, for the console; its facts are kept beside it, so that
a mail is written in the language of who reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from farhand_server.notify.settings import NoticeKind

__all__ = ["LANGUAGES", "digest_words", "line_of"]

_LINES: Final[dict[str, dict[NoticeKind, str]]] = {
    "en": {
        "new": "{number} is new in {queue}: {title}",
        "assigned": "{number} was given to you by {actor}: {title}",
        "answered": "{actor} answered on {number}: {title}",
        "due-soon": "{number} is due soon ({metric}): {title}",
        "missed": "{number} missed what was promised ({metric}): {title}",
        "csat-low": "{number} was rated {score} of 5: {title}",
    },
    "de": {
        "new": "{number} ist neu in {queue}: {title}",
        "assigned": "{number} wurde Ihnen von {actor} gegeben: {title}",
        "answered": "{actor} hat auf {number} geantwortet: {title}",
        "due-soon": "{number} ist bald fällig ({metric}): {title}",
        "missed": "{number} hat das Versprochene verfehlt ({metric}): {title}",
        "csat-low": "{number} wurde mit {score} von 5 bewertet: {title}",
    },
    "pt": {
        "new": "{number} é novo em {queue}: {title}",
        "assigned": "{number} foi-lhe entregue por {actor}: {title}",
        "answered": "{actor} respondeu em {number}: {title}",
        "due-soon": "{number} está quase a vencer ({metric}): {title}",
        "missed": "{number} falhou o prometido ({metric}): {title}",
        "csat-low": "{number} foi avaliado com {score} de 5: {title}",
    },
    "ro": {
        "new": "{number} este nou în {queue}: {title}",
        "assigned": "{number} v-a fost încredințat de {actor}: {title}",
        "answered": "{actor} a răspuns la {number}: {title}",
        "due-soon": "{number} ajunge curând la termen ({metric}): {title}",
        "missed": "{number} a depășit termenul promis ({metric}): {title}",
        "csat-low": "{number} a primit nota {score} din 5: {title}",
    },
    "ru": {
        "new": "{number} — новая заявка в {queue}: {title}",
        "assigned": "{actor} поручил(а) вам {number}: {title}",
        "answered": "{actor} ответил(а) в {number}: {title}",
        "due-soon": "{number}: скоро истекает срок ({metric}): {title}",
        "missed": "{number}: обещанный срок нарушен ({metric}): {title}",
        "csat-low": "{number} получила оценку {score} из 5: {title}",
    },
}
LANGUAGES: Final = tuple(_LINES)
_FACTS: Final = ("number", "queue", "title", "actor", "metric", "score")
_METRICS: Final[dict[str, dict[str, str]]] = {
    "de": {
        "first-response": "erste Antwort",
        "next-response": "nächste Antwort",
        "resolution": "Lösung",
    },
    "pt": {
        "first-response": "primeira resposta",
        "next-response": "resposta seguinte",
        "resolution": "resolução",
    },
    "ro": {
        "first-response": "primul răspuns",
        "next-response": "următorul răspuns",
        "resolution": "rezolvare",
    },
    "ru": {
        "first-response": "первый ответ",
        "next-response": "следующий ответ",
        "resolution": "решение",
    },
}
# The subject where there are several, what is left out, and how to be told of less.
_AROUND: Final[dict[str, tuple[str, str, str]]] = {
    "en": (
        "{count} things on your tickets",
        "and {count} more: farhand notices",
        "{org}: what you are told of is yours to set: farhand notify set",
    ),
    "de": (
        "{count} Neuigkeiten zu Ihren Tickets",
        "und {count} weitere: farhand notices",
        "{org}: was man Ihnen meldet, bestimmen Sie: farhand notify set",
    ),
    "pt": (
        "{count} novidades nos seus pedidos",
        "e mais {count}: farhand notices",
        "{org}: é você que escolhe o que lhe comunicam: farhand notify set",
    ),
    "ro": (
        "{count} noutăți la tichetele dumneavoastră",
        "și încă {count}: farhand notices",
        "{org}: dumneavoastră alegeți ce vi se comunică: farhand notify set",
    ),
    "ru": (
        "Новости по вашим заявкам: {count}",
        "и ещё {count}: farhand notices",
        "{org}: о чём вам сообщать, решаете вы: farhand notify set",
    ),
}


def line_of(kind: NoticeKind, facts: Mapping[str, Any], language: str = "en") -> str:
    """Return what somebody is told of one thing; a fact that is missing is left empty."""
    named = dict.fromkeys(_FACTS, "")
    metric = str(facts.get("metric", ""))
    named |= {name: str(value) for name, value in facts.items() if name in named}
    named["metric"] = _METRICS.get(language, {}).get(metric, metric)
    return _LINES[language][kind].format(**named)


def digest_words(language: str, *, count: int, more: int, org: str) -> tuple[str, str, str]:
    """Return a mail's subject for several things, its line for what is left out, and its end."""
    subject, left_out, end = _AROUND[language]
    return subject.format(count=count), left_out.format(count=more), end.format(org=org)
