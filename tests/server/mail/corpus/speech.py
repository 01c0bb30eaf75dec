"""What people write in five languages, and what their mail programs put around it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SPEECH", "Speech"]


class Speech(NamedTuple):
    """One language.

    `labels` are Outlook's From, Sent, To and Subject; `{who}` and `{mail}` are name and address of
    whom is quoted.
    """

    name: str
    subject: str
    text: str
    second: str
    old: str
    signature: str
    charsets: tuple[str, ...]
    gmail: str
    apple: str
    thunderbird: str
    labels: tuple[str, str, str, str]
    sent: str
    original: str
    gmail_forward: str
    apple_forward: str
    thunderbird_forward: str
    phone: str
    answer: str
    forward: str
    away_subject: str
    away: str
    failed_subject: str
    failed: str


SPEECH = {
    "en": Speech(
        name="Anna Baker",
        subject="The printer on the first floor",
        text="Thank you, I tried that.\n\nIt still says: no paper. The red light is on.",
        second="There is paper in tray 2.",
        old="Hello Anna,\nplease open tray 2 and close it again.\nDoes the light go out?",
        signature="Anna Baker\nExample Ltd, room 14\n+44 20 7946 0000",
        charsets=("us-ascii", "windows-1252", "iso-8859-1"),
        gmail="On Sun, Nov 22, 2026 at 10:00 AM {who} <{mail}> wrote:",
        apple="On 22 Nov 2026, at 10:00, {who} <{mail}> wrote:",
        thunderbird="On 11/22/26 10:00 AM, {who} wrote:",
        labels=("From", "Sent", "To", "Subject"),
        sent="Sunday, November 22, 2026 10:00 AM",
        original="Original Message",
        gmail_forward="Forwarded message",
        apple_forward="Begin forwarded message:",
        thunderbird_forward="Forwarded Message",
        phone="Sent from my iPhone",
        answer="RE:",
        forward="FW:",
        away_subject="Automatic reply: The printer",
        away="I am out of the office until Monday.",
        failed_subject="Undeliverable: The printer",
        failed="Your message to {mail} couldn't be delivered.",
    ),
    "pt": Speech(
        name="Ana Gonçalves",
        subject="A impressora do primeiro andar não imprime",
        text="Obrigada, já experimentei.\n\nContinua a dizer «sem papel». A luz está vermelha.",
        second="Há papel na gaveta 2, com certeza.",
        old="Olá Ana,\nabra a gaveta 2 e volte a fechá-la, por favor.\nA luz apaga-se?",
        signature="Ana Gonçalves\nExemplo, Lda.\nLisboa",
        charsets=("windows-1252", "iso-8859-1", "iso-8859-15"),
        gmail="Em dom., 22 de nov. de 2026 às 10:00, {who} <{mail}> escreveu:",
        apple="No dia 22/11/2026, às 10:00, {who} <{mail}> escreveu:",
        thunderbird="Às 10:00 de 22/11/2026, {who} escreveu:",
        labels=("De", "Enviado", "Para", "Assunto"),
        sent="domingo, 22 de novembro de 2026 10:00",
        original="Mensagem original",
        gmail_forward="Mensagem encaminhada",
        apple_forward="Início da mensagem reencaminhada:",
        thunderbird_forward="Mensagem reencaminhada",
        phone="Enviado do meu iPhone",
        answer="RE:",
        forward="ENC:",
        away_subject="Resposta automática: A impressora",
        away="Estou fora do escritório até segunda-feira.",
        failed_subject="Não é possível entregar: mensagem não entregue",
        failed="A sua mensagem para {mail} não foi entregue.",
    ),
    "de": Speech(
        name="Änne Müller",
        subject="Der Drucker im Flur druckt nicht",
        text="Danke, das habe ich versucht.\n\nEr sagt weiter „kein Papier“. Das Licht ist rot.",
        second="In Fach 2 ist Papier, größtenteils.",
        old="Guten Tag,\nbitte öffnen Sie Fach 2 und schließen Sie es wieder.\nGeht das Licht aus?",
        signature="Änne Müller\nBeispiel GmbH\nStraße 1, 12345 Köln",
        charsets=("windows-1252", "iso-8859-1", "iso-8859-15"),
        gmail="Am So., 22. Nov. 2026 um 10:00 Uhr schrieb {who} <{mail}>:",
        apple="Am 22.11.2026 um 10:00 schrieb {who} <{mail}>:",
        thunderbird="Am 22.11.26 um 10:00 schrieb {who}:",
        labels=("Von", "Gesendet", "An", "Betreff"),
        sent="Sonntag, 22. November 2026 10:00",
        original="Ursprüngliche Nachricht",
        gmail_forward="Weitergeleitete Nachricht",
        apple_forward="Anfang der weitergeleiteten Nachricht:",
        thunderbird_forward="Weitergeleitete Nachricht",
        phone="Von meinem iPhone gesendet",
        answer="AW:",
        forward="WG:",
        away_subject="Automatische Antwort: Der Drucker",
        away="Ich bin bis Montag nicht im Büro.",
        failed_subject="Unzustellbar: Der Drucker",
        failed="Ihre Nachricht an {mail} konnte nicht zugestellt werden.",
    ),
    "ro": Speech(
        name="Ana Țăranu",
        subject="Imprimanta de la etajul întâi nu tipărește",
        text="Mulțumesc, am încercat.\n\nSpune în continuare „fără hârtie”. Lumina este roșie.",
        second="În sertarul 2 este hârtie, așa scrie.",
        old="Bună ziua, Ana,\nvă rog să deschideți sertarul 2.\nSe stinge lumina?",
        signature="Ana Țăranu\nExemplu SRL\nBucurești",
        charsets=("iso-8859-16",),
        gmail="În dum., 22 nov. 2026 la 10:00, {who} <{mail}> a scris:",
        apple="Pe 22 nov. 2026, la 10:00, {who} <{mail}> a scris:",
        thunderbird="Pe 22.11.2026 10:00, {who} a scris:",
        labels=("De la", "Trimis", "Către", "Subiect"),
        sent="duminică, 22 noiembrie 2026 10:00",
        original="Mesaj original",
        gmail_forward="Mesaj redirecționat",
        apple_forward="Începutul mesajului redirecționat:",
        thunderbird_forward="Mesaj redirecționat",
        phone="Trimis de pe iPhone-ul meu",
        answer="RE:",
        forward="FW:",
        away_subject="Răspuns automat: Imprimanta",
        away="Nu sunt la birou până luni.",
        failed_subject="Mesaj nelivrat: Imprimanta",
        failed="Mesajul către {mail} nu a putut fi livrat.",
    ),
    "ru": Speech(
        name="Анна Щукина",
        subject="Принтер на первом этаже не печатает",
        text="Спасибо, я попробовала.\n\nВсё равно пишет «нет бумаги». Лампочка красная.",
        second="В лотке 2 бумага есть, я проверила.",
        old="Здравствуйте, Анна!\nОткройте лоток 2 и закройте его снова.\nЛампочка гаснет?",
        signature="Анна Щукина\nООО «Пример»\nМосква",
        charsets=("windows-1251", "koi8-r"),
        gmail="вс, 22 нояб. 2026 г. в 10:00, {who} <{mail}>:",
        apple="22 нояб. 2026 г., в 10:00, {who} <{mail}> написал(а):",
        thunderbird="22.11.2026 10:00, {who} пишет:",
        labels=("От", "Отправлено", "Кому", "Тема"),
        sent="22 ноября 2026 г. 10:00",
        original="Исходное сообщение",
        gmail_forward="Пересылаемое сообщение",
        apple_forward="Начало переадресованного сообщения:",
        thunderbird_forward="Пересланное сообщение",
        phone="Отправлено с iPhone",
        answer="RE:",
        forward="FW:",
        away_subject="Автоматический ответ: Принтер",
        away="Меня не будет в офисе до понедельника.",
        failed_subject="Сообщение не доставлено: Принтер",
        failed="Ваше сообщение для {mail} не удалось доставить.",
    ),
}
