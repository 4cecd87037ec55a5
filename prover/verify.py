"""The reference verifier. The generated Solidity verifiers do exactly this, in this order.

Every byte comes from an adversary: whatever is wrong with it becomes a ProofRejectedError.
"""

from __future__ import annotations

from collections.abc import Hashable

from .argument.mercury import MercuryRejected, verify_mercury
from .argument.reduction import chunk_coefficients
from .argument.sumcheck import verify_sumcheck
from .claims import Challenges, combine_claims
from .claims import Point as SymbolicPoint
from .curve.combinations import combine
from .curve.g1 import Point
from .errors import BadInputError, ProofRejectedError
from .hiding import blinding_base
from .masks import MASK_CHUNKS, mask_layout
from .proof import ProofShape, check_point
from .statement import TABLES, WEIGHTS, Statement, VerifyingKey, check_parameters, input_chunks, input_count


def verify(verifying_key: VerifyingKey, statement: Statement, encoded: bytes) -> None:
    """Raise ProofRejectedError unless the encoded proof proves the statement."""
    plan, mu = verifying_key.plan, verifying_key.chunk_bits
    _check_statement(verifying_key, statement)
    context_bits = statement.context_bits(plan)
    proof = ProofShape.of(plan, context_bits, mu).decode(encoded)

    transcript = statement.transcript(verifying_key)
    beta = transcript.challenge("beta", (c for point in proof.commitments for c in point))
    gamma = transcript.challenge("gamma")
    alpha = transcript.challenge("alpha", (c for point in proof.inverses for c in point))
    rho = transcript.challenges("rho", plan.variables(context_bits))
    r, claim = verify_sumcheck(proof.rounds, 0, transcript, "round")
    point = SymbolicPoint(plan, statement, context_bits, Challenges(beta, gamma, alpha, rho, r))
    sent = dict(zip(plan.sent, proof.evaluations, strict=True))
    eta = transcript.challenge("eta", proof.evaluations)
    claims, value = combine_claims(verifying_key, point, claim, sent, eta)
    q, value = verify_sumcheck(proof.reduction, value, transcript, "reduction.round")
    coefficients = chunk_coefficients(claims, q)
    commitments = chunk_commitments(verifying_key, statement, proof.commitments, proof.inverses)
    points, scalars = [commitments[key] for key in coefficients], list(coefficients.values())
    for blinding in proof.blinding:
        points.append(blinding_base(verifying_key.srs_digest))
        scalars.append(-blinding)
    combination = combine(points, scalars)
    srs = (verifying_key.g2_one, verifying_key.g2_tau)
    try:
        verify_mercury(combination, q, value, proof.opening, *srs, transcript, proof.blinding)
    except MercuryRejected as error:
        raise ProofRejectedError(str(error)) from error


def chunk_commitments(
    verifying_key: VerifyingKey, statement: Statement, first: tuple[Point, ...], second: tuple[Point, ...]
) -> dict[Hashable, Point]:
    """The commitment behind every chunk key: public inputs, step key, constants, and the proof's own."""
    plan, mu = verifying_key.plan, verifying_key.chunk_bits
    context_bits = statement.context_bits(plan)
    result: dict[Hashable, Point] = {}
    result.update(((TABLES, index), commitment) for index, commitment in enumerate(verifying_key.constants))
    result.update(zip(input_chunks(plan, statement.publics, mu), statement.inputs, strict=True))
    result.update(((WEIGHTS, index), commitment) for index, commitment in enumerate(statement.key.points))
    streams = {1: iter(first), 2: iter(second)}
    for number, zone in enumerate(plan.zones):
        for index in zone.committed(context_bits, mu):
            result[number, index] = next(streams[zone.phase])
    if mask_layout(plan) is not None:
        result.update((chunk, next(streams[1])) for chunk in MASK_CHUNKS)
    return result


def _check_statement(verifying_key: VerifyingKey, statement: Statement) -> None:
    """Public inputs are the caller's, but may come from a file: reject what is not a statement at all."""
    plan = verifying_key.plan
    program = plan.program
    if set(statement.publics) != set(program.public_scalars):
        raise BadInputError(
            f"a {program.name} statement needs exactly the public integers {tuple(program.public_scalars)}"
        )
    for name, limit in program.public_scalars.items():
        value = statement.publics[name]
        if not 0 <= value < limit:
            raise BadInputError(f"public integer {name} is {value}; it must be in 0..{limit - 1}")
    if len(statement.inputs) != input_count(plan, statement.publics, verifying_key.chunk_bits):
        raise BadInputError(
            f"a {program.name} statement has {len(statement.inputs)} commitments; check the window"
        )
    chunks = plan.key_layout(verifying_key.chunk_bits).chunks
    if len(statement.key.points) != chunks:
        raise BadInputError(
            f"the step key has {len(statement.key.points)} commitments; that of a {program.name} statement has {chunks}"
        )
    for index, point in enumerate(statement.key.points):
        check_point(point, f"step key: point {index}")
    for index, point in enumerate(statement.inputs):
        check_point(point, f"input {index}")
    check_parameters(program, statement.key.parameters)
