"""What the relay itself says to people who wait in a chat, in their language."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["nobody_there"]


class _Words(NamedTuple):
    """With an address to answer to, `{address}`, and without."""

    by_mail: str
    without: str


_NOBODY: Final = {
    "en": _Words(
        "Nobody can answer just now. You need not wait: the answer comes to {address}.",
        "Nobody can answer just now. Your request is kept; come back here for the answer.",
    ),
    "pt": _Words(
        "Neste momento ninguém pode responder. Não precisa de esperar: a resposta será enviada "
        "para {address}.",
        "Neste momento ninguém pode responder. O seu pedido fica registado; volte aqui para ver "
        "a resposta.",
    ),
    "de": _Words(
        "Gerade kann niemand antworten. Sie müssen nicht warten: Die Antwort kommt an {address}.",
        "Gerade kann niemand antworten. Ihre Anfrage bleibt erhalten; die Antwort finden Sie "
        "später hier.",
    ),
    "ro": _Words(
        "Acum nu poate răspunde nimeni. Nu trebuie să așteptați: răspunsul va veni la {address}.",
        "Acum nu poate răspunde nimeni. Solicitarea dumneavoastră este păstrată; reveniți aici "
        "pentru răspuns.",
    ),
    "ru": _Words(
        "Сейчас никто не может ответить. Ждать не нужно: ответ придёт на {address}.",
        "Сейчас никто не может ответить. Ваш запрос сохранён; ответ появится здесь.",
    ),
}


def nobody_there(language: str, address: str | None) -> str:
    """Return what is said when nobody at the desk answers in time; English for other languages."""
    words = _NOBODY.get(language, _NOBODY["en"])
    return words.by_mail.format(address=address) if address else words.without
