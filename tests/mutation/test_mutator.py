"""The mutator makes every kind of small change, each once, and its runs tell a weak test from a strong one."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from .__main__ import _chosen
from .explanations import load, stale
from .generator_mutator import generator_mutants
from .mutants import Mutant
from .python_mutator import python_mutants
from .report import page
from .run import ForgeRunner, Outcome, PytestRunner, checked_baseline
from .scratch import ROOT, scratch_copy
from .solidity_mutator import solidity_mutants
from .targets import TARGETS

PYTHON = '''\
"""Numbers such as 7 in a text stay."""
LIMIT = 16


def check(x: int, seen: list[int]) -> bool:
    if not x < LIMIT or x in seen:
        raise ValueError(f"{x} is not below {LIMIT + 1}")
    check_other(x)
    return x + 1 == 2


class Statement:
    def header(self, transcript):
        words = [self.key, *self.inputs]
        return transcript.challenge("label", words, 3)
'''
PYTHON_CHANGES = {
    ("<module>", "16 becomes 17"),
    ("<module>", "16 becomes 15"),
    ("check", "not is dropped"),
    ("check", "< becomes <="),
    ("check", "or becomes and"),
    ("check", "in becomes not in"),
    ("check", "raise does nothing"),
    ("check", "check_other(...) is not called"),
    ("check", "+ becomes -"),
    ("check", "1 becomes 2"),
    ("check", "1 becomes 0"),
    ("check", "== becomes !="),
    ("check", "2 becomes 3"),
    ("check", "2 becomes 1"),
    ("Statement.header", "without self.key"),
    ("Statement.header", "without *self.inputs"),
    ("Statement.header", "absorbs nothing"),
    ("Statement.header", "3 becomes 4"),
    ("Statement.header", "3 becomes 2"),
}
SOLIDITY = """\
contract Game {
    event Moved(uint256 by); // 5 stays
    function move(uint256 by) external onlyOwner {
        require(by <= 8 && open, "8 stays");
        total += by;
        if (!open) return;
        emit Moved(by + 1);
        assembly {
            if iszero(lt(by, 3)) { revert(0, 0) }
            mstore(0x20, sub(by, total))
        }
    }
}
"""
SOLIDITY_CHANGES = {
    "<= becomes <",
    "8 becomes 9",
    "8 becomes 7",
    "&& becomes ||",
    'without require(by <= 8 && open, "8 stays");',
    "+= becomes -=",
    "without total += by;",
    "! is dropped",
    "without if (!open) return;",
    "without onlyOwner",
    "iszero is negated",
    "lt becomes gt",
    "3 becomes 4",
    "3 becomes 2",
    "0 becomes 1",
    "without if iszero(lt(by, 3)) { revert(0, 0) }",
    "0x20 becomes 0x21",
    "0x20 becomes 0x1f",
    "operands of sub exchanged",
    "without mstore(0x20, sub(by, total))",
}
GENERATOR = """\
def emit(lines, count):
    lines.append(f"mstore(PLACE, add({count}, 2))")
    lines.append(f"// no code")
"""
GENERATOR_CHANGES = {
    "add becomes sub",
    "2 becomes 3",
    "2 becomes 1",
    'without lines.append(f"mstore(PLACE, add({count}, 2))")',
}


@cache
def mutants_of(target: str) -> list[Mutant]:
    return TARGETS[target].mutants(ROOT)


def test_python_code_is_changed_in_every_way_but_not_its_texts() -> None:
    assert {(m.function, m.change) for m in python_mutants("x.py", PYTHON)} == PYTHON_CHANGES


def test_solidity_and_yul_are_changed_in_every_way_but_not_comments_strings_and_events() -> None:
    assert {m.change for m in solidity_mutants("x.sol", SOLIDITY)} == SOLIDITY_CHANGES


def test_yul_inside_the_generators_strings_is_changed() -> None:
    assert {m.change for m in generator_mutants("x.py", GENERATOR)} == GENERATOR_CHANGES


@pytest.mark.parametrize("name", TARGETS)
def test_every_mutant_is_one_change_with_a_name_of_its_own(name: str) -> None:
    mutants = mutants_of(name)
    assert max(Counter(mutant.identity for mutant in mutants).values()) == 1
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in {m.path for m in mutants}}
    results = set()
    for mutant in mutants:
        text = texts[mutant.path]
        changed = mutant.apply(text)
        assert changed != text
        assert changed.startswith(text[: mutant.start])
        assert changed.endswith(text[mutant.end :])
        assert changed.count("\n") == text.count("\n")
        results.add((mutant.path, changed))
    assert len(results) >= 0.99 * len(mutants)  # an exchange may be what another rule does as well


@pytest.mark.parametrize("name", ["python-verifier", "relations", "solidity-verifier"])
def test_mutated_python_parses(name: str) -> None:
    mutants = [mutant for mutant in mutants_of(name) if mutant.path.endswith(".py")]
    assert mutants
    for mutant in mutants[::9]:
        ast.parse(mutant.apply((ROOT / mutant.path).read_text(encoding="utf-8")))


def test_names_stay_when_other_lines_move() -> None:
    for make, path, text, more in (
        (python_mutants, "x.py", PYTHON, "import json\n\n"),
        (solidity_mutants, "x.sol", SOLIDITY, "// A comment.\n"),
    ):
        before = [mutant.identity for mutant in make(path, text)]
        assert [mutant.identity for mutant in make(path, more + text)] == before
    line = "    return x + 1 == 2\n"
    elsewhere = python_mutants("x.py", PYTHON.replace(line, line.replace("1", "5")))
    kept = {m.identity for m in python_mutants("x.py", PYTHON)} & {m.identity for m in elsewhere}
    changed = {c for f, c in PYTHON_CHANGES if f == "check" and c[0] in "12=+"}
    assert len(kept) == len(PYTHON_CHANGES) - len(changed)


def test_every_explanation_is_of_a_mutant_that_there_is() -> None:
    assert stale(load(), [mutant for name in TARGETS for mutant in mutants_of(name)]) == []


def test_a_changed_line_makes_its_explanation_stale(tmp_path: Path) -> None:
    file = tmp_path / "explanations.toml"
    file.write_text(
        '[[explanation]]\ntitle = "t"\nverdict = "equivalent"\nwhy = "w"\n'
        'mutants = [["x.py", "check", "return x + 1 == 2", "+ becomes -"]]\n'
    )
    explained = load(file)
    assert stale(explained, python_mutants("x.py", PYTHON)) == []
    assert stale(explained, python_mutants("x.py", PYTHON.replace("x + 1", "1 + x"))) == list(explained)


def test_the_page_lists_what_survived_with_its_reason() -> None:
    mutants = mutants_of("python-verifier")[:3]
    outcomes = {
        mutant.identity: {**mutant.facts(), **Outcome(outcome, "", 1.0).facts()}
        for mutant, outcome in zip(mutants, ("caught", "survived", "invalid"), strict=True)
    }
    text = page({"python-verifier": {"made": 9, "draw": "seed 1", "outcomes": outcomes}}, {}, ROOT)
    row = "| Python verifier | 9 | 3 | 1 | 0 | 1 | 0 | 0 | 1 | 0 | 50.0 % | 9.5 – 90.5 % | seed 1 | 1.0 |"
    assert row in text
    assert "This is a sample" in text
    assert "Not explained" in text
    assert mutants[1].change in text


def test_a_page_of_all_mutants_is_no_sample() -> None:
    mutant = mutants_of("python-verifier")[0]
    outcomes = {mutant.identity: {**mutant.facts(), **Outcome("caught", "", 1.0).facts()}}
    text = page({"python-verifier": {"made": 1, "draw": "all", "outcomes": outcomes}}, {}, ROOT)
    assert "| Python verifier | 1 | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 100.0 % | exact | all | 1.0 |" in text
    assert "This is a sample" not in text


def test_a_larger_sample_contains_a_smaller_one_and_another_seed_draws_others() -> None:
    draws = [
        _chosen(list(mutants_of("relations")), "", size, seed) for size, seed in ((20, 1), (50, 1), (20, 2))
    ]
    assert draws[0] == draws[1][:20]
    assert len({mutant.identity for mutant in draws[1]}) == 50
    assert draws[0] != draws[2]


# --- real runs ----------------------------------------------------------------------------------------------

PLANTED = "def is_small(x):\n    return x < 10\n"
WEAK = "from planted import is_small\n\n\ndef test_weak():\n    assert is_small(3) and not is_small(30)\n"
STRONG = WEAK.replace("weak", "strong").replace("is_small(3)", "is_small(9)").replace("(30)", "(10)")


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    with scratch_copy() as folder:
        (folder / "planted.py").write_text(PLANTED)
        (folder / "tests" / "planted_weak.py").write_text(WEAK)
        (folder / "tests" / "planted_strong.py").write_text(STRONG)
        yield folder


@pytest.fixture(scope="module")
def runner(copy: Path) -> Iterator[PytestRunner]:
    """One for all: what it runs is set by each test."""
    with PytestRunner(copy, ()) as running:
        yield running


WEAK_TEST, STRONG_TEST = "tests/planted_weak.py", "tests/planted_strong.py"


@pytest.mark.long
@pytest.mark.parametrize(
    ("tests", "pins", "expected"),
    [
        ((WEAK_TEST,), (), "survived"),
        ((STRONG_TEST,), (), "caught"),
        ((WEAK_TEST,), (STRONG_TEST,), "pinned"),
    ],
)
def test_a_weak_test_leaves_survivors_that_a_strong_one_or_a_pin_catches(
    runner: PytestRunner, tests: tuple[str, ...], pins: tuple[str, ...], expected: str
) -> None:
    runner.tests, runner.pins = tests, pins
    mutants = python_mutants("planted.py", PLANTED)
    assert {mutant.change for mutant in mutants} == {"< becomes <=", "10 becomes 11", "10 becomes 9"}
    checked_baseline(runner)
    assert {runner.run(mutant, 60).outcome for mutant in mutants} == {expected}


@pytest.mark.long
def test_a_test_that_does_not_end_is_a_timeout(copy: Path, runner: PytestRunner) -> None:
    text = "def is_small(x):\n    while x:\n        x -= 1\n    return True\n"
    (copy / "planted.py").write_text(text)
    (copy / "tests" / "planted_loop.py").write_text(
        "from planted import is_small\n\n\ndef test_loop():\n    assert is_small(3)\n"
    )
    (endless,) = (m for m in python_mutants("planted.py", text) if m.change == "-= becomes +=")
    runner.tests, runner.pins = ("tests/planted_loop.py",), ()
    assert runner.run(endless, 4).outcome == "timeout"
    assert runner.run(None, 60).outcome == "survived"
    (copy / "planted.py").write_text(PLANTED)


FIXED = (
    ("prover/claims.py", "value = final - form.constant", "- becomes +"),
    ("prover/verify.py", 'transcript.challenge("eta", proof.evaluations)', "absorbs nothing"),
    ("prover/claims.py", "vector = self.challenges.r if part.vector", "== becomes !="),
    ("prover/proof.py", "if value >= MODULUS:", ">= becomes >"),
    ("prover/statement.py", "int.from_bytes(keccak(self.key.encode())", "without"),
    ("prover/argument/mercury.py", "alpha - pow(zeta, b, MODULUS),", "- becomes +"),
    ("prover/curve/g1.py", "CURVE_CONSTANT = 3", "3 becomes 4"),
)


def _fixed(target: str, path: str, line: str, change: str) -> Mutant:
    return next(m for m in mutants_of(target) if m.path == path and line in m.line and change in m.change)


@pytest.mark.long
def test_a_mutant_of_every_kind_is_caught_in_the_verifier(runner: PytestRunner) -> None:
    """In the copy, with the checkout as it was."""
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path, _, _ in FIXED}
    runner.tests = ("tests/prover/test_golden_proofs.py", "tests/prover/test_rejections.py")
    runner.pins = ()
    for path, line, change in FIXED:
        outcome = runner.run(_fixed("python-verifier", path, line, change), 120)
        assert outcome.outcome == "caught", (path, line, change)
        assert outcome.by.startswith(runner.tests) or "import" in outcome.by
    assert texts == {path: (ROOT / path).read_text(encoding="utf-8") for path in texts}


@pytest.mark.long
def test_a_mutant_of_the_contracts_is_caught_by_forge(copy: Path) -> None:
    target = TARGETS["dispute-game"]
    runner = ForgeRunner(copy, target.commands[:1])
    assert runner.run(None, 3600).outcome == "survived"
    mutant = next(m for m in mutants_of("dispute-game") if m.line == "return timestamp > turnDeadline;")
    assert runner.run(mutant, 3600).outcome == "caught"
    assert runner.run(None, 3600).outcome == "survived"
