"""A value that leaves its range has no proof: not put back by force, not modulo the range, not as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prover.check import check
from prover.committed_values import commit_step_key
from prover.errors import ProofRejectedError
from prover.program import OutOfRange
from prover.statement import Statement
from prover.verify import verify
from tests.prover.architectures.test_programs import run
from tests.prover.operators.random_layers import input_points, random_statement, shape_of
from tests.prover.statements import srs, verifying_key
from tests.verifier_gen.evm import Verifier

from .case import Case
from .claims import StepClaim, contract_rejects
from .malicious_prover import MaliciousProver
from .out_of_range import COVER_UPS, covered_up

LEAVING = {
    "mlp": ("up_shift", "up"),
    "keys_values": ("value_shift", "values"),
    "mlp_tile": ("up_shift", "up"),
    "mlp_close": ("down_shift", "after"),
}
"""A shift of a true layer's key that is too small for its rows, and what it takes out of its range."""


def covered(kind: str, how: str) -> Case:
    """The statement about a step that `run` refuses, with the output and the witness that follow from a cover-up."""
    honest = random_statement(kind)
    shift, name = LEAVING[kind]
    honest.parameters[shift] = 2
    with pytest.raises(OutOfRange, match=f"tensor {name} "):
        run(shape_of(kind), honest)
    with covered_up(how):
        tensors = honest.witness()
    key = verifying_key(kind)
    points = input_points(key.plan, srs(), tensors, honest.publics)
    step_key = commit_step_key(key.plan, srs(), honest.parameters, honest.tensors)
    return Case(key, Statement(step_key, honest.publics, points), tensors)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("mlp", "saturated"),
        ("keys_values", "wrapped"),
        pytest.param("mlp", "wrapped", marks=pytest.mark.long),
        pytest.param("mlp", "left as it is", marks=pytest.mark.long),
        pytest.param("keys_values", "saturated", marks=pytest.mark.long),
        pytest.param("keys_values", "left as it is", marks=pytest.mark.long),
        *(
            pytest.param(kind, how, marks=pytest.mark.long)
            for kind in ("mlp_tile", "mlp_close")
            for how in COVER_UPS
        ),
    ],
)
def test_no_cover_up_is_accepted(verifier_of: Callable[[str], Verifier], kind: str, how: str) -> None:
    """By the Python verifier and by the generated one."""
    case = covered(kind, how)
    proof = MaliciousProver(case.key, srs(), case.statement, case.tensors).adjust()
    with pytest.raises(ProofRejectedError):
        verify(case.key, case.statement, proof.encode())
    assert contract_rejects(verifier_of(kind), StepClaim(case.statement, proof))


@pytest.mark.parametrize("how", COVER_UPS)
@pytest.mark.parametrize("kind", LEAVING)
def test_a_cover_up_only_moves_what_notices(kind: str, how: str) -> None:
    """In the range the equation fails, outside it the range: nothing else is wrong with the witness."""
    case, name = covered(kind, how), LEAVING[kind][1]
    violated = {
        v.relation for v in check(case.program, case.tensors, case.parameters, case.statement.publics, 5)
    }
    equation = "summand" if kind == "mlp_close" else name  # its output is that of the residual sum
    assert (equation in violated) == (how != "left as it is")
    assert any(relation.startswith(f"{name}_") for relation in violated) == (how == "left as it is")
