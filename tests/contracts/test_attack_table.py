"""The tables of attacks, deadlines and invariants in contracts/README.md and the tests agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "contracts" / "README.md").read_text(encoding="utf-8")
_SOLIDITY = re.compile(r"^\s*function ((?:test|invariant)\w*)\(", re.MULTILINE)
_PYTHON = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


def _names(pattern: re.Pattern[str], folder: str, suffix: str) -> set[str]:
    return {
        name
        for path in (ROOT / folder).rglob(f"*{suffix}")
        for name in pattern.findall(path.read_text(encoding="utf-8"))
    }


SOLIDITY_TESTS = _names(_SOLIDITY, "contracts/test", ".sol")
TESTS = SOLIDITY_TESTS | _names(_PYTHON, "tests", ".py")


def _section(title: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    text = README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _named(row: list[str]) -> list[str]:
    return re.findall(r"`((?:test|invariant)_\w+\*?)`", row[-1])


@pytest.mark.parametrize("title", ["Attacks and their tests", "Deadlines"])
def test_every_row_names_tests_that_exist(title: str) -> None:
    rows = _section(title)
    assert len(rows) >= 8
    for row in rows:
        assert _named(row), row
        for name in _named(row):
            found = any(test.startswith(name[:-1]) for test in TESTS) if name.endswith("*") else name in TESTS
            assert found, f"{row[0]}: there is no {name}"


def test_every_attack_test_is_in_the_table() -> None:
    named = {name for row in _section("Attacks and their tests") for name in _named(row)}
    attacks = {name for name in SOLIDITY_TESTS if name.startswith("test_attack_")}
    assert len(attacks) > 50
    assert attacks <= named, sorted(attacks - named)


def test_every_deadline_test_is_in_the_table() -> None:
    named = {name for row in _section("Deadlines") for name in _named(row)}
    assert named == {name for name in SOLIDITY_TESTS if name.startswith("test_deadline_of_")}


def test_every_invariant_of_the_random_actors_is_in_the_table() -> None:
    rows = _section("Honest and malicious actors at random")
    source = (ROOT / "contracts" / "test" / "adversarial" / "Adversarial.t.sol").read_text(encoding="utf-8")
    assert {row[0].strip("`") for row in rows} == {
        name for name in _SOLIDITY.findall(source) if name.startswith("invariant_")
    }
