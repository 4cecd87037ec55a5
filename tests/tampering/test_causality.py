"""Causality does not rest on anybody's gains: a masked key has no weight, whatever its score is.

Queries and keys of Gemma 3 have norms of their own, whose gains bound every score; the offset of a masked pair was made
for that bound. Here the gains leave their declared 19 bits. The key's matrix is the query's and its gains are negative,
so a row dislikes its own kind; the masked row is the opposite of all others and scores above every visible key, by
almost exactly the offset. Whoever computes this as the operator says gives the masked key its full weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from contracts.bindings.compiler import compile_sources
from prover.check import check
from prover.errors import ProofRejectedError
from prover.operators.attend import Attend
from prover.program import WINDOW_ROWS, Program
from prover.prove import prove
from prover.relations import Relation
from prover.statement import Statement as Claim
from prover.statement import VerifyingKey, commit_step_key
from prover.verify import verify
from tests.prover.architectures.random_models import GEMMA3, random_statement
from tests.prover.operators.random_layers import Statement, input_points
from tests.verifier_gen.evm import FALSE, Evm
from verifier_gen import CONTRACTS
from verifier_gen.generator import step_verifier

from ..prover.statements import srs
from .malicious_prover import MaliciousProver

SLOW_CHANNELS = slice(4, 8)
"""They turn by at most a hundredth per position, so that distance hardly changes a score."""


@dataclass(frozen=True)
class MaskedPair:
    """A row of the sequence and a position that it must not see, with the gains that give it weight."""

    window: int
    layer: int
    row: int
    position: int
    seed: int
    gain: int
    first_gain: int


FUTURE = MaskedPair(window=0, layer=1, row=0, position=2, seed=1, gain=587_313, first_gain=587_314)
BEYOND_REACH = MaskedPair(window=1, layer=0, row=32, position=0, seed=2, gain=780_811, first_gain=780_815)
"""A local layer sees 32 positions: row 32 sees 1 to 32."""
PAIRS = pytest.mark.parametrize("pair", [FUTURE, BEYOND_REACH], ids=["future", "beyond the reach"])


class WithoutCausality(Attend):
    """Attention whose masked pairs are far away by their offset alone."""

    def relations(self, program: Program) -> Sequence[Relation]:
        return tuple(relation for relation in super().relations(program) if relation.name != "causality")


def _case(pair: MaskedPair) -> Statement:
    """The keys are those that the step in front writes for such rows: valid ones."""
    case = random_statement(GEMMA3, "attention", pair.window, pair.seed, pair.layer)
    last = WINDOW_ROWS * (pair.window + 1)
    usual = case.tensors["before"][0].copy()
    before = np.tile(usual, (last, 1))
    before[pair.row + 1 :] = -usual if pair.position > pair.row else usual
    before[0] = usual if pair.position > pair.row else -usual
    case.tensors["before"] = before[last - WINDOW_ROWS :]
    query = case.tensors["query_norm"]
    query[:] = 0
    query[SLOW_CHANNELS] = pair.gain
    query[SLOW_CHANNELS.start] = pair.first_gain
    for window in range(pair.window + 1):
        own = slice(WINDOW_ROWS * window, WINDOW_ROWS * (window + 1))
        case.tensors["keys"][own] = _keys(pair, window, before[own], case)
    return case


def _keys(pair: MaskedPair, window: int, before: np.ndarray, case: Statement) -> np.ndarray:
    writer = random_statement(GEMMA3, "keys_values", window, pair.seed, pair.layer)
    writer.tensors["before"] = before
    writer.tensors["w_key"] = case.tensors["w_query"][:, :, 0].copy()
    writer.tensors["attention_norm"] = case.tensors["attention_norm"]
    key = writer.tensors["key_norm"]
    key[:] = 0
    key[SLOW_CHANNELS] = -pair.gain
    witness = writer.witness()
    assert check(writer.program, witness, writer.parameters, writer.publics, writer.context_bits) == []
    return witness["keys"]


@cache
def _witness(pair: MaskedPair) -> dict[str, np.ndarray]:
    return _case(pair).witness()


def _blind(program: Program) -> Program:
    """The same program without the relation."""
    blinded = [
        WithoutCausality(**vars(operator)) if isinstance(operator, Attend) else operator
        for operator in program.operators
    ]
    return replace(program, operators=tuple(blinded))


def _claim(pair: MaskedPair, key: VerifyingKey) -> Claim:
    case = _case(pair)
    step_key = commit_step_key(key.plan, srs(), case.parameters, case.tensors)
    return Claim(step_key, case.publics, input_points(key.plan, srs(), _witness(pair), case.publics))


@PAIRS
def test_such_gains_give_a_masked_key_weight(pair: MaskedPair) -> None:
    """The attack is one: the gains are outside their width, all else is in range, and the masked key is attended to."""
    weight = _witness(pair)["weight"][0, 0, pair.row % WINDOW_ROWS, pair.position]
    assert weight > 40_000
    assert pair.gain >= 1 << (GEMMA3.vector_rules["query_norm"].bits - 1)


@PAIRS
def test_only_causality_notices(pair: MaskedPair) -> None:
    case = _case(pair)
    found = check(case.program, _witness(pair), case.parameters, case.publics, case.context_bits)
    assert {violation.relation for violation in found} == {"causality"}


def test_without_the_relation_the_false_step_is_proven() -> None:
    """So that the rejections mean something: no other relation and no part of the argument stands in the way."""
    key = VerifyingKey.create(_blind(_case(FUTURE).program), srs())
    claim = _claim(FUTURE, key)
    verify(key, claim, prove(key, srs(), claim, _witness(FUTURE)).encode())


@pytest.mark.parametrize("pair", [FUTURE, pytest.param(BEYOND_REACH, marks=pytest.mark.long)])
def test_both_verifiers_reject_it(evm: Evm, pair: MaskedPair) -> None:
    """Even of a prover that repairs the final check."""
    key = VerifyingKey.create(_case(pair).program, srs())
    claim = _claim(pair, key)
    proof = MaliciousProver(key, srs(), claim, _witness(pair)).adjust().encode()
    with pytest.raises(ProofRejectedError):
        verify(key, claim, proof)
    contract = CONTRACTS["attention"]
    artifact = compile_sources({f"{contract}.sol": step_verifier(key, insecure=True)})[contract]
    words = [claim.publics["window"], *(coordinate for point in claim.inputs for coordinate in point)]
    assert evm.deploy(artifact.creation_code).verdict(claim.key.encode(), words, proof) == FALSE
