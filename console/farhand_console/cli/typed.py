"""What a person types that no screen may show: passwords, codes of second factors, tickets."""

from __future__ import annotations

import sys

import click

__all__ = ["type_secret"]

_MAX_CHARS = 1024


def type_secret(words: str, *, confirm: bool = False, may_be_empty: bool = False) -> str:
    """Ask on the terminal without showing it, or read one line of stdin where there is none.

    Args:
        words: what is asked for.
        confirm: ask twice.
        may_be_empty: whether an empty answer is one.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline(_MAX_CHARS).rstrip("\n")
    return str(
        click.prompt(
            words,
            hide_input=True,
            confirmation_prompt=confirm,
            default="" if may_be_empty else None,
            show_default=False,
            err=True,
        )
    )
