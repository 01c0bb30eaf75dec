"""A statement as a document, in the words of the five languages."""

from __future__ import annotations

from typing import Final

from farhand_server.contracts.documents import Amount, Day, Document, Duration, Section
from farhand_server.contracts.formats import format_month
from farhand_server.contracts.statements import Statement

__all__ = ["statement_document"]

_WORDS: Final = {
    "en": (
        "Statement", "Draft", "Work", "Sums", "Date", "Ticket", "About", "Who", "What", "Worked",
        "Billed", "From the balance", "At the rate", "Amount", "Fee", "Balance at the end", "late",
        "taken back",
    ),
    "pt": (
        "Extrato", "Rascunho", "Trabalho", "Totais", "Data", "Pedido", "Assunto", "Quem", "O quê",
        "Trabalhado", "Faturado", "Do saldo", "À tarifa", "Montante", "Mensalidade", "Saldo final",
        "tardio", "anulado",
    ),
    "de": (
        "Abrechnung", "Entwurf", "Arbeit", "Summen", "Datum", "Ticket", "Worum es geht", "Wer",
        "Was", "Gearbeitet", "Berechnet", "Vom Guthaben", "Zum Stundensatz", "Betrag",
        "Grundgebühr", "Guthaben am Ende", "nachgetragen", "zurückgenommen",
    ),
    "ro": (
        "Situație", "Ciornă", "Lucru", "Totaluri", "Data", "Cerere", "Despre", "Cine", "Ce",
        "Lucrat", "Facturat", "Din sold", "La tarif", "Sumă", "Abonament", "Sold final",
        "întârziat", "anulat",
    ),
    "ru": (
        "Ведомость", "Черновик", "Работы", "Итоги", "Дата", "Заявка", "О чём", "Кто", "Что",
        "Отработано", "Засчитано", "Из остатка", "По ставке", "Сумма", "Абонентская плата",
        "Остаток на конец", "внесено позже", "отменено",
    ),
}  # fmt: skip
_NAMES: Final = (
    "statement", "draft", "work", "sums", "date", "ticket", "about", "who", "what", "worked",
    "billed", "debited", "charged", "amount", "fee", "balance", "late", "reversed",
)  # fmt: skip


def statement_document(statement: Statement, language: str) -> Document:
    """Return a statement to be written: its lines, then its sums with the fee."""
    w = dict(zip(_NAMES, _WORDS.get(language, _WORDS["en"]), strict=True))
    shown = [
        (
            Day(line.ended_at, statement.zone),
            line.ticket,
            line.title,
            line.account,
            _what(line.activity, line.note, w["late"] if line.late else "",
                  w["reversed"] if line.reverses else ""),
            Duration(line.active_s),
            Duration(line.billed_s),
            Duration(line.debited_s),
            Duration(line.charged_s),
            Amount(line.amount_minor, statement.currency),
        )
        for line in statement.lines
    ]  # fmt: skip
    columns = [w[name] for name in ("date", "ticket", "about", "who", "what")]
    columns += [w[name] for name in ("worked", "billed", "debited", "charged", "amount")]
    sections = [Section(w["work"], columns, shown)]
    sums: list[tuple[str, Duration | Amount]] = [
        (w["worked"], Duration(statement.active_s)),
        (w["billed"], Duration(statement.billed_s)),
        (w["debited"], Duration(statement.debited_s)),
        (w["charged"], Duration(statement.charged_s)),
        (w["amount"], Amount(statement.amount_minor, statement.currency)),
    ]
    if statement.fee_minor:
        sums.append((w["fee"], Amount(statement.fee_minor, statement.currency)))
    if statement.balance is not None:
        sums.append((w["balance"], Duration(statement.balance.balance_s)))
    sections.append(Section(w["sums"], ("", ""), sums))
    draft = "" if statement.id else f"{w['draft']}: "
    return Document(
        title=f"{draft}{w['statement']} {format_month(statement.month, language)}",
        subtitle=" \u00b7 ".join(filter(None, (statement.title, statement.contract, statement.id))),
        language=language,
        sections=sections,
    )


def _what(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
