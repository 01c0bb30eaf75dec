"""What is mailed about signing in: a link and why it came, in the person's language.

Both go out through the outbox as mail that somebody asked for: what bounds automatic mail does not
hold them back, their own rate does.  The link stands in the mail and nowhere else.
"""

from __future__ import annotations

from typing import Any, Final, Literal

__all__ = ["SIGN_IN_KEY", "MailKind", "mail_about"]

# What the keys of these items of the outbox begin with; what they say is shown to nobody.
SIGN_IN_KEY: Final = "sign-in "

MailKind = Literal["reset", "link"]

# For each kind and language: subject, then the words before the link and after it.
_WORDS: Final[dict[MailKind, dict[str, tuple[str, str, str]]]] = {
    "reset": {
        "en": (
            "Set a new password",
            "Somebody asked to set a new password for your account at {org}. Open this link:",
            "It works once, for one hour. If it was not you, nothing has changed.",
        ),
        "de": (
            "Neues Passwort setzen",
            "Jemand möchte ein neues Passwort für Ihr Konto bei {org} setzen. Öffnen Sie:",
            "Der Link gilt einmal und eine Stunde. Waren Sie es nicht, bleibt alles, wie es ist.",
        ),
        "pt": (
            "Definir uma nova palavra-passe",
            "Alguém pediu uma nova palavra-passe para a sua conta em {org}. Abra esta ligação:",
            "Funciona uma vez, durante uma hora. Se não foi você, nada mudou.",
        ),
        "ro": (
            "Setați o parolă nouă",
            "Cineva a cerut o parolă nouă pentru contul dumneavoastră la {org}. Deschideți:",
            "Funcționează o dată, timp de o oră. Dacă nu ați cerut-o, nimic nu s-a schimbat.",
        ),
        "ru": (
            "Новый пароль",
            "Кто-то попросил задать новый пароль для вашей учётной записи в {org}. Ссылка:",
            "Она действует один раз в течение часа. Если это были не вы, ничего не изменилось.",
        ),
    },
    "link": {
        "en": (
            "Your link to sign in",
            "Open this link to sign in at {org}:",
            "It works once, for 15 minutes. If you did not ask for it, ignore this mail.",
        ),
        "de": (
            "Ihr Link zum Anmelden",
            "Mit diesem Link melden Sie sich bei {org} an:",
            "Er gilt einmal und 15 Minuten. Haben Sie ihn nicht verlangt, ist nichts zu tun.",
        ),
        "pt": (
            "A sua ligação para entrar",
            "Abra esta ligação para entrar em {org}:",
            "Funciona uma vez, durante 15 minutos. Se não a pediu, ignore esta mensagem.",
        ),
        "ro": (
            "Linkul dumneavoastră de conectare",
            "Deschideți acest link pentru a vă conecta la {org}:",
            "Funcționează o dată, timp de 15 minute. Dacă nu l-ați cerut, ignorați mesajul.",
        ),
        "ru": (
            "Ссылка для входа",
            "Откройте эту ссылку, чтобы войти в {org}:",
            "Она действует один раз в течение 15 минут. Если вы её не просили, ничего не делайте.",
        ),
    },
}


def mail_about(kind: MailKind, *, to: str, org: str, link: str, language: str) -> dict[str, Any]:
    """Return the outbox's payload of a mail.

    Args:
        kind: what it is about.
        to: a verified address, or the one that is to be verified.
        org: the organisation's name.
        link: the address to open.
        language: a locale such as `de` or `pt-BR`; English where we do not speak it.
    """
    spoken = language.replace("_", "-").partition("-")[0].lower()
    words = _WORDS[kind]
    chosen = spoken if spoken in words else "en"
    subject, before, after = words[chosen]
    return {
        "to": [to],
        "cc": [],
        "subject": subject,
        "text": f"{before.format(org=org)}\n\n{link}\n\n{after}\n",
        "auto": False,
        "language": chosen,
    }
