"""The head in audit form: which relation is against which lie, and every word of a statement that only it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from prover.check import check
from prover.prove import StatementFalseError, prove
from prover.token_forms import END, FIRST, TILE, TOKENS
from tests.verifier_gen.evm import ACCEPTED, FALSE, Verifier

from ..prover.statements import head_tile_proven, srs
from .case import Case
from .claims import StepClaim, contract_rejects, python_rejects, true_claim
from .head_tile_lies import MORE, NOTICED, USUAL
from .manifest import changes, once_each

Verifiers = Callable[[str], Verifier]


@pytest.mark.parametrize("lie", [*USUAL, *MORE], ids=lambda lie: lie.__name__)
def test_a_lie_has_no_witness(lie: Callable[[Case], None]) -> None:
    case = Case.true("head_tile")
    assert not check(case.program, case.tensors, {}, case.statement.publics, 5)
    lie(case)
    for tensor in case.program.tensors.values():
        if tensor.closed_form is not None:  # whatever the liar took: the verifier computes these
            widths = [case.program.axes[axis].fixed for axis in tensor.axes]
            values = tensor.closed_form.values(widths, dict(case.statement.publics))
            case.tensors[tensor.name] = values
    noticed = {v.relation for v in check(case.program, case.tensors, {}, case.statement.publics, 5)}
    assert noticed and noticed == NOTICED.get(lie, noticed)
    with pytest.raises(StatementFalseError):
        prove(case.key, srs(), case.statement, case.tensors)


WORDS = (TILE, FIRST, END, TOKENS[0], TOKENS[7], TOKENS[31])


@pytest.mark.parametrize("kind", ["head_tile", "private head_tile"])
def test_every_word_of_the_statement_is_bound(verifier_of: Verifiers, kind: str) -> None:
    """Tokens of rows that do not count, too. The whole manifest runs in the long tests."""
    key, claim = true_claim(kind)
    assert isinstance(claim, StepClaim)
    verifier = verifier_of(kind)
    assert verifier.verdict(*claim.calldata()) == ACCEPTED
    own = [leaf for leaf in changes(claim.statement) if leaf.field.removeprefix("publics.") in WORDS]
    tried = once_each(own)
    assert {change.field for change in tried} == {f"publics.{name}" for name in WORDS}
    for change in tried:
        changed = replace(claim, statement=change.result)
        assert python_rejects(key, changed), (change.field, change.kind)
        assert contract_rejects(verifier, changed), (change.field, change.kind)


def test_what_is_out_of_range_is_said_so(verifier_of: Verifiers) -> None:
    """A token behind the vocabulary, a tile behind the last, rows behind the window."""
    _, claim = true_claim("head_tile")
    assert isinstance(claim, StepClaim)
    publics = claim.statement.publics
    for name, value, verdict in (
        (TOKENS[5], publics[TOKENS[5]] - 1, FALSE),
        (TOKENS[5], 50, "OutOfRange"),
        (TILE, 2, "OutOfRange"),
        (FIRST, 32, "OutOfRange"),
        (END, 33, "OutOfRange"),
        (END, 32, FALSE),
    ):
        changed = replace(claim, statement=replace(claim.statement, publics={**publics, name: value}))
        assert verifier_of("head_tile").verdict(*changed.calldata()) == verdict, (name, value)


ROWS = [(0, 32), (31, 32), (0, 1), (7, 7)]
USUAL_ROWS = {(0, (0, 32)), (1, (31, 32))}


@pytest.mark.parametrize(
    ("tile", "rows"),
    [
        pytest.param(*case, marks=() if case in USUAL_ROWS else pytest.mark.long)
        for case in product(range(2), ROWS)
    ],
)
def test_any_rows_of_any_tile_are_proven(verifier_of: Verifiers, tile: int, rows: tuple[int, int]) -> None:
    """Tokens in front of the tile, in it and behind it; no row at all says nothing, and is true."""
    case = head_tile_proven(tile, *rows)
    claim = StepClaim(case.statement, case.proof)
    claim.verify(case.verifying_key)
    assert verifier_of("head_tile").verdict(*claim.calldata()) == ACCEPTED
