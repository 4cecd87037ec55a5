"""Causality does not rest on anybody's gains: a masked key has no weight and is no maximum, whatever its score is.

Queries and keys of Gemma 3 have norms of their own, whose gains bound every score; the offset of a masked pair was made
for that bound. Here the gains leave their declared 19 bits. The key's matrix is the query's and its gains are negative,
so a row dislikes its own kind; the masked row is the opposite of all others and scores above every visible key, by
almost exactly the offset. Whoever looks at distances alone gives the masked key its full weight; with gains a little larger it
is the maximum that all weights are relative to.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from contracts.bindings.compiler import compile_sources
from prover.check import check
from prover.committed_values import commit_step_key
from prover.errors import ProofRejectedError
from prover.operators.attend import SCORES, Attend
from prover.operators.exponential import DIGIT, FAR, Exponential
from prover.program import WINDOW_ROWS, Program
from prover.prove import prove
from prover.relations import Constant, Pointwise, Ref, Relation
from prover.statement import Statement as Claim
from prover.statement import VerifyingKey
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


class _WithoutHiding(Exponential):
    """Weights by distance alone."""

    def witness(
        self, tensors: MutableMapping[str, Any], distance: np.ndarray, hidden: np.ndarray, inside: Any = 1
    ) -> np.ndarray:
        return super().witness(tensors, distance, np.zeros_like(hidden), inside)


class EveryKeyWeighs(Attend):
    """Attention whose masked pairs are far away by their offset alone."""

    @property
    def _weights(self) -> Exponential:
        return _WithoutHiding(SCORES, Constant(0), super()._weights.inside)


class AnyKeyIsTheLargest(Attend):
    """Attention whose maximum may be attained by a masked key."""

    def _largest(self, score: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray((score - (mask << self.offset_bits)).max(axis=-1))

    def relations(self, program: Program) -> Sequence[Relation]:
        distance = Constant(1 << self.shift) * self._weights.distance_in_sight + Ref("distance_remainder")
        anywhere = Pointwise("max_attained", SCORES, Ref("max_selector") * distance)
        return tuple(anywhere if r.name == "max_attained" else r for r in super().relations(program))


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


def _false_program(program: Program, kind: type[Attend]) -> Program:
    """The same with another attention."""
    operators = [kind(**vars(part)) if isinstance(part, Attend) else part for part in program.operators]
    return replace(program, operators=tuple(operators))


@dataclass(frozen=True)
class Attack:
    """A pair, an attention that is wrong in one respect, and the one relation of the true one that notices."""

    pair: MaskedPair
    kind: type[Attend]
    noticed_by: str

    @property
    def case(self) -> Statement:
        return _case(self.pair)

    @property
    def blind_program(self) -> Program:
        return _false_program(self.case.program, self.kind)

    def blind_witness(self) -> dict[str, np.ndarray]:
        """All integers as the wrong attention has them."""
        case = self.case
        return replace(case, program=_false_program(case.program, self.kind)).witness()

    def witness(self) -> dict[str, np.ndarray]:
        """The same with the digits that the true attention gives distances; near ones are the same."""
        tensors = self.blind_witness()
        (attend,) = (part for part in self.case.program.operators if isinstance(part, Attend))
        high, low, mask = tensors["distance_high"], tensors["distance_low"], self.mask(tensors)
        base = np.where(mask > 0, DIGIT, FAR) if self.kind is AnyKeyIsTheLargest else FAR
        weight = tensors["weight"]
        attend._weights.witness(tensors, low + base * high, mask)
        tensors["weight"] = weight
        return tensors

    def mask(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        local = self.case.parameters["layer_kind"] == 1
        return tensors["causal_mask"] + local * tensors["reach_mask"]

    def claim(self, key: VerifyingKey, witness: dict[str, np.ndarray]) -> Claim:
        case = self.case
        step_key = commit_step_key(key.plan, srs(), case.parameters, case.tensors)
        return Claim(step_key, case.publics, input_points(key.plan, srs(), witness, case.publics))


def _beyond(pair: MaskedPair) -> MaskedPair:
    """Gains so much larger that the masked key is above every visible one, offset and all, and so far that what the visible
    ones weigh is a few units: rounding makes another mean of it."""
    return replace(pair, gain=pair.gain + 40, first_gain=pair.first_gain + 40)


ATTACKS = {
    "a weight of the future": Attack(FUTURE, EveryKeyWeighs, "weight"),
    "a weight beyond the reach": Attack(BEYOND_REACH, EveryKeyWeighs, "weight"),
    "the maximum of the future": Attack(
        _beyond(replace(FUTURE, row=3, position=4)), AnyKeyIsTheLargest, "max_attained"
    ),
    "the maximum beyond the reach": Attack(_beyond(BEYOND_REACH), AnyKeyIsTheLargest, "max_attained"),
}
EVERY_ATTACK = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@EVERY_ATTACK
def test_such_gains_change_what_a_row_computes(attack: Attack) -> None:
    """The attack is one: the gains are outside their width, all else is in range, and what is attended to is another."""
    pair, witness = attack.pair, attack.blind_witness()
    place = (0, 0, pair.row % WINDOW_ROWS, pair.position)
    if attack.kind is EveryKeyWeighs:
        assert witness["weight"][place] > 40_000
    else:
        selected = np.flatnonzero(witness["max_selector"][place[:3]])
        assert attack.mask(witness)[place[2], selected] == [1]
        assert 0 < witness["weight"][place[:3]].max() < 100
    if (
        pair.position > pair.row
    ):  # the other row sees one key only: its mean is that key's value whatever it weighs
        assert not np.array_equal(witness["after"], attack.case.witness()["after"])
    assert pair.gain >= 1 << (GEMMA3.vector_rules["query_norm"].bits - 1)


@EVERY_ATTACK
def test_one_relation_notices(attack: Attack) -> None:
    case = attack.case
    found = check(case.program, attack.witness(), case.parameters, case.publics, case.context_bits)
    assert {violation.relation for violation in found} == {attack.noticed_by}


@pytest.mark.parametrize("name", ["a weight of the future", "the maximum of the future"])
def test_without_the_relation_the_false_step_is_proven(name: str) -> None:
    """So that the rejections mean something: no other relation and no part of the argument stands in the way."""
    attack = ATTACKS[name]
    key = VerifyingKey.create(attack.blind_program, srs())
    witness = attack.blind_witness()
    claim = attack.claim(key, witness)
    verify(key, claim, prove(key, srs(), claim, witness).encode())


@pytest.mark.parametrize(
    "name",
    [
        "a weight of the future",
        "the maximum of the future",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("a weight beyond the reach", "the maximum beyond the reach")
        ),
    ],
)
def test_both_verifiers_reject_it(evm: Evm, name: str) -> None:
    """Even of a prover that repairs the final check."""
    attack = ATTACKS[name]
    key = VerifyingKey.create(attack.case.program, srs())
    witness = attack.witness()
    claim = attack.claim(key, witness)
    proof = MaliciousProver(key, srs(), claim, witness).adjust().encode()
    with pytest.raises(ProofRejectedError):
        verify(key, claim, proof)
    contract = CONTRACTS["attention"]
    artifact = compile_sources({f"{contract}.sol": step_verifier(key, insecure=True)})[contract]
    words = [claim.publics["window"], *(coordinate for point in claim.inputs for coordinate in point)]
    assert evm.deploy(artifact.creation_code).verdict(claim.key.encode(), words, proof) == FALSE
