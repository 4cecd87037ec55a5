"""The command table of docs/reference.md is the real help."""

from __future__ import annotations

from .command_reference import PAGE, rewritten


def test_the_command_table_is_current() -> None:
    text = PAGE.read_text()
    assert text == rewritten(text), "run `python -m tests.cli.command_reference`"
