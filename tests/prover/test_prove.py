"""Every statement kind is proven and verified; false statements and malicious witnesses are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.argument.commitment import commit_chunks
from prover.committed_values import boundary_chunks
from prover.curve.g1 import add
from prover.errors import BadInputError, ProofRejectedError
from prover.prove import StatementFalseError, prove
from prover.statement import Statement, VerifyingKey, input_chunks
from prover.verify import verify

from .statements import CASES, MU, proven, public_statement, srs


@pytest.mark.parametrize(("kind", "window"), CASES)
def test_a_true_statement_is_accepted(kind: str, window: int) -> None:
    case = proven(kind, window)
    verify(case.verifying_key, case.statement, case.proof.encode())


WRITTEN = [
    ("mlp", 0, "after"),
    ("attention", 1, "after"),
    ("keys_values", 2, "keys"),
    ("keys_values", 2, "values"),
]
OF_TILES = [
    ("attention_norm", 0, "normalised"),
    ("attention_tile", 1, "sum_after"),
    ("attention_close", 0, "after"),
    ("mlp_norm", 0, "normalised"),
    ("mlp_tile", 0, "sum_after"),
    ("mlp_close", 0, "after"),
]
LONG = [pytest.param(*case, marks=pytest.mark.long) for case in OF_TILES]


@pytest.mark.parametrize(("kind", "window", "name"), [*WRITTEN, *OF_TILES])
def test_a_wrong_output_cannot_be_proven(kind: str, window: int, name: str) -> None:
    """The prover itself stops; a prover that goes on regardless is rejected by the relations (see tampering)."""
    key, statement, tensors = public_statement(kind, window)
    tensors[name] = tensors[name].copy()
    tensors[name].reshape(-1)[101] += 1
    with pytest.raises(StatementFalseError):
        prove(key, srs(), statement, tensors)


def _outside(key: VerifyingKey, name: str, window: int) -> dict[str, int]:
    """Coefficients of a written window's chunk that are not its own: the first and the last of every neighbouring place."""
    tensor = key.plan.tensors[name]
    size, place = 1 << key.plan.window_bits(tensor), key.plan.place(tensor, {"window": window}, MU)
    found = {
        "behind": (place + 1) * size,
        "behind the next": (place + 2) * size,
        "last of the chunk": (1 << MU) - 1,
    }
    if place:
        found |= {"first of the chunk": 0, "in front": place * size - 1}
    return found


@pytest.mark.parametrize(
    ("kind", "window", "name"),
    [
        *(pytest.param(*each, marks=() if each[2] == "keys" else pytest.mark.long) for each in WRITTEN),
        *LONG,
    ],
)
def test_an_output_commitment_is_unique(kind: str, window: int, name: str) -> None:
    """Data outside the window's own 2^n coefficients changes its commitment and must be rejected."""
    key, statement, tensors = public_statement(kind, window)
    index = [tensor for tensor, _ in input_chunks(key.plan, statement.publics, MU)].index(name)
    proof = None
    for where, coefficient in _outside(key, name, window).items():
        chunk = np.zeros(coefficient + 1, dtype=np.int64)
        chunk[coefficient] = 7
        point = add(statement.inputs[index], commit_chunks(srs().g1, [chunk])[0])
        inputs = (*statement.inputs[:index], point, *statement.inputs[index + 1 :])
        foreign = replace(statement, inputs=inputs)
        # a prover that treats the window as if nothing were there
        proof = prove(key, srs(), foreign, tensors)
        with pytest.raises(ProofRejectedError):
            verify(key, foreign, proof.encode())
            pytest.fail(where)
    assert proof is not None


def test_a_window_at_another_place_is_another_window() -> None:
    """The same keys, committed where the next window lies, and where the first one does."""
    key, statement, tensors = public_statement("keys_values", 2)
    keys = key.plan.tensors["keys"]
    for other in (0, 1, 3):
        (chunk,) = boundary_chunks(key.plan, keys, tensors["keys"], {"window": other}, MU)
        (point,) = commit_chunks(srs().g1, [chunk])
        foreign = replace(statement, inputs=(statement.inputs[0], point, statement.inputs[2]))
        assert point != statement.inputs[1]
        with pytest.raises(ProofRejectedError):
            verify(key, foreign, prove(key, srs(), foreign, tensors).encode())


def test_a_proof_is_bound_to_its_window_key_and_kind() -> None:
    case = proven("attention", 1)
    other = public_statement("attention", 1, seed=2)[1]
    for statement in (
        replace(case.statement, key=other.key),
        replace(case.statement, inputs=other.inputs[:2] + case.statement.inputs[2:]),
        replace(case.statement, inputs=other.inputs[:1] + case.statement.inputs[1:]),
        replace(
            case.statement,
            inputs=tuple(case.statement.inputs[index] for index in (0, 2, 1, 3)),
        ),
    ):
        with pytest.raises(ProofRejectedError):
            verify(case.verifying_key, statement, case.proof.encode())
    with pytest.raises((ProofRejectedError, BadInputError)):
        verify(case.verifying_key, replace(case.statement, publics={"window": 0}), case.proof.encode())
    with pytest.raises(ProofRejectedError):
        verify(proven("mlp").verifying_key, proven("mlp").statement, proven("head").proof.encode())


@pytest.mark.parametrize("publics", [{}, {"window": -1}, {"window": 8}, {"window": 0, "row": 1}])
def test_a_malformed_statement_is_bad_input(publics: dict[str, int]) -> None:
    case = proven("attention", 0)
    with pytest.raises(BadInputError):
        verify(
            case.verifying_key,
            Statement(case.statement.key, publics, case.statement.inputs),
            case.proof.encode(),
        )
