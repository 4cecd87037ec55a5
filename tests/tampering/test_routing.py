"""Mixtures of experts: no false routing can be proven, and an expert's proof is about that expert and those weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.curve.g1 import add
from prover.errors import ProofRejectedError
from prover.program import WitnessContext
from prover.statement import Statement, StepKey, VerifyingKey
from prover.verify import verify
from tests.prover.architectures.proven import proven, public_statement
from tests.prover.architectures.random_models import FAMILIES
from tests.prover.operators.random_layers import input_points
from tests.prover.operators.routing_lies import LIES, Lie, another_expert, picking
from tests.prover.statements import srs

from .malicious_prover import MaliciousProver

LONG = pytest.mark.long


def claimed(key: VerifyingKey, statement: Statement, tensors: dict[str, np.ndarray]) -> Statement:
    """The statement about the windows that the tensors hold."""
    return replace(statement, inputs=input_points(key.plan, srs(), tensors, dict(statement.publics)))


@pytest.mark.parametrize(
    "lie", [pytest.param(lie, marks=() if lie is another_expert else LONG) for lie in LIES]
)
def test_a_false_routing_cannot_be_proven(lie: Lie) -> None:
    """The window of gates is committed as the liar has it; every other value is adapted, and so are the final checks."""
    key, statement, tensors = public_statement(FAMILIES["mixtral"], "router")
    tensors = {name: np.array(array) for name, array in tensors.items()}
    lie(key.plan.program, tensors)
    statement = claimed(key, statement, tensors)
    for proof in MaliciousProver(key, srs(), statement, tensors).cheat().values():
        with pytest.raises(ProofRejectedError):
            verify(key, statement, proof.encode())


@LONG
def test_a_tie_broken_the_other_way_cannot_be_proven() -> None:
    """Rows of zeros: all logits are zero, and the first two experts are right."""
    key, statement, tensors = public_statement(FAMILIES["mixtral"], "router")
    program = key.plan.program
    zeros = {"before": np.zeros_like(tensors["before"]), "w_router": tensors["w_router"]}
    parameters = dict(zip(program.parameters, statement.key.parameters, strict=True))
    tensors = program.witness(zeros, parameters, statement.publics)
    honest = claimed(key, statement, tensors)
    assert (tensors["gates"][:, :2] == 1 << 13).all()
    picking(program, tensors, [0, 2])
    forged = claimed(key, statement, tensors)
    assert forged.inputs != honest.inputs
    for proof in MaliciousProver(key, srs(), forged, tensors).cheat().values():
        with pytest.raises(ProofRejectedError):
            verify(key, forged, proof.encode())


@LONG
@pytest.mark.parametrize("stream", ["gates", "normalised"])
def test_a_routing_is_a_proof_of_one_commitment_per_stream(stream: str) -> None:
    """Another point in the place of a written window's."""
    case = proven("mixtral", "router")
    names = [tensor.name for tensor in case.key.plan.program.inputs]
    inputs = list(case.statement.inputs)
    inputs[names.index(stream)] = add(inputs[names.index(stream)], (1, 2))
    with pytest.raises(ProofRejectedError):
        verify(case.key, replace(case.statement, inputs=tuple(inputs)), case.proof)


def test_a_proof_about_one_expert_is_none_about_another() -> None:
    """The same weights under the number of another expert, whose rows are other ones."""
    case = proven("mixtral", "expert_tile")
    verify(case.key, case.statement, case.proof)
    names = case.key.plan.program.parameters
    right = dict(zip(names, case.statement.key.parameters, strict=True))["expert"]
    assert right == 5  # the last one
    for number in (1, 4, 8):
        other = tuple(
            number if name == "expert" else value
            for name, value in zip(names, case.statement.key.parameters, strict=True)
        )
        foreign = replace(case.statement, key=StepKey(other, case.statement.key.points))
        with pytest.raises(ProofRejectedError):
            verify(case.key, foreign, case.proof)


@LONG
@pytest.mark.parametrize("row", [0, 1])
def test_a_row_cannot_be_left_out_of_its_expert_nor_brought_into_another(row: int) -> None:
    key, statement, tensors = public_statement(FAMILIES["mixtral"], "expert_tile")
    tensors = {name: np.array(array) for name, array in tensors.items()}
    rows = np.flatnonzero(tensors["routed_flag"] == 1 - row)
    place = rows[0]
    tensors["routed_flag"][place] = row
    tensors["routed"][place] = row * tensors["normalised"][place]
    program = key.plan.program
    parameters = dict(zip(program.parameters, statement.key.parameters, strict=True))
    context = WitnessContext(program, tensors, parameters, statement.publics)
    for operator in program.operators[1:]:
        operator.witness(context)
    forged = claimed(key, statement, tensors)
    assert (forged.inputs != statement.inputs) == (
        row == 0
    )  # a gate of zero adds nothing whatever the row is
    for proof in MaliciousProver(key, srs(), forged, tensors).cheat().values():
        with pytest.raises(ProofRejectedError):
            verify(key, forged, proof.encode())
