"""True statements are accepted, at a price and a size that a chain allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts.bindings.compiler import compile_sources
from prover.curve.srs import SRS
from prover.statement import VerifyingKey
from tests.prover.operators.random_layers import SMALL
from tests.verifier_gen.evm import ACCEPTED, FALSE, Evm, Verifier
from tests.verifier_gen.golden_proofs import DEPLOYED_MU, SEVERAL_CHUNKS, SEVERAL_CHUNKS_OF_TILES
from tests.verifier_gen.statements import REAL, TILES, Proven, prove_random, prove_random_embedding
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.generator import step_verifier

LARGEST_CODE = 24_576
LARGE = replace(REAL, hidden=4096, heads=32, kv_heads=8, head_size=128, feed_forward=14_336)
LARGEST_GAS = 1_000_000

Verifiers = Callable[[str], Verifier]
Statements = Callable[..., Proven]


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        ("mlp", 0),
        ("head", 0),
        ("embedding", 0),
        ("attention", 3),
        ("keys_values", 5),
        *TILES,
        *(
            pytest.param(kind, window, marks=pytest.mark.long)
            for window in (0, 1, 2, 4, 7)
            for kind in ("keys_values", "attention", "attention_tile")
        ),
    ],
)
def test_a_true_statement_is_accepted(
    verifier_of: Verifiers, proven: Statements, kind: str, window: int
) -> None:
    statement = proven(kind, window)
    assert statement.python_accepts(statement.key, statement.inputs, statement.proof)
    verifier = verifier_of(kind)
    assert verifier.verdict(statement.key, statement.inputs, statement.proof) == ACCEPTED
    assert verifier.gas_used(statement.key, statement.inputs, statement.proof) < LARGEST_GAS


def test_chunks_smaller_than_tensors(evm: Evm) -> None:
    """mu = 14: the range table takes eight chunks, a stack's coordinates come from slots and from r."""
    small = SRS.devnet(14)
    statement = prove_random("head", small)
    source = step_verifier(statement.verifying_key, insecure=True)  # type: ignore[arg-type]
    artifact = compile_sources({"HeadVerifier.sol": source})["HeadVerifier"]
    verifier = evm.deploy(artifact.creation_code)
    assert verifier.verdict(statement.key, statement.inputs, statement.proof) == ACCEPTED
    changed = bytearray(statement.proof)
    changed[31] ^= 1
    assert verifier.verdict(statement.key, statement.inputs, bytes(changed)) != ACCEPTED


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        ("attention", 4),
        *(pytest.param(kind, 4, marks=pytest.mark.long) for kind in ("keys_values", "attention_tile")),
        *(
            pytest.param(kind, window, marks=pytest.mark.long)
            for window in (0, 3, 5, 7)
            for kind in ("keys_values", "attention", "attention_tile")
        ),
    ],
)
def test_windows_in_several_chunks(evm: Evm, kind: str, window: int) -> None:
    """mu = 14 and windows of 2^12 entries: a chunk holds four, the next one begins with window 4."""
    small = SRS.devnet(14)
    shape = SEVERAL_CHUNKS_OF_TILES if kind == "attention_tile" else SEVERAL_CHUNKS
    statement = prove_random(kind, small, window, shape)
    assert isinstance(statement.verifying_key, VerifyingKey)
    chunks = 2 * (1 + window // 4)
    points = {"keys_values": 3, "attention": 2 + chunks, "attention_tile": 3 + chunks}[kind]
    assert len(statement.inputs) == 1 + 2 * points
    contract = CONTRACTS[kind]
    artifact = compile_sources({f"{contract}.sol": step_verifier(statement.verifying_key, insecure=True)})[
        contract
    ]
    verifier = evm.deploy(artifact.creation_code)
    key, inputs, proof = statement.key, statement.inputs, statement.proof
    assert statement.python_accepts(key, inputs, proof)
    assert verifier.verdict(key, inputs, proof) == ACCEPTED
    moved = [inputs[0] ^ 1, *inputs[1:]]
    assert not statement.python_accepts(key, moved, proof)
    assert verifier.verdict(key, moved, proof) == FALSE
    for place in range(1, len(inputs) - 2, 2):
        swapped = [
            *inputs[:place],
            *inputs[place + 2 : place + 4],
            *inputs[place : place + 2],
            *inputs[place + 4 :],
        ]
        assert not statement.python_accepts(key, swapped, proof), place
        assert verifier.verdict(key, swapped, proof) == FALSE, place


def test_models_of_one_architecture_share_their_verifiers(srs: SRS) -> None:
    other = replace(SMALL, layers=7, vocabulary=1000)
    assert generate_sources(other, srs) == generate_sources(SMALL, srs)
    assert generate_sources(replace(SMALL, feed_forward=48), srs) != generate_sources(SMALL, srs)


def test_the_real_shape_fits_into_contracts() -> None:
    """So do tiles of a model of 8B, whose windows fill half a chunk."""
    srs = SRS.devnet(DEPLOYED_MU)
    tiles = [kind for kind in LARGE.programs if kind not in REAL.programs]
    keys = {kind: VerifyingKey.create(LARGE.programs[kind], srs) for kind in tiles}
    sources = generate_sources(REAL, srs)
    sources |= {f"{CONTRACTS[kind]}.sol": step_verifier(key, insecure=True) for kind, key in keys.items()}
    artifacts = compile_sources(sources)
    assert {"attention_tile", "mlp_tile"} <= set(tiles)
    for kind in (*REAL.steps, *tiles, "embedding"):
        assert 0 < len(artifacts[CONTRACTS[kind]].runtime_code) <= LARGEST_CODE


@pytest.mark.long
def test_gas_of_the_real_shape(evm: Evm, capsys: pytest.CaptureFixture[str]) -> None:
    srs = SRS.devnet(DEPLOYED_MU)
    artifacts = compile_sources(generate_sources(REAL, srs))
    for kind, window in (
        *((kind, 0) for kind in REAL.steps),
        ("keys_values", 3),
        ("attention", 3),
        ("embedding", 0),
    ):
        if kind == "embedding":
            statement = prove_random_embedding(srs, REAL)
        else:
            statement = prove_random(kind, srs, window, REAL)
        verifier = evm.deploy(artifacts[CONTRACTS[kind]].creation_code)
        assert verifier.verdict(statement.key, statement.inputs, statement.proof) == ACCEPTED
        gas = verifier.gas_used(statement.key, statement.inputs, statement.proof)
        with capsys.disabled():
            size = len(artifacts[CONTRACTS[kind]].runtime_code)
            print(
                f"\n{kind} window {window}: {gas} gas, {size} bytes of code, {len(statement.proof)} bytes of proof"
            )
        assert gas < LARGEST_GAS
