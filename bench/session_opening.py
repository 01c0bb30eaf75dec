"""How long a session takes to open, by code and by a grant alone: from the command to its answer.

The baseline is another command of the console that asks the relay one thing: most of the time is
the start of a program.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.report import Figure
from bench.session_stage import Opened, open_session

__all__ = ["run"]


def _took_ms(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = work()
    return (time.perf_counter() - start) * 1000, answer


def _by_code(opened: Opened) -> float:
    helper = opened.agent.code("--yes")
    code = helper.next_json()["code"]
    took, answer = _took_ms(lambda: opened.console.json("session", "open", "--code", code))
    opened.console.json("session", "end", answer["session"])
    helper.end()
    return took


def _by_grant(opened: Opened) -> float:
    words = ("session", "open", "--device", opened.agent.device)
    took, answer = _took_ms(lambda: opened.console.json(*words))
    opened.console.json("session", "end", answer["session"])
    return took


def run(*, quick: bool) -> list[Figure]:
    """Open sessions in turns; medians."""
    rounds = 2 if quick else 7
    plain: list[float] = []
    by_code: list[float] = []
    by_grant: list[float] = []
    with open_session(policy=("--unattended", "--consent", "notify")) as opened:
        opened.console.json("session", "end", opened.session)
        for _ in range(rounds):
            plain.append(_took_ms(lambda: opened.console.json("ticket", "list"))[0])
            by_code.append(_by_code(opened))
            by_grant.append(_by_grant(opened))
    command = statistics.median(plain)
    name = "farhand ticket list"
    return [
        Figure("session open by code, with --yes", statistics.median(by_code), "ms", name, command),
        Figure("session open by grant", statistics.median(by_grant), "ms", name, command),
    ]
