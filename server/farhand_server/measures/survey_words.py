"""The mail that asks how content somebody is, in the five languages."""

from __future__ import annotations

from typing import Final

__all__ = ["survey_mail"]

_WORDS: Final = {
    "en": (
        "How was it? {number}",
        "We have resolved your request {number} ({title}).\n\n"
        "How content are you, from 1 (not at all) to 5 (very)? It takes one click on this page:\n\n"
        "{link}\n\n"
        "The page works for {days} days. If it is not solved, simply answer this mail.",
    ),
    "pt": (
        "Como correu? {number}",
        "Resolvemos o seu pedido {number} ({title}).\n\n"
        "Qual é a sua satisfação, de 1 (nenhuma) a 5 (muita)? Basta um clique nesta página:\n\n"
        "{link}\n\n"
        "A página funciona durante {days} dias. Se não estiver resolvido, responda a este e-mail.",
    ),
    "de": (
        "Wie war es? {number}",
        "Wir haben Ihre Anfrage {number} ({title}) gelöst.\n\n"
        "Wie zufrieden sind Sie, von 1 (gar nicht) bis 5 (sehr)? Ein Klick auf dieser Seite"
        " genügt:\n\n"
        "{link}\n\n"
        "Die Seite gilt {days} Tage. Ist es nicht gelöst, antworten Sie einfach auf diese Mail.",
    ),
    "ro": (
        "Cum a fost? {number}",
        "Am rezolvat cererea dumneavoastră {number} ({title}).\n\n"
        "Cât de mulțumit sunteți, de la 1 (deloc) la 5 (foarte)? E nevoie de un singur clic pe"
        " această pagină:\n\n"
        "{link}\n\n"
        "Pagina este valabilă {days} de zile. Dacă nu este rezolvată, răspundeți la acest e-mail.",
    ),
    "ru": (
        "Как всё прошло? {number}",
        "Мы решили вашу заявку {number} ({title}).\n\n"
        "Насколько вы довольны, от 1 (совсем нет) до 5 (очень)? Достаточно одного нажатия на этой"
        " странице:\n\n"
        "{link}\n\n"
        "Страница действует {days} дней. Если вопрос не решён, просто ответьте на это письмо.",
    ),
}


def survey_mail(language: str, *, number: str, title: str, link: str, days: int) -> tuple[str, str]:
    """Return the subject and the words of the mail; an unknown language is answered in English."""
    subject, text = _WORDS.get(language, _WORDS["en"])
    named = {"number": number, "title": title, "link": link, "days": days}
    return subject.format(**named), text.format(**named)
