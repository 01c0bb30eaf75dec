"""What the desk writes by itself, in the languages that its people read.

`{...}` is filled with facts of ours (a number, a name of the desk), never with what a stranger
wrote: an automatic answer that repeats a subject or a text can be used to send it to others.
"""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["LANGUAGES", "Phrase", "language_of", "say"]

Phrase = Literal["received", "resolved", "reopened"]
LANGUAGES: Final = ("en", "pt", "de", "ro", "ru")

# Subject, then text.
_TEXTS: Final[dict[str, dict[Phrase, tuple[str, str]]]] = {
    "en": {
        "received": (
            "We have your message",
            "Your message has arrived; it is {number}. A person will read it and answer here.\n\n"
            "To add something, answer this mail.",
        ),
        "resolved": (
            "{number} is solved, we think",
            "We believe that {number} is solved.\n\nIf it is not, answer this mail within"
            " {days} days: that opens it again. Otherwise there is nothing for you to do.",
        ),
        "reopened": (
            "{number} is open again",
            "We have opened {number} again and are working on it.\n\n"
            "To add something, answer this mail.",
        ),
    },
    "pt": {
        "received": (
            "Recebemos a sua mensagem",
            "A sua mensagem chegou; é o pedido {number}. Uma pessoa vai lê-la e responder por"
            " aqui.\n\nPara acrescentar algo, responda a esta mensagem.",
        ),
        "resolved": (
            "{number}: julgamos que está resolvido",
            "Julgamos que {number} está resolvido.\n\nSe não estiver, responda a esta mensagem no"
            " prazo de {days} dias: o pedido volta a ser aberto. Caso contrário, não precisa de"
            " fazer nada.",
        ),
        "reopened": (
            "{number} está de novo aberto",
            "Voltámos a abrir {number} e estamos a tratar dele.\n\n"
            "Para acrescentar algo, responda a esta mensagem.",
        ),
    },
    "de": {
        "received": (
            "Ihre Nachricht ist angekommen",
            "Ihre Nachricht ist angekommen; sie hat die Nummer {number}. Ein Mensch liest sie und"
            " antwortet Ihnen hier.\n\nWenn Sie etwas ergänzen möchten, antworten Sie auf diese"
            " Mail.",
        ),
        "resolved": (
            "{number} ist wohl gelöst",
            "Wir glauben, dass {number} gelöst ist.\n\nWenn nicht, antworten Sie innerhalb von"
            " {days} Tagen auf diese Mail: Dann geht es weiter. Sonst müssen Sie nichts tun.",
        ),
        "reopened": (
            "{number} ist wieder offen",
            "Wir haben {number} wieder geöffnet und arbeiten daran.\n\n"
            "Wenn Sie etwas ergänzen möchten, antworten Sie auf diese Mail.",
        ),
    },
    "ro": {
        "received": (
            "Am primit mesajul dumneavoastră",
            "Mesajul dumneavoastră a ajuns; are numărul {number}. O persoană îl va citi și va"
            " răspunde aici.\n\nPentru a adăuga ceva, răspundeți la acest mesaj.",
        ),
        "resolved": (
            "{number}: credem că este rezolvat",
            "Credem că {number} este rezolvat.\n\nDacă nu este, răspundeți la acest mesaj în"
            " {days} zile: solicitarea se redeschide. Altfel nu trebuie să faceți nimic.",
        ),
        "reopened": (
            "{number} este din nou deschis",
            "Am redeschis {number} și lucrăm la el.\n\n"
            "Pentru a adăuga ceva, răspundeți la acest mesaj.",
        ),
    },
    "ru": {
        "received": (
            "Мы получили ваше письмо",
            "Ваше письмо пришло, его номер {number}. Его прочтёт человек и ответит здесь.\n\n"
            "Чтобы что-то добавить, ответьте на это письмо.",
        ),
        "resolved": (
            "{number}: мы думаем, что всё решено",
            "Мы думаем, что обращение {number} решено.\n\nЕсли это не так, ответьте на это письмо"
            " (срок в днях: {days}), и оно будет открыто снова. Иначе ничего делать не нужно.",
        ),
        "reopened": (
            "{number} снова открыто",
            "Мы снова открыли обращение {number} и работаем над ним.\n\n"
            "Чтобы что-то добавить, ответьте на это письмо.",
        ),
    },
}


def language_of(*wishes: str) -> str:
    """Return the first language of the wishes that the desk writes; English without one."""
    for wish in wishes:
        if (language := wish[:2].lower()) in _TEXTS:
            return language
    return LANGUAGES[0]


def say(phrase: Phrase, language: str, **facts: object) -> tuple[str, str]:
    """Return subject and text of what the desk writes by itself."""
    subject, text = _TEXTS[language_of(language)][phrase]
    return subject.format(**facts), text.format(**facts)
