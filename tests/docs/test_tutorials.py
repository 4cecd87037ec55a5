"""Tutorials do what they say: all their blocks run, and print what stands below them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import gainsay

from .pages import ROOT
from .tutorials import TUTORIALS, Block, blocks, commands, run, script

_PAGES = [*TUTORIALS, ROOT / "docs" / "operators.md"]


@pytest.mark.long
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_reader_can_follow(page: Path, tmp_path: Path) -> None:
    run(page, tmp_path, seconds=1200)


def test_every_block_is_shell() -> None:
    for page in TUTORIALS:
        checked = subprocess.run(
            ["bash", "-n"], input=script(blocks(page.read_text())), text=True, capture_output=True
        )
        assert checked.returncode == 0, f"{page.name}: {checked.stderr}"


def test_every_command_and_option_exists() -> None:
    calls = [(page.name, call) for page in _PAGES for call in commands(page.read_text())]
    assert len(calls) > 40
    for name, call in calls:
        if (problem := _problem(call)) is not None:
            pytest.fail(f"{name}: gainsay {' '.join(call)}: {problem}")


def _problem(call: list[str]) -> str | None:
    command, words = gainsay.load(call[0]), call[1:]
    if (children := getattr(command, "commands", None)) is not None:
        if not words or words[0] not in children:
            return f"no such command of {call[0]}"
        command, words = children[words[0]], words[1:]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else None


def test_a_missing_line_would_show() -> None:
    block = Block("", ("one …", "two", "… four"))
    assert block.missing("one thing\nand two\nthree four\n") is None
    assert block.missing("two\none thing\nthree four\n") == "two"
