"""The message to a requester when a bug is fixed: a draft in her language, for a person to send."""

from __future__ import annotations

from typing import Final

__all__ = ["draft"]

# {title}, and in the second form {version}.
_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "en": (
        "What you reported ({title}) has been fixed. Please tell us whether it works for you now.",
        "What you reported ({title}) has been fixed in {version}. Please tell us whether it works"
        " for you once you have that version.",
    ),
    "pt": (
        "O que nos comunicou ({title}) foi corrigido. Diga-nos, por favor, se agora funciona.",
        "O que nos comunicou ({title}) foi corrigido na versão {version}. Diga-nos, por favor, se"
        " funciona quando a tiver.",
    ),
    "de": (
        "Was Sie gemeldet haben ({title}), ist behoben. Bitte sagen Sie uns, ob es jetzt geht.",
        "Was Sie gemeldet haben ({title}), ist in {version} behoben. Bitte sagen Sie uns, ob es"
        " damit geht.",
    ),
    "ro": (
        "Problema raportată ({title}) a fost rezolvată. Vă rugăm să ne spuneți dacă funcționează.",
        "Problema raportată ({title}) a fost rezolvată în {version}. Vă rugăm să ne spuneți dacă"
        " funcționează cu această versiune.",
    ),
    "ru": (
        "То, о чём вы сообщили ({title}), исправлено. Напишите, пожалуйста, работает ли теперь.",
        "То, о чём вы сообщили ({title}), исправлено в {version}. Напишите, пожалуйста, работает"
        " ли всё с этой версией.",
    ),
}


def draft(language: str, *, title: str, version: str) -> str:
    """Return the draft.

    Args:
        language: a tag; English where it is none of ours.
        title: the ticket's own, which its requester knows.
        version: in which it is fixed; may be empty.
    """
    plain, versioned = _TEXTS.get(language.partition("-")[0].lower(), _TEXTS["en"])
    # Not `format`: a title may hold braces.
    return (versioned if version else plain).replace("{version}", version).replace("{title}", title)
