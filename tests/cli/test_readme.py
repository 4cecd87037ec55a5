"""The README's command table is the real help."""

from __future__ import annotations

from .command_reference import README, rewritten


def test_the_command_table_is_current() -> None:
    text = README.read_text()
    assert text == rewritten(text), "run `python -m tests.cli.command_reference`"
