"""The page that says which relation catches which value is current, and an unconstrained value would show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prover.check import Checker
from prover.constraint_table import (
    OTHER_FAMILIES,
    PAGE,
    SHAPE,
    STATEMENTS,
    UnconstrainedError,
    constraints,
    page,
    sample,
)
from prover.program import Kind


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m prover.constraint_table"


@pytest.mark.parametrize("kind", STATEMENTS)
@pytest.mark.parametrize("family", ["Llama", *OTHER_FAMILIES])
def test_every_committed_tensor_is_listed(family: str, kind: str) -> None:
    program, _, checker = sample(kind, OTHER_FAMILIES.get(family, SHAPE))
    assert all(checker.violation(relation) is None for relation in program.relations)
    text = PAGE.read_text(encoding="utf-8")
    committed = [t for t in program.tensors.values() if t.kind is Kind.WITNESS or t.name == "after"]
    assert committed
    for tensor in committed:
        assert f"| `{tensor.name}` |" in text


def test_a_program_that_forgets_its_norm_is_refused() -> None:
    """Without the operator that pins the normalised rows down, their mean square is free."""
    program, witness, _ = sample("head")
    norm = program.operators[0]
    forgetful = replace(program, operators=(_Forgetful(norm), *program.operators[1:]))
    checker = Checker(forgetful, witness, {}, STATEMENTS["head"][0], 5)
    with pytest.raises(UnconstrainedError, match="normalised_mean_square"):
        constraints(checker, forgetful, witness)


class _Forgetful:
    """An operator without its relations."""

    def __init__(self, operator: object) -> None:
        self._operator = operator

    def __getattr__(self, name: str) -> object:
        return getattr(self._operator, name)

    def relations(self, program: object) -> tuple[()]:
        return ()
