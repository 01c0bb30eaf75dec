"""The words of reports, in the five languages."""

from __future__ import annotations

from typing import Final

__all__ = ["words_of"]

_NAMES: Final = (
    "report", "figures", "created", "resolved", "backlog", "reopened", "reopen_rate", "first",
    "next", "resolution", "mean", "median", "p90", "count", "business", "wall", "asked", "answered",
    "satisfied", "score", "downtime", "worked", "billed", "what", "value", "by_priority",
    "by_queue", "name", "tickets", "ticket", "title", "kind", "priority", "state", "open", "done",
    "time", "day", "who", "activity", "note", "contract", "contracts", "debited", "charged",
    "amount", "fee", "balance", "satisfaction", "comment", "complaints", "how_long", "attached",
)  # fmt: skip

_WORDS: Final = {
    "en": (
        "Report", "Figures", "Requests that came", "Resolved", "Open at the end", "Came back",
        "Share that came back", "First answer", "Later answers", "Until solved", "Mean", "Median",
        "9 of 10 within", "Count", "in hours of service", "by the clock", "Asked how it was",
        "Answered", "Satisfied (4 or 5)", "Mean score", "Downtime", "Worked", "Billed", "What",
        "Value", "By priority", "By queue", "Name", "Requests", "Request", "About", "Kind",
        "Priority", "State", "open", "done", "Time", "Day", "Who", "Activity", "Note", "Contract",
        "Contracts", "From the balance", "At the rate", "Amount", "Fee", "Balance at the end",
        "Satisfaction", "Comment", "Complaints", "How long it took",
        "This is the report for {month}.",
    ),
    "pt": (
        "Relatório", "Números", "Pedidos recebidos", "Resolvidos", "Abertos no fim", "Reabertos",
        "Taxa de reabertura", "Primeira resposta", "Respostas seguintes", "Até à solução", "Média",
        "Mediana", "9 em 10 dentro de", "Quantidade", "em horas de serviço", "em tempo corrido",
        "Inquéritos enviados", "Respondidos", "Satisfeitos (4 ou 5)", "Nota média",
        "Indisponibilidade", "Trabalhado", "Faturado", "O quê", "Valor", "Por prioridade",
        "Por fila", "Nome", "Pedidos", "Pedido", "Assunto", "Tipo", "Prioridade", "Estado",
        "aberto", "concluído", "Tempo", "Dia", "Quem", "Atividade", "Nota", "Contrato",
        "Contratos", "Do saldo", "À tarifa", "Montante", "Mensalidade", "Saldo final",
        "Satisfação", "Comentário", "Reclamações", "Quanto demorou",
        "Este é o relatório de {month}.",
    ),
    "de": (
        "Bericht", "Zahlen", "Eingegangene Anfragen", "Gelöst", "Am Ende offen", "Wieder geöffnet",
        "Anteil wieder geöffneter", "Erste Antwort", "Weitere Antworten", "Bis zur Lösung",
        "Mittelwert", "Median", "9 von 10 innerhalb von", "Anzahl", "in Servicezeit",
        "nach der Uhr", "Befragt", "Geantwortet", "Zufrieden (4 oder 5)", "Mittlere Note",
        "Ausfallzeit", "Gearbeitet", "Berechnet", "Was", "Wert", "Nach Priorität",
        "Nach Warteschlange", "Name", "Anfragen", "Anfrage", "Worum es geht", "Art", "Priorität",
        "Stand", "offen", "erledigt", "Zeit", "Tag", "Wer", "Tätigkeit", "Notiz", "Vertrag",
        "Verträge", "Vom Guthaben", "Zum Stundensatz", "Betrag", "Grundgebühr", "Guthaben am Ende",
        "Zufriedenheit", "Kommentar", "Beschwerden", "Wie lange es dauerte",
        "Dies ist der Bericht für {month}.",
    ),
    "ro": (
        "Raport", "Cifre", "Cereri primite", "Rezolvate", "Deschise la sfârșit", "Redeschise",
        "Rata redeschiderilor", "Primul răspuns", "Răspunsuri următoare", "Până la rezolvare",
        "Media", "Mediana", "9 din 10 în", "Număr", "în orele de serviciu", "după ceas",
        "Chestionare trimise", "Răspunsuri", "Mulțumiți (4 sau 5)", "Nota medie",
        "Indisponibilitate", "Lucrat", "Facturat", "Ce", "Valoare", "După prioritate", "După coadă",
        "Nume", "Cereri", "Cerere", "Despre", "Tip", "Prioritate", "Stare", "deschisă", "încheiată",
        "Timp", "Zi", "Cine", "Activitate", "Notă", "Contract", "Contracte", "Din sold", "La tarif",
        "Sumă", "Abonament", "Sold final", "Satisfacție", "Comentariu", "Reclamații",
        "Cât a durat", "Acesta este raportul pentru {month}.",
    ),
    "ru": (
        "Отчёт", "Показатели", "Поступило заявок", "Решено", "Открыто на конец", "Открыто повторно",
        "Доля повторных", "Первый ответ", "Следующие ответы", "До решения", "Среднее", "Медиана",
        "9 из 10 за", "Количество", "в рабочие часы", "по часам", "Опрошено", "Ответили",
        "Довольны (4 или 5)", "Средняя оценка", "Простой", "Отработано", "Засчитано", "Что",
        "Значение", "По приоритету", "По очереди", "Название", "Заявки", "Заявка", "О чём", "Вид",
        "Приоритет", "Состояние", "открыта", "решена", "Время", "День", "Кто", "Работа", "Заметка",
        "Договор", "Договоры", "Из остатка", "По ставке", "Сумма", "Абонентская плата",
        "Остаток на конец", "Удовлетворённость", "Комментарий", "Жалобы", "Сколько это заняло",
        "Это отчёт за {month}.",
    ),
}  # fmt: skip


def words_of(language: str) -> dict[str, str]:
    """Return the words by their names; an unknown language is written in English."""
    return dict(zip(_NAMES, _WORDS.get(language, _WORDS["en"]), strict=True))
