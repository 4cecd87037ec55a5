"""A ceremony publishes more powers of tau than an SRS keeps. A prover who uses them has nothing more to say.

The claim is that an output has one commitment (docs/uniqueness.md). Each test has its control: with D as in Mercury's paper,
about g alone, the same prover is accepted, by the Python verifier and by a generated one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

import prover.argument.mercury
import prover.argument.mercury_prover
import verifier_gen.generator
from contracts.bindings.compiler import compile_sources
from prover.architectures.config import ModelConfig
from prover.architectures.llama import LlamaConfig
from prover.architectures.shapes import CUT, CUT_QUERIES, OTHER_FAMILIES
from prover.argument.commitment import commit_field
from prover.argument.mercury import MercuryRejected, verify_mercury
from prover.argument.mercury_prover import open_mercury
from prover.argument.multilinear import evaluate
from prover.argument.transcript import Transcript
from prover.committed_values import commit_step_key
from prover.curve.point_arrays import PointArray
from prover.curve.srs import SRS
from prover.errors import ProofRejectedError
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.plan import Plan
from prover.statement import Statement, VerifyingKey, input_chunks
from tests.verifier_gen.evm import Evm, Verifier
from tests.verifier_gen.golden_proofs import SEVERAL_CHUNKS, WIDE
from verifier_gen import CONTRACTS
from verifier_gen.generator import step_verifier

from ..prover.architectures.random_models import random_statement as family_statement
from ..prover.operators.random_layers import input_points, random_statement
from ..prover.statements import MU, public_statement, srs
from .claims import StepClaim, contract_rejects
from .long_opening import PAPER, STRATEGIES, open_longer
from .point_mover import moved, prove_moved

Verifiers = Callable[[str], Verifier]
NEW_LINE = "addmod(mload(G_INVERSE), mulmod(mload(MERCURY_GAMMA), mload(H_INVERSE), r), r)"


def papers_degree(b: int, gamma: int, zeta: int, g_inverse: int, h_inverse: int) -> int:
    """D(zeta) as in the paper: nothing about h."""
    return pow(zeta, b - 1, MODULUS) * g_inverse % MODULUS


def papers_template(
    yul: Callable[[str, Mapping[str, object]], str],
) -> Callable[[str, Mapping[str, object]], str]:
    """The generator's templates, with the same in the opening's."""

    def changed(name: str, values: Mapping[str, object]) -> str:
        text = yul(name, values)
        assert text.count(NEW_LINE) == (name == "mercury")
        return text.replace(NEW_LINE, "mload(G_INVERSE)")

    return changed


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifiers whose D is about g alone."""
    for module in (prover.argument.mercury, prover.argument.mercury_prover):
        monkeypatch.setattr(module, "d_zeta", papers_degree)
    monkeypatch.setattr(verifier_gen.generator, "_yul", papers_template(verifier_gen.generator._yul))


# --- the opening alone --------------------------------------------------------------------------------------

VARIABLES, ROOT = 8, 16
HIGH = {
    "next power": {1 << VARIABLES: 1},
    "one row on": {(1 << VARIABLES) + ROOT: -5},
    "last of twice as many": {(2 << VARIABLES) - 1: 1 << 200},
    "last of four times as many": {(4 << VARIABLES) - 1: 3},
    "several": {(1 << VARIABLES) + 1: 2, (1 << VARIABLES) + 2: -2, (1 << VARIABLES) + ROOT + 1: 7},
}


@pytest.fixture(scope="module")
def ceremony() -> SRS:
    return SRS.devnet(VARIABLES + 2)


@cache
def _polynomial(variables: int = VARIABLES) -> tuple[arrays.FieldArray, tuple[int, ...], int]:
    """2^n coefficients, a point, and the value there."""
    generator = np.random.default_rng(3)
    f = arrays.from_int64(generator.integers(-40_000, 40_000, 1 << variables))
    u = tuple(int.from_bytes(generator.bytes(31), "big") for _ in range(variables))
    return f, u, evaluate(f, list(u))


def _opens(
    ceremony: SRS, high: Mapping[int, int], strategy: str, low: Mapping[int, int] | None = None
) -> bool:
    """Whether f + low + high opens to the value of f; the prover opens f + high and leaves low to chance."""
    f, u, value = _polynomial()
    committed = arrays.to_ints(f) + [0] * (len(ceremony.g1) - len(f))
    for place, change in (*high.items(), *(low or {}).items()):
        committed[place] = (committed[place] + change) % MODULUS
    table = arrays.from_ints(committed)
    opening = open_longer(
        ceremony.g1, np.ascontiguousarray(table[: len(f)]), high, u, value, Transcript("t"), strategy
    )
    try:
        verify_mercury(
            commit_field(ceremony.g1, table),
            u,
            value,
            opening,
            ceremony.g2_one,
            ceremony.g2_tau,
            Transcript("t"),
        )
    except MercuryRejected:
        return False
    return True


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_higher_powers_the_long_opening_is_the_honest_one(ceremony: SRS, strategy: str) -> None:
    f, u, value = _polynomial()
    honest = open_mercury(ceremony.g1, f, u, value, Transcript("t"))
    assert open_longer(ceremony.g1, f, {}, u, value, Transcript("t"), strategy) == honest
    assert _opens(ceremony, {}, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("high", HIGH.values(), ids=HIGH)
def test_a_longer_polynomial_does_not_open(ceremony: SRS, high: dict[int, int], strategy: str) -> None:
    assert not _opens(ceremony, high, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nor_does_one_whose_low_part_makes_up_for_it(ceremony: SRS, strategy: str) -> None:
    """e X^(2^n) - e, and - e X^(2^n - b) one row below."""
    for low in (0, (1 << VARIABLES) - ROOT):
        assert not _opens(ceremony, {1 << VARIABLES: 9}, strategy, {low: -9})


@pytest.mark.parametrize("high", HIGH.values(), ids=HIGH)
def test_with_the_papers_d_it_does(ceremony: SRS, paper: None, high: dict[int, int]) -> None:
    """The control: every other equation is satisfied."""
    assert _opens(ceremony, high, PAPER)
    assert not _opens(ceremony, high, "long g")  # which the paper's D is for


# --- whole steps ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A true statement with its witness, under an SRS; powers: all that its ceremony published."""

    key: VerifyingKey
    srs: SRS
    powers: PointArray
    statement: Statement
    tensors: Mapping[str, np.ndarray]

    def lie(self, moves: Mapping[int, int], strategy: str, output: str = "after") -> StepClaim:
        """Another commitment for the same output, and what is said to prove it."""
        inputs = list(self.statement.inputs)
        names = [name for name, _ in input_chunks(self.key.plan, self.statement.publics, self.srs.mu)]
        index = len(names) - 1 - names[::-1].index(output)
        inputs[index] = moved(inputs[index], self.powers, moves)
        lie = replace(self.statement, inputs=tuple(inputs))
        proof = prove_moved(self.key, self.srs, self.powers, lie, self.tensors, moves, strategy, output)
        return StepClaim(lie, proof)


FULL = replace(WIDE, hidden=260, feed_forward=40)
"""Its window of 2^14 entries fills a chunk."""
FULL_KEYS = replace(SEVERAL_CHUNKS, heads=32, kv_heads=32)
"""So does its window of keys, which has one place."""


TILES_OF_WIDE = replace(WIDE, step_weights=40_000)
TILES_OF_FULL = replace(FULL, step_weights=20_000)
"""The same in tiles: their sums, and the rows between them, have the windows of rows."""


@cache
def _ceremony(mu: int) -> SRS:
    return SRS.devnet(mu + 1)


@cache
def _step(kind: str, window: int = 0) -> Step:
    key, statement, tensors = public_statement(kind, window)
    return Step(key, srs(), _ceremony(MU).g1, statement, tensors)


@cache
def _small(config: ModelConfig, kind: str = "mlp", window: int = 0) -> Step:
    """A step in chunks of 2^14."""
    case = (
        random_statement(kind, window, config=config)
        if isinstance(config, LlamaConfig)
        else family_statement(config, kind, window)
    )
    if kind in ("mlp", "mlp_tile"):
        case.tensors["w_gate"] //= 4 if kind == "mlp" else 32  # into the small activation table
    ceremony = _ceremony(14)
    small = ceremony.truncated(14)
    key = VerifyingKey.create(case.program, small)
    tensors = case.witness()
    points = input_points(key.plan, small, tensors, case.publics)
    step_key = commit_step_key(key.plan, small, case.parameters, case.tensors)
    return Step(key, small, ceremony.g1, Statement(step_key, case.publics, points), tensors)


def _both_reject(step: Step, verifier: Verifier, claim: StepClaim) -> None:
    """In the opening, which is where the higher powers are; anything else would be a mistake of this test."""
    with pytest.raises(ProofRejectedError, match="pairing equation of the opening"):
        claim.verify(step.key)
    assert contract_rejects(verifier, claim)


def _both_accept(step: Step, verifier: Verifier, claim: StepClaim) -> None:
    claim.verify(step.key)
    assert not contract_rejects(verifier, claim)


def _moves(mu: int) -> list[dict[int, int]]:
    last = (2 << mu) - 1
    return [{1 << mu: 1}, {(1 << mu) + (1 << (mu // 2)): -3, last: 5}]


def _deployed(evm: Evm, key: VerifyingKey) -> Verifier:
    kind = key.plan.program.name
    source = step_verifier(key, insecure=True)
    artifact = compile_sources({f"{CONTRACTS[kind]}.sol": source})[CONTRACTS[kind]]
    return evm.deploy(artifact.creation_code)


@pytest.mark.parametrize(
    "config",
    [pytest.param(WIDE, marks=pytest.mark.long), FULL],
    ids=["half of a chunk", "a whole chunk"],
)
def test_an_output_commitment_is_unique(evm: Evm, config: LlamaConfig) -> None:
    step = _small(config)
    verifier = _deployed(evm, step.key)
    _both_accept(step, verifier, step.lie({}, "long h"))
    one, several = _moves(14)
    for moves, strategy in ((several, "long h"), *((one, strategy) for strategy in STRATEGIES)):
        _both_reject(step, verifier, step.lie(moves, strategy))


STREAMS = pytest.mark.parametrize(
    ("config", "window"),
    [
        (SEVERAL_CHUNKS, 3),
        pytest.param(SEVERAL_CHUNKS, 4, marks=pytest.mark.long),
        pytest.param(FULL_KEYS, 1, marks=pytest.mark.long),
        pytest.param(SEVERAL_CHUNKS, 0, marks=pytest.mark.long),
        pytest.param(SEVERAL_CHUNKS, 1, marks=pytest.mark.long),
    ],
    ids=["last of a chunk", "first of the next", "a whole chunk", "first of all", "between"],
)


OUTPUTS = pytest.mark.parametrize("output", ["keys", pytest.param("values", marks=pytest.mark.long)])


@STREAMS
@OUTPUTS
def test_commitments_of_keys_and_values_are_unique(
    evm: Evm, config: LlamaConfig, window: int, output: str
) -> None:
    step = _small(config, "keys_values", window)
    verifier = _deployed(evm, step.key)
    one, several = _moves(14)
    _both_accept(step, verifier, step.lie({}, "long h", output))
    for moves, strategy in ((several, "long h"), *((one, strategy) for strategy in STRATEGIES)):
        _both_reject(step, verifier, step.lie(moves, strategy, output))


@STREAMS
@OUTPUTS
def test_a_written_window_holds_nothing_outside_its_place(
    evm: Evm, config: LlamaConfig, window: int, output: str
) -> None:
    """Every other place of its chunk, first and last entry, and the next chunk, by published powers: the sum of a chunk's
    windows would hold it."""
    step = _small(config, "keys_values", window)
    verifier, plan = _deployed(evm, step.key), step.key.plan
    size = 1 << plan.window_bits(plan.tensors[output])
    place = plan.place(plan.tensors[output], step.statement.publics, 14)
    ends = (
        entry for other in range((1 << 14) // size + 1) for entry in (other * size, (other + 1) * size - 1)
    )
    outside = [entry for entry in ends if entry // size != place]
    assert outside
    for entry in outside:
        claim = step.lie({entry: 3}, "long h", output)
        with pytest.raises(ProofRejectedError):
            claim.verify(step.key)
    assert contract_rejects(verifier, step.lie({outside[0]: 3}, "long h", output))
    assert contract_rejects(verifier, step.lie({outside[-2]: -1}, "long h", output))


@pytest.mark.parametrize(
    "config",
    [pytest.param(WIDE, marks=pytest.mark.long), FULL],
    ids=["half of a chunk", "a whole chunk"],
)
def test_with_the_papers_d_it_is_not(evm: Evm, paper: None, config: LlamaConfig) -> None:
    """The control: one published power more, and the commitment proves just as well as the right one."""
    step = _small(config)
    verifier = _deployed(evm, step.key)
    for moves in _moves(14):
        _both_accept(step, verifier, step.lie(moves, PAPER))


OF_TILES = {
    "mlp_tile": "sum_after",
    "attention_tile": "sum_after",
    "mlp_norm": "normalised",
    "mlp_close": "after",
}


@pytest.mark.parametrize(
    "config",
    [pytest.param(TILES_OF_WIDE, marks=pytest.mark.long), TILES_OF_FULL],
    ids=["half of a chunk", "a whole chunk"],
)
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "mlp_tile" else pytest.mark.long) for kind in OF_TILES]
)
def test_commitments_of_sums_and_of_rows_between_tiles_are_unique(
    evm: Evm, kind: str, config: LlamaConfig
) -> None:
    """Whatever has no range is as unique as what has one."""
    step, output = _small(config, kind, int(kind == "attention_tile")), OF_TILES[kind]
    plan = step.key.plan
    assert [e.tensor for e in plan.outputs] == [output]
    assert (
        plan.fills_chunk(plan.outputs[0], 14) == (config is TILES_OF_FULL) == (plan.outputs[0] in plan.sent)
    )
    verifier = _deployed(evm, step.key)
    _both_accept(step, verifier, step.lie({}, "long h", output))
    one, several = _moves(14)
    for moves, strategy in ((several, "long h"), *((one, strategy) for strategy in STRATEGIES)):
        _both_reject(step, verifier, step.lie(moves, strategy, output))
    if config is TILES_OF_WIDE:
        for outside in ({1 << 13: 3}, {(1 << 14) - 1: -1}):
            with pytest.raises(ProofRejectedError):
                step.lie(outside, "long h", output).verify(step.key)


_NARROW = replace(CUT, heads=8, kv_heads=8, head_size=64, step_weights=16_384)
_QUERIES = replace(CUT_QUERIES, heads=16, kv_heads=4, head_size=32, step_weights=8192)
_LATENTS = OTHER_FAMILIES["DeepSeek V3 in tiles"]
OF_INPUTS: dict[str, tuple[ModelConfig, ModelConfig, tuple[str, ...]]] = {
    "keys_values_tile": (CUT, _NARROW, ("key_sum_after", "value_sum_after")),
    "keys_values_close": (CUT, _NARROW, ("keys", "values")),
    "query_tile": (CUT_QUERIES, _QUERIES, ("query_sum_after",)),
    "query_close": (CUT_QUERIES, _QUERIES, ("rotated_query",)),
    "query_latent_tile": (_LATENTS, replace(_LATENTS, query_rank=512), ("query_sum_after",)),
    "query_latent_close": (_LATENTS, replace(_LATENTS, query_rank=512), ("query_latent",)),
}
"""Matrices that are cut along their inputs: a shape whose windows are a part of a chunk, one whose windows fill it, and what is written."""


@pytest.mark.parametrize(
    ("kind", "fills"),
    [
        pytest.param(
            kind, fills, marks=() if (kind, fills) == ("query_latent_close", True) else pytest.mark.long
        )
        for kind in OF_INPUTS
        for fills in (False, True)
    ],
)
def test_commitments_of_slices_of_inputs_are_unique(evm: Evm, kind: str, fills: bool) -> None:
    """Sums of queries, their latents, keys and values, and what closes them."""
    part, full, outputs = OF_INPUTS[kind]
    step = _small(full if fills else part, kind, int(kind.endswith("_close") and "latent" not in kind))
    plan = step.key.plan
    assert tuple(e.tensor for e in plan.outputs) == outputs
    assert all(plan.fills_chunk(output, 14) == fills for output in plan.outputs)
    assert not fills or set(plan.outputs) <= set(plan.sent)
    verifier = _deployed(evm, step.key)
    one, several = _moves(14)
    for output in outputs:
        _both_accept(step, verifier, step.lie({}, "long h", output))
        for moves, strategy in ((several, "long h"), *((one, strategy) for strategy in STRATEGIES)):
            _both_reject(step, verifier, step.lie(moves, strategy, output))
        for outside in () if fills else ({1 << 13: 3}, {(1 << 14) - 1: -1}):
            with pytest.raises(ProofRejectedError):
                step.lie(outside, "long h", output).verify(step.key)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["query_latent_tile", "keys_values_close"])
def test_with_the_papers_d_nor_are_those(evm: Evm, paper: None, kind: str) -> None:
    _, full, outputs = OF_INPUTS[kind]
    step = _small(full, kind)
    verifier = _deployed(evm, step.key)
    for moves in _moves(14):
        _both_accept(step, verifier, step.lie(moves, PAPER, outputs[-1]))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["mlp_tile", "mlp_close"])
def test_with_the_papers_d_those_are_not(evm: Evm, paper: None, kind: str) -> None:
    step = _small(TILES_OF_FULL, kind)
    verifier = _deployed(evm, step.key)
    for moves in _moves(14):
        _both_accept(step, verifier, step.lie(moves, PAPER, OF_TILES[kind]))


def test_an_output_commitment_of_attention_is_unique(verifier_of: Verifiers) -> None:
    step = _step("attention", 1)
    _both_reject(step, verifier_of("attention"), step.lie(_moves(MU)[0], "long h"))


@pytest.mark.long
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 0), ("attention", 2)])
def test_output_commitments_are_unique_in_large_chunks(
    verifier_of: Verifiers, kind: str, window: int, strategy: str
) -> None:
    step = _step(kind, window)
    _both_accept(step, verifier_of(kind), step.lie({}, strategy))
    for moves in _moves(MU):
        _both_reject(step, verifier_of(kind), step.lie(moves, strategy))


@pytest.mark.long
@pytest.mark.parametrize(("kind", "window"), [("mlp", 0), ("attention", 0), ("attention", 2)])
def test_with_the_papers_d_they_are_not(evm: Evm, paper: None, kind: str, window: int) -> None:
    step = _step(kind, window)
    verifier = _deployed(evm, step.key)
    for moves in _moves(MU):
        _both_accept(step, verifier, step.lie(moves, PAPER))


def test_an_output_that_fills_its_chunk_has_a_power_of_eta_of_its_own() -> None:
    """It is sent; in larger chunks it need not be, because the claim about what lies behind it has one."""
    plan = _small(FULL).key.plan
    (output,) = plan.outputs
    assert plan.fills_chunk(output, 14) and output in plan.sent and output not in plan.opened
    keys = _small(FULL_KEYS, "keys_values", 1).key.plan
    assert len(keys.outputs) == 2 and set(keys.outputs) <= set(keys.sent) and not keys.short_outputs(14)
    shorter = Plan(keys.program, chunk_bits=16)
    assert shorter.short_outputs(16) == shorter.outputs == keys.outputs
    assert shorter.outputs[0] in shorter.opened and shorter.outputs[0] not in shorter.sent
