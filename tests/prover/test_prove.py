"""Every statement kind is proven and verified; false statements and malicious witnesses are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.argument.commitment import commit_chunks
from prover.errors import BadInputError, ProofRejectedError
from prover.prove import StatementFalseError, prove
from prover.statement import Statement, boundary_chunks
from prover.verify import verify

from .statements import CASES, proven, public_statement, srs


@pytest.mark.parametrize(("kind", "window"), CASES)
def test_a_true_statement_is_accepted(kind: str, window: int) -> None:
    case = proven(kind, window)
    verify(case.verifying_key, case.statement, case.proof.encode())


@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 1)])
def test_a_wrong_output_cannot_be_proven(kind: str, window: int) -> None:
    """The prover itself stops; a prover that goes on regardless is rejected by the relations (see tampering)."""
    key, statement, tensors = public_statement(kind, window)
    tensors["after"] = tensors["after"].copy()
    tensors["after"][3, 5] += 1
    with pytest.raises(StatementFalseError):
        prove(key, srs(), statement, tensors)


@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 1)])
def test_an_output_commitment_is_unique(kind: str, window: int) -> None:
    """Data beyond the window's own 2^n coefficients changes its commitment and must be rejected."""
    key, statement, tensors = public_statement(kind, window)
    chunk = boundary_chunks(key.plan.tensors["after"], tensors["after"], 1)[0]
    longer = np.concatenate([chunk, np.array([7], dtype=np.int64)])
    point = commit_chunks(srs().g1, [longer])[0]
    foreign = replace(statement, inputs=(*statement.inputs[:-1], point))
    proof = prove(key, srs(), foreign, tensors)  # a prover that treats the window as if nothing were there
    with pytest.raises(ProofRejectedError):
        verify(key, foreign, proof.encode())


def test_a_proof_is_bound_to_its_window_key_and_kind() -> None:
    case = proven("attention", 1)
    other = public_statement("attention", 1, seed=2)[1]
    for statement in (
        replace(case.statement, key=other.key),
        replace(case.statement, inputs=other.inputs[:2] + case.statement.inputs[2:]),
        replace(
            case.statement,
            inputs=(case.statement.inputs[1], case.statement.inputs[0], case.statement.inputs[2]),
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
