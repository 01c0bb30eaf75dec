"""Documents: numbers as each language writes them, and texts that stay texts."""

from __future__ import annotations

import csv
import io

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.contracts.documents import (
    Amount,
    Day,
    Document,
    Duration,
    Section,
    Share,
    as_csv,
    as_html,
    as_text,
)
from farhand_server.contracts.formats import (
    format_day,
    format_duration,
    format_money,
    format_month,
)
from farhand_server.contracts.ledger import Balance
from farhand_server.contracts.months import check_month, month_before, month_bounds, month_of
from farhand_server.contracts.statement_document import statement_document
from farhand_server.contracts.statements import Statement, StatementLine

HOSTILE = "<script>alert(1)</script>\x1b[2J"
DOCUMENT = Document(
    title=f"Work {HOSTILE}",
    subtitle="&",
    language="de",
    sections=[
        Section(
            "Zeit",
            ("Ticket", "Zeit", "Betrag", "Tag", "Anteil"),
            [
                ("FH-1", Duration(1500), Amount(123456, "EUR"), Day("2026-11-22"), Share(0.5)),
                ("=cmd|'/c calc'!A1", Duration(90), Amount(-5, "EUR"), None, Share(1 / 3)),
            ],
        ),
        Section("Summe", ("", ""), [(HOSTILE, 12_345)]),
    ],
)


@pytest.mark.parametrize(
    ("language", "money", "day", "month", "duration"),
    [
        ("en", "1,234.50\u00a0EUR", "22 Nov 2026", "November 2026", "1\u00a0h 5\u00a0min"),
        ("pt", "1\u00a0234,50\u00a0EUR", "22/11/2026", "novembro de 2026", "1\u00a0h 5\u00a0min"),
        ("de", "1.234,50\u00a0EUR", "22.11.2026", "November 2026", "1\u00a0Std. 5\u00a0Min."),
        ("ro", "1.234,50\u00a0EUR", "22.11.2026", "noiembrie 2026", "1\u00a0h 5\u00a0min"),
        ("ru", "1\u00a0234,50\u00a0EUR", "22.11.2026", "ноябрь 2026", "1\u00a0ч 5\u00a0мин"),
        ("xx", "1,234.50\u00a0EUR", "22 Nov 2026", "November 2026", "1\u00a0h 5\u00a0min"),
    ],
)
def test_each_language_writes_in_its_own_way(
    language: str, money: str, day: str, month: str, duration: str
) -> None:
    assert format_money(123450, "EUR", language) == money
    assert format_day("2026-11-22", language) == day
    assert format_month("2026-11", language) == month
    assert format_duration(3900, language) == duration


def test_money_is_exact_and_knows_its_minor_units() -> None:
    assert format_money(-5, "EUR", "en") == "-0.05\u00a0EUR"
    assert format_money(1234567, "JPY", "en") == "1,234,567\u00a0JPY"
    assert format_money(1234, "KWD", "en") == "1.234\u00a0KWD"
    assert format_duration(-1500, "en") == "-25\u00a0min"
    assert format_duration(20, "en") == "20\u00a0s"
    assert format_duration(0, "en") == "0\u00a0min"


def test_an_instant_is_the_day_of_its_zone() -> None:
    assert format_day("2026-11-30T23:30:00.000000Z", "de", "Europe/Berlin") == "01.12.2026"


def test_html_runs_nothing_and_writes_as_people_do() -> None:
    page = as_html(DOCUMENT)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "25\u00a0Min." in page
    assert "1.234,56\u00a0EUR" in page
    assert "50,0\u00a0%" in page
    assert '<html lang="de">' in page
    assert "http" not in page


def test_csv_is_for_programs_and_no_cell_is_a_formula() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(DOCUMENT))))
    assert rows[0] == ["Zeit"]
    assert rows[2] == ["FH-1", "25", "1234.56", "2026-11-22", "0.5000"]
    assert rows[3] == ["'=cmd|'/c calc'!A1", "1.5", "-0.05", "", "0.3333"]
    assert rows[4] == []
    assert rows[7][1] == "12345"
    only = as_csv(DOCUMENT._replace(sections=DOCUMENT.sections[:1]))
    assert only.startswith("Ticket,")
    assert "Summe" in as_text(DOCUMENT)


def test_months_begin_where_the_zone_says() -> None:
    begin, end = month_bounds("2026-10", "Europe/Lisbon")
    assert begin.isoformat() == "2026-09-30T23:00:00+00:00"
    assert end.isoformat() == "2026-11-01T00:00:00+00:00"
    assert month_of(begin, "Europe/Lisbon") == "2026-10"
    assert month_before("2026-01") == "2025-12"
    assert month_bounds("2026-12", "UTC")[1].year == 2027
    for wrong in ("2026-13", "26-01", "2026-1", "2026-01\n", "9999-01"):
        with pytest.raises(FarhandError):
            check_month(wrong)


def test_a_statement_has_the_same_sums_in_every_form() -> None:
    line = StatementLine(
        entry="e", ticket="FH-1", title="slow", account="ann", started_at="2026-11-22T12:00:00Z",
        ended_at="2026-11-22T12:25:00Z", activity="repair", note="=1+1", active_s=1500,
        billed_s=1800, debited_s=600, charged_s=1200, rate_minor=9000, amount_minor=3000,
        reverses=None, late=False,
    )  # fmt: skip
    balance = Balance(
        period_from="2026-11-01", period_to="2026-12-01", available_s=36_000, used_s=600,
        balance_s=35_400, percent=1,
    )  # fmt: skip
    statement = Statement(
        id="w-1", contract="gold", title="Gold", kind="block", organisation=None, month="2026-11",
        zone="UTC", currency="EUR", fee_minor=4950, active_s=1500, billed_s=1800, debited_s=600,
        charged_s=1200, amount_minor=3000, made_at=None, balance=balance, lines=[line],
    )  # fmt: skip
    document = statement_document(statement, "en")
    rows = list(csv.reader(io.StringIO(as_csv(document))))
    sums = {row[0]: row[1] for row in rows[rows.index(["Sums"]) + 2 :]}
    assert sums == {
        "Worked": "25",
        "Billed": "30",
        "From the balance": "10",
        "At the rate": "20",
        "Amount": "30.00",
        "Fee": "49.50",
        "Balance at the end": "590",
    }
    (work,) = rows[2 : rows.index([])]
    assert work[4:] == ["repair; =1+1", "25", "30", "10", "20", "30.00"]
    page = as_html(document)
    for shown in ("25\u00a0min", "30.00\u00a0EUR", "49.50\u00a0EUR", "9\u00a0h 50\u00a0min"):
        assert shown in page
