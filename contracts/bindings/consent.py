"""Asking a person before money is spent."""

from __future__ import annotations

import sys

from prover.errors import UsageError


class NotAgreed(UsageError):
    """Nobody agreed to what a command would spend; nothing was sent."""


def ask(sentence: str, yes: bool) -> None:
    """`sentence` says what is about to be spent. Told on standard error, and asked where a person can answer.

    Raises NotAgreed for a no, and without a terminal unless `yes`.
    """
    import typer

    if yes:
        typer.echo(sentence, err=True)
        return
    if not sys.stdin.isatty():
        raise NotAgreed(f"{sentence}; nobody can be asked here: say --yes")
    if not typer.confirm(f"{sentence}; go on?", err=True):
        raise NotAgreed("nothing was sent")
